"""A logistic model of answers that are each of one participant and about one item, both with heights of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunescope.measures.crossed_intercepts import Answers, Fit, Floats, fit_crossed

_FARTHEST = 10.0  # log odds: from there on, an estimate is on its way to infinity
_Z = 1.959963984540054


class Effect(NamedTuple):
    """A fixed effect in log odds with Wald's 95 % interval and test; NaN where it has no finite estimate."""

    name: str
    estimate: float
    error: float
    low: float
    high: float
    p: float


class Term(NamedTuple):
    """The likelihood-ratio test of some effects together: all of them are 0."""

    name: str
    chi2: float
    freedom: int
    p: float


class MixedLogistic(NamedTuple):
    """A fitted model.

    Attributes:
        effects: one for each fixed effect.
        terms: one for each test that was asked for.
        participant_sd: the standard deviation, in log odds, of the heights of participants.
        item_sd: the same of items.
        deviance: minus twice the log likelihood, by Laplace's approximation.
        converged: whether a maximum was found, and all effects are finite.
        why: what is wrong, if anything.
    """

    effects: tuple[Effect, ...]
    terms: tuple[Term, ...]
    participant_sd: float
    item_sd: float
    deviance: float
    converged: bool
    why: str
    answers: int
    participants: int
    items: int


def fit_mixed_logistic(
    right: NDArray[np.bool_],
    fixed: Mapping[str, Floats],
    participants: NDArray[np.integer[Any]],
    items: NDArray[np.integer[Any]],
    terms: Mapping[str, Sequence[str]] | None = None,
) -> MixedLogistic:
    """Fit log odds of `right` = fixed effects + height of the participant + height of the item.

    Heights are drawn from two normal distributions. The likelihood is integrated over them by Laplace's
    approximation, and is highest at the estimates. Errors come from its curvature, that of the two standard deviations
    included. One of those is 0 where people, or items, differ no more than chance makes them: an ordinary answer.

    An effect all of whose answers are right (or wrong) has no finite estimate: it is infinite, its interval is NaN, and
    only the likelihood-ratio test says something about it, which needs none.

    Args:
        right: (answers,).
        fixed: by name, (answers,): the columns of the model, the intercept among them if it is to have one.
        participants: (answers,) the number of each one's participant, from 0 on.
        items: (answers,) the same of items.
        terms: by name, the effects that a likelihood-ratio test leaves out together.

    *Source:* Pinheiro & Chao, Efficient Laplacian and adaptive Gaussian quadrature algorithms for multilevel
    generalized linear mixed models, 2006. Bates, Mächler, Bolker & Walker, Fitting linear mixed-effects models using
    lme4, 2015, whose `glmer` this follows. Baayen, Davidson & Bates, Mixed-effects modeling with crossed random
    effects for subjects and items, 2008.
    *Differs:* the gradient is exact, and there is no general sparse algebra: what the two kinds of heights share is
    eliminated from the more numerous one.
    """
    columns = np.stack([np.asarray(each, dtype=np.float64) for each in fixed.values()], 1)
    data = Answers(right.astype(np.float64), columns, participants, items)
    if why := _nothing_to_fit(data):
        return _nothing(fixed, data, why)
    fit = fit_crossed(data)
    tests = tuple(_test(name, names, fixed, data, fit) for name, names in (terms or {}).items())
    effects, why = _effects(list(fixed), fit)
    return MixedLogistic(
        effects,
        tests,
        fit.spreads[0],
        fit.spreads[1],
        fit.deviance,
        fit.converged and not why,
        why or ("" if fit.converged else "no maximum of the likelihood was found"),
        *_sizes(data),
    )


def _effects(names: Sequence[str], fit: Fit) -> tuple[tuple[Effect, ...], str]:
    """Return the effects, and which of them are on their way to infinity."""
    from scipy import stats

    effects, infinite = [], []
    for name, estimate, error in zip(names, fit.effects, fit.errors, strict=True):
        if abs(estimate) > _FARTHEST:
            infinite.append(name)
            effects.append(Effect(name, math.copysign(math.inf, estimate), *[math.nan] * 4))
            continue
        p = 2 * float(stats.norm.sf(abs(estimate) / error)) if error > 0 else math.nan
        value, half = float(estimate), _Z * float(error)
        effects.append(Effect(name, value, float(error), value - half, value + half, p))
    told = f"all answers agree for {', '.join(infinite)}: no finite estimate" if infinite else ""
    return tuple(effects), told


def _test(name: str, names: Sequence[str], fixed: Mapping[str, Floats], data: Answers, whole: Fit) -> Term:
    from scipy import stats

    kept = [place for place, each in enumerate(fixed) if each not in names]
    less = fit_crossed(data._replace(columns=data.columns[:, kept]), start=whole)
    freedom = len(fixed) - len(kept)
    if not (math.isfinite(less.deviance) and math.isfinite(whole.deviance)):
        return Term(name, math.nan, freedom, math.nan)
    chi2 = max(less.deviance - whole.deviance, 0.0)
    return Term(name, chi2, freedom, float(stats.chi2.sf(chi2, freedom)))


def _nothing_to_fit(data: Answers) -> str:
    if len(data.right) == 0 or np.ptp(data.right) == 0:
        return "all answers are the same, which leaves nothing to explain"
    if min(_sizes(data)[1:]) < 2:
        return "one participant, or one item, alone"
    if np.linalg.matrix_rank(data.columns) < data.columns.shape[1]:
        return "the effects cannot be told apart: one of them follows from the others"
    return ""


def _nothing(fixed: Mapping[str, Floats], data: Answers, why: str) -> MixedLogistic:
    effects = tuple(Effect(name, *[math.nan] * 5) for name in fixed)
    return MixedLogistic(effects, (), math.nan, math.nan, math.nan, False, why, *_sizes(data))


def _sizes(data: Answers) -> tuple[int, int, int]:
    """Return how many answers, participants and items there are."""
    return len(data.right), len(np.unique(data.participants)), len(np.unique(data.items))
