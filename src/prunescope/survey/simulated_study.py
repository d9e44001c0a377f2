"""A whole simulated study at once, in memory: who got which tasks, what they answered, and whose answers count."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.survey.exclusions import with_exclusions
from prunescope.survey.experiment import Experiment
from prunescope.survey.simulated import (
    ATTENTION,
    NEITHER,
    RIGHT,
    Behaviour,
    Crowd,
    Floats,
    Outcomes,
    answering_ms,
    attended,
    outcomes,
    pressed,
    reading_ms,
)
from prunescope.survey.simulated_visit import BETWEEN_MS

Counts = NDArray[np.int64]
Truths = NDArray[np.bool_]
RETURNS = 0.5  # of those who leave


@dataclass(frozen=True)
class Votes:
    """Answers to main tasks of participants who are not excluded, each array (votes,).

    Attributes:
        participant: numbered from 0 to `participants`.
        task: its row in `experiment.tasks`.
        outcome: right, wrong or neither; of a pair, the less pruned network, the more pruned one, or neither.
        participants: how many there are, excluded ones included.
        kept: how many are not excluded.
    """

    participant: Counts
    task: Counts
    outcome: Outcomes
    participants: int
    kept: int


class Lists:
    """The lists of an experiment as arrays, and the order in which the server deals them out."""

    def __init__(self, experiment: Experiment) -> None:
        place = {task: i for i, task in enumerate(experiment.tasks["task"])}
        self.tasks = [np.array([place[name] for name in own]) for own in experiment.tasks_of_list]

    def deal(self, stay: Truths, rng: np.random.Generator) -> Counts:
        """Return the list of each participant: the one that fewest have, ties by chance; who leaves frees the place.

        Args:
            stay: (participants,), in the order in which they come; who does not is gone before the next comes.
        """
        waiting = [(0, float(rng.random()), own) for own in range(len(self.tasks))]
        heapq.heapify(waiting)
        dealt = np.empty(len(stay), np.int64)
        for number, stays in enumerate(stay):
            times, _, own = waiting[0]
            dealt[number] = own
            heapq.heapreplace(waiting, (times + int(stays), float(rng.random()), own))
        return dealt


@dataclass(frozen=True, eq=False)
class SimulatedStudies:
    """Draws studies of an experiment, each with other people, and tasks that are harder or easier than they look.

    Attributes:
        experiment: whose tasks and lists are dealt out.
        behaviour: of the people.
    """

    experiment: Experiment
    behaviour: Behaviour

    @cached_property
    def lists(self) -> Lists:
        """As arrays."""
        return Lists(self.experiment)

    @cached_property
    def main(self) -> Truths:
        """Which tasks are asked about, (tasks,)."""
        return (self.experiment.tasks["role"] == "main").to_numpy()

    @cached_property
    def plain(self) -> Truths:
        """Which tasks are catch trials with a right answer, (tasks,)."""
        return ~self.main & self.experiment.tasks["right"].notna().to_numpy(bool)

    def draw(self, participants: int, seed: int) -> Votes:
        """Draw a study of so many participants and return the votes that its design would keep."""
        rng = np.random.default_rng([seed, participants])
        crowd, behaviour = Crowd(self.experiment, self.behaviour, int(rng.integers(2**62))), self.behaviour
        careless = rng.random(participants) < behaviour.careless
        gone = rng.random(participants) < behaviour.leave * (1 - RETURNS)
        dealt = self.lists.deal(~gone, rng)
        lengths = np.array([len(own) for own in self.lists.tasks])[dealt]
        person = np.repeat(np.arange(participants), lengths)
        task = np.concatenate([rng.permutation(self.lists.tasks[own]) for own in dealt])
        position = np.arange(len(task)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        answered = np.where(gone, (rng.random(participants) * lengths).astype(np.int64), lengths)
        there = position < answered[person]
        person, task = person[there], task[there]
        eta = crowd.logits[task] + rng.normal(0.0, behaviour.people, participants)[person]
        given = np.where(
            careless[person],
            pressed(crowd.kind, len(crowd.values), len(task), rng),
            np.where(
                self.plain[task],
                attended(len(task), rng),
                outcomes(crowd.kind, eta, crowd.ties, rng),
            ),
        ).astype(np.int8)
        people = self._people(crowd, careless, gone, person, task, given, eta, rng)
        told = with_exclusions(people, self.experiment.design.exclusion)
        kept = ~told["excluded"].to_numpy(bool)
        votes = self.main[task] & kept[person]
        return Votes(person[votes], task[votes], given[votes], participants, int(kept.sum()))

    def _people(
        self,
        crowd: Crowd,
        careless: Truths,
        gone: Truths,
        person: Counts,
        task: Counts,
        given: Outcomes,
        eta: Floats,
        rng: np.random.Generator,
    ) -> pd.DataFrame:
        """Measure for everyone what the exclusion rules look at; both clocks agree."""
        number, timing = len(careless), self.experiment.design.timing
        answers = np.bincount(person, minlength=number)
        catch = self.plain[task]
        trials = np.bincount(person, catch, number)
        right = np.bincount(person, catch & (given == RIGHT), number)
        catch_right = np.divide(right, trials, out=np.full(number, np.nan), where=trials > 0)
        reading = reading_ms(careless, rng)
        took = timing.lock_ms + answering_ms(eta, careless[person], rng) + BETWEEN_MS
        rounds = self._practice_rounds(crowd, careless, rng)
        practice = rounds * len(self.experiment.practice) * (timing.feedback_ms + took.mean())
        total = (reading + practice + np.bincount(person, took, number)) / 1e3
        columns: dict[str, Any] = {
            "finished": ~gone, "answers": answers, "catch_right": catch_right,
            "total_s": np.where(answers > 0, total, np.nan), "instructions_s": reading / 1e3,
            "rarer": self._rarer(crowd, person, given, number, rng), "practice_rounds": rounds,
        }  # fmt: skip
        return pd.DataFrame(columns)

    def _practice_rounds(self, crowd: Crowd, careless: Truths, rng: np.random.Generator) -> Counts:
        """Draw after how many rounds of practice all was right; the careless press anything in the first."""
        tasks = len(self.experiment.practice)
        if not tasks:
            return np.zeros(len(careless), np.int64)
        again = rng.geometric(ATTENTION**tasks, len(careless))
        first = rng.random(len(careless)) < (1 / len(crowd.values)) ** tasks
        return np.where(careless, np.where(first, 1, 1 + again), again)

    def _rarer(
        self, crowd: Crowd, person: Counts, given: Outcomes, number: int, rng: np.random.Generator
    ) -> list[int | None]:
        """Count the answers for the side that was chosen less often; what is right is on either side alike."""
        if crowd.kind == "identification":
            return [None] * number
        sided = given != NEITHER
        side = rng.random(len(given)) < 0.5
        first = np.bincount(person, sided & side, number)
        return [int(each) for each in np.minimum(first, np.bincount(person, sided & ~side, number))]
