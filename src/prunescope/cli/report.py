"""`prunescope report`: write the page of a study or of an audit again from its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[
        Path,
        typer.Argument(help="The results of a study, runs/NAME, or of an audit.", show_default=False),
    ],
) -> None:
    """Write the page of a study or of an audit anew from its tables."""
    if (results / "audit.json").is_file():
        from prunescope.report.audit import write_audit

        typer.echo(f"report: {write_audit(results)}")
        return
    from prunescope.report.page import write_report

    typer.echo(f"report: {write_report(results)}")
