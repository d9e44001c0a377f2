"""`prunescope analyse`: what can be concluded from the tables of a study, or of several compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prunescope.cli.options import Margin, Published, Runs
from prunescope.errors import PrunescopeError


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
    for question in dict.fromkeys(finding.question for finding in findings):
        console.print(f"\n{question[0].upper()}{question[1:]}", style="bold", markup=False)
        for finding in (each for each in findings if each.question == question):
            console.print(f"  {finding.sentence}", markup=False, soft_wrap=True)
    if not findings:
        console.print("Nothing can be concluded: no network was pruned, or nothing was measured of any.")
    typer.echo(f"findings: {write_findings(findings, out or runs[0])}")
