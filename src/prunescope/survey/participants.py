"""Who takes part: entering, coming back, and how far each is."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, update

from prunescope.survey.design import Design
from prunescope.survey.experiment import Experiment
from prunescope.survey.storage import answers, participants, state
from prunescope.survey.writer import Refused

STAGES = ("before", "instructions", "practice", "main", "after", "done")
MAIN_ROUND = 1  # the main part is seen once
SEEDS = 2**53  # what a number of JSON and of every table program keeps exactly
_OF_SESSION = select(participants).where(participants.c.session_hash == bindparam("hash"))
_CHANGE = update(participants).where(participants.c.participant == bindparam("who"))
_ANSWERED = (  # statements that each answer needs are made once
    select(func.count())
    .select_from(answers)
    .where(
        answers.c.participant == bindparam("who"),
        answers.c.phase == bindparam("phase"),
        answers.c.round == bindparam("round"),
    )
)
NO_SESSION = "This session is not known (any more). Please open the study's link again."


@dataclass(frozen=True)
class Participant:
    """One row of `participants`; see there."""

    participant: str
    number: int
    session_hash: str | None
    list: int
    seed: int
    simulated: bool
    platform: str
    platform_participant: str | None
    platform_study: str | None
    platform_session: str | None
    submit_to: str | None
    stage: str
    phase: str
    round: int
    joined: float
    seen: float
    instructions_ms: float | None = None
    main_started: float | None = None
    finished: float | None = None
    left: bool = False
    code: str | None = None


def participant_of(row: Row[Any]) -> Participant:
    """Return a row as what it is."""
    return Participant(**row._mapping)


def find(connection: Connection, session_hash: str) -> Participant:
    """Return whose session it is.

    Raises:
        Refused: nobody's (any more).
    """
    row = connection.execute(_OF_SESSION, {"hash": session_hash}).one_or_none()
    if row is None:
        raise Refused(401, NO_SESSION)
    return participant_of(row)


def change(connection: Connection, person: Participant, now: float, **changes: Any) -> Participant:
    """Write what changed of a participant, who was heard of just now, so has not left."""
    changes |= {"seen": now, "left": False}
    connection.execute(_CHANGE, changes | {"who": person.participant})
    return replace(person, **changes)


def new_row(number: int, list_: int, design: Design, now: float, **given: Any) -> dict[str, Any]:
    """Return the row of a new participant, not yet written."""
    row = {field.name: None for field in fields(Participant)} | given
    return row | {
        "participant": f"p-{secrets.token_hex(8)}",
        "number": number,
        "list": list_,
        "seed": secrets.randbelow(SEEDS),
        "stage": first_stage(design),
        "phase": "practice",
        "round": 1,
        "joined": now,
        "seen": now,
        "left": False,
    }


def next_number(connection: Connection) -> int:
    """Return the number of the next participant; that of one who is gone is not given again."""
    kept = connection.execute(select(state.c.value).where(state.c.name == "numbers")).scalar_one()
    connection.execute(update(state).where(state.c.name == "numbers").values(value=str(int(kept) + 1)))
    return int(kept) + 1


def first_stage(design: Design) -> str:
    """Return where a participant starts."""
    return "before" if any(question.when == "before" for question in design.questions) else "instructions"


def answered(connection: Connection, person: Participant) -> int:
    """Return how many answers of the current phase and round are kept, which is the position of the next one."""
    own = {"who": person.participant, "phase": person.phase, "round": person.round}
    return int(connection.execute(_ANSWERED, own).scalar_one())


def total(experiment: Experiment, person: Participant) -> int:
    """Return how many trials the current phase has for a participant."""
    if person.phase == "practice":
        return len(experiment.practice)
    return len(experiment.tasks_of_list[person.list])
