"""`prunescope speed`: how fast a network is, dense, masked and compact, and what its mask bought."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prunescope.cli.options import Classes, Data, NetworkName, Weights

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


def speed(
    network: NetworkName,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="A mask that prunescope saved; by default the one beside a saved network, if there is one.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(help="Images at once; may be repeated. [default: 1, 16]")
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help="pytorch, channels-last, compile, onnxruntime or openvino; may be repeated. "
            "[default: pytorch, channels-last]"
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often every network has its turn.")] = 15,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of a forward pass.")] = 1,
    weights: Weights = None,
    classes: Classes = None,
    data: Data = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write the whole table there, too.", show_default=False)
    ] = None,
) -> None:
    """Time a network dense, masked and compact, taking turns, and say what the mask bought."""
    from rich.console import Console

    from prunescope.cli.files import find_mask, load_mask, make_folder
    from prunescope.errors import describe_os_error
    from prunescope.measures.speed import SpeedSettings, check_settings
    from prunescope.measures.speed import speed as measure
    from prunescope.networks.network import open_network
    from prunescope.report.speed_words import speed_words

    given = {"runtimes": tuple(runtime or ()), "batches": tuple(batch or ())}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value}
    chosen |= {"rounds": rounds, "threads": threads}
    check_settings(SpeedSettings.chosen(**chosen))  # before a network is opened
    if csv:
        make_folder(csv)
    opened = open_network(network, weights, classes, data=data)
    found = find_mask(mask, network, data)
    table = measure(opened, load_mask(found, opened) if found else None, **chosen)
    console = Console(highlight=False)
    if not console.is_terminal:  # a pipe has no width to fit
        console = Console(highlight=False, width=200)
    console.print(_table(table))
    console.print(_conditions(table), soft_wrap=True)
    for sentence in speed_words(table):
        console.print(sentence, markup=False, soft_wrap=True)
    if csv:
        try:
            table.to_csv(csv, index=False)
        except OSError as error:
            raise describe_os_error(error, f"writing {csv}") from error


def _table(speed: pd.DataFrame) -> Table:
    from rich.table import Table

    from prunescope.report.formats import NO_VALUE, milliseconds, per_second, quantity
    from prunescope.report.formats import speedup as times

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("runtime", "batch", "network"):
        table.add_column(heading, justify="right" if heading == "batch" else "left")
    for heading in ("median", "p95", "images", "speed-up", "95 %", "MACs", "peak memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in speed.to_dict("records"):
        within = f"{row['low']:.2f}–{row['high']:.2f}" if row["low"] == row["low"] else NO_VALUE
        table.add_row(
            row["runtime"],
            str(row["batch"]),
            row["variant"],
            milliseconds(row["milliseconds"]),
            milliseconds(row["p95"]),
            per_second(row["images_per_second"]),
            times(row["speedup"]),
            within if row["variant"] != "dense" else "",
            quantity(row["macs"]),
            quantity(row["peak_bytes"], "B"),
        )
    return table


def _conditions(speed: pd.DataFrame) -> str:
    from prunescope.report.formats import count

    row = speed.iloc[0]
    clock = "CPU time" if row["clock"] == "cpu" else "wall clock"
    versions = dict.fromkeys(f"{r} {v}" for r, v in zip(speed["runtime"], speed["version"], strict=True))
    return (
        f"{count(row['rounds'], 'round')} in turns, {count(row['threads'], 'thread')}, {row['device']}; "
        f"median and p95 by wall clock, speed-up by {clock}; {', '.join(versions)}"
    )
