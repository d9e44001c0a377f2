"""What else moves answers than what is asked: practice, the side, the answer before; and how long they take."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from prunescope.analysis.crossed import (
    NO_INTERVAL,
    Counts,
    Crossed,
    Floats,
    crossed,
    jackknife,
    share,
    two_way,
)
from prunescope.analysis.results import Results
from prunescope.analysis.right_answers import numbered, units_or_items
from prunescope.analysis.votes import answers_of

Kind = Literal["learning", "side", "repetition", "time when right", "time over the tasks"]
FIRST = {"mis": "top", "pairwise": "left"}  # the side that a bias is told for, by experiment


@dataclass(frozen=True)
class SideEffect:
    """One of them.

    Attributes:
        kind: "learning": the share of right answers at the last task less that at the first; "side": the share of
            answers for the side `first` beyond one half, were both dealt equally often; "repetition": the share of
            answers that repeat the one before, less what the same answers in any order give; "time when right": the
            log of how many times as long right answers take as wrong ones; "time over the tasks": the same of the
            last task and the first.
        value: with its interval over participants (and items, where it depends on them); 0 is no effect.
        answers: how many it is computed from.
    """

    experiment: str
    kind: Kind
    value: Crossed
    answers: int
    participants: int
    first: str = ""

    @property
    def of_time(self) -> bool:
        """Whether it is the log of a ratio of times, not a difference of shares."""
        return self.kind.startswith("time")


def side_effects(results: Results) -> list[SideEffect]:
    """Return the side effects of each experiment of which the order of the answers is known."""
    votes = answers_of(results)
    ordered = votes[votes["position"].notna()]
    return [
        effect
        for experiment, rows in ordered.groupby("experiment", observed=True, sort=False)
        for effect in _of_experiment(str(experiment), rows)
        if math.isfinite(effect.value.estimate)
    ]


def _of_experiment(experiment: str, rows: pd.DataFrame) -> Iterator[SideEffect]:
    through = rows["position"] / max(float(rows["position"].max()), 1.0)  # 0 at the first task, 1 at the last

    def effect(kind: Kind, value: Crossed, own: pd.DataFrame, first: str = "") -> SideEffect:
        return SideEffect(experiment, kind, value, len(own), int(own["participant"].nunique()), first)

    if len(known := rows[rows["correct"].notna()]):
        right = known["correct"].astype(float)
        yield effect("learning", within_participants(known, through[known.index], right), known)
    if experiment in FIRST and len(dealt := _dealt(experiment, rows)):
        yield effect("side", side_bias(dealt), dealt, FIRST[experiment])
    yield effect("repetition", repetition(rows), rows)
    timed = rows[rows["rt_ms"] > 0]
    time = pd.Series(np.log(timed["rt_ms"].to_numpy(np.float64)), timed.index)
    if len(known := timed[timed["correct"].notna()]):
        right = known["correct"].astype(float)
        yield effect("time when right", within_participants(known, right, time[known.index]), known)
    if len(timed):
        yield effect("time over the tasks", within_participants(timed, through[timed.index], time), timed)


def within_participants(rows: pd.DataFrame, x: pd.Series[Any], y: pd.Series[Any]) -> Crossed:
    """Return the slope of y with x within participants, each of whom has a height of their own.

    What differs between participants moves nothing: both are taken less the participant's mean. The interval is over
    participants and items.

    Args:
        rows: answers, with `participant` and what they are about.
        x: of each answer.
        y: likewise.
    """
    people = numbered(rows["participant"])
    inner = [_less_means(each.to_numpy(np.float64), people) for each in (x, y)]
    columns = np.stack([inner[0] * inner[1], inner[0] ** 2], 1)
    items = numbered(units_or_items(rows))
    return crossed(columns, people, items, share, least=-math.inf, most=math.inf)


def side_bias(rows: pd.DataFrame) -> Crossed:
    """Return the share of answers for the first side less one half, as if each side were dealt equally often.

    The share is taken apart by what was dealt to that side, and the two are averaged: so the deal, and what people
    prefer, move nothing.

    Args:
        rows: with `first`, whether the first side was chosen, and `dealt`, whether that of two which is right (or the
            one of two networks) was on it.
    """
    first, dealt = rows["first"].to_numpy(bool), rows["dealt"].to_numpy(bool)
    columns = np.stack([first & dealt, dealt, first & ~dealt, ~dealt], 1).astype(np.float64)
    people, items = numbered(rows["participant"]), numbered(units_or_items(rows))
    return crossed(columns, people, items, _beyond_half, least=-0.5, most=0.5)


def repetition(rows: pd.DataFrame) -> Crossed:
    """Return how much more often an answer repeats the one before it than if each participant's came in any order.

    A participant who gave n_k answers of kind k repeats one by chance Σ n_k(n_k - 1) / n(n - 1) of the time, whatever
    the participant prefers. Only answers to tasks that follow one another count, not those about a catch trial. The
    interval is over participants.

    *Source:* the moments of the join count under permutation, Cliff & Ord, Spatial Processes, 1981.
    """
    ordered = rows.sort_values(["participant", "position"], kind="stable")
    people = numbered(ordered["participant"])
    answer, kinds = pd.factorize(ordered["answer"].astype(str))
    follows = (np.diff(people) == 0) & (np.diff(ordered["position"].to_numpy()) == 1)
    repeats = follows & (np.diff(answer) == 0)
    counts = np.zeros((int(people.max(initial=-1)) + 1, len(kinds)))
    np.add.at(counts, (people, answer), 1)
    given = counts.sum(1)
    by_chance = np.divide(
        (counts * (counts - 1)).sum(1), given * (given - 1), out=np.zeros(len(given)), where=given > 1
    )
    sums = np.stack(
        [
            np.bincount(people[1:], repeats, len(given)),
            np.bincount(people[1:], follows, len(given)),
        ],
        1,
    )
    repeated, followed = sums.T.astype(np.float64)
    return _over_participants(repeated - by_chance * followed, followed, people)


def _over_participants(excess: Floats, chances: Floats, people: Counts) -> Crossed:
    """Return a ratio of sums over participants, (participants,) each, with its interval over them."""
    if not chances.sum() > 0:
        return NO_INTERVAL
    estimate = float(excess.sum() / chances.sum())
    rest = chances.sum() - chances
    left_out = np.divide(excess.sum() - excess, rest, out=np.full(len(rest), np.nan), where=rest > 0)
    every = np.arange(len(people))  # no item holds two answers
    return two_way(estimate, people, every, jackknife(left_out, estimate), 0.0, 0.0, least=-1.0)


def _dealt(experiment: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the answers that choose a side, with what was dealt to the first one."""
    first = rows["answer"] == FIRST[experiment]
    if experiment == "mis":
        known = rows["correct"].notna()
        dealt = first == rows["correct"].astype("boolean").fillna(False)
    else:
        known = rows["answer"].isin(["left", "right"]) & rows["left"].notna() & rows["right"].notna()
        dealt = rows["left"].astype(object).astype(str) < rows["right"].astype(object).astype(str)
    return rows.assign(first=first, dealt=dealt)[known]


def _beyond_half(sums: Floats) -> Floats:
    return (share(sums[:, :2]) + share(sums[:, 2:])) / 2 - 0.5


def _less_means(values: Floats, groups: Counts) -> Floats:
    counts = np.bincount(groups)
    less: Floats = values - (np.bincount(groups, values) / np.maximum(counts, 1))[groups]
    return less
