"""`prunescope analyse`: what can be concluded from the tables of a study, or of several compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prunescope.cli.options import Margin, Published, Runs
from prunescope.errors import PrunescopeError

if TYPE_CHECKING:
    from rich.console import Console

    from prunescope.analysis.finding import Finding


def analyse(
    runs: Runs,
    published: Published = None,
    margin: Margin = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder that gets analysis/findings.csv and .parquet; by default the run's.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say in plain words what the tables show, what they do not, and what is shown to be equal.

    Each conclusion is a row of findings.csv with its estimate, interval, n, test and method.
    """
    from rich.console import Console

    from prunescope.analysis.analyse import conclude, write_findings
    from prunescope.analysis.metric_words import read_margins

    margins = read_margins(margin or [])
    if out is None and len(runs) > 1:
        raise PrunescopeError(
            "conclusions of several runs are of none of them: say with --out which folder gets them"
        )
    findings = conclude(runs, margins, published or [])
    console = Console(highlight=False)
    print_findings(console, findings)
    if not findings:
        console.print("Nothing can be concluded: no network was pruned, or nothing was measured of any.")
    typer.echo(f"findings: {write_findings(findings, out or runs[0])}")


def print_findings(console: Console, findings: Sequence[Finding], most: int | None = None) -> None:
    """Print what was concluded, question by question; of each at most so many."""
    for question in dict.fromkeys(finding.question for finding in findings):
        own = [finding for finding in findings if finding.question == question]
        console.print(f"\n{question[0].upper()}{question[1:]}", style="bold", markup=False)
        for finding in own[:most]:
            console.print(f"  {finding.sentence}", markup=False, soft_wrap=True)
        if most is not None and len(own) > most:
            console.print(f"  … and {len(own) - most:,} more in findings.csv")
