"""The bootstrap's intervals cover what they should, and agree with resampling image by image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from prunescope.measures.intervals import (
    bootstrap_mean,
    bootstrap_share,
    mean_interval,
    median_interval,
    t_interval,
    wilson_share,
)


def resampled(values: np.ndarray) -> tuple[float, float]:
    """The bootstrap as it is told: draw as many images as there are, with replacement, many times."""
    generator = np.random.default_rng(123)
    means = [generator.choice(values, len(values)).mean() for _ in range(5000)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


@pytest.mark.parametrize(("hits", "n"), [(30, 50), (45, 60), (190, 200)])
def test_a_share_is_as_if_resampled_image_by_image(hits: int, n: int) -> None:
    expected = resampled(np.array([1.0] * hits + [0.0] * (n - hits)))
    assert bootstrap_share(hits, n) == pytest.approx(expected, abs=0.021)  # a step is 1 / n


def test_a_mean_is_as_if_resampled_image_by_image() -> None:
    values = np.random.default_rng(5).gamma(2, size=80)
    assert bootstrap_mean(values) == pytest.approx(resampled(values), abs=0.03)


def test_a_share_is_a_mean_of_zeros_and_ones() -> None:
    ones = np.repeat([1.0, 0.0], [70, 30])
    assert bootstrap_share(70, 100) == pytest.approx(bootstrap_mean(ones), abs=0.011)


def test_certain_shares_have_no_width() -> None:
    assert bootstrap_share(0, 50) == (0, 0)
    assert bootstrap_share(50, 50) == (1, 1)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (0, 50), (3, 50), (120, 200), (50, 50)])
def test_wilsons_interval_is_scipys(hits: int, n: int) -> None:
    assert wilson_share(hits, n) == pytest.approx(
        stats.binomtest(hits, n).proportion_ci(method="wilson"), abs=1e-12
    )


def test_blocks_of_many_images_are_drawn_like_one(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(100)
    whole = bootstrap_mean(values)
    monkeypatch.setattr("prunescope.measures.intervals._BLOCK", 12_345)
    assert bootstrap_mean(values) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize(("share", "n"), [(0.5, 50), (0.8, 100), (0.9, 200)])
def test_intervals_of_shares_cover_the_truth_95_times_in_100(share: float, n: int) -> None:
    hits, times = np.unique(np.random.default_rng(1).binomial(n, share, 4000), return_counts=True)
    intervals = [bootstrap_share(int(hit), n) for hit in hits]
    covered = sum(
        count for (low, high), count in zip(intervals, times, strict=True) if low <= share <= high
    ) / sum(times)
    assert 0.92 <= covered <= 0.975  # the percentile bootstrap covers a little less at n = 50


def test_intervals_of_means_cover_the_truth_95_times_in_100(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunescope.measures.intervals.DRAWS", 800)
    generator = np.random.default_rng(2)
    found = [bootstrap_mean(generator.normal(3, 1, 60)) for _ in range(600)]
    covered = np.mean([low <= 3 <= high for low, high in found])
    assert 0.91 <= covered <= 0.975


@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 30, 31, 60])
def test_the_interval_over_seeds_holds_95_percent_of_student_t(seeds: int) -> None:
    values = np.arange(seeds, dtype=float)
    low, high = t_interval(list(values))
    assert (low + high) / 2 == pytest.approx(values.mean())
    reach = (high - low) / 2 / (values.std(ddof=1) / np.sqrt(seeds))
    # The density of t, integrated numerically: tan maps its long tails to a finite interval.
    angle = np.linspace(-np.pi / 2, np.pi / 2, 400_001)[1:-1]
    density = np.cos(angle) ** (seeds - 2)  # (1 + t²/ν)^(-(ν+1)/2) dt for t = √ν tan(angle), ν = seeds - 1
    inside = density[np.abs(np.sqrt(seeds - 1) * np.tan(angle)) <= reach].sum() / density.sum()
    assert inside == pytest.approx(0.95, abs=2e-5)


def test_few_values_have_students_interval_and_many_the_bootstraps() -> None:
    values = np.random.default_rng(3).gamma(2, size=30)
    assert mean_interval(values[:29]) == t_interval(values[:29].tolist())
    assert mean_interval(values) == bootstrap_mean(values)
    assert np.isnan(mean_interval(values[:1])).all()


def test_the_interval_of_a_median_ends_at_the_values_that_the_binomial_names() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1.0, 16.0))
    assert median_interval(values) == (4, 12)  # Conover, table A3: n = 15, p = .5
    assert median_interval(np.arange(1.0, 21.0)) == (6, 15)
    assert median_interval(np.array([3.0, 1.0, 2.0, 9.0, 5.0, 4.0])) == (1, 9)  # 1 - 2 / 2**6 = .97
    assert np.isnan(median_interval(np.arange(5.0))).all()
    assert np.isnan(median_interval(np.array([np.nan]))).all()


@pytest.mark.parametrize("n", [15, 50])
def test_the_interval_of_a_median_covers_it_for_skewed_values(n: int) -> None:
    generator, hits = np.random.default_rng(7), 0
    for _ in range(2000):
        low, high = median_interval(generator.lognormal(sigma=2.0, size=n))  # its median is 1
        hits += low <= 1 <= high
    assert 0.945 < hits / 2000 < 0.985  # .965 for 15, .967 for 50
