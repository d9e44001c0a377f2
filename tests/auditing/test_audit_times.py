"""What of two networks is timed, where and at which size; how fast it is, is for `benchmarks/`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import prunescope as ps
from networks.saved_programs import images, save, toy
from prunescope.auditing.times import runtimes_of, time_pair
from prunescope.errors import PrunescopeError
from prunescope.measures.runtimes import RUNTIMES, Candidate, PyTorch
from prunescope.measures.speed import SpeedSettings
from prunescope.measures.stopwatch import Times
from prunescope.networks.export import export
from prunescope.networks.programs import open_program
from prunescope.report.speed_words import speed_words


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for times that mean something."""
    monkeypatch.setattr("prunescope.measures.stopwatch.WARM_UP", 0)
    monkeypatch.setattr("prunescope.measures.stopwatch.SHORTEST", 1e-4)


def network(side: int = 16) -> nn.Module:
    """Three convolutions; batch norms shift, so that no channel is 0 by itself."""
    opened = ps.open_network("study.tiny:tiny", preprocess=ps.Preprocess(resize=None, crop=side))
    with torch.no_grad():
        for module in opened.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.fill_(0.3)
    return opened


def pruned(granularity: str, side: int = 16, rate: float = 0.5) -> nn.Module:
    opened = network(side)
    ps.prune(opened, granularity, rate=rate).apply(opened)
    return opened


def quick(**changes: Any) -> SpeedSettings:
    return SpeedSettings(**{"runtimes": ("pytorch",), "batches": (1,), "rounds": 1, **changes})


def timed(table: pd.DataFrame) -> list[tuple[str, int, str]]:
    """Return which rows have a time."""
    rows = table[table["milliseconds"].notna()]
    return list(zip(rows["runtime"], rows["batch"], rows["variant"], strict=True))


def test_the_table_is_that_of_speed_with_other_variants() -> None:
    table = time_pair(network(), pruned("filter"), quick(runtimes=("pytorch", "onnxruntime"), batches=(1, 3)))
    of_speed = ps.speed(network(), runtimes=("pytorch",), batches=(1,), rounds=1)
    assert list(table.columns) == list(of_speed.columns)
    places = [
        (r, b, v) for r in ("pytorch", "onnxruntime") for b in (1, 3) for v in ("dense", "pruned", "compact")
    ]
    assert timed(table) == places
    macs = table.drop_duplicates("variant").set_index("variant")["macs"]
    own, mask = network(), ps.prune(network(), "filter", rate=0.5)
    expected = ps.speed(own, mask, runtimes=("pytorch",), batches=(1,), rounds=1).set_index("variant")["macs"]
    assert macs["dense"] == expected["dense"] == of_speed["macs"].item()
    assert macs["pruned"] == expected["masked"]
    assert macs["compact"] == expected["compact"]
    assert table.loc[table["runtime"] == "pytorch", "peak_bytes"].notna().all()


def test_where_no_channel_is_gone_the_compact_form_is_missing_with_a_reason() -> None:
    table = time_pair(network(), pruned("weight", rate=0.1), quick()).set_index("variant")
    assert table.loc["compact", "why"] == "single weights leave no channel to take out"
    assert math.isnan(table.loc["compact", "milliseconds"])


def test_without_zeros_there_is_no_compact_form() -> None:
    small = ps.compact(pruned("filter"))
    table = time_pair(network(), small, quick())
    assert list(table["variant"]) == ["dense", "pruned"]
    assert len(timed(table)) == 2


class Seen(PyTorch):
    """Notes the sizes of the images that it is given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def prepare(self, candidate: Candidate, images: torch.Tensor, threads: int) -> Any:
        self.shapes.append(tuple(images.shape))
        assert torch.get_num_threads() == threads
        return super().prepare(candidate, images, threads)


@pytest.fixture
def seen() -> Iterator[Seen]:
    with RUNTIMES.unchanged():
        runtime = Seen()
        RUNTIMES.register("seen")(runtime)
        yield runtime


def test_each_at_its_own_size(seen: Seen) -> None:
    time_pair(network(16), pruned("filter", 20), quick(runtimes=("seen",), batches=(2,)))
    assert seen.shapes == [(2, 3, 16, 16), (2, 3, 20, 20), (2, 3, 20, 20)]


def test_speed_ups_are_medians_of_ratios_within_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = {"dense": [2, 4, 6, 8, 10, 12, 40], "pruned": [1, 4, 2, 2, 5, 4, 1], "compact": [1] * 7}

    def fake(passes: Mapping[str, Any], rounds: int, **_: Any) -> dict[str, Times]:
        assert list(passes) == ["dense", "pruned", "compact"]
        assert rounds == 7
        return {name: Times(*[np.array(cpu[name], float)] * 3) for name in passes}

    monkeypatch.setattr("prunescope.measures.speed.interleaved", fake)
    table = time_pair(network(), pruned("filter"), quick(rounds=7)).set_index("variant")
    assert table["speedup"].to_dict() == {"dense": 1, "pruned": 3, "compact": 8}  # 2 1 3 4 2 3 40
    assert table.loc["pruned", ["low", "high"]].tolist() == [1, 40]  # all of seven
    assert table.loc["dense", "milliseconds"] == 8000


@pytest.mark.parametrize("form", ["TorchScript", "torch.export", "ONNX"])
def test_two_programs_of_one_kind_are_timed_in_their_own_runtime(form: str, tmp_path: Path) -> None:
    first = open_program(save(toy(), form, tmp_path), toy().preprocess)
    second = open_program(first.path, toy().preprocess)
    table = time_pair(first, second, quick(batches=(1, 3)))
    own = "onnxruntime" if form == "ONNX" else "pytorch"
    assert timed(table) == [(own, batch, variant) for batch in (1, 3) for variant in ("dense", "pruned")]
    assert table["why"].isna().all()
    assert table["macs"].isna().all()
    assert table["peak_bytes"].isna().all()


def test_a_network_and_a_program_are_timed_where_both_run(tmp_path: Path) -> None:
    program = open_program(save(toy(), "ONNX", tmp_path))
    table = time_pair(toy(), program, quick(runtimes=("pytorch", "channels-last")))
    assert timed(table) == [("onnxruntime", 1, "dense"), ("onnxruntime", 1, "pruned")]
    assert table["speedup"].notna().all()
    assert speed_words(table)  # whose promises need multiply-accumulates, which a program has none of


def test_two_programs_of_different_kinds_have_no_speed_up(tmp_path: Path) -> None:
    dense = open_program(save(toy(), "TorchScript", tmp_path), toy().preprocess)
    table = time_pair(dense, open_program(save(toy(), "ONNX", tmp_path)), quick())
    assert timed(table) == [("pytorch", 1, "dense"), ("onnxruntime", 1, "pruned")]
    assert table.loc[table["variant"] == "pruned", "speedup"].isna().all()
    assert speed_words(table) == [
        "No pruned network was timed in PyTorch: a program of ONNX runs in onnxruntime alone.",
        "No dense network was timed in ONNX Runtime: a program of TorchScript runs in pytorch alone.",
    ]


def test_which_runtimes_a_pair_has(tmp_path: Path) -> None:
    onnx = open_program(save(toy(), "ONNX", tmp_path))
    script = open_program(save(toy(), "TorchScript", tmp_path), toy().preprocess)
    asked = ("channels-last", "onnxruntime", "pytorch")
    assert runtimes_of(toy(), toy(), asked) == asked
    assert runtimes_of(toy(), onnx, asked) == ("onnxruntime",)
    assert runtimes_of(script, toy(), asked) == ("pytorch",)
    assert runtimes_of(onnx, toy(), ("pytorch",)) == ("onnxruntime",)
    assert runtimes_of(onnx, script, asked) == ("onnxruntime", "pytorch")


def test_a_fixed_number_of_images_is_filled_up(tmp_path: Path) -> None:
    export(toy(), tmp_path / "a.onnx", images(4), dynamic_batch=False)
    program = open_program(tmp_path / "a.onnx")
    assert len(timed(time_pair(program, toy(), quick(batches=(1, 6))))) == 4


def test_nothing_of_the_networks_is_changed() -> None:
    dense, small = network().train(), pruned("filter")
    before = {name: tensor.clone() for name, tensor in small.state_dict().items()}
    time_pair(dense, small, quick(runtimes=("channels-last",)))
    assert dense.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in small.state_dict().items())
    assert all(parameter.requires_grad for parameter in small.parameters())


def test_progress_counts_the_rounds() -> None:
    told: list[tuple[int, int]] = []
    time_pair(network(), pruned("weight"), quick(rounds=2, batches=(1, 2)), lambda *done: told.append(done))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_settings_that_make_no_sense() -> None:
    for wrong, said in (({"batches": (0,)}, "a batch of 0"), ({"runtimes": ("onxruntime",)}, "did you mean")):
        with pytest.raises(PrunescopeError, match=said):
            time_pair(network(), network(), quick(**wrong))


def test_words_on_a_pair() -> None:
    table = time_pair(network(), pruned("filter"), quick(rounds=6))
    table.loc[table["variant"] == "pruned", ["speedup", "low", "high"]] = (1.0, 0.99, 1.01)
    table.loc[table["variant"] == "compact", ["speedup", "low", "high"]] = (3.0, 2.9, 3.1)
    compact, own = speed_words(table)
    assert compact.startswith(
        "The compact network is faster than the dense one: 3.00× (2.90–3.10) at batch 1"
    )
    assert own.startswith(
        "The pruned network bought nothing: 1.00× (0.99–1.01) at batch 1 in PyTorch; the 30."
    )
    assert "of the multiply-accumulates that still act would promise" in own
