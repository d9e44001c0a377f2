"""The slope of MIS that fits people: against statsmodels, against refits, and by simulation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from statsmodels.discrete.discrete_model import Logit

import prunescope as ps
from made_votes import mis_votes, people_results
from prunescope.analysis.people_slope import BINS, people_slope
from prunescope.analysis.slope_fit import DEFAULT_SLOPE, SlopeFit, fit_slope
from prunescope.errors import PrunescopeError
from prunescope.measures import mis_scores

Floats = NDArray[np.float64]


def made(
    seed: int = 0,
    people: int = 40,
    tasks: int = 25,
    slope: float = 12.0,
    by_unit: float = 0.0,
    guessed: float = 0.0,
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    units = rng.normal(0.1, 0.1, 60)
    heights = by_unit * rng.normal(size=60)
    person = np.repeat(np.arange(people), tasks)
    unit = np.concatenate([rng.permutation(60)[:tasks] for _ in range(people)])
    sure = expit(slope * units[unit] + heights[unit])
    right = rng.random(len(unit)) < guessed / 2 + (1 - guessed) * sure
    return units[unit], right, person, unit


def test_as_logistic_regression_without_intercept() -> None:
    margins, right, people, units = made()
    found = fit_slope(margins, right, people, units)
    expected = Logit(right * 1.0, margins[:, None]).fit(disp=False)
    assert found.slope == pytest.approx(float(expected.params[0]), rel=1e-6)
    assert found.log_likelihood == pytest.approx(expected.llf)
    assert found.log_likelihood_of_default == pytest.approx(
        float(np.log(np.where(right, expit(16 * margins), expit(-16 * margins))).sum())
    )
    assert found.log_likelihood_of_guessing == pytest.approx(len(right) * math.log(0.5))
    assert found.log_likelihood >= found.log_likelihood_of_default
    assert (found.answers, found.participants, found.items) == (1000, 40, len(np.unique(units)))


def test_the_interval_is_that_of_leaving_out_each_in_turn() -> None:
    """By fitting anew, which one step of Newton's method stands for."""
    margins, right, people, units = made(people=25, by_unit=0.5)
    found = fit_slope(margins, right, people, units)
    both = people * 1000 + units
    variances = []
    for groups in (people, units, both):
        names = np.unique(groups)
        logs = []
        for name in names:
            kept = groups != name
            logs.append(
                math.log(float(Logit(right[kept] * 1.0, margins[kept, None]).fit(disp=False).params[0]))
            )
        squares = np.square(np.array(logs) - math.log(found.slope))
        variances.append(squares.sum() * (len(names) - 1) / len(names))
    error = math.sqrt(max(variances[0] + variances[1] - variances[2], variances[1]))
    width = math.log(found.high / found.low) / 2
    assert width / error == pytest.approx(2.06, abs=0.06)  # Student's t with 24 degrees of freedom


def covered(fits: list[SlopeFit], truth: float) -> float:
    return float(np.mean([each.low <= truth <= each.high for each in fits]))


def test_intervals_cover_other_participants_and_units() -> None:
    plain = [fit_slope(*made(seed)) for seed in range(250)]
    assert covered(plain, 12.0) == pytest.approx(0.95, abs=0.035)
    mixed = [fit_slope(*made(seed, by_unit=0.8)) for seed in range(250)]
    typical = math.exp(np.mean([math.log(each.slope) for each in mixed]))  # heights of units flatten it
    assert covered(mixed, typical) == pytest.approx(0.95, abs=0.035)
    assert (
        np.mean([each.p < 0.05 for each in [fit_slope(*made(seed), default=12.0) for seed in range(250)]])
        < 0.085
    )


def test_lapses_are_told_from_a_flat_slope() -> None:
    margins, right, people, units = made(people=200, tasks=40, slope=30.0, guessed=0.2)
    without, found = (fit_slope(margins, right, people, units, lapse=lapse) for lapse in (False, True))
    assert without.slope < 15
    assert found.slope == pytest.approx(30, rel=0.2)
    assert found.lapse == pytest.approx(0.2, abs=0.03)
    assert found.low < 30 < found.high
    assert found.log_likelihood > without.log_likelihood + 10


def test_where_nobody_guesses_there_are_few_lapses() -> None:
    found = fit_slope(*made(people=150), lapse=True)
    assert 0 <= found.lapse < 0.03
    assert found.low < 12 < found.high


def test_margins_in_another_unit_give_the_slope_in_it() -> None:
    margins, right, people, units = made()
    one, other = (
        fit_slope(margins, right, people, units),
        fit_slope(100 * margins, right, people, units, default=0.16),
    )
    assert other.slope == pytest.approx(one.slope / 100)
    assert (other.low, other.high, other.p) == pytest.approx((one.low / 100, one.high / 100, one.p))


def test_names_do_as_well_as_numbers() -> None:
    margins, right, people, units = made()
    named = fit_slope(margins.tolist(), right.tolist(), [f"p{i}" for i in people], [f"u{i}" for i in units])
    assert named == fit_slope(margins, right, people, units)


def test_answers_that_always_follow_the_margin_have_no_slope() -> None:
    margins, _, people, units = made()
    found = fit_slope(margins, margins > 0, people, units)
    assert found.slope == math.inf
    assert math.isnan(found.low)
    assert "a larger slope is always better" in found.why
    against = fit_slope(margins, margins < 0, people, units)
    assert against.slope == -math.inf
    assert "against" in against.why
    assert math.isnan(fit_slope(np.zeros(4), [True, False] * 2, [0, 0, 1, 1], [0, 1, 0, 1]).slope)


def test_people_who_answer_against_the_margins_have_no_interval() -> None:
    margins, right, people, units = made()
    found = fit_slope(margins, ~right, people, units)
    assert found.slope < 0
    assert math.isnan(found.low)
    assert "against the margins" in found.why


def test_one_participant_has_no_interval() -> None:
    margins, right, _, units = made()
    found = fit_slope(margins, right, np.zeros(len(right)), units)
    assert found.slope > 0
    assert math.isnan(found.low)
    assert "too few" in found.why


@pytest.mark.parametrize(
    ("margins", "correct", "message"),
    [([0.1], [True, False], "one for each answer"), ([], [], "no answer"), ([math.nan], [True], "not finite"),
     ([0.1], [2], "neither right nor wrong")],
)  # fmt: skip
def test_what_cannot_be_fitted_is_refused(margins: list[float], correct: list[float], message: str) -> None:
    names = ["a"] * len(correct)
    with pytest.raises(PrunescopeError, match=message):
        fit_slope(margins, correct, names, names)
    with pytest.raises(PrunescopeError, match="must be a positive number"):
        fit_slope([0.1], [True], ["a"], ["b"], default=0.0)


def test_it_is_public_and_its_default_is_that_of_mis() -> None:
    assert ps.fit_slope is fit_slope
    assert DEFAULT_SLOPE == mis_scores._SLOPE  # named twice, since that room needs torch


def test_the_people_of_a_run_are_fitted_and_put_into_bins(tmp_path: Path) -> None:
    votes, units = mis_votes(people=60)
    found = people_slope(people_results(tmp_path / "run", votes, units.assign(slope=20.0)))
    assert found is not None
    alone = fit_slope(
        votes["margin"],
        votes["correct"],
        votes["participant"],
        votes["layer"] + votes["unit"].astype(str),
        default=20.0,
    )
    assert found.fit == alone
    assert len(found.bins) == BINS
    lowest = votes.sort_values("margin").head(len(votes) // BINS)
    margin, share = found.bins[0]
    assert margin == pytest.approx(lowest["margin"].mean(), abs=0.01)
    assert share.estimate == pytest.approx(lowest["correct"].mean(), abs=0.05)
    assert people_slope(people_results(tmp_path / "none", votes.assign(margin=np.nan), units)) is None
