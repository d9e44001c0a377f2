"""How alike images look: similarities by name, each computed once for a set of images and then kept.

A similarity depends on the images alone, so that one computation serves every network of every study. It
states its own geometry (which pixels it sees), whatever the networks expect.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError
from prunescope.images.augment import Images, centre_crops
from prunescope.images.cache import Progress, cached
from prunescope.images.kept import kept, place_of, settle
from prunescope.images.source import ImageSet
from prunescope.networks.network import Device
from prunescope.registry import Registry

SLOPE = 16.0  # a convention: margins of a few tenths then spread the scores over (0, 1)
WITHOUT_WEIGHTS = "or go on without weights: similarity: classical"

_HOMES = ("classical", "dreamsim", "lpips")  # imported when a similarity is opened: torchvision is slow


@dataclass(frozen=True)
class Likeness:
    """How alike the images of a set are, as an embedding of each or as a number for each pair.

    Attributes:
        embeddings: (images, d) float32, compared by `metric`; or None.
        similarities: (images, images) float32, larger where more alike; or None.
        metric: how embeddings are compared; for `similarities`, what they are.
        slope: of the sigmoid that turns a margin of this similarity into a score, by default.
    """

    embeddings: NDArray[np.float32] | None
    similarities: NDArray[np.float32] | None
    metric: Literal["cosine", "euclidean"]
    slope: float = SLOPE


class Similarity(ABC):
    """One way to say how alike images look.

    Attributes:
        name: as users write it.
        version: raised when the code changes what is computed.
        slope: what its `Likeness` carries.
    """

    name: str
    version: int
    slope: float = SLOPE

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return all that decides the numbers beside the images, as JSON, with digests of weights."""

    @abstractmethod
    def compute(self, images: ImageSet, progress: Progress) -> Likeness:
        """Compare the images; `progress` is called with (images done, images in all)."""


Open = Callable[[Path | None, Device], Similarity]
SIMILARITIES: Registry[Open] = Registry("similarity")


def open_similarity(name: str, weights: Path | None = None, device: Device = "cpu") -> Similarity:
    """Return a similarity, with its weights found, so that what is missing is said at once.

    Args:
        name: `classical`, `dreamsim`, `lpips` (which is `lpips-squeeze`), `lpips-alex` or `lpips-vgg`.
        weights: a local folder with the weights; None: published ones, downloaded where they are missing.
        device: where networks compare images; `classical` needs none.

    Raises:
        PrunescopeError: an unknown name, or weights that are missing, damaged or of another network.
    """
    for home in _HOMES:
        importlib.import_module(f"prunescope.probe.{home}")
    if weights is not None and not weights.is_dir():
        raise PrunescopeError(f"no folder {str(weights)!r} with weights of {name}; {WITHOUT_WEIGHTS}")
    return SIMILARITIES[name](weights, device)


def likeness(
    images: ImageSet,
    similarity: Similarity,
    *,
    folder: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Likeness:
    """Return how alike the images are, computing it only where that has not been done before.

    What is kept appears under its name when it is whole, a second process waits for the first and shares its
    work, and damage is noticed by a digest of the numbers and mended by computing them anew.

    Args:
        images: what to compare.
        similarity: how.
        folder: where results are kept (default: `cache_folder()`).
        progress: called with (images done, images in all).

    Returns:
        The likeness; its numbers are mapped into memory and cannot be written.

    Raises:
        PrunescopeError: there are no images, some cannot be decoded, or the cache cannot be written.
        NoRoomError: the disk is full.
    """
    if not len(images):
        raise PrunescopeError(f"{images.source} has no images to compare")
    what = {"fingerprint": images.fingerprint, "similarity": similarity.identity()}
    return kept(
        place_of("similarities", what, folder),
        lambda place: _load(place, similarity.slope),
        lambda part: _write(part, similarity.compute(images, progress), {"source": images.source, **what}),
    )


def squares(images: ImageSet, side: int) -> Images:
    """Return the middle of each image, (images, side, side, 3) uint8, with a short side of `side` pixels."""
    pixels = cached(images, side, "bilinear")
    return centre_crops([pixels[image] for image in range(len(pixels))], side)


def _load(place: Path, slope: float) -> Likeness | None:
    """Return what is kept at `place`, or None where there is nothing, or something damaged."""
    try:
        about = json.loads((place / "likeness.json").read_text())
        with (place / "values").open("rb") as file:
            if hashlib.file_digest(file, "blake2b").hexdigest() != about["digest"]:
                return None
        shape = tuple(about["shape"])
        values = np.asarray(np.memmap(place / "values", dtype="<f4", mode="r", shape=shape))
        both = {"embeddings": None, "similarities": None, about["kind"]: values}
        return Likeness(**both, metric=about["metric"], slope=slope)
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _write(folder: Path, alike: Likeness, about: dict[str, Any]) -> None:
    kind = "similarities" if alike.embeddings is None else "embeddings"
    values = np.ascontiguousarray(getattr(alike, kind), dtype="<f4")
    with (folder / "values").open("wb") as file:
        file.write(values.data)
        settle(file)
    about |= {"metric": alike.metric, "kind": kind, "shape": values.shape}
    about["digest"] = hashlib.blake2b(values.data).hexdigest()
    (folder / "likeness.json").write_text(json.dumps(about, indent=1))
