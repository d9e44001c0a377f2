"""`prunescope compact`: take removed channels out of a network, so that it is smaller and faster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prunescope.cli.options import Classes, Data, NetworkName, Weights

if TYPE_CHECKING:
    from torch import nn

MaskFile = Annotated[
    Path | None,
    typer.Option(help="What was removed; by default the mask beside a saved network.", show_default=False),
]


def compact(
    network: NetworkName,
    mask: MaskFile = None,
    weights: Weights = None,
    classes: Classes = None,
    out: Annotated[Path, typer.Option(help="File to write (.safetensors).")] = Path("compact.safetensors"),
    data: Data = None,
) -> None:
    """Take removed channels out of a network: smaller, faster, and its logits stay the same.

    Without a mask, channels whose weights are all zero leave. Where single weights or kernels were removed
    nothing can leave; the file is then packed instead: a bit a weight, and the weights that are not 0.
    """
    from prunescope.cli.files import check_out, find_mask, load_mask, make_folder
    from prunescope.networks.network import open_network, resolve, save_network
    from prunescope.pruning.compaction import compact as make_compact
    from prunescope.pruning.granularity import GRANULARITIES

    file = find_mask(mask, network, data)
    inputs = [resolve(name, data) for name in (network, weights, file) if name]
    check_out(out, *inputs)
    opened = open_network(network, weights, classes, data=data)
    removed = load_mask(file, opened) if file else None
    if removed:
        removed.apply(opened)
    granularity = GRANULARITIES[removed.granularity] if removed else None
    nothing_leaves = granularity is not None and not granularity.shrinks
    smaller = opened if nothing_leaves else make_compact(opened, removed)
    shrunk = _shapes(smaller) != _shapes(opened)
    make_folder(out)
    save_network(smaller, out, pack=not shrunk)
    if shrunk:
        typer.echo(f"{out}: computes what the network with its zeros computes (checked), with")
    else:
        why = granularity.nothing_leaves() if granularity and nothing_leaves else "no channel is zero"
        typer.echo(f"{out}: {why}, so nothing gets faster; the file without its zeros has")
    before, after = _totals(opened), _totals(smaller) | {"bytes": out.stat().st_size}
    for what in before if shrunk else ["bytes"]:
        typer.echo(f"  {what:<8} {after[what]:>13,} of {before[what]:,} ({after[what] / before[what]:.1%})")


def _totals(network: nn.Module) -> dict[str, int]:
    """Return what there is of everything that can get smaller."""
    from prunescope.networks.checkpoints import to_bytes
    from prunescope.pruning.counting import count

    counted = count(network)
    layers = [part.layer for part in counted.layers.values()]
    return {
        "channels": sum(layer.weight_shape[0] for layer in layers),
        "inputs": sum(layer.weight_shape[1] * layer.groups for layer in layers),
        "weights": counted.parameters,
        "MACs": sum(layer.macs for layer in layers),
        "bytes": len(to_bytes(network.state_dict(), {})),
    }


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
