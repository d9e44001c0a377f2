"""Which list a new participant gets: the one that fewest have done or are doing."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update

from prunescope.survey.design import Design
from prunescope.survey.experiment import Experiment
from prunescope.survey.storage import participants, state
from prunescope.survey.writer import Refused

SPARE = 1  # so many beyond the wanted ones may work on a list that is not finished: some of them will leave
FULL = "The study is complete. Thank you for your interest!"
TAKEN = "All places are taken at the moment. One becomes free when somebody leaves: please try again later."
PAUSED = "The study is paused. Please come back later."


@dataclass(frozen=True)
class Places:
    """How far one list is.

    Attributes:
        list: its number.
        finished: participants who answered all of its tasks.
        under_way: who have begun, and have not left.
    """

    list: int
    finished: int
    under_way: int


def mark_left(connection: Connection, design: Design, now: float) -> None:
    """Free the places of those who have not been heard of for long; who comes back counts again."""
    gone = (
        participants.c.finished.is_(None),
        participants.c.left.is_(False),
        participants.c.seen < now - design.timing.leave_after_s,
    )
    connection.execute(update(participants).where(*gone).values(left=True))


def places(connection: Connection, experiment: Experiment, simulated: bool) -> list[Places]:
    """Return how far each list is, of people or of simulated participants."""
    counted = connection.execute(
        select(participants.c.list, participants.c.finished.is_not(None), func.count())
        .where(
            participants.c.simulated.is_(simulated),
            participants.c.left.is_(False) | participants.c.finished.is_not(None),
        )
        .group_by(participants.c.list, participants.c.finished.is_not(None))
    )
    counts = {(list_, bool(finished)): count for list_, finished, count in counted}
    return [
        Places(list_, counts.get((list_, True), 0), counts.get((list_, False), 0))
        for list_ in range(len(experiment.tasks_of_list))
    ]


def assign(connection: Connection, experiment: Experiment, simulated: bool, now: float) -> int:
    """Choose the list of a new participant; ties are broken by chance.

    A list that is finished so often as the design wants is closed. One that is not takes `SPARE` more than it wants,
    because a platform sends someone new at once when someone leaves, and we learn of that only later. Simulated
    participants are never too many.

    Raises:
        Refused: the study is complete (409), or all places are taken for now (503).
    """
    free = _free(connection, experiment, simulated, now)
    fewest = min(own.finished + own.under_way for own in free)
    return secrets.choice([own.list for own in free if own.finished + own.under_way == fewest])


def _free(connection: Connection, experiment: Experiment, simulated: bool, now: float) -> list[Places]:
    design = experiment.design
    mark_left(connection, design, now)
    lists = places(connection, experiment, simulated)
    wanted = math.inf if simulated else design.answers_per_task
    unfinished = [own for own in lists if own.finished < wanted]
    if not unfinished:
        raise Refused(409, FULL)
    free = [own for own in unfinished if own.finished + own.under_way < wanted + SPARE]
    if not free:
        raise Refused(503, TAKEN, retry_after=max(60, int(design.timing.leave_after_s)))
    return free


def closed(connection: Connection, experiment: Experiment, now: float) -> str:
    """Return why nobody new is let in at the moment; "" where the study is open."""
    if is_paused(connection):
        return PAUSED
    try:
        _free(connection, experiment, False, now)
    except Refused as refused:
        return refused.words
    return ""


def is_paused(connection: Connection) -> bool:
    """Return whether the researcher paused the study."""
    value = connection.execute(select(state.c.value).where(state.c.name == "paused")).scalar_one_or_none()
    return value == "1"
