"""`prunescope prune`: prune a network once, without a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from prunescope.cli.options import Classes, Data, NetworkName, Weights

Globs = Annotated[
    list[str] | None, typer.Option(help="Globs of layers, separated by commas; may be repeated.")
]


def prune(
    network: NetworkName,
    rate: Annotated[float, typer.Option(help="Fraction removed, from 0 up to below 1.")],
    granularity: Annotated[str, typer.Option(help="weight, filter or connection.")] = "weight",
    by: Annotated[str, typer.Option(help="Score: l1, l2 or random; the lowest go.")] = "l1",
    scope: Annotated[
        str, typer.Option(help="layer: the same rate in each; global: one threshold.")
    ] = "layer",
    layers: Globs = None,
    spare: Globs = None,
    norm: Annotated[str, typer.Option(help="Filters: remove the channel behind, or keep it.")] = "remove",
    round_to: Annotated[
        int, typer.Option(help="Filters, connections: keep a multiple of it in each layer; 8 is fast.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Seed of random scores and ties.")] = 0,
    weights: Weights = None,
    classes: Classes = None,
    out: Annotated[Path, typer.Option(help="File to write (.safetensors).")] = Path("pruned.safetensors"),
    pack: Annotated[bool, typer.Option("--pack", help="Leave the zeros out of the file.")] = False,
    data: Data = None,
) -> None:
    """Prune a network once; save it, with its mask beside it, and say what is left."""
    from prunescope.cli.files import MASK_SUFFIX, check_out, make_folder
    from prunescope.errors import PrunescopeError, did_you_mean
    from prunescope.networks.network import open_network, resolve, save_network
    from prunescope.pruning.counting import count
    from prunescope.pruning.prune import prune as make_mask

    check_out(out, *[resolve(name, data) for name in (network, weights) if name])
    for option, given, known in (
        ("--scope", scope, ("layer", "global")),
        ("--norm", norm, ("remove", "keep")),
    ):
        if given not in known:
            raise PrunescopeError(
                f"{option} {given!r}: expected {' or '.join(known)}{did_you_mean(given, known)}"
            )
    opened = open_network(network, weights, classes, data=data)
    choice: dict[str, Any] = {
        "by": by,
        "scope": scope,
        "rate": rate,
        "layers": _split(layers) or None,
        "spare": _split(spare),
        "norm": norm,
        "round_to": round_to,
        "seed": seed,
    }
    mask = make_mask(opened, granularity, **choice)
    mask.apply(opened)
    left = count(opened)
    make_folder(out)
    save_network(opened, out, {"granularity": granularity, **choice}, pack=pack)
    mask.save(out.with_suffix(MASK_SUFFIX))
    pruned = [left.layers[name] for name in mask.rates]
    weights_of = sum(part.layer.weights for part in pruned)
    macs = sum(part.layer.macs for part in left.layers.values())
    reached = sum(part.macs_effective for part in left.layers.values())
    typer.echo(
        f"{out}: {len(pruned)} layers pruned by {granularity}, {len(left.layers) - len(pruned)} left alone"
    )
    rounded = f", channels in multiples of {round_to}" if round_to > 1 else ""
    typer.echo(f"  asked for {rate:.1%}{rounded}; of {weights_of:,} prunable weights")
    typer.echo(f"  zeros        {sum(part.zeros for part in pruned) / weights_of:6.1%}")
    typer.echo(f"  unreachable  {sum(part.unreachable for part in pruned) / weights_of:6.1%}")
    typer.echo(f"  MACs left    {reached / macs:6.1%} of {macs:,}")


def _split(globs: list[str] | None) -> tuple[str, ...]:
    return tuple(part.strip() for glob in globs or () for part in glob.split(",") if part.strip())
