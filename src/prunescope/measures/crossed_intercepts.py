"""The likelihood of a logistic model with two crossed random intercepts, by Laplace's approximation; its maximum."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS = 60  # of Newton's method, towards the most likely heights
_SMALL = 1e-9  # change of the penalised deviance, relative: no further step is worth it
_FINE = 1e-5  # difference of a parameter for the curvature
_NONE = 1e-8  # variance that is as good as none
_WIDEST = 12.0  # standard deviation in log odds, of heights: answers never say more than "all or none"
_FARTHEST = 14.0  # log odds: an effect that gets there is infinite
_FLAT = 1e-3  # slope of the deviance per parameter, relative to the number of answers: a maximum is there
_LEAST = 1e-10  # weight of an answer that is all but certain


class Answers(NamedTuple):
    """What is fitted: whether each is right, (answers,); fixed effects, (answers, effects); whose, and about what."""

    right: Floats
    columns: Floats
    participants: NDArray[np.integer[Any]]
    items: NDArray[np.integer[Any]]


class Fit(NamedTuple):
    """A maximum: effects with their errors, (effects,), and the standard deviations of participants and items."""

    effects: Floats
    errors: Floats
    spreads: tuple[float, float]
    deviance: float
    converged: bool


def fit_crossed(data: Answers, start: Fit | None = None) -> Fit:
    """Find the effects and standard deviations at which the answers are most likely.

    Args:
        data: participants and items numbered from 0.
        start: a fit of a larger model, whose standard deviations are a good guess.
    """
    from scipy import optimize

    laplace, count = _Laplace(data), data.columns.shape[1]
    variances = [max(each, 0.3) ** 2 for each in start.spreads] if start else [0.5, 0.5]
    begin = np.concatenate([variances, np.zeros(count)])
    bounds = [(_NONE, _WIDEST**2)] * 2 + [(-_FARTHEST, _FARTHEST)] * count
    found = optimize.minimize(
        laplace.deviance, begin, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": 500, "ftol": 1e-10, "gtol": 1e-5},
    )  # fmt: skip
    at: Floats = found.x
    inside = np.abs(at[2:]) < _FARTHEST
    above = at[:2] > _FINE  # else there is none to vary
    slope = laplace.deviance(at)[1][np.concatenate([above, inside])]
    flat = np.abs(slope).max(initial=0.0) < _FLAT * math.sqrt(len(data.right))
    errors = np.full(count, math.nan)
    errors[inside] = _errors(laplace, at, np.concatenate([above, inside]))[int(above.sum()) :]
    spreads = [math.sqrt(variance) if there else 0.0 for variance, there in zip(at[:2], above, strict=True)]
    converged = bool(flat and at[:2].max() < _WIDEST**2)
    return Fit(at[2:], errors, (spreads[0], spreads[1]), float(found.fun), converged)


def _errors(laplace: _Laplace, at: Floats, free: NDArray[np.bool_]) -> Floats:
    """Return the standard errors of the free parameters: from the curvature of the deviance, by central differences."""
    places = np.flatnonzero(free)
    curvature = np.empty((len(places), len(places)))
    for row, place in enumerate(places):
        step = np.zeros(len(at))
        step[place] = _FINE
        above, below = (laplace.deviance(at + sign * step)[1] for sign in (1, -1))
        curvature[row] = (above - below)[places] / (2 * _FINE)
    try:
        # Half the deviance is minus the log likelihood.
        inverse = np.linalg.inv((curvature + curvature.T) / 4)
    except np.linalg.LinAlgError:
        return np.full(len(places), math.nan)
    variances = inverse.diagonal()
    return np.sqrt(np.where(variances > 0, variances, np.nan))


class _Laplace:
    """Minus twice the log likelihood with its gradient, at standard deviations and effects.

    With u the heights in units of their standard deviation, Λ these, Z the indicators of participants and items and W
    the weights μ(1 - μ): the most likely u solves ΛZᵀ(y - μ) = u, and the deviance is that of the answers given u, plus
    |u|², plus log |H| with H = I + ΛZᵀWZΛ. H has two diagonal blocks; the larger is eliminated.
    """

    def __init__(self, data: Answers) -> None:
        numbers = [np.unique(each, return_inverse=True)[1] for each in (data.participants, data.items)]
        sizes = [int(each.max()) + 1 for each in numbers]
        self.right, self.columns = data.right, data.columns
        self.turned = sizes[0] > sizes[1]  # the fewer come first
        order = (1, 0) if self.turned else (0, 1)
        self.few, self.many = (numbers[place] for place in order)
        self.sizes = tuple(sizes[place] for place in order)
        self.heights: tuple[Floats, Floats] = (np.zeros(self.sizes[0]), np.zeros(self.sizes[1]))

    def deviance(self, parameters: Floats) -> tuple[float, Floats]:
        """Return it with its gradient; parameters: the variances of participants and of items, effects.

        Along a variance it has a slope at 0, too, and along a standard deviation none.
        """
        spread = np.sqrt(parameters[1::-1] if self.turned else parameters[:2])
        base = self.columns @ parameters[2:]
        mean, blocks = self._most_likely(base, spread)
        value = self._penalised(base, spread, self.heights) + blocks.log_determinant
        slope = self._gradient(mean, spread, blocks)
        own = slope[:2] / (2 * spread)
        own = own[::-1] if self.turned else own
        return float(value), np.concatenate([own, slope[2:]])

    def _line(self, base: Floats, spread: Floats, heights: tuple[Floats, Floats]) -> Floats:
        line: Floats = base + spread[0] * heights[0][self.few] + spread[1] * heights[1][self.many]
        return line

    def _penalised(self, base: Floats, spread: Floats, heights: tuple[Floats, Floats]) -> float:
        line = self._line(base, spread, heights)
        own = 2 * float(np.logaddexp(0, line).sum() - self.right @ line)
        return own + float(heights[0] @ heights[0] + heights[1] @ heights[1])

    def _most_likely(self, base: Floats, spread: Floats) -> tuple[Floats, _Blocks]:
        """Find the most likely heights, from those found last, by Newton's method with halved steps."""
        from scipy.special import expit

        if not all(np.isfinite(each).all() for each in self.heights):
            self.heights = (np.zeros(self.sizes[0]), np.zeros(self.sizes[1]))
        value = self._penalised(base, spread, self.heights)
        for _ in range(_STEPS):
            mean = expit(self._line(base, spread, self.heights))
            blocks = self._blocks(mean, spread)
            step = blocks.solve(*self._pull(self.right - mean, spread, self.heights))
            for halving in range(20):
                tried = tuple(old + 0.5**halving * new for old, new in zip(self.heights, step, strict=True))
                there = self._penalised(base, spread, (tried[0], tried[1]))
                if there <= value:
                    break
            else:
                return mean, blocks
            gain, value, self.heights = value - there, there, (tried[0], tried[1])
            if gain <= _SMALL * (1 + abs(value)) * 1e-3:
                break
        mean = expit(self._line(base, spread, self.heights))
        return mean, self._blocks(mean, spread)

    def _pull(self, rest: Floats, spread: Floats, heights: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        few, many = self._sums(rest)
        return spread[0] * few - heights[0], spread[1] * many - heights[1]

    def _sums(self, values: Floats) -> tuple[Floats, Floats]:
        """Sum values of answers over the few and over the many."""
        few, many = (
            np.bincount(self.few, values, self.sizes[0]),
            np.bincount(self.many, values, self.sizes[1]),
        )
        return few.astype(np.float64), many.astype(np.float64)

    def _blocks(self, mean: Floats, spread: Floats) -> _Blocks:
        return _Blocks.of(np.maximum(mean * (1 - mean), _LEAST), self.few, self.many, spread, self.sizes)

    def _gradient(self, mean: Floats, spread: Floats, blocks: _Blocks) -> Floats:
        """Return the slope of the deviance along the standard deviations of the few and the many, and the effects."""
        weights, rest, heights = mean * (1 - mean), self.right - mean, self.heights
        inverse = blocks.inverse()
        # log |H| depends on each answer's weight through its leverage, and the weight on its log odds.
        pulled = inverse.leverage(self.few, self.many, spread) * weights * (1 - 2 * mean)
        few, many = self._sums(pulled)
        adjoint = blocks.solve(spread[0] * few, spread[1] * many)
        back = spread[0] * adjoint[0][self.few] + spread[1] * adjoint[1][self.many]
        through = pulled - weights * back  # what log |H| gains per unit of log odds, the heights following
        slopes = []
        for place, (of, height) in enumerate(zip((self.few, self.many), heights, strict=True)):
            own = height[of]
            trace = 2 * float((1 - inverse.diagonal[place]).sum()) / spread[place]
            sums = np.bincount(of, rest, self.sizes[place])
            slopes.append(float(-2 * rest @ own + trace + through @ own + adjoint[place] @ sums))
        return np.concatenate([slopes, self.columns.T @ (through - 2 * rest)])


class _Blocks(NamedTuple):
    """H in its blocks: the diagonals of the few and the many, what they share, (few, many), and its factor."""

    many: Floats
    shared: Any
    factor: tuple[Floats, bool]
    log_determinant: float

    @classmethod
    def of(
        cls,
        weights: Floats,
        few: NDArray[np.integer[Any]],
        many: NDArray[np.integer[Any]],
        spread: Floats,
        sizes: tuple[int, ...],
    ) -> _Blocks:
        from scipy import linalg, sparse

        of_few = 1 + spread[0] ** 2 * np.bincount(few, weights, sizes[0])
        of_many = 1 + spread[1] ** 2 * np.bincount(many, weights, sizes[1])
        shared = sparse.csr_matrix((spread[0] * spread[1] * weights, (few, many)), shape=sizes)
        left = np.diag(of_few) - (shared.multiply(1 / of_many[None]).tocsr() @ shared.T).toarray()
        factor = linalg.cho_factor(left, lower=True, check_finite=False)
        determinant = 2 * np.log(np.diagonal(factor[0])).sum() + np.log(of_many).sum()
        return cls(of_many, shared, factor, float(determinant))

    def solve(self, few: Floats, many: Floats) -> tuple[Floats, Floats]:
        """Return what H makes these of."""
        first = self._of_few(few - self.shared @ (many / self.many))
        return first, (many - self.shared.T @ first) / self.many

    def inverse(self) -> _Inverse:
        """Return the parts of the inverse of H that the gradient looks at."""
        of_few = self._of_few(np.eye(len(self.factor[0])))
        across = -np.asarray(self.shared.T @ of_few).T / self.many  # (few, many)
        of_many = (1 - np.asarray(self.shared.multiply(across).sum(0)).ravel()) / self.many
        return _Inverse((of_few.diagonal(), of_many), across)

    def _of_few(self, values: Floats) -> Floats:
        from scipy import linalg

        solved: Floats = linalg.cho_solve(self.factor, values, check_finite=False)
        return solved


class _Inverse(NamedTuple):
    """Parts of the inverse of H: its diagonal, of the few and of the many, and what is between them, (few, many)."""

    diagonal: tuple[Floats, Floats]
    across: Floats

    def leverage(
        self, few: NDArray[np.integer[Any]], many: NDArray[np.integer[Any]], spread: Floats
    ) -> Floats:
        """Return the variance of each answer's log odds that its heights have, (answers,)."""
        leverage: Floats = (
            spread[0] ** 2 * self.diagonal[0][few]
            + spread[1] ** 2 * self.diagonal[1][many]
            + 2 * spread[0] * spread[1] * self.across[few, many]
        )
        return leverage
