"""How reliable the share of right answers about each unit is, and so how well anything could predict it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from prunescope.analysis.crossed import Counts, Floats, jackknife

SPLITS = 200
_SEED, _Z = 0, 1.959963984540054


class Ceiling(NamedTuple):
    """The noise ceiling.

    Attributes:
        reliability: the correlation to expect with the shares of as many other people; NaN where the halves do not
            agree beyond chance: then units differ little, or answers are too few to tell. Where answers are few, those
            studies in which there is a ceiling are the ones in which the halves happen to agree, so it tends to be
            too high; its interval says how little is known.
        most: its square root: the highest correlation that a predictor can be expected to reach, with its 95 %
            interval over units (NaN where there is none).
        units: how many there are that two people or more answered about.
    """

    reliability: float
    most: float
    low: float
    high: float
    units: int


NO_CEILING = Ceiling(math.nan, math.nan, math.nan, math.nan, 0)


def noise_ceiling(
    right: Counts, answers: Counts, participants: Counts, units: Counts, groups: Counts | None = None
) -> Ceiling:
    """Return the noise ceiling of the share of right answers about each unit.

    The people who answered about a unit are split into two halves at random, the shares of the halves are correlated
    over units, and the mean correlation over many splits is brought to the number of all answers by the formula of
    Spearman and Brown. Units that one person alone answered about cannot be split, and are left out.

    Args:
        right: (pairs,), of each pair of a participant and a unit, how many answers are right.
        answers: (pairs,), how many there are.
        participants: (pairs,), numbered from 0.
        units: (pairs,), likewise.
        groups: (units,), such as networks; with them, shares are taken less the mean of their group.

    *Source:* Spearman, Correlation calculated from faulty data, 1910; Brown, Some experimental results in the
    correlation of mental abilities, 1910. Lage-Castellanos et al., Methods for computing the maximum performance of
    computational models of fMRI responses, 2019: the square root as the ceiling.
    *Differs:* halves of an odd number of answers differ in size, and units in their number of answers; so the formula
    takes for the factor (2, else) how many times the noise of the whole that of a half is: its mean over units.
    """
    several = np.flatnonzero(np.bincount(units) >= 2)
    if len(several) < 3:
        return NO_CEILING._replace(units=len(several))
    kept = np.isin(units, several)
    place = np.searchsorted(several, units[kept])
    of_group = np.zeros(len(several), np.int64) if groups is None else groups[several]
    halves, noise = _halves(right[kept], answers[kept], participants[kept], place)
    factor = noise / float((1 / np.bincount(place, answers[kept])).mean())
    first, second = (each - _means(each, of_group) for each in halves)
    sums = np.stack([first * second, first**2, second**2], -1)  # (splits, units, 3)
    total = sums.sum(1, keepdims=True)
    reliability = _lengthened(float(_correlation(total).mean()), factor)
    if not reliability > 0:
        return NO_CEILING._replace(units=len(several))
    left_out = [_lengthened(float(r), factor) for r in _correlation(total - sums).mean(0)]
    half = _Z * math.sqrt(jackknife(np.array(left_out), reliability))
    low, high = (math.sqrt(min(max(end, 0.0), 1.0)) for end in (reliability - half, reliability + half))
    return Ceiling(reliability, math.sqrt(reliability), low, high, len(several))


def _halves(right: Counts, answers: Counts, participants: Counts, units: Counts) -> tuple[Floats, float]:
    """Split the people of each unit many times.

    Returns:
        (2, splits, units), the shares of right answers in both halves; and the noise of a half: one over its answers,
        on average over units and splits.
    """
    rng, count = np.random.default_rng(_SEED), int(units.max()) + 1
    by_unit = np.argsort(units, kind="stable")
    first = np.searchsorted(units[by_unit], units)  # the place at which each pair's unit begins
    shares, noise = np.empty((2, SPLITS, count)), 0.0
    for split in range(SPLITS):
        order = np.lexsort((rng.permutation(int(participants.max()) + 1)[participants], units))
        place = np.empty(len(units), np.int64)
        place[order] = np.arange(len(units))
        odd = (
            place - first + rng.integers(2, size=count)[units]
        ) % 2 == 1  # which half is larger is chance, too
        for half, own in enumerate((odd, ~odd)):
            given = np.bincount(units[own], answers[own], count)
            shares[half, split] = np.bincount(units[own], right[own], count) / given
            noise += float((1 / given).mean()) / (2 * SPLITS)
    return shares, noise


def _means(values: Floats, groups: Counts) -> Floats:
    """Return the mean of each one's group, (splits, units)."""
    member = (groups[:, None] == np.unique(groups)[None]).astype(np.float64)  # (units, groups)
    means: Floats = values @ (member / member.sum(0)) @ member.T
    return means


def _correlation(sums: Floats) -> Floats:
    """Return Pearson's correlation from sums of products and of squares; 0 where one side does not vary."""
    spread = np.sqrt(sums[..., 1] * sums[..., 2])
    found: Floats = np.divide(sums[..., 0], spread, out=np.zeros(spread.shape), where=spread > 0)
    return found


def _lengthened(r: float, factor: float) -> float:
    """Return the reliability of `factor` times as many answers, by the formula of Spearman and Brown."""
    return factor * r / (1 + (factor - 1) * r) if r > 0 else math.nan
