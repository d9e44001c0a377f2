"""`prunescope survey power`: how many participants an experiment needs."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prunescope.cli.survey_simulate import (
    Built,
    Careless,
    Items,
    Leave,
    People,
    Skill,
    Slope,
    Ties,
    behaviour_of,
)
from prunescope.errors import PrunescopeError, describe_os_error

if TYPE_CHECKING:
    import pandas as pd

FILE = "power.csv"


def power(
    folder: Built,
    skill: Skill = None,
    participants: Annotated[
        str, typer.Option(help="Of one study, with those who leave or are excluded: several numbers.")
    ] = "20,50,100,200",
    studies: Annotated[int, typer.Option(min=2, help="Drawn for each number.")] = 200,
    null: Annotated[
        bool,
        typer.Option(
            "--null", help="All networks are alike: how often a difference is shown that is not there."
        ),
    ] = False,
    margin: Annotated[
        float | None,
        typer.Option(
            help="A difference that counts as none, such as .05: also how often it is shown that there is no larger "
            "one.",
            show_default=False,
        ),
    ] = None,
    slope: Slope = 16.0,
    ties: Ties = 0.2,
    careless: Careless = 0.1,
    leave: Leave = 0.05,
    people: People = 0.5,
    items: Items = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same studies.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Of the table, as CSV; by default DIR/power.csv.", show_default=False),
    ] = None,
) -> None:
    """Draw simulated studies and tell how often the analysis would show each difference between networks.

    The tasks, lists and exclusion rules are the experiment's, and people answer as in `simulate`. No server is asked.
    """
    from prunescope.survey.experiment import read_experiment
    from prunescope.survey.power import alike
    from prunescope.survey.power import power as draw

    experiment = read_experiment(folder)
    behaviour = behaviour_of(experiment, skill, slope, people, items, ties, careless, leave)
    if null:
        behaviour = alike(experiment, behaviour)
    sizes = _sizes(participants)
    began, every = time.monotonic(), studies * len(sizes)

    def progress(done: int) -> None:
        if sys.stderr.isatty():
            typer.echo(f"\r{done} of {every} studies ", nl=False, err=True)

    found = draw(experiment, behaviour, sizes, studies, seed=seed, margin=margin, progress=progress)
    _show(found)
    path = out or folder / FILE
    try:
        found.to_csv(path, index=False)
    except OSError as error:
        raise describe_os_error(error, f"writing {path}") from error
    typer.echo(f"{every} studies drawn in {time.monotonic() - began:.0f} s; table: {path}")


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 2:
        raise PrunescopeError(f"--participants {text}: expected numbers from 2 on, such as 20,50,100")
    return sizes


def _show(found: pd.DataFrame) -> None:
    """Print the table, shares in percent."""
    from rich.console import Console
    from rich.table import Table

    from prunescope.analysis.results import records

    table = Table(box=None, header_style="bold", pad_edge=False)
    wide = "no_larger" in found
    headings = [
        "participants",
        "comparison",
        "shown",
        "95 % interval",
        "estimate ± half its interval",
        "votes",
    ]
    for heading in [*headings, "excluded", *(["no larger than the margin"] if wide else [])]:
        table.add_column(heading, overflow="fold")
    for row in records(found):
        table.add_row(
            str(row["participants"]), row["comparison"], _percent(row["shown"]),
            f"{_percent(row['low'])} to {_percent(row['high'])}", _estimate(row), f"{row['votes']:.0f}",
            f"{row['excluded']:.1f}", *([_percent(row["no_larger"])] if wide else []),
        )  # fmt: skip
    console = Console(highlight=False)
    if not console.is_terminal:  # a pipe has no width to fit
        console = Console(highlight=False, width=200)
    console.print(table)


def _estimate(row: dict[str, Any]) -> str:
    return "" if math.isnan(row["estimate"]) else f"{row['estimate']:.3f} ± {row['half_width']:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
