"""`prunescope tables`: the tables of a study, on the screen or as CSV."""

from __future__ import annotations

from typing import Annotated

import typer

from prunescope.cli.options import Results


def tables(
    results: Results,
    csv: Annotated[
        bool, typer.Option("--csv", help="Write each table as CSV beside the Parquet files.")
    ] = False,
) -> None:
    """List the tables of a study, and export them as CSV."""
    from prunescope.errors import describe_os_error
    from prunescope.study.tables import TABLES_FOLDER, load_tables

    for name, table in load_tables(results).items():
        place = results / TABLES_FOLDER / f"{name}.{'csv' if csv else 'parquet'}"
        if csv:
            try:
                table.to_csv(place, index=False)
            except OSError as error:
                raise describe_os_error(error, f"writing {place}") from error
        typer.echo(f"{place}: {len(table)} rows: {', '.join(table.columns)}")
