"""Parts of a labelled set that keep the balance of its classes, from a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError
from prunescope.images.source import ImageSet

Indices = NDArray[np.int64]


def split(labels: NDArray[np.int64], fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Divide images into a part to train on and one to validate with, class by class.

    Args:
        labels: (images,) index of the class of each.
        fraction: share of each class that goes to validation, rounded; each part gets at least one image
            of every class that has two, and an only image is trained on.
        seed: what the draw depends on, beside the labels.

    Returns:
        The indices of both parts, ascending.

    Raises:
        PrunescopeError: `fraction` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise PrunescopeError(f"the share to validate with must lie between 0 and 1, and is {fraction}")
    labels = _from_zero(labels)
    sizes = np.bincount(labels)
    held_out = np.clip(np.rint(sizes * fraction), 1, np.maximum(sizes - 1, 0))
    validate = _rank_in_class(labels, np.random.default_rng(seed)) < held_out[labels]
    return np.flatnonzero(~validate), np.flatnonzero(validate)


def stratified_limit(labels: NDArray[np.int64], count: int, seed: int) -> Indices:
    """Choose at most `count` images, classes as even as can be; a larger count adds to a smaller one's.

    Args:
        labels: (images,) index of the class of each; those without one, -1, are a class of their own.
        count: the number of images wanted.
        seed: what the draw depends on, beside the labels.

    Returns:
        The indices of the chosen, ascending.

    Raises:
        PrunescopeError: `count` is less than one.
    """
    if count < 1:
        raise PrunescopeError(f"the number of images must be at least 1, and is {count}")
    labels = _from_zero(labels)
    rng = np.random.default_rng(seed)
    rank = _rank_in_class(labels, rng)
    turn = rng.permutation(labels.max(initial=0) + 1)[labels]  # which class comes first in each round
    return np.sort(np.lexsort((turn, rank))[:count])


def limited(images: ImageSet, limit: int | None, seed: int) -> ImageSet:
    """Return at most `limit` images, classes as even as can be; all of them without a limit."""
    if limit is None or limit >= len(images):
        return images
    return images.subset(stratified_limit(images.labels, limit, seed))


def _from_zero(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Make a class of its own of images without a label, -1."""
    return labels - min(int(labels.min(initial=0)), 0)


def _rank_in_class(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the place of each image in a random order of its class, (images,), from 0."""
    order = np.lexsort((rng.random(len(labels)), labels))
    starts = np.cumsum(np.bincount(labels)) - np.bincount(labels)
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels)) - starts[labels[order]]
    return rank
