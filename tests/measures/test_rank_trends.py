"""Trends by ranks against scipy and a count of every order; the permutation test has its level."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from prunescope.measures.rank_trends import (
    correlation_bootstrap,
    correlation_interval,
    pearson,
    permute_together,
    permute_within,
    spearman,
)

Series = list[tuple[np.ndarray, np.ndarray]]


def slow_p(series: Series) -> float:
    """The share of all combinations of orders whose sum of scipy's correlations is as far from 0."""

    def total(orders: tuple[tuple[float, ...], ...]) -> float:
        return sum(stats.spearmanr(x, y).statistic for x, (_, y) in zip(orders, series, strict=True))

    found = abs(total(tuple(tuple(x) for x, _ in series)))
    every = list(itertools.product(*(itertools.permutations(x) for x, _ in series)))
    return sum(abs(total(orders)) >= found - 1e-9 for orders in every) / len(every)


@pytest.mark.parametrize("ties", [False, True])
def test_correlations_are_scipys(ties: bool) -> None:
    generator = np.random.default_rng(3)
    x, y = generator.normal(size=(2, 20))
    if ties:
        x, y = np.round(x), np.round(y)
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9])
def test_a_constant_has_no_correlation(constant: float) -> None:
    assert math.isnan(spearman(np.full(4, constant), np.arange(4.0)))
    assert math.isnan(pearson(np.arange(4.0), np.full(4, constant)))


def test_p_is_the_share_of_all_orders_within_the_series() -> None:
    series = [
        (np.array([0.2, 0.4, 0.6]), np.array([3.0, 5.0, 4.0])),
        (np.array([0.2, 0.4, 0.6, 0.8]), np.array([9.0, 9.0, 7.0, 8.0])),  # a tie
        (np.array([0.1, 0.9]), np.array([100.0, 101.0])),
    ]
    found = permute_within(series)
    assert found.exact
    assert found.p == pytest.approx(slow_p(series), abs=1e-12)


def test_four_rates_alone_cannot_give_less_than_a_twelfth() -> None:
    rates = np.array([0.2, 0.4, 0.6, 0.8])
    found = permute_within([(rates, rates**2)])
    assert found.p == found.least == pytest.approx(2 / 24)
    assert permute_within([(rates, rates**2)] * 2).least == pytest.approx(2 / 24**2)


def test_many_orders_are_drawn_and_agree_with_scipy() -> None:
    generator = np.random.default_rng(0)
    x = np.arange(12.0)
    y = 0.12 * x + generator.normal(size=12)
    found = permute_within([(x, y)])
    assert not found.exact
    expected = stats.permutation_test(
        (y,), lambda order: abs(stats.spearmanr(x, order).statistic), permutation_type="pairings",
        alternative="greater", n_resamples=3000, rng=np.random.default_rng(1),
    )  # fmt: skip
    assert found.p == pytest.approx(expected.pvalue, abs=0.03)
    assert permute_within([(x, x)]).p == pytest.approx(1 / 10_001)


def test_what_differs_between_series_moves_nothing() -> None:
    """Series of higher rates that are higher by far: pooled, a trend; within them, none."""
    generator = np.random.default_rng(8)
    ps = []
    for _ in range(400):
        series = [(np.arange(4.0) + 10 * i, 50 * i + generator.normal(size=4)) for i in range(3)]
        ps.append(permute_within(series).p)
        x, y = (np.concatenate(parts) for parts in zip(*series, strict=True))
        assert pearson(x, y) > 0.9
    assert 0.02 <= np.mean(np.array(ps) <= 0.05) <= 0.08


def test_the_interval_of_pearson_is_scipys() -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 15))
    expected = stats.pearsonr(x, y).confidence_interval()
    assert correlation_interval(pearson(x, y), 15, of_ranks=False) == pytest.approx(expected, abs=1e-9)
    assert all(map(math.isnan, correlation_interval(0.3, 4, of_ranks=True)))
    assert all(map(math.isnan, correlation_interval(1.0, 20, of_ranks=True)))


@pytest.mark.parametrize("how", ["fisher", "bootstrap"])
def test_intervals_of_a_rank_correlation_cover_it(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunescope.measures.rank_trends.DRAWS", 1000)
    rho, n, trials = 0.5, 60, 300
    truth = 6 / math.pi * math.asin(rho / 2)  # of two normal variables
    generator, inside = np.random.default_rng(2), 0
    for _ in range(trials):
        x, noise = generator.normal(size=(2, n))
        y = rho * x + math.sqrt(1 - rho**2) * noise
        low, high = (
            correlation_interval(spearman(x, y), n, of_ranks=True)
            if how == "fisher"
            else correlation_bootstrap(x, y, of_ranks=True)
        )
        inside += low <= truth <= high
    assert inside / trials == pytest.approx(0.95, abs=0.03)


def test_classes_are_reordered_alike_in_all_networks() -> None:
    generator = np.random.default_rng(4)
    x, y = generator.normal(size=(2, 3, 4))
    mean, found = permute_together(x, y)

    def total(order: tuple[int, ...]) -> float:
        return float(
            np.mean([stats.spearmanr(a, b[list(order)]).statistic for a, b in zip(x, y, strict=True)])
        )

    every = [total(order) for order in itertools.permutations(range(4))]
    assert mean == pytest.approx(total((0, 1, 2, 3)))
    assert found.exact
    assert found.p == pytest.approx(np.mean(np.abs(every) >= abs(mean) - 1e-9))


def test_one_network_seen_many_times_is_not_many() -> None:
    x, y = np.random.default_rng(5).normal(size=(2, 1, 10))
    once = permute_together(x, y)
    often = permute_together(np.repeat(x, 50, axis=0), np.repeat(y, 50, axis=0))
    assert often[0] == pytest.approx(once[0])
    assert often[1].p == pytest.approx(once[1].p)
