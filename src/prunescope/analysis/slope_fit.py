"""The slope of MIS that fits people best: how steeply their answers go with the margins of tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from prunescope.analysis.crossed import Floats, jackknife, two_way
from prunescope.analysis.results import Results
from prunescope.errors import PrunescopeError

DEFAULT_SLOPE = 16.0  # of MIS, where nothing says another: a convention
MOST_LAPSES = 0.95
_Ends = tuple[float, float, float]  # of an interval, and a p
_NO_ENDS: _Ends = (math.nan, math.nan, math.nan)
_STEPS = 100
_BISECTED = (1e-6, 1e6)  # slopes, in units of the spread of the margins


@dataclass(frozen=True)
class SlopeFit:
    """The slope at which σ(slope · margin) fits answers best.

    Attributes:
        slope: with the highest likelihood; infinite where a larger one is always better, NaN where `why` says so.
        low: of its 95 % interval over participants and items; NaN where there is none.
        high: as low.
        p: of the test that the slope is `default`.
        lapse: the share of answers that are guessed whatever the margin; 0 unless it was asked for.
        log_likelihood: of all answers, at the fitted slope (and lapse).
        default: the slope that it is compared with.
        log_likelihood_of_default: at that slope, without lapses.
        log_likelihood_of_guessing: of one half each.
        why: why there is no slope, or no interval.
    """

    slope: float
    low: float
    high: float
    p: float
    lapse: float
    log_likelihood: float
    default: float
    log_likelihood_of_default: float
    log_likelihood_of_guessing: float
    answers: int
    participants: int
    items: int
    why: str = ""


def fit_slope(
    margins: ArrayLike,
    correct: ArrayLike,
    participants: ArrayLike,
    items: ArrayLike,
    *,
    lapse: bool = False,
    default: float = DEFAULT_SLOPE,
) -> SlopeFit:
    """Fit the slope of MIS to answers of people: the likelihood of P(right) = σ(slope · margin) is highest there.

    The interval is that of the logarithm of the slope, which cannot be below 0: the jackknife over participants and
    over items, less that over what one participant says of one item, with Student's t; each is left out by one step of
    Newton's method from the whole fit, which costs nothing and differs from fitting anew by the square of what one
    participant moves.

    Args:
        margins: (answers,) of the tasks, in units of the similarity; above 0 where it points to the right answer.
        correct: (answers,) whether each is right.
        participants: (answers,) whose it is: names or numbers.
        items: (answers,) what was asked about, such as the unit.
        lapse: whether to fit also a share of answers that are guessed: P(right) = lapse / 2 + (1 - lapse) · σ(slope ·
            margin). Attentive people miss easy tasks, too; without it, one such miss flattens the slope.
        default: the slope to compare with.

    Raises:
        PrunescopeError: the arguments differ in length, a margin is not finite, or there is no answer.

    *Source:* Zimmermann, Klindt & Brendel, Measuring Mechanistic Interpretability at Scale Without Humans, 2024, who
    fit the slope to answers of people. Wichmann & Hill, The psychometric function, 2001: lapses. The interval:
    MacKinnon, Nielsen & Webb, Fast and reliable jackknife and bootstrap methods for cluster-robust inference, 2023.
    """
    margin, right, people, things = _checked(margins, correct, participants, items)
    n, persons, asked = len(margin), int(people.max()) + 1, int(things.max()) + 1
    if not (math.isfinite(default) and default > 0):
        raise PrunescopeError(f"the default slope must be a positive number, and is {default}")

    def result(slope: float, lapse: float, interval: _Ends = _NO_ENDS, why: str = "") -> SlopeFit:
        at_default = _log_likelihood(default, 0.0, margin, right)
        fitted = _log_likelihood(slope, lapse, margin, right) if math.isfinite(slope) else math.nan
        guessed, (low, high, p) = n * math.log(0.5), interval
        return SlopeFit(
            slope, low, high, p, lapse, fitted, default, at_default, guessed, n, persons, asked, why
        )

    if why := _without_slope(margin, right):
        return result(_endless(margin, right), 0.0, why=why)
    slope, lapses = _most_likely(margin, right, lapse)
    if not math.isfinite(slope):
        return result(slope, lapses, why="with lapses, a larger slope is always better: fit it without")
    if slope <= 0:
        return result(
            slope, lapses, why="people answer against the margins: no slope above 0 fits better than 0"
        )
    interval = _interval(slope, lapses, margin, right, people, things, default)
    why = "" if math.isfinite(interval[0]) else "too few participants or items, or too alike, for an interval"
    return result(slope, lapses, interval, why)


def slope_of(results: Results) -> float:
    """Return the slope of the MIS that a run was scored with; the default one where it does not say."""
    known = results.units["slope"].dropna()
    told = results.settings_of("mis").get("slope")
    return float(known.iloc[0]) if len(known) else float(told) if told else DEFAULT_SLOPE


def _checked(
    margins: ArrayLike, correct: ArrayLike, participants: ArrayLike, items: ArrayLike
) -> tuple[Floats, Floats, NDArray[Any], NDArray[Any]]:
    margin, right = np.asarray(margins, np.float64), np.asarray(correct).astype(np.float64)
    people, things = (pd.factorize(np.asarray(each))[0] for each in (participants, items))
    lengths = {len(each) for each in (margin, right, people, things)}
    if len(lengths) > 1 or margin.ndim != 1:
        raise PrunescopeError(
            f"margins, correct, participants and items have {sorted(lengths)} values: expected one for each answer"
        )
    if not len(margin):
        raise PrunescopeError("there is no answer to fit a slope to")
    if not np.isfinite(margin).all() or not np.isin(right, (0, 1)).all():
        raise PrunescopeError(
            "a margin is not finite, or an answer is neither right nor wrong: leave such answers out"
        )
    return margin, right, people, things


def _without_slope(margin: Floats, right: Floats) -> str:
    """Say why no slope is the best one."""
    agree = margin * (2 * right - 1)
    if not margin.any():
        return "all margins are 0"
    if (agree >= 0).all():
        return "every answer is the one that the margin points to: a larger slope is always better"
    if (agree <= 0).all():
        return "every answer is against the margin"
    return ""


def _endless(margin: Floats, right: Floats) -> float:
    agree = margin * (2 * right - 1)
    return math.nan if not margin.any() else math.copysign(math.inf, float(agree.sum()))


def _parts(slope: float, lapse: float, margin: Floats, right: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the probability of being right, and its slopes along the slope and the lapses."""
    from scipy.special import expit

    sigma = expit(slope * margin)
    chance: Floats = np.clip(lapse / 2 + (1 - lapse) * sigma, 1e-300, 1 - 1e-16)
    return chance, (1 - lapse) * sigma * expit(-slope * margin) * margin, 0.5 - sigma


def _log_likelihood(slope: float, lapse: float, margin: Floats, right: Floats) -> float:
    agree = np.where(right > 0, margin, -margin)
    if not lapse:
        return -float(np.logaddexp(0, -slope * agree).sum())
    chance = _parts(slope, lapse, agree, right)[0]
    return float(np.log(chance).sum())


def _most_likely(margin: Floats, right: Floats, lapse: bool) -> tuple[float, float]:
    """Return the slope and the lapses of the highest likelihood."""
    from scipy import optimize

    spread = float(np.sqrt(np.mean(margin**2)))
    agree = np.where(right > 0, margin, -margin) / spread

    def pull(slope: float) -> float:
        from scipy.special import expit

        return float(agree @ expit(-slope * agree))  # falls with the slope

    high = 1.0
    while pull(high) > 0 and high < _BISECTED[1]:
        high *= 4
    low = -1.0
    while pull(low) < 0 and low > -_BISECTED[1]:
        low *= 4
    slope = float(optimize.brentq(pull, low, high, xtol=1e-12, rtol=1e-12))
    if not lapse or slope <= 0:
        return slope / spread, 0.0

    def deviance(parameters: Floats) -> float:
        return -_log_likelihood(math.exp(parameters[0]), float(parameters[1]), agree, np.ones(len(agree)))

    bounds = [(math.log(_BISECTED[0]), math.log(_BISECTED[1])), (0.0, MOST_LAPSES)]
    found = min(
        (
            optimize.minimize(deviance, [math.log(slope * times), start], bounds=bounds, method="L-BFGS-B")
            for times, start in ((1.0, 0.0), (1.5, 0.05), (3.0, 0.2))
        ),
        key=lambda each: float(each.fun),
    )
    steep, lapses = math.exp(found.x[0]) / spread, float(found.x[1])
    return (math.inf if found.x[0] > bounds[0][1] - 5 else steep), lapses if lapses > 1e-6 else 0.0


def _interval(
    slope: float,
    lapse: float,
    margin: Floats,
    right: Floats,
    people: NDArray[Any],
    items: NDArray[Any],
    default: float,
) -> _Ends:
    """Return the ends of the interval of the slope, and the p of the default one."""
    chance, along, lapsing = _parts(slope, lapse, margin, right)
    # A share of 0 is at its end, where it has no slope: then it is held.
    slopes = np.stack([along * slope, lapsing] if lapse else [along * slope], 1)  # along log slope
    weight = 1 / (chance * (1 - chance))
    scores = ((right - chance) * weight)[:, None] * slopes  # (answers, parameters)
    information = weight[:, None, None] * slopes[:, :, None] * slopes[:, None, :]
    both = np.unique(people * (items.max() + 1) + items, return_inverse=True)[1]
    estimate = math.log(slope)
    ways = [
        jackknife(_left_out(scores, information, own, estimate), estimate) for own in (people, items, both)
    ]
    found = two_way(estimate, people, items, *ways, null=math.log(default), most=math.inf)
    return math.exp(found.low), math.exp(found.high), found.p


def _left_out(scores: Floats, information: Floats, groups: NDArray[Any], estimate: float) -> Floats:
    """Return the estimate without each group in turn, by one step from the whole; NaN where nothing is left."""
    own_scores = np.stack([np.bincount(groups, column) for column in scores.T], 1)
    width = scores.shape[1]
    flat = information.reshape(len(scores), -1)
    own = np.stack([np.bincount(groups, column) for column in flat.T], 1).reshape(-1, width, width)
    rest = information.sum(0) - own
    solvable = np.linalg.det(rest) > 0
    steps = np.full(len(rest), math.nan)
    pulls = scores.sum(0) - own_scores[solvable]
    steps[solvable] = np.linalg.solve(rest[solvable], pulls[..., None])[:, 0, 0]
    left_out: Floats = estimate + steps
    return left_out
