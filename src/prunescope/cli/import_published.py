"""`prunescope import-published`: published tables as runs, so that they go through the same analyses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_published(
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder of published CSV files (also .csv.gz), or one file.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of results: each study becomes a folder in it.")] = Path(
        "runs"
    ),
) -> None:
    """Import published tables, recognised by their columns, as runs: analyse, figure and report take them."""
    from prunescope.analysis.published.importing import import_published as import_all

    imported = import_all(source, out)
    for path, why in imported.skipped:
        typer.echo(f"skipped {path}: {why}", err=True)
    for run in imported.runs:
        typer.echo(f"imported: {run}")
