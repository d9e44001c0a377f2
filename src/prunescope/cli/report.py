"""`prunescope report`: write a study's report again from its tables."""

from __future__ import annotations

import typer

from prunescope.cli.options import Results


def report(results: Results) -> None:
    """Write the report of a study anew from its tables."""
    from prunescope.report.page import write_report

    typer.echo(f"report: {write_report(results)}")
