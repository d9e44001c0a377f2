"""`prunescope survey simulate`: simulated participants take part in an experiment, through the real server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from prunescope.survey.experiment import Experiment
    from prunescope.survey.simulate import Simulation
    from prunescope.survey.simulated import Behaviour

TOKEN = "researcher.token"
Built = Annotated[Path, typer.Argument(help="An experiment, as `survey build` wrote it.", show_default=False)]
Skill = Annotated[
    list[str] | None,
    typer.Option(
        help="How many answers are right (of a pair: for the less pruned network, among those for one): .8 for all "
        "networks, NETWORK=.6 for one, mis for as many as the margins of MIS say. May be repeated; without it .8.",
        show_default=False,
    ),
]
Slope = Annotated[float, typer.Option(help="Of --skill mis: P(right) = σ(slope · margin).")]
Ties = Annotated[float, typer.Option(help="So many answers call both of a pair equal.")]
Careless = Annotated[float, typer.Option(help="So many participants press anything, fast.")]
Leave = Annotated[
    float, typer.Option(help="So many participants stop in the middle; half of them come back.")
]
People = Annotated[
    float, typer.Option("--spread-people", help="How far participants differ: standard deviation in logits.")
]
Items = Annotated[
    float, typer.Option("--spread-items", help="How far tasks differ: standard deviation in logits.")
]


def simulate(
    folder: Built,
    participants: Annotated[int, typer.Option(min=1, help="So many begin.")] = 200,
    skill: Skill = None,
    slope: Slope = 16.0,
    ties: Ties = 0.2,
    careless: Careless = 0.1,
    leave: Leave = 0.05,
    people: People = 0.5,
    items: Items = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same people.")] = 0,
    at_once: Annotated[int, typer.Option(min=1, max=500, help="So many are there at the same time.")] = 50,
    all_pictures: Annotated[
        bool,
        typer.Option(
            "--all-pictures", help="Fetch every picture, not only those that tell the trials apart."
        ),
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(help="Of a server that runs; by default, one is started.", show_default=False),
    ] = None,
    token: Annotated[
        Path | None,
        typer.Option(
            help="File with the researcher's token of that server; by default DIR/researcher.token.",
            show_default=False,
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            help="URL of the database; by default sqlite:///DIR/simulated.sqlite, with --url none.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Let simulated participants take part, and check that all that the server acknowledged is kept.

    They come and go, reload, leave, press anything, as people do, but answer at once; the times that they say are
    drawn. All that they leave is marked as simulated. Exit code 1: the server failed, or an answer is lost.
    """
    from prunescope.survey.experiment import read_experiment
    from prunescope.survey.simulate import simulate as run
    from prunescope.survey.simulated import Crowd
    from prunescope.survey.simulation_server import read_token

    experiment = read_experiment(folder)
    behaviour = behaviour_of(experiment, skill, slope, people, items, ties, careless, leave)
    crowd = Crowd(experiment, behaviour, seed)
    with _server(folder, url, database) as (address, base):
        typer.echo(f"{participants} simulated participants, {at_once} at once, before {address}")
        found = run(
            crowd,
            participants,
            address,
            read_token(token or folder / TOKEN),
            at_once=at_once,
            all_pictures=all_pictures,
            progress=_progress(participants),
        )
    whole = _tell(found, base)
    if found.failed or not whole:
        raise typer.Exit(1)


def behaviour_of(
    experiment: Experiment,
    skill: list[str] | None,
    slope: float,
    people: float,
    items: float,
    ties: float,
    careless: float,
    leave: float,
) -> Behaviour:
    """Return how simulated people answer from what the command line says."""
    from prunescope.errors import PrunescopeError
    from prunescope.survey.simulated import Behaviour, skill_of

    given = list(skill or [])
    by_margin = "mis" in given
    if by_margin and (experiment.design.kind != "mis" or len(given) > 1):
        raise PrunescopeError(
            f"--skill mis says all about an experiment of kind mis; this one is of kind {experiment.design.kind}, "
            f"with --skill {' '.join(given)}: give it alone, or shares such as .8"
        )
    return Behaviour(
        skill_of(experiment, [] if by_margin else given),
        slope=slope if by_margin else None,
        people=people,
        items=items,
        ties=ties,
        careless=careless,
        leave=leave,
    )


@contextmanager
def _server(folder: Path, url: str | None, database: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield the address of the server, and its database if it is known."""
    from prunescope.survey.simulation_server import DATABASE, own_server

    if url is not None:
        yield url, database
        return
    base = database or f"sqlite:///{folder.resolve() / DATABASE}"
    with own_server(folder, base) as address:
        yield address, base


def _progress(participants: int) -> Callable[[Simulation], None]:
    """Return what tells, on a terminal, how far it is."""

    def tell(found: Simulation) -> None:
        if sys.stderr.isatty():
            typer.echo(f"\r{found.finished + found.left} of {participants} ", nl=False, err=True)

    return tell


def _tell(found: Simulation, base: str | None) -> bool:
    """Say what came of it, and whether all that was acknowledged is in the database."""
    from prunescope.survey.simulate import compare_kept
    from prunescope.survey.storage import read_tables

    median, late = found.latency_ms([50, 99])
    acknowledged = len(found.acknowledged)
    ended = " (interrupted)" if found.interrupted else ""
    typer.echo(
        f"{len(found.visits)} began, {found.finished} finished, {found.left} left{ended}; "
        f"{found.pictures:,} pictures fetched, each known"
    )
    typer.echo(
        f"{acknowledged:,} answers acknowledged in {found.seconds:.1f} s: {acknowledged / found.seconds:.0f} a second; "
        f"from sending to acknowledgement {median:.0f} ms (median), {late:.0f} ms (99 of 100 are faster); "
        f"{found.repeated} requests repeated"
    )
    if found.turned_away:
        typer.echo(f"the server took no more: {found.turned_away}")
    for words in found.failed:
        typer.echo(f"failed: {words}", err=True)
    if base is None:
        typer.echo("not compared with the database: give its URL with --database")
        return True
    kept = compare_kept(found.sent, read_tables(base)["answers"])
    typer.echo(
        f"database: {kept.acknowledged - len(kept.lost):,} of {kept.acknowledged:,} acknowledged trials kept, "
        f"{len(kept.lost)} lost, {len(kept.changed) + len(kept.denied)} other than sent"
    )
    return kept.whole
