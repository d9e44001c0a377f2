"""The equivalence test against statsmodels, and its level; intervals of means of which some values are missing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from prunescope.measures.intervals import mean_intervals, mean_intervals_where
from prunescope.measures.significance import tost


def test_it_is_the_test_of_statsmodels() -> None:
    values = np.random.default_rng(0).normal(0.1, 1, size=(40, 5))
    error = values.std(0, ddof=1) / math.sqrt(40)
    found = tost(values.mean(0), error, np.full(5, 39.0), 0.4)
    expected = [DescrStatsW(column).ttost_mean(-0.4, 0.4)[0] for column in values.T]
    assert found == pytest.approx(expected, rel=1e-9)


def test_it_rejects_exactly_where_the_90_percent_interval_lies_within_the_margin() -> None:
    difference, error = np.random.default_rng(1).random((2, 500))
    p = tost(difference - 0.5, error, np.full(500, 7.0), 0.6)
    half = stats.t.ppf(0.95, 7) * error
    inside = (difference - 0.5 - half > -0.6) & (difference - 0.5 + half < 0.6)
    assert (p < 0.05).tolist() == inside.tolist()
    assert 50 < inside.sum() < 450


def test_it_has_its_level_at_the_edge_of_the_margin() -> None:
    """Where the true difference is the margin itself, equality is shown wrongly in 5 of 100 cases, and not more."""
    margin, trials, n = 0.3, 4000, 50
    values = np.random.default_rng(2).normal(margin, 1, size=(n, trials))
    p = tost(values.mean(0), values.std(0, ddof=1) / math.sqrt(n), np.full(trials, n - 1.0), margin)
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.012)


def test_without_any_error_the_difference_itself_decides() -> None:
    found = tost(np.array([0.0, 0.2, -0.3]), np.zeros(3), np.full(3, 9.0), 0.2)
    assert found.tolist() == [0, 1, 1]
    assert np.isnan(tost(np.array([math.nan, 0.0]), np.array([1.0, math.nan]), np.full(2, 9.0), 0.2)).all()


def test_where_nothing_is_missing_it_is_the_other_interval() -> None:
    values = np.random.default_rng(3).gamma(2, size=(60, 4))
    for found, expected in zip(mean_intervals_where(values), mean_intervals(values), strict=True):
        assert found == pytest.approx(expected, abs=1e-12)


def test_missing_values_are_left_out_of_each_column() -> None:
    generator = np.random.default_rng(4)
    values = generator.normal(5, 2, size=(400, 3))
    values[generator.random((400, 3)) < 0.5] = math.nan
    values[10:, 2] = math.nan
    low, high = mean_intervals_where(values)
    for column in (0, 1):
        own = values[np.isfinite(values[:, column]), column]
        expected = stats.bootstrap((own,), np.mean, method="percentile", rng=np.random.default_rng(5))
        assert (low[column], high[column]) == pytest.approx(expected.confidence_interval, abs=0.03)
    few = values[:10, 2][np.isfinite(values[:10, 2])]
    expected_t = stats.t.interval(0.95, len(few) - 1, few.mean(), stats.sem(few))
    assert (low[2], high[2]) == pytest.approx(expected_t, abs=1e-3)


def test_intervals_with_missing_values_cover_95_percent() -> None:
    generator, trials = np.random.default_rng(6), 600
    values = generator.gamma(4, size=(100, trials))
    values[generator.random((100, trials)) < 0.5] = math.nan  # about 50 are left
    low, high = mean_intervals_where(values)
    assert np.mean((low <= 4) & (high >= 4)) == pytest.approx(0.95, abs=0.02)
