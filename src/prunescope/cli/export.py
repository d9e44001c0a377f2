"""`prunescope export`: a network for ONNX Runtime, OpenVINO and others, or for PyTorch without its code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prunescope.cli.options import Classes, Data, NetworkName, Weights


def export(
    network: NetworkName,
    out: Annotated[
        Path, typer.Argument(help="File to write: .onnx, or .pt2 (torch.export).", show_default=False)
    ],
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Images of a batch, fixed; by default any number.", show_default=False),
    ] = None,
    weights: Weights = None,
    classes: Classes = None,
    data: Data = None,
) -> None:
    """Write a network, dense, masked or compact, as ONNX or as a program of torch.export."""
    from prunescope.cli.files import make_folder
    from prunescope.networks.export import export as write
    from prunescope.networks.network import example_input, open_network

    opened = open_network(network, weights, classes, data=data)
    example = example_input(opened)
    make_folder(out)
    write(opened, out, example.repeat(batch, 1, 1, 1) if batch else None, dynamic_batch=batch is None)
    images = f"batches of {batch}" if batch else "batches of any size"
    typer.echo(
        f"{out}: {out.stat().st_size:,} bytes; {images}, images {'x'.join(map(str, example.shape[1:]))}"
    )
