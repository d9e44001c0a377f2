"""Retention: what says who somebody is goes after a time; what was answered to the tasks stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.exc import DBAPIError

from prunescope.errors import PrunescopeError
from prunescope.survey.clock import Clock
from prunescope.survey.design import Design
from prunescope.survey.experiment import read_experiment
from prunescope.survey.storage import answers, database_url, existing, participants, questions, unusable
from prunescope.survey.withdrawal import erase_from_files, mark_stale

DAY_S = 86_400.0
PERSONAL = ("platform_participant", "platform_study", "platform_session", "submit_to", "session_hash")


@dataclass(frozen=True)
class Forgotten:
    """What was erased.

    Attributes:
        participants: of whom something was erased.
        texts: answers in their own words that were erased.
        waiting: whose time has not come.
        under_way: who are answering just now, and are never touched.
    """

    participants: int
    texts: int
    waiting: int
    under_way: int


def retain(
    folder: Path | str, database: str | None = None, *, days: float | None = None, clock: Clock | None = None
) -> Forgotten:
    """Erase platform ids, sessions and answers in own words, so long after a participant's last answer.

    It is erased for good: from the database, its files, and what was exported. A server may go on.

    Args:
        folder: the experiment.
        database: its URL; None: that of the folder.
        days: after the last answer; None: what the design says.
        clock: what time it is; None: as the machine has it, but not before what the database knows.

    Raises:
        PrunescopeError: neither the design nor the caller says how long, or there is no such database.
    """
    experiment = read_experiment(folder)
    wanted = experiment.design.retention_days if days is None else days
    if wanted is None:
        raise PrunescopeError(
            f"{experiment.folder}: its design says nothing of retention_days: give --days N, or --now"
        )
    url = database_url(experiment.folder, database)
    engine = existing(url, writes=True)
    try:
        with engine.connect() as connection, connection.begin():
            latest = connection.execute(select(func.max(participants.c.seen))).scalar_one()
            now = (clock or Clock(latest or 0.0)).now()
            forgotten = _forget(connection, experiment.design, wanted * DAY_S, now)
        erase_from_files(engine, experiment.folder, url)
    except DBAPIError as error:
        raise unusable(url, error) from error
    finally:
        engine.dispose()
    return forgotten


def _forget(connection: Connection, design: Design, keep_s: float, now: float) -> Forgotten:
    last = func.coalesce(func.max(answers.c.received), participants.c.joined)
    rows = connection.execute(
        select(participants, last.label("last"))
        .outerjoin(answers, answers.c.participant == participants.c.participant)
        .group_by(participants.c.participant)
    ).all()
    under_way = [
        row for row in rows if row.finished is None and row.seen >= now - design.timing.leave_after_s
    ]
    busy = {row.participant for row in under_way}
    due = [row for row in rows if row.participant not in busy and row.last <= now - keep_s]
    free = [question.id for question in design.questions if question.kind == "text"]
    texts = _erase_texts(connection, [row.participant for row in due], free)
    known = [
        row.participant
        for row in due
        if row.participant in texts or any(getattr(row, name) is not None for name in PERSONAL)
    ]
    for participant in known:
        connection.execute(
            update(participants)
            .where(participants.c.participant == participant)
            .values(dict.fromkeys(PERSONAL))
        )
    mark_stale(connection)
    return Forgotten(len(known), sum(texts.values()), len(rows) - len(due) - len(busy), len(busy))


def _erase_texts(connection: Connection, due: Sequence[str], free: Sequence[str]) -> dict[str, int]:
    """Delete answers in own words; return how many of whom."""
    erased = {}
    for participant in due:
        own = (questions.c.participant == participant, questions.c.question.in_(free))
        count = connection.execute(delete(questions).where(*own)).rowcount
        if count:
            erased[participant] = count
    return erased
