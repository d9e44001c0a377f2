"""Averages with the layers' proportions held: against a worked example, a loop over units, and simulation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from analysis.made_units import units_of, write_scored
from prunescope.analysis.compositions import Held, compositions, hold_proportions
from prunescope.analysis.finding import Finding
from prunescope.analysis.results import read_results


def live(scores: dict[int, dict[int, float]]) -> pd.DataFrame:
    """Rows of live units: by layer and unit, the score."""
    rows = [(layer, unit, mis) for layer, own in scores.items() for unit, mis in own.items()]
    return pd.DataFrame(rows, columns=["layer", "unit", "mis"])


def test_a_worked_example() -> None:
    """Layer 0 scores .2 and layer 1 .8, in both networks; three of the four low ones die, and the mean rises."""
    dense = live({0: dict.fromkeys(range(4), 0.2), 1: dict.fromkeys(range(4), 0.8)})
    pruned = live({0: {3: 0.2}, 1: dict.fromkeys(range(4), 0.8)})
    held = hold_proportions(pruned, dense, dense)
    assert held.plain == pytest.approx((0.2 + 4 * 0.8) / 5 - 0.5)
    assert held.held == pytest.approx(0.0)
    assert (held.layer, held.before, held.after, held.n) == (1, 0.5, 0.8, 5)


def test_the_standard_error_is_that_of_resampling_units_within_layers() -> None:
    generator = np.random.default_rng(0)
    sizes, kept = {0: 40, 1: 60, 2: 100}, {0: 10, 1: 50, 2: 90}
    dense = {layer: dict(enumerate(generator.random(n))) for layer, n in sizes.items()}
    pruned = {
        layer: {unit: dense[layer][unit] + 0.2 * generator.normal() + 0.1 for unit in range(kept[layer])}
        for layer in sizes
    }
    held = hold_proportions(live(pruned), live(dense), live(dense))
    weights = {layer: n / 200 for layer, n in sizes.items()}
    assert held.held == pytest.approx(
        sum(
            w * (np.mean(list(pruned[i].values())) - np.mean(list(dense[i].values())))
            for i, w in weights.items()
        )
    )
    changes = []
    for _ in range(3000):  # those that die and those that live are drawn apart: how many there are is given
        change = 0.0
        for layer, weight in weights.items():
            alive = generator.integers(kept[layer], size=kept[layer])
            gone = generator.integers(kept[layer], sizes[layer], size=sizes[layer] - kept[layer])
            new = [pruned[layer][unit] for unit in alive]
            old = [dense[layer][unit] for unit in (*alive, *gone)]
            change += weight * (np.mean(new) - np.mean(old))
        changes.append(change)
    assert held.error == pytest.approx(np.std(changes), rel=0.06)


def test_its_interval_covers_the_change() -> None:
    """The units of three layers drawn anew each time; each changes by .05 on average."""
    generator, inside, trials = np.random.default_rng(1), 0, 200
    for _ in range(trials):
        dense, pruned = {}, {}
        for layer, n in enumerate((50, 80, 60)):
            scores = layer + generator.gamma(2, size=n)
            dense[layer] = dict(enumerate(scores))
            pruned[layer] = {
                i: score + 0.05 + 0.5 * generator.normal() for i, score in enumerate(scores) if i % 2
            }
        held = hold_proportions(live(pruned), live(dense), live(dense))
        inside += abs(held.held - 0.05) <= 1.96 * held.error
    assert inside / trials == pytest.approx(0.95, abs=0.03)


def test_a_layer_that_is_gone_is_left_out_and_one_unit_is_enough() -> None:
    dense = live({0: {0: 0.1, 1: 0.2}, 1: {0: 0.6, 1: 0.8}})
    held = hold_proportions(live({1: {1: 0.9}}), dense, dense)
    assert held.held == pytest.approx(0.9 - 0.7)
    assert math.isfinite(held.error)
    assert hold_proportions(live({1: {0: 0.5}}), live({1: {0: 0.4}}), live({1: {0: 0.4}})) == Held(
        pytest.approx(0.1), pytest.approx(0.1), 0.0, 1, 1, 1.0, 1.0
    )


@pytest.fixture
def shifting(tmp_path: Path) -> Path:
    """Two layers whose units keep their scores while ever more of the low layer die; a linear layer beside them."""
    generator = np.random.default_rng(2)
    low, high = 0.4 + 0.1 * generator.random(200), 0.8 + 0.1 * generator.random(100)
    scores = {"low": low, "high": high, "fc": np.full(20, 0.9)}
    units = {"dense-0": units_of("dense-0", scores)}
    for rate in ("0.4", "0.8"):
        noisy = {layer: own + 0.01 * generator.normal(size=len(own)) for layer, own in scores.items()}
        dead = {"low": np.arange(200) < float(rate) * 200}
        units[f"filters-{rate}-0"] = units_of(f"filters-{rate}-0", noisy, dead)
    return write_scored(tmp_path / "run", units, {"filters": ["0.4", "0.8"]})


def findings_of(run: Path) -> list[Finding]:
    return list(compositions(read_results(run), {}))


def test_a_rise_that_is_all_proportions_is_told_apart(shifting: Path) -> None:
    first, last = findings_of(shifting)
    assert last.effect > 0.1
    assert abs(last.estimate) < 0.003
    assert [each.verdict for each in (first, last)] == ["not shown", "not shown"]
    assert [each.weight > 0 for each in (first, last)] == [False, True]
    assert "“high”, has 71 % of the live units, and 33 % unpruned" in last.sentence
    assert (last.resampled, last.n) == ("unit", 140)


def test_without_a_scored_dense_network_the_least_pruned_one_stands_in(shifting: Path) -> None:
    """As in published tables: all convolution and linear units, in the proportions that they have unpruned."""
    path = shifting / "tables" / "units.parquet"
    units = pd.read_parquet(path)
    units[units["network"] != "dense-0"].to_parquet(path)
    (row,) = findings_of(shifting)
    assert row.sentence.startswith(
        "From 40 % to 80 % of “filters”, the plain mean MIS of live convolution and linear units"
    )
    assert "33 % unpruned" not in row.sentence
    assert "“high”, has 62 % of the live units, and 31 % unpruned" in row.sentence


def test_seeds_are_resampled_where_there_are_several(shifting: Path) -> None:
    from analysis.made_run import write_run

    generator = np.random.default_rng(3)
    tables = []
    for seed in range(3):
        scores = {"a": generator.random(50), "b": generator.random(50)}
        tables.append(units_of(f"dense-{seed}", scores))
        tables.append(
            units_of(f"filters-0.5-{seed}", {layer: own + 0.1 + 0.01 * seed for layer, own in scores.items()})
        )
    metrics = [{"mis": 0.5}, {"mis": 0.6}, {"mis": 0.4}]
    run = write_run(
        shifting.parent / "seeds", metrics, {"filters": {"0.5": metrics}}, more={"units": pd.concat(tables)}
    )
    (row,) = findings_of(run)
    assert (row.n, row.resampled, row.verdict) == (3, "seed", "shown")
    assert row.estimate == pytest.approx(0.11)


def test_networks_are_corrected_for_how_many_there_are(shifting: Path) -> None:
    found = findings_of(shifting)
    corrected = multipletests([each.p for each in found], method="holm")[1]
    assert [each.p_holm for each in found] == pytest.approx(corrected.tolist(), rel=1e-6)
    assert min(each.p_holm for each in found) > min(each.p for each in found)
