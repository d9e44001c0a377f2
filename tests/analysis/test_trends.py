"""Trends with the rate: within series, over series, by a mixed model; and that the test has its level."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis.made_run import write_run
from prunescope.analysis.courses import Course
from prunescope.analysis.finding import Finding
from prunescope.analysis.metric_words import MEASURES
from prunescope.analysis.results import read_results
from prunescope.analysis.trends import _permutation, trends
from prunescope.measures.rank_trends import correlation_interval

RATES = ("0.2", "0.4", "0.6", "0.8")


def trends_of(folder: Path, series: Mapping[str, Sequence[float]], **more: object) -> list[Finding]:
    """The trends of top-1 over series with one seed; NaN for a network that lacks it."""
    pruned = {
        name: {rate: [{"top1": value, "mis": 0.7}] for rate, value in zip(RATES, values, strict=False)}
        for name, values in series.items()
    }
    run = write_run(folder, [{"top1": 0.9, "mis": 0.7}], pruned, **more)  # type: ignore[arg-type]
    return list(trends(read_results(run), {}))


def one(findings: Sequence[Finding], question: str, measure: str = "top1") -> Finding:
    (found,) = [each for each in findings if each.question == question and each.measure == measure]
    return found


def test_four_rates_of_one_series_show_nothing_and_it_is_said_why(tmp_path: Path) -> None:
    findings = trends_of(tmp_path / "run", {"weights": [0.9, 0.8, 0.7, 0.6]})
    own = one(findings, "trend within a series")
    assert (own.estimate, own.p, own.verdict) == (-1, pytest.approx(1 / 12), "not shown")
    assert "4 rates cannot give less than 0.083" in own.sentence
    assert own.weight > 0  # the only series there is: its row speaks for all
    assert not [each for each in findings if each.question == "trend"]


def test_over_series_the_orders_within_each_are_counted(tmp_path: Path) -> None:
    series = {"a": [0.9, 0.8, 0.7, 0.6], "b": [0.5, 0.45, 0.44, 0.3], "c": [0.99, 0.97, 0.98, 0.9]}
    findings = trends_of(tmp_path / "run", series)
    whole = one(findings, "trend")
    assert whole.estimate == pytest.approx((-1 - 1 - 0.8) / 3)
    assert whole.p == pytest.approx(
        2 * (1 + 3 * 3) / 24**3
    )  # all at -1, or one of three with two neighbours swapped
    assert (whole.verdict, whole.n, whole.resampled) == ("shown", 3, "series")
    expected = stats.t.interval(0.95, 2, whole.estimate, stats.sem([-1, -1, -0.8]))
    assert whole.low == pytest.approx(max(expected[0], -1))
    assert whole.high == pytest.approx(expected[1], abs=1e-4)
    assert "In all 3 series, the top-1 accuracy falls with the rate (mean" in whole.sentence
    pooled = one(findings, "trend, pooled")
    rates, values = [0.2, 0.4, 0.6, 0.8] * 3, np.concatenate(list(series.values()))
    assert pooled.estimate == pytest.approx(stats.pearsonr(rates, values).statistic)
    assert pooled.verdict == "described"


def test_the_slope_is_told_per_ten_points_of_the_rate(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    noise = 0.001 * generator.normal(size=(3, 4))
    series = {str(i): (0.9 - 0.2 * i - 0.5 * np.arange(0.2, 0.9, 0.2) + noise[i]).tolist() for i in range(3)}
    line = one(trends_of(tmp_path / "run", series), "trend by mixed model")
    assert line.estimate == pytest.approx(-0.5, abs=0.01)
    assert line.low < line.estimate < line.high
    assert "falls by 5.0 points with every 10 points of the rate" in line.sentence
    ends = " to ".join(
        f"−{abs(10 * end):.1f}" for end in (line.low, line.high)
    )  # points, for a tenth of the rate
    assert f"(95 % interval {ends} points; mixed model, p < 0.001)" in line.sentence
    assert line.verdict == "shown"


def test_each_seed_is_a_series_of_its_own(tmp_path: Path) -> None:
    values = [[0.9, 0.8, 0.7], [0.8, 0.75, 0.6], [0.85, 0.8, 0.5]]
    pruned = {"weights": {rate: [{"top1": own[i]} for own in values] for i, rate in enumerate(RATES[:3])}}
    run = write_run(tmp_path / "run", [{"top1": 0.9}] * 3, pruned)
    findings = list(trends(read_results(run), {}))
    whole = one(findings, "trend")
    assert (whole.n, whole.p) == (3, pytest.approx(2 / 6**3))
    assert "In all 3 series (each seed is one)" in whole.sentence
    assert [each.about for each in findings if each.question == "trend within a series"] == [
        f"“weights” (seed {seed})" for seed in range(3)
    ]


def test_controls_are_left_out_of_what_is_said_of_all_series(tmp_path: Path) -> None:
    series = {"a": [0.9, 0.8, 0.7], "b": [0.9, 0.8, 0.7], "control": [0.1, 0.2, 0.3]}
    findings = trends_of(tmp_path / "run", series, controls={"control": "random mask"})
    assert (one(findings, "trend").n, one(findings, "trend").estimate) == (2, -1)
    assert (
        len(
            [each for each in findings if each.question == "trend within a series" and each.measure == "top1"]
        )
        == 3
    )


def test_a_constant_measure_has_no_trend_and_no_warning(tmp_path: Path) -> None:
    findings = trends_of(tmp_path / "run", {"a": [0.9, 0.8, 0.7], "b": [0.9, 0.9, 0.9]})
    assert "Left out: 1 with one rate, or the same value at all" in one(findings, "trend").sentence
    constant = one(findings, "trend", "mis")
    assert (constant.verdict, math.isnan(constant.estimate)) == ("no interval", True)
    own = [each for each in findings if each.question == "trend within a series" and each.series == "b"]
    assert {each.verdict for each in own} == {"no interval"}
    assert "the same at all 3 rates" in own[0].sentence


def test_one_rate_is_no_trend(tmp_path: Path) -> None:
    findings = trends_of(tmp_path / "run", {"a": [0.9], "b": [0.8]})
    assert one(findings, "trend").verdict == "no interval"
    assert not [each for each in findings if each.question in {"trend by mixed model", "trend, pooled"}]


def test_a_network_without_the_measure_is_left_out(tmp_path: Path) -> None:
    pruned = {"weights": {rate: [{"top1": 0.9 - float(rate) ** 2}] for rate in RATES}}
    pruned["weights"]["0.4"] = [{"mis": 0.5}]
    run = write_run(tmp_path / "run", [{"top1": 0.9}], pruned)
    assert one(list(trends(read_results(run), {})), "trend within a series").n == 3


def test_the_test_over_series_has_its_level(tmp_path: Path) -> None:
    """Measures that depend on the series alone, and chance: a trend is shown in 5 of 100, not more."""
    generator, shown = np.random.default_rng(1), []
    rates = np.array([0.2, 0.4, 0.6, 0.8])
    for _ in range(600):
        courses = [
            Course(f"s{i}", f"s{i}", False, rates + 0.001 * i, i + 0.1 * generator.normal(size=4))
            for i in range(5)
        ]
        shown.append(_permutation("top1", MEASURES["top1"], courses, courses).verdict == "shown")
    assert np.mean(shown) == pytest.approx(0.05, abs=0.02)


def test_trends_within_series_are_corrected_for_how_many_there_are(tmp_path: Path) -> None:
    rates = [f"0.{i}" for i in range(1, 7)]
    values = {
        "a": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
        "b": [0.9, 0.8, 0.6, 0.7, 0.5, 0.4],
        "c": [0.5, 0.9, 0.4, 0.6, 0.5, 0.7],
    }
    pruned = {
        name: {rate: [{"top1": value}] for rate, value in zip(rates, own, strict=True)}
        for name, own in values.items()
    }
    found = list(trends(read_results(write_run(tmp_path / "run", [{"top1": 0.9}], pruned)), {}))
    within = [each for each in found if each.question == "trend within a series"]
    corrected = multipletests([each.p for each in within], method="holm")[1]
    assert [each.p_holm for each in within] == pytest.approx(corrected.tolist())
    assert within[0].p_holm > within[0].p
    low, high = correlation_interval(within[1].estimate, 6, of_ranks=True)
    assert (within[1].low, within[1].high) == (low, high)
    assert f"95 % interval {low:.2f} to {high:.2f}".replace("-", "−") in within[1].sentence


def test_a_trend_of_these_series_that_others_may_not_have_says_so() -> None:
    """Two series of eight rates each, one of them falling only a little: these orders are no chance."""
    rates = np.linspace(0.1, 0.8, 8)
    values = (-rates, np.array([3.0, 5, 4, 2, 6, 1, 3.5, 0]))
    courses = [Course(str(i), f"“{i}”", False, rates, own) for i, own in enumerate(values)]
    found = _permutation("top1", MEASURES["top1"], courses, courses)
    assert (found.verdict, found.low < 0 < found.high) == ("shown", True)
    assert found.sentence.endswith("a trend is shown in these, though the interval over series holds 0.")
