"""From what the server stored to what was judged: every answer with the task as that participant saw it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from prunescope.analysis.results import records
from prunescope.errors import PrunescopeError
from prunescope.survey.codebook import typed
from prunescope.survey.experiment import Experiment
from prunescope.survey.trials import Phase, Trial, practice_of, trials_of

Raw = dict[str, pd.DataFrame]  # the tables of the database, as `storage.read_tables` returns them
DONT_KNOW = "don't know"
PHASES: tuple[Phase, ...] = ("practice", "main")


def answers_table(experiment: Experiment, raw: Raw) -> pd.DataFrame:
    """Return one row per answer, also of practice and catch trials; `excluded` is not known yet.

    Args:
        experiment: that was asked.
        raw: the tables of its database; answers of participants who are not in it are left out.

    Raises:
        PrunescopeError: the database holds answers to other tasks than the experiment asks.
    """
    people = {person["participant"]: person for person in records(raw["participants"])}
    own = raw["answers"][raw["answers"]["participant"].isin(list(people))]
    order = own.assign(
        number=own["participant"].map({name: person["number"] for name, person in people.items()}),
        place=own["phase"].map({phase: place for place, phase in enumerate(PHASES)}),
    ).sort_values(["number", "place", "round", "position"])
    return typed("answers", list(_rows(experiment, people, order)), experiment.design)


def _rows(
    experiment: Experiment, people: dict[str, dict[str, Any]], order: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    """Yield the answers; those of one participant and round are together."""
    part, shown = None, list[Trial]()
    for given in records(order):
        person = people[given["participant"]]
        if part != (part := (given["participant"], given["phase"], given["round"])):
            shown = _trials(experiment, person, given["phase"], int(given["round"]))
        position = int(given["position"])
        if position >= len(shown) or shown[position].task != given["task"]:
            raise PrunescopeError(
                f"the answers are not of this experiment: participant {person['participant']} answered task "
                f"{given['task']} at {given['phase']} position {position}, where {experiment.folder} asks another; "
                "give the database that belongs to it with --database, or use the version of prunescope that served it"
            )
        yield _row(experiment, shown[position], person, given)


def _trials(experiment: Experiment, person: dict[str, Any], phase: str, round: int) -> list[Trial]:
    seed, list_ = int(person["seed"]), int(person["list"])
    if phase == "practice":
        return practice_of(experiment, seed, round)
    return trials_of(experiment, list_, seed) if list_ < len(experiment.tasks_of_list) else []


def _row(
    experiment: Experiment, trial: Trial, person: dict[str, Any], given: dict[str, Any]
) -> dict[str, Any]:
    task = experiment.task_of[trial.task]
    copied = ("stimulus", "condition", "image", "class", "network", "layer", "unit", "unit_task", "margin")
    as_given = (
        "participant",
        "task",
        "position",
        "answer",
        "confidence",
        "rt_ms",
        "phase",
        "round",
        "received",
    )
    sides = {side: network or None for side, network in trial.network_of.items()}
    return {
        "experiment": experiment.design.kind,
        **{name: task[name] for name in copied},
        **{name: given[name] for name in as_given},
        "left": sides.get("left"),
        "right": sides.get("right"),
        "simulated": bool(person["simulated"]),
        "item": _item(experiment.design.kind, task, trial),
        "flipped": trial.flipped,
        "chosen": _chosen(experiment.design.kind, trial, str(given["answer"])),
        "correct": None if trial.right is None else given["answer"] == trial.right,
        "role": trial.role,
        "right_answer": trial.right,
    }


def _item(kind: str, task: dict[str, Any], trial: Trial) -> str:
    """Name what was judged, as it was shown."""
    match kind:
        case "mis":
            return f"{task['network']} {task['layer']} {task['unit']} {task['unit_task']}"
        case "pairwise":
            return f"{task['image']}: {trial.network_of['left']} | {trial.network_of['right']}"
        case _:
            return ": ".join(part for part in (task["image"], task["network"]) if part)


def _chosen(kind: str, trial: Trial, answer: str) -> str:
    """Return what an answer stands for, now that sides are known: a network, a query, a class; "" for none."""
    match kind:
        case "mis":
            return "positive" if (answer == "top") != trial.flipped else "negative"
        case "pairwise":
            return trial.network_of.get(answer, "")
        case _:
            return "" if answer == DONT_KNOW else answer


def votes_table(experiment: Experiment, answers: pd.DataFrame) -> pd.DataFrame:
    """Return the answers to tasks of the main part of the participants who are not excluded."""
    kept = (answers["role"] == "main") & (answers["phase"] == "main") & ~answers["excluded"]
    return typed("votes", answers[kept.fillna(False).astype(bool)], experiment.design)
