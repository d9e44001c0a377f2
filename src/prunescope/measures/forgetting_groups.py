"""Whom pruned networks forget: false positives and false negatives by group of images, dense against pruned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.images.attributes import Grouping
from prunescope.measures.forgetting_pairs import Pairs, Said
from prunescope.measures.intervals import mean_intervals
from prunescope.measures.significance import half_width

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class _Rates(NamedTuple):
    """Rates of one kind, (seeds, groups, classes + 1): the last is the mean over the classes that have one."""

    dense: Floats
    pruned: Floats
    half: Floats | None  # (groups, classes + 1) of the interval over images, for one seed


def forgotten_groups(pairs: Pairs, grouping: Grouping) -> pd.DataFrame:
    """Return the rates of false positives and false negatives in each group, dense and pruned.

    Of a class within a group, `fnr` is the share of its images that are not called so, and `fpr` the share of the
    group's other images that are.

    Returns:
        `attribute, group, class` ("" for the mean over classes), `n` (images of that class in the group),
        `fpr_dense, fpr_pruned, fpr_change` with `fpr_low, fpr_high` of the change, `fnr_…` likewise, means over
        seeds; `over`: what the intervals stand on, "seeds" (Student's t) or, for one seed, "images" (Bonett and
        Price's for matched proportions); `seeds`. A class that a group has no image of has no row.

    *Source:* Hooker et al., Characterising Bias in Compressed Models, 2020, section 2.2, for two classes; for more,
    each class is set against all others.
    """
    counts = _Counts(pairs, grouping)
    rates = {"fpr": counts.false_positives(), "fnr": counts.false_negatives()}
    columns: dict[str, Floats] = {}
    for name, found in rates.items():
        change = found.pruned - found.dense  # (seeds, groups, classes + 1)
        low, high = _interval(change, found.half)
        columns[f"{name}_dense"], columns[f"{name}_pruned"] = found.dense.mean(0), found.pruned.mean(0)
        columns |= {f"{name}_change": change.mean(0), f"{name}_low": low, f"{name}_high": high}
    images = np.concatenate([counts.images, counts.images.sum(1, keepdims=True)], axis=1)
    group, place = np.nonzero(np.roll(images, 1, axis=1))
    number = place - 1  # the mean over classes first; -1 is the last column
    names = np.array([*pairs.classes, ""], dtype=object)
    table = {
        "attribute": grouping.attribute,
        "group": np.array(grouping.groups, dtype=object)[group],
        "class": names[number],
        "n": images[group, number],
    }
    table |= {name: values[group, number] for name, values in columns.items()}
    return pd.DataFrame(table | {"over": "seeds" if len(pairs) > 1 else "images", "seeds": len(pairs)})


def _interval(change: Floats, half: Floats | None) -> tuple[Floats, Floats]:
    if half is not None:
        return change[0] - half, change[0] + half
    low, high = mean_intervals(change.reshape(len(change), -1))
    return low.reshape(change.shape[1:]), high.reshape(change.shape[1:])


class _Counts:
    """Counts images by group and class."""

    def __init__(self, pairs: Pairs, grouping: Grouping) -> None:
        self.pairs, self.codes = pairs, grouping.codes
        self.shape = len(grouping.groups), len(pairs.classes)
        self.images = self._count(pairs.labels)  # (groups, classes)
        self.others = self.images.sum(1, keepdims=True) - self.images

    def _count(self, classes: Counts, among: NDArray[np.bool_] | None = None) -> Counts:
        """Count images by group and by the class given to them, (groups, classes), or only those `among`."""
        cells = self.codes * self.shape[1] + classes
        cells = cells if among is None else cells[among]
        return np.bincount(cells, minlength=self.shape[0] * self.shape[1]).reshape(self.shape)

    def false_negatives(self) -> _Rates:
        labels = self.pairs.labels

        def missed(said: Said) -> Floats:
            return np.stack([self._count(labels, ~right) for right in said.right])

        worse, better = (self._count(labels, sign * self.pairs.changes[0] > 0) for sign in (-1, 1))
        return self._rates(missed(self.pairs.dense), missed(self.pairs.pruned), worse, better, self.images)

    def false_positives(self) -> _Rates:
        dense, pruned = self.pairs.dense, self.pairs.pruned

        def wrongly(said: Said) -> Floats:
            return np.stack(
                [
                    self._count(called, ~right)
                    for called, right in zip(said.predictions, said.right, strict=True)
                ]
            )

        moved = dense.predictions[0] != pruned.predictions[0]
        worse = self._count(pruned.predictions[0], moved & ~pruned.right[0])
        better = self._count(dense.predictions[0], moved & ~dense.right[0])
        return self._rates(wrongly(dense), wrongly(pruned), worse, better, self.others)

    def _rates(self, dense: Floats, pruned: Floats, worse: Counts, better: Counts, images: Counts) -> _Rates:
        """Return rates among `images`, from counts; what went worse and better is of the first seed."""
        known = np.where(images > 0, images, np.nan)
        half = None if len(self.pairs) > 1 else self._half(worse, better, known)
        return _Rates(_with_mean(dense / known), _with_mean(pruned / known), half)

    def _half(self, worse: Counts, better: Counts, images: Floats) -> Floats:
        """Return half the width of the interval of a change over images, of each class and of their mean.

        The mean over classes is a mean over the group's images in which each counts by how rare its class is.
        """
        own = half_width(worse + better, worse - better, images)
        members = self.images.sum(1)  # (groups,)
        weight = members[:, None] / (~np.isnan(images)).sum(1, keepdims=True).clip(1) / images  # of an image
        squares = np.nansum((worse + better) * weight**2, axis=1)
        total = np.nansum((worse - better) * weight, axis=1)
        mean = np.nansum(weight * images, axis=1) / members.clip(1)  # weight of an image, on average
        whole = half_width(squares, total, np.where(members > 0, members, np.nan), mean)
        return np.concatenate([own, whole[:, None]], axis=1)


def _with_mean(rates: Floats) -> Floats:
    """Append the mean over the classes that have a rate: (..., classes) to (..., classes + 1)."""
    known = (~np.isnan(rates)).sum(-1)
    mean = np.nansum(rates, axis=-1) / np.where(known > 0, known, np.nan)
    return np.concatenate([rates, mean[..., None]], axis=-1)
