"""A straight line for values in groups, each group with a height of its own: the simplest mixed model, by REML."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_RATIOS = np.concatenate(
    [[0.0], np.geomspace(1e-6, 1e6, 241)]
)  # variance of the heights / of what the line leaves
_FINER = 4  # times that the best of them is looked for between its neighbours
_NOTHING = 1e-10  # what rounding leaves of the values, as a share of their spread


class Line(NamedTuple):
    """The slope per unit of x, its standard error and the degrees of freedom of its t; `why` there is none."""

    slope: float = math.nan
    error: float = math.nan
    freedom: int = 0
    why: str = ""


def fit_line(x: Floats, y: Floats, groups: NDArray[np.integer]) -> Line:
    """Fit y = slope · x + height of the group, heights drawn from a normal distribution, by restricted likelihood.

    The ratio of the two variances is the only thing to search for, on one line, so that the search cannot fail;
    0, where groups differ no more than chance makes them, is an ordinary answer.

    Args:
        x: (n,).
        y: (n,).
        groups: (n,) the number of each one's group, from 0 on.

    *Source:* Laird & Ware, Random-effects models for longitudinal data, 1982.
    *Differs:* the slope has n - groups - 1 degrees of freedom, where Wald's z would take them for infinite.
    """
    counts = np.bincount(groups)
    freedom = len(x) - len(counts) - 1
    if len(counts) < 2 or freedom < 1:
        return Line(why="too few networks for a mixed model")
    spread = float(y.std())
    inner = _Sums.of(x, (y - y.mean()) / (spread or 1.0), groups)
    if not spread > 0 or not math.sqrt(inner.xx / len(x)) > _NOTHING * float(np.abs(x).max()):
        return Line(why="all values, or all rates within each series, are the same")
    if math.sqrt(inner.rest / len(x)) < _NOTHING:
        return Line(
            why="one slope fits every series without any error, which leaves nothing to estimate it from"
        )
    ratios = _RATIOS
    for _ in range(_FINER):
        place = int(np.argmin(inner.fit(ratios)[0]))
        ratios = np.linspace(ratios[max(place - 1, 0)], ratios[min(place + 1, len(ratios) - 1)], 41)
    deviances, slopes, errors = inner.fit(ratios)
    best = int(np.argmin(deviances))
    return Line(float(slopes[best]) * spread, float(errors[best]) * spread, freedom)


class _Sums(NamedTuple):
    """All that a fit needs to know: of each group its size and means, and sums over what is within groups.

    `xx` is the sum of squares of x within groups, `slope` the best one within groups, `rest` the squares left by it.
    """

    counts: Floats
    x: Floats
    y: Floats
    xx: float
    slope: float
    rest: float

    @classmethod
    def of(cls, x: Floats, y: Floats, groups: NDArray[np.integer]) -> _Sums:
        counts = np.bincount(groups).astype(np.float64)
        means = [np.bincount(groups, values) / counts for values in (x, y)]
        inner = [values - mean[groups] for values, mean in zip((x, y), means, strict=True)]
        xx = float(inner[0] @ inner[0])
        slope = float(inner[0] @ inner[1]) / xx if xx > 0 else 0.0
        return cls(counts, means[0], means[1], xx, slope, float(np.square(inner[1] - slope * inner[0]).sum()))

    def fit(self, ratios: Floats) -> tuple[Floats, Floats, Floats]:
        """Return, for each ratio, minus twice the restricted log-likelihood but for a constant, slope and its error."""
        weights = self.counts / (1 + np.outer(ratios, self.counts))  # (ratios, groups)
        total = weights.sum(1)
        x, y = (values - (weights @ values / total)[:, None] for values in (self.x, self.y))
        xx = self.xx + (weights * x * x).sum(1)
        slope = (self.xx * self.slope + (weights * x * y).sum(1)) / xx
        rest = (
            self.rest + self.xx * (slope - self.slope) ** 2 + (weights * (y - slope[:, None] * x) ** 2).sum(1)
        )
        freedom = self.counts.sum() - 2
        variance = rest / freedom
        heights = np.log1p(np.outer(ratios, self.counts)).sum(1)
        deviance = freedom * np.log(variance) + heights + np.log(total) + np.log(xx)
        return deviance, slope, np.sqrt(variance / xx)
