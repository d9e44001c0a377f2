from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from prunescope.analysis.published.importing import import_published
from prunescope.analysis.published.layouts import LAYOUTS, layout_of
from prunescope.analysis.published.units import unit_rows
from prunescope.analysis.results import Results, read_results
from prunescope.errors import PrunescopeError
from published_files import (
    RATES,
    accuracies,
    answers,
    compressions,
    dissection,
    identification,
    totals,
    units,
    write,
)


def one(source: Path, out: Path) -> Results:
    imported = import_published(source, out)
    assert len(imported.runs) == 1
    return read_results(imported.runs[0])


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("published")
    return one(write(folder / "in", x=accuracies(), y=units()), folder / "runs")


def test_each_layout_is_known_by_its_columns_alone() -> None:
    for layout in LAYOUTS:
        assert layout_of([*reversed(layout.needed), "another"]) is layout
        assert layout_of(layout.needed[1:]) is not layout


def test_accuracies_become_networks(methods: Results) -> None:
    given = accuracies()
    assert len(methods.networks) == len(given)
    assert methods.dense["top1"].tolist() == [0.7]
    filters = methods.retrained[methods.retrained["series"] == "local structured, SGD 50"]
    assert filters["rate"].tolist() == list(RATES)
    assert filters["top1"].tolist() == pytest.approx([0.7 - rate / 50 for rate in RATES])
    assert set(filters["granularity"]) == {"filter"}
    pruned = methods.networks[methods.networks["stage"] == "pruned"]
    assert set(pruned["series"]) == {"local structured, pruned"}
    assert pruned["final"].all()


def test_masks_that_were_not_held_are_told(methods: Results) -> None:
    hold = methods.networks.set_index("network")["hold"]
    assert not hold["connection random, SGD 10-0.2-retrained-seed0"]
    assert hold["local structured, SGD 10-0.2-retrained-seed0"]
    assert any("mask not held" in note for note in methods.study["published"]["notes"])


def test_methods_of_other_names_are_joined_where_only_one_fits(methods: Results) -> None:
    with_units = methods.networks.dropna(subset=["mis"])
    assert set(with_units["series"]) == {
        f"{method}, SGD {epochs}"
        for method in ("local structured", "connection random")
        for epochs in (10, 50)
    }
    joined = methods.study["published"]["inferred"][0]
    assert "“connection_sparsity” are taken to be those of “connection_random”" in joined
    assert "could also be of connection_l1" in joined


def test_methods_are_not_joined_where_two_fit(tmp_path: Path) -> None:
    rows = units()
    results = one(write(tmp_path / "in", x=accuracies(), y=rows[(rows["epochs"] == 50)]), tmp_path / "runs")
    alone = results.networks[results.networks["series"] == "connection sparsity, SGD 50"]
    assert len(alone) == len(RATES)
    assert alone["top1"].isna().all()
    assert alone["mis"].notna().all()


def test_units_of_high_score_are_taken_for_dead(methods: Results) -> None:
    given = units()
    own = given[(given["method"] == "local_structured") & (given["epochs"] == 50) & (given["rate"] == 0.4)]
    network = methods.networks.set_index("network").loc["local structured, SGD 50-0.4-retrained-seed0"]
    conv = own[own["kind"] == "conv"]
    live = conv[conv["mis"] <= 0.99]
    assert network["units_dead"] == (conv["mis"] > 0.99).sum() == 40
    assert network["units_alive"] == len(live)
    assert network["mis"] == pytest.approx(live["mis"].mean())
    assert network["mis_low"] < network["mis"] < network["mis_high"]
    half = 1.96 * live["mis"].std() / len(live) ** 0.5
    assert network["mis_high"] - network["mis"] == pytest.approx(half, rel=0.1)
    assert network["hit_rate"] == pytest.approx(live["hit_rate"].mean())
    half = 1.96 * live["hit_rate"].std() / len(live) ** 0.5
    assert network["hit_rate_high"] - network["hit_rate_low"] == pytest.approx(2 * half, rel=0.1)
    assert network["mis_layers"] == pytest.approx(live.groupby("layer")["mis"].mean().mean())
    both = own[own["kind"].isin(["conv", "linear"])]
    assert network["mis_published"] == pytest.approx(both["mis"].mean())
    told = methods.study["published"]["inferred"]
    assert any("above 0.99" in sentence and "40.0 % at 40 %" in sentence for sentence in told)


def test_paired_means_are_of_units_alive_in_every_network(methods: Results) -> None:
    given = units()
    conv = given[given["kind"] == "conv"]
    alive = (conv["mis"] <= 0.99).groupby([conv["layer"], conv["unit"]]).transform("all")
    own = conv[
        alive & (conv["method"] == "local_structured") & (conv["epochs"] == 10) & (conv["rate"] == 0.2)
    ]
    network = methods.networks.set_index("network").loc["local structured, SGD 10-0.2-retrained-seed0"]
    assert network["mis_paired"] == pytest.approx(own["mis"].mean())


def test_batch_norms_are_left_out_and_tasks_inferred(methods: Results) -> None:
    assert set(methods.units["kind"]) == {"conv", "linear"}
    published = methods.study["published"]
    assert "480 rows of kind “batchnorm” were left out." in published["notes"]
    assert any("20 tasks" in sentence for sentence in published["inferred"])


def test_files_of_others_are_not_called_those_of_the_paper(methods: Results) -> None:
    assert methods.study["published"]["source"].startswith("not known")
    assert methods.units["similarity"].isna().all()


def test_the_same_files_give_the_same_bytes_wherever_they_lie(tmp_path: Path) -> None:
    folders = []
    for place in ("here", "there"):
        source = write(tmp_path / place / "tables", x=accuracies(), y=units())
        folders += import_published(source, tmp_path / place / "runs").runs
        folders += import_published(source, tmp_path / place / "runs").runs[1:]  # in the place of the first
    texts = [(folder / "study.json").read_text("utf-8") for folder in folders]
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0]
    for table in ("networks", "scores", "units", "steps"):
        first, second = ((folder / "tables" / f"{table}.parquet").read_bytes() for folder in folders)
        assert first == second


def test_compressed_files_in_folders_below_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "deep" / "er"
    folder.mkdir(parents=True)
    dense = units().drop(columns=["method", "optimizer", "epochs", "rate", "kind"])[:190]
    dense.to_csv(folder / "old name.csv.gz", index=False, encoding="utf-8-sig")
    results = one(tmp_path / "in", tmp_path / "runs")
    assert results.study["study"] == "published-old-name"
    assert results.networks["stage"].tolist() == ["dense"]
    assert results.units["alive"].all()
    kinds = dict(zip(results.units["layer"], results.units["kind"], strict=True))
    assert kinds == {"stem": "conv", "stem_bn": "conv", "late": "conv", "fc": "linear"}


def test_dissection_joins_layers_and_counts_detectors(tmp_path: Path) -> None:
    source = write(tmp_path / "in", net_layer1=dissection(1), net_layer2=dissection(2, 20))
    results = one(source, tmp_path / "runs")
    assert results.study["study"] == "published-net-layer"
    whole = pd.concat([dissection(1), dissection(2, 20)])
    detectors = whole[whole["score"] > 0.04]
    network = results.networks.iloc[0]
    assert network["detectors"] == len(detectors)
    assert network["unique_detectors"] == len(
        set(zip(detectors["category"], detectors["label"], strict=True))
    )
    table = results.detectors.set_index(["layer", "category"])["detectors"]
    assert (
        table["layer2", "object"]
        == ((dissection(2, 20)["score"] > 0.04) & (dissection(2, 20)["category"] == "object")).sum()
    )
    assert results.units.groupby("layer", observed=True)["unit"].min().tolist() == [0, 0]


def test_compressions_and_answers_become_networks_and_votes(tmp_path: Path) -> None:
    source = write(tmp_path / "in", a=compressions(), b=answers(), c=identification(), d=totals())
    results = one(source, tmp_path / "runs")
    assert results.networks["network"].tolist() == ["dense-seed0", "CR 2", "CR 4", "CR 32"]
    assert results.networks["rate"].tolist() == [0, 0.5, 0.75, 0.96875]
    assert results.networks["zeros"].tolist()[1:] == [0.5, 0.75, 0.96875]
    assert results.networks["compression_all"].tolist() == [1.0, 1.058, 1.09, 1.119]
    given = answers()
    assert len(results.votes) == len(given)
    first, said = results.votes.iloc[0], given.iloc[0]
    name = {1: "dense-seed0", 2: "CR 2", 32: "CR 32"}
    assert (first["left"], first["right"]) == (name[said["left"]], name[said["right"]])
    for i, side in enumerate(given["answer"]):
        expected = "" if side == "equal" else name[given[side].iloc[i]]
        assert results.votes["chosen"].iloc[i] == expected
    assert results.study["published"]["totals"][0]["chi2"] == 6.92
    assert "chi2" not in results.study["published"]["totals"][1]


def test_names_are_data(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script>"
    rows = units()
    rows = rows[rows["method"] == "local_structured"].assign(layer=rows["layer"].replace("late", name))
    results = one(write(tmp_path / "in", x=rows.assign(method="=cmd|' /C calc'!A0")), tmp_path / "runs")
    assert name in set(results.units["layer"])
    assert set(results.sparse["series"]) == {"=cmd|' /C calc'!A0, SGD 10", "=cmd|' /C calc'!A0, SGD 50"}


BAD = [
    (accuracies().assign(top1="high"), "line 2: top1 is 'high', expected a number from 0 to 1"),
    (accuracies().assign(rate=1.0), "line 2: rate is '1.0', expected a fraction from 0 to below 1"),
    (accuracies().assign(epochs=0.5), "line 2: epochs is '0.5', expected a whole number"),
    (units().assign(mis=[*units()["mis"][:-1], float("nan")]), "mis is ''"),
    (units().assign(layer=""), "line 2: layer is '', expected a name"),
    (units().assign(unit=-1), "unit is '-1', expected a whole number"),
    (units().assign(hit_rate=float("inf")), "hit_rate is 'inf'"),
    (pd.concat([accuracies(), accuracies()[5:6]]), "a second row of method"),
    (pd.concat([units(), units()[7:8]]), "a second row of method"),
    (pd.concat([accuracies(), accuracies()[:1].assign(method="other")]), "2 networks of rate 0"),
    (pd.concat([dissection(1)[:3], dissection(1)[:1]]), "a second row of unit"),
    (pd.concat([compressions(), compressions()[1:2]]), "two rows of compression 2"),
    (compressions().assign(compression_of_convolutions=0.5), "at least 1"),
    (answers().assign(answer="both sides"), "expected left, right or equal"),
    (accuracies()[:0], "has no rows"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "message"), BAD, ids=[message for _, message in BAD])
def test_damaged_tables_are_refused_with_the_place(tmp_path: Path, table: pd.DataFrame, message: str) -> None:
    source = write(tmp_path / "in", x=table)
    with pytest.raises(PrunescopeError) as refused:
        import_published(source, tmp_path / "runs")
    assert message in str(refused.value)
    assert "x.csv" in str(refused.value) or "rate 0" in message


def test_other_names_of_columns_say_what_is_missing(tmp_path: Path) -> None:
    renamed = units().rename(columns={"rate": "sparsity", "mis": "score"})
    with pytest.raises(
        PrunescopeError, match=r"nearest is the layout of MIS of units by method.*lacks rate, mis"
    ):
        import_published(write(tmp_path / "in", x=renamed), tmp_path / "runs")
    imported = import_published(write(tmp_path / "in", y=compressions()), tmp_path / "runs")
    assert [path.name for path, _ in imported.skipped] == ["x.csv"]
    assert "lacks rate, mis" in imported.skipped[0][1]


def test_what_is_no_table_is_skipped_or_refused(tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match="no folder"):
        import_published(tmp_path / "nowhere", tmp_path / "runs")
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(PrunescopeError, match="no CSV file"):
        import_published(folder, tmp_path / "runs")
    (folder / "empty.csv").write_bytes(b"")
    (folder / "binary.csv").write_bytes(bytes(range(256)) * 9)
    (folder / "cut.csv.gz").write_bytes(b"\x1f\x8b\x08\x00")
    (folder / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(PrunescopeError, match=r"no table in .* is of a known layout"):
        import_published(folder, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_two_files_of_one_layout_are_not_mixed(tmp_path: Path) -> None:
    source = write(tmp_path / "in", x=accuracies(), y=accuracies())
    with pytest.raises(
        PrunescopeError, match=r"x\.csv and y\.csv .* put each study into a folder of its own"
    ):
        import_published(source, tmp_path / "runs")


def test_a_run_of_ones_own_is_not_overwritten(tmp_path: Path) -> None:
    source = write(tmp_path / "in", mine=compressions())
    folder = tmp_path / "runs" / "published-mine"
    folder.mkdir(parents=True)
    (folder / "study.json").write_text(json.dumps({"study": "published-mine"}))
    with pytest.raises(PrunescopeError, match="was run here"):
        import_published(source, tmp_path / "runs")


def test_studies_of_one_name_in_two_folders_get_two_runs(tmp_path: Path) -> None:
    for place in ("a", "b"):
        write(tmp_path / "in" / place, same=compressions())
    imported = import_published(tmp_path / "in", tmp_path / "runs")
    assert [run.name for run in imported.runs] == ["published-same", "published-same-2"]


def test_trends_are_those_of_scipy(methods: Results) -> None:
    from prunescope.analysis.published.corrected import corrected_means

    found = corrected_means(methods)
    assert found is not None
    given = units()
    both = given[given["kind"].isin(["conv", "linear"])]
    for which, rows in (("scored", both), ("live", both[both["mis"] <= 0.99])):
        means = rows.groupby(["method", "optimizer", "epochs", "rate"])["mis"].mean().reset_index()
        expected = stats.pearsonr(means["rate"], means["mis"]).statistic
        assert found.pooled(which) == pytest.approx(expected)
        own = means[(means["method"] == "local_structured") & (means["epochs"] == 10)]
        rho = stats.spearmanr(own["rate"], own["mis"]).statistic
        assert found.within(which)["local structured, SGD 10"] == pytest.approx(rho)
    assert found.layer == "fc"
    assert found.of_all == pytest.approx(50 / 150)
    last = found.by_series()["local structured, SGD 50"][-1]
    assert last.layer == pytest.approx(50 / (50 + 0.4 * 100))


def test_a_unit_above_099_is_dead_only_in_a_network_that_was_pruned() -> None:
    rows = pd.DataFrame({"network": "n", "layer": "a", "kind": "conv", "unit": [0, 1, 2, 3],
                         "mis": [0.98, 0.99, 0.9901, 0.9901], "hit_rate": 0.9})  # fmt: skip
    found = unit_rows(rows, pruned=pd.Series([True, True, True, False]))
    assert found["alive"].tolist() == [True, True, False, True]
    assert found["mis"].isna().tolist() == [False, False, True, False]
    assert unit_rows(rows, pruned=False)["alive"].all()
    assert found["mis_published"].tolist() == rows["mis"].tolist()
