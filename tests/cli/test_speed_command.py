"""`prunescope speed`: what it finds, prints and refuses."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

import prunescope as ps
from cli.call import Called

NAME = "prunescope/sprig"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network whose weights are pruned, and its mask beside it."""
    folder = tmp_path_factory.mktemp("pruned")
    network = ps.open_network(NAME, weights="SCENES_V1")
    mask = ps.prune(network, "weight", rate=0.8)
    mask.apply(network)
    ps.save_network(network, folder / "weights.safetensors")
    mask.save(folder / "weights.mask.safetensors")
    return folder


def rows(called: Called) -> list[list[str]]:
    return [line.split() for line in called.out.splitlines() if line.startswith("pytorch ")]


def test_the_mask_beside_a_saved_network_is_used(place: Path, prunescope: Callable[..., Called]) -> None:
    called = prunescope(
        "speed", place / "weights.safetensors", "--batch", 2, "--runtime", "pytorch", "--rounds", 7,
        "--csv", place / "speed.csv",
    )  # fmt: skip
    assert (called.code, called.err) == (0, "")
    assert [row[:3] for row in rows(called)[:3]] == [
        ["pytorch", "2", variant] for variant in ("dense", "masked", "compact")
    ]
    assert (
        "7\u00a0rounds in turns, 1\u00a0thread, cpu; median and p95 by wall clock, speed-up by CPU time"
        in called.out
    )
    assert f"pytorch {torch.__version__}" in called.out
    *_, masked, compact = called.out.splitlines()
    assert re.search(r"^The mask alone .*: \d\.\d\d× \(\d\.\d\d–\d\.\d\d\) at batch 2 in PyTorch; ", masked)
    assert compact == "No compact network was timed: single weights leave no channel to take out."
    table = pd.read_csv(place / "speed.csv")
    assert list(table["variant"]) == ["dense", "masked", "compact"]


@pytest.mark.skipif(os.cpu_count() == 1, reason="two threads need two processors")
def test_a_dense_network(prunescope: Callable[..., Called]) -> None:
    called = prunescope("speed", NAME, "--batch", 1, "--runtime", "pytorch", "--rounds", 1, "--threads", 2)
    assert called.code == 0
    assert [row[2] for row in rows(called)[:1]] == ["dense"]
    assert "2\u00a0threads" in called.out
    assert "speed-up by wall clock" in called.out
    assert called.out.splitlines()[-1].startswith("Nothing is removed from this network")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--runtime", "pytorhc"), "error: no runtime 'pytorhc' (did you mean 'pytorch'?); known: "),
        (("--threads", 10**6), "error: threads: 1000000 on a machine of"),
        (("--batch", 0), "error: a batch of 0 is impossible"),
        (("--batch", 4, "--batch", 4), "error: batches: 4 is given twice"),
        (("--mask", "none.safetensors"), "error: no mask file 'none.safetensors'"),
    ],
)
def test_mistakes(options: tuple[object, ...], expected: str, prunescope: Callable[..., Called]) -> None:
    called = prunescope("speed", NAME, *options)
    assert (called.code, called.out) == (1, "")
    assert called.err.startswith(expected)


def test_the_mask_of_another_network(place: Path, prunescope: Callable[..., Called]) -> None:
    called = prunescope("speed", "torchvision/squeezenet1_1", "--mask", place / "weights.mask.safetensors")
    assert (called.code, called.out) == (1, "")
    assert "weights.mask.safetensors: the mask is for another network: this one has no" in called.err
    assert called.err.endswith("move it away, or name the right one with --mask\n")


def test_without_the_extra(prunescope: Callable[..., Called], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    called = prunescope("speed", NAME, "--runtime", "onnxruntime")
    assert called.err == 'error: onnxruntime is not installed: pip install "prunescope[deploy]"\n'


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_what_was_measured_is_shown_even_if_the_csv_cannot_be_written(
    prunescope: Callable[..., Called],
) -> None:
    called = prunescope(
        "speed", NAME, "--batch", 1, "--runtime", "pytorch", "--rounds", 1, "--csv", "/dev/full"
    )
    assert called.code == 1
    assert [row[2] for row in rows(called)[:1]] == ["dense"]
    assert called.err.startswith("error: no room left on the disk while writing /dev/full")


def test_ctrl_c_promises_nothing(prunescope: Callable[..., Called], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("prunescope.measures.speed.speed", interrupt)
    called = prunescope("speed", NAME)
    assert (called.code, called.err.strip()) == (130, "stopped")
