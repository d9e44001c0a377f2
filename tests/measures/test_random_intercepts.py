"""The mixed model against statsmodels and against matrices written out; its intervals cover the slope."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from prunescope.measures.random_intercepts import fit_line

COUNTS = (3, 4, 5, 4, 4, 6, 4, 3)


def made(seed: int, between: float, slope: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eight groups whose heights vary by so much; the noise of each value is 1."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(COUNTS)), COUNTS)
    x = generator.random(len(groups))
    y = slope * x + between * generator.normal(size=len(COUNTS))[groups] + generator.normal(size=len(groups))
    return x, y, groups


@pytest.mark.parametrize("between", [0.7, 1.0, 3.0, 30.0])
def test_it_is_the_fit_of_statsmodels(between: float) -> None:
    x, y, groups = made(1, between)
    design = np.column_stack([np.ones_like(x), x])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = MixedLM(y, design, groups=groups).fit(method=["bfgs", "powell"])
    line = fit_line(x, y, groups)
    assert line.slope == pytest.approx(peer.fe_params[1], rel=1e-3)
    # The error, by its definition, from the variances that statsmodels finds.
    covariance = peer.cov_re[0, 0] * (groups[:, None] == groups) + peer.scale * np.eye(len(x))
    normal = design.T @ np.linalg.solve(covariance, design)
    assert line.error == pytest.approx(math.sqrt(np.linalg.inv(normal)[1, 1]), rel=1e-3)


def test_groups_that_do_not_differ_are_one() -> None:
    """Where the likelihood is highest at no variance between groups, it is ordinary least squares."""
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 4)
    x = generator.random(40)
    noise = generator.normal(size=40)
    noise -= (np.bincount(groups, noise) / 4)[groups]  # groups are more alike than chance makes them
    line, peer = fit_line(x, x + noise, groups), stats.linregress(x, x + noise)
    assert (line.slope, line.error) == pytest.approx((peer.slope, peer.stderr), rel=1e-6)


def test_its_interval_covers_the_slope() -> None:
    inside = []
    for seed in range(400):
        line = fit_line(*made(seed, between=1.0))
        half = stats.t.ppf(0.975, line.freedom) * line.error
        inside.append(abs(line.slope - 2.0) <= half)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize(
    ("x", "y", "groups", "why"),
    [
        ([0.2, 0.4, 0.6], [1, 2, 4], [0, 0, 0], "too few"),
        ([0.2, 0.4, 0.2], [1, 2, 4], [0, 0, 1], "too few"),
        ([0.2, 0.4, 0.2, 0.4], [5, 5, 5, 5], [0, 0, 1, 1], "the same"),
        ([0.2, 0.2, 0.4, 0.4], [1, 2, 3, 4], [0, 0, 1, 1], "the same"),
        ([0.2, 0.4, 0.2, 0.4], [1, 2, 7, 8], [0, 0, 1, 1], "without any error"),
    ],
)
def test_what_cannot_be_fitted_says_why(x: list[float], y: list[float], groups: list[int], why: str) -> None:
    line = fit_line(np.array(x), np.array(y, dtype=float), np.array(groups))
    assert math.isnan(line.slope)
    assert why in line.why


def test_the_unit_of_the_values_is_the_slopes() -> None:
    x, y, groups = made(3, 1.0)
    line, scaled = fit_line(x, y, groups), fit_line(x, 1e6 * y + 5e6, groups)
    assert (scaled.slope, scaled.error) == pytest.approx((1e6 * line.slope, 1e6 * line.error), rel=1e-6)
