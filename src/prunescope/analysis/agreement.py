"""How far people agree: Krippendorff's α, of answers as they were shown and over the networks that were chosen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from prunescope.analysis.crossed import NO_INTERVAL, Counts, Crossed, Floats, jackknife, two_way
from prunescope.analysis.results import Results
from prunescope.analysis.votes import answers_of, busiest_of, chosen_of

OVER = {"answer": "answers as shown", "winner": "the network chosen", "image": "the image chosen"}
NEITHER = "neither"


@dataclass(frozen=True)
class Agreement:
    """How far people agree on one stimulus.

    Attributes:
        over: "answer", the side chosen; "winner", the network on it; or "image", of two the one on it.
        busiest: whether the participants who gave most answers are among them.
        alpha: Krippendorff's α with its interval.
        items: how many things were judged by two people or more.
    """

    experiment: str
    stimulus: str
    over: str
    busiest: bool
    alpha: Crossed
    items: int
    participants: int


def agreements(results: Results) -> list[Agreement]:
    """Return Krippendorff's α for each stimulus, also without the busiest participants, if some are."""
    found = []
    groups = answers_of(results).groupby(["experiment", "stimulus"], observed=True, sort=False)
    for (experiment, stimulus), rows in groups:
        busiest = busiest_of(rows)
        rest = rows[~rows["participant"].isin(busiest)]
        for own, whole in ((rows, True), (rest, False))[: 2 if busiest and len(rest) else 1]:
            for over in _over(str(experiment), rows):
                alpha, items = agreement_of(own["participant"], own["item"], _said(own, over))
                people = int(own["participant"].nunique())
                found.append(Agreement(str(experiment), str(stimulus), over, whole, alpha, items, people))
    return found


def agreement_of(
    participants: pd.Series[str], items: pd.Series[str], said: pd.Series[str]
) -> tuple[Crossed, int]:
    """Return Krippendorff's α of nominal answers with its interval, and how many items two people or more judged.

    1 is perfect agreement, 0 what answers thrown together would have. NaN where no item has two answers, all answers
    are one and the same, which leaves nothing to agree upon, or all are of one participant. The interval is for other
    participants and other items, by the jackknife as in `crossed`; to draw participants with replacement would count
    how far they agree with themselves.

    Args:
        participants: (answers,), whose each is.
        items: (answers,), what was judged.
        said: (answers,), the answer.

    *Source:* Krippendorff, Content Analysis, 2004, chapter 11.
    """
    item, names = pd.factorize(items)
    answer, _ = pd.factorize(said)
    person, _ = pd.factorize(participants)
    counts = np.zeros((len(names), int(answer.max(initial=0)) + 1))
    np.add.at(counts, (item, answer), 1)
    judged = int((counts.sum(1) >= 2).sum())
    alpha = nominal_alpha(counts) if person.max(initial=0) else math.nan
    if math.isnan(alpha):
        return NO_INTERVAL._replace(estimate=alpha), judged
    by_participant = jackknife(np.array(list(_without(counts, item, answer, person))), alpha)
    by_item, by_answer = _variance_of_items(counts), _variance_of_answers(counts)
    found = two_way(alpha, person, item, by_participant, by_item, by_answer)
    return found, judged


def nominal_alpha(counts: Floats) -> float:
    """Return Krippendorff's α of nominal answers.

    Args:
        counts: (items, answers), how many people gave each answer; items of one answer do not count.
    """
    return _alpha(_parts(counts).sum(0))


def _parts(counts: Floats) -> Floats:
    """Return what each item adds: pairs of equal answers, as the coincidences have them, then its answers.

    Returns:
        (items, 1 + answers), 0 for items of fewer than two answers.
    """
    n = counts.sum(1, keepdims=True)
    alike = (counts * (counts - 1)).sum(1, keepdims=True) / np.maximum(n - 1, 1)
    return np.where(n >= 2, np.hstack([alike, counts]), 0.0)


def _alpha(sums: Floats) -> float:
    """Return α from the sum of the parts of all items."""
    alike, answers = sums[0], sums[1:]
    n = answers.sum()
    expected = n * (n - 1) - (answers * (answers - 1)).sum()  # pairs that differ, if all were thrown together
    return float(1 - (n - alike) * (n - 1) / expected) if expected > 0 else math.nan


def _without(counts: Floats, item: Counts, answer: Counts, groups: Counts) -> Iterator[float]:
    """Yield α without each group of answers in turn."""
    parts = _parts(counts)
    whole = parts.sum(0)
    order = np.argsort(groups, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        touched, place = np.unique(item[own], return_inverse=True)
        left = counts[touched]
        np.subtract.at(left, (place, answer[own]), 1)
        yield _alpha(whole - parts[touched].sum(0) + _parts(left).sum(0))


def _variance_of_items(counts: Floats) -> float:
    kinds, times = np.unique(counts, axis=0, return_counts=True)
    whole = _parts(counts).sum(0)
    return jackknife(np.array([_alpha(whole - part) for part in _parts(kinds)]), _alpha(whole), times)


def _variance_of_answers(counts: Floats) -> float:
    """Return the same of single answers; those that are alike, of items that are alike, are left out once."""
    kinds, times = np.unique(counts, axis=0, return_counts=True)
    whole, parts = _parts(counts).sum(0), _parts(kinds)
    values, weights = [], []
    for kind, answer in np.argwhere(kinds > 0):
        left = kinds[kind].copy()
        left[answer] -= 1
        values.append(_alpha(whole - parts[kind] + _parts(left[None])[0]))
        weights.append(times[kind] * kinds[kind, answer])
    return jackknife(np.array(values), _alpha(whole), np.array(weights))


def _over(experiment: str, rows: pd.DataFrame) -> tuple[str, ...]:
    """Return what there can be agreement on; of MIS tasks not on sides, which are dealt anew to each participant."""
    if experiment == "mis":
        return ("image",)
    return ("answer", "winner") if rows["left"].notna().any() else ("answer",)


def _said(rows: pd.DataFrame, over: str) -> pd.Series[str]:
    if over == "answer":
        return rows["answer"].astype(str)
    if over == "image":
        return rows["correct"].astype(str)  # which of the two it is
    return chosen_of(rows).replace("", NEITHER).astype(str)
