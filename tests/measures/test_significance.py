"""Tests of significance against scipy, by hand, and by simulation where nothing differs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from prunescope.measures.significance import half_width, holm, mcnemar, tost, welch


@pytest.mark.parametrize(("before", "after"), [(5, 5), (2, 7), (30, 3)])
def test_welch_is_that_of_scipy(before: int, after: int) -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.8, 0.02, (before, 9)), rng.normal(0.79, 0.07, (after, 9))
    found, expected = welch(one, other), stats.ttest_ind(other, one, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert np.allclose(found.t, expected.statistic, rtol=1e-10)
    assert np.allclose(found.p, expected.pvalue, rtol=1e-9)
    assert np.allclose(found.freedom, expected.df, rtol=1e-10)
    assert np.allclose(found.low, interval.low)
    assert np.allclose(found.high, interval.high)
    assert np.allclose(found.difference, other.mean(0) - one.mean(0))


def test_welch_against_one_value_is_the_test_of_one_sample() -> None:
    after = np.random.default_rng(2).normal(0.7, 0.05, (5, 4))
    found = welch(np.full((5, 4), 0.8), after)
    expected = stats.ttest_1samp(after, 0.8)
    assert np.allclose(found.p, expected.pvalue)
    assert np.allclose(found.freedom, 4)


def test_welch_says_nothing_where_nothing_varies() -> None:
    found = welch(np.full((5, 2), 0.8), np.array([[0.8, 0.7]] * 5))
    assert np.allclose(found.difference, [0, -0.1])
    assert all(np.isnan(values).all() for values in found[1:])


def test_mcnemar_is_the_binomial_test_of_scipy() -> None:
    pairs = list(itertools.product(range(9), range(0, 40, 3)))
    lost, won = np.array(pairs).T
    expected = [stats.binomtest(k, k + m).pvalue if k + m else 1.0 for k, m in pairs]
    assert np.allclose(mcnemar(lost, won), expected)


def slow_holm(p: list[float]) -> list[float]:
    """Return the smallest level at which each is rejected, by going through the steps at every level there is."""

    def rejected(level: float) -> set[int]:
        found: set[int] = set()
        for step, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
            if p[i] * (len(p) - step) > level:
                break
            found.add(i)
        return found

    levels = sorted({min(1.0, value * k) for value in p for k in range(1, len(p) + 1)})
    return [next((level for level in levels if i in rejected(level)), 1.0) for i in range(len(p))]


@given(st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=1, max_size=8))
def test_holm_is_the_smallest_level_that_rejects(p: list[float]) -> None:
    assert holm(np.array(p)) == pytest.approx(slow_holm(p))


def test_holm_leaves_out_what_was_not_tested() -> None:
    found = holm(np.array([0.01, math.nan, 0.04]))
    assert found[[0, 2]] == pytest.approx([0.02, 0.04])
    assert np.isnan(found[1])


def test_where_nothing_differs_classes_are_found_in_five_of_a_hundred_studies_at_most() -> None:
    rng, seeds, classes, images, studies = np.random.default_rng(3), 5, 12, 160, 2000
    true = rng.uniform(0.6, 0.97, classes)
    hits = rng.binomial(images, true, (2, seeds, studies, classes)) / images
    relative = hits - hits.mean(-1, keepdims=True)
    p = welch(*relative.reshape(2, seeds, -1)).p.reshape(studies, classes)
    found = np.mean([(holm(own) < 0.05).any() for own in p])
    assert found < 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / studies)
    assert (p < 0.05).any(1).mean() > 0.3  # without the correction


def test_half_width_by_hand() -> None:
    # Bonett & Price: 12 lost and 3 won of 80; one of each more, so shares of 13 / 82 and 4 / 82
    lost, won = 13 / 82, 4 / 82
    expected = 1.959964 * math.sqrt((lost + won - (lost - won) ** 2) / 82)
    assert half_width(np.array([15]), np.array([-9]), np.array([80])) == pytest.approx([expected])
    assert half_width(np.array([0]), np.array([0]), np.array([50]))[0] > 0.03  # no flip is no certainty


@pytest.mark.parametrize(("lost", "won"), [(0.1, 0.02), (0.02, 0.02), (0.3, 0.3), (0.01, 0.0)])
@pytest.mark.parametrize("images", [50, 400])
def test_the_interval_of_a_paired_change_holds_the_truth(lost: float, won: float, images: int) -> None:
    drawn = np.random.default_rng(4).multinomial(images, [lost, won, 1 - lost - won], size=4000)
    change = (drawn[:, 1] - drawn[:, 0]) / images
    half = half_width(drawn[:, 0] + drawn[:, 1], drawn[:, 1] - drawn[:, 0], np.full(4000, images))
    assert np.mean(np.abs(change - (won - lost)) <= half) > 0.93


def test_equality_within_a_margin_is_that_of_statsmodels() -> None:
    rng, margin = np.random.default_rng(5), 0.1
    changes = rng.normal(0, 0.1, (12, 9)) + np.linspace(-0.3, 0.3, 9)
    error = changes.std(0, ddof=1) / math.sqrt(12)
    expected = [DescrStatsW(own).ttost_mean(-margin, margin)[0] for own in changes.T]
    found = tost(changes.mean(0), error, np.full(9, 11.0), margin)
    assert found == pytest.approx(expected)
    half = stats.t.ppf(0.95, 11) * error
    within = (changes.mean(0) - half > -margin) & (changes.mean(0) + half < margin)
    assert ((found < 0.05) == within).all()
    assert 0 < within.sum() < 9


def test_equality_without_an_error_is_whether_it_lies_within() -> None:
    found = tost(np.array([0.05, -0.05, 0.1, -0.2, math.nan]), np.zeros(5), np.full(5, 3.0), 0.1)
    assert found[:4].tolist() == [0, 0, 1, 1]
    assert math.isnan(found[4])


@pytest.mark.parametrize("side", [-1, 1])
def test_equality_has_its_level_at_the_edge_of_the_margin(side: int) -> None:
    """The true difference is the margin: in 5 of 100 studies the two are said to be equal, not more."""
    drawn = np.random.default_rng(6).normal(side * 0.1, 0.1, (20_000, 60))
    error = drawn.std(1, ddof=1) / math.sqrt(60)
    found = tost(drawn.mean(1), error, np.full(len(drawn), 59.0), 0.1)
    assert np.mean(found < 0.05) == pytest.approx(0.05, abs=0.006)


def test_equality_of_paired_shares_has_its_level_and_its_power() -> None:
    margin, n, studies = 0.05, 400, 20_000
    for lost, won, least, most in ((0.1, 0.05, 0.03, 0.06), (0.05, 0.1, 0.03, 0.06), (0.03, 0.03, 0.95, 1.0)):
        drawn = np.random.default_rng(7).multinomial(n, [lost, won, 1 - lost - won], size=studies)
        total = drawn[:, 1] - drawn[:, 0]
        error = half_width(drawn[:, 0] + drawn[:, 1], total, np.full(studies, n)) / stats.norm.ppf(0.975)
        found = tost(total / n, error, np.full(studies, np.inf), margin)
        assert least <= np.mean(found < 0.05) <= most
