"""Trends by ranks: Spearman's correlation, and what it would be if the order were chance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS = 10_000
LONGEST_COUNTED = 8  # values, of which all 40,320 orders are counted
MOST_COUNTED = 1_000_000  # combinations of the orders of several series
_SAME = 1e-9  # correlations that differ by rounding
_SEED = 0


class Permuted(NamedTuple):
    """How often a sum of correlations is as far from 0 by chance.

    Attributes:
        p: two-sided.
        least: the smallest p that these numbers could have given.
        exact: whether all orders were counted, rather than `DRAWS` of them drawn.
    """

    p: float
    least: float
    exact: bool


def ranks(values: Floats) -> Floats:
    """Return the rank of each of `values`, (n,), from 1 on; equal ones share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Floats = (last - (counts - 1) / 2)[places]
    return shared


def pearson(x: Floats, y: Floats) -> float:
    """Return the correlation of two (n,); NaN where one is constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    if scale <= _SAME * max(float(np.abs(x).max() * np.abs(y).max()), 1e-300) or not scale:
        return math.nan
    return min(max(float(x @ y) / scale, -1.0), 1.0)


def spearman(x: Floats, y: Floats) -> float:
    """Return the correlation of the ranks of two (n,); NaN where one is constant."""
    return pearson(ranks(x), ranks(y))


def permute_within(series: Sequence[tuple[Floats, Floats]]) -> Permuted:
    """Compare the sum of Spearman's correlations with those of all orders of `x` within each series.

    Args:
        series: `x` and `y`, each (n,), of two values or more, not constant.

    Each series keeps its own values: what differs between series moves nothing, however large it is. With few
    combinations of orders, all are counted; else 10,000 are drawn, and those observed count as one of them.
    """
    found = sum(spearman(x, y) for x, y in series)
    combinations = math.prod(
        math.factorial(len(x)) if len(x) <= LONGEST_COUNTED else 10**9 for x, _ in series
    )
    if combinations <= MOST_COUNTED:
        sums = np.zeros(1)
        for x, y in series:
            sums = np.add.outer(sums, _all_orders(x, y)).ravel()
        far = np.abs(sums) >= abs(found) - _SAME
        extreme = np.abs(sums) >= np.abs(sums).max() - _SAME
        return Permuted(float(far.mean()), float(extreme.mean()), True)
    generator = np.random.default_rng(_SEED)
    sums = np.sum([_some_orders(x, y, generator) for x, y in series], axis=0)
    far = np.abs(sums) >= abs(found) - _SAME
    return Permuted((1 + int(far.sum())) / (1 + DRAWS), 1 / (1 + DRAWS), False)


def _standard(values: Floats) -> Floats:
    centred = ranks(values) - (len(values) + 1) / 2
    unit: Floats = centred / math.sqrt(float(centred @ centred))
    return unit


def _all_orders(x: Floats, y: Floats) -> Floats:
    orders = np.array(list(itertools.permutations(_standard(x))))
    found: Floats = orders @ _standard(y)
    return found


def _some_orders(x: Floats, y: Floats, generator: np.random.Generator) -> Floats:
    orders = generator.permuted(np.tile(_standard(x), (DRAWS, 1)), axis=1)
    found: Floats = orders @ _standard(y)
    return found


def correlation_interval(r: float, n: int, of_ranks: bool) -> tuple[float, float]:
    """Return the 95 % interval of a correlation of n pairs, by Fisher's z; NaN below 5 pairs, or where r is ± 1.

    *Source:* Fisher, On the probable error of a coefficient of correlation, 1921; for ranks, Bonett & Wright, Sample
    size requirements for estimating Pearson, Kendall and Spearman correlations, 2000.
    """
    if n < 5 or not abs(r) < 1:
        return math.nan, math.nan
    half = 1.959963984540054 * math.sqrt((1 + r**2 / 2 if of_ranks else 1.0) / (n - 3))
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def correlation_bootstrap(x: Floats, y: Floats, of_ranks: bool) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the correlation of n pairs, (n,) each, pairs drawn together."""
    from scipy import stats

    drawn = np.random.default_rng(_SEED).integers(len(x), size=(DRAWS, len(x)))
    columns = [values[drawn] for values in (x, y)]
    if of_ranks:
        columns = [stats.rankdata(values, axis=1) for values in columns]
    centred = [values - values.mean(1, keepdims=True) for values in columns]
    scale = np.sqrt(np.prod([np.square(values).sum(1) for values in centred], axis=0))
    known = scale > 0  # of a few values, a draw may hold only equal ones
    found = (centred[0] * centred[1]).sum(1)[known] / scale[known]
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def permute_together(x: Floats, y: Floats) -> tuple[float, Permuted]:
    """Compare the mean of Spearman's correlations of several networks with those of all orders of the classes.

    Each order is the same for all networks, which share their classes and so are not independent.

    Args:
        x: (networks, classes), no row constant.
        y: as x.

    Returns:
        The mean correlation, and how often it is as far from 0 by chance.
    """
    rows = [np.stack([_standard(row) for row in values]) for values in (x, y)]
    together = rows[0].T @ rows[1] / len(x)  # (classes, classes)
    n = len(together)
    exact = n <= LONGEST_COUNTED
    if exact:
        orders = np.array(list(itertools.permutations(range(n))))
    else:
        orders = np.random.default_rng(_SEED).permuted(np.tile(np.arange(n), (DRAWS, 1)), axis=1)
    found = float(np.trace(together))
    far = np.abs(together[np.arange(n), orders].sum(1)) >= abs(found) - _SAME
    if exact:
        return found, Permuted(float(far.mean()), 2 / len(orders), True)
    return found, Permuted((1 + int(far.sum())) / (1 + DRAWS), 1 / (1 + DRAWS), False)
