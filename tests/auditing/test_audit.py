"""Audits of small networks, end to end: what was done to them is found, whoever did it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import prunescope as ps
from prunescope.auditing import measuring
from prunescope.auditing.audit import Audit
from prunescope.auditing.work import Part, Work
from prunescope.measures.accuracy import calibration_error
from prunescope.study.execute import Outcome, Watcher

BRANCH = "inception3a.branch2"
FIRST, NORM, SECOND = f"{BRANCH}.0.conv", f"{BRANCH}.0.bn", f"{BRANCH}.1.conv"
FEW = {"mis": {"tasks": 5, "references": 2}, "explanations": {"limit": 10, "steps": 2}}


@pytest.fixture(scope="module")
def dense() -> nn.Module:
    return ps.open_network("prunescope/sprig", "SCENES_V1")


@pytest.fixture(scope="module")
def pruned(dense: nn.Module) -> nn.Module:
    network = copy.deepcopy(dense)
    ps.prune(network, "filter", rate=0.3).apply(network)
    return network


@pytest.fixture
def files(tmp_path: Path, dense: nn.Module, pruned: nn.Module) -> Path:
    ps.save_network(dense, tmp_path / "dense.safetensors")
    ps.save_network(pruned, tmp_path / "pruned.safetensors")
    return tmp_path


def quick(dense: Any, pruned: Any, **more: Any) -> Audit:
    chosen: dict[str, Any] = {"limit": 60, "settings": FEW, "skip": ("dissection",)}
    return ps.audit(dense, pruned, "scenes", **{**chosen, **more})


@pytest.fixture(scope="module")
def found(dense: nn.Module, pruned: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    folder = tmp_path_factory.mktemp("audit")
    return quick(
        dense, pruned, skip=(), limit=80, out=folder, fail_if=["top1_dense < 0.1", "zeros_pruned < 0.1"]
    )


def test_it_finds_what_was_done(found: Audit, pruned: nn.Module) -> None:
    counted = ps.count(pruned).layers.values()
    zeros = sum(part.zeros for part in counted) / sum(part.layer.weights for part in counted)
    assert found.metrics["granularity"] == "filter"
    assert found.metrics["zeros_pruned"] == pytest.approx(zeros, abs=1e-9)
    assert found.about["relation"]["kind"] == "masked"
    assert found.about["comparable"]


def test_accuracy_is_that_of_the_networks(found: Audit, dense: nn.Module, pruned: nn.Module) -> None:
    images = ps.open_images("scenes", "test")
    names = set(found.tables["answers"]["image"])
    for role, network in (("dense", dense), ("pruned", pruned)):
        right = []
        for index, name in enumerate(images.names):
            if name in names:
                pixels = torch.from_numpy(images.decode(index)).permute(2, 0, 1)[None]
                with torch.no_grad():
                    logits = network.eval()(network.preprocess.normalise(pixels))  # type: ignore[union-attr, operator]
                right.append(int(logits.argmax()) == images.labels[index])
        assert found.metrics[f"top1_{role}"] == pytest.approx(np.mean(right))


def test_calibration_is_that_of_the_answers(found: Audit) -> None:
    answers = found.tables["answers"]
    right = (answers["pruned"] == answers["label"]).to_numpy()
    error = calibration_error(answers["pruned_confidence"].to_numpy(), right)
    assert found.metrics["calibration_error_pruned"] == pytest.approx(error, abs=1e-6)


def test_it_looks_inside(found: Audit, pruned: nn.Module) -> None:
    units = found.tables["units"]
    dead = units[(units["network"] == "pruned") & (units["kind"] == "conv") & ~units["alive"].astype(bool)]
    gone = sum(
        int(module.weight.detach().flatten(1).eq(0).all(1).sum())
        for module in pruned.modules()
        if isinstance(module, nn.Conv2d)
    )
    assert gone > 0
    assert len(dead) == found.metrics["units_dead_pruned"] >= gone
    assert {"detectors_dense", "unique_detectors_pruned", "grad_cam_spearman"} <= set(found.metrics)
    assert set(found.tables["explanations"]["network"]) == {"dense", "pruned"}


def test_what_is_written_can_be_read(found: Audit) -> None:
    assert found.report is not None
    folder = found.report.parents[1]
    about = json.loads((folder / "audit.json").read_text("utf-8"))
    assert about == found.about
    assert about["metrics"]["top1_pruned"] == found.metrics["top1_pruned"]
    read = ps.load_tables(folder)
    assert set(read) == set(found.tables)
    pd.testing.assert_frame_equal(read["answers"], found.tables["answers"], check_dtype=False)


def test_a_condition_that_holds_fails(found: Audit) -> None:
    assert found.passed
    assert found.reasons == []
    assert found.about["verdict"] == "passed"


def test_conditions_decide_the_verdict(dense: nn.Module, pruned: nn.Module) -> None:
    failed = quick(dense, pruned, skip=("mis", "explanations", "dissection"), fail_if=["zeros_pruned > 0.1"])
    assert not failed.passed
    assert failed.about["verdict"] == "failed"
    assert "zeros_pruned" in failed.reasons[0]


@pytest.mark.parametrize("condition", ["top1_dropp > 0.01", "speedup_pytorch_b1 < 2", "top1_drop"])
def test_a_condition_that_says_nothing_is_refused_first(
    condition: str, dense: nn.Module, pruned: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "predict", None)  # nothing is measured before
    with pytest.raises(ps.PrunescopeError):
        quick(dense, pruned, fail_if=[condition])


def test_the_same_network_twice_is_refused(files: Path, dense: nn.Module) -> None:
    copied = files / "copied.safetensors"
    copied.write_bytes((files / "dense.safetensors").read_bytes())
    for other in (files / "dense.safetensors", copied):
        with pytest.raises(ps.PrunescopeError, match="are the same"):
            quick(files / "dense.safetensors", other)
    with pytest.raises(ps.PrunescopeError, match="are the same"):
        quick(dense, dense)


def test_swapped_networks_are_refused(dense: nn.Module, pruned: nn.Module) -> None:
    with pytest.raises(ps.PrunescopeError, match="the order is DENSE PRUNED"):
        quick(pruned, dense)
    both = quick(pruned, dense, any_order=True, skip=("mis", "explanations", "dissection"))
    assert any("fewer weights" in warning for warning in both.about["warnings"])


def test_equal_weights_are_said(files: Path, dense: nn.Module) -> None:
    torch.save(dense.state_dict(), files / "dense.pth")
    same = quick(
        files / "dense.safetensors",
        f"prunescope/sprig@{files / 'dense.pth'}",
        skip=("mis", "explanations", "dissection"),
    )
    assert same.about["relation"]["kind"] == "identical"
    assert same.metrics["changed"] == 0
    assert any("same weights" in warning for warning in same.about["warnings"])


class Counting(Watcher):
    def __init__(self) -> None:
        self.done: list[str] = []
        self.reused: list[str] = []

    def end(self, outcome: Outcome) -> None:
        (self.reused if outcome.reused else self.done).append(outcome.step.label)


def test_nothing_is_measured_twice(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNESCOPE_CACHE", str(files / "cache"))
    first, second = Counting(), Counting()
    pair = files / "dense.safetensors", files / "pruned.safetensors"
    once = quick(*pair, watcher=first)
    again = quick(*pair, watcher=second)
    assert len(first.done) == 8  # accuracy, size, MIS and explanations of each
    assert not first.reused
    assert sorted(second.reused) == sorted(first.done)
    assert not second.done
    assert again.metrics == once.metrics


def test_the_dense_network_is_not_measured_again_for_another_pruned_one(
    files: Path, dense: nn.Module
) -> None:
    quick(files / "dense.safetensors", files / "pruned.safetensors")
    other = copy.deepcopy(dense)
    ps.prune(other, "weight", rate=0.5).apply(other)
    ps.save_network(other, files / "other.safetensors")
    watcher = Counting()
    quick(files / "dense.safetensors", files / "other.safetensors", watcher=watcher)
    assert all("pruned" in label for label in watcher.done)
    assert len(watcher.done) == len(watcher.reused) == 4


def test_what_fails_leaves_the_rest(dense: nn.Module, pruned: nn.Module) -> None:
    found = quick(dense, pruned, settings={"mis": {"tasks": 5000}})
    assert "mis" in found.about["not_measured"]
    assert "mis_dense" not in {name for name, value in found.metrics.items() if value is not None}
    assert found.metrics["grad_cam_spearman"] is not None


def test_a_condition_without_an_answer_fails(dense: nn.Module, pruned: nn.Module) -> None:
    found = quick(dense, pruned, settings={"mis": {"tasks": 5000}}, fail_if=["mis_pruned < 0.1"])
    assert not found.passed
    assert "mis_pruned" in found.reasons[0]


def reorder(network: nn.Module) -> nn.Module:
    """Re-order what one convolution of sprig puts out, and what reads it."""
    changed = copy.deepcopy(network)
    order = torch.randperm(
        len(changed.get_submodule(FIRST).weight), generator=torch.Generator().manual_seed(3)
    )
    with torch.no_grad():
        changed.get_submodule(FIRST).weight.copy_(network.get_submodule(FIRST).weight[order])
        for name in ("weight", "bias", "running_mean", "running_var"):
            own = getattr(network.get_submodule(NORM), name)
            getattr(changed.get_submodule(NORM), name).copy_(own[order])
        changed.get_submodule(SECOND).weight.copy_(network.get_submodule(SECOND).weight[:, order])
    return changed


def test_units_of_a_reordered_network_are_those_of_the_dense_one(dense: nn.Module) -> None:
    found = quick(dense, reorder(dense), skip=("explanations", "dissection"))
    assert found.about["relation"]["kind"] == "re-ordered"
    assert found.metrics["logits_equal"]
    units = found.tables["units"].set_index(["network", "layer", "unit"])["mis"].unstack("network")
    assert len(units) > 100
    np.testing.assert_allclose(units["pruned"], units["dense"], atol=1e-3)


def test_units_of_a_compact_network_are_those_of_the_masked_one(dense: nn.Module, pruned: nn.Module) -> None:
    small = ps.compact(pruned)
    masked, compact = (quick(dense, each, skip=("explanations",)) for each in (pruned, small))
    assert compact.about["comparable"]
    assert compact.metrics["granularity"] == "channels"
    assert compact.metrics["top1_pruned"] == masked.metrics["top1_pruned"]
    one, other = (
        each.tables["units"]
        .query("network == 'pruned' and kind == 'conv'")
        .set_index(["layer", "unit"])["mis"]
        .dropna()
        for each in (masked, compact)
    )
    both = one.index.intersection(other.index)
    assert len(both) == len(other) > 50
    np.testing.assert_allclose(other[both], one[both], atol=1e-3)
    for name in ("unique_detectors_pruned", "concept_jaccard", "concepts_kept", "concepts_lost"):
        assert compact.metrics[name] == pytest.approx(masked.metrics[name], abs=0.02)


def test_half_precision_is_recognised(files: Path, dense: nn.Module) -> None:
    network = copy.deepcopy(dense)
    for parameter in network.parameters():
        parameter.data *= 1.0001  # sprig's own weights are halves
    ps.save_network(network, files / "whole.safetensors")
    half = {name: t.half() if t.is_floating_point() else t for name, t in network.state_dict().items()}
    torch.save(half, files / "half.pth")
    found = quick(
        files / "whole.safetensors",
        f"prunescope/sprig@{files / 'half.pth'}",
        skip=("mis", "explanations", "dissection"),
    )
    assert found.about["relation"]["kind"] == "half precision"
    assert found.about["pruned"]["stored"]["float16"] > 0.9


def test_images_without_labels(dense: nn.Module, pruned: nn.Module, tmp_path: Path) -> None:
    from PIL import Image

    images = ps.open_images("scenes", "test")
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(40):
        Image.fromarray(images.decode(index)).save(folder / f"{index:03d}.png")
    found = ps.audit(dense, pruned, str(folder), settings=FEW, out=tmp_path / "out")
    assert not found.about["images"]["labelled"]
    assert found.metrics.get("top1_pruned") is None
    assert found.metrics["changed"] == found.tables["answers"]["changed"].mean()
    assert found.metrics["mis_pruned"] is not None
    assert found.metrics["grad_cam_spearman"] is not None
    assert "forgetting" in found.about["not_measured"]
    with pytest.raises(ps.PrunescopeError, match="label"):
        ps.audit(dense, pruned, str(folder), fail_if=["top1_drop > 0.01"])


@pytest.fixture
def as_onnx(files: Path, pruned: nn.Module) -> Path:
    pytest.importorskip("onnxruntime")
    ps.export(pruned, files / "pruned.onnx")
    return files / "pruned.onnx"


def test_a_program_is_compared_by_what_it_says(
    files: Path, as_onnx: Path, pruned: nn.Module, dense: nn.Module
) -> None:
    opened, program = (quick(dense, each, settings=FEW) for each in (pruned, as_onnx))
    assert program.about["pruned"]["format"] == "ONNX"
    assert not program.about["comparable"]
    assert "mis" in program.about["not_measured"]
    for name in ("top1_pruned", "top1_drop", "changed", "calibration_error_pruned"):
        assert program.metrics[name] == pytest.approx(opened.metrics[name], abs=1e-5)


def test_speed_is_measured_if_asked(dense: nn.Module, pruned: nn.Module) -> None:
    settings = {**FEW, "speed": {"runtimes": ["pytorch"], "batches": [1], "rounds": 2}}
    found = quick(dense, pruned, speed=True, skip=("mis", "explanations", "dissection"), settings=settings)
    assert found.metrics["speedup_pytorch_b1"] > 0
    assert set(found.tables["speed"]["variant"]) >= {"dense", "pruned"}


@pytest.mark.parametrize(
    ("give", "said"),
    [
        (lambda files: {"pruned": files / "none.safetensors"}, "no file"),
        (lambda files: {"pruned": "torchvision/nothing@DEFAULT"}, "no network 'nothing'"),
        (lambda files: {"skip": ["accuracy"]}, "cannot skip 'accuracy'"),
        (lambda files: {"settings": {"mos": {}}}, "did you mean 'mis'"),
        (lambda files: {"settings": {"mis": {"task": 3}}}, "did you mean 'tasks'"),
        (lambda files: {"settings": {"mis": 3}}, "takes fields"),
        (lambda files: {"pruned_preprocess": {"crops": 3}}, "did you mean 'crop'"),
        (lambda files: {"images": "folder:nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_be_used_is_refused(
    give: Callable[[Path], dict[str, Any]], said: str, files: Path
) -> None:
    chosen: dict[str, Any] = {
        "dense": files / "dense.safetensors", "pruned": files / "pruned.safetensors", "images": "scenes",
    }  # fmt: skip
    with pytest.raises(ps.PrunescopeError) as raised:
        ps.audit(**{**chosen, "limit": 60, **give(files)})
    assert said in str(raised.value)


def test_a_checkpoint_without_architecture_is_refused(files: Path, dense: nn.Module) -> None:
    torch.save(dense.state_dict(), files / "dense.pth")
    with pytest.raises(ps.PrunescopeError, match="--network"):
        quick(files / "dense.pth", files / "pruned.safetensors")


def test_weights_that_are_not_finite_are_refused(files: Path, dense: nn.Module) -> None:
    state = dense.state_dict()
    state[f"{FIRST}.weight"] = torch.full_like(state[f"{FIRST}.weight"], torch.nan)
    torch.save(state, files / "nan.pth")
    with pytest.raises(ps.PrunescopeError, match="NaN"):
        quick(files / "dense.safetensors", f"prunescope/sprig@{files / 'nan.pth'}")


LITTLE: dict[str, Any] = {"skip": ("mis", "explanations", "dissection")}


def state_of(network: nn.Module) -> dict[str, Any]:
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in network.modules()
    ]
    return {
        "training": [module.training for module in network.modules()],
        "gradients": [(weight.requires_grad, weight.grad) for weight in network.parameters()],
        "preprocess": network.__dict__.get("preprocess"),
        "names": set(network.__dict__),
        "hooks": hooks,
    }


@pytest.mark.parametrize("own", [True, False])
def test_live_modules_are_left_as_they_were(own: bool, dense: nn.Module, pruned: nn.Module) -> None:
    network = copy.deepcopy(pruned).train()
    network.get_submodule(FIRST).eval()
    given = {**network.preprocess.model_dump(), "crop": 60}  # type: ignore[union-attr, operator]
    if not own:
        del network.preprocess
    before, weights = state_of(network), copy.deepcopy(network.state_dict())
    found = quick(dense, network, pruned_preprocess=given)
    assert found.about["pruned"]["preprocess"]["crop"] == 60
    with pytest.raises(ps.PrunescopeError):
        quick(dense, network, pruned_preprocess=given, pruned_classes=["one", "two"])
    assert state_of(network) == before
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


def test_a_network_that_says_its_architecture_keeps_its_preprocessing(
    files: Path, dense: nn.Module, pruned: nn.Module
) -> None:
    torch.save(dense.state_dict(), files / "dense.pth")
    own = copy.deepcopy(pruned)
    own.preprocess = own.preprocess.model_copy(update={"crop": 56})  # type: ignore[union-attr, operator]
    ps.save_network(own, files / "own.safetensors")
    found = quick(files / "dense.pth", files / "own.safetensors", network="prunescope/sprig", **LITTLE)
    assert found.about["pruned"]["preprocess"]["crop"] == 56
    assert found.about["pruned"]["format"] == "prunescope"
    assert found.about["dense"]["format"] == "checkpoint"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda network: network.half(), "of float16, expected float32: give it as network.float()"),
        (lambda network: 7, "the pruned network is a int"),
    ],
)
def test_what_is_no_network_of_float32_is_refused(
    change: Callable[[nn.Module], Any], said: str, dense: nn.Module, pruned: nn.Module
) -> None:
    with pytest.raises(ps.PrunescopeError) as raised:
        quick(dense, change(copy.deepcopy(pruned)))
    assert said in str(raised.value)


def test_a_single_text_is_a_list_of_one(dense: nn.Module, pruned: nn.Module, tmp_path: Path) -> None:
    found = quick(dense, pruned, fail_if="zeros_pruned > 0.1", skip="mis", settings=FEW)
    assert [each["condition"] for each in found.about["conditions"]] == ["zeros_pruned > 0.1"]
    assert set(found.about["not_measured"]) == {"mis", "speed"}


def test_answers_that_are_no_numbers_end_it_at_once(dense: nn.Module, pruned: nn.Module) -> None:
    broken, watcher = copy.deepcopy(pruned), Counting()
    broken.get_submodule(NORM).running_var.fill_(-1)  # type: ignore[operator, union-attr]
    with pytest.raises(ps.PrunescopeError, match="NaN or infinite values"):
        quick(dense, broken, watcher=watcher)
    assert watcher.done == ["accuracy of the dense network", "accuracy of the pruned network"]


@pytest.fixture
def planned(files: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """What an audit would do, by the names under which it keeps the results."""
    keys: dict[str, str] = {}

    def refuse(work: Work, parts: list[Part]) -> None:
        keys.update({part.label: part.key for part in parts})
        raise ps.PrunescopeError("only planned")

    def plan(**change: Any) -> dict[str, str]:
        chosen: dict[str, Any] = {"settings": FEW, "skip": (), **change}
        with pytest.raises(ps.PrunescopeError, match="only planned"):
            quick(files / "dense.safetensors", files / "pruned.safetensors", **chosen)
        return dict(keys)

    monkeypatch.setattr(Work, "do", refuse)
    return plan


def test_what_decides_a_result_and_nothing_else_is_in_its_key(
    files: Path, planned: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned()
    assert len(set(before.values())) == len(before) == 10

    def anew(**change: Any) -> set[str]:
        after = planned(**change)
        return {label.partition(" ")[0] for label in before if after[label] != before[label]}

    look = {"accuracy", "mis", "explanations", "dissection"}  # scenes are annotated themselves
    assert anew() == set()
    assert anew(limit=70) == look
    assert anew(settings={**FEW, "accuracy": {"bins": 5}}) == set()
    assert anew(settings={**FEW, "accuracy": {"batch": 16}}) == {"accuracy"}
    assert anew(settings={**FEW, "mis": {"tasks": 4, "references": 2}}) == {"mis"}
    assert anew(fail_if=["top1_drop > 0.1"], any_order=True) == set()
    other = {"crop": 60}
    assert anew(dense_preprocess=other, pruned_preprocess=other) == look | {"size"}
    classes = list(ps.open_images("scenes", "test").classes)
    rows = "".join(f"{name},{i},{i}\n" for i, name in enumerate(classes))
    (files / "all.csv").write_text(f"class,dense,pruned\n{rows}", encoding="utf-8")
    assert anew(class_map=files / "all.csv") == {"accuracy", "explanations"}
    (files / "six.csv").write_text(
        "".join(f"class,dense,pruned\n{rows}".splitlines(True)[:7]), encoding="utf-8"
    )
    assert anew(class_map=files / "six.csv") == look
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    assert anew() == look | {"size"}


@pytest.mark.parametrize(("crop", "alike"), [(64, True), (48, False)])
def test_maps_of_other_parts_of_an_image_are_not_compared(
    crop: int, alike: bool, dense: nn.Module, pruned: nn.Module
) -> None:
    view = {"resize": None}
    found = quick(
        dense,
        pruned,
        dense_preprocess=view,
        pruned_preprocess={**view, "crop": crop},
        skip=("mis", "dissection"),
    )
    assert (found.metrics.get("grad_cam_spearman") is not None) == alike
