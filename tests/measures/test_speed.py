"""What is timed, in which form, under which conditions; how fast it is, is for `benchmarks/`."""

from __future__ import annotations

import copy
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

import prunescope as ps
from measures.named import named_images
from oracles.channels import Residual, carry
from prunescope.errors import NoRoomError, PrunescopeError
from prunescope.measures.measure import Subject
from prunescope.measures.runtimes import RUNTIMES, Candidate, PyTorch, computing_with, denormals_as_zero
from prunescope.measures.speed import SpeedSettings, measure_speed
from prunescope.measures.stand_in import as_if_dense
from prunescope.training.evaluation import NO_IMAGES
from study.tiny import document, write_data, write_study

COLUMNS = [
    "runtime", "batch", "variant", "milliseconds", "p95", "images_per_second", "cpu_milliseconds", "speedup",
    "low", "high", "clock", "rounds", "threads", "peak_bytes", "macs", "device", "version", "why",
]  # fmt: skip
MACS = 3 * 8 * 9 * 64 + 8 * 8 * 9 * 64 + 8 * 16 * 9 * 16 + 16 * 3
HALF = 3 * 4 * 9 * 64 + 4 * 4 * 9 * 64 + 4 * 8 * 9 * 16 + 8 * 3  # half of the filters of each convolution


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for times that mean something."""
    monkeypatch.setattr("prunescope.measures.stopwatch.WARM_UP", 0)
    monkeypatch.setattr("prunescope.measures.stopwatch.SHORTEST", 1e-4)


@pytest.fixture
def tiny() -> nn.Module:
    """Three convolutions on images of 16 pixels; batch norms shift, so that no channel is 0 by itself."""
    network = ps.open_network("study.tiny:tiny", preprocess=ps.Preprocess(resize=None, crop=16))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.uniform_(0.1, 0.5, generator=generator)
    return network


@pytest.fixture
def registered() -> Iterator[Any]:
    """Register runtimes for the time of a test."""
    before = dict(RUNTIMES._entries)
    yield RUNTIMES.register
    RUNTIMES._entries = before


def subject(network: nn.Module, mask: ps.Mask | None = None, **more: Any) -> Subject:
    if mask is not None:
        mask.apply(network)
    return Subject(network, NO_IMAGES, named_images(), mask, **more)


def quick(**changes: Any) -> dict[str, Any]:
    return {"runtimes": ("pytorch",), "batches": (1,), "rounds": 1, **changes}


def by_variant(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index("variant")


def test_dense_masked_and_compact_in_every_runtime_at_every_batch(tiny: nn.Module) -> None:
    runtimes = ("pytorch", "channels-last", "onnxruntime", "openvino")
    mask = ps.prune(tiny, "filter", rate=0.5)
    table = ps.speed(tiny, mask, runtimes=runtimes, batches=(1, 3), rounds=6)
    assert list(table.columns) == COLUMNS
    places = [(r, b, v) for r in runtimes for b in (1, 3) for v in ("dense", "masked", "compact")]
    assert list(zip(table["runtime"], table["batch"], table["variant"], strict=True)) == places
    assert table["why"].isna().all()
    assert dict(zip(table["variant"], table["macs"], strict=True)) == {
        "dense": MACS,
        "masked": HALF,
        "compact": HALF,
    }
    assert (table["milliseconds"] > 0).all()
    assert (table["p95"] >= table["milliseconds"]).all()
    assert table["images_per_second"].tolist() == pytest.approx(
        (1e3 * table["batch"] / table["milliseconds"]).tolist()
    )
    dense = table[table["variant"] == "dense"]
    assert (dense[["speedup", "low", "high"]] == 1).all(axis=None)
    assert table["speedup"].between(table["low"], table["high"]).all()
    assert set(table["clock"]) == set(table["device"]) == {"cpu"}
    assert set(table["rounds"]) == {6}
    assert set(table["threads"]) == {1}
    assert table["peak_bytes"].notna().tolist() == (table["runtime"] == "pytorch").tolist()
    peaks = table.set_index(["runtime", "batch", "variant"])["peak_bytes"]
    assert peaks["pytorch", 3, "compact"] < peaks["pytorch", 3, "masked"] == peaks["pytorch", 3, "dense"]
    assert table.loc[0, "version"] == torch.__version__


def test_single_weights_have_no_compact_form(tiny: nn.Module) -> None:
    table = by_variant(ps.speed(tiny, ps.prune(tiny, "weight", rate=0.75), **quick()))
    assert table.loc["compact", "why"] == "single weights leave no channel to take out"
    assert math.isnan(table.loc["compact", "milliseconds"])
    assert math.isnan(table.loc["compact", "macs"])
    assert table.loc["masked", "macs"] < 0.3 * MACS
    assert pd.isna(table.loc["masked", "why"])


def test_a_network_without_mask_is_pruned_if_it_has_zeros(tiny: nn.Module) -> None:
    assert list(ps.speed(tiny, **quick())["variant"]) == ["dense"]
    with torch.no_grad():
        tiny.conv3.weight[0, 0, 0, 0] = 0  # one in 1968, as weights in half precision may have it
    assert list(ps.speed(tiny, **quick())["variant"]) == ["dense"]
    ps.prune(tiny, "filter", rate=0.5).apply(tiny)
    table = by_variant(ps.speed(tiny, **quick()))
    assert table["macs"].to_dict() == {"dense": MACS, "masked": HALF, "compact": HALF}


def test_a_compact_network_beside_the_dense_one_that_is_given(tiny: nn.Module) -> None:
    small = ps.open_network("study.tiny:tiny", preprocess=ps.Preprocess(resize=None, crop=16))
    small.conv3, small.bn3, small.fc = (
        nn.Conv2d(8, 5, 3, 2, 1, bias=False),
        nn.BatchNorm2d(5),
        nn.Linear(5, 3),
    )
    table = by_variant(ps.speed(small, dense=tiny, **quick()))
    assert table["macs"].to_dict() == {
        "dense": MACS,
        "compact": MACS - (16 - 5) * (8 * 9 * 16 + 3),
    }


def test_a_compact_network_alone_beside_its_architecture(tiny: nn.Module) -> None:
    small = ps.compact(tiny, ps.prune(tiny, "filter", rate=0.5))
    table = by_variant(ps.speed(small, **quick()))
    assert table["macs"].to_dict() == {"dense": MACS, "compact": HALF}
    assert table.loc["compact", "speedup"] > 0
    del small.origin  # nobody knows what it was
    small.units = {"conv1": [0]}  # type: ignore[assignment]
    (row,) = ps.speed(small, **quick()).to_dict("records")
    assert (row["variant"], row["macs"], row["why"]) == ("compact", HALF, None)
    assert math.isnan(row["speedup"])


def test_channels_that_an_addition_ties_are_compacted() -> None:
    network = carry(Residual())
    table = by_variant(ps.speed(network, ps.prune(network, "filter", rate=0.5), **quick()))
    assert table["why"].isna().all()
    assert table.loc["compact", "macs"] < table.loc["dense", "macs"]


def test_no_room_on_the_disk_is_no_property_of_a_network(tiny: nn.Module, registered: Any) -> None:
    class NoRoom(PyTorch):
        def prepare(self, candidate: Candidate, images: torch.Tensor, threads: int) -> Any:
            raise NoRoomError("no room left")

    registered("no-room")(NoRoom())
    with pytest.raises(NoRoomError):
        ps.speed(tiny, **quick(runtimes=("no-room",)))


def test_coarse_types_are_timed_or_said_to_be_unknown(tiny: nn.Module) -> None:
    rows = ps.speed(tiny.bfloat16(), **quick(runtimes=("channels-last", "openvino"))).set_index("runtime")
    assert rows.loc["channels-last", "milliseconds"] > 0
    assert rows.loc["openvino", "why"].startswith("OpenVINO cannot load it: ")


class Rounds(PyTorch):
    """Answers in steps of half precision that are not PyTorch's: off by .9 % of the largest logit."""

    def prepare(self, candidate: Candidate, images: torch.Tensor, threads: int) -> Any:
        run = super().prepare(candidate, images, threads)
        return lambda: (logits := run()) + 0.009 * logits.abs().max()


def test_logits_may_differ_by_the_steps_of_their_type(tiny: nn.Module, registered: Any) -> None:
    registered("rounds")(Rounds())
    single, half = (
        ps.speed(one, **quick(runtimes=("rounds",))) for one in (tiny, copy.deepcopy(tiny).bfloat16())
    )
    assert "are off by" in single["why"].item()
    assert half["milliseconds"].item() > 0


def test_the_dense_network_of_a_study_is_opened_only_if_needed(tiny: nn.Module) -> None:
    opened: list[nn.Module] = []

    def dense() -> nn.Module:
        opened.append(ps.open_network("study.tiny:tiny", preprocess=ps.Preprocess(resize=None, crop=16)))
        return opened[0]

    mask = ps.prune(tiny, "filter", rate=0.5)
    tables = measure_speed(subject(tiny, mask, dense=dense), SpeedSettings(**quick(rounds=7)))
    assert len(opened) == 1
    scores = tables["scores"].set_index("metric")
    rows = by_variant(tables["speed"])
    assert scores["value"].to_dict() == {
        "speedup_masked_pytorch_b1": rows.loc["masked", "speedup"],
        "ms_pytorch_b1": rows.loc["compact", "milliseconds"],
        "speedup_pytorch_b1": rows.loc["compact", "speedup"],
    }
    assert scores.loc["speedup_pytorch_b1", "low"] == rows.loc["compact", "low"]
    assert set(scores["n"]) == {7}


def test_scores_are_of_the_masked_network_where_none_is_compact_and_of_a_dense_one(tiny: nn.Module) -> None:
    dense = measure_speed(subject(tiny), SpeedSettings(**quick(batches=(2,))))
    assert dict(zip(dense["scores"]["metric"], dense["scores"]["value"], strict=True)) == {
        "ms_pytorch_b2": dense["speed"].loc[0, "milliseconds"],
        "speedup_pytorch_b2": 1,
    }
    masked = measure_speed(
        subject(tiny, ps.prune(tiny, "weight", rate=0.9)), SpeedSettings(**quick(batches=(2,)))
    )
    rows, scores = by_variant(masked["speed"]), masked["scores"].set_index("metric")["value"]
    assert scores["ms_pytorch_b2"] == rows.loc["masked", "milliseconds"]
    assert (
        scores["speedup_pytorch_b2"] == scores["speedup_masked_pytorch_b2"] == rows.loc["masked", "speedup"]
    )


def test_what_grew_back_is_not_taken_out(tiny: nn.Module) -> None:
    mask = ps.prune(tiny, "filter", rate=0.5)
    tables = measure_speed(Subject(tiny, NO_IMAGES, named_images(), mask), SpeedSettings(**quick()))
    table = by_variant(tables["speed"])
    assert "grew back" in table.loc["compact", "why"]
    assert table.loc["masked", "macs"] == MACS


def test_nothing_outside_is_changed(tiny: nn.Module) -> None:
    mask = ps.prune(tiny, "filter", rate=0.5)
    tiny.train()
    tiny.bn1.eval()
    modes = [module.training for module in tiny.modules()]
    before = {name: tensor.clone() for name, tensor in tiny.state_dict().items()}
    state = torch.random.get_rng_state()
    with computing_with(2):
        ps.speed(tiny, mask, **quick(runtimes=("channels-last", "onnxruntime")))
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 1
    assert [module.training for module in tiny.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny.state_dict().items())
    assert all(parameter.requires_grad for parameter in tiny.parameters())
    assert tiny.conv1.weight.is_contiguous()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.tensor(1e-40) * 1.0 != 0
    with denormals_as_zero():
        assert torch.tensor(1e-40) * 1.0 == 0


def test_progress_counts_all_rounds(tiny: nn.Module) -> None:
    told: list[tuple[int, int]] = []
    watched = subject(tiny, progress=lambda done, total: told.append((done, total)))
    measure_speed(watched, SpeedSettings(**quick(batches=(1, 2), rounds=2)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_torch_compile() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten())
    network.preprocess = ps.Preprocess(resize=None, crop=2)  # type: ignore[assignment]
    (row,) = ps.speed(network, **quick(runtimes=("compile",))).to_dict("records")
    assert row["why"] is None or row["why"].startswith("torch.compile failed: ")  # without a compiler
    assert math.isnan(row["milliseconds"]) == (row["why"] is not None)


def test_without_a_compiler_it_is_said_in_one_line(tiny: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to find a working compiler\n\nSet TORCHDYNAMO_VERBOSE=1")

    monkeypatch.setattr(torch, "compile", lambda network, dynamic: fail)
    (why,) = ps.speed(tiny, **quick(runtimes=("compile",)))["why"]
    assert why == "torch.compile failed: Failed to find a working compiler"


class Wrong(PyTorch):
    """Is a little off; for the dense network alone it fails."""

    def prepare(self, candidate: Candidate, images: torch.Tensor, threads: int) -> Any:
        run = super().prepare(candidate, images, threads)
        return lambda: run() * 1.01


class Picky(PyTorch):
    """Cannot run networks of sixteen channels."""

    def prepare(self, candidate: Candidate, images: torch.Tensor, threads: int) -> Any:
        if candidate.network.conv3.out_channels == 16:
            raise PrunescopeError("sixteen are too many")
        return super().prepare(candidate, images, threads)


def test_a_runtime_that_answers_otherwise_is_not_timed(tiny: nn.Module, registered: Any) -> None:
    registered("wrong")(Wrong())
    (row,) = ps.speed(tiny, **quick(runtimes=("wrong",))).to_dict("records")
    assert re.fullmatch(
        r"its logits in wrong are off by [\d.]+, the largest in PyTorch is [\d.]+", row["why"]
    )
    assert math.isnan(row["milliseconds"])


def test_what_a_runtime_cannot_run_is_said_and_the_rest_is_timed(tiny: nn.Module, registered: Any) -> None:
    registered("picky")(Picky())
    mask = ps.prune(tiny, "filter", rate=0.5)
    tables = measure_speed(subject(tiny, mask), SpeedSettings(**quick(runtimes=("picky",))))
    rows = by_variant(tables["speed"])
    assert rows.loc["dense", "why"] == rows.loc["masked", "why"] == "sixteen are too many"
    assert rows.loc["compact", "milliseconds"] > 0
    assert math.isnan(rows.loc["compact", "speedup"])  # over what?
    assert "ms_picky_b1" in set(tables["scores"]["metric"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"runtimes": ("onxruntime",)}, r"no runtime 'onxruntime' \(did you mean 'onnxruntime'\?\); known:"),
        ({"runtimes": ()}, "runtimes: .*at least 1"),
        ({"runtimes": ("pytorch", "pytorch")}, "runtimes: pytorch is given twice"),
        ({"batches": (0,)}, "a batch of 0 is impossible"),
        ({"batches": (1, 1)}, "batches: 1 is given twice"),
        ({"rounds": 0}, "rounds: .*greater than or equal to 1"),
        ({"theads": 2}, r"theads: .*did you mean 'threads'"),
    ],
)
def test_settings_that_make_no_sense(given: dict[str, Any], expected: str, tiny: nn.Module) -> None:
    with pytest.raises(PrunescopeError, match=expected):
        ps.speed(tiny, **quick(**given))


@pytest.mark.parametrize(
    ("runtime", "package"), [("onnxruntime", "onnxruntime"), ("openvino", "openvino"), ("openvino", "onnx")]
)
def test_a_runtime_that_is_not_installed(
    runtime: str, package: str, tiny: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        PrunescopeError, match=rf'{package} is not installed: pip install "prunescope\[deploy\]"'
    ):
        ps.speed(tiny, **quick(runtimes=(runtime,)))


def test_the_mask_of_another_network(tiny: nn.Module) -> None:
    mask = ps.prune(ps.open_network("prunescope/sprig"), "filter", rate=0.5)
    with pytest.raises(PrunescopeError, match="the mask is for another network"):
        ps.speed(tiny, mask, **quick())


@pytest.mark.parametrize("granularity", ["filter", "connection", "weight"])
def test_what_stands_in_for_the_dense_network(granularity: str, tiny: nn.Module) -> None:
    mask = ps.prune(tiny, granularity, rate=0.7)
    mask.apply(tiny)
    with torch.no_grad():  # as after long training: what is always 0 has no variance
        tiny.bn2.running_var[~mask.keep["conv2.weight"].flatten(1).any(1)[:1].expand(8)] = 0
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    dense = as_if_dense(tiny, mask, images)
    for name, keep in mask.keep.items():
        before, after = tiny.get_parameter(name), dense.get_parameter(name)
        kept = keep.expand_as(before)
        assert torch.equal(after[kept], before[kept])
        assert torch.isin(after[~kept], before[kept]).all()
    assert all((layer.weight != 0).all() for layer in (dense.conv1, dense.conv2, dense.conv3))
    seen: list[torch.Tensor] = []
    dense.bn3.register_forward_hook(lambda module, given, output: seen.append(output))
    with torch.no_grad():
        assert not dense.training
        dense(images)
    spread = (seen[0] - dense.bn3.bias.view(1, -1, 1, 1)).std((0, 2, 3)) / dense.bn3.weight.abs()
    assert spread.tolist() == pytest.approx([1] * 16, abs=0.1)  # the scale that a batch norm gives


def test_a_study_times_every_network_against_the_dense_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunescope.report.page.write_report", lambda folder: folder / "none")
    study = document(
        measure=[{"speed": quick()}],
        retrain={"kind": "none"},
        prune=[
            {"series": "filters", "granularity": "filter", "rates": [0.5]},
            {"series": "weights", "granularity": "weight", "rates": [0.5]},
        ],
    )
    path = write_study(write_data(tmp_path), study)
    result = ps.run_study(path, tmp_path / "runs", data=tmp_path)
    assert not result.failed
    speed = result.tables["speed"].set_index(["network", "variant"])
    assert sorted(speed.index) == [
        ("dense-seed0", "dense"),
        *(("filters-0.5-pruned-seed0", form) for form in ("compact", "dense", "masked")),
        *(("weights-0.5-pruned-seed0", form) for form in ("compact", "dense", "masked")),
    ]
    assert (speed["macs"].xs("dense", level="variant") == MACS).all()
    assert speed.loc[("filters-0.5-pruned-seed0", "compact"), "macs"] == HALF
    assert speed.loc[("weights-0.5-pruned-seed0", "compact"), "why"] is not None
    scores = result.tables["scores"]
    assert set(scores.loc[scores["measure"] == "speed", "metric"]) == {
        "ms_pytorch_b1",
        "speedup_pytorch_b1",
        "speedup_masked_pytorch_b1",
    }


def test_a_study_with_an_unknown_runtime_is_refused_before_any_work(tmp_path: Path) -> None:
    path = write_study(write_data(tmp_path), document(measure=[{"speed": {"runtimes": ["openvin"]}}]))
    with pytest.raises(
        PrunescopeError, match=r"study\.yaml:\d+: measure\.0: no runtime 'openvin' \(did you mean"
    ):
        ps.run_study(path, tmp_path / "runs", data=tmp_path)
