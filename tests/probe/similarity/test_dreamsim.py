from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from toy_images import toy_images, toy_pixels

from prunescope.errors import PrunescopeError
from prunescope.probe.dreamsim import FILES
from prunescope.probe.similarity import likeness, open_similarity

# Stands for the real package, whose weights are 1.2 GB: the same call, and an embedding as easy to check.
PACKAGE = """
import pathlib, torch

CALLS = []

class Model:
    def embed(self, pixels):
        assert pixels.shape[1:] == (3, 224, 224) and pixels.dtype == torch.float32
        assert 0 <= pixels.min() and pixels.max() <= 1
        CALLS.append(len(pixels))
        embedded = pixels[:, :, ::56, ::56].flatten(1)
        embedded = embedded - embedded.mean(1, keepdim=True)
        return embedded / embedded.norm(dim=1, keepdim=True)

def dreamsim(pretrained=True, device="cuda", cache_dir="./models", normalize_embeds=True,
             dreamsim_type="ensemble", use_patch_model=False):
    assert pretrained and device == "cpu" and normalize_embeds and dreamsim_type == "ensemble"
    print("Using cached", cache_dir)
    torch.hub.set_dir(cache_dir)
    folder = pathlib.Path(cache_dir)
    if not folder.exists():
        folder.mkdir()
    if not (folder / "dino_vitb16_pretrain.pth").exists():
        DOWNLOAD
    return Model(), None
"""
OFFLINE = "raise OSError('no network')"


def install(site: Path, monkeypatch: pytest.MonkeyPatch, download: str = OFFLINE) -> None:
    (site / "dreamsim").mkdir(parents=True)
    (site / "dreamsim" / "__init__.py").write_text(PACKAGE.replace("DOWNLOAD", download))
    (site / "dreamsim-9.8.dist-info").mkdir()
    (site / "dreamsim-9.8.dist-info" / "METADATA").write_text("Name: dreamsim\nVersion: 9.8\n")
    monkeypatch.syspath_prepend(site)
    for name in [name for name in sys.modules if name.partition(".")[0] == "dreamsim"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", monkeypatch)
    monkeypatch.setitem(sys.modules, "dreamsim", None)  # so that it is taken out again at the end
    monkeypatch.delitem(sys.modules, "dreamsim")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "weights" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"what is in {name}")
    return tmp_path / "weights"


def expected(count: int) -> NDArray[np.float64]:
    """Embed images as the package's own preprocessing and the stand-in's network do."""
    rows = []
    for index in range(count):
        squashed = Image.fromarray(toy_pixels(index)).resize((224, 224), Image.Resampling.BICUBIC)
        row = (np.asarray(squashed) / 255)[::56, ::56].transpose(2, 0, 1).ravel()
        rows.append((row - row.mean()) / np.linalg.norm(row - row.mean()))
    return np.array(rows)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("count", [1, 37])
def test_whole_images_are_embedded_in_batches_once(weights: Path, count: int) -> None:
    before = torch.hub.get_dir()
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        alike = likeness(
            toy_images(count),
            open_similarity("dreamsim", weights),
            progress=lambda done, total: seen.append((done, total)),
        )
        assert alike.similarities is None
        assert (alike.metric, alike.slope) == ("cosine", 16)
        np.testing.assert_allclose(alike.embeddings, expected(count), atol=1e-5)
    sizes = {1: [1], 37: [16, 16, 5]}[count]
    assert sizes == sys.modules["dreamsim"].CALLS
    assert seen == [(sum(sizes[: k + 1]), count) for k in range(len(sizes))]
    assert torch.hub.get_dir() == before


@pytest.mark.usefixtures("package")
def test_nothing_is_loaded_before_it_is_needed_nor_printed(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    similarity = open_similarity("dreamsim", weights)
    assert similarity.identity()["package"] == "9.8"
    assert "dreamsim" not in sys.modules
    likeness(toy_images(2), similarity)
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("package")
def test_identity_is_that_of_the_weights(weights: Path) -> None:
    before = open_similarity("dreamsim", weights).identity()
    assert open_similarity("dreamsim", weights).identity() == before
    (weights / "ensemble_lora" / "adapter_model.safetensors").write_text("trained further")
    assert open_similarity("dreamsim", weights).identity() != before


@pytest.mark.usefixtures("package")
def test_a_folder_that_lacks_files_is_not_filled(weights: Path) -> None:
    gone = [name for name in FILES if name.startswith(("dino", "clip", "checkpoints"))]
    for name in gone:
        (weights / name).unlink()
    with pytest.raises(PrunescopeError) as caught:
        open_similarity("dreamsim", weights)
    assert str(caught.value).splitlines() == [
        f"the weights of dreamsim are not whole. Missing in {weights}:",
        f"  dino_vitb16_pretrain.pth, clip_vitb16_pretrain.pth.tar from {FILES[gone[0]]}",
        f"  checkpoints/dino_vitbase16_pretrain.pth from {FILES[gone[2]]}",
        "Put them there, or go on without weights: similarity: classical",
    ]
    assert "dreamsim" not in sys.modules


@pytest.mark.usefixtures("package")
def test_without_a_folder_the_package_downloads_or_says_why_not(cache: Path) -> None:
    with pytest.raises(PrunescopeError, match=r"(?s)failed with OSError: no network.*Missing in .*classical"):
        open_similarity("dreamsim")


def test_what_was_downloaded_is_used_from_then_on(
    tmp_path: Path, cache: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = f"import shutil; shutil.copytree({str(weights)!r}, folder, dirs_exist_ok=True)"
    install(tmp_path / "site", monkeypatch, fetch)
    first = open_similarity("dreamsim")
    (weights / "dino_vitb16_pretrain.pth").unlink()
    assert open_similarity("dreamsim").identity() == first.identity()
    assert (cache / "dreamsim" / "dino_vitb16_pretrain.pth").is_file()
    monkeypatch.delitem(sys.modules, "dreamsim")


def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PrunescopeError, match=r"pip install 'prunescope\[dreamsim\]', or go on without"):
        open_similarity("dreamsim")


def test_a_package_that_cannot_be_imported(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch)
    (tmp_path / "site" / "dreamsim" / "__init__.py").write_text("import a_package_that_it_needs")
    with pytest.raises(
        PrunescopeError, match=r"ModuleNotFoundError: No module named 'a_package.*All its files"
    ):
        likeness(toy_images(2), open_similarity("dreamsim", weights))
