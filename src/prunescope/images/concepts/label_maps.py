"""The labels of all images on the grid of a network's input, in one file that is mapped into memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError
from prunescope.images.concepts.concept_set import Annotation, Concept, ConceptSet
from prunescope.images.decode import resized_size
from prunescope.images.digests import digest_of
from prunescope.images.kept import kept, place_of, settle

if TYPE_CHECKING:  # it imports torch, which is not needed here
    from prunescope.networks.preprocess import Preprocess

VERSION = 1  # raise it when the same annotations give other maps
LARGEST = 112  # side of the maps by default, in pixels
CELL = "<u2"  # of the file, on every machine
TOGETHER = 64  # images whose masks are read ahead, in threads

Progress = Callable[[int, int], None]  # images done, images in all
Sampled = NDArray[np.uint16] | PrunescopeError


@dataclass(frozen=True)
class LabelMaps:
    """What is known of each pixel of each image, as the network sees it. All arrays are read-only.

    Attributes:
        pixels: (images, layers, side, side) uint16: 0 is nothing, c + 1 concept c. A pixel that has several
            concepts holds each once, in as many layers, without gaps.
        image_labels: (images, concepts): the concepts of whole images.
        annotated: (images, categories): whether the image is annotated with the category.
        concepts: all concepts, by number.
        categories: their categories, sorted.
        category_of: (concepts,) index into `categories`.
    """

    pixels: NDArray[np.uint16]
    image_labels: NDArray[np.bool_]
    annotated: NDArray[np.bool_]
    concepts: tuple[Concept, ...]
    categories: tuple[str, ...]
    category_of: NDArray[np.int64]


def label_maps(
    concepts: ConceptSet,
    preprocess: Preprocess,
    side: int | None = None,
    folder: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> LabelMaps:
    """Return the labels on a grid over exactly the centre crop that the network sees, made once and kept.

    Each cell takes the label of the mask's pixel at its centre: masks are sampled once, in their own size.

    Args:
        concepts: annotated images.
        preprocess: how the network's images are resized and cropped.
        side: cells along one side (default: 112, or the crop where that is smaller).
        folder: where the caches are (default: `cache_folder()`).
        progress: called with (images done, images in all).

    Raises:
        PrunescopeError: an image has no annotation, or one that cannot be used (all are looked at, the first
            ten are named), or the cache cannot be written.
        NoRoomError: the disk is full.
    """
    side = min(LARGEST, preprocess.crop) if side is None else side
    if side < 1:
        raise PrunescopeError(f"the side of label maps is at least 1 pixel, and {side} was given")
    what = {
        "fingerprint": concepts.fingerprint,
        "resize": preprocess.resize,
        "crop": preprocess.crop,
        "side": side,
        "version": VERSION,
    }
    return kept(
        place_of("labels", what, folder),
        lambda place: _load(place, concepts, side),
        lambda part: _write(part, concepts, preprocess, side, progress),
    )


def sample_points(
    size: tuple[int, int], mask: tuple[int, int], preprocess: Preprocess, side: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which row and which column of a mask lies at the centre of each cell, -1 outside the image.

    Args:
        size: (height, width) of the image.
        mask: (height, width) of its masks, which cover the same view.
        preprocess: how the image is resized and cropped.
        side: cells along one side of the crop.

    Returns:
        (side,) rows and (side,) columns.
    """
    resized = resized_size(size, preprocess.resize)
    rows, columns = (
        _along(length, own, preprocess.crop, side) for length, own in zip(resized, mask, strict=True)
    )
    return rows, columns


def _along(length: int, mask: int, crop: int, side: int) -> NDArray[np.int64]:
    """Return, for one axis, the mask's pixel at each cell of the crop that `augment.centre_crops` cuts out."""
    start = max(round((length - crop) / 2), 0) - max((crop - length) // 2, 0)
    points = (np.arange(side) + 0.5) * crop / side + start  # in pixels of the resized image
    return np.where((points >= 0) & (points < length), points * mask / length, -1).astype(np.int64)


def _sampled(found: Annotation, preprocess: Preprocess, side: int) -> NDArray[np.uint16]:
    """Return the labels of one image, (layers, side, side): each once a pixel, without gaps or empty layers."""
    if not found.masks:
        return np.zeros((0, side, side), dtype=np.uint16)
    layers = np.concatenate(list(found.masks.values()))  # (layers, height, width)
    size = (layers.shape[1], layers.shape[2])
    rows, columns = sample_points(found.size or size, size, preprocess, side)
    seen = layers[:, rows[:, None], columns] * ((rows >= 0)[:, None] & (columns >= 0))
    seen[::-1].sort(axis=0)  # the largest number of each pixel first, nothing last
    seen[1:][seen[1:] == seen[:-1]] = 0
    seen[::-1].sort(axis=0)
    return seen[seen.any(axis=(1, 2))]


def _write(folder: Path, concepts: ConceptSet, preprocess: Preprocess, side: int, progress: Progress) -> None:
    labels = np.zeros((len(concepts), len(concepts.concepts)), dtype=np.bool_)
    annotated = np.zeros((len(concepts), len(concepts.categories)), dtype=np.bool_)
    sampled = _all_sampled(concepts, preprocess, side, labels, annotated)
    layers = _write_pixels(folder / "pixels", len(concepts), side, sampled, progress)
    content = labels.tobytes() + annotated.tobytes()
    (folder / "labels").write_bytes(content)
    about = {"source": concepts.source, "layers": layers, "labels": digest_of(content)}
    (folder / "maps.json").write_text(json.dumps(about, indent=1))


def _all_sampled(
    concepts: ConceptSet,
    preprocess: Preprocess,
    side: int,
    labels: NDArray[np.bool_],
    annotated: NDArray[np.bool_],
) -> Iterator[Sampled]:
    """Yield the labels of each image in order, or what is wrong with it; fill in what is known of it whole."""

    def sample(image: int) -> Sampled:
        try:
            found = concepts.annotation(image)
            if not found.categories:
                raise PrunescopeError(f"{concepts.images.names[image]} has no annotation; leave it out")
        except PrunescopeError as error:
            return error
        labels[image, [c for named in found.labels.values() for c in named]] = True
        annotated[image] = [category in found.categories for category in concepts.categories]
        return _sampled(found, preprocess, side)

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(concepts), TOGETHER):
            yield from pool.map(sample, range(start, min(start + TOGETHER, len(concepts))))


def _write_pixels(path: Path, images: int, side: int, sampled: Iterator[Sampled], progress: Progress) -> int:
    """Write maps layer by layer, (layers, images, side, side), and return how many layers there are.

    How deep labels overlap is known only in the end, and in this order the file grows by whole layers.
    """
    layers, cells = 1, side * side * np.dtype(CELL).itemsize
    broken: list[PrunescopeError] = []
    with path.open("wb") as file:
        for image, seen in enumerate(sampled):
            if isinstance(seen, PrunescopeError):
                broken.append(seen)
            else:
                layers = max(layers, len(seen))
                for layer, labels in enumerate(seen):
                    file.seek((layer * images + image) * cells)
                    file.write(np.ascontiguousarray(labels, dtype=CELL).data)
            progress(image + 1, images)
        if broken:
            raise _all_broken(broken, images)
        file.truncate(layers * images * cells)  # whatever was not written is nothing
        settle(file)
    return layers


def _all_broken(broken: list[PrunescopeError], images: int) -> PrunescopeError:
    lines = [f"  {error}" for error in broken[:10]]
    if len(broken) > 10:
        lines.append(f"  … and {len(broken) - 10} more")
    return PrunescopeError("\n".join([f"{len(broken)} of {images} annotations cannot be used:", *lines]))


def _load(place: Path, concepts: ConceptSet, side: int) -> LabelMaps | None:
    """Return the maps at `place`, or None where there are none, or damaged ones."""
    images, count, categories = len(concepts), len(concepts.concepts), concepts.categories
    try:
        about = json.loads((place / "maps.json").read_text())
        content = (place / "labels").read_bytes()
        if digest_of(content) != about["labels"]:
            return None
        shape = (about["layers"], images, side, side)
        if (place / "pixels").stat().st_size != np.prod(shape) * np.dtype(CELL).itemsize:
            return None
        pixels = np.memmap(place / "pixels", mode="r", dtype=CELL, shape=shape)
        known = np.frombuffer(content, dtype=np.bool_)
        return LabelMaps(
            pixels=np.asarray(pixels).transpose(1, 0, 2, 3),
            image_labels=known[: images * count].reshape(images, count),
            annotated=known[images * count :].reshape(images, len(categories)),
            concepts=concepts.concepts,
            categories=categories,
            category_of=np.array([categories.index(c.category) for c in concepts.concepts], dtype=np.int64),
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None
