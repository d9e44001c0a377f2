"""Is a difference more than chance: Welch's and McNemar's tests for many things at once, and Holm's correction."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Numbers = Floats | Counts

LEVEL = 0.05
_Z = NormalDist().inv_cdf(0.975)
_NOISE = 1e-12  # what rounding leaves of a deviation of 0, in shares


class Welch(NamedTuple):
    """A difference of means with its 95 % interval and test, each (things,)."""

    difference: Floats
    low: Floats
    high: Floats
    t: Floats
    freedom: Floats
    p: Floats


def welch(before: Floats, after: Floats) -> Welch:
    """Compare the means of two independent samples whose variances may differ, for many things at once.

    Where only one sample varies, this is the one-sample t-test of that one against the other's value. Where neither
    does, nothing can be said: all but the difference is NaN.

    Args:
        before: (values, things), two values or more.
        after: (other values, things), two or more.

    *Source:* Welch, The generalization of Student's problem when several different population variances are
    involved, 1947.
    """
    from scipy import stats  # takes most of a second to import

    errors = [sample.var(0, ddof=1) / len(sample) for sample in (before, after)]
    squared = errors[0] + errors[1]  # of the standard error of the difference
    squared = np.where(squared > _NOISE**2, squared, np.nan)
    freedom = squared**2 / (errors[0] ** 2 / (len(before) - 1) + errors[1] ** 2 / (len(after) - 1))
    difference = after.mean(0) - before.mean(0)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(squared)
    t = difference / np.sqrt(squared)
    return Welch(
        difference, difference - half, difference + half, t, freedom, 2 * stats.t.sf(np.abs(t), freedom)
    )


def mcnemar(lost: Counts, won: Counts) -> Floats:
    """Return the two-sided p of the exact test that as many go one way as the other, (things,).

    *Source:* McNemar, Note on the sampling error of the difference between correlated proportions, 1947; exact by
    the binomial distribution of the smaller of the two.
    """
    from scipy import stats

    p: Floats = np.minimum(1.0, 2 * stats.binom.cdf(np.minimum(lost, won), lost + won, 0.5))
    return p


def tost(difference: Floats, error: Floats, freedom: Floats, margin: float) -> Floats:
    """Return the p of the two one-sided tests that a difference lies within ± margin, (things,).

    It is below .05 if and only if the 90 % interval `difference` ± t · `error` lies wholly within the margin.

    Args:
        difference: estimated.
        error: its standard error, 0 or more.
        freedom: of Student's t; infinite for the normal distribution.
        margin: above 0.

    *Source:* Schuirmann, A comparison of the two one-sided tests procedure and the power approach, 1987.
    """
    from scipy import stats

    gap = margin - np.abs(difference)
    exact = np.where(gap > 0, 0.0, 1.0)  # with an error of 0
    t = np.divide(gap, error, out=np.zeros_like(gap), where=error > 0)
    p: Floats = np.where(error > 0, stats.t.sf(t, freedom), exact)
    return np.where(np.isnan(difference + error), np.nan, p)


def half_width(squares: Numbers, total: Numbers, images: Numbers, weight: Floats | float = 1.0) -> Floats:
    """Return half the width of the 95 % interval of a paired change, (things,).

    Each image changes by some weight, up or down, or not at all. One image that goes up and one that goes down are
    added: they keep the interval from a width of 0 where few images change, or none, which a bootstrap has.

    Args:
        squares: sum of the squared changes; with weight 1, how many images changed.
        total: sum of the changes, so that total / images is the change.
        images: how many there are.
        weight: how much one image changes, where it does.

    *Source:* Bonett & Price, Adjusted Wald confidence interval for a difference of binomial proportions based on
    paired data, 2012, where all weights are 1.
    *Differs:* the interval is put around the change itself, not around the one with the images added.
    """
    n = images + 2
    half: Floats = _Z * np.sqrt(squares + 2 * np.square(weight) - total**2 / n) / n
    return half


def holm(p: Floats) -> Floats:
    """Return p-values corrected for their number, (things,): at most 5 % false findings among all of them.

    NaN, where nothing was tested, stays NaN and does not count.

    *Source:* Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    corrected = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")[: np.isfinite(p).sum()]  # NaN sorts last
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected
