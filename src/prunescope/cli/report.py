"""`prunescope report`: write the page of a study, of several or of an audit again from its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prunescope.cli.options import Margin, Published, Runs
from prunescope.errors import PrunescopeError


def report(
    results: Runs,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder that gets the report of several runs, as DIR/report.", show_default=False),
    ] = None,
    published: Published = None,
    margin: Margin = None,
) -> None:
    """Write the page of a study, of several studies to compare, or of an audit anew from its tables."""
    audits = [folder for folder in results if (folder / "audit.json").is_file()]
    if audits:
        if len(results) > 1 or out or published or margin:
            raise PrunescopeError(
                f"{audits[0]} is an audit, whose report stands alone: give it without other runs and options"
            )
        from prunescope.report.audit import write_audit

        typer.echo(f"report: {write_audit(audits[0])}")
        return
    from prunescope.analysis.metric_words import read_margins
    from prunescope.report.page import write_report

    margins = read_margins(margin or [])
    typer.echo(f"report: {write_report(results, out, published=published or [], margins=margins)}")
