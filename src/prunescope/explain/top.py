"""The positions of a map that speak most for the class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError
from prunescope.explain.maps import Maps, Masks
from prunescope.explain.order import ascending
from prunescope.probe.tie_keys import tie_keys

SHARE = 0.1


def ranking(maps: Maps, names: Sequence[str], seed: int = 0) -> NDArray[np.int64]:
    """Return the positions of each map (n, h, w) from the highest value to the lowest, (n, h * w), row by row.

    Equal values come in a random order that the image's name and the seed decide. In order of index, the parts
    where a map is 0 (for Grad-CAM, most of it) would always be filled from the upper left corner.
    """
    order = np.empty((len(maps), maps.shape[1] * maps.shape[2]), np.int64)
    for row, values, ties in zip(order, maps, _generators(names, seed), strict=True):
        shuffled = ties.permutation(values.size)
        row[:] = shuffled[ascending(-values.ravel()[shuffled])]
    return order


def top(maps: Maps, names: Sequence[str], share: float = SHARE, seed: int = 0) -> Masks:
    """Return which positions of each map are its highest, (n, h, w): ceil(share * h * w) of them, no matter which sign.

    They are the first of `ranking`, found without ordering all of them.

    Args:
        maps: (n, h, w).
        names: (n,), the identity of each image; it decides among equal values, with `seed`.
        share: of the positions, above 0 and at most 1.

    Raises:
        PrunescopeError: `share` is no such fraction.
    """
    if not 0 < share <= 1:
        raise PrunescopeError(f"share is a fraction above 0 and at most 1, and {share} was given")
    highest = np.zeros(maps.shape, np.bool_)
    for mask, values, ties in zip(highest, maps, _generators(names, seed), strict=True):
        mask[:] = _highest(values.ravel(), places(share, values.size), ties).reshape(values.shape)
    return highest


def places(share: float, positions: int) -> int:
    """Return ceil(share * positions), where 0.1 of 50 is 5 although 0.1 is a little more than a tenth."""
    return math.ceil(round(share * positions, 6))


def _highest(values: NDArray[np.float32], count: int, ties: np.random.Generator) -> NDArray[np.bool_]:
    """Return which of `values`, (positions,), are the `count` highest."""
    lowest = np.partition(values, values.size - count)[values.size - count]
    chosen: NDArray[np.bool_] = values > lowest
    equal, wanted = values == lowest, count - int(chosen.sum())
    if equal.sum() > wanted:
        shuffled = ties.permutation(values.size)
        chosen[shuffled[equal[shuffled]][:wanted]] = True
    else:
        chosen |= equal
    return chosen


def _generators(names: Sequence[str], seed: int) -> list[np.random.Generator]:
    return [np.random.default_rng(int(key)) for key in tie_keys(names, seed)]
