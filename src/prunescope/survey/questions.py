"""Answers to the questions beside the tasks, and what happens to the window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, func, insert, select

from prunescope.survey.design import Design, Question
from prunescope.survey.messages import GivenEvent
from prunescope.survey.participants import STAGES, change, find
from prunescope.survey.storage import events, questions
from prunescope.survey.writer import Refused

MOST_EVENTS = 1000  # of a participant; who goes on changing windows has shown it by then


def keep_questions(
    connection: Connection, design: Design, session_hash: str, given: Mapping[str, str | float], now: float
) -> int:
    """Keep answers to questions; until the stage that asks them is over, a new answer takes the place of the old.

    Returns:
        How many there are.

    Raises:
        Refused: no such question, not now, or an answer that it does not take.
    """
    person = find(connection, session_hash)
    asked = {question.id: question for question in design.questions}
    for name, value in given.items():
        question = asked.get(name)
        if question is None:
            raise Refused(422, "This study does not ask that question.")
        if STAGES.index(person.stage) < STAGES.index(question.when):
            raise Refused(409, "This question is still to come.")
        if person.stage != question.when:
            continue  # said again after the stage was over: the first answer stays
        own = (questions.c.participant == person.participant, questions.c.question == name)
        connection.execute(delete(questions).where(*own))
        row = {"participant": person.participant, "question": name, "answer": _text(question, value)}
        connection.execute(insert(questions).values(received=now, **row))
    change(connection, person, now)
    return len(given)


def _text(question: Question, value: str | float) -> str:
    match question.kind:
        case "number":
            if isinstance(value, str) or not math.isfinite(value):
                raise Refused(422, f"A number is asked for: {question.text}")
            return f"{value:.15g}"
        case "choice" if value not in question.choices:
            raise Refused(422, f"One of the choices is asked for: {question.text}")
    if not isinstance(value, str) or (question.required and not value.strip()):
        raise Refused(422, f"A text is asked for: {question.text}")
    return value


def keep_events(connection: Connection, session_hash: str, given: Sequence[GivenEvent], now: float) -> int:
    """Keep what happened to the window; an event that is kept already, and all beyond `MOST_EVENTS`, are dropped.

    Returns:
        How many are acknowledged: all.
    """
    person = find(connection, session_hash)
    own = events.c.participant == person.participant
    count = connection.execute(select(func.count()).select_from(events).where(own)).scalar_one()
    there = set(
        connection.execute(
            select(events.c.key).where(own, events.c.key.in_([one.key for one in given]))
        ).scalars()
    )
    new = {one.key: one for one in reversed(given) if one.key not in there}
    rows = [
        {"participant": person.participant, "received": now, **one.model_dump()}
        for one in reversed(new.values())
    ][: max(0, MOST_EVENTS - count)]
    if rows:
        connection.execute(insert(events), rows)
    change(connection, person, now)
    return len(given)
