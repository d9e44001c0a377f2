"""Images, whatever their source: `folder:PATH`, `flat:PATH`, `unlabelled:PATH`, `scenes`, `torchvision:CIFAR10`."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.registry import Registry

Role = Literal["train", "test"]
Decode = Callable[[int], NDArray[np.uint8]]
Masks = Callable[[int], Mapping[str, NDArray[np.integer]]]
Attributes = Callable[[int], Mapping[str, str | float]]


@dataclass(frozen=True)
class ImageSet:
    """Images by index. Nothing is decoded until it is asked for.

    Attributes:
        classes: the names of the classes; their order is the order of the network's outputs. Empty if not known.
        labels: (images,) int64, index into `classes`; without classes they mean nothing, and are -1 or 0.
        names: the identity of each image, stable across machines (for a folder: its relative path).
        fingerprint: hexadecimal hash of all that the images are: contents, names, labels, classes.
        decode: index to pixels (height, width, 3), uint8 RGB.
        masks: index to concept masks, where the source knows them.
        attributes: index to what else the source knows of an image, by name, the same names for all of them: a
            text for a kind, a number for an amount. The fingerprint must change with them.
    """

    source: str
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    fingerprint: str
    decode: Decode
    masks: Masks | None = None
    attributes: Attributes | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> bool:
        """Whether the classes of the images are known."""
        return bool(self.classes)

    def subset(self, indices: NDArray[np.int64]) -> ImageSet:
        """Return the images at `indices`, in that order, with a fingerprint of their own."""
        decode, masks, attributes = self.decode, self.masks, self.attributes
        digest = hashlib.blake2b(self.fingerprint.encode() + indices.astype("<i8").tobytes(), digest_size=16)
        return replace(
            self,
            labels=self.labels[indices],
            names=tuple(self.names[i] for i in indices),
            fingerprint=digest.hexdigest(),
            decode=lambda i: decode(int(indices[i])),
            masks=None if masks is None else lambda i: masks(int(indices[i])),
            attributes=None if attributes is None else lambda i: attributes(int(indices[i])),
        )


OpenSource = Callable[[str, Role, Path | None], ImageSet]
SOURCES: Registry[OpenSource] = Registry("image source")

# Imported only when asked for, since torchvision is slow to import and folders do without it.
_HOMES = {
    "folder": "prunescope.images.folder",
    "flat": "prunescope.images.folder",
    "unlabelled": "prunescope.images.folder",
    "scenes": "prunescope.images.scenes",
    "torchvision": "prunescope.images.torchvision_sets",
}


def open_images(source: str, role: Role = "test", data: Path | None = None) -> ImageSet:
    """Open images.

    Args:
        source: `scheme:argument`, for example `folder:imagenette/train`, `scenes`, `torchvision:CIFAR10`.
        role: which part is wanted, for sources that have both ("train" or "test").
        data: the folder that relative paths start from (default: the current one).

    Raises:
        PrunescopeError: the scheme is unknown, or the source cannot be read.
    """
    scheme, _, argument = source.partition(":")
    if scheme in _HOMES:
        importlib.import_module(_HOMES[scheme])
    if not is_scheme(scheme):
        raise PrunescopeError(_unknown(source, scheme))
    return SOURCES[scheme](argument, role, data)


def is_scheme(name: str) -> bool:
    """Say whether `name` is what comes before the colon of a source of images."""
    return name in _HOMES or name in SOURCES


def require_labels(images: ImageSet, what: str) -> None:
    """Refuse images without labels.

    Args:
        what: needs the labels; begins a sentence.

    Raises:
        PrunescopeError: they have none.
    """
    if not images.labelled:
        raise PrunescopeError(
            f"{what} needs images whose classes are known, and {images.source} has no labels: give 'folder:PATH' with "
            "one subfolder a class, or 'flat:PATH' with files named <class>_<rest>"
        )


def _unknown(source: str, scheme: str) -> str:
    if "/" in source or Path(source).exists():
        return f"images are given as 'scheme:argument'; did you mean 'folder:{source}'?"
    known = sorted({*_HOMES, *SOURCES})
    return f"no image source {scheme!r}{did_you_mean(scheme, known)}; known: {', '.join(known)}"


def same_classes(train: ImageSet, test: ImageSet) -> None:
    """Check that both sets number the same classes in the same way.

    Raises:
        PrunescopeError: a class is in only one of them, or their order differs.
    """
    if train.classes == test.classes:
        return
    found = [
        f"only the {part} images ({one.source}) have {_some(names)}"
        for part, one, other in (("training", train, test), ("test", test, train))
        if (names := [name for name in one.classes if name not in other.classes])
    ]
    raise PrunescopeError(
        f"training and test images need the same classes: {'; '.join(found) or 'their order differs'}"
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(repr(name) for name in names[:10]) + more
