"""`prunescope survey serve`, `withdraw`, `retain`: ask people, and forget them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prunescope.errors import PrunescopeError
from prunescope.survey.parts import survey_parts

Folder = Annotated[
    Path, typer.Argument(help="An experiment: what `survey build` wrote.", metavar="DIR", show_default=False)
]
Database = Annotated[
    str | None,
    typer.Option(
        help="URL of the database: sqlite:///FILE or postgresql://USER@HOST/NAME. [default: DIR/answers.sqlite]",
        envvar="PRUNESCOPE_SURVEY_DATABASE",
        show_default=False,
        show_envvar=True,
    ),
]


def serve(
    folder: Folder,
    database: Database = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; loopback unless told otherwise.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8750,
    proxy: Annotated[
        str | None,
        typer.Option(
            help="Public address of a proxy on this machine that speaks TLS: https://study.example.org. Its "
            "X-Forwarded-For is believed.",
            show_default=False,
        ),
    ] = None,
    frame: Annotated[
        list[str] | None,
        typer.Option(
            help="A site that may show the page in a frame: https://worker.mturk.com. May be repeated.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve an experiment to participants until Ctrl-C. Every answer is on the disk before it is acknowledged."""
    with survey_parts():
        from prunescope.survey.serve import serve as run
    run(folder, database, host, port, proxy=proxy, frames=frame or [])


def withdraw(
    folder: Folder,
    participant: Annotated[
        str,
        typer.Argument(
            help="As the researcher's page shows it, p-…, or the id that a platform has.", show_default=False
        ),
    ],
    database: Database = None,
) -> None:
    """Erase a participant for good: from the database, its files and what was exported. A server may go on."""
    with survey_parts():
        from prunescope.survey.withdrawal import withdraw as run
    typer.echo(f"{run(folder, participant, database)} is gone from the database and from what was exported")


def retain(
    folder: Folder,
    database: Database = None,
    days: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Since a participant's last answer. [default: retention_days of the design]",
            show_default=False,
        ),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="However short ago the last answer is.")] = False,
) -> None:
    """Erase platform ids, sessions and answers in own words after their time; what was answered to tasks stays."""
    with survey_parts():
        from prunescope.survey.retention import retain as run
    if now and days is not None:
        raise PrunescopeError("give --days or --now, not both")
    done = run(folder, database, days=0 if now else days)
    typer.echo(
        f"erased for good: platform ids and sessions of {done.participants} participants, {done.texts} answers in "
        f"their own words; {done.waiting} are not due yet, {done.under_way} are under way"
    )
