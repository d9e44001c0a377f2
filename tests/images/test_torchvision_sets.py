from __future__ import annotations

import inspect
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from prunescope.errors import PrunescopeError
from prunescope.images import open_images
from prunescope.images.torchvision_sets import SETS
from prunescope.networks.operators import torchvision

LABELS = {"train": [3, 0, 9, 9, 1], "test": [2, 7]}


def pixels_of(role: str) -> NDArray[np.uint8]:
    count = len(LABELS[role])
    return np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def write_fashion(root: Path) -> None:
    """Write FashionMNIST's four files in their real format: big-endian sizes, then bytes."""
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for role, prefix in (("train", "train"), ("test", "t10k")):
        count = len(LABELS[role])
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, count, 28, 28) + pixels_of(role).tobytes()
        )
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 0x801, count) + bytes(LABELS[role])
        )


def write_textures(root: Path) -> None:
    """Write DTD's folders: images by class, and lists of the parts."""
    home = root / "dtd" / "dtd"
    (home / "labels").mkdir(parents=True)
    for number, name in enumerate(("dotted/a.jpg", "striped/b.jpg", "dotted/c.jpg", "striped/d.jpg")):
        path = home / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (60 * number, 0, 0)).save(path)
    (home / "labels" / "train1.txt").write_text("dotted/a.jpg\nstriped/b.jpg\n")
    (home / "labels" / "test1.txt").write_text("dotted/c.jpg\nstriped/d.jpg\n")


@pytest.mark.parametrize("role", ["train", "test"])
def test_sets_in_memory(tmp_path: Path, role: str) -> None:
    write_fashion(tmp_path)
    images = open_images("torchvision:FashionMNIST", role, tmp_path)

    assert images.labels.tolist() == LABELS[role]
    assert images.classes[9] == "Ankle boot"
    assert images.names[1] == f"FashionMNIST/{role}/000001"
    for index, grey in enumerate(pixels_of(role)):
        np.testing.assert_array_equal(images.decode(index), np.stack([grey] * 3, axis=2))


def test_fingerprint_of_a_set_in_memory(tmp_path: Path) -> None:
    for place in ("here", "there"):
        write_fashion(tmp_path / place)
    raw = tmp_path / "there" / "FashionMNIST" / "raw"

    def fingerprint(place: str, role: str = "test") -> str:
        return open_images("torchvision:FashionMNIST", role, tmp_path / place).fingerprint

    assert fingerprint("here") == fingerprint("there")
    assert fingerprint("here") != fingerprint("here", "train")
    for file in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        before = fingerprint("there")
        content = (raw / file).read_bytes()
        (raw / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert fingerprint("there") != before


def test_sets_in_files(tmp_path: Path) -> None:
    write_textures(tmp_path / "here")
    write_textures(tmp_path / "there")
    train, test = (open_images("torchvision:DTD", role, tmp_path / "here") for role in ("train", "test"))

    assert train.names == ("dtd/dtd/images/dotted/a.jpg", "dtd/dtd/images/striped/b.jpg")
    assert train.labels.tolist() == [0, 1]
    assert test.names == ("dtd/dtd/images/dotted/c.jpg", "dtd/dtd/images/striped/d.jpg")
    assert test.labels.tolist() == [0, 1]
    assert abs(test.decode(1)[0, 0].astype(int) - [180, 0, 0]).max() < 4
    assert train.fingerprint == open_images("torchvision:DTD", "train", tmp_path / "there").fingerprint


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    write_textures(tmp_path)
    (tmp_path / "dtd" / "dtd" / "images" / "striped" / "d.jpg").unlink()
    with pytest.raises(PrunescopeError, match=r"No such file.*striped/d\.jpg"):
        open_images("torchvision:DTD", "test", tmp_path)


def test_a_set_without_parts_is_divided_class_by_class(tmp_path: Path) -> None:
    for name in ("Forest", "River"):
        folder = tmp_path / "eurosat" / "2750" / name
        folder.mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (2, 2), (number, 0, 0)).save(folder / f"{name}_{number}.png")
    train, test = (open_images("torchvision:EuroSAT", role, tmp_path) for role in ("train", "test"))

    assert np.bincount(train.labels).tolist() == [8, 8]
    assert np.bincount(test.labels).tolist() == [2, 2]
    assert len({*train.names, *test.names}) == 20


@pytest.mark.parametrize("name", ["CIFAR10", "FashionMNIST", "OxfordIIITPet", "DTD", "EuroSAT"])
def test_nothing_is_downloaded_unless_asked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(PrunescopeError, match=rf"cannot open {name} .*below {tmp_path}.*{name}\?download"):
        open_images(f"torchvision:{name}", "train", tmp_path)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("CIFAR", r"no data set 'CIFAR' \(did you mean 'CIFAR10'"),
        ("fashionmnist", "did you mean 'FashionMNIST'"),
        ("MNIST?down", "the only option is 'torchvision:MNIST.download', and 'down' was given"),
    ],
)
def test_wrong_names_and_options(argument: str, message: str) -> None:
    with pytest.raises(PrunescopeError, match=message):
        open_images(f"torchvision:{argument}")


@pytest.mark.parametrize("name", SETS)
def test_every_layout_fits_torchvision(name: str) -> None:
    layout = SETS[name]
    made = getattr(torchvision.datasets, name)
    parameters = inspect.signature(made).parameters
    code = "".join(inspect.getsource(base) for base in made.__mro__ if "torchvision" in base.__module__)

    assert {"root", "download"} <= set(parameters)
    for part in (layout.parts or {}).values():
        assert set(part) <= set(parameters)
        assert all(isinstance(value, bool) or f'"{value}"' in code for value in part.values())
    for attribute in (layout.labels, layout.files):
        assert attribute is None or f"self.{attribute}" in code
