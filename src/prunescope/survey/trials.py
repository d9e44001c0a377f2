"""What one participant sees: the order of the tasks, and which side each picture is on.

It follows from the experiment and the participant's seed alone, and is stored nowhere. So it is drawn by hashes, which
are the same with every version of every library; whoever changes here what is dealt raises `experiment.VERSION`, so
that a study under way is refused rather than dealt anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from prunescope.survey.design import Answer
from prunescope.survey.experiment import ROLES, Experiment

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
    lot = (experiment.design.seed, seed, "practice", round)
    return _dealt(experiment, _shuffled(experiment.practice, *lot), *lot)


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
    lot = (experiment.design.seed, seed, "main")
    names = experiment.tasks_of_list[list_]
    main, catch = (
        _shuffled([name for name in names if experiment.task_of[name]["role"] == role], *lot)
        for role in ROLES[:2]
    )
    order: list[str] = []
    for part, name in enumerate(catch):  # one somewhere in each of equal stretches of the whole
        low, high = (len(names) * bound // len(catch) for bound in (part, part + 1))
        place = low + _drawn(*lot, "place", name) % (high - low)
        order += [main.pop() for _ in range(place - len(order))] + [name]
    return tuple(_dealt(experiment, order + main[::-1], *lot))


def _drawn(*lot: object) -> int:
    """Return a number of 64 bits for what is drawn here, always the same."""
    return int.from_bytes(hashlib.blake2b("\0".join(map(str, lot)).encode(), digest_size=8).digest())


def _shuffled(names: Sequence[str], *lot: object) -> list[str]:
    return sorted(names, key=lambda name: _drawn(*lot, "order", name))


def _dealt(experiment: Experiment, names: Sequence[str], *lot: object) -> list[Trial]:
    """Deal sides: among all, the catch trials and each condition, either side comes up at most once more often."""

    def turn(name: str) -> tuple[str, str, int]:
        task = experiment.task_of[name]
        return task["role"], task["condition"] or "", _drawn(*lot, "side", name)

    first = _drawn(*lot, "first side") % 2
    flipped = {name: (place + first) % 2 == 1 for place, name in enumerate(sorted(names, key=turn))}
    return [_trial(experiment, name, flipped[name]) for name in names]


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
