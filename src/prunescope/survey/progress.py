"""From stage to stage: before, instructions, practice until all is right, the main part, after, done."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection, select

from prunescope.survey.design import Design
from prunescope.survey.experiment import Experiment
from prunescope.survey.participants import MAIN_ROUND, STAGES, Participant, answered, change, find, total
from prunescope.survey.storage import answers, questions
from prunescope.survey.trials import Trial, practice_of, trials_of
from prunescope.survey.writer import Refused

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # of completion codes: none that looks like another


def trials_now(experiment: Experiment, person: Participant) -> list[Trial]:
    """Return the trials of the phase and round that a participant is in."""
    if person.phase == "practice":
        return practice_of(experiment, person.seed, person.round)
    return trials_of(experiment, person.list, person.seed)


def into_main(now: float) -> dict[str, Any]:
    """Return what changes when practice is passed."""
    return {"stage": "main", "phase": "main", "round": MAIN_ROUND, "main_started": now}


def after_main(design: Design, now: float) -> dict[str, Any]:
    """Return what changes with the last answer: the place is done, whatever is asked afterwards."""
    asked = any(question.when == "after" for question in design.questions)
    return {"finished": now} | ({"stage": "after"} if asked else into_done(design))


def into_done(design: Design) -> dict[str, Any]:
    """Return what changes at the end: now there is a completion code."""
    own = "".join(secrets.choice(LETTERS) for _ in range(10))
    return {"stage": "done", "code": design.platform.code or own}


def round_over(
    connection: Connection, experiment: Experiment, person: Participant, now: float
) -> dict[str, Any]:
    """Return what changes after the last answer of a phase: practice again, or on."""
    if person.phase == "main":
        return after_main(experiment.design, now)
    own = (
        answers.c.participant == person.participant,
        answers.c.phase == person.phase,
        answers.c.round == person.round,
    )
    given = connection.execute(select(answers.c.position, answers.c.answer).where(*own))
    trials = trials_now(experiment, person)
    if all(trials[position].right in {None, answer} for position, answer in given):
        return into_main(now)
    return {"round": person.round + 1}


def move_on(
    connection: Connection,
    experiment: Experiment,
    session_hash: str,
    done: str,
    elapsed_ms: float,
    now: float,
) -> Participant:
    """End a stage that has no trials; said again, it changes nothing.

    Raises:
        Refused: that stage is still to come, or a question that needs an answer has none.
    """
    person = find(connection, session_hash)
    at, asked = STAGES.index(person.stage), STAGES.index(done)
    if asked < at:
        return change(connection, person, now)
    if asked > at:
        raise Refused(409, f"The stage “{done}” is still to come: the study is at “{person.stage}”.")
    if done == "instructions":
        passed = into_main(now) if not experiment.practice else {"stage": "practice"}
        return change(connection, person, now, instructions_ms=elapsed_ms, **passed)
    _insist_on_questions(connection, experiment.design, person, done)
    changes = {"stage": "instructions"} if done == "before" else into_done(experiment.design)
    return change(connection, person, now, **changes)


def _insist_on_questions(connection: Connection, design: Design, person: Participant, when: str) -> None:
    own = questions.c.participant == person.participant
    given = set(connection.execute(select(questions.c.question).where(own)).scalars())
    for question in design.questions:
        if question.when == when and question.required and question.id not in given:
            raise Refused(409, f"This question needs an answer: {question.text}")


def where(connection: Connection, experiment: Experiment, person: Participant) -> dict[str, Any]:
    """Return how far a participant is, as the page is told."""
    return {
        "participant": person.participant,
        "stage": person.stage,
        "phase": person.phase,
        "round": person.round,
        "next": answered(connection, person),
        "total": total(experiment, person),
    }
