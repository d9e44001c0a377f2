"""What one participant sees: the order of the tasks, and which side each picture is on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from prunescope.survey.design import Answer
from prunescope.survey.experiment import Experiment

Phase = Literal["practice", "main"]


@dataclass(frozen=True)
class Trial:
    """One task as one participant sees it.

    Attributes:
        task: its name; never told to the page.
        role: main, catch or practice; never told to the page.
        flipped: whether the two that are dealt are on each other's side.
        shown: from the place on the page to the files there: left, right, top, bottom, middle.
        right: the answer that is right as shown; None where none is wrong. Never told to the page.
        network_of: of pairwise, from side to network; never told to the page.
    """

    task: str
    role: str
    flipped: bool
    shown: dict[str, list[str]]
    right: str | None
    network_of: dict[str, str]

    @property
    def files(self) -> list[str]:
        """All files, in the order of the places."""
        return [name for names in self.shown.values() for name in names]


def answers_of(experiment: Experiment) -> list[Answer]:
    """Return the answers that every task of an experiment offers."""
    if experiment.design.answers is not None:
        return list(experiment.design.answers)
    classes = [Answer(value=name, label=name) for name in experiment.classes]
    return [*classes, Answer(value="don't know", label=experiment.design.words["dont_know"])]


def practice_of(experiment: Experiment, seed: int, round: int) -> list[Trial]:
    """Return the practice of a participant in a round (from 1): all practice tasks, in an order of its own."""
    rng = np.random.default_rng([experiment.design.seed, seed, 1, round])
    return _dealt(experiment, rng.permutation(np.array(experiment.practice, dtype=object)).tolist(), rng)


def trials_of(experiment: Experiment, list_: int, seed: int) -> list[Trial]:
    """Return the main part of a participant: the tasks of a list in an order of its own, catch trials among them.

    Args:
        experiment: that takes part in.
        list_: the list that was dealt out.
        seed: of the participant; what is shown follows from it and is not stored.
    """
    return list(_main(experiment, list_, seed))


@lru_cache(maxsize=4096)
def _main(experiment: Experiment, list_: int, seed: int) -> tuple[Trial, ...]:
    rng = np.random.default_rng([experiment.design.seed, seed, 0])
    names = experiment.tasks_of_list[list_]
    role = {name: experiment.task_of[name]["role"] for name in names}
    order = rng.permutation(np.array([name for name in names if role[name] == "main"], dtype=object)).tolist()
    catch = rng.permutation(
        np.array([name for name in names if role[name] == "catch"], dtype=object)
    ).tolist()
    for index, name in enumerate(catch):  # one in each of equal stretches, nowhere twice the same
        low, high = (len(order) * part // len(catch) for part in (index, index + 1))
        order.insert(int(rng.integers(low, max(high, low + 1))), name)
    return tuple(_dealt(experiment, order, rng))


def _dealt(experiment: Experiment, names: Sequence[str], rng: np.random.Generator) -> list[Trial]:
    """Deal sides so that over the trials each side comes up equally often."""
    flips = rng.permutation(np.arange(len(names)) % 2 == 1)
    return [_trial(experiment, name, bool(flip)) for name, flip in zip(names, flips, strict=True)]


def _trial(experiment: Experiment, name: str, flipped: bool) -> Trial:
    task: dict[str, Any] = experiment.task_of[name]
    pictures, right = task["pictures"], task["right"]
    match experiment.design.kind:
        case "mis":
            ends = ["positive_query", "negative_query"]
            top, bottom = reversed(ends) if flipped else ends
            shown = {
                "left": pictures["negative"], "right": pictures["positive"],
                "top": pictures[top], "bottom": pictures[bottom],
            }  # fmt: skip
            answer: str | None = {top: "top", bottom: "bottom"}[right]
            return Trial(name, task["role"], flipped, shown, answer, {})
        case "pairwise":
            left, right_side = ("other", "one") if flipped else ("one", "other")
            shown = {"left": pictures[left], "middle": pictures["original"], "right": pictures[right_side]}
            answer = {left: "left", right_side: "right"}.get(right)
            network_of = {"left": task[left] or "", "right": task[right_side] or ""}
            return Trial(name, task["role"], flipped, shown, answer, network_of)
        case "identification":
            return Trial(name, task["role"], flipped, {"middle": pictures["map"]}, right, {})
