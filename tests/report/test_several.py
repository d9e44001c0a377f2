import json
import shutil
import warnings

import pandas as pd
import pytest
from synthetic import SERIES, write_study
from synthetic_forgetting import write_forgetting_study
from synthetic_units import write_unit_study

from prunescope.analysis.results import TABLES_AS_THEY_ARE, over_seeds, read_results
from prunescope.analysis.several import read_several
from prunescope.errors import PrunescopeError
from prunescope.measures.forgetting_gallery import gallery_images

SMALL = {"layers": 3, "rates": (0.2, 0.6), "classes": ["a", "b", "c"]}
FILTERS, WEIGHTS = SERIES[:1], SERIES[1:2]


def write(folder, **shape):
    return write_study(folder, **{**SMALL, **shape})


def change_study(folder, **keys):
    path = folder / "study.json"
    study = json.loads(path.read_text("utf-8"))
    for key, value in keys.items():
        study[key] = {**study[key], **value} if isinstance(value, dict) and key in study else value
    path.write_text(json.dumps(study), encoding="utf-8")
    return folder


def change_table(folder, name, change):
    path = folder / "tables" / f"{name}.parquet"
    change(pd.read_parquet(path)).to_parquet(path)
    return folder


def with_measure(folder, name, **settings):
    own = json.loads((folder / "study.json").read_text("utf-8"))["settings"]
    return change_study(folder, settings=own | {"measure": [{"name": name, "settings": settings}]})


def trained_anew(folder, worse=0.1):
    """Make the dense networks of a run others than those of other runs, and worse."""
    dense = change_table(
        folder, "networks", lambda t: t.assign(step=t["step"].mask(t["stage"] == "dense", "trained-anew"))
    )
    return change_table(
        dense, "scores", lambda t: t.assign(value=t["value"] - worse * (t["metric"] == "top1"))
    )


def assert_same(one, other):
    for table in ("networks", "layers", *TABLES_AS_THEY_ARE):
        pd.testing.assert_frame_equal(getattr(one, table), getattr(other, table))


def test_one_run_is_read_as_it_is(tmp_path):
    folder = write(tmp_path / "a")
    one = read_several([folder])
    assert one.study == read_results(folder).study
    assert_same(one, read_results(folder))


@pytest.mark.parametrize("folders", [[], ()])
def test_no_run_is_refused(folders):
    with pytest.raises(PrunescopeError, match="no run is given"):
        read_several(folders)


def test_a_study_in_two_parts_says_what_the_whole_says(tmp_path):
    """The oracle: the same series, run as one study."""
    whole = read_results(write_unit_study(tmp_path / "whole", **SMALL, series=(*FILTERS, *WEIGHTS)))
    parts = [
        write_unit_study(tmp_path / name, **SMALL, series=series)
        for name, series in (("f", FILTERS), ("w", WEIGHTS))
    ]
    both = read_several(parts)
    assert both.series == ["f: filters", "w: weights"]
    assert both.study["study"] == "f + w"
    plain = both.networks.assign(
        network=both.networks["network"].str.replace("^[fw]: ", "", regex=True),
        series=both.networks["series"].str.replace("^[fw]: ", "", regex=True),
        run="",
    )
    columns = [
        "network",
        "series",
        "run",
        "top1",
        "mis",
        "mis_low",
        "mis_paired",
        "file_left",
        "left",
        "final",
        "stage",
    ]
    pd.testing.assert_frame_equal(
        plain[columns].sort_values("network", ignore_index=True),
        whole.networks[columns].sort_values("network", ignore_index=True),
    )
    for table in ("layers", "classes", "units", "detectors", "examples", "thumbnails", "scores"):
        assert len(getattr(both, table)) == len(getattr(whole, table)), table
    for metric in ("top1", "mis", "detectors"):
        for one, other in zip(over_seeds(both.final, metric), over_seeds(whole.final, metric), strict=True):
            assert one[1:2] == other[1:2]
            assert one[2:] == pytest.approx(other[2:], nan_ok=True)
            assert one.series.endswith(f": {other.series}")
    for name, own in both.units.groupby("network", observed=True):
        there = whole.units[whole.units["network"] == str(name).removeprefix("f: ").removeprefix("w: ")]
        assert own["mis"].tolist() == pytest.approx(there["mis"].tolist(), nan_ok=True)


def test_names_of_parents_follow_the_names_of_networks(tmp_path):
    both = read_several([write(tmp_path / "a"), write(tmp_path / "b")])
    assert set(both.networks["parent"].dropna()) <= set(both.networks["network"])
    assert set(both.networks["before"].dropna()) <= set(both.networks["network"])
    for name, before in both.retrained[["network", "before"]].itertuples(index=False):
        assert before == name.replace("retrained", "pruned")
    assert both.networks["network"].is_unique


def test_dense_networks_that_are_one_are_kept_once_and_belong_to_both(tmp_path):
    both = read_several([write(tmp_path / "a", seeds=(0, 1)), write(tmp_path / "b", seeds=(1, 2))])
    assert both.dense["network"].tolist() == ["dense-seed0", "dense-seed1", "dense-seed2"]
    assert both.dense["series"].unique().tolist() == ["dense"]
    pairs = both.sparse.merge(both.dense, on=["run", "seed"], suffixes=("", "_dense"), validate="many_to_one")
    assert len(pairs) == len(both.sparse)


def test_what_only_one_run_measured_of_the_shared_dense_network_is_kept(tmp_path):
    mis = write_unit_study(tmp_path / "a", **SMALL, measures=("mis",))
    concepts = write_unit_study(tmp_path / "b", **SMALL, measures=("dissection",))
    dense = read_several([concepts, mis]).dense.iloc[0]
    for folder, metric in ((mis, "mis"), (concepts, "detectors")):
        assert dense[metric] == read_results(folder).dense.iloc[0][metric]
    units = read_several([concepts, mis]).units
    own = units[units["network"] == "dense-seed0"]
    assert own["mis"].notna().sum() == own["alive"].sum() > 0
    assert own["concept"].notna().sum() > 0
    assert not own.duplicated(["layer", "unit"]).any()


def test_paired_means_are_over_the_units_alive_in_all_runs(tmp_path):
    parts = [
        write_unit_study(tmp_path / name, **SMALL, series=own)
        for name, own in (("f", FILTERS), ("w", WEIGHTS))
    ]
    both = read_several(parts)
    scores = {}  # of the units of each network that are alive
    for row in both.units[both.units["kind"] == "conv"].dropna(subset=["mis"]).itertuples():
        scores.setdefault(row.network, {})[row.layer, row.unit] = row.mis
    common = set.intersection(*map(set, scores.values()))
    assert 0 < len(common) < min(len(own) for name, own in scores.items() if not name.startswith("f"))
    for name, value in both.networks[["network", "mis_paired"]].itertuples(index=False):
        assert value == pytest.approx(sum(scores[name][unit] for unit in common) / len(common))


def test_other_dense_networks_stay_apart(tmp_path):
    both = read_several([write(tmp_path / "a"), trained_anew(write(tmp_path / "b"))])
    assert both.dense["network"].tolist() == ["a: dense-seed0", "b: dense-seed0"]
    values = {estimate.series: estimate.value for estimate in over_seeds(both.dense, "top1")}
    assert values == pytest.approx({"a: dense": 0.912, "b: dense": 0.812})
    assert both.dense_beside("b: weights")["network"].tolist() == ["b: dense-seed0"]


def test_seeds_of_two_runs_are_no_seeds_of_one_series(tmp_path):
    both = read_several([write(tmp_path / "a", seeds=(0,)), write(tmp_path / "b", seeds=(1,))])
    assert both.seeds == 1
    assert {estimate.seeds for estimate in over_seeds(both.final, "top1")} == {1}
    assert read_several([tmp_path / "a", write(tmp_path / "c", seeds=(0, 1, 2))]).seeds == 3


def test_columns_of_names_stay_small(tmp_path):
    parts = [write_unit_study(tmp_path / name, **SMALL) for name in "ab"]
    both = read_several(parts)
    for table, column in (("units", "layer"), ("units", "network"), ("examples", "image")):
        assert isinstance(getattr(both, table)[column].dtype, pd.CategoricalDtype)
    alone = sum(read_results(part).units.memory_usage(deep=True).sum() for part in parts)
    assert both.units.memory_usage(deep=True).sum() < 1.3 * alone


def test_answers_come_from_the_run_of_the_network(tmp_path):
    parts = [write_forgetting_study(tmp_path / name, seeds=(0,), rates=(0.4,)) for name in "ab"]
    wrong = -7
    change_table(
        parts[1],
        "images",
        lambda t: t.assign(prediction=t["prediction"].mask(t["network"] != "dense-seed0", wrong)),
    )
    both = read_several(parts)
    name = "filters-0.4-retrained-seed0"
    answers = both.answers_of([f"a: {name}", f"b: {name}", "dense-seed0"])
    assert set(answers["network"]) == {f"a: {name}", f"b: {name}", "dense-seed0"}
    own = read_results(parts[0]).answers_of([name])
    found = answers[answers["network"] == f"a: {name}"]
    assert found["prediction"].tolist() == own["prediction"].tolist()
    assert set(answers.loc[answers["network"] == f"b: {name}", "prediction"]) == {wrong}


def test_answers_of_one_run_alone_and_of_none(tmp_path):
    parts = [write_forgetting_study(tmp_path / name, seeds=(0,), rates=(0.4,)) for name in "ab"]
    both = read_several(parts)
    name = "filters-0.4-retrained-seed0"
    for run in "ab":
        assert set(both.answers_of([f"{run}: {name}"])["network"]) == {f"{run}: {name}"}
    assert both.answers_of([]).empty
    assert both.answers_of(["unheard of"]).empty
    theirs = write_forgetting_study(tmp_path / "t", seeds=(0,), rates=(0.4,), published=PUBLISHED)
    assert read_several(parts, [theirs]).published


def test_the_most_forgotten_of_all_runs_have_answers_of_all_networks(tmp_path):
    parts = [write_forgetting_study(tmp_path / name, seeds=(0, 1), rates=(0.4,)) for name in "ab"]
    change_table(parts[1], "forgetting_images", lambda t: t.assign(lost=t["lost"].iloc[::-1].to_numpy()))
    both = read_several(parts)
    shown = gallery_images(both.forgetting_images)
    assert set(both.images["image"]) == set(shown)
    assert set(both.images["network"]) == set(both.networks["network"])
    assert set(both.forgetting["series"]) == set(both.series)


DIFFERENT = {
    "their networks differ: torchvision/googlenet and timm/vit": lambda f: change_study(
        f, settings={"network": {"name": "timm/vit", "weights": None}}
    ),
    "their networks differ (options)": lambda f: change_study(
        f, settings={"network": {"name": "torchvision/googlenet", "options": {"wide": True}}}
    ),
    "their numbers of test images differ (500 and 400)": lambda f: change_study(f, images={"test": 400}),
    "their images differ (scenes and folder:elsewhere)": lambda f: change_study(
        f, images={"source": "folder:elsewhere"}
    ),
    "their classes differ": lambda f: change_table(
        f, "classes", lambda t: t.assign(**{"class": t["class"].str.replace("b", "bee")})
    ),
    "MIS was measured under other conditions (the similarity: classical and lpips)": lambda f: change_table(
        f, "units", lambda t: t.assign(similarity="lpips")
    ),
    "(tasks: 20.0 and 10.0)": lambda f: change_table(f, "units", lambda t: t.assign(tasks=10)),
    "dissection was measured otherwise (iou: 0.04 and 0.1)": lambda f: with_measure(f, "dissection", iou=0.1),
}


@pytest.mark.parametrize("why", DIFFERENT)
def test_runs_that_cannot_be_compared_are_refused_with_the_reason(tmp_path, why):
    options = {"wide": False} if "options" in why else {}
    one = write_unit_study(tmp_path / "one", **SMALL)
    change_study(one, settings={"network": {"name": "torchvision/googlenet", "options": options}})
    with_measure(one, "dissection", iou=0.04)
    other = trained_anew(write_unit_study(tmp_path / "other", **SMALL))
    change_study(other, settings={"network": {"name": "torchvision/googlenet", "options": options}})
    assert len(read_several([one, other]).series) == 6  # until they differ
    DIFFERENT[why](other)
    with pytest.raises(PrunescopeError) as caught:
        read_several([one, other])
    assert str(caught.value).startswith("one and other cannot be compared: ")
    assert why in str(caught.value)


def test_other_labels_of_the_test_images_are_refused(tmp_path):
    parts = [write_forgetting_study(tmp_path / name, seeds=(0,), rates=(0.4,)) for name in "ab"]
    change_table(parts[1], "images", lambda t: t.assign(label=(t["label"] + 1) % 10))
    with pytest.raises(PrunescopeError, match="test images have other names or labels"):
        read_several(parts)


def test_a_run_given_twice_is_refused(tmp_path):
    folder = write(tmp_path / "a")
    with pytest.raises(PrunescopeError, match=r"a is given twice; give each run once"):
        read_several([folder, tmp_path / "." / "a"])
    shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(PrunescopeError, match=r"copy is a copy of .*both hold the same run"):
        read_several([folder, tmp_path / "copy"])


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    folders = [write(tmp_path / place / "demo", started=place) for place in ("here", "there")]
    assert list(read_several(folders).study["runs"]) == ["here/demo", "there/demo"]
    other = write(tmp_path / "here" / "again", study="demo", started="later")
    assert list(read_several([folders[0], other]).study["runs"]) == ["demo", "again"]
    third = write(tmp_path / "third", study="other")
    assert list(read_several([*folders, third]).study["runs"]) == ["here/demo", "there/demo", "other"]


PUBLISHED = {"source": "Doe 2024", "file": "x.csv", "inferred": ["The rate is inferred."]}


def test_published_series_are_drawn_along_and_change_nothing_else(tmp_path):
    own = write_unit_study(tmp_path / "own", **SMALL)
    theirs = trained_anew(write(tmp_path / "theirs", published=PUBLISHED))
    change_study(theirs, images={"source": "ImageNet"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = read_several([own], [theirs])
    assert results.series == [
        "filters", "weights", "connections, random",
        "published: filters", "published: weights", "published: connections, random",
    ]  # fmt: skip
    assert results.published == results.series[3:]
    assert results.dense["network"].tolist() == ["dense-seed0"]
    assert results.published_dense["series"].tolist() == ["published: dense"]
    told = results.study["drawn_along"]["theirs"]
    assert told["source"] == "Doe 2024"
    assert told["differs"] == ["their images differ (scenes and ImageNet)"]
    assert told["inferred"] == ["The rate is inferred."]
    values = {each.series: each.value for each in over_seeds(results.final, "top1") if each.target == "0.6"}
    assert values["published: weights"] == pytest.approx(values["weights"] - 0.1)
    assert_same(results.own, read_results(own))
    assert len(results.units) == len(read_results(own).units)


def test_published_studies_are_told_apart(tmp_path):
    theirs = [write(tmp_path / name, published=PUBLISHED, series=FILTERS) for name in ("doe", "roe")]
    results = read_several([write(tmp_path / "own")], theirs)
    assert results.published == ["published, doe: filters", "published, roe: filters"]


def test_what_is_published_and_what_is_not_are_not_mixed_up(tmp_path):
    own, theirs = write(tmp_path / "own"), write(tmp_path / "theirs", published=PUBLISHED)
    change_study(theirs, images={"source": "ImageNet"})
    with pytest.raises(PrunescopeError, match=r"theirs is a published study.* give it with --published"):
        read_several([own, theirs])
    with pytest.raises(PrunescopeError, match="own is no published study: expected one that"):
        read_several([theirs], [own])


def test_runs_with_empty_tables_are_joined(tmp_path):
    empty = write(tmp_path / "empty", series=(), failed=("dense-seed0",), measures=())
    both = read_several([empty, write(tmp_path / "full")])
    assert both.series == ["full: filters", "full: weights", "full: connections, random"]
    assert read_several([empty, write(tmp_path / "no", series=(), failed=("dense-seed0",))]).seeds == 0
