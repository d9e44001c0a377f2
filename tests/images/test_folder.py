from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prunescope.errors import PrunescopeError
from prunescope.images import ImageSet, open_images
from prunescope.images.source import same_classes


def write_image(path: Path, colour: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 2), (colour, colour, colour)).save(path)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    root = tmp_path / "pets"
    write_image(root / "dog" / "b.png", 10)
    write_image(root / "dog" / "a.PNG", 20)
    write_image(root / "cat.old" / "deep" / "down" / "c.bmp", 30)
    write_image(root / "cat" / "d.gif", 40)
    return root


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Run as a user whom rights can keep out, also where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_classes_are_the_sorted_subfolders_and_images_lie_anywhere_below(pets: Path) -> None:
    images = open_images(f"folder:{pets}")

    assert images.classes == ("cat", "cat.old", "dog")
    assert images.names == ("cat/d.gif", "cat.old/deep/down/c.bmp", "dog/a.PNG", "dog/b.png")
    assert images.labels.tolist() == [0, 1, 2, 2]
    assert images.labels.dtype == np.int64
    assert [images.decode(i)[0, 0, 0] for i in range(4)] == [40, 30, 20, 10]


def test_hidden_and_other_files_are_ignored(pets: Path) -> None:
    before = open_images(f"folder:{pets}")
    write_image(pets / "dog" / ".hidden.png", 1)
    write_image(pets / "dog" / ".thumbnails" / "x.png", 1)
    write_image(pets / ".trash" / "x.png", 1)
    write_image(pets / "cover.png", 1)
    (pets / "dog" / "notes.txt").write_text("sit")

    after = open_images(f"folder:{pets}")

    assert after.names == before.names
    assert after.fingerprint == before.fingerprint


def test_relative_paths_start_from_the_data_folder_or_the_current_one(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pets)
    assert open_images("folder:../pets").names == open_images("folder:pets", data=pets.parent).names


def test_fingerprint_does_not_depend_on_the_place(pets: Path, tmp_path: Path) -> None:
    shutil.copytree(pets, tmp_path / "copy")
    assert open_images(f"folder:{pets}").fingerprint == open_images(f"folder:{tmp_path}/copy").fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda root: write_image(root / "dog" / "b.png", 11),
        lambda root: write_image(root / "dog" / "new.png", 10),
        lambda root: (root / "dog" / "b.png").rename(root / "dog" / "z.png"),
        lambda root: (root / "dog" / "b.png").rename(root / "cat" / "b.png"),
        lambda root: (root / "dog").rename(root / "hound"),
    ],
    ids=["content", "added", "renamed", "moved", "class"],
)
def test_fingerprint_depends_on_contents_names_and_classes(pets: Path, change) -> None:
    before = open_images(f"folder:{pets}").fingerprint
    change(pets)
    assert open_images(f"folder:{pets}").fingerprint != before


def test_only_changed_files_are_read_again(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_images(f"folder:{pets}").fingerprint
    read: list[str] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.append(path.name), read_bytes(path))[1])

    assert open_images(f"folder:{pets}").fingerprint == before
    assert read == []

    os.utime(pets / "dog" / "b.png", ns=(1, 1))
    assert open_images(f"folder:{pets}").fingerprint == before
    assert read == ["b.png"]


def test_a_damaged_memory_of_digests_is_made_anew(pets: Path, cache: Path) -> None:
    before = open_images(f"folder:{pets}").fingerprint
    (memory,) = (cache / "digests").iterdir()
    whole = memory.read_text()
    memory.write_text(whole[:20])

    assert open_images(f"folder:{pets}").fingerprint == before
    assert memory.read_text() == whole


def test_linked_class_folders_are_followed_but_not_in_circles(pets: Path, tmp_path: Path) -> None:
    subset = tmp_path / "subset"
    subset.mkdir()
    (subset / "dog").symlink_to(pets / "dog")
    assert open_images(f"folder:{subset}").names == ("dog/a.PNG", "dog/b.png")

    (pets / "dog" / "again").symlink_to(pets / "dog")
    with pytest.raises(PrunescopeError, match="again is met twice"):
        open_images(f"folder:{subset}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("folder:nowhere", "nowhere is not there; relative paths start from the data folder"),
        ("flat:nowhere", "nowhere is not there"),
        ("folder:pets/dog/b.png", "not a folder"),
        ("folder:pets/dog", "no subfolders.*'flat:'"),
        ("folder:.", r"no image in 1 of the 2 class folders of .*: empty; fill"),
        ("folder:parts", "parts of a data set, not classes; name one of them, say 'folder:parts/train'"),
        ("flat:pets", "has no images"),
        ("flat:pets/dog", r"<class>_<rest>.*'a.PNG' \(2 of 2"),
        ("pets", "did you mean 'folder:pets'"),
        ("foldr:pets", r"no image source 'foldr' \(did you mean 'folder'\?\); known: flat, folder, scenes"),
    ],
)
def test_errors_say_what_to_do(
    pets: Path, source: str, message: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pets.parent
    monkeypatch.chdir(data)
    if source == "folder:parts":
        write_image(data / "parts" / "train" / "dog" / "a.png", 1)
        (data / "parts" / "val").mkdir()
    else:
        (data / "empty").mkdir()
    with pytest.raises(PrunescopeError, match=message):
        open_images(source, data=data)


def test_a_folder_that_may_not_be_read(pets: Path, unprivileged: None) -> None:
    if os.getuid() != 0:
        (pets / "dog").chmod(0)  # pytest's folders are closed to others than their owner as it is
    with pytest.raises(PrunescopeError, match="no permission while reading images from"):
        open_images(f"folder:{pets}")


def test_a_link_to_nothing_is_named(pets: Path) -> None:
    (pets / "dog" / "gone.png").symlink_to(pets / "nothing")
    with pytest.raises(PrunescopeError, match=r"No such file.*gone\.png"):
        open_images(f"folder:{pets}")


def test_flat_takes_the_class_from_the_name(tmp_path: Path) -> None:
    for name in ("n02_tree_frog.png", "n01_tench.png", "n02_bull.png"):
        write_image(tmp_path / name, 5)
    images = open_images(f"flat:{tmp_path}")

    assert images.classes == ("n01", "n02")
    assert images.names == ("n01_tench.png", "n02_bull.png", "n02_tree_frog.png")
    assert images.labels.tolist() == [0, 1, 1]


def test_same_classes_names_those_that_only_one_set_has(pets: Path) -> None:
    train = open_images(f"folder:{pets}")
    same_classes(train, train)

    other: ImageSet = replace(train, source="folder:other", classes=("cat", "cow", "dog"))
    with pytest.raises(
        PrunescopeError, match=r"training images \(.*pets\) have 'cat.old'; only the test .*'cow'"
    ):
        same_classes(train, other)
    with pytest.raises(PrunescopeError, match="their order differs"):
        same_classes(train, replace(train, classes=train.classes[::-1]))


def test_folders_are_opened_without_torch(pets: Path) -> None:
    code = (
        "import sys; from prunescope.images import open_images; from prunescope.images.cache import cached; "
        f"cached(open_images('folder:{pets}'), None, 'bilinear'); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_real_folders(real_data: Path) -> None:
    imagenette = open_images("folder:imagenette128/val", data=real_data)
    assert len(imagenette) == 3925
    assert len(imagenette.classes) == 10

    imagenet = open_images("flat:imagenet1k_one_per_class", data=real_data)
    assert imagenet.labels.tolist() == list(range(1000))
    assert imagenet.classes[:2] == ("n01440764", "n01443537")
