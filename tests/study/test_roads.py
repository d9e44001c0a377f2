"""Roads of a study other than fine-tuning: rewinding, controls, sweeps, budgets, gradual pruning, own scores."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from prunescope import Mask, count, load_tables, open_network, run_study
from prunescope.errors import PrunescopeError
from prunescope.networks.network import save_network
from prunescope.networks.preprocess import Preprocess
from prunescope.pruning.allocation import scaled_rates
from prunescope.pruning.prune import Pruning
from prunescope.study.execute import Watcher
from prunescope.study.run import Result, prepare
from prunescope.study.settings import StudySettings
from prunescope.training.state import TrainingState
from study.tiny import BASE, TRAINING, document, write_data, write_study

REWOUND = {"kind": "weight-rewinding", "rewind_to": "4 steps"}
STILL = {"name": "sgd", "lr": 0.05, "momentum": 0}
NONE = {"kind": "none"}


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunescope.report.page.write_report", lambda folder: folder / "none")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@dataclasses.dataclass
class Ran:
    out: Path
    tables: dict[str, pd.DataFrame]
    result: Result

    def folder(self, network: str) -> Path:
        (step,) = self.tables["networks"].query("network == @network")["step"]
        return self.out / "steps" / str(step)

    def network(self, network: str) -> nn.Module:
        return open_network(str(self.folder(network) / "network.safetensors"))

    def mask(self, network: str) -> Mask:
        return Mask.load(self.folder(network) / "mask.safetensors")

    def row(self, network: str) -> dict[str, Any]:
        (found,) = self.tables["networks"].query("network == @network").to_dict("records")
        return found

    def step(self, kind: str) -> Path:
        (found,) = self.out.glob(f"steps/{kind}-*")
        return found

    def score(self, network: str, metric: str) -> float:
        (value,) = self.tables["scores"].query("network == @network and metric == @metric")["value"]
        return float(value)


def run(out: Path, data: Path, prune: list[dict[str, Any]], **changes: Any) -> Ran:
    settings = StudySettings.model_validate(document(prune=prune, **changes))
    result = run_study(settings, out, data=data)
    assert not [outcome.error for outcome in result.failed]
    return Ran(out, result.tables, result)


def same(one: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def series(**chosen: Any) -> dict[str, Any]:
    return {"series": "a", "granularity": "weight", "scope": "global", **chosen}


def test_rewinding_without_pruning_ends_where_the_training_ended(tmp_path: Path, data: Path) -> None:
    """Without momentum the state at a step is all there is, so that replaying from it has to give the same bits."""
    ran = run(
        tmp_path, data, [series(rates=[0.0], retrain=REWOUND)], train={**BASE["train"], "optimizer": STILL}
    )
    assert same(ran.network("a-0-retrained-seed0"), ran.network("dense-seed0"))
    assert not same(open_network(str(ran.step("rewind") / "network.safetensors")), ran.network("dense-seed0"))


def test_learning_rate_rewinding_starts_from_the_pruned_weights(tmp_path: Path, data: Path) -> None:
    kinds = ["learning-rate-rewinding", "weight-rewinding"]
    ran = run(
        tmp_path,
        data,
        [series(series=kind, rates=[0.5], retrain={"kind": kind, "rewind_to": "2 epochs"}) for kind in kinds],
    )
    curves = ran.tables["curves"].set_index("network")
    steps = {kind: curves.loc[[f"{kind}-0.5-retrained-seed0"]] for kind in kinds}
    assert all(list(found["epoch"]) == list(steps[kinds[0]]["epoch"]) for found in steps.values())
    assert list(steps[kinds[0]]["loss"]) != list(steps[kinds[1]]["loss"])
    both = [ran.network(f"{kind}-0.5-retrained-seed0") for kind in kinds]
    assert not same(*both)


def test_every_state_of_the_dense_training_is_kept_and_a_step_between_on_request(
    tmp_path: Path, data: Path
) -> None:
    ran = run(tmp_path, data, [series(rates=[0.5], retrain=REWOUND)])
    states = sorted(int(path.stem) for path in (ran.folder("dense-seed0") / "states").iterdir())
    assert states == [0, 3, 4, 6, 9, 12]  # 24 images in batches of 8, four epochs
    last = TrainingState.load(ran.folder("dense-seed0") / "states" / f"{12:09d}.safetensors")
    dense = ran.network("dense-seed0").state_dict()
    assert all(torch.equal(tensor, dense[name]) for name, tensor in last.network.items())
    asked = run(tmp_path / "asked", data, [series(rates=[0.5], retrain=REWOUND)], keep_epochs=False)
    assert [path.stem for path in (asked.folder("dense-seed0") / "states").iterdir()] == [f"{4:09d}"]
    assert same(asked.network("a-0.5-retrained-seed0"), ran.network("a-0.5-retrained-seed0"))


@pytest.mark.parametrize("keep_epochs", [True, False])
def test_a_step_that_was_not_kept_is_trained_up_to_again(
    tmp_path: Path, data: Path, keep_epochs: bool
) -> None:
    """The dense network is not trained anew because another series rewinds to another step."""
    first = run(tmp_path, data, [series(rates=[0.5])], keep_epochs=keep_epochs)
    trained = first.folder("dense-seed0").stat().st_mtime_ns
    second = run(tmp_path, data, [series(rates=[0.5], retrain=REWOUND)], keep_epochs=keep_epochs)
    assert second.folder("dense-seed0").stat().st_mtime_ns == trained
    at_once = run(tmp_path / "at once", data, [series(rates=[0.5], retrain=REWOUND)])
    name = "a-0.5-retrained-seed0"
    assert same(second.network(name), at_once.network(name))
    assert not list((tmp_path / "unfinished").iterdir())


def test_what_a_training_left_that_was_killed_once_it_had_finished_goes(tmp_path: Path, data: Path) -> None:
    dense = run(tmp_path, data, []).folder("dense-seed0")
    left = tmp_path / "unfinished" / dense.name
    left.mkdir(parents=True)
    (left / f"{12:09d}.safetensors").write_bytes(b"")
    run(tmp_path, data, [])
    assert not left.exists()
    assert dense.exists()


def test_controls_have_the_densities_and_the_masks_of_their_series(tmp_path: Path, data: Path) -> None:
    chosen = series(
        schedule="iterative",
        per_round=0.4,
        rounds=3,
        retrain=REWOUND,
        controls=["random-mask", "re-initialise"],
    )
    ran = run(tmp_path, data, [chosen])
    for target in ("0.4", "0.64", "0.784"):
        own, drawn = (ran.mask(f"{name}-{target}-pruned-seed0").keep for name in ("a", "a, random mask"))
        assert {name: int(keep.sum()) for name, keep in own.items()} == {
            name: int(keep.sum()) for name, keep in drawn.items()
        }
        assert any(not torch.equal(keep, drawn[name]) for name, keep in own.items())
        fresh = ran.network(f"a, re-initialised-{target}-retrained-seed0")
        assert Mask(own, "weight").held(fresh) == 1
        assert not same(fresh, ran.network(f"a-{target}-retrained-seed0"))
    networks = ran.tables["networks"].set_index("network")
    assert networks.loc["a, random mask-0.4-pruned-seed0", "control"] == "random mask"
    assert networks.loc["a, re-initialised-0.4-retrained-seed0", "retraining"] == "re-initialise"
    earlier, later = (ran.mask(f"a, random mask-{t}-pruned-seed0").keep for t in ("0.4", "0.784"))
    assert all(not (later[name] & ~keep).any() for name, keep in earlier.items()), "removed stays removed"


def test_fresh_weights_are_put_into_the_network_that_given_weights_brought(
    tmp_path: Path, data: Path
) -> None:
    """A file of weights says what the network was built with, and so does the identity of the step."""
    preprocess = Preprocess(resize=None, crop=16)
    given = open_network("study.tiny:wide", classes=3, options={"width": 12}, preprocess=preprocess, seed=7)
    save_network(given, tmp_path / "wide.safetensors")
    network = {"name": "study.tiny:wide", "weights": str(tmp_path / "wide.safetensors")}
    chosen = series(rates=[0.5], controls=["re-initialise"])
    ran = run(tmp_path / "runs", data, [chosen], network={**BASE["network"], **network})
    fresh = ran.network("a, re-initialised-0.5-retrained-seed0")
    assert fresh.conv1.weight.shape == (12, 3, 3, 3)
    assert ran.mask("a-0.5-pruned-seed0").held(fresh) == 1


def test_a_sweep_finds_what_each_layer_tolerates(tmp_path: Path, data: Path) -> None:
    sweep = {"rates": [0.25, 0.5, 0.75], "drop": 0.1}
    ran = run(
        tmp_path,
        data,
        [
            series(
                series="factors", granularity="filter", scope="specific", sensitivity=sweep, factors=[1.0]
            ),
            series(series="rates", granularity="filter", scope="specific", sensitivity=sweep, rates=[0.2]),
        ],
        retrain=NONE,
    )
    found = ran.tables["sensitivity"].query("series == 'factors'")
    assert len(list(ran.out.glob("steps/sensitivity-*"))) == 1 + 3 * 3, "shared by both series"
    borne = {}
    for layer, rows in found.groupby("layer"):
        kept = rows.sort_values("rate")["top1"] >= rows["dense_top1"] - 0.1
        borne[layer] = max([0.0, *rows.sort_values("rate")["rate"][kept.cumprod().astype(bool)]])
        assert (rows["tolerated"] == borne[layer]).all()
    mask = ran.mask("factors-x1-pruned-seed0")
    assert {layer: float(mask.removed(layer).float().mean()) for layer in borne} == borne
    layers = Pruning(ran.network("dense-seed0"), "filter").layers
    scaled, mask = scaled_rates(borne, layers, 0.2), ran.mask("rates-0.2-pruned-seed0")
    for layer, rate in scaled.items():
        assert int(mask.removed(layer).sum()) == round(rate * mask.removed(layer).numel())


def test_a_budget_is_met_and_the_rate_found_is_told(tmp_path: Path, data: Path) -> None:
    ran = run(
        tmp_path, data, [series(granularity="filter", budget={"of": "macs", "left": [0.5]})], retrain=NONE
    )
    name = "a-0.5 of macs-pruned-seed0"
    assert ran.score(name, "macs_effective") <= 0.5 * ran.score(name, "macs_dense")
    row, mask = ran.row(name), ran.mask(name)
    removed = torch.cat([mask.removed(layer).flatten() for layer in mask.rates])
    assert row["rate"] == pytest.approx(float(removed.float().mean()))
    assert (row["target"], row["budget"]) == ("0.5 of macs", "macs")


def test_a_budget_out_of_reach_fails_its_own_series_alone(tmp_path: Path, data: Path) -> None:
    impossible = series(series="b", granularity="filter", budget={"of": "macs", "at_most": [10]})
    settings = StudySettings.model_validate(document(prune=[series(rates=[0.5]), impossible], retrain=NONE))
    result = run_study(settings, tmp_path, data=data)
    errors = [outcome.error for outcome in result.failed if outcome.status == "failed"]
    assert len(errors) == 1
    assert "the least possible is" in str(errors[0])
    assert "a-0.5-pruned-seed0" in set(result.tables["networks"]["network"])


def test_random_masks_of_n_of_m_take_as_many_of_every_block(tmp_path: Path, data: Path) -> None:
    chosen = series(granularity="n:m", scope="layer", rates=[0.25], spare=["conv1"], controls=["random-mask"])
    ran = run(tmp_path, data, [chosen], retrain={"epochs": 1, **TRAINING})
    mask, drawn = ran.mask("a-0.25-pruned-seed0"), ran.mask("a, random mask-0.25-pruned-seed0")
    for name in ("conv2", "conv3", "fc"):
        blocks = drawn.removed(name).unflatten(1, (-1, 4))
        assert (blocks.sum(2) == 1).all()
        assert not torch.equal(drawn.removed(name), mask.removed(name))


@pytest.mark.parametrize("gradual", [{"every": 1}, None])
def test_gradual_pruning_ends_at_its_rate_and_holds(
    tmp_path: Path, data: Path, gradual: dict[str, Any] | None
) -> None:
    ran = run(tmp_path, data, [series(schedule="gradual", gradual=gradual, rates=[0.7])])
    name = "a-0.7-retrained-seed0"
    network, mask = ran.network(name), ran.mask(name)
    assert mask.held(network) == 1
    assert ran.row(name)["held"] == 1
    assert math.isnan(ran.row(name)["zeros_after_pruning"]), "it was never only pruned"
    pruned = sum(part.zeros for part in count(network).layers.values())
    assert pruned == round(0.7 * sum(keep.numel() for keep in mask.keep.values()))
    assert "a-0.7-pruned-seed0" not in set(ran.tables["networks"]["network"])


def test_recalibration_changes_batch_norms_alone(tmp_path: Path, data: Path) -> None:
    plain, anew = (
        run(tmp_path, data, [series(rates=[0.5], granularity="filter", recalibrate=images)], retrain=NONE)
        for images in (None, 12)
    )
    pruned = plain.network("dense-seed0")
    plain.mask("a-0.5-pruned-seed0").apply(pruned)
    changed = {
        name
        for name, tensor in anew.network("a-0.5-pruned-seed0").state_dict().items()
        if not torch.equal(tensor, pruned.state_dict()[name])
    }
    assert changed
    assert all((name.startswith("bn") and "running" in name) or "tracked" in name for name in changed)


def test_a_score_of_ones_own_is_part_of_what_decides(tmp_path: Path, data: Path) -> None:
    file = tmp_path / "mine.py"
    source = "def mine(request):\n    return request.over_weights(lambda w: {}w.abs())\n"
    folders = []
    for sign in ("", "-"):
        file.write_text(source.format(sign))
        ran = run(tmp_path / "runs", data, [series(score=f"{file}:mine", rates=[0.5])], retrain=NONE)
        folders.append(ran.folder("a-0.5-pruned-seed0"))
    small, large = (Mask.load(folder / "mask.safetensors").keep for folder in folders)
    assert folders[0] != folders[1]
    assert all(not torch.equal(keep, large[name]) for name, keep in small.items())


REFUSED = {
    "rewinding a network that comes trained": (
        {"retrain": REWOUND},
        {"name": "study.tiny:tiny", "weights": "w.safetensors"},
        "comes trained: leave out network.weights",
    ),
    "a step that the training does not reach": (
        {"retrain": {**REWOUND, "rewind_to": "4 epochs"}},
        None,
        "the training ends after 12",
    ),
    "a calibration set larger than the images": (
        {"score": "snip", "calibration": 25},
        None,
        "calibration: 25 images of train, and there are 24",
    ),
    "a score that cannot score so": ({"score": "taylor"}, None, "taylor cannot score by weight"),
    "a random control of random masks": (
        {"score": "random", "controls": ["random-mask"]},
        None,
        "is its own random mask",
    ),
    "n:m with a least number": (
        {"granularity": "n:m", "scope": "layer", "min_share": 0.5},
        None,
        "leave out min_left, min_share",
    ),
    "controls of what is not trained": (
        {"retrain": NONE, "controls": ["random-mask"]},
        None,
        "leave controls out",
    ),
    "a glob that fits nothing": (
        {"scope": "specific", "layer_rates": {"conf1": 0.5}, "rates": None},
        None,
        "no layer 'conf1'",
    ),
    "an inputs count that is no multiple": (
        {"granularity": "n:m", "scope": "layer"},
        None,
        "conv1",
    ),
    "a runtime that is not there": (
        {
            "granularity": "filter",
            "budget": {"of": "milliseconds", "at_most": [1], "runtime": "tflite"},
            "rates": None,
        },
        None,
        "no runtime 'tflite'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_said_before_any_work(case: str, tmp_path: Path, data: Path) -> None:
    chosen, network, said = REFUSED[case]
    changes = {"network": {**BASE["network"], **network}} if network else {}
    given = {key: value for key, value in series(**{"rates": [0.5], **chosen}).items() if value is not None}
    with pytest.raises((PrunescopeError, ValueError), match=said):
        run_study(StudySettings.model_validate(document(prune=[given], **changes)), tmp_path, data=data)


GIVEN: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a replayed training that is not told": (
        {"retrain": {"kind": "learning-rate-rewinding"}},
        {"train": None},
        "comes trained: say under train how it was trained",
    ),
    "fresh weights, likewise": ({"controls": ["re-initialise"]}, {"train": None}, "say under train"),
    "a ramp that the training cannot hold": (
        {"schedule": "gradual", "gradual": {"end": 5}},
        {},
        "gradual pruning from epoch 0 to 5 does not fit into a training of 2 epochs",
    ),
    "statistics of a network without batch norms": (
        {"recalibrate": 12, "retrain": NONE},
        {"network": {"name": "study.tiny:bare"}},
        "needs batch norms",
    ),
    "a calibration set of no images": (
        {"score": "snip", "calibration": 6, "retrain": NONE},
        {"images": {"test": "folder:test"}},
        "images of train are needed, and the study has none: give images.train",
    ),
}


@pytest.mark.parametrize("case", GIVEN)
def test_what_cannot_work_with_a_given_network_is_said_before_any_work(
    case: str, tmp_path: Path, data: Path
) -> None:
    chosen, changes, said = GIVEN[case]
    name = changes.get("network", {"name": "study.tiny:tiny"})["name"]
    weights = tmp_path / "given.safetensors"
    save_network(open_network(name, classes=3, preprocess=Preprocess(resize=None, crop=16)), weights)
    network = {"name": name, "weights": str(weights), "preprocess": {"resize": None, "crop": 16}}
    study = document(prune=[series(**{"rates": [0.5], **chosen})]) | changes | {"network": network}
    study = {key: value for key, value in study.items() if value is not None}
    with pytest.raises((PrunescopeError, ValueError), match=said):
        prepare(StudySettings.model_validate(study), data)


def test_choices_on_the_test_images_need_no_others(tmp_path: Path, data: Path) -> None:
    save_network(open_network("study.tiny:tiny", classes=3), tmp_path / "given.safetensors")
    sweep = {"rates": [0.5], "limit": 12}  # of 18 images; of train, 6 are set aside
    study = document(
        network={**BASE["network"], "weights": str(tmp_path / "given.safetensors")},
        prune=[series(scope="specific", sensitivity=sweep, factors=[1.0], retrain=NONE)],
        images={"test": "folder:test", "select_on": "test"},
    )
    plan, *_ = prepare(StudySettings.model_validate(study), data)
    assert [step.settings["limit"] for step in plan.steps() if step.kind == "sensitivity"] == [12] * 5


def test_all_gradients_zero_is_told(tmp_path: Path, data: Path) -> None:
    network = open_network("study.tiny:tiny", classes=3, preprocess=Preprocess(resize=None, crop=16))
    with torch.no_grad():
        network.conv2.weight.zero_()
        network.bn2.bias.fill_(-1)
    save_network(network, tmp_path / "dead.safetensors")
    settings = document(
        network={"name": str(tmp_path / "dead.safetensors")},
        prune=[series(score="snip", rates=[0.5], calibration=12, spare=["fc"])],
        retrain=NONE,
    )
    result = run_study(StudySettings.model_validate(settings), tmp_path / "runs", data=data)
    (failed,) = [outcome for outcome in result.failed if outcome.status == "failed"]
    assert "snip" in str(failed.error)
    assert "all gradients are 0" in str(failed.error)


class _Told(Watcher):
    def __init__(self) -> None:
        self.epochs: list[int] = []

    def epoch(self, epoch: Any, epochs: int) -> None:
        self.epochs.append(epoch.epoch)


LONG = document(
    train={**TRAINING, "epochs": 400},
    prune=[series(schedule="gradual", gradual={"every": 3}, rates=[0.7])],
    retrain={**TRAINING, "epochs": 400},
)


@pytest.mark.parametrize("kind", ["train", "gradual"])
def test_a_long_training_goes_on_from_its_last_epoch_after_kill_9(
    kind: str, tmp_path: Path, data: Path
) -> None:
    study, undisturbed = write_study(tmp_path, LONG), tmp_path / "undisturbed"
    tests = str(Path(__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "prunescope", "run", study, "--out", tmp_path / "runs", "--data", data],
        env={**os.environ, "PYTHONPATH": tests, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        states = [int(path.stem) for path in tmp_path.glob(f"runs/unfinished/{kind}-*/*.safetensors")]
        if any(state >= 30 for state in states):
            break
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    watcher = _Told()
    settings = StudySettings.model_validate(LONG)
    run_study(settings, tmp_path / "runs", data=data, watcher=watcher)
    first = watcher.epochs[0]
    assert 10 <= first < 400, "it went on, rather than beginning again"
    run_study(settings, undisturbed, data=data)
    one, other = (load_tables(out / "tiny")["networks"] for out in (tmp_path / "runs", undisturbed))
    for network, step in zip(one["network"], one["step"], strict=True):
        assert step in set(other["step"])
        file = Path("steps", step, "network.safetensors")
        if (undisturbed / file).exists():
            both = [open_network(str(out / file)) for out in (tmp_path / "runs", undisturbed)]
            assert same(*both), network
    assert not list((tmp_path / "runs" / "unfinished").iterdir())
