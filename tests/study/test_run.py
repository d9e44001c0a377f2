"""A whole study on tiny data: every granularity and schedule, and what its tables say about its networks."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from oracles import accuracy as oracle
from prunescope import Mask, load_tables, open_network, run_study
from prunescope.errors import PrunescopeError
from prunescope.study.execute import Watcher
from prunescope.study.run import Result
from prunescope.study.settings import StudySettings
from study.tiny import BASE, document, write_data

SEEDS = [0, 3]
NONE = {"kind": "none"}
PRUNE: list[dict[str, Any]] = [
    {
        "series": "rounds",
        "granularity": "weight",
        "scope": "global",
        "schedule": "iterative",
        "rates": [0.3, 0.6],
        "spare": ["fc"],
    },
    {"series": "filters", "granularity": "filter", "rates": [0.25, 0.5]},
    {
        "series": "connections",
        "granularity": "connection",
        "score": "random",
        "rates": [0.5],
        "retrain": NONE,
    },
    {
        "series": "free",
        "granularity": "weight",
        "schedule": "iterative",
        "rates": [0.5, 0.6],
        "hold": False,
        "retrain": {
            **BASE["retrain"],
            "epochs": 4,
            "optimizer": {"lr": 0.5},
        },  # far, so that zeros grow large
    },
    {
        "series": "left",
        "granularity": "filter",
        "schedule": "iterative",
        "per_round": 0.25,
        "rounds": 2,
        "retrain": NONE,
        "norm": "keep",
    },
]
STUDY = document(study="everything", seeds=SEEDS, prune=PRUNE)
NETWORKS = 1 + 2 * 2 + 2 * 2 + 1 + 2 * 2 + 2  # a seed

COLUMNS = {
    "networks": "network step series granularity score scope norm hold schedule retraining recalibrate control "
    "seed round stage target budget rate zeros_after_pruning zeros_after_retraining unreachable_after_pruning "
    "unreachable_after_retraining held parent",
    "scores": "network metric value low high n measure",
    "layers": "network layer kind out_channels in_channels kernel groups spared rate weights kept zeros "
    "unreachable macs macs_effective units units_alive",
    "classes": "network index class n top1 low high",
    "images": "network image label prediction confidence",
    "curves": "network epoch loss lr validate_top1",
    "steps": "step kind label status seconds error reused",
}


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports have tests of their own, and take longer than these studies."""
    monkeypatch.setattr("prunescope.report.page.write_report", lambda folder: folder / "none")


def run(study: dict[str, Any], out: Path, data: Path, watcher: Watcher | None = None) -> Result:
    return run_study(StudySettings.model_validate(study), out, data=data, watcher=watcher)


@dataclass
class Ran:
    data: Path
    out: Path
    tables: dict[str, pd.DataFrame]

    def scores(self, metric: str) -> dict[str, float]:
        found = self.tables["scores"].query("metric == @metric")
        return dict(zip(found["network"], found["value"], strict=True))

    def rows(self, **values: Any) -> pd.DataFrame:
        networks = self.tables["networks"]
        for column, value in values.items():
            networks = networks[networks[column] == value]
        return networks

    def folder(self, network: str) -> Path:
        (step,) = self.rows(network=network)["step"]
        return self.out / "steps" / str(step)

    def open(self, network: str) -> nn.Module:
        """Open a network from what lies in the store alone."""
        if (file := self.folder(network) / "network.safetensors").exists():
            return open_network(str(file))
        (parent,) = self.rows(network=network)["parent"]
        opened = self.open(parent)
        Mask.load(self.folder(network) / "mask.safetensors").apply(opened)
        return opened


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def ran(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    out = tmp_path_factory.mktemp("results") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prunescope.report.page.write_report", lambda folder: folder / "none")
        result = run(STUDY, out, data)
    assert not result.failed
    return Ran(data, out, load_tables(out / "everything"))


def test_the_tables_have_the_documented_columns(ran: Ran) -> None:
    assert {name: set(table.columns) for name, table in ran.tables.items()} == {
        name: set(columns.split()) for name, columns in COLUMNS.items()
    }


def test_every_network_is_there_once_and_measured_whole(ran: Ran) -> None:
    networks = ran.tables["networks"]["network"]
    assert len(networks) == len(set(networks)) == NETWORKS * len(SEEDS)
    for name in ("scores", "layers", "classes", "images"):
        assert set(ran.tables[name]["network"]) == set(networks)
    metrics = ran.tables["scores"].groupby("network")["metric"].agg(set)
    dense = set(metrics["dense-seed0"])  # of which nothing was removed that could be held
    assert all(
        found == (dense if "dense" in network else dense | {"held"}) for network, found in metrics.items()
    )
    assert (ran.tables["images"].groupby("network").size() == 18).all()
    assert (ran.tables["classes"].groupby("network")["n"].sum() == 18).all()
    steps = ran.tables["steps"]
    assert (steps["status"] == "done").all()
    assert not steps["reused"].any()
    assert steps["error"].isna().all()
    assert steps["step"].is_unique


def test_networks_descend_from_one_another(ran: Ran) -> None:
    for row in ran.tables["networks"].to_dict("records"):
        if row["stage"] == "dense":
            assert pd.isna(row["parent"])
            continue
        (parent,) = ran.rows(network=row["parent"]).to_dict("records")
        assert parent["seed"] == row["seed"]
        if row["stage"] == "retrained":
            assert (parent["stage"], parent["rate"], parent["series"]) == (
                "pruned",
                row["rate"],
                row["series"],
            )
        elif row["schedule"] == "one-shot" or row["round"] == 1:
            assert parent["stage"] == "dense"
        else:
            ended = "pruned" if row["retraining"] == "none" else "retrained"
            assert (parent["stage"], parent["round"]) == (ended, row["round"] - 1)


def test_the_zeros_are_those_that_were_asked_for(ran: Ran) -> None:
    for row in ran.rows(stage="pruned").to_dict("records"):
        assert row["zeros_after_pruning"] == pytest.approx(row["rate"], abs=0.05), row["network"]
        assert row["unreachable_after_pruning"] >= row["zeros_after_pruning"]
        assert np.isnan(row["zeros_after_retraining"])
    exact = ran.rows(series="rounds", stage="pruned")  # 1944 weights in one pool
    assert exact["zeros_after_pruning"].tolist() == [583 / 1944, 1166 / 1944] * len(SEEDS)


def test_what_is_held_stays_zero_and_what_is_free_grows_back(ran: Ran) -> None:
    for row in ran.rows(stage="retrained").to_dict("records"):
        before, after = row["zeros_after_pruning"], row["zeros_after_retraining"]
        if row["series"] == "free":
            assert before == pytest.approx(row["rate"], abs=0.01)
            assert after < 0.05
            assert row["held"] < 0.05
        else:
            assert after == before > 0.2
            assert row["held"] == 1
    assert ran.rows(stage="retrained", series="free")["hold"].tolist() == [False] * 2 * len(SEEDS)


# Of the free weights, those that have grown large are not chosen by their size.
PAIRS = (("rounds-0.3", "rounds-0.6"), ("left-0.25", "left-0.4375"), ("free-0.5", "free-0.6"))


def test_what_was_removed_stays_removed_in_later_rounds(ran: Ran) -> None:
    for seed in SEEDS:
        for first, second in PAIRS:
            masks = [
                Mask.load(ran.folder(f"{n}-pruned-seed{seed}") / "mask.safetensors") for n in (first, second)
            ]
            for name, keep in masks[1].keep.items():
                assert not (keep & ~masks[0].keep[name]).any(), name
                assert (keep != masks[0].keep[name]).any() or not name.endswith("conv3.weight")


def test_layers_say_what_was_spared_and_add_up_to_the_network(ran: Ran) -> None:
    layers = ran.tables["layers"]
    rounds = layers[layers["network"] == "rounds-0.3-pruned-seed0"].set_index("layer")
    assert rounds["spared"].to_dict() == {"conv1": False, "conv2": False, "conv3": False, "fc": True}
    assert rounds.loc["fc", "zeros"] == 0
    assert np.isnan(rounds.loc["fc", "rate"])
    macs = layers.groupby("network")[["macs", "macs_effective"]].sum()
    assert macs["macs"].to_dict() == ran.scores("macs_dense")
    assert macs["macs_effective"].to_dict() == ran.scores("macs_effective")
    pruned = layers[~layers["spared"]]
    gone = (pruned["weights"] - pruned["kept"]).groupby(pruned["network"]).sum()
    total = pruned.groupby("network")["weights"].sum()
    assert (gone / total).to_dict() == pytest.approx(ran.scores("zeros_prunable"))


def test_retraining_brings_accuracy_back(ran: Ran) -> None:
    top1, loss = ran.scores("top1"), ran.scores("cross_entropy")
    for row in ran.rows(stage="retrained").to_dict("records"):
        assert top1[row["network"]] > (0.3 if row["series"] == "free" else 0.8), row["network"]
        if row["series"] == "filters":  # whose networks pruning hurts most
            assert loss[row["network"]] < loss[row["parent"]]
    assert all(top1[f"dense-seed{seed}"] > 0.9 for seed in SEEDS)


@pytest.mark.parametrize(
    "network",
    ["dense-seed3", "rounds-0.6-retrained-seed0", "filters-0.5-pruned-seed0", "left-0.4375-pruned-seed3"],
)
def test_every_score_can_be_computed_again_from_what_is_stored(network: str, ran: Ran) -> None:
    opened = ran.open(network)
    files = sorted((ran.data / "test").rglob("*.png"))
    classes = sorted({file.parent.name for file in files})
    pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files]) / 255
    x = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.no_grad():
        logits = opened(torch.tensor(x, dtype=torch.float32).permute(0, 3, 1, 2)).double().tolist()
    labels = [classes.index(file.parent.name) for file in files]
    predictions = [int(np.argmax(row)) for row in logits]
    confidence = [max(oracle.shares(row)) for row in logits]
    correct = [one == other for one, other in zip(predictions, labels, strict=True)]
    weights = {
        name: layer.weight for name, layer in opened.named_modules() if name.startswith(("conv", "fc"))
    }
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    everything = sum(p.numel() for p in opened.parameters())
    (spared,) = {
        tuple(g.loc[g["spared"], "layer"]) for n, g in ran.tables["layers"].groupby("network") if n == network
    }
    prunable = sum(weight.numel() for name, weight in weights.items() if name not in spared)
    scores = ran.tables["scores"].query("network == @network").set_index("metric")["value"]
    assert scores["top1"] == pytest.approx(np.mean(correct))
    assert scores["cross_entropy"] == pytest.approx(oracle.cross_entropy(logits, labels), rel=1e-4)
    assert scores["calibration_error"] == pytest.approx(
        oracle.calibration_error(confidence, correct, 15), abs=1e-3
    )
    assert scores["weights"] == everything
    assert scores["prunable_weights"] == prunable
    assert scores["zeros_prunable"] == zeros / prunable
    assert scores["nonzero"] == sum(int((p != 0).sum()) for p in opened.parameters())
    assert scores["compression_prunable"] == prunable / (prunable - zeros)
    images = ran.tables["images"].query("network == @network")
    assert images["image"].tolist() == [str(file.relative_to(ran.data / "test")) for file in files]
    assert images["prediction"].tolist() == predictions
    assert images["confidence"].tolist() == pytest.approx(confidence, abs=1e-4)


def test_training_leaves_a_line_an_epoch(ran: Ran) -> None:
    epochs = pd.read_parquet(ran.folder("dense-seed0") / "curves.parquet")
    assert epochs["epoch"].tolist() == [0, 1, 2, 3]
    assert epochs["loss"].iloc[-1] < epochs["loss"].iloc[0]


def stamps(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (out / "steps").rglob("*")}


def same_tables(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame], *apart: str) -> None:
    assert set(one) == set(other)
    for name, table in one.items():
        drop = [column for column in apart if column in table]
        pd.testing.assert_frame_equal(table.drop(columns=drop), other[name].drop(columns=drop))


def test_a_second_run_does_nothing_and_says_the_same(ran: Ran) -> None:
    before = stamps(ran.out)
    again = run(STUDY, ran.out, ran.data)
    assert stamps(ran.out) == before
    assert again.tables["steps"]["reused"].all()
    same_tables(ran.tables, load_tables(ran.out / "everything"), "reused")


def test_another_folder_gives_the_same_bits(ran: Ran, tmp_path: Path) -> None:
    less = document(study="less", seeds=[3], prune=PRUNE[:1])
    tables = run(less, tmp_path / "runs", ran.data).tables
    for name in ("scores", "layers", "classes", "images"):
        whole = ran.tables[name]
        expected = whole[whole["network"].isin(tables["networks"]["network"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(tables[name], expected)


def test_a_study_re_uses_the_steps_of_another_in_the_same_folder(ran: Ran, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    shutil.copytree(ran.out, out)
    fewer = document(study="fewer", prune=[{**PRUNE[1], "series": "renamed"}])
    result = run(fewer, out, ran.data)
    assert result.tables["steps"]["reused"].all()
    more = document(study="fewer", prune=[{**PRUNE[1], "series": "renamed", "rates": [0.25, 0.75]}])
    steps = run(more, out, ran.data).tables["steps"]
    assert set(steps.loc[~steps["reused"], "label"]) == {
        "prune renamed-0.75",
        "retrain renamed-0.75",
        *(
            f"measure {m} of renamed-0.75-{s}-seed0"
            for m in ("accuracy", "size")
            for s in ("pruned", "retrained")
        ),
    }


def test_a_measure_that_is_added_is_all_that_is_done(data: Path, tmp_path: Path) -> None:
    size = run(document(measure=["size"]), tmp_path, data).tables
    assert set(size) == {"networks", "scores", "layers", "steps", "curves"}
    before = stamps(tmp_path)
    both = run(document(measure=["size", "accuracy"]), tmp_path, data).tables
    steps = both["steps"]
    assert set(steps.loc[~steps["reused"], "kind"]) == {"measure-accuracy"}
    after = stamps(tmp_path)
    assert {path for path in before if path.is_file() and after[path] != before[path]} == set()
    assert {"classes", "images"} <= set(both)
    run(document(measure=["size"]), tmp_path, data)
    assert set(load_tables(tmp_path / "tiny")) == set(size)  # what is no longer measured is no longer told


def failing() -> dict[str, Any]:
    study = document(study="failing")
    study["prune"][0]["retrain"] = {**study["retrain"], "optimizer": {"lr": 1e30}}
    return study


def test_a_step_that_fails_stops_only_what_needs_it(data: Path, tmp_path: Path) -> None:
    result = run(failing(), tmp_path, data)
    steps = result.tables["steps"].set_index("label")
    assert steps.loc["retrain weights-0.5", "status"] == "failed"
    assert "the loss became nan" in steps.loc["retrain weights-0.5", "error"]
    skipped = steps[steps["status"] == "skipped"]
    assert set(skipped.index) == {f"measure {m} of weights-0.5-retrained-seed0" for m in ("accuracy", "size")}
    assert set(skipped["error"]) == {"needs 'retrain weights-0.5', which failed"}
    networks = set(result.tables["networks"]["network"])
    assert networks == {
        "dense-seed0",
        "weights-0.5-pruned-seed0",
        "filters-0.25-pruned-seed0",
        "filters-0.25-retrained-seed0",
    }
    assert len(result.failed) == 3
    assert [outcome.step.kind for outcome in result.failed if outcome.status == "failed"] == ["retrain"]
    again = run(failing(), tmp_path, data).tables["steps"].set_index("label")
    assert not again.loc["retrain weights-0.5", "reused"]  # what failed is tried again
    assert again.loc[again["status"] == "done", "reused"].all()


def test_where_everything_fails_the_tables_say_so(data: Path, tmp_path: Path) -> None:
    study = document()
    study["train"]["optimizer"] = {"lr": 1e30}
    result = run(study, tmp_path, data)
    assert result.tables["networks"].empty
    assert result.tables["steps"]["status"].tolist() == ["failed", *["skipped"] * 14]


def test_an_unexpected_error_fails_its_step_and_leaves_its_traceback(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("by nought")

    with monkeypatch.context() as patch:
        patch.setattr("prunescope.study.step_prune.share_removed", broken)
        result = run(document(), tmp_path, data)
    steps = result.tables["steps"].set_index("label")
    assert steps.loc["prune weights-0.5", "error"] == "ZeroDivisionError: by nought"
    traces = sorted((result.folder / "errors").glob("*.txt"))
    assert len(traces) == 2
    assert all("in broken" in trace.read_text() for trace in traces)
    assert (steps.loc[["train study.tiny:tiny", "measure size of dense-seed0"], "status"] == "done").all()
    assert not run(document(), tmp_path, data).failed
    assert not list((result.folder / "errors").glob("*.txt"))


class Notes(Watcher):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize("file", ["network.safetensors", "mask.safetensors", "scores.parquet", "step.json"])
def test_damage_is_named_and_done_again_with_the_same_result(file: str, ran: Ran, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    shutil.copytree(ran.out, out)
    damaged = sorted((out / "steps").glob(f"*/{file}"))[0]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    watcher = Notes()
    result = run(STUDY, out, ran.data, watcher)
    assert not result.failed
    step = damaged.parent.name
    if file != "step.json":  # a manifest that is damaged makes a step that is not there
        assert any(step in note and file in note for note in watcher.notes)
    steps = result.tables["steps"]
    assert steps.loc[~steps["reused"], "step"].tolist() == [step]
    same_tables(ran.tables, load_tables(result.folder), "reused", "seconds")
    assert not (out / "steps" / f".tmp-{step}").exists()


def test_a_step_that_vanished_is_done_again(ran: Ran, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    shutil.copytree(ran.out, out)
    step = ran.folder("dense-seed0").name  # what all else rests on
    shutil.rmtree(out / "steps" / step)
    result = run(STUDY, out, ran.data)
    steps = result.tables["steps"]
    assert steps.loc[~steps["reused"], "step"].tolist() == [step]
    same_tables(ran.tables, load_tables(result.folder), "reused", "seconds")


def test_the_number_of_threads_is_that_of_the_study_and_then_the_old_one(data: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    class Threads(Watcher):
        def progress(self, done: int, total: int) -> None:
            seen.append(torch.get_num_threads())

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(document(prune=[]), tmp_path, data, Threads())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen[-5:]) == {1}


def test_what_was_run_is_written_down(ran: Ran) -> None:
    about = json.loads((ran.out / "everything" / "study.json").read_text())
    assert about["study"] == "everything"
    assert StudySettings.model_validate(about["settings"]) == StudySettings.model_validate(STUDY)
    assert about["images"] == {"train": 24, "validate": 6, "test": 18, "classes": 3, "source": "folder:test"}
    assert about["machine"]["threads"] == 1
    assert about["versions"]["torch"] == torch.__version__
    assert about["started"] <= about["finished"]


def test_data_that_is_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        PrunescopeError, match=r"no folder .*nowhere.* for data: check --data or PRUNESCOPE_DATA"
    ):
        run(document(), tmp_path / "runs", tmp_path / "nowhere")
