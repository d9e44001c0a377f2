"""`prunescope survey export`: answers as CSV and Parquet, with a codebook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Experiment = Annotated[
    Path, typer.Argument(help="An experiment, as survey build wrote it.", show_default=False)
]
Database = Annotated[
    str | None,
    typer.Option(help="URL of the database; by default the folder's own.", show_default=False),
]


def survey_export(
    experiment: Experiment,
    database: Database = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write; by default export in the experiment, which follows when someone withdraws.",
            show_default=False,
        ),
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="The simulated participants alone, of simulated.sqlite.")
    ] = False,
) -> None:
    """Write votes, participants, answers, questions and events as CSV and Parquet; codebook.md says what they hold.

    The experiment may be served meanwhile. An earlier export is replaced.
    """
    from prunescope.survey.export import export

    typer.echo(f"export: {export(experiment, database, out=out, simulated=simulated)}")
