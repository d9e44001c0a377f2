from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_images import toy_images

from prunescope.errors import NoRoomError, PrunescopeError
from prunescope.images import ImageSet
from prunescope.images.cache import Progress
from prunescope.probe.similarity import Likeness, Similarity, likeness, open_similarity


class Counting(Similarity):
    """Draws an embedding, or a similarity to every image, and counts how often."""

    name = "counting"
    version = 1

    def __init__(self, weights: int = 0, pairs: bool = False) -> None:
        self.weights = weights
        self.pairs = pairs
        self.calls = 0

    def identity(self) -> dict[str, Any]:
        return {"name": self.name, "weights": self.weights, "pairs": self.pairs}

    def numbers(self, images: ImageSet) -> np.ndarray:
        width = len(images) if self.pairs else 50
        return np.random.default_rng(self.weights).normal(size=(len(images), width)).astype(np.float32)

    def compute(self, images: ImageSet, progress: Progress) -> Likeness:
        self.calls += 1
        progress(len(images), len(images))
        numbers = self.numbers(images)
        if self.pairs:
            return Likeness(None, numbers, "euclidean", self.slope)
        return Likeness(numbers, None, "cosine", self.slope)

    def check(self, *, calls: int, images: ImageSet | None = None, **settings: Any) -> Likeness:
        """Ask for the likeness, which must be right, and computed now or not."""
        images = toy_images(6) if images is None else images
        self.calls = 0
        found = likeness(images, self, **settings)
        assert self.calls == calls
        kept, other = found.embeddings, found.similarities
        if self.pairs:
            kept, other = other, kept
        assert other is None
        np.testing.assert_array_equal(kept, self.numbers(images))
        return found


def only_entry(cache: Path) -> Path:
    (entry,) = (path for path in (cache / "similarities").iterdir() if path.is_dir())
    return entry


@pytest.mark.parametrize("pairs", [False, True])
def test_a_likeness_is_computed_once_and_read_from_the_disk(pairs: bool) -> None:
    similarity = Counting(pairs=pairs)
    for calls in (1, 0, 0):
        found = similarity.check(calls=calls)
        assert found.metric == ("euclidean" if pairs else "cosine")
        assert found.slope == 16
        values = found.similarities if pairs else found.embeddings
        assert values is not None
        assert isinstance(values.base, np.memmap)
        assert not values.flags.writeable


def test_the_slope_is_the_similaritys_own_whenever_it_was_computed() -> None:
    similarity = Counting()
    similarity.check(calls=1)
    similarity.slope = 7.0
    assert similarity.check(calls=0).slope == 7


def test_other_images_and_other_weights_are_computed_anew() -> None:
    similarity = Counting()
    similarity.check(calls=1)
    similarity.check(calls=1, images=toy_images(7))
    similarity.check(calls=1, images=toy_images(7).subset(np.array([2, 1])))
    similarity.check(calls=1, images=toy_images(7).subset(np.array([1, 2])))
    Counting(weights=1).check(calls=1)
    similarity.check(calls=0)


def test_the_folder_can_be_chosen(tmp_path: Path) -> None:
    similarity = Counting()
    similarity.check(calls=1, folder=tmp_path / "mine")
    similarity.check(calls=0, folder=tmp_path / "mine")
    similarity.check(calls=1)


def test_one_image_is_enough_and_none_is_not() -> None:
    Counting().check(calls=1, images=toy_images(1))
    Counting(pairs=True).check(calls=1, images=toy_images(1))
    with pytest.raises(PrunescopeError, match="toy has no images to compare"):
        likeness(toy_images(0), Counting())


def test_progress_is_passed_on() -> None:
    seen: list[tuple[int, int]] = []
    Counting().check(calls=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(6, 6)]


@pytest.mark.parametrize("name", ["values", "likeness.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "changed", "empty"])
def test_a_damaged_entry_is_made_anew(cache: Path, name: str, damage: str) -> None:
    similarity = Counting()
    similarity.check(calls=1)
    file = only_entry(cache) / name
    content = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    elif damage == "changed":
        content[len(content) // 2 :] = b"?" * (len(content) - len(content) // 2)
        file.write_bytes(content)
    else:
        file.write_bytes(content[: len(content) // 2 if damage == "cut" else 0])
    similarity.check(calls=1)
    similarity.check(calls=0)


def test_a_full_disk_leaves_nothing_behind(cache: Path) -> None:
    images = toy_images(400)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(NoRoomError, match="no room left on the disk while writing to the cache in"):
            likeness(images, Counting())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (cache / "similarities").iterdir() if path.suffix != ".lock"] == []
    Counting().check(calls=1, images=images)


def test_a_cache_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PrunescopeError, match="while writing to the cache in"):
        likeness(toy_images(6), Counting(), folder=tmp_path / "file")


def test_an_error_while_computing_passes_and_leaves_nothing(cache: Path) -> None:
    class Failing(Counting):
        def compute(self, images: ImageSet, progress: Progress) -> Likeness:
            raise PrunescopeError("the weather is bad")

    with pytest.raises(PrunescopeError, match="the weather is bad"):
        likeness(toy_images(6), Failing())
    Counting().check(calls=1)


# Computes twice, the second time for ever, and says so each time in the file that the first argument names.
OTHER_PROCESS = """
import sys, time
sys.path.insert(0, sys.argv[2])
from test_similarity_cache import Counting, likeness, toy_images

class Slow(Counting):
    def compute(self, images, progress):
        with open(sys.argv[1], "a") as log:
            log.write("computing\\n")
        time.sleep(0.5 if len(images) == 6 else 1000)
        return super().compute(images, progress)

likeness(toy_images(6), Slow())
likeness(toy_images(7), Slow())
"""


def wait_for(log: Path, lines: int) -> None:
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text().count("\n") == lines):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_processes_share_the_work_and_one_that_was_killed_leaves_nothing(tmp_path: Path) -> None:
    log, here = tmp_path / "log", str(Path(__file__).parent)
    process = subprocess.Popen([sys.executable, "-c", OTHER_PROCESS, str(log), here])
    try:
        wait_for(log, 1)
        Counting().check(calls=0)  # waits for the other
        wait_for(log, 2)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    Counting().check(calls=1, images=toy_images(7))
    Counting().check(calls=0, images=toy_images(7))


def test_what_a_process_killed_while_writing_left_is_not_read(cache: Path) -> None:
    similarity = Counting()
    similarity.check(calls=1)
    entry = only_entry(cache)
    entry.rename(entry.with_suffix(".part"))
    similarity.check(calls=1)
    assert only_entry(cache) == entry


@pytest.mark.parametrize(
    ("name", "near"),
    [("clasical", "'classical'"), ("lpips-squeze", "'lpips-squeeze'"), ("DreamSim", "'dreamsim'")],
)
def test_a_wrong_name_gets_the_near_ones(name: str, near: str) -> None:
    with pytest.raises(PrunescopeError, match=rf"no similarity '{name}' \(did you mean .*{near}.*known: "):
        open_similarity(name)


def test_a_folder_of_weights_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(
        PrunescopeError, match=r"no folder .*nowhere.* with weights of lpips; or go on without"
    ):
        open_similarity("lpips", tmp_path / "nowhere")
