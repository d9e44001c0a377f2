"""The mixed logistic model against lme4, against quadrature, and on data whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import expit, logsumexp
from statsmodels.discrete.discrete_model import Logit

from prunescope.measures.crossed_intercepts import Answers, _Laplace, fit_crossed
from prunescope.measures.mixed_logistic import MixedLogistic, fit_mixed_logistic

Floats = NDArray[np.float64]


def made() -> tuple[NDArray[np.bool_], dict[str, Floats], NDArray[np.int64], NDArray[np.int64]]:
    """900 answers, by a rule that another language can follow: no random numbers but those of a congruence."""
    draws, state = [], 12345
    for _ in range(90 + 900):
        state = (1103515245 * state + 12345) % 2**31
        draws.append(state / 2**31)
    uniform = np.array(draws)
    k = np.arange(900)
    participant, item = k % 30, (7 * k + k // 30) % 60
    network, position = item % 3, (k // 30) / 29 - 0.5
    heights = np.log(uniform[:90] / (1 - uniform[:90]))
    line = 1.0 - 0.4 * (network == 1) - 0.9 * (network == 2) + 0.5 * position
    line = line + 0.5 * heights[participant] + 0.4 * heights[30 + item]
    right = uniform[90:] < expit(line)
    fixed = {
        "intercept": np.ones(900),
        "one": (network == 1) * 1.0,
        "two": (network == 2) * 1.0,
        "position": position,
    }
    return right, fixed, participant, item


def test_as_glmer_of_lme4() -> None:
    """R 4.2.2, lme4 1.1.31, on these answers:

    m <- glmer(right ~ one + two + position + (1 | participant) + (1 | item), d, binomial,
               control = glmerControl(optimizer = "bobyqa", tolPwrss = 1e-12, optCtrl = list(rhoend = 1e-9)))
    summary(m)$coefficients; VarCorr(m); -2 * logLik(m)
    anova(m, update(m, . ~ . - one - two)); anova(m, update(m, . ~ . - position))
    """
    right, fixed, participant, item = made()
    found = fit_mixed_logistic(
        right, fixed, participant, item, {"network": ["one", "two"], "position": ["position"]}
    )
    assert found.converged
    assert [each.estimate for each in found.effects] == pytest.approx(
        [0.93154798, -0.57878042, -0.51563717, 0.63775353], abs=1e-5
    )
    assert [each.error for each in found.effects] == pytest.approx(
        [0.22661589, 0.27127779, 0.27139467, 0.25254071], rel=1e-4
    )
    assert [each.p for each in found.effects] == pytest.approx(
        [3.9447623e-05, 3.2880934e-02, 5.7439265e-02, 1.1558331e-02], rel=1e-3
    )
    assert (found.participant_sd, found.item_sd) == pytest.approx((0.62338276, 0.62327930), rel=1e-4)
    assert found.deviance == pytest.approx(1134.117197, abs=1e-5)
    assert [each.chi2 for each in found.terms] == pytest.approx([5.2740964, 6.4455782], abs=1e-5)
    assert [each.freedom for each in found.terms] == [2, 1]
    assert (found.answers, found.participants, found.items) == (900, 30, 60)


def small() -> Answers:
    rng = np.random.default_rng(4)
    people, items = rng.integers(0, 5, 70), rng.integers(0, 8, 70)
    columns = np.stack([np.ones(70), rng.normal(size=70)], 1)
    return Answers((rng.random(70) < 0.6).astype(float), columns, people, items)


def slow_deviance(data: Answers, parameters: Floats) -> float:
    """The same by dense algebra and a general minimiser, from the definition of Laplace's approximation."""
    z = np.hstack([np.eye(5)[data.participants], np.eye(8)[data.items]])
    z = z * np.sqrt(np.repeat(parameters[:2], [5, 8]))
    base = data.columns @ parameters[2:]

    def penalised(u: Floats) -> float:
        line = base + z @ u
        return float(2 * (np.logaddexp(0, line) - data.right * line).sum() + u @ u)

    u = optimize.minimize(penalised, np.zeros(13), method="BFGS", options={"gtol": 1e-9}).x
    mean = expit(base + z @ u)
    curvature = np.eye(13) + z.T @ (z * (mean * (1 - mean))[:, None])
    return penalised(u) + float(np.linalg.slogdet(curvature)[1])


@pytest.mark.parametrize("turned", [False, True])
def test_the_likelihood_is_that_of_dense_algebra_and_its_slope_is_its_slope(turned: bool) -> None:
    data = small()
    at = np.array([0.7, 0.3, 0.4, -0.5])
    value = slow_deviance(data, at)
    if turned:  # the items come first; they are the more numerous
        data = data._replace(participants=data.items, items=data.participants)
        at = at[[1, 0, 2, 3]]
    laplace = _Laplace(data)
    found, slope = laplace.deviance(at)
    assert found == pytest.approx(value, abs=1e-7)
    for place in range(4):
        step = np.zeros(4)
        step[place] = 1e-5
        by_difference = (laplace.deviance(at + step)[0] - laplace.deviance(at - step)[0]) / 2e-5
        assert slope[place] == pytest.approx(by_difference, abs=1e-4)


def test_near_the_integral_by_quadrature() -> None:
    """Participants alone, with 200 answers each: Laplace's approximation is good, and the integral of one variable."""
    rng = np.random.default_rng(2)
    people = np.repeat(np.arange(12), 200)
    right = rng.random(2400) < expit(0.5 + rng.normal(0, 0.8, 12)[people])
    data = Answers(right * 1.0, np.ones((2400, 1)), people, np.arange(2400) % 2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    logs = [
        logsumexp(
            (right[own, None] * line - np.logaddexp(0, line)).sum(0)
            + np.log(weights / math.sqrt(2 * math.pi))
        )
        for own in (people == person for person in range(12))
        for line in [0.4 + 0.8 * nodes[None] + np.zeros((200, 1))]
    ]
    found, _ = _Laplace(data).deviance(np.array([0.64, 1e-8, 0.4]))
    assert found == pytest.approx(-2 * sum(logs), abs=0.05)


def test_without_differences_between_people_or_items_it_is_logistic_regression() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=600)
    right = rng.random(600) < expit(0.4 + 0.8 * x)
    people, items = np.arange(600) % 20, np.arange(600) // 20  # each person once about each item
    found = fit_mixed_logistic(right, {"one": np.ones(600), "x": x}, people, items)
    expected = Logit(right * 1.0, np.stack([np.ones(600), x], 1)).fit(disp=False)
    assert found.participant_sd == found.item_sd == 0
    assert found.deviance == pytest.approx(-2 * expected.llf, abs=1e-4)
    assert [each.estimate for each in found.effects] == pytest.approx(expected.params, abs=1e-4)
    assert [each.error for each in found.effects] == pytest.approx(expected.bse, rel=1e-3)


def test_participants_and_items_change_places() -> None:
    right, fixed, participant, item = made()
    one, other = (
        fit_mixed_logistic(right, fixed, *both) for both in ((participant, item), (item, participant))
    )
    assert (one.participant_sd, one.item_sd) == pytest.approx((other.item_sd, other.participant_sd), abs=1e-4)
    assert [each.estimate for each in one.effects] == pytest.approx(
        [each.estimate for each in other.effects], abs=1e-4
    )


def test_an_effect_whose_answers_are_all_right_is_infinite_and_still_tested() -> None:
    right, fixed, participant, item = made()
    right = right | (fixed["two"] > 0)
    found = fit_mixed_logistic(right, fixed, participant, item, {"two": ["two"], "one": ["one"]})
    effect = found.effects[2]
    assert effect.estimate == math.inf
    assert math.isnan(effect.low)
    assert not found.converged
    assert "two" in found.why
    assert found.terms[0].p < 1e-6
    rest = fitted_without(right, fixed, participant, item)
    assert found.effects[1].estimate == pytest.approx(rest.effects[1].estimate, abs=0.1)


def fitted_without(
    right: NDArray[np.bool_],
    fixed: dict[str, Floats],
    participant: NDArray[np.int64],
    item: NDArray[np.int64],
) -> MixedLogistic:
    kept = fixed["two"] == 0
    less = {name: column[kept] for name, column in fixed.items() if name != "two"}
    return fit_mixed_logistic(right[kept], less, participant[kept], item[kept])


@pytest.mark.parametrize(
    ("what", "why"),
    [("same", "all answers are the same"), ("double", "cannot be told apart"), ("alone", "alone")],
)
def test_what_cannot_be_fitted_says_why(what: str, why: str) -> None:
    right, fixed, participant, item = made()
    if what == "same":
        right = np.ones(900, bool)
    if what == "double":
        fixed = fixed | {"again": fixed["one"] + fixed["two"]}
    if what == "alone":
        participant = np.zeros(900, int)
    found = fit_mixed_logistic(right, fixed, participant, item, {"one": ["one"]})
    assert why in found.why
    assert not found.converged
    assert all(math.isnan(each.estimate) for each in found.effects)


def test_an_effect_that_there_is_not_is_rarely_found_and_one_that_there_is_often() -> None:
    rng, found = np.random.default_rng(1), []
    people, items = (
        np.repeat(np.arange(24), 15),
        np.tile(np.arange(15), 24) + 15 * np.repeat(np.arange(24) % 2, 15),
    )
    second, place = (people % 2) * 1.0, rng.random(360) - 0.5
    for _ in range(15):
        line = 0.8 + 0.6 * rng.normal(size=24)[people] + 0.5 * rng.normal(size=30)[items] + 1.5 * place
        fixed = {"one": np.ones(360), "second": second, "place": place}
        right = rng.random(360) < expit(line)
        found.append(
            fit_mixed_logistic(right, fixed, people, items, {"second": ["second"], "place": ["place"]})
        )
    assert all(each.converged for each in found)
    assert np.mean([each.terms[0].p < 0.05 for each in found]) <= 0.2
    assert np.mean([each.terms[1].p < 0.05 for each in found]) >= 0.7
    assert np.mean([each.effects[2].estimate for each in found]) == pytest.approx(1.5, abs=0.25)
    assert np.mean([each.effects[2].low < 1.5 < each.effects[2].high for each in found]) >= 0.85


def test_without_any_fixed_effect_there_is_a_likelihood() -> None:
    data = small()
    found = fit_crossed(data._replace(columns=np.zeros((70, 0))))
    whole = fit_crossed(data)
    assert found.deviance >= whole.deviance - 1e-6
    assert found.effects.shape == (0,)
