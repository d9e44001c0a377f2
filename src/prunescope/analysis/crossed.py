"""Intervals of what answers add up to, where each answer is of one participant and of one item."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Statistic = Callable[[Floats], Floats]


class Crossed(NamedTuple):
    """An estimate with its interval over participants and items; NaN where there are too few of either.

    Attributes:
        error: the standard error.
        freedom: of Student's t: as many as there would be, were all participants (or items) equally busy, less 1.
        p: that the estimate is `null`.
    """

    estimate: float
    low: float
    high: float
    error: float
    freedom: float
    p: float


NO_INTERVAL = Crossed(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan)


def crossed(
    answers: Floats,
    participants: Counts,
    items: Counts,
    statistic: Statistic,
    *,
    null: float = 0.0,
    least: float = 0.0,
    most: float = 1.0,
) -> Crossed:
    """Estimate something from answers, with an interval that holds for other participants and for other items.

    One participant at a time is left out, then one item, then what one participant answers about one item (the
    jackknife). The variance is that of the first two less that of the third, which both hold. So a participant of many
    answers counts as one person, and an item as one image. Student's t with the effective number of participants or of
    items, whichever is smaller, allows for few of them and for some that are busy.

    Args:
        answers: (answers, columns), what each answer adds to the sums.
        participants: (answers,), whose answer it is, numbered from 0.
        items: (answers,), what was asked about, numbered from 0.
        statistic: from sums, (sums, columns), to estimates, (sums,).
        null: the value that the test is about.
        least: what the estimate cannot be below.
        most: what it cannot be above.

    *Source:* Cameron, Gelbach & Miller, Robust inference with multiway clustering, 2011: the two less their
    intersection. MacKinnon, Nielsen & Webb, Fast and reliable jackknife and bootstrap methods for cluster-robust
    inference, 2023. Kish, Survey Sampling, 1965: the effective number.
    *Differs:* no bootstrap, as there is elsewhere: with 80 participants, or some who are busy, it covers 2 points less
    often than the jackknife. A bootstrap that draws both at once, an answer weighing the product of the two (Owen,
    The pigeonhole bootstrap, 2007), counts the noise of single answers up to three times.
    """
    total = answers.sum(0, keepdims=True)
    estimate = float(statistic(total)[0])
    if not math.isfinite(estimate):
        return NO_INTERVAL._replace(estimate=estimate)
    ways = [
        jackknife(statistic(total - _sums(answers, groups)), estimate)
        for groups in (participants, items, _both(participants, items))
    ]
    return two_way(estimate, participants, items, *ways, null=null, least=least, most=most)


def two_way(
    estimate: float,
    participants: Counts,
    items: Counts,
    by_participant: float,
    by_item: float,
    by_answer: float,
    *,
    null: float = 0.0,
    least: float = -math.inf,
    most: float = 1.0,
) -> Crossed:
    """Return an interval from the variances of an estimate over participants, over items and over single answers.

    Args:
        participants: (answers,), whose answer it is, numbered from 0.
        items: (answers,), what was asked about, likewise.

    The variance is at least that over items: by chance, answers can seem to hold more of it than participants do. The
    interval ends where the estimate does, at `least` and at `most`.
    """
    from scipy import stats

    freedom = min(_effective(participants), _effective(items)) - 1
    variance = max(by_participant + by_item - by_answer, by_item)
    if freedom < 1 or not variance > 0:  # if all answers agree, they do not say how far others would not
        return NO_INTERVAL._replace(estimate=estimate)
    error = math.sqrt(variance)
    half = float(stats.t.ppf(0.975, freedom)) * error
    p = 2 * float(stats.t.sf(abs(estimate - null) / error, freedom))
    return Crossed(estimate, max(estimate - half, least), min(estimate + half, most), error, freedom, p)


def jackknife(left_out: Floats, estimate: float, times: Counts | None = None) -> float:
    """Return the variance of an estimate from its values with one group left out at a time.

    Args:
        left_out: (groups,); those without which there is no estimate are NaN, and do not count.
        times: (groups,), how often each value comes, by default once.
    """
    known = np.isfinite(left_out)
    weights = (np.ones(len(left_out)) if times is None else times.astype(np.float64))[known]
    n = float(weights.sum())
    if n < 2:
        return math.nan
    return float((weights * (left_out[known] - estimate) ** 2).sum()) * (n - 1) / n


def share(sums: Floats) -> Floats:
    """Return the first column as a share of the second; NaN where that is 0."""
    found: Floats = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)
    return found


def difference_of_shares(sums: Floats) -> Floats:
    """Return the share of the first two columns less that of the next two."""
    return share(sums[:, :2]) - share(sums[:, 2:])


def _both(participants: Counts, items: Counts) -> Counts:
    """Number the pairs of a participant and an item."""
    return np.unique(participants * (items.max(initial=0) + 1) + items, return_inverse=True)[1]


def _sums(answers: Floats, groups: Counts) -> Floats:
    return np.stack([np.bincount(groups, column) for column in answers.T], 1)


def _effective(groups: Counts) -> float:
    """Return how many groups of equal size would vary as much as these."""
    sizes = np.bincount(groups).astype(float)
    return float(sizes.sum() ** 2 / np.square(sizes).sum()) if len(groups) else 0.0
