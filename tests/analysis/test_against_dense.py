"""Differences to the dense network, equality and sweet spots: against scipy, statsmodels and worked examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from analysis.made_run import write_run
from analysis.made_units import units_of, write_scored
from prunescope.analysis.finding import Finding
from prunescope.analysis.findings import find
from prunescope.analysis.results import read_results
from prunescope.errors import PrunescopeError

Seeds = Sequence[float]


def top1_of(values: Seeds) -> list[dict[str, float]]:
    return [{"top1": value} for value in values]


def over_seeds(folder: Path, dense: Seeds, pruned: Mapping[str, Mapping[str, Seeds]]) -> list[Finding]:
    series = {name: {rate: top1_of(own) for rate, own in rates.items()} for name, rates in pruned.items()}
    return find(read_results(write_run(folder, top1_of(dense), series)))


def rows(findings: Sequence[Finding], question: str, target: str | None = None) -> list[Finding]:
    return [
        each
        for each in findings
        if each.question == question and each.series and (target is None or each.target == target)
    ]


DENSE = [0.90, 0.91, 0.92, 0.93, 0.94]
CHANGES = {"0.5": [0.01, 0.02, 0.01, 0.02, 0.03], "0.8": [-0.01, 0.0, 0.01, 0.02, -0.03],
           "0.9": [-0.2, -0.22, -0.25, -0.21, -0.22]}  # fmt: skip


@pytest.fixture
def seeded(tmp_path: Path) -> list[Finding]:
    changed = {rate: [a + b for a, b in zip(DENSE, own, strict=True)] for rate, own in CHANGES.items()}
    return over_seeds(tmp_path / "run", DENSE, {"weights": changed})


def test_over_seeds_it_is_the_paired_t_test_with_holm(seeded: list[Finding]) -> None:
    found = rows(seeded, "difference")
    assert [each.target for each in found] == list(CHANGES)
    tests = [stats.ttest_1samp(changes, 0.0) for changes in CHANGES.values()]
    assert [each.p for each in found] == pytest.approx([test.pvalue for test in tests], rel=1e-6)
    corrected = multipletests([test.pvalue for test in tests], method="holm")[1]
    assert [each.p_holm for each in found] == pytest.approx(corrected.tolist(), rel=1e-6)
    for each, test, changes in zip(found, tests, CHANGES.values(), strict=True):
        assert (each.low, each.high) == pytest.approx(test.confidence_interval(0.95), abs=1e-5)
        assert each.estimate == pytest.approx(np.mean(changes))
        assert each.effect == pytest.approx(np.mean(changes) / np.std(changes, ddof=1))
        assert (each.n, each.resampled) == (5, "seed")
    assert [each.verdict for each in found] == ["shown", "not shown", "shown"]


def test_equality_is_shown_only_within_the_margin_and_not_by_a_large_p(tmp_path: Path) -> None:
    noisy = [0.95, 0.86, 0.97, 0.88, 0.95]
    near = [0.9003, 0.9095, 0.9202, 0.9304, 0.9396]
    findings = over_seeds(tmp_path / "run", DENSE, {"weights": {"0.5": noisy, "0.8": near}})
    unsure, equal = rows(findings, "equivalence")
    assert (unsure.verdict, equal.verdict) == ("not shown", "shown to be equal")
    assert [each.verdict for each in rows(findings, "difference")] == ["not shown", "not shown"]
    ps = [DescrStatsW(np.subtract(own, DENSE)).ttost_mean(-0.01, 0.01)[0] for own in (noisy, near)]
    assert [unsure.p, equal.p] == pytest.approx(ps, rel=1e-6)
    assert equal.p_holm == pytest.approx(2 * equal.p)
    assert "is shown to be equal to dense within ± 1 point (90 % interval" in equal.sentence
    assert unsure.sentence.startswith(
        "That the top-1 accuracy of “weights” at 50 % is equal to dense within ± 1 point is not shown"
    )


def test_a_margin_can_be_given(tmp_path: Path) -> None:
    near = [0.9003, 0.9095, 0.9202, 0.9304, 0.9396]
    run = write_run(tmp_path / "run", top1_of(DENSE), {"weights": {"0.8": top1_of(near)}})
    wide, narrow = (
        rows(find(read_results(run), margins), "equivalence") for margins in (None, {"top1": 1e-4})
    )
    assert (wide[0].verdict, wide[0].margin) == ("shown to be equal", 0.01)
    assert (narrow[0].verdict, narrow[0].margin) == ("not shown", 1e-4)
    assert "± 0.01 points" in narrow[0].sentence


def test_one_seed_without_images_has_no_interval_and_says_so(tmp_path: Path) -> None:
    findings = over_seeds(tmp_path / "run", [0.9], {"weights": {"0.5": [0.8]}})
    (difference,) = rows(findings, "difference")
    assert (difference.verdict, difference.resampled) == ("no interval", "")
    assert math.isnan(difference.low)
    assert "10.0 points lower than dense (90.0 %); one seed: no interval" in difference.sentence
    (equality,) = [each for each in findings if each.question == "equivalence"]
    assert equality.verdict == "no interval"
    assert "cannot be said" in equality.sentence
    assert not rows(findings, "sweet spot")


def test_seeds_that_are_one_network_are_one(tmp_path: Path) -> None:
    """A network pruned without chance, and not trained, is the same for every seed: three of it say no more."""
    alike = [{"top1": 0.8, "cross_entropy": 1.0}] * 3
    dense = [{"top1": 0.9, "cross_entropy": 0.5}] * 3
    findings = find(read_results(write_run(tmp_path / "run", dense, {"weights": {"0.5": alike}})))
    (difference,) = rows(findings, "difference")
    assert (difference.verdict, difference.n) == ("no interval", 1)


def test_seeds_that_differ_by_the_same_give_no_interval(tmp_path: Path) -> None:
    findings = over_seeds(tmp_path / "run", [0.9, 0.8, 0.7], {"weights": {"0.5": [0.8, 0.7, 0.6]}})
    (difference,) = rows(findings, "difference")
    assert difference.verdict == "no interval"
    assert "all 3 seeds differ by the same" in difference.sentence


def of_images(folder: Path, flips: Mapping[str, tuple[int, int]], n: int = 500) -> list[Finding]:
    """A dense network right on 400 of 500 images, and others that lose and gain some of them."""
    right = np.arange(n) < 0.8 * n
    images = {"dense-0": right}
    for rate, (lost, gained) in flips.items():
        own = right.copy()
        own[:lost], own[n - gained :] = False, True
        images[f"weights-{rate}-0"] = own
    pruned = {rate: top1_of([images[f"weights-{rate}-0"].mean()]) for rate in flips}
    return find(read_results(write_run(folder, top1_of([0.8]), {"weights": pruned}, images=images)))


def test_one_seed_is_compared_over_the_same_images(tmp_path: Path) -> None:
    flips = {"0.3": (10, 14), "0.6": (60, 20), "0.9": (1, 40)}
    found = rows(of_images(tmp_path / "run", flips), "difference")
    for each, (lost, gained) in zip(found, flips.values(), strict=True):
        assert each.p == pytest.approx(mcnemar([[0, lost], [gained, 0]], exact=True).pvalue)
        assert each.estimate == pytest.approx((gained - lost) / 500)
        assert (each.n, each.resampled) == (500, "image")
        assert each.effect == pytest.approx(gained / (lost + gained))
        changes = np.repeat([-1, 1, 0], [lost, gained, 500 - lost - gained])
        t = stats.t.interval(0.95, 499, changes.mean(), stats.sem(changes))
        assert (each.low, each.high) == pytest.approx(t, abs=0.002)
    assert [each.verdict for each in found] == ["not shown", "shown", "shown"]
    assert found[1].sentence.startswith(
        "Over the same 500 images, the top-1 accuracy of “weights” at 60 % is 8.0 points lower"
    )


def test_a_sweet_spot_is_a_rate_shown_to_be_better(tmp_path: Path) -> None:
    (spot,) = rows(
        of_images(tmp_path / "a", {"0.3": (10, 14), "0.6": (60, 20), "0.9": (1, 40)}), "sweet spot"
    )
    assert (spot.verdict, spot.target, spot.estimate) == ("shown", "0.9", pytest.approx(0.078))
    assert spot.weight > 0
    assert spot.sentence.startswith(
        "At 1 of 3 rates (90 %), the top-1 accuracy of “weights” is shown to be better than dense (Holm"
    )
    (none,) = rows(of_images(tmp_path / "b", {"0.3": (10, 14), "0.6": (60, 20)}), "sweet spot")
    assert (none.verdict, none.target, none.weight) == ("not shown", "0.3", 0)
    assert "At none of its 2 rates" in none.sentence


def test_a_measure_of_which_less_is_better_has_its_sweet_spot_below(tmp_path: Path) -> None:
    dense = [{"calibration_error": value} for value in (0.10, 0.12, 0.14, 0.11)]
    better = [{"calibration_error": value} for value in (0.05, 0.06, 0.10, 0.06)]
    findings = find(read_results(write_run(tmp_path / "run", dense, {"weights": {"0.5": better}})))
    (spot,) = rows(findings, "sweet spot")
    assert spot.verdict == "shown"
    assert "lower (95 % interval −6.3 to −3.7 points)" in spot.sentence


def test_answers_that_are_not_those_scored_are_not_used(tmp_path: Path) -> None:
    right = np.arange(100) < 80
    run = write_run(tmp_path / "run", top1_of([0.5]), {"weights": {"0.5": top1_of([0.4])}},
                    images={"dense-0": right, "weights-0.5-0": ~right})  # fmt: skip
    (difference,) = rows(find(read_results(run)), "difference")
    assert difference.verdict == "no interval"


def test_without_answers_shares_are_compared_as_if_of_different_images(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", top1_of([0.8]), {"weights": {"0.5": top1_of([0.7])}})
    scores = pd.read_parquet(run / "tables" / "scores.parquet").assign(n=400)
    scores.to_parquet(run / "tables" / "scores.parquet")
    (difference,) = rows(find(read_results(run)), "difference")
    from statsmodels.stats.proportion import confint_proportions_2indep

    expected = confint_proportions_2indep(280, 400, 320, 400, method="agresti-caffo")
    assert difference.high - difference.low == pytest.approx(expected[1] - expected[0], rel=1e-6)
    assert (difference.verdict, difference.resampled) == ("shown", "image")
    assert "as if of different images" in difference.method


def unit_runs(seed: int, n: int = 300) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """A dense network, one of it in which half of one layer is dead, and the changes of the units alive in both."""
    generator = np.random.default_rng(seed)
    scores = {layer: generator.random(n // 2) for layer in ("a", "b")}
    changed = {layer: own + 0.02 + 0.05 * generator.normal(size=len(own)) for layer, own in scores.items()}
    dead = {"b": np.arange(n // 2) % 2 == 0}
    alive = {"a": np.ones(n // 2, dtype=bool), "b": ~dead["b"]}
    changes = np.concatenate([(changed[layer] - scores[layer])[alive[layer]] for layer in scores])
    return units_of("dense-0", scores), units_of("filters-0.5-0", changed, dead), changes


def test_scores_are_compared_over_the_units_alive_in_both(tmp_path: Path) -> None:
    dense, pruned, changes = unit_runs(0)
    run = write_scored(tmp_path / "run", {"dense-0": dense, "filters-0.5-0": pruned}, {"filters": ["0.5"]})
    (found,) = [each for each in rows(find(read_results(run)), "difference") if each.measure == "mis"]
    assert found.n == len(changes) == 225
    assert found.estimate == pytest.approx(changes.mean())
    assert found.p == pytest.approx(stats.ttest_1samp(changes, 0.0).pvalue, rel=1e-6)
    expected = stats.bootstrap((changes,), np.mean, method="percentile", rng=np.random.default_rng(1))
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval, abs=4e-4)
    assert found.sentence.startswith("Over the 225 units alive in both, the MIS of “filters” at 50 % is 0.0")
    assert found.sentence.endswith(": shown.")


def test_intervals_over_units_cover_the_change(tmp_path: Path) -> None:
    """Units of two hundred draws from one population: in 95 of 100 the interval holds its mean change, .02."""
    units, names = {}, [str(0.001 * i)[:5] for i in range(1, 201)]
    generator = np.random.default_rng(7)
    dense = generator.random(60)
    units["dense-0"] = units_of("dense-0", {"a": dense})
    for name in names:
        changed = dense + 0.02 + 0.1 * (generator.gamma(2, size=60) - 2)
        units[f"filters-{name}-0"] = units_of(f"filters-{name}-0", {"a": changed})
    run = write_scored(tmp_path / "run", units, {"filters": names})
    found = [each for each in rows(find(read_results(run)), "difference") if each.measure == "mis"]
    inside = np.mean([each.low <= 0.02 <= each.high for each in found])
    assert len(found) == 200
    assert inside == pytest.approx(0.95, abs=0.03)


def test_counts_of_detectors_are_compared_over_units(tmp_path: Path) -> None:
    was, now = np.arange(400) < 100, (np.arange(400) >= 60) & (np.arange(400) < 110)
    units = pd.concat(
        pd.DataFrame({"network": name, "layer": "a", "kind": "conv", "unit": range(400), "detector": own})
        for name, own in (("dense-0", was), ("filters-0.5-0", now))
    )
    run = write_run(tmp_path / "run", [{"detectors": 100.0}], {"filters": {"0.5": [{"detectors": 50.0}]}},
                    more={"units": units})  # fmt: skip
    (found,) = rows(find(read_results(run)), "difference")
    assert (found.estimate, found.n) == (pytest.approx(-50), 400)
    assert found.p == pytest.approx(mcnemar([[0, 60], [10, 0]], exact=True).pvalue)
    assert "is 50 lower than dense (100) (95 % interval −6" in found.sentence


def test_maps_are_compared_over_the_same_images(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    gini = {"dense-0": generator.random(50)}
    gini["filters-0.5-0"] = gini["dense-0"] + 0.1 + 0.1 * generator.normal(size=50)
    table = pd.concat(
        pd.DataFrame(
            {"network": name, "method": "grad-cam", "image": [f"i{i}" for i in range(50)], "label": 0, "target": 0,
             "prediction": 0, "confidence": 0.5, "correct": True, "empty": False, "gini": own}
        )
        for name, own in gini.items()
    )  # fmt: skip
    metrics = {name: {"grad-cam/gini": own.mean()} for name, own in gini.items()}
    run = write_run(tmp_path / "run", [metrics["dense-0"]], {"filters": {"0.5": [metrics["filters-0.5-0"]]}},
                    more={"explanations": table})  # fmt: skip
    (found,) = rows(find(read_results(run)), "difference")
    expected = stats.ttest_rel(gini["filters-0.5-0"], gini["dense-0"])
    assert (found.p, found.n, found.resampled) == (pytest.approx(expected.pvalue), 50, "image")


def test_a_measure_that_some_networks_lack_is_compared_for_the_others(tmp_path: Path) -> None:
    dense = [{"top1": 0.9, "mis": 0.7}, {"top1": 0.91}]
    pruned = {
        "weights": {
            "0.5": [{"top1": 0.8, "mis": 0.6}, {"top1": 0.85}],
            "0.8": [{"top1": 0.7}, {"top1": 0.72}],
        }
    }
    findings = rows(find(read_results(write_run(tmp_path / "run", dense, pruned))), "difference")
    assert [(each.measure, each.target, each.verdict) for each in findings] == [
        ("top1", "0.5", "not shown"),
        ("top1", "0.8", "shown"),
        ("mis", "0.5", "no interval"),
        ("mis", "0.8", "no interval"),
    ]
    assert findings[3].sentence == (
        "The MIS of “weights” at 80 % cannot be compared with dense: it was not measured of both."
    )


def test_controls_are_tested_but_not_counted_in_short(tmp_path: Path) -> None:
    lower = [value - change for value, change in zip(DENSE, (0.2, 0.21, 0.22, 0.2, 0.2), strict=True)]
    series = {name: {"0.5": top1_of(lower), "0.8": top1_of(lower)} for name in ("weights", "control")}
    run = write_run(tmp_path / "run", top1_of(DENSE), series, controls={"control": "random mask"})
    findings = find(read_results(run))
    assert len(rows(findings, "difference")) == 4
    (short,) = [each for each in findings if each.question == "difference" and not each.series]
    assert "lower than dense in 2 of 2 pruned networks" in short.sentence
    assert short.weight > 0
    assert short.figure == "top1-by-rate"


@pytest.mark.parametrize("networks", [{}, {"weights": {}}])
def test_nothing_pruned_gives_no_findings(tmp_path: Path, networks: dict[str, dict[str, Seeds]]) -> None:
    assert over_seeds(tmp_path / "run", [0.9, 0.91], networks) == []


def test_units_that_are_never_alive_in_both_cannot_be_compared(tmp_path: Path) -> None:
    scores = {"a": np.linspace(0.4, 0.8, 40)}
    half = np.arange(40) < 20
    units = {name: units_of(name, scores, {"a": dead}) for name, dead in
             (("dense-0", half), ("filters-0.5-0", ~half))}  # fmt: skip
    run = write_scored(tmp_path / "run", units, {"filters": ["0.5"]})
    (found,) = [each for each in rows(find(read_results(run)), "difference") if each.measure == "mis"]
    assert found.sentence.endswith("cannot be compared with dense: only 0 units can be compared.")


def test_detectors_of_several_seeds_are_counted_where_others_have_one(tmp_path: Path) -> None:
    """One series has three seeds, another one: counts of the first are not turned into shares of units."""

    def units(name: str, detectors: int) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "network": name,
                "layer": "a",
                "kind": "conv",
                "unit": range(200),
                "detector": np.arange(200) < detectors,
            }
        )

    dense, many = [100, 110, 90], [80, 95, 60]
    numbers = {f"dense-{i}": n for i, n in enumerate(dense)} | {f"a-0.5-{i}": n for i, n in enumerate(many)}
    numbers["b-0.5-0"] = 50
    pruned = {"a": {"0.5": [{"detectors": float(n)} for n in many]}, "b": {"0.5": [{"detectors": 50.0}]}}
    run = write_run(tmp_path / "run", [{"detectors": float(n)} for n in dense], pruned,
                    more={"units": pd.concat(units(*pair) for pair in numbers.items())})  # fmt: skip
    a, b = rows(find(read_results(run)), "difference")
    assert (a.estimate, a.resampled) == (pytest.approx(np.mean([-20, -15, -30])), "seed")
    assert (b.estimate, b.resampled) == (pytest.approx(-50), "unit")


def test_seeds_without_a_unit_alive_in_both_cannot_be_compared(tmp_path: Path) -> None:
    scores, half = {"a": np.linspace(0.4, 0.8, 40)}, np.arange(40) < 20
    units = pd.concat(
        units_of(f"{name}-{seed}", scores, {"a": dead})
        for seed in range(2)
        for name, dead in (("dense", half), ("filters-0.5", ~half))
    )
    metrics = [{"mis": 0.5}, {"mis": 0.6}]
    run = write_run(tmp_path / "run", metrics, {"filters": {"0.5": metrics}}, more={"units": units})
    (found,) = rows(find(read_results(run)), "difference")
    assert found.sentence.endswith(
        "cannot be compared with dense: nothing was measured of both, in any seed."
    )


def test_the_row_of_networks_that_are_all_equal_is_that_of_the_test_of_equality(tmp_path: Path) -> None:
    near = {rate: np.add(DENSE, own).tolist() for rate, own in
            (("0.5", [1e-4, -2e-4, 3e-4, 1e-4, -3e-4]), ("0.8", [2e-4, -3e-4, 1e-4, 4e-4, -3e-4]))}  # fmt: skip
    findings = over_seeds(tmp_path / "run", DENSE, {"weights": near})
    (short,) = [each for each in findings if each.question == "difference" and not each.series]
    equal = {each.p for each in rows(findings, "equivalence")}
    assert (short.verdict, short.p in equal) == ("shown to be equal", True)
    assert "of 2 pruned networks, each the mean of its seeds" in short.sentence


def test_a_margin_for_maps_that_were_not_made_is_refused(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run", [{"grad-cam/gini": 0.5}], {"weights": {"0.5": [{"grad-cam/gini": 0.4}]}}
    )
    with pytest.raises(PrunescopeError, match=r"'gradcam/gini', which was not measured.*'grad-cam/gini'"):
        find(read_results(run), {"gradcam/gini": 0.1})
    assert find(read_results(run), {"grad-cam/gini": 0.1})[-1].margin == 0.1


def test_equality_is_corrected_for_the_number_of_networks(tmp_path: Path) -> None:
    """Each of three is equal by itself; of three, two are not shown to be."""
    changes = {"0.5": [0.008, -0.006, 0.007, -0.008, 0.006], "0.7": [0.007, -0.007, 0.008, -0.007, 0.006],
               "0.8": [2e-4, -3e-4, 1e-4, 4e-4, -3e-4]}  # fmt: skip
    near = {rate: np.add(DENSE, own).tolist() for rate, own in changes.items()}
    found = rows(over_seeds(tmp_path / "run", DENSE, {"weights": near}), "equivalence")
    ps = [DescrStatsW(np.array(own)).ttost_mean(-0.01, 0.01)[0] for own in changes.values()]
    assert max(ps) < 0.05
    corrected = multipletests(ps, method="holm")[1]
    assert [each.p_holm for each in found] == pytest.approx(corrected.tolist(), rel=1e-6)
    assert [each.verdict for each in found] == ["not shown", "not shown", "shown to be equal"]


def test_what_is_lower_by_more_than_the_margin_is_not_equal(tmp_path: Path) -> None:
    far = {"0.5": np.add(DENSE, [-0.2, -0.201, -0.199, -0.2, -0.202]).tolist()}
    (found,) = rows(over_seeds(tmp_path / "run", DENSE, {"weights": far}), "equivalence")
    assert (found.verdict, found.p > 0.99) == ("not shown", True)


def test_over_seeds_the_units_alive_in_both_are_compared_in_each(tmp_path: Path) -> None:
    tables, changes = [], []
    for seed in range(3):
        dense, pruned, own = unit_runs(seed)
        tables += [table.assign(network=f"{name}-{seed}") for table, name in
                   ((dense, "dense"), (pruned, "filters-0.5"))]  # fmt: skip
        changes.append(own.mean())
    metrics = [{"mis": 0.5}, {"mis": 0.6}, {"mis": 0.7}]
    run = write_run(
        tmp_path / "run", metrics, {"filters": {"0.5": metrics}}, more={"units": pd.concat(tables)}
    )
    (found,) = [each for each in rows(find(read_results(run)), "difference") if each.measure == "mis"]
    assert (found.n, found.resampled) == (3, "seed")
    assert found.estimate == pytest.approx(np.mean(changes))
    assert found.p == pytest.approx(stats.ttest_1samp(changes, 0.0).pvalue, rel=1e-6)
