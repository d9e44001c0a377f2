"""`prunescope prune`: prune a network once, without a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prunescope.cli.options import Classes, Data, NetworkName, Weights
from prunescope.errors import PrunescopeError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from prunescope.pruning.masks import Mask
    from prunescope.pruning.prune import Pruning

SCORES = (
    "l1", "l2", "random", "lamp", "fpgm", "batch-norm-scale", "synflow", "snip", "taylor", "grasp", "lrp", "car",
)  # fmt: skip
_LOOK_AT_IMAGES = "snip, taylor, grasp, lrp and car"
_CHOICES = {"scope": ("layer", "global", "specific", "erk"), "norm": ("remove", "keep")}
Globs = Annotated[
    list[str] | None, typer.Option(help="Globs of layers, separated by commas; may be repeated.")
]


def prune(
    network: NetworkName,
    rate: Annotated[
        float | None, typer.Option(help="Fraction removed, from 0 up to below 1.", show_default=False)
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Instead of a rate, what may be left: macs=0.5 or weights=0.3 or bytes=0.2 of the dense network's, "
            "macs=750M, bytes=3MB, ms=5 (a forward pass of one image).",
            show_default=False,
        ),
    ] = None,
    granularity: Annotated[str, typer.Option(help="weight, filter, connection, kernel or n:m.")] = "weight",
    m: Annotated[
        int, typer.Option("--m", help="For n:m, inputs in a block; the rate is a multiple of 1/m.")
    ] = 4,
    by: Annotated[
        str,
        typer.Option(
            help=f"Score; the lowest go: {', '.join(SCORES)}, or a function of your own, file.py:function. "
            f"{_LOOK_AT_IMAGES} look at --images."
        ),
    ] = "l1",
    images: Annotated[
        str | None,
        typer.Option(help="Labelled images that scores look at: folder:PATH, scenes, …", show_default=False),
    ] = None,
    calibration: Annotated[int, typer.Option(min=1, help="How many of them.")] = 256,
    score_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="On how many rungs towards the rate scores are computed anew; synflow needs many, its default is 100.",
            show_default=False,
        ),
    ] = None,
    scope: Annotated[
        str,
        typer.Option(
            help="layer: the same rate in each; global: one threshold; erk: large layers lose a larger share; "
            "specific: --layer-rates."
        ),
    ] = "layer",
    layer_rates: Annotated[
        list[str] | None,
        typer.Option(
            help="Scope specific: GLOB=RATE; may be repeated, the last that fits counts. Other layers lose nothing.",
            show_default=False,
        ),
    ] = None,
    layers: Globs = None,
    spare: Globs = None,
    min_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of its groups that each layer keeps at least.")
    ] = 0.0,
    norm: Annotated[str, typer.Option(help="Filters: remove the channel behind, or keep it.")] = "remove",
    round_to: Annotated[
        int, typer.Option(help="Filters, connections: keep a multiple of it in each layer; 8 is fast.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Seed of random scores, ties, and the images drawn.")] = 0,
    weights: Weights = None,
    classes: Classes = None,
    out: Annotated[Path, typer.Option(help="File to write (.safetensors).")] = Path("pruned.safetensors"),
    pack: Annotated[bool, typer.Option("--pack", help="Leave the zeros out of the file.")] = False,
    data: Data = None,
) -> None:
    """Prune a network once; save it, with its mask beside it, and say what is left."""
    from prunescope.cli.budget import read_budget
    from prunescope.cli.calibration import images_for
    from prunescope.cli.files import MASK_SUFFIX, check_out, make_folder
    from prunescope.networks.network import open_network, resolve, save_network
    from prunescope.pruning.prune import Pruning
    from prunescope.pruning.scores.own import find_score

    check_out(out, *[resolve(name, data) for name in (network, weights) if name])
    for option, given in (("scope", scope), ("norm", norm)):
        if given not in (known := _CHOICES[option]):
            raise PrunescopeError(
                f"--{option} {given!r}: expected {', '.join(known[:-1])} or {known[-1]}{did_you_mean(given, known)}"
            )
    rates = _read_rates(rate, budget, layer_rates, scope)
    if budget:
        read_budget(budget)  # before a network is opened
    score = find_score(by)
    opened = open_network(network, weights, classes, data=data)
    choice: dict[str, Any] = {
        "by": by, "scope": scope, "layers": _split(layers) or None, "spare": _split(spare), "min_share": min_share,
        "norm": norm, "round_to": round_to, "m": m, "score_steps": score_steps, "seed": seed,
    }  # fmt: skip
    looked_at = images_for(score, opened, images, calibration, seed, data)
    pruning = Pruning(opened, granularity, **choice, **looked_at)
    mask, how_much, record = _mask(opened, pruning, rates, budget)
    mask.apply(opened)
    make_folder(out)
    record |= {"granularity": granularity, **choice}
    if images:
        record |= {"images": images, "calibration": calibration}
    save_network(opened, out, record, pack=pack)
    mask.save(out.with_suffix(MASK_SUFFIX))
    rounded = f", channels in multiples of {round_to}" if round_to > 1 else ""
    _say(opened, mask, out, granularity, how_much + rounded)


def _read_rates(
    rate: float | None, budget: str | None, layer_rates: list[str] | None, scope: str
) -> float | dict[str, float] | None:
    """Return the rate, or that of each glob; None where there is a budget."""
    given = [rate is not None, budget is not None, bool(layer_rates)]
    if sum(given) != 1:
        raise PrunescopeError(
            "say how much to prune, in one way: --rate 0.5, --budget macs=0.5, or --scope specific with --layer-rates "
            f"'layer1*=0.3'; {'none was' if not any(given) else 'several were'} given"
        )
    if bool(layer_rates) != (scope == "specific"):
        raise PrunescopeError(
            "--layer-rates goes with --scope specific, and --scope specific with --layer-rates"
        )
    return dict(_read_rate(text) for text in layer_rates) if layer_rates else rate


def _read_rate(text: str) -> tuple[str, float]:
    glob, _, value = text.rpartition("=")
    try:
        return glob.strip(), float(value)
    except ValueError:
        raise PrunescopeError(f"--layer-rates {text!r}: expected GLOB=RATE, as in 'layer1*=0.3'") from None


def _mask(
    network: nn.Module, pruning: Pruning, rates: float | dict[str, float] | None, budget: str | None
) -> tuple[Mask, str, dict[str, Any]]:
    """Return the mask, what was asked for in words, and for the file."""
    from prunescope.cli.budget import open_budget
    from prunescope.pruning.budget import amount, prune_to_budget

    if budget is None:
        assert rates is not None
        words = (
            ", ".join(f"{rate:.1%} of {glob}" for glob, rate in rates.items())
            if isinstance(rates, dict)
            else f"{rates:.1%}"
        )
        return pruning.at(rates), words, {"rate": rates}
    limit, cost = open_budget(budget, network, pruning)
    found = prune_to_budget(network, pruning, limit, cost=cost)
    compact = ", as prunescope compact writes it" if limit.of == "bytes" else ""
    asked, reached = amount(limit.at_most, limit.of), amount(found.reached, limit.of)
    words = f"at most {asked}{compact}: {reached} at rate {found.rate:.2%}"
    return found.mask, words, {"rate": found.rate, "budget": budget}


def _say(network: nn.Module, mask: Mask, out: Path, granularity: str, how_much: str) -> None:
    """Say what is left."""
    from prunescope.pruning.counting import count

    left = count(network)
    pruned = [left.layers[name] for name in mask.rates]
    weights_of = sum(part.layer.weights for part in pruned)
    macs = sum(part.layer.macs for part in left.layers.values())
    reached = sum(part.macs_effective for part in left.layers.values())
    typer.echo(
        f"{out}: {len(pruned)} layers pruned by {granularity}, {len(left.layers) - len(pruned)} left alone"
    )
    typer.echo(f"  asked for {how_much}; of {weights_of:,} prunable weights")
    typer.echo(f"  zeros        {sum(part.zeros for part in pruned) / weights_of:6.1%}")
    typer.echo(f"  unreachable  {sum(part.unreachable for part in pruned) / weights_of:6.1%}")
    typer.echo(f"  MACs left    {reached / macs:6.1%} of {macs:,}")


def _split(globs: list[str] | None) -> tuple[str, ...]:
    return tuple(part.strip() for glob in globs or () for part in glob.split(",") if part.strip())
