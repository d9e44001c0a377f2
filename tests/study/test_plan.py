"""The plan: what decides a step is in its name, and nothing else is."""

from __future__ import annotations

import dataclasses
import inspect
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from prunescope.errors import PrunescopeError
from prunescope.networks.network import open_network, save_network
from prunescope.networks.preprocess import Preprocess
from prunescope.pruning.prune import Pruning
from prunescope.study.plan import Plan
from prunescope.study.run import prepare, read_study
from prunescope.study.settings import StudySettings
from prunescope.study.steps import STEP_KINDS
from prunescope.training.settings import TrainSettings
from study.tiny import document, write_data, write_study

Study = dict[str, Any]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


def planned(study: Study, data: Path) -> Plan:
    return prepare(StudySettings.model_validate(study), data)[0]


def ids(study: Study, data: Path) -> dict[str, str]:
    """Return the id of each step by a label of its own."""
    found = {}
    plan = planned(study, data)
    for stop in plan.stops:
        found[stop.network] = stop.step.id
        found |= {f"{step.kind} of {stop.network}": step.id for step in plan.measures[stop.network]}
    return found


@cache
def usual_ids(data: Path) -> dict[str, str]:
    return ids(document(), data)


def changed(study: Study, other: Study, data: Path, data_after: Path | None = None) -> set[str]:
    before = usual_ids(data) if study == document() else ids(study, data)
    after = ids(other, data_after or data)
    assert set(before) == set(after)
    return {label for label in before if before[label] != after[label]}


def altered(path: str, value: Any) -> Study:
    """Return the tiny study with the field at a dotted path set."""
    study = document()
    *above, last = path.split(".")
    place: Any = study
    for key in above:
        place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
    place[last] = value
    return study


ALL = {"dense", "weights-pruned", "weights-retrained", "filters-pruned", "filters-retrained"}
RETRAINED = {"weights-retrained", "filters-retrained"}
WEIGHTS = {"weights-pruned", "weights-retrained"}
ACCURACY = {f"accuracy of {network}" for network in ALL}


def short(labels: set[str]) -> set[str]:
    """Drop rates and seeds, which do not tell these steps apart."""
    for part in ("-0.5", "-0.25", "-seed0", "measure-"):
        labels = {label.replace(part, "") for label in labels}
    return labels


def with_measures(networks: set[str]) -> set[str]:
    return networks | {f"{measure} of {network}" for network in networks for measure in ("accuracy", "size")}


DECIDES: dict[str, tuple[str, Any, set[str]]] = {
    "threads": ("threads", 2, with_measures(ALL)),
    "learning rate": ("train.optimizer.lr", 0.04, with_measures(ALL)),
    "augmentation": ("train.augment.flip", 0.1, with_measures(ALL)),
    "preprocessing": ("network.preprocess.mean", [0.4, 0.4, 0.4], with_measures(ALL)),
    "what is held out": ("images.split_seed", 1, with_measures(ALL)),
    "how much is held out": ("images.validate", 0.3, with_measures(ALL)),
    "how many are trained on": ("images.limit", {"train": 20}, with_measures(ALL)),
    "how many are tested on": ("images.limit", {"test": 9}, ACCURACY),
    "retraining": ("retrain.epochs", 1, with_measures(RETRAINED)),
    "early stopping": ("retrain.patience", 1, with_measures(RETRAINED)),
    "accuracy by epoch": ("retrain.validate_epochs", True, with_measures(RETRAINED)),
    "holding": ("prune.0.hold", False, with_measures({"weights-retrained"})),
    "retraining of one series": (
        "prune.0.retrain",
        {"epochs": 3, "precision": "fp32"},
        with_measures({"weights-retrained"}),
    ),
    "score": ("prune.0.score", "random", with_measures(WEIGHTS)),
    "scope": ("prune.0.scope", "global", with_measures(WEIGHTS)),
    "spared layers": ("prune.0.spare", ["fc"], with_measures(WEIGHTS)),
    "layers": ("prune.0.layers", ["conv*"], with_measures(WEIGHTS)),
    "normalisation": ("prune.0.normalise", "layer", with_measures(WEIGHTS)),
    "least that is left": ("prune.0.min_left", 2, with_measures(WEIGHTS)),
    "rounding": ("prune.0.rounding", "floor", with_measures(WEIGHTS)),
    "norm": ("prune.1.norm", "keep", with_measures({"filters-pruned", "filters-retrained"})),
    "settings of a measure": ("measure", [{"accuracy": {"bins": 5}}, "size"], ACCURACY),
}


@pytest.mark.parametrize("what", DECIDES)
def test_what_decides_a_result_is_in_its_name_and_in_what_follows(what: str, data: Path) -> None:
    path, value, expected = DECIDES[what]
    assert short(changed(document(), altered(path, value), data)) == expected


DOES_NOT: dict[str, Callable[[], Study]] = {
    "the study's name": lambda: document(study="other"),
    "title and description": lambda: document(title="A title", description="Words."),
    "the order of the fields": lambda: dict(reversed(document().items())),
    "a default that is written out": lambda: altered("retrain.auxiliary", 0.3),
    "a default of a measure": lambda: document(measure=[{"accuracy": {"bins": 15}}, "size"]),
    "the order of the series": lambda: document(prune=document()["prune"][::-1]),
    "size, which is measured anyway": lambda: document(measure=["accuracy"]),
}


@pytest.mark.parametrize("what", DOES_NOT)
def test_what_decides_nothing_is_not_in_the_name(what: str, data: Path) -> None:
    other = DOES_NOT[what]()
    assert other != document() or list(other) != list(document())
    assert not changed(document(), other, data)


def test_the_name_of_a_series_is_only_a_label(data: Path) -> None:
    assert set(ids(altered("prune.0.series", "renamed"), data).values()) == set(
        ids(document(), data).values()
    )


def test_images_count_by_what_they_are_not_by_where_they_lie(data: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(data, elsewhere)
    assert not changed(document(), document(), data, elsewhere)
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(elsewhere / "test" / "red" / "0.png")
    assert short(changed(document(), document(), data, elsewhere)) == ACCURACY
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(elsewhere / "train" / "red" / "0.png")
    assert short(changed(document(), document(), data, elsewhere)) == with_measures(ALL)


def test_stopping_early_on_the_test_images_is_another_study(data: Path) -> None:
    stopping = altered("retrain.patience", 1)
    other = altered("retrain.patience", 1)
    other["images"]["select_on"] = "test"
    assert short(changed(stopping, other, data)) == with_measures(RETRAINED)
    without = altered("images.select_on", "test")
    assert not changed(document(), without, data)  # nothing is chosen, so nothing is decided


@pytest.mark.parametrize("kind", ["train", "prune", "retrain", "measure-accuracy"])
def test_a_new_version_of_a_kind_of_step_is_another_result(
    kind: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ids(document(), data)
    monkeypatch.setitem(
        STEP_KINDS._entries, kind, dataclasses.replace(STEP_KINDS[kind], version=STEP_KINDS[kind].version + 1)
    )
    after = ids(document(), data)
    found = short({label for label in before if before[label] != after[label]})
    pruned = {"weights-pruned", "filters-pruned"}
    assert (
        found
        == {
            "train": with_measures(ALL),
            "prune": with_measures(pruned | RETRAINED),
            "retrain": with_measures(RETRAINED),
            "measure-accuracy": ACCURACY,
        }[kind]
    )


def test_defaults_are_part_of_what_decides(data: Path) -> None:
    """Else a default that changes would silently re-use old results."""
    steps = {step.kind: step for step in planned(document(), data).steps()}
    assert set(steps["train"].settings["train"]) == set(TrainSettings.model_fields)
    assert set(steps["retrain"].settings["train"]) == set(TrainSettings.model_fields)
    choices = set(inspect.signature(Pruning).parameters)
    assert choices - {"network", "granularity", "calibration", "evaluate"} == set(
        steps["prune"].settings["choices"]
    )


def test_auto_precision_is_decided_before_it_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    automatic = altered("retrain.precision", "auto")
    for supported, precision in ((False, "fp32"), (True, "bf16")):
        monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda given=supported: given)
        monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda given=supported: given)
        assert not changed(automatic, altered("retrain.precision", precision), data)


def test_given_weights_count_by_their_contents(data: Path, tmp_path: Path) -> None:
    preprocess = Preprocess(resize=None, crop=16)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        network = open_network("study.tiny:tiny", classes=3, preprocess=preprocess, seed=seed)
        save_network(network, tmp_path / f"{name}.safetensors")

    def study(name: str) -> Study:
        return document(network={"name": str(tmp_path / f"{name}.safetensors")})

    assert not changed(study("a"), study("b"), data)
    assert short(changed(study("a"), study("c"), data)) == with_measures(ALL)


def test_a_change_in_the_file_of_an_own_network_is_another_network(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "my_own_network.py"
    source.write_text("from study.tiny import tiny as build\n")
    monkeypatch.syspath_prepend(tmp_path)
    study = altered("network.name", "my_own_network:build")
    before = ids(study, data)
    source.write_text("from study.tiny import tiny as build\n# and a word\n")
    assert not set(before.values()) & set(ids(study, data).values())


def test_two_studies_share_what_is_alike_and_each_step_is_planned_once(data: Path) -> None:
    twins = document(
        prune=[
            {"series": "one", "granularity": "weight", "rates": [0.5]},
            {"series": "two", "granularity": "weight", "rates": [0.5, 0.7]},
        ]
    )
    steps = list(planned(twins, data).steps())
    assert len({step.id for step in steps}) == len(steps) == 3 + 2 * 6  # dense; then 0.5 and 0.7
    assert {step.id for step in steps} & {step.id for step in planned(document(), data).steps()}


def test_parents_come_first_and_networks_are_measured_when_they_are_there(data: Path) -> None:
    seen: set[str] = set()
    order: list[str] = []
    for step in planned(document(), data).steps():
        assert all(parent.id in seen for parent in step.parents)
        seen.add(step.id)
        order.append(step.kind)
    assert order[:4] == ["train", "measure-accuracy", "measure-size", "prune"]


def test_one_shot_starts_from_the_dense_network_and_iterative_from_the_round_before(data: Path) -> None:
    def parents(**series: Any) -> dict[str, Any]:
        study = document(prune=[{"series": "a", "granularity": "weight", **series}])
        plan = planned(study, data)
        for stop in plan.stops[1:]:
            from_step = next(other for other in plan.stops if other.network == stop.columns["parent"])
            assert stop.step.parents == (from_step.step,)
        return {stop.network: (stop.columns["parent"], stop.columns["round"]) for stop in plan.stops[1:]}

    assert parents(rates=[0.2, 0.4]) == {
        "a-0.2-pruned-seed0": ("dense-seed0", 1),
        "a-0.2-retrained-seed0": ("a-0.2-pruned-seed0", 1),
        "a-0.4-pruned-seed0": ("dense-seed0", 1),
        "a-0.4-retrained-seed0": ("a-0.4-pruned-seed0", 1),
    }
    assert parents(rates=[0.2, 0.4], schedule="iterative") == {
        "a-0.2-pruned-seed0": ("dense-seed0", 1),
        "a-0.2-retrained-seed0": ("a-0.2-pruned-seed0", 1),
        "a-0.4-pruned-seed0": ("a-0.2-retrained-seed0", 2),
        "a-0.4-retrained-seed0": ("a-0.4-pruned-seed0", 2),
    }
    untrained = parents(per_round=0.5, rounds=2, schedule="iterative", retrain={"kind": "none"})
    assert untrained == {
        "a-0.5-pruned-seed0": ("dense-seed0", 1),
        "a-0.75-pruned-seed0": ("a-0.5-pruned-seed0", 2),
    }


def test_seeds_train_networks_of_their_own_but_share_given_weights(data: Path, tmp_path: Path) -> None:
    fresh = planned(document(seeds=[0, 1]), data)
    dense = [stop.step for stop in fresh.stops if stop.columns["stage"] == "dense"]
    first, second = (fresh.opened[step.id]().state_dict() for step in dense)
    assert not torch.equal(first["conv1.weight"], second["conv1.weight"])
    network = open_network("study.tiny:tiny", classes=3, preprocess=Preprocess(resize=None, crop=16))
    save_network(network, tmp_path / "given.safetensors")
    given = planned(document(seeds=[0, 1], network={"name": str(tmp_path / "given.safetensors")}), data)
    assert len({stop.step.id for stop in given.stops if stop.columns["stage"] == "dense"}) == 1
    assert len({stop.step.id for stop in given.stops if stop.columns["stage"] == "retrained"}) == 4


MISFITS: Mapping[str, tuple[str, Any, str]] = {
    "an unknown network": (
        "network.name",
        "torchvision/resnet81",
        r"network: no network 'resnet81' .*did you mean 'resnet18'",
    ),
    "an unknown function": (
        "network.name",
        "study.tiny:teeny",
        r"network: cannot import the network 'study.tiny:teeny'",
    ),
    "an option that is none": (
        "network.options",
        {"depth": 3},
        r"network: study.tiny:tiny cannot be built with .*'depth'",
    ),
    "another number of classes": (
        "network.classes",
        5,
        r"network: the network has 5 outputs, the images 3 classes",
    ),
    "weights that are not there": (
        "network.weights",
        "no.pth",
        r"network: no weights file .*no\.pth.*check the path, or --data",
    ),
    "an unknown layer": (
        "prune.0.layers",
        ["conf1"],
        r"prune\.0: no layer 'conf1' in the network \(did you mean 'conv1'",
    ),
    "a glob that fits nothing": (
        "prune.1.spare",
        ["block*"],
        r"prune\.1: no layer 'block\*' in the network; list them with",
    ),
    "the layer of the classes": ("prune.1.layers", ["fc"], r"prune\.1: fc yields the logits"),
    "an unknown source": (
        "images.train",
        "fodler:train",
        r"images\.train: no image source 'fodler' \(did you mean 'folder'\?\)",
    ),
    "images that are not there": ("images.test", "folder:tset", r"images\.test: .*tset is not there"),
    "validation images that are not there": (
        "images.validate",
        "folder:val",
        r"images\.validate: .*val is not there",
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_does_not_fit_is_said_before_anything_runs(misfit: str, data: Path, tmp_path: Path) -> None:
    path, value, expected = MISFITS[misfit]
    settings, said = read_study(write_study(tmp_path, altered(path, value)))
    with pytest.raises(PrunescopeError, match=rf"study\.yaml:\d+: {expected}"):
        prepare(settings, data, document=said)
    with pytest.raises(PrunescopeError) as without_file:
        prepare(settings, data)
    assert "study.yaml" not in str(without_file.value)
