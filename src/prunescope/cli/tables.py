"""`prunescope tables`: the tables of a study, on the screen or as CSV."""

from __future__ import annotations

from typing import Annotated

import typer

from prunescope.cli.options import Results

ONLY_PARQUET = {"unit_tasks"}  # twenty rows a unit: hundreds of megabytes of text, for `survey build` alone


def tables(
    results: Results,
    csv: Annotated[
        bool,
        typer.Option("--csv", help="Write each table but unit_tasks as CSV beside the Parquet files."),
    ] = False,
) -> None:
    """List the tables of a study, and export them as CSV."""
    from prunescope.errors import describe_os_error
    from prunescope.study.tables import TABLES_FOLDER, load_tables

    for name, table in load_tables(results).items():
        as_csv = csv and name not in ONLY_PARQUET
        place = results / TABLES_FOLDER / f"{name}.{'csv' if as_csv else 'parquet'}"
        if as_csv:
            try:
                table.to_csv(place, index=False)
            except OSError as error:
                raise describe_os_error(error, f"writing {place}") from error
        typer.echo(f"{place}: {len(table)} rows: {', '.join(table.columns)}")
