"""MIS and dissection in a study: joined tables, pictures, and what is done again."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from prunescope.errors import PrunescopeError
from prunescope.probe.classical import Classical
from prunescope.study.pictures import TASK_IMAGES
from prunescope.study.run import Result, run_study
from study.tiny import TRAINING, document, write_study

MIS: dict[str, Any] = {"tasks": 2, "references": 2, "limit": 30, "examples": 2, "batch": 16}
DISSECTION: dict[str, Any] = {"limit": 12, "side": 16, "examples": 1, "controls": ["rotated"]}


def study(**mis: Any) -> dict[str, Any]:
    return document(
        network={"name": "study.tiny:tiny", "preprocess": {"resize": None, "crop": 64}},
        images={"train": "scenes:count=48", "test": "scenes:count=36"},
        train={"epochs": 1, **TRAINING},
        retrain={"epochs": 1, **TRAINING},
        prune=[{"series": "filters", "granularity": "filter", "rates": [0.25]}],
        measure=["accuracy", {"mis": MIS | mis}, {"dissection": DISSECTION}],
    )


def run(folder: Path, **mis: Any) -> Result:
    return run_study(write_study(folder, study(**mis)), folder / "runs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("units")


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    return run(folder)


def test_both_measures_of_a_unit_stand_in_one_row(result: Result) -> None:
    assert not result.failed
    units = result.tables["units"]
    assert not units.duplicated(["network", "layer", "unit"]).any()
    assert units["network"].nunique() == 3
    own = units[units["network"] == "dense-seed0"]
    assert dict(own["layer"].value_counts()) == {
        "conv1": 8, "bn1": 8, "conv2": 8, "bn2": 8, "conv3": 16, "bn3": 16, "fc": 12,
    }  # fmt: skip
    assert (own["map_of"].notna() == (own["kind"] == "conv")).all()
    assert own["mis"].notna().all()


def test_what_needs_several_networks_is_added(result: Result) -> None:
    scores = result.tables["scores"]
    found = {metric: set(own["network"]) for metric, own in scores.groupby("metric")}
    everyone = set(result.tables["networks"]["network"])
    assert found["mis_paired"] == everyone
    assert found["concept_jaccard"] == everyone - {"dense-seed0"}
    counts = scores[scores["metric"].isin(["concepts_kept", "concepts_changed", "concepts_lost"])]
    dense = scores.query("network == 'dense-seed0' and metric == 'detectors'")["value"].item()
    assert (counts.groupby("network")["value"].sum() == dense).all()


def test_pruned_filters_are_dead_units_without_a_score(result: Result) -> None:
    units = result.tables["units"].query("network.str.contains('pruned') and kind == 'conv'", engine="python")
    dead = units[~units["alive"].astype(bool)]
    assert dead.groupby("layer").size().to_dict() == {"conv1": 2, "conv2": 2, "conv3": 4}
    assert dead["mis"].isna().all()
    assert not dead["fires"].any()
    assert dead["mis_published"].notna().all()


def test_the_images_of_tasks_are_kept_where_asked(folder: Path, tmp_path: Path, result: Result) -> None:
    assert not (result.folder / TASK_IMAGES).exists()
    shutil.copytree(folder / "runs", tmp_path / "runs")
    with_tasks = run(tmp_path, stimuli=True)
    tasks = pd.read_parquet(with_tasks.folder / "tables" / "unit_tasks.parquet")
    assert set(tasks["network"]) == set(result.tables["networks"]["network"])
    shown = pd.read_parquet(with_tasks.folder / TASK_IMAGES).set_index("image")["jpeg"]
    columns = [f"{end}_{place}" for end in ("positive", "negative") for place in ("query", 0, 1)]
    assert set(shown.index) == {name for column in columns for name in tasks[column]}
    picture = Image.open(io.BytesIO(shown.iloc[0]))
    assert picture.size == (64, 64)
    without = run(tmp_path)
    assert not (without.folder / TASK_IMAGES).exists()
    assert not (without.folder / "tables" / "unit_tasks.parquet").exists()


def test_every_example_has_a_thumbnail_of_what_the_network_saw(result: Result) -> None:
    pictures = pd.read_parquet(result.folder / "pictures" / "thumbnails.parquet")
    examples = result.tables["examples"]
    shown = set(zip(pictures["measure"], pictures["image"], strict=True))
    assert shown == set(zip(examples["measure"], examples["image"], strict=True))
    assert set(examples["measure"]) == {"mis", "dissection"}
    assert len(pictures) == len(shown)
    assert Image.open(io.BytesIO(pictures["jpeg"].iloc[0])).size == (96, 96)


def test_another_slope_measures_nothing_else_again(folder: Path, result: Result) -> None:
    again = run(folder, slope=4.0)
    steps = again.tables["steps"]
    assert set(steps.loc[~steps["reused"], "kind"]) == {"measure-mis"}
    first, second = (tables["units"] for tables in (result.tables, again.tables))
    assert first["hit_rate"].equals(second["hit_rate"])
    assert not first["mis"].equals(second["mis"])


def test_similarities_are_computed_once_for_all_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNESCOPE_CACHE", str(tmp_path / "cache"))
    computed = []
    plainly = Classical.compute
    monkeypatch.setattr(Classical, "compute", lambda *given: computed.append(1) or plainly(*given))
    assert not run(tmp_path).failed
    assert computed == [1]


def test_too_few_images_are_said_when_the_study_is_planned(tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match=r"study\.yaml:\d+: measure\.1: 30 images are too few"):
        run(tmp_path, tasks=20)


def test_a_wrong_layer_is_said_when_the_study_is_planned(tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match=r"study\.yaml:\d+: measure\.1: no layer 'conf\*'"):
        run(tmp_path, layers=["conf*"])


def test_other_steps_than_last_time_make_the_tables_anew(folder: Path, result: Result) -> None:
    other, again = run(folder, seed=3), run(folder)
    assert not again.tables["units"]["mis"].equals(other.tables["units"]["mis"])
    assert again.tables["units"]["mis"].equals(result.tables["units"]["mis"])
    assert again.tables["steps"]["reused"].all()
