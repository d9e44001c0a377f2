"""`prunescope export`: files for other runtimes compute what the network computes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import prunescope as ps
from cli.call import Called, refused

ort = pytest.importorskip("onnxruntime")

NAME, WEIGHTS = "prunescope/sprig", "SCENES_V1"


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("networks") / "dense.safetensors"
    ps.save_network(ps.open_network(NAME, weights=WEIGHTS), path)
    return path


def images(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(count))


def by_onnxruntime(path: Path, batch: torch.Tensor) -> torch.Tensor:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    (found,) = session.run(None, {given.name: batch.numpy()})
    return torch.from_numpy(np.asarray(found))


def close(found: torch.Tensor, network: Path, batch: torch.Tensor) -> bool:
    with torch.no_grad():
        expected = ps.open_network(str(network))(batch)
    return bool((found - expected).abs().max() <= 1e-5 * expected.abs().max())


def test_onnx_of_any_batch(dense: Path, prunescope: Callable[..., Called], tmp_path: Path) -> None:
    out = tmp_path / "deep" / "dense.onnx"
    called = prunescope("export", dense, out)
    assert called.code == 0, called.err
    assert called.out == f"{out}: {out.stat().st_size:,} bytes; batches of any size, images 3x64x64\n"
    for count in (1, 3):
        assert close(by_onnxruntime(out, images(count)), dense, images(count))


def test_onnx_of_one_batch(dense: Path, prunescope: Callable[..., Called], tmp_path: Path) -> None:
    out = tmp_path / "dense.onnx"
    called = prunescope("export", dense, out, "--batch", 2)
    assert called.code == 0, called.err
    assert "; batches of 2, images 3x64x64" in called.out
    assert close(by_onnxruntime(out, images(2)), dense, images(2))
    with pytest.raises(Exception, match="invalid dimensions"):
        by_onnxruntime(out, images(3))


@pytest.mark.parametrize("granularity", ["filter", "connection"])
def test_compact_networks(
    granularity: str, dense: Path, prunescope: Callable[..., Called], tmp_path: Path
) -> None:
    pruned, small = tmp_path / "pruned.safetensors", tmp_path / "small.safetensors"
    choice = ("--granularity", granularity, "--rate", 0.5, "--spare", "conv1.*")
    assert prunescope("prune", dense, *choice, "--out", pruned).code == 0
    assert prunescope("compact", pruned, "--out", small).code == 0
    sizes = {}
    for network in (pruned, small):
        out = network.with_suffix(".onnx")
        assert prunescope("export", network, out).code == 0
        assert close(by_onnxruntime(out, images(3)), pruned, images(3))
        sizes[network] = out.stat().st_size
    assert sizes[small] < 0.6 * sizes[pruned]


def test_a_program_of_torch(dense: Path, prunescope: Callable[..., Called], tmp_path: Path) -> None:
    out = tmp_path / "dense.pt2"
    called = prunescope("export", NAME, out, "--weights", WEIGHTS)
    assert called.code == 0, called.err
    with torch.no_grad():
        assert close(torch.export.load(out).module()(images(3)), dense, images(3))


def test_what_is_refused(dense: Path, prunescope: Callable[..., Called], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(prunescope("export", dense, tmp_path / "a.onx"), "a.onx: expected", "(did you mean '.onnx'?)")
    refused(prunescope("export", tmp_path / "none.safetensors", tmp_path / "a.onnx"), "no weights file")
    refused(prunescope("export", "torchvision/googlnet", tmp_path / "a.onnx"), "did you mean 'googlenet'")
    for out in (Path("/proc/none/a.onnx"), tmp_path / "file" / "a.onnx"):
        refused(prunescope("export", dense, out), f"while writing {out}")
    assert prunescope("export", dense, tmp_path / "a.onnx", "--batch", 0).code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk(dense: Path, prunescope: Callable[..., Called], small_disk: Path) -> None:
    out = small_disk / "a.onnx"
    refused(prunescope("export", dense, out), f"no room left on the disk while writing {out}")
    assert not list(small_disk.iterdir())


def test_without_the_extra(
    dense: Path, prunescope: Callable[..., Called], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    refused(
        prunescope("export", dense, tmp_path / "a.onnx"),
        'onnx is not installed: pip install "prunescope[deploy]"',
    )
