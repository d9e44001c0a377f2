"""Answers as they come in: each is kept once, in order, and said to be kept only when it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from prunescope.survey.experiment import Experiment
from prunescope.survey.messages import GivenAnswer
from prunescope.survey.participants import Participant, answered, change, find, total
from prunescope.survey.progress import round_over, trials_now
from prunescope.survey.storage import answers
from prunescope.survey.trials import answers_of, practice_of
from prunescope.survey.writer import Refused

_INSERT = insert(answers)
ORDER = {"practice": 0, "main": 1}


@dataclass(frozen=True)
class Offered:
    """What an answer may be.

    Attributes:
        values: the answers that each task offers.
        confidence: levels; 1: none is asked.
    """

    values: frozenset[str]
    confidence: int

    @classmethod
    def by(cls, experiment: Experiment) -> Offered:
        """Return what an experiment offers."""
        return cls(frozenset(one.value for one in answers_of(experiment)), experiment.design.confidence)

    def check(self, given: GivenAnswer) -> None:
        """Raise `Refused` where an answer is none of those offered."""
        if given.answer not in self.values:
            raise Refused(422, "This answer is none of those that were offered.")
        asked = self.confidence > 1
        if asked != (given.confidence is not None) or (
            asked and not 1 <= (given.confidence or 0) <= self.confidence
        ):
            levels = f"from 1 to {self.confidence}" if asked else "left out: this study does not ask for it"
            raise Refused(422, f"The confidence has to be {levels}.")


def keep_answers(
    connection: Connection,
    experiment: Experiment,
    offered: Offered,
    session_hash: str,
    given: Sequence[GivenAnswer],
    now: float,
) -> tuple[Participant, dict[str, Any]]:
    """Keep answers in the order given; return the participant and what the page is told: `Acknowledged`.

    An answer to a trial that has one already is acknowledged and dropped: the first stays. At the first answer that
    is not the next one, the rest is left: the reply then has `detail`, and what came before it is kept.

    Raises:
        Refused: no such session, or an answer is none that was offered; nothing is kept.
    """
    for one in given:
        offered.check(one)
    person = find(connection, session_hash)
    position = answered(connection, person)
    kept, gap = [], ""
    for one in given:
        before = _kept_before(connection, person, position, one)
        if before is None:
            if not _is_next(person, position, one):
                gap = "This answer is not the next one: the page has to go on where the study is."
                break
            person, position = _keep(connection, experiment, person, one, now)
        kept.append(_acknowledgement(experiment, person, one, before))
    person = change(connection, person, now)
    told = {
        "acknowledged": kept,
        "stage": person.stage,
        "phase": person.phase,
        "round": person.round,
        "next": position,
    }
    return person, told | ({"detail": gap} if gap else {})


def _is_next(person: Participant, position: int, one: GivenAnswer) -> bool:
    due = (person.phase, person.phase, person.round, position)
    return (person.stage, one.phase, one.round, one.position) == due


def _kept_before(connection: Connection, person: Participant, position: int, one: GivenAnswer) -> str | None:
    """Return the answer that is kept for the same trial."""
    if (ORDER[one.phase], one.round, one.position) >= (ORDER[person.phase], person.round, position):
        return None
    same = (
        answers.c.participant == person.participant,
        answers.c.phase == one.phase,
        answers.c.round == one.round,
        answers.c.position == one.position,
    )
    return connection.execute(select(answers.c.answer).where(*same)).scalar_one_or_none()


def _keep(
    connection: Connection, experiment: Experiment, person: Participant, one: GivenAnswer, now: float
) -> tuple[Participant, int]:
    """Write an answer; return the participant and the next position after it."""
    task = trials_now(experiment, person)[one.position].task
    row = one.model_dump() | {"participant": person.participant, "task": task, "received": now}
    connection.execute(_INSERT, row)
    if one.position + 1 < total(experiment, person):
        return person, one.position + 1
    person = change(connection, person, now, **round_over(connection, experiment, person, now))
    return person, answered(connection, person)


def _acknowledgement(
    experiment: Experiment, person: Participant, one: GivenAnswer, before: str | None
) -> dict[str, Any]:
    right = None
    if one.phase == "practice":
        wanted = practice_of(experiment, person.seed, one.round)[one.position].right
        right = wanted in {None, before or one.answer}
    told = {"phase": one.phase, "round": one.round, "position": one.position, "key": one.key}
    return told | {"duplicate": before is not None, "right": right}
