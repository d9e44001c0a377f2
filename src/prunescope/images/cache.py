"""Images decoded once: their pixels in one file, mapped into memory, found again by what they are."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError
from prunescope.images.decode import Interpolation, resize_short_side
from prunescope.images.kept import kept, place_of, settle
from prunescope.images.source import ImageSet

VERSION = 1  # raise it when decoding or resizing changes what the pixels are

RUN = (
    16  # images that a thread decodes at a time; handing over single small ones costs as much as half of one
)

Progress = Callable[[int, int], None]  # images done, images in all


class Pixels:
    """Decoded images of any size: `pixels[i]` is a read-only view (height, width, 3), uint8 RGB."""

    def __init__(self, flat: NDArray[np.uint8], index: NDArray[np.int64]) -> None:
        self.flat = flat  # (bytes,)
        self.index = index  # (images, 3): height, width, offset of the first byte

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, image: int) -> NDArray[np.uint8]:
        height, width, offset = self.index[image]
        return self.flat[offset : offset + height * width * 3].reshape(height, width, 3)


def cached(
    images: ImageSet,
    resize: int | None,
    interpolation: Interpolation,
    *,
    folder: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Pixels:
    """Return the pixels of all images, decoding them only where that has not been done before.

    A cache appears under its name when it is whole, so an interrupted one is never read; a second process
    waits for the first and shares its work. On opening, the length of the pixel file and a hash of the index
    are checked, and a damaged cache is made anew.

    Args:
        images: what to decode.
        resize: short side in pixels; None leaves the images as they are.
        interpolation: the filter to resize with.
        folder: where the caches are (default: `cache_folder()`).
        workers: threads that decode (default: one per processor).
        progress: called with (images done, images in all).

    Raises:
        PrunescopeError: there are no images, some of them cannot be decoded (all are looked at, the first ten
            are named), or the cache cannot be written.
        NoRoomError: the disk is full.
    """
    if not len(images):
        raise PrunescopeError(f"{images.source} has no images")
    what = {"fingerprint": images.fingerprint, "resize": resize, "filter": interpolation, "version": VERSION}
    place = place_of("pixels", what, folder)

    def write(part: Path) -> None:
        decoded = _decode_all(images, resize, interpolation, workers or os.cpu_count() or 1)
        _write(part, images, decoded, {"source": images.source, **what}, progress)

    return kept(place, _load, write)


def _load(place: Path) -> Pixels | None:
    """Return the cache at `place`, or None where there is none, or a damaged one."""
    try:
        content = (place / "index").read_bytes()
        if _checksum(content) != json.loads((place / "cache.json").read_text())["index"]:
            return None
        index = np.frombuffer(content, dtype="<i8").reshape(-1, 3)
        height, width, offset = (int(number) for number in index[-1])
        if (place / "pixels").stat().st_size != offset + height * width * 3:
            return None
        return Pixels(np.asarray(np.memmap(place / "pixels", mode="r", dtype=np.uint8)), index)
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _decode_all(
    images: ImageSet, resize: int | None, interpolation: Interpolation, workers: int
) -> Iterator[NDArray[np.uint8] | PrunescopeError]:
    """Yield the pixels of each image in order, or what is wrong with it.

    Threads are enough: Pillow decodes and resizes outside Python's lock.
    """

    def decode(image: int) -> NDArray[np.uint8] | PrunescopeError:
        try:
            pixels = images.decode(image)
        except PrunescopeError as error:
            return error
        return pixels if resize is None else resize_short_side(pixels, resize, interpolation)

    ahead: deque[Future[list[NDArray[np.uint8] | PrunescopeError]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for start in range(0, len(images), RUN):
            run = range(start, min(start + RUN, len(images)))
            ahead.append(pool.submit(lambda run: [decode(image) for image in run], run))
            if len(ahead) > 2 * workers:  # bounds the memory, and is enough to keep all threads at work
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _write(
    folder: Path,
    images: ImageSet,
    decoded: Iterator[NDArray[np.uint8] | PrunescopeError],
    about: dict[str, object],
    progress: Progress | None,
) -> None:
    index = _write_pixels(folder / "pixels", len(images), decoded, progress)
    (folder / "index").write_bytes(index)
    (folder / "cache.json").write_text(json.dumps({**about, "index": _checksum(index)}, indent=1))


def _write_pixels(
    path: Path,
    count: int,
    decoded: Iterator[NDArray[np.uint8] | PrunescopeError],
    progress: Progress | None,
) -> bytes:
    """Write the pixels one after the other and return the index, (images, 3) int64, as bytes."""
    rows: list[tuple[int, int, int]] = []
    broken: list[PrunescopeError] = []
    with path.open("wb") as file:
        for done, image in enumerate(decoded, start=1):
            if isinstance(image, PrunescopeError):
                broken.append(image)
            elif not broken:
                rows.append((image.shape[0], image.shape[1], file.tell()))
                file.write(np.ascontiguousarray(image).data)
            if progress is not None:
                progress(done, count)
        if broken:
            raise _all_broken(broken, count)
        settle(file)
    return np.array(rows, dtype="<i8").tobytes()


def _all_broken(broken: list[PrunescopeError], count: int) -> PrunescopeError:
    if len(broken) == 1:
        return broken[0]
    lines = [f"  {error}" for error in broken[:10]]
    if len(broken) > 10:
        lines.append(f"  … and {len(broken) - 10} more")
    return PrunescopeError("\n".join([f"{len(broken)} of {count} images cannot be used:", *lines]))


def _checksum(index: bytes) -> str:
    return hashlib.blake2b(index, digest_size=16).hexdigest()
