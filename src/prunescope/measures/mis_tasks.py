"""Which images make up the tasks of a unit: the ends of the order of its activations."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from prunescope.measures.mis_scores import MisTasks

_BLOCK = 1 << 21  # activations copied at once
_EVERY = 8  # of so many values, one is looked at to guess where the ends begin


def choose_images(
    activations: NDArray[Any], scored: NDArray[np.bool_], order: NDArray[np.int64], ranks: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the images of each task, (units, N, K + 1, 2): at each rank that of the high and that of the low end.

    Args:
        activations: (images, units), finite.
        scored: (units,) those that are wanted; the others get image 0.
        order: (images,) the images in the order that decides ties.
        ranks: (K + 1, N) ranks from either end, counted from 0; column j is task j.
    """
    images, units = activations.shape
    chosen = np.zeros((units, *ranks.T.shape, 2), dtype=np.int64)
    step, depth = max(_BLOCK // images, 1), int(ranks.max()) + 1
    kind = np.result_type(activations, np.float32)
    for first in range(0, units, step):
        block = slice(first, first + step)
        rows = np.ascontiguousarray(activations[order, block].T, dtype=kind)  # (step, images)
        for unit in np.flatnonzero(scored[block]):
            chosen[first + unit] = order[_ends(rows[unit], depth)[ranks.T]]
    return chosen


def _ends(values: NDArray[Any], depth: int) -> NDArray[np.int64]:
    """Return the places of the highest and of the lowest values, (depth, 2), from the outermost inwards.

    Equal values count as ascending with their place.
    """
    highest = len(values) - 1 - _lowest(-values[::-1], depth)
    return np.stack([highest, _lowest(values, depth)], axis=1)


def _lowest(values: NDArray[Any], depth: int) -> NDArray[np.int64]:
    """Return the places of the `depth` lowest values, ascending; of equal ones, the first come first.

    Only they are sorted: a sample says below which value they lie, and some others with them.
    """
    sample, share = values[::_EVERY], depth / _EVERY
    places = _up_to(values, sample, int(share + 4 * sqrt(share)) + 1)
    if len(places) < depth:  # the sample misled us
        places = _up_to(values, values, depth - 1)
    return places[np.argsort(values[places], kind="stable")[:depth]]


def _up_to(values: NDArray[Any], sample: NDArray[Any], rank: int) -> NDArray[np.int64]:
    """Return the places of the values that do not exceed the one of this rank in the sample."""
    rank = min(rank, len(sample) - 1)
    return np.flatnonzero(values <= np.partition(sample, rank)[rank])


def task_rows(units: pd.DataFrame, asked: MisTasks, names: Sequence[str]) -> pd.DataFrame:
    """Return the table `unit_tasks`: the images of each task of the units that have any, one row a task.

    Args:
        units: `layer, unit`, as many rows as `asked` has units.
        asked: the tasks.
        names: (images,) how the images are called.

    Returns:
        `layer, unit, task`, `margin` of the similarity, and names of images: `positive_query`, `negative_query` and the
        references `positive_0`, …, `negative_0`, …; positive are those that activate the unit most.
    """
    scored = ~np.isnan(asked.margins[:, 0])
    images = asked.images[scored]  # (scored, N, K + 1, 2)
    count, tasks, shown, _ = images.shape
    rows = units[scored].loc[lambda kept: kept.index.repeat(tasks)].reset_index(drop=True)
    rows = rows.assign(task=np.tile(np.arange(tasks), count), margin=asked.margins[scored].ravel())
    codes = images.reshape(count * tasks, shown, 2)
    kinds = pd.CategoricalDtype(list(names))
    for side, end in enumerate(("positive", "negative")):
        for place in (shown - 1, *range(shown - 1)):
            column = f"{end}_{'query' if place == shown - 1 else place}"
            rows[column] = pd.Categorical.from_codes(codes[:, place, side], dtype=kinds)
    return rows
