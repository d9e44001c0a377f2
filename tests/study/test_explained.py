"""Explanations and forgetting in a study: the same images for every network, chosen once all are there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from prunescope.report import page
from prunescope.study.run import Result, run_study
from prunescope.study.store import Store
from study.tiny import TRAINING, document, write_data, write_study

METHODS = ["grad-cam", "gradient"]
EXPLANATIONS: dict[str, Any] = {"methods": METHODS, "choose": "correct", "limit": 9, "steps": 4}
FINAL = {"dense", "weights-0.5-retrained", "filters-0.25-retrained"}


def study(explanations: dict[str, Any], forgetting: dict[str, Any] | None = None) -> dict[str, Any]:
    return document(
        seeds=[0, 1],
        retrain={"epochs": 1, **TRAINING},
        measure=[{"explanations": explanations}, {"forgetting": forgetting or {}}],
    )


def run(folder: Path, explanations: dict[str, Any], forgetting: dict[str, Any] | None = None) -> Result:
    return run_study(write_study(folder, study(explanations, forgetting)), folder / "runs", data=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("explained"))


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    return run(folder, EXPLANATIONS)


@pytest.fixture(autouse=True)
def no_report(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later runs draw no report: it takes most of their time, and the first has one."""
    monkeypatch.setattr(page, "write_report", lambda folder: folder / "report" / "index.html")


def done(result: Result, *kinds: str) -> list[str]:
    """Return the steps of these kinds that the run did itself."""
    steps = result.tables["steps"]
    return steps.loc[steps["kind"].isin(kinds) & ~steps["reused"], "step"].tolist()


def test_networks_in_which_series_end_explain_the_same_images(result: Result) -> None:
    assert not result.failed
    explained = result.tables["explanations"]
    assert set(explained["network"].str.removesuffix("-seed0").str.removesuffix("-seed1")) == FINAL
    images = explained.groupby(["network", "method"])["image"].agg(tuple)
    assert images.nunique() == 1
    assert len(images.iloc[0]) == 9


def test_each_of_the_images_is_right_in_all_those_networks(result: Result) -> None:
    said = result.tables["images"]
    own = said[said["network"].isin(result.tables["explanations"]["network"])]
    right = own.assign(right=own["label"] == own["prediction"]).groupby("image")["right"].all()
    assert right[result.tables["explanations"]["image"].unique()].all()


def test_a_network_is_compared_with_the_dense_one_of_its_seed(result: Result) -> None:
    explained = result.tables["explanations"]
    dense = explained[explained["network"].str.startswith("dense")]
    assert dense["spearman"].isna().all()
    others = explained[~explained["network"].str.startswith("dense")]
    assert others["spearman"].notna().any()
    targets = explained.pivot_table(index=["image", "method"], columns="network", values="target")
    for seed in ("seed0", "seed1"):
        own = targets[[name for name in targets if name.endswith(seed)]]
        assert (own.nunique(axis=1) == 1).all()


def test_the_report_has_pictures_of_them(result: Result) -> None:
    pictures = pd.read_parquet(result.folder / "pictures" / "explanations.parquet")
    assert set(pictures["kind"]) == {"image", "heat", "map"}
    assert Image.open(io.BytesIO(pictures["jpeg"].iloc[0])).size == (16, 16)
    page = result.report.read_text("utf-8")
    assert 'id="explanations"' in page
    assert 'id="forgetting"' in page


def test_what_networks_forget_is_told_of_both_seeds(result: Result) -> None:
    forgetting = result.tables["forgetting"]
    assert set(forgetting["series"]) == {"weights", "filters"}
    assert set(forgetting.loc[forgetting["metric"] == "agreement", "seeds"]) == {2}
    tested = result.tables["forgetting_classes"]
    assert set(tested["class"]) == {"blue", "green", "red"}


def test_other_measures_of_explanations_do_nothing_else_again(result: Result, folder: Path) -> None:
    again = run(folder, EXPLANATIONS | {"steps": 0})
    assert not done(again, "train", "prune", "retrain", "measure-accuracy", "measure-size")
    assert len(done(again, "measure-explanations")) == 6


def test_nothing_is_done_twice(result: Result, folder: Path) -> None:
    run(folder, EXPLANATIONS)
    again = run(folder, EXPLANATIONS)
    assert again.tables["steps"]["reused"].all()
    pd.testing.assert_frame_equal(again.tables["explanations"], result.tables["explanations"])


def test_another_csv_is_another_result(result: Result, folder: Path) -> None:
    names = result.tables["images"]["image"].unique()
    csv = folder / "attributes.csv"
    for side in ("left", "right"):
        table = pd.DataFrame({"image": names, "side": np.where(np.arange(len(names)) % 2, side, "other")})
        table.to_csv(csv, index=False)
        found = run(folder, EXPLANATIONS, {"attributes": "attributes.csv"})
        assert set(found.tables["forgetting_groups"]["group"]) == {side, "other"}
        assert not done(found, "measure-accuracy", "measure-explanations")


def test_stimuli_are_written_where_they_are_asked_for(result: Result, folder: Path) -> None:
    found = run(folder, EXPLANATIONS | {"stimuli": True})
    assert not done(found, "measure-explanations")
    listed = pd.read_csv(found.folder / "stimuli" / "stimuli.csv")
    assert len(listed) == 9 + 9 * 6 * 2 * 2
    assert all((found.folder / "stimuli" / file).is_file() for file in listed["file"])


def test_without_an_image_that_all_get_right_the_rest_of_the_study_is_there(tmp_path: Path) -> None:
    data = write_data(tmp_path)
    untrained = study(EXPLANATIONS) | {
        "train": {"epochs": 1, **TRAINING, "optimizer": {"lr": 1e-9}},
        "retrain": {"kind": "none"},
        "seeds": [0, 1, 2, 3],
    }
    found = run_study(write_study(tmp_path, untrained), tmp_path / "runs", data=data)
    (choosing,) = [outcome for outcome in found.failed if outcome.status == "failed"]
    assert choosing.step.kind == "choose-explanations"
    assert "no image of 18 is right in all 12 networks" in str(choosing.error)
    assert "dense-seed" in str(choosing.error)
    assert {outcome.step.kind for outcome in found.failed[1:]} == {"measure-explanations"}
    assert "explanations" not in found.tables
    assert {"forgetting", "scores"} <= found.tables.keys()


def test_a_damaged_map_is_made_anew(result: Result, folder: Path) -> None:
    store = Store(folder / "runs")
    first = done(result, "measure-explanations")[0]
    (store.open(first) / "maps-grad-cam.safetensors").write_bytes(b"damaged")
    again = run(folder, EXPLANATIONS)
    assert done(again, "measure-explanations") == [first]
    pd.testing.assert_frame_equal(again.tables["explanations"], result.tables["explanations"])
