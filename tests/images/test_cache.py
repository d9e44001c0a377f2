from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from prunescope.errors import NoRoomError, PrunescopeError
from prunescope.images import ImageSet
from prunescope.images.cache import cached
from prunescope.images.decode import resize_short_side


@dataclass
class Toy:
    """Noise images of different sizes that count how often they are decoded."""

    count: int = 6
    broken: frozenset[int] = frozenset()
    decoded: list[int] = field(default_factory=list)

    def pixels(self, index: int) -> NDArray[np.uint8]:
        size = (4 + index % 3, 6, 3)
        return np.random.default_rng(index).integers(0, 256, size, dtype=np.uint8)

    def decode(self, index: int) -> NDArray[np.uint8]:
        self.decoded.append(index)
        if index in self.broken:
            raise PrunescopeError(f"picture {index} is broken")
        return self.pixels(index)

    def images(self) -> ImageSet:
        labels = np.zeros(self.count, dtype=np.int64)
        names = tuple(map(str, range(self.count)))
        return ImageSet("toy", ("thing",), labels, names, f"toy-{self.count}", self.decode)

    def check(self, *, decoded: bool, **settings: object) -> None:
        """Ask for the pixels, which must be right, and decoded now or not at all."""
        self.decoded.clear()
        pixels = cached(self.images(), None, "bilinear", **settings)
        assert sorted(self.decoded) == (list(range(self.count)) if decoded else [])
        assert len(pixels) == self.count
        for index in range(self.count):
            np.testing.assert_array_equal(pixels[index], self.pixels(index))


def only_cache(cache: Path) -> Path:
    (folder,) = (path for path in (cache / "pixels").iterdir() if path.is_dir())
    return folder


def test_images_are_decoded_once() -> None:
    toy = Toy()
    toy.check(decoded=True)
    toy.check(decoded=False)


def test_the_folder_can_be_chosen(tmp_path: Path) -> None:
    toy = Toy()
    toy.check(decoded=True, folder=tmp_path / "mine")
    toy.check(decoded=False, folder=tmp_path / "mine")
    toy.check(decoded=True)


def test_every_way_to_resize_has_a_cache_of_its_own() -> None:
    images = Toy().images()
    for resize, interpolation in ((3, "bilinear"), (3, "bicubic"), (9, "bilinear")):
        pixels = cached(images, resize, interpolation)
        for index in range(len(images)):
            expected = resize_short_side(Toy().pixels(index), resize, interpolation)
            np.testing.assert_array_equal(pixels[index], expected)


def test_pixels_are_views_into_one_array_that_cannot_be_written() -> None:
    pixels = cached(Toy().images(), None, "bilinear")
    assert np.shares_memory(pixels[1], pixels.flat)
    with pytest.raises(ValueError, match="read-only"):
        pixels[1][0, 0, 0] = 1


def test_order_is_kept_with_many_threads() -> None:
    Toy(count=200).check(decoded=True, workers=8)


def test_progress_counts_every_image() -> None:
    seen: list[tuple[int, int]] = []
    cached(Toy().images(), None, "bilinear", progress=lambda done, count: seen.append((done, count)))
    assert seen == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize("name", ["pixels", "index", "cache.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "overwritten"])
def test_a_damaged_cache_is_made_anew(cache: Path, name: str, damage: str) -> None:
    toy = Toy()
    toy.check(decoded=True)
    file = only_cache(cache) / name
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "gone":
        file.unlink()
    else:
        file.write_bytes(b"?" * (len(content) + 1))
    toy.check(decoded=True)
    toy.check(decoded=False)


def test_all_broken_images_are_reported_at_once(cache: Path) -> None:
    toy = Toy(count=30, broken=frozenset(range(5, 17)))
    with pytest.raises(PrunescopeError, match="12 of 30 images cannot be used") as caught:
        cached(toy.images(), None, "bilinear")

    lines = str(caught.value).splitlines()
    assert lines[1:] == [*(f"  picture {index} is broken" for index in range(5, 15)), "  … and 2 more"]
    assert len(toy.decoded) == 30
    assert [path.name for path in (cache / "pixels").iterdir() if path.suffix != ".lock"] == []


def test_one_broken_image_speaks_for_itself() -> None:
    with pytest.raises(PrunescopeError, match=r"^picture 3 is broken$"):
        cached(Toy(broken=frozenset({3})).images(), None, "bilinear")


def test_a_set_without_images_is_refused() -> None:
    with pytest.raises(PrunescopeError, match="toy has no images"):
        cached(Toy(count=0).images(), None, "bilinear")


def test_a_full_disk_leaves_nothing_behind(cache: Path) -> None:
    toy = Toy(count=400)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(NoRoomError, match="no room left on the disk while writing to the cache"):
            cached(toy.images(), None, "bilinear")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (cache / "pixels").iterdir() if path.suffix != ".lock"] == []
    toy.check(decoded=True)


def test_a_cache_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PrunescopeError, match="while writing to the cache in"):
        cached(Toy().images(), None, "bilinear", folder=tmp_path / "file")


# Decodes the toy images slowly, and writes a line for each to the file that the first argument names.
SLOW_PROCESS = """
import sys, time
sys.path.insert(0, sys.argv[2])
from test_cache import Toy
from prunescope.images.cache import cached

class Slow(Toy):
    def decode(self, index):
        with open(sys.argv[1], "a") as log:
            log.write(f"{index}\\n")
        time.sleep(0.02)
        return self.pixels(index)

cached(Slow(count=60).images(), None, "bilinear", workers=1)
"""


def start(log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SLOW_PROCESS, str(log), str(Path(__file__).parent)])


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes = [start(log), start(log)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert sorted(map(int, log.read_text().split())) == list(range(60))
    Toy(count=60).check(decoded=False)


def test_a_killed_process_leaves_no_cache_behind(tmp_path: Path, cache: Path) -> None:
    log = tmp_path / "log"
    process = start(log)
    deadline = time.monotonic() + 60
    while not (log.exists() and len(log.read_text().split()) > 20):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert only_cache(cache).suffix == ".part"

    Toy(count=60).check(decoded=True)
    assert only_cache(cache).suffix == ""
