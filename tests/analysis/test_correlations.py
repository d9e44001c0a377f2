"""Which measures go together, over networks and over classes: against scipy, and what cannot be computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis.made_run import write_run
from analysis.made_units import units_of
from prunescope.analysis.class_correlations import class_correlations
from prunescope.analysis.correlations import correlations
from prunescope.analysis.finding import Finding
from prunescope.analysis.results import read_results


def networks_of(folder: Path, mis: Sequence[float], top1: Sequence[float], series: int = 2) -> list[Finding]:
    """Correlations of a run whose networks have these numbers, dealt to so many series."""
    numbers = [{"mis": a, "top1": b} for a, b in zip(mis, top1, strict=True)]
    pruned = {
        f"series {i}": {f"{0.01 + 0.9 * j / len(mis):.3f}": [own] for j, own in enumerate(numbers[i::series])}
        for i in range(series)
    }
    run = write_run(folder, [{"mis": 0.5, "top1": 0.9}], pruned)
    return list(correlations(read_results(run), {}))


def one(findings: Sequence[Finding], question: str) -> Finding:
    (found,) = [each for each in findings if each.question == question]
    return found


def test_few_networks_have_fishers_interval_and_every_order_counted(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 7))
    findings = networks_of(tmp_path / "run", x, y)
    ranks, line = one(findings, "correlation"), one(findings, "linear correlation")
    expected = stats.pearsonr(x, y)
    assert (line.estimate, line.p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-6)
    assert (line.low, line.high) == pytest.approx(expected.confidence_interval(), rel=1e-6)
    assert ranks.estimate == pytest.approx(stats.spearmanr(x, y).statistic)
    exact = stats.permutation_test(
        (x,), lambda order: abs(stats.spearmanr(order, y).statistic), permutation_type="pairings",
        alternative="greater", n_resamples=math.factorial(7),
    )  # fmt: skip
    assert ranks.p == pytest.approx(exact.pvalue, abs=1e-9)
    assert (ranks.measure, ranks.n, ranks.resampled, ranks.figure) == (
        "mis and top1",
        7,
        "network",
        "top1-by-mis",
    )


def test_many_networks_are_resampled(tmp_path: Path) -> None:
    x, noise = np.random.default_rng(1).normal(size=(2, 40))
    y = x + noise
    findings = networks_of(tmp_path / "run", x, y, series=4)
    line = one(findings, "linear correlation")
    expected = stats.bootstrap(
        (x, y), lambda a, b: stats.pearsonr(a, b).statistic, paired=True, vectorized=False, n_resamples=2000,
        method="percentile", rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert (line.low, line.high) == pytest.approx(expected, abs=0.04)
    assert "bootstrap" in line.method
    assert line.verdict == "shown"


def test_what_only_differs_between_series_is_no_correlation_within_them(tmp_path: Path) -> None:
    """Networks of one series have high MIS and high accuracy, those of the other low ones; within, nothing."""
    generator = np.random.default_rng(5)
    level = np.tile([0.0, 1.0], 6)
    x, y = level + 0.1 * generator.normal(size=12), level + 0.1 * generator.normal(size=12)
    findings = networks_of(tmp_path / "run", x, y)
    assert one(findings, "correlation").verdict == "shown"
    within = one(findings, "correlation within series")
    expected = np.mean([stats.spearmanr(x[i::2], y[i::2]).statistic for i in range(2)])
    assert (within.estimate, within.n) == (pytest.approx(expected), 2)
    assert within.verdict == "not shown"


@pytest.mark.parametrize(
    ("mis", "top1", "why"),
    [
        ([0.5, 0.6, 0.7], [0.1, 0.2, 0.3], "only 3 networks have both"),
        ([0.5] * 5, [0.1, 0.2, 0.3, 0.4, 0.5], "the same in all networks"),
        ([0.5, math.nan, 0.6, math.nan, 0.7], [0.1, 0.2, 0.3, 0.4, 0.5], "only 3 networks have both"),
    ],
)
def test_what_cannot_be_computed_is_said(
    tmp_path: Path, mis: list[float], top1: list[float], why: str
) -> None:
    found = one(networks_of(tmp_path / "run", mis, top1), "correlation")
    assert (found.verdict, math.isnan(found.estimate)) == ("no interval", True)
    assert why in found.sentence


def test_no_measure_no_finding(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [{"top1": 0.9}], {"weights": {"0.5": [{"top1": 0.8}]}})
    results = read_results(run)
    assert list(correlations(results, {})) == list(class_correlations(results, {})) == []


def classes_of(folder: Path, mis: np.ndarray, top1: np.ndarray) -> list[Finding]:
    """Findings on the logits of a dense network and of others: `mis` and `top1` (networks, classes)."""
    names = [f"class {i}" for i in range(mis.shape[1])]
    networks = ["dense-0", *(f"weights-0.{i}-0" for i in range(1, len(mis)))]
    units = pd.concat(
        units_of(name, {"fc": own}, classes=names) for name, own in zip(networks, mis, strict=True)
    )
    accuracy = pd.concat(
        pd.DataFrame({"network": name, "index": range(len(own)), "class": names, "n": 50, "top1": own})
        for name, own in zip(networks, top1, strict=True)
    )
    pruned = {"weights": {f"0.{i}": [{"top1": 0.5}] for i in range(1, len(mis))}}
    run = write_run(folder, [{"top1": 0.5}], pruned, more={"units": units, "classes": accuracy})
    return list(class_correlations(read_results(run), {}))


def test_classes_are_correlated_in_each_network_and_on_average(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    mis, top1 = generator.random((2, 4, 9))
    findings = classes_of(tmp_path / "run", mis, top1)
    own = [each for each in findings if each.question == "correlation within a network"]
    expected = [stats.spearmanr(a, b).statistic for a, b in zip(mis, top1, strict=True)]
    assert [each.estimate for each in own] == pytest.approx(expected)
    mean = one(findings, "correlation")
    assert (mean.estimate, mean.n, mean.measure) == (
        pytest.approx(np.mean(expected)),
        9,
        "class mis and class top1",
    )
    assert "within 4 networks" in mean.sentence


def test_a_network_that_names_all_classes_right_is_left_out(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    mis, top1 = generator.random((2, 3, 6))
    top1[1] = 1.0
    findings = classes_of(tmp_path / "run", mis, top1)
    assert len([each for each in findings if each.question == "correlation within a network"]) == 2
    assert "Left out: 1 in which one is the same for all classes" in one(findings, "correlation").sentence
    nothing = classes_of(tmp_path / "none", mis, np.ones_like(top1))
    assert [each.verdict for each in nothing] == ["no interval"]


def test_three_classes_are_too_few(tmp_path: Path) -> None:
    mis, top1 = np.random.default_rng(4).random((2, 2, 3))
    (found,) = classes_of(tmp_path / "run", mis, top1)
    assert "there are only 3 classes" in found.sentence


def test_controls_are_left_out_of_what_is_said_of_all_series(tmp_path: Path) -> None:
    numbers = [{"mis": 0.5 + 0.1 * i, "top1": 0.9 - 0.1 * i} for i in range(5)]
    rates = {f"0.{i + 1}": [own] for i, own in enumerate(numbers)}
    against = {rate: [{"mis": own[0]["mis"], "top1": own[0]["mis"]}] for rate, own in rates.items()}
    run = write_run(tmp_path / "run", [{"top1": 0.9}], {"weights": rates, "control": against},
                    controls={"control": "random mask"})  # fmt: skip
    found = one(list(correlations(read_results(run), {})), "correlation")
    assert (found.n, found.estimate) == (5, -1)


def test_a_test_that_its_interval_does_not_bear_out_shows_nothing(tmp_path: Path) -> None:
    x, y = np.arange(7.0), np.array([0.0, 3, 1, 2, 6, 4, 5])
    found = one(networks_of(tmp_path / "run", x / 10, y / 10), "correlation")
    assert (found.p < 0.05, found.low < 0 < found.high) == (True, True)
    assert found.verdict == "not shown"
    assert "but the interval holds 0" in found.sentence


def test_networks_are_corrected_for_how_many_there_are(tmp_path: Path) -> None:
    mis, top1 = np.random.default_rng(2).random((2, 4, 9))
    top1[0] = mis[0]
    findings = classes_of(tmp_path / "run", mis, top1)
    own = [each for each in findings if each.question == "correlation within a network"]
    corrected = multipletests([each.p for each in own], method="holm")[1]
    assert [each.p_holm for each in own] == pytest.approx(corrected.tolist())
    assert own[0].p_holm > own[0].p
