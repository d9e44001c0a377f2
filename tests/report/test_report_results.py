import json

import pandas as pd
import pytest
from synthetic import write_study

from prunescope.analysis.results import over_seeds, read_results
from prunescope.errors import PrunescopeError
from prunescope.measures.intervals import t_interval


def edit(folder, name, change):
    path = folder / "tables" / f"{name}.parquet"
    change(pd.read_parquet(path)).to_parquet(path)


def test_one_seed_keeps_the_interval_over_images_and_several_take_the_mean(tmp_path):
    one = read_results(write_study(tmp_path / "one"))
    [low] = {(estimate.value - estimate.low) > 0.01 for estimate in over_seeds(one.dense, "top1")}
    assert low
    folder = write_study(tmp_path / "three", seeds=(0, 1, 2))
    scores = pd.read_parquet(folder / "tables" / "scores.parquet")
    top1 = scores[scores["metric"] == "top1"].set_index("network")["value"]
    names = [f"filters-0.4-retrained-seed{seed}" for seed in range(3)]
    estimates = over_seeds(read_results(folder).retrained, "top1")
    [found] = [estimate for estimate in estimates if (estimate.series, estimate.rate) == ("filters", 0.4)]
    assert found.seeds == 3
    assert found.value == pytest.approx(top1[names].mean())
    assert (found.low, found.high) == pytest.approx(t_interval(list(top1[names])))


def test_networks_of_several_seeds_that_are_one_count_once(tmp_path):
    folder = write_study(tmp_path / "s", seeds=(0, 1, 2), rates=(0.4,))
    scores = pd.read_parquet(folder / "tables" / "scores.parquet")
    first = scores["network"].str.replace(r"seed\d", "seed0", regex=True) + scores["metric"]
    of_seed_0 = scores.assign(key=scores["network"] + scores["metric"]).set_index("key")
    alike = scores["network"].str.startswith(("dense", "weights"))
    for column in ("value", "low", "high"):
        scores.loc[alike, column] = first[alike].map(of_seed_0[column])
    scores.to_parquet(folder / "tables" / "scores.parquet")
    results = read_results(folder)
    networks = results.networks.set_index("network")
    found = {each.series: each for each in over_seeds(results.final, "top1")}
    of_one = networks.loc["weights-0.4-retrained-seed0", ["top1", "top1_low", "top1_high"]]
    assert found["weights"].seeds == 1
    assert found["weights"][3:6] == pytest.approx(tuple(of_one))
    assert found["filters"].seeds == 3
    [dense] = over_seeds(results.dense, "cross_entropy")
    assert (dense.seeds, dense.high - dense.low) == (1, pytest.approx(0.1))
    assert {each.seeds for each in over_seeds(results.final, "weights") if each.series == "filters"} == {3}


def test_estimates_follow_the_study_and_rise_with_the_rate(tmp_path):
    results = read_results(write_study(tmp_path / "s", rates=(0.6, 0.2, 0.4)))
    keys = [(estimate.series, estimate.rate) for estimate in over_seeds(results.final, "top1")]
    assert keys == [(series, rate) for series in results.series for rate in (0.2, 0.4, 0.6)]
    assert results.series == ["filters", "weights", "connections, random"]


def test_what_is_gone_is_unreachable_for_filters_and_zero_for_the_others(tmp_path):
    results = read_results(write_study(tmp_path / "s"))
    final = results.final.set_index("network")
    assert final.loc["filters-0.6-retrained-seed0", "gone"] == pytest.approx(1 - 0.4**1.8)
    assert final.loc["weights-0.6-retrained-seed0", "gone"] == pytest.approx(0.6004)
    assert set(final["stage"]) == {"retrained"}


def test_without_retraining_the_pruned_networks_are_the_end(tmp_path):
    results = read_results(write_study(tmp_path / "s", retrain=False))
    assert list(results.final["network"]) == list(results.pruned["network"])


def test_chance_is_the_most_frequent_class(tmp_path):
    folder = write_study(tmp_path / "s", classes=["a", "b", "c", "d"])
    assert read_results(folder).chance == 0.25
    edit(folder, "classes", lambda table: table.assign(n=table["index"].map({0: 70, 1: 10, 2: 10, 3: 10})))
    assert read_results(folder).chance == 0.7


def test_rates_that_differ_by_rounding_are_one(tmp_path):
    folder = write_study(tmp_path / "s", rates=(0.3,), seeds=(0, 1))
    edit(folder, "networks", lambda t: t.assign(rate=t["rate"].where(t["seed"] == 0, t["rate"] + 1e-9)))
    assert {estimate.seeds for estimate in over_seeds(read_results(folder).final, "top1")} == {2}


@pytest.mark.parametrize("name", ["networks", "steps"])
def test_a_missing_table_is_named(tmp_path, name):
    folder = write_study(tmp_path / "s")
    (folder / "tables" / f"{name}.parquet").unlink()
    with pytest.raises(PrunescopeError, match=f"{name}.parquet is missing"):
        read_results(folder)


@pytest.mark.parametrize("name", ["networks", "scores", "layers", "classes", "steps"])
def test_a_damaged_table_is_named(tmp_path, name):
    folder = write_study(tmp_path / "s")
    path = folder / "tables" / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(PrunescopeError, match=f"{name}.parquet is damaged"):
        read_results(folder)


def test_a_table_of_another_version_is_refused(tmp_path):
    folder = write_study(tmp_path / "s")
    edit(folder, "networks", lambda table: table.drop(columns="stage"))
    with pytest.raises(PrunescopeError, match="lacks the column 'stage'"):
        read_results(folder)


def test_two_values_of_one_metric_are_refused(tmp_path):
    folder = write_study(tmp_path / "s")
    edit(folder, "scores", lambda table: pd.concat([table, table.head(1)]))
    with pytest.raises(PrunescopeError, match="two values of top1 for dense-seed0"):
        read_results(folder)


def test_study_json_is_needed_but_none_of_its_keys(tmp_path):
    folder = write_study(tmp_path / "s")
    (folder / "study.json").write_text(json.dumps({}))
    assert read_results(folder).study == {}
    (folder / "study.json").write_text("{")
    with pytest.raises(PrunescopeError, match="damaged"):
        read_results(folder)
    (folder / "study.json").unlink()
    with pytest.raises(PrunescopeError, match="is missing"):
        read_results(folder)
