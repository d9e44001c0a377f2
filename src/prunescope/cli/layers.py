"""`prunescope layers`: the layers of a network, by the names that globs select."""

from __future__ import annotations

from prunescope.cli.options import Classes, Data, NetworkName, Weights


def layers(network: NetworkName, weights: Weights = None, classes: Classes = None, data: Data = None) -> None:
    """List the layers that can be pruned: name, shape, weights, multiply-accumulates (MACs)."""
    from rich.console import Console
    from rich.table import Table

    from prunescope.errors import some
    from prunescope.networks.channels import map_channels
    from prunescope.networks.layers import find_layers
    from prunescope.networks.network import open_network, preprocess_of

    opened = open_network(network, weights, classes, data=data)
    found = find_layers(opened)
    channels = map_channels(opened, found)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("layer", overflow="fold")
    table.add_column("kind")
    for heading in ("shape", "weights", "MACs"):
        table.add_column(heading, justify="right")
    table.add_column("filters", overflow="fold")
    partners = {
        name: [other for other in pool if other != name] for pool in channels.partners() for name in pool
    }
    for name, layer in found.items():
        shape = "x".join(map(str, layer.weight_shape))
        removable = "removable" + (f", together with {some(partners[name])}" if partners[name] else "")
        removable = "the classes" if name in channels.logits else channels.fixed.get(name, removable)
        table.add_row(name, layer.kind, shape, f"{layer.weights:,}", f"{layer.macs:,}", removable)
    weights_sum, macs = sum(x.weights for x in found.values()), sum(x.macs for x in found.values())
    table.add_row(f"{len(found)} layers", "", "", f"{weights_sum:,}", f"{macs:,}", style="bold")
    console = Console(highlight=False)
    if not console.is_terminal:  # a pipe has no width to fit
        console = Console(highlight=False, width=200)
    console.print(table)
    size = preprocess_of(opened).crop
    console.print(f"for one image of {size} x {size} pixels")
