"""95 % intervals of a mean: Student's t for few values, the bootstrap for many."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
_SEED = 0
_QUANTILES = (0.025, 0.975)
_BLOCK = 4_000_000  # numbers drawn at once

# Student's t at .975 for 1 to 29 degrees of freedom.
T_975 = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452,
)  # fmt: skip


def bootstrap_share(hits: int, n: int) -> tuple[float, float]:
    """Return the percentile bootstrap interval of hits / n over n images.

    Drawing n images with replacement and counting hits is one binomial draw, so this is exact and cheap.
    """
    draws = np.random.default_rng(_SEED).binomial(n, hits / n, DRAWS) / n
    low, high = np.quantile(draws, _QUANTILES)
    return float(low), float(high)


def wilson_share(hits: int, n: int) -> tuple[float, float]:
    """Return the interval of hits / n by the score test, which has a width even where none of n is hit, or all.

    *Source:* Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    z = NormalDist().inv_cdf(0.975)
    middle, half = hits + z**2 / 2, z * math.sqrt(hits * (n - hits) / n + z**2 / 4)
    return max(0.0, (middle - half) / (n + z**2)), min(1.0, (middle + half) / (n + z**2))


def bootstrap_mean(values: NDArray[np.floating]) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean of `values`, (images,)."""
    generator, n = np.random.default_rng(_SEED), len(values)
    block = max(_BLOCK // n, 1)
    means = [
        values[generator.integers(n, size=(min(block, DRAWS - done), n))].mean(1)
        for done in range(0, DRAWS, block)
    ]
    low, high = np.quantile(np.concatenate(means), _QUANTILES)
    return float(low), float(high)


def mean_interval(values: NDArray[np.floating]) -> tuple[float, float]:
    """Return the interval of the mean of `values`, (n,): t for fewer than 30, the bootstrap for more; NaN below 2."""
    if len(values) < 2:
        return math.nan, math.nan
    return t_interval(values.tolist()) if len(values) < 30 else bootstrap_mean(values)


def mean_intervals(values: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the interval of the mean of each column of `values`, (n, columns), as `mean_interval` gives it.

    All columns share the draws of the bootstrap, which costs as much as it does for one of them.
    """
    n = len(values)
    if n < 30:
        ends = np.array([mean_interval(column) for column in values.T]).reshape(-1, 2)
        return ends[:, 0], ends[:, 1]
    means = [times @ values / n for times in _drawn(n)]
    low, high = np.quantile(np.concatenate(means), _QUANTILES, axis=0)
    return low, high


def mean_intervals_where(values: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the interval of the mean of the values that each column of `values`, (n, columns), has; others are NaN.

    Rows are drawn, the same for all columns, and each column's mean is over the drawn ones that it has; a column of
    fewer than 30 gets Student's t.
    """
    known = np.isfinite(values)
    counts = known.sum(0)
    ends = np.full((2, values.shape[1]), math.nan)
    for column in np.flatnonzero(counts < 30):
        ends[:, column] = mean_interval(values[known[:, column], column])
    many = counts >= 30
    if many.any():
        filled, weights = np.where(known, values, 0.0)[:, many], known[:, many].astype(np.float64)
        means = [(times @ filled) / (times @ weights) for times in _drawn(len(values))]
        ends[:, many] = np.quantile(np.concatenate(means), _QUANTILES, axis=0)
    return ends[0], ends[1]


def _drawn(n: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each of n rows is drawn in each draw of the bootstrap, (draws, n), a block at a time."""
    generator, block = np.random.default_rng(_SEED), max(_BLOCK // n, 1)
    for done in range(0, DRAWS, block):
        drawn = generator.integers(n, size=(min(block, DRAWS - done), n))
        cells = drawn + n * np.arange(len(drawn))[:, None]
        yield np.bincount(cells.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of two or more independent values, by Student's t."""
    n = len(values)
    mean = sum(values) / n
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    return mean - _t_975(n - 1) * error, mean + _t_975(n - 1) * error


def _t_975(freedom: int) -> float:
    if freedom <= len(T_975):
        return T_975[freedom - 1]
    z = NormalDist().inv_cdf(0.975)  # Cornish-Fisher: right to 1e-4 from 30 degrees on
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def median_interval(values: NDArray[np.floating]) -> tuple[float, float]:
    """Return an interval of the median of independent `values`, (n,), that holds it in at least 95 of 100 cases.

    Its ends are two of the values, the k-th from below and from above: how many values lie below the true median
    is a matter of coin flips, whatever their distribution. So it needs no bootstrap, and bears outliers, which
    timings have and which stretch Student's t without bound. NaN for fewer than 6, of which none is wide enough.

    *Source:* Conover, Practical Nonparametric Statistics, 1999, section 3.2.
    """
    n, k, below = len(values), 0, 0.0
    while n and (below := below + math.comb(n, k) / 2**n) <= _QUANTILES[0]:
        k += 1
    if k == 0:
        return math.nan, math.nan
    ordered = np.sort(values)
    return float(ordered[k - 1]), float(ordered[n - k])
