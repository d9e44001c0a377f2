"""Explanations in a study: the same images for all its networks, the dense one's maps to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from prunescope.study.run import Result, run_study
from study.tiny import TRAINING, document, write_data, write_study

TWO_ROUNDS = [
    {"series": "weights", "granularity": "weight", "schedule": "iterative", "per_round": 0.5, "rounds": 2}
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing: what the report makes of the tables is tested elsewhere."""

    def write_report(folder: Path) -> Path:
        page = folder / "report" / "index.html"
        page.parent.mkdir(exist_ok=True)
        page.write_text("")
        return page

    monkeypatch.setattr("prunescope.report.page.write_report", write_report)


def run(folder: Path, data: Path, out: str = "runs", **settings: Any) -> Result:
    study = document(
        measure=["accuracy", {"explanations": {"steps": 2, **settings}}],
        prune=TWO_ROUNDS,
        train={"epochs": 12, **TRAINING},
    )
    return run_study(write_study(folder, study), folder / out, data=data)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all that the steps of this measure left, but for their manifests, which say how long they took."""
    steps = [file for file in (folder / "steps").glob("measure-explanations-*/*") if file.name != "step.json"]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(steps)}


def test_every_final_network_explains_the_same_images_and_again_with_the_same_bytes(
    data: Path, tmp_path: Path
) -> None:
    result = run(tmp_path, data, choose="correct")
    assert not result.failed
    rows, networks = result.tables["explanations"], result.tables["networks"]
    retrained = networks.loc[networks["stage"] == "retrained", "network"].tolist()
    assert rows["network"].unique().tolist() == ["dense-seed0", *retrained]
    assert rows["correct"].all()
    images = {tuple(own["image"]) for _, own in rows.groupby("network")}
    assert len(images) == 1
    said = result.tables["images"]
    right = said[said["network"].isin(rows["network"]) & (said["label"] == said["prediction"])]
    times = right["image"].value_counts()
    assert sorted(next(iter(images))) == sorted(times[times == 3].index)
    dense = rows[rows["network"] == "dense-seed0"]
    assert dense["spearman"].isna().all()
    assert rows.loc[rows["network"] != "dense-seed0", "spearman"].notna().any()
    scores = result.tables["scores"].query("measure == 'explanations'")
    assert "grad-cam/faithfulness" in set(scores["metric"])
    assert set(result.tables["explanation_curves"]["network"]) <= {"dense-seed0", *retrained}
    again = run(tmp_path, data, "others", choose="correct")
    assert contents(tmp_path / "runs") == contents(tmp_path / "others")
    assert len(contents(tmp_path / "runs")) == 3 * 4  # three tables and a file of maps for each
    for name in ("explanations", "explanation_curves", "scores"):
        pd.testing.assert_frame_equal(result.tables[name], again.tables[name])
    before = (tmp_path / "runs" / "tiny" / "study.json").read_bytes()
    run(tmp_path, data, choose="correct")  # nothing is to be done
    assert (tmp_path / "runs" / "tiny" / "study.json").read_bytes() == before


def test_all_networks_on_request(data: Path, tmp_path: Path) -> None:
    result = run(tmp_path, data, networks="all", target="label", limit=6)
    assert set(result.tables["explanations"]["network"]) == set(result.tables["networks"]["network"])
    assert (result.tables["explanations"].groupby("network").size() == 6).all()
    assert not result.failed
