"""Withdrawing: a participant is taken out of the database, its files, and what was exported."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import DBAPIError

from prunescope.errors import PrunescopeError
from prunescope.survey.experiment import Experiment, read_experiment
from prunescope.survey.security import KEY, PlatformIds
from prunescope.survey.storage import (
    answers,
    database_url,
    erase_for_good,
    events,
    existing,
    participants,
    questions,
    state,
    unusable,
)

PATIENCE_S = 20.0  # for programs that read the database while something is erased from it

STALE = "exports_stale"  # state: a mark, as long as files still hold someone who is gone from the database


def erase(connection: Connection, participant: str) -> bool:
    """Delete all rows of a participant; the place is free.

    Returns:
        Whether there was such a participant.
    """
    for table in (answers, events, questions):
        connection.execute(delete(table).where(table.c.participant == participant))
    gone = connection.execute(delete(participants).where(participants.c.participant == participant))
    mark_stale(connection)
    return gone.rowcount > 0


def mark_stale(connection: Connection) -> None:
    """Remember that files have to be written anew, until that is done."""
    connection.execute(delete(state).where(state.c.name == STALE))
    connection.execute(insert(state).values(name=STALE, value=secrets.token_hex(8)))


def stale(connection: Connection) -> str | None:
    """Return a mark where files still have to be written anew, which is another one after the next withdrawal."""
    return connection.execute(select(state.c.value).where(state.c.name == STALE)).scalar_one_or_none()


def mark_fresh(connection: Connection, mark: str | None) -> None:
    """Remember that the files are as the database was when it had this mark: who withdrew since is still in them."""
    connection.execute(delete(state).where(state.c.name == STALE, state.c.value == mark))


def rewrite_files(folder: Path, url: str) -> None:
    """Write what was exported anew from the database."""
    from prunescope.survey.export import rewrite_exports

    rewrite_exports(folder, url)


def erase_from_files(engine: Engine, folder: Path, url: str) -> None:
    """Take what was deleted out of the database's files and out of what was exported.

    Raises:
        PrunescopeError: someone reads the database all the time; or files cannot be written.
    """
    until = time.monotonic() + PATIENCE_S
    while not erase_for_good(engine):
        if time.monotonic() > until:
            raise PrunescopeError(
                "it is deleted, but still in the database's log, since another program reads the database: close "
                "that program, and run the same command again"
            )
        time.sleep(0.1)
    with engine.connect() as connection, connection.begin():
        mark = stale(connection)
    rewrite_files(folder, url)
    with engine.connect() as connection, connection.begin():
        mark_fresh(connection, mark)


def withdraw(folder: Path | str, who: str, database: str | None = None) -> str:
    """Erase a participant for good: out of the database, its files, and what was exported. A server may go on.

    Args:
        folder: the experiment.
        who: the participant, such as p-0123456789abcdef, or the id that a platform has for them.
        database: its URL; None: that of the folder.

    Returns:
        The participant.

    Raises:
        PrunescopeError: there is no such participant, or more than one.
    """
    experiment = read_experiment(folder)
    url = database_url(experiment.folder, database)
    engine = existing(url, writes=True)
    try:
        with engine.connect() as connection, connection.begin():
            participant = _participant(connection, experiment, who)
            erase(connection, participant)
        erase_from_files(engine, experiment.folder, url)
    except DBAPIError as error:
        raise unusable(url, error) from error
    finally:
        engine.dispose()
    return participant


def _participant(connection: Connection, experiment: Experiment, who: str) -> str:
    named = participants.c.participant == who
    if (experiment.folder / KEY).is_file():
        ids = PlatformIds.of(experiment.folder, experiment.design)
        for platform in connection.execute(select(participants.c.platform).distinct()).scalars():
            of_platform = participants.c.platform_participant == ids.participant(platform, who)
            named |= (participants.c.platform == platform) & of_platform
    found = connection.execute(select(participants.c.participant).where(named)).scalars().all()
    if len(found) == 1:
        return str(found[0])
    if found:
        raise PrunescopeError(f"{who} is more than one participant: give one of {', '.join(found)}")
    raise PrunescopeError(
        f"no participant {who}: expected p-… as the researcher's page shows it, or the id that a platform has, "
        f"which finds people if the design keeps ids (store_ids is {experiment.design.platform.store_ids})"
    )
