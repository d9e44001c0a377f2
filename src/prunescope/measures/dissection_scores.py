"""The arithmetic of Network Dissection for anyone's maps and masks, and what becomes of concepts between networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from prunescope.errors import PrunescopeError
from prunescope.measures.tally import Counts, Labels, iou
from prunescope.probe.tails import rank

SHARE = 0.005  # of its values that exceed a unit's threshold
_PIXELS = 1 << 22  # of masks that are looked at together


def dissection_scores(
    maps: ArrayLike,
    masks: ArrayLike,
    *,
    categories: Sequence[str] | None = None,
    annotated: ArrayLike | None = None,
    share: float = SHARE,
    thresholds: ArrayLike | None = None,
) -> pd.DataFrame:
    """Compare where units are active with where concepts are, by intersection over union (IoU).

    A unit is lit where its map, upsampled to the masks, exceeds its threshold. Intersections and unions are
    summed over all images; into the union with a concept go only the lit pixels of images that are annotated
    with the concept's category. A constant unit is never lit: its IoU is 0.

    *Source:* Bau et al., Network Dissection: Quantifying Interpretability of Deep Visual Representations, 2017.

    >>> maps = np.random.default_rng(0).random((100, 64, 14, 14), np.float32)  # images, units, height, width
    >>> masks = np.zeros((100, 3, 112, 112), bool)  # images, concepts, height, width
    >>> masks[:50, 0, :56] = True
    >>> table = dissection_scores(maps, masks, categories=["object", "object", "colour"])  # 192 rows

    Args:
        maps: (images, units, h, w) real numbers, an array or a tensor on the CPU.
        masks: (images, concepts, H, W) bool; concepts may overlap.
        categories: (concepts,), the category of each concept (default: all have the same).
        annotated: (images, categories) bool, in the sorted order of the categories' names: whether all that the
            image shows of a category is marked (default: if any concept of the category is marked in it).
        share: threshold T of a unit = the (floor(share * m) + 1)-th largest of its m values, before upsampling.
        thresholds: (units,), to use instead.

    Returns:
        One row a unit and concept: `unit, concept, iou, intersection, union, threshold`; both are numbered from
        0, intersection and union are pixels of the masks.

    Raises:
        PrunescopeError: shapes that do not fit, NaN or infinite values, masks that are not bool, pixels of a
            concept in an image that is not annotated with its category.
    """
    values, marks = _maps(maps), _masks(masks)
    if len(values) != len(marks):
        raise PrunescopeError(
            f"maps of {len(values)} images and masks of {len(marks)}: both must be of the same"
        )
    names, category_of = _categories(categories, marks.shape[1])
    known = _annotated(annotated, marks, names, category_of)
    limits = _thresholds(values, share, thresholds)
    counts, label_pixels = _count(values, marks, known, limits)
    union = counts.union(label_pixels, category_of)
    units, concepts = union.shape
    return pd.DataFrame(
        {
            "unit": np.repeat(np.arange(units), concepts),
            "concept": np.tile(np.arange(concepts), units),
            "iou": iou(counts.intersections, union).ravel(),
            "intersection": counts.intersections.ravel(),
            "union": union.ravel(),
            "threshold": np.repeat(limits, concepts),
        }
    )


def best_concepts(scores: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return each unit's concept of highest IoU, -1 where it has none above 0, and that IoU.

    Args:
        scores: (units, concepts) IoU.

    Returns:
        (units,) concepts, the first where several are equal, and (units,) their IoU.
    """
    highest = scores.max(axis=1)
    return np.where(highest > 0, scores.argmax(axis=1), -1), highest


def persistence(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, float]:
    """Say what becomes of the concepts of a network's units when it is pruned.

    Args:
        before: one row a unit: `layer, unit, category, concept, detector`, as in the table `units`.
        after: the same units of the other network, in any order.

    Returns:
        Numbers of units: `concepts_kept`, detectors of the same concept before and after; `concepts_changed`, of
        another; `concepts_lost`, detectors only before; `concepts_gained`, only after. And `concept_jaccard` of
        the two sets of detected concepts, NaN if no concept is detected before or after.

    Raises:
        PrunescopeError: the tables are not of the same units.
    """
    keys = ["layer", "unit"]
    both = before.merge(after, on=keys, suffixes=("_before", "_after"))
    if not len(both) == len(before) == len(after):
        raise PrunescopeError(
            f"{len(both)} units are in both networks, of {len(before)} before and {len(after)} after: concepts "
            "are followed unit by unit, so compare networks with the same units (masked, not compacted)"
        )
    was, now = both["detector_before"].astype(bool), both["detector_after"].astype(bool)
    same = (both["category_before"] == both["category_after"]) & (
        both["concept_before"] == both["concept_after"]
    )
    return {
        "concepts_kept": float((was & now & same).sum()),
        "concepts_changed": float((was & now & ~same).sum()),
        "concepts_lost": float((was & ~now).sum()),
        "concepts_gained": float((now & ~was).sum()),
        "concept_jaccard": _jaccard(_detected(before), _detected(after)),
    }


def _detected(units: pd.DataFrame) -> set[tuple[str, str]]:
    found = units[units["detector"].astype(bool)]
    return set(zip(found["category"], found["concept"], strict=True))


def _jaccard(one: set[tuple[str, str]], other: set[tuple[str, str]]) -> float:
    return len(one & other) / len(one | other) if one | other else math.nan


def _maps(maps: ArrayLike) -> NDArray[np.floating]:
    values = np.asarray(maps)
    if values.ndim != 4 or not values.size or values.dtype.kind not in "biuf":
        raise PrunescopeError(
            f"maps must be real numbers (images, units, height, width), and {_described(values)} were given"
        )
    finite = np.isfinite(values).all(axis=(0, 2, 3))
    if not finite.all():
        raise PrunescopeError(
            f"the maps of unit {finite.argmin()} hold NaN or infinite values: is the network damaged?"
        )
    return values if values.dtype.char in "efd" else values.astype(np.float64)  # the types that torch knows


def _masks(masks: ArrayLike) -> NDArray[np.bool_]:
    marks = np.asarray(masks)
    if marks.ndim != 4 or not marks.size or marks.dtype != np.bool_:
        raise PrunescopeError(
            f"masks must be bool (images, concepts, height, width), and {_described(marks)} were given; "
            "for numbers, pass masks > 0"
        )
    return marks


def _described(array: NDArray[np.generic]) -> str:
    return f"{array.dtype} of shape {array.shape}"


def _categories(given: Sequence[str] | None, concepts: int) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names of the categories and (concepts,) which of them each concept is of."""
    if given is None:
        return [""], np.zeros(concepts, np.int64)
    if len(given) != concepts:
        raise PrunescopeError(f"{len(given)} categories for {concepts} concepts: give one for each concept")
    names = sorted(set(given))
    return names, np.array([names.index(name) for name in given])


def _annotated(
    given: ArrayLike | None, masks: NDArray[np.bool_], names: list[str], category_of: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which image is annotated with which category, (images, categories)."""
    marked = np.asarray(masks.any(axis=(2, 3)))
    shown = np.stack([marked[:, category_of == c].any(axis=1) for c in range(len(names))], axis=1)
    if given is None:
        return shown
    known = np.asarray(given)
    if known.shape != shown.shape or known.dtype != np.bool_:
        raise PrunescopeError(
            f"annotated must be bool {shown.shape} (images, categories), and {_described(known)} was given"
        )
    if len(wrong := np.argwhere(shown & ~known)):
        image, category = wrong[0]
        raise PrunescopeError(
            f"image {image} is said not to be annotated with category {names[category]!r}, but has pixels of "
            "its concepts: mark it as annotated, or remove them"
        )
    return known


def _thresholds(maps: NDArray[np.floating], share: float, given: ArrayLike | None) -> NDArray[np.floating]:
    """Return (units,) in the type of the maps: those given, or the (floor(share * m) + 1)-th largest of m values."""
    units = maps.shape[1]
    if given is not None:
        limits = np.asarray(given, dtype=maps.dtype)
        if limits.shape != (units,) or not np.isfinite(limits).all():
            raise PrunescopeError(
                f"thresholds must be {units} finite numbers, one a unit; {_described(limits)} were given"
            )
        return limits
    if not 0 <= share < 1:
        raise PrunescopeError(f"share is a fraction, at least 0 and below 1, and {share} was given")
    values = maps[:, 0].size
    place = values - rank(share, values)
    return np.array([np.partition(maps[:, unit].ravel(), place)[place] for unit in range(units)])


def _count(
    maps: NDArray[np.floating],
    masks: NDArray[np.bool_],
    annotated: NDArray[np.bool_],
    thresholds: NDArray[np.floating],
) -> tuple[Counts, NDArray[np.int64]]:
    """Return what the units share with the concepts, and (concepts,) the pixels of the concepts."""
    (images, concepts, height, width), units = masks.shape, maps.shape[1]
    counts, label_pixels = Counts(units, concepts, annotated.shape[1]), np.zeros(concepts, np.int64)
    together = max(1, _PIXELS // (concepts * height * width))
    for some in (slice(first, first + together) for first in range(0, images, together)):
        whole = np.zeros((len(masks[some]), concepts), np.bool_)
        labels = Labels.of(_layers(masks[some]), whole, annotated[some])
        counts.add(torch.tensor(maps[some]), torch.tensor(thresholds), labels)
        label_pixels += labels.label_pixels()
    return counts, label_pixels


def _layers(masks: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Return masks as numbers, (images, layers, H, W): 0 is nothing, c + 1 concept c; as many layers as overlap."""
    depth = masks.cumsum(axis=1, dtype=np.uint16)  # how many of a pixel's concepts come up to this one
    layers = np.zeros((len(masks), depth.max(), *masks.shape[2:]), np.uint16)
    image, concept, row, column = np.nonzero(masks)
    layers[image, depth[masks] - 1, row, column] = concept + 1
    return layers
