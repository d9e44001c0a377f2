"""What a set of annotated images is, whatever its source."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError
from prunescope.images.decode import read_image
from prunescope.images.digests import digest_of, file_digests, fingerprint
from prunescope.images.source import ImageSet
from prunescope.registry import Registry

MOST = 2**16 - 1  # concepts of a set: masks are uint16, and 0 is nothing


@dataclass(frozen=True)
class Concept:
    """A thing that has a name within a category, such as ("object", "car").

    Raises:
        PrunescopeError: the name is empty, or the category cannot be part of a file's name.
    """

    category: str
    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w -]*", self.category):
            raise PrunescopeError(
                f"{self.category!r} cannot be a category of concepts: expected letters, digits, '_', '-' "
                "and spaces, such as 'object'"
            )
        if not self.name.strip():
            raise PrunescopeError(f"a concept of the category {self.category!r} has an empty name")

    def __str__(self) -> str:
        return f"{self.category} {self.name!r}"


@dataclass(frozen=True)
class Annotation:
    """What is known of one image. A category that is in neither mapping is not annotated in it.

    Attributes:
        masks: category to (layers, height, width) uint16: 0 is nothing, c + 1 the concept c of the set. All
            masks of an image have one size and cover the whole image.
        labels: category to the concepts of the whole image.
        size: (height, width) of the image, where its masks have another one; else None.
    """

    masks: Mapping[str, NDArray[np.uint16]] = field(default_factory=dict)
    labels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    size: tuple[int, int] | None = None

    @property
    def categories(self) -> frozenset[str]:
        """The categories that are annotated."""
        return frozenset(self.masks) | frozenset(self.labels)


Annotate = Callable[[int], Annotation]


@dataclass(frozen=True)
class ConceptSet:
    """Annotated images by index. Nothing is decoded until it is asked for.

    Attributes:
        source: how it was named.
        concepts: all that masks and labels may name; their order numbers them.
        images: the images alone, without classes.
        annotation: index of an image to what is known of it.
        fingerprint: hexadecimal hash of all of it: images, masks, labels and names of concepts.
        strata: (images,) int64, groups of like images that a limit draws from in turn.
    """

    source: str
    concepts: tuple[Concept, ...]
    images: ImageSet
    annotation: Annotate
    fingerprint: str
    strata: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.concepts) > MOST:
            raise PrunescopeError(
                f"{self.source} has {len(self.concepts)} concepts, and a set holds {MOST} at most; "
                "leave out some of its sources"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of the concepts, sorted."""
        return tuple(sorted({concept.category for concept in self.concepts}))

    def subset(self, indices: NDArray[np.int64]) -> ConceptSet:
        """Return the images at `indices`, in that order, with the same concepts."""
        annotation = self.annotation
        return replace(
            self,
            images=self.images.subset(indices),
            annotation=lambda i: annotation(int(indices[i])),
            fingerprint=hash_of(self.fingerprint, indices.tolist()),
            strata=self.strata[indices],
        )


OpenConcepts = Callable[[str, Path | None], ConceptSet]
CONCEPT_SOURCES: Registry[OpenConcepts] = Registry("source of concepts")

Compute = Callable[[ConceptSet], ConceptSet]
OpenComputed = Callable[[str, Path | None], Compute]
COMPUTED_CONCEPTS: Registry[OpenComputed] = Registry("kind of computed concepts")
"""Concepts that are computed from the pixels of all images of the other sources."""


def hash_of(*parts: object) -> str:
    """Return the hexadecimal hash of values that JSON can write."""
    return digest_of(json.dumps(parts).encode())


def named(concepts: Sequence[Concept]) -> list[list[str]]:
    """Return the concepts as JSON can write them, for a hash."""
    return [[concept.category, concept.name] for concept in concepts]


def images_below(source: str, folder: Path, names: Sequence[str]) -> ImageSet:
    """Return the image files `names` in `folder`, of no class."""
    labels = np.zeros(len(names), dtype=np.int64)
    return ImageSet(
        source=source,
        classes=(),
        labels=labels,
        names=tuple(names),
        fingerprint=fingerprint((), labels.tolist(), names, file_digests(folder, names)),
        decode=lambda index: read_image(folder / names[index]),
    )


def without_classes(images: ImageSet) -> ImageSet:
    """Return the images as a network looks at them for their concepts: all of no class."""
    return replace(images, classes=(), labels=np.zeros(len(images), dtype=np.int64))


def first_ten(names: Sequence[object]) -> str:
    """Return up to ten names for a message, and how many more there are."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(str(name) for name in names[:10]) + more
