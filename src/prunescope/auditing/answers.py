"""What two networks answer to the same images: where they differ, and by how much the one is worse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional

from prunescope.auditing.found import SIDES, Found, Intervals, Metrics, of_shares, split
from prunescope.auditing.suspicion import no_better_than_chance
from prunescope.errors import PrunescopeError
from prunescope.images.source import ImageSet
from prunescope.measures.accuracy import AccuracySettings, accuracy_tables, said_of
from prunescope.measures.forgetting_classes import LOST, WON, forgotten_classes
from prunescope.measures.forgetting_pairs import pairs_of
from prunescope.measures.intervals import mean_intervals, wilson_share
from prunescope.measures.measure import Tables
from prunescope.measures.significance import half_width, mcnemar

EQUAL = 1e-4  # of the largest logit: what float32, added in another order, makes two logits differ by
FEWEST = 10  # images of a class, for its accuracy to be one that counts
_BLOCK = 1 << 22  # probabilities looked at together

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What two networks answer.

    Attributes:
        table: one row an image: `image, label` (-1: none), `dense, pruned` (index of the class that each names),
            `dense_confidence, pruned_confidence` (the probability of that), `pruned_of_dense` (the probability that
            the pruned network gives to the dense one's class), `divergence` (Jensen and Shannon's, of the two
            distributions, in bits: 0 to 1), `changed` (they name different classes), `lost` (the pruned network is
            newly wrong) and `gained` (newly right), both NA without a label.
        tables: `scores`, `classes` and `images` as the measure `accuracy` makes them, of the networks "dense" and
            "pruned"; without labels only `images`.
        metrics: name to value, None where it is not defined.
        intervals: name to the two ends of the 95 % interval, for metrics that have one.
        warnings: sentences on what makes the answers suspect.
    """

    table: pd.DataFrame
    tables: Tables
    metrics: Metrics
    intervals: Intervals
    warnings: list[str]


def compare_answers(
    dense: torch.Tensor,
    pruned: torch.Tensor,
    test: ImageSet,
    settings: AccuracySettings | None = None,
) -> Answers:
    """Compare what two networks put out for the same images.

    Intervals are over images: of changes, those of the paired differences (Bonett and Price's where an image is right
    or wrong, so that they have a width where none changes; else Student's t, from 30 images the bootstrap); of
    agreement and of what is changed, lost or gained, Wilson's. The calibration error and its rise have none: the
    estimate is too high for a network that is well calibrated, and the bootstrap does not notice.
    `overconfidence_rise` has one.

    Args:
        dense: (images, classes) logits of the classes that are compared.
        pruned: likewise, the same classes in the same order.
        test: the images, labelled by these classes, or without labels (-1).
        settings: of the calibration error.

    Raises:
        PrunescopeError: a logit is NaN or infinite, or shapes and labels do not fit.
    """
    _check(dense, pruned, test)
    logits = dict(zip(SIDES, (dense.float(), pruned.float()), strict=True))
    tables = _tables(logits, test, (settings or AccuracySettings()).bins)
    table = _table(logits, tables["images"], test)
    found = {**_of_both(table), **_of_logits(logits)}
    warnings: list[str] = []
    if test.labelled:
        found |= {
            **_accuracies(tables["scores"]),
            **_changes(table, logits),
            **_of_classes(tables["images"], test),
        }
        warnings = no_better_than_chance(table, tables["scores"])
    return Answers(table, tables, *split(found), warnings)


def check_finite(logits: torch.Tensor, side: str, test: ImageSet) -> None:
    """Refuse logits that are no numbers.

    Raises:
        PrunescopeError: one is NaN or infinite.
    """
    if not torch.isfinite(logits).all():
        image = test.names[int((~torch.isfinite(logits)).any(1).int().argmax())]
        raise PrunescopeError(
            f"the {side} network's logits hold NaN or infinite values, first for {image}: its weights are damaged, "
            "or too large for the arithmetic"
        )


def _check(dense: torch.Tensor, pruned: torch.Tensor, test: ImageSet) -> None:
    shapes = [tuple(logits.shape) for logits in (dense, pruned)]
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][0] != len(test) or not len(test):
        raise PrunescopeError(
            f"answers of two networks to {len(test)} images are needed, (images, classes) each, of the same classes, "
            f"and the dense one's are {shapes[0]}, the pruned one's {shapes[1]}"
        )
    classes = shapes[0][1]
    if classes < 2:
        raise PrunescopeError(
            f"networks are compared by what they choose among classes, and they have {classes}"
        )
    for name, logits in zip(SIDES, (dense, pruned), strict=True):
        check_finite(logits, name, test)
    low, high = int(test.labels.min()), int(test.labels.max())
    if test.labelled and (low < 0 or high >= min(classes, len(test.classes))):
        raise PrunescopeError(
            f"labels go from {low} to {high}, and {classes} classes are compared, {len(test.classes)} named: expected "
            "indices of these, from 0"
        )


def _names(test: ImageSet, classes: int) -> list[str]:
    """Return the names of the classes; what has none is called by its number."""
    return [*test.classes, *map(str, range(len(test.classes), classes))]


def _tables(logits: dict[str, torch.Tensor], test: ImageSet, bins: int) -> Tables:
    labels = torch.tensor(test.labels)
    parts: dict[str, list[pd.DataFrame]] = {}
    for name, own in logits.items():
        if test.labelled:
            made = accuracy_tables(own, labels, test.names, _names(test, own.shape[1]), bins)
            made["scores"]["measure"] = "accuracy"
        else:
            made = {"images": said_of(own, labels, test.names)}
        for table, rows in made.items():
            rows.insert(0, "network", name)
            parts.setdefault(table, []).append(rows)
    return {table: pd.concat(rows, ignore_index=True) for table, rows in parts.items()}


def _table(logits: dict[str, torch.Tensor], images: pd.DataFrame, test: ImageSet) -> pd.DataFrame:
    said = {name: own.reset_index(drop=True) for name, own in images.groupby("network")}
    called = {name: said[name]["prediction"].to_numpy() for name in SIDES}
    other, divergence = _of_distributions(logits, called["dense"])
    right = {name: called[name] == test.labels for name in SIDES}
    known = test.labelled

    def where_known(flags: NDArray[np.bool_]) -> pd.api.extensions.ExtensionArray:
        return pd.array(flags if known else [pd.NA] * len(test), dtype="boolean")

    return pd.DataFrame(
        {
            "image": list(test.names),
            "label": test.labels,
            **called,
            **{f"{name}_confidence": said[name]["confidence"] for name in SIDES},
            "pruned_of_dense": other,
            "divergence": divergence,
            "changed": called["dense"] != called["pruned"],
            "lost": where_known(right["dense"] & ~right["pruned"]),
            "gained": where_known(~right["dense"] & right["pruned"]),
        }
    )


def _of_distributions(logits: dict[str, torch.Tensor], called: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return (images,) what the pruned network gives to the classes `called`, and the divergence in bits.

    *Source:* Lin, Divergence measures based on the Shannon entropy, 1991.
    """
    dense, pruned = logits["dense"], logits["pruned"]
    other, divergence = np.empty(len(dense)), np.empty(len(dense))
    together = max(1, _BLOCK // dense.shape[1])
    for first in range(0, len(dense), together):
        part = slice(first, first + together)
        p, q = (each[part].double().softmax(1) for each in (dense, pruned))  # (images, classes)
        other[part] = q.gather(1, torch.tensor(called[part])[:, None])[:, 0].numpy()
        nats = _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2
        divergence[part] = (nats / math.log(2)).clamp(0, 1).numpy()
    return other, divergence


def _entropy(shares: torch.Tensor) -> torch.Tensor:
    nats: torch.Tensor = torch.special.entr(shares).sum(1)
    return nats


def _of_both(table: pd.DataFrame) -> dict[str, Found]:
    """Return what needs no labels."""
    changed = table["changed"].to_numpy()
    sure = _confidence(table)
    means = {
        "confidence_dense": sure["dense"],
        "confidence_pruned": sure["pruned"],
        "confidence_change": sure["pruned"] - sure["dense"],
        "divergence": table["divergence"].to_numpy(),
    }
    return {
        **_means(means),
        "agreement": _share(~changed),
        "agreement_beyond_chance": Found(_kappa(table["dense"].to_numpy(), table["pruned"].to_numpy())),
        "changed": _share(changed),
    }


def _confidence(table: pd.DataFrame) -> dict[str, Floats]:
    return {name: table[f"{name}_confidence"].to_numpy(np.float64) for name in SIDES}


def _of_logits(logits: dict[str, torch.Tensor]) -> dict[str, Found]:
    largest = max(float(own.abs().max()) for own in logits.values())
    apart = float((logits["dense"] - logits["pruned"]).abs().max())
    difference = apart / largest if largest else 0.0
    return {"logits_difference": Found(difference), "logits_equal": Found(difference <= EQUAL)}


def _accuracies(scores: pd.DataFrame) -> dict[str, Found]:
    columns = ["network", "metric", "value", "low", "high"]
    found = {
        f"{metric}_{network}": Found(value, low, high)
        for network, metric, value, low, high in scores[columns].itertuples(index=False)
    }
    errors = scores[scores["metric"] == "calibration_error"].set_index("network")["value"]
    return found | {"calibration_error_rise": Found(float(errors["pruned"] - errors["dense"]))}


def _changes(table: pd.DataFrame, logits: dict[str, torch.Tensor]) -> dict[str, Found]:
    """Return by how much the pruned network is worse, image by image."""
    labels, sure = table["label"].to_numpy(), _confidence(table)
    right = {name: table[name].to_numpy() == labels for name in SIDES}
    lost, gained = (table[name].to_numpy(bool) for name in ("lost", "gained"))
    excess = {name: sure[name] - right[name] for name in SIDES}
    losses = {name: _losses(own, labels) for name, own in logits.items()}
    means = {
        "overconfidence_dense": excess["dense"],
        "overconfidence_pruned": excess["pruned"],
        "overconfidence_rise": excess["pruned"] - excess["dense"],
        "cross_entropy_rise": losses["pruned"] - losses["dense"],
    }
    found = {
        **_means(means),
        "lost": _share(lost),
        "gained": _share(gained),
        "top1_drop": _drop(right["dense"], right["pruned"]),
        "top1_p": Found(float(mcnemar(lost.sum(keepdims=True), gained.sum(keepdims=True))[0])),
    }
    if logits["dense"].shape[1] > 5:
        highest = {name: _ranks(own, labels) < 5 for name, own in logits.items()}
        found["top5_drop"] = _drop(highest["dense"], highest["pruned"])
    return found


def _ranks(logits: torch.Tensor, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (images,) how many classes beat the right one."""
    better = logits > logits.gather(1, torch.tensor(labels)[:, None])
    counts: NDArray[np.int64] = better.sum(1).numpy()
    return counts


def _losses(logits: torch.Tensor, labels: NDArray[np.int64]) -> Floats:
    losses: Floats = functional.cross_entropy(logits.double(), torch.tensor(labels), reduction="none").numpy()
    return losses


def _of_classes(images: pd.DataFrame, test: ImageSet) -> dict[str, Found]:
    """Return which classes lose: how many are shown to, and the one that loses most, of those with enough images."""
    said = dict(list(images.groupby("network")))
    classes = _names(test, int(images[["prediction", "label"]].to_numpy().max()) + 1)
    table = forgotten_classes(pairs_of([said["dense"]], [said["pruned"]], classes))
    found = {
        "classes_lost": Found(float((table["says"] == LOST).sum())),
        "classes_gained": Found(float((table["says"] == WON).sum())),
        "worst_class_drop": Found(None),
        "worst_class": Found(None),
    }
    enough = table[table["n"] >= FEWEST]
    if len(enough):
        worst = enough.iloc[int(enough["change"].argmin())]
        found["worst_class_drop"] = of_shares(-worst["change"], -worst["change_high"], -worst["change_low"])
        found["worst_class"] = Found(str(worst["class"]))
    return found


def _means(values: Mapping[str, Floats]) -> dict[str, Found]:
    """Average over images, with intervals that share their draws."""
    low, high = mean_intervals(np.stack(list(values.values()), axis=1))
    return {
        name: Found(float(own.mean()), float(low[column]), float(high[column]))
        for column, (name, own) in enumerate(values.items())
    }


def _share(hits: NDArray[np.bool_]) -> Found:
    count, n = int(hits.sum()), len(hits)
    return Found(count / n, *wilson_share(count, n))


def _drop(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Found:
    """Return by how much a share of images is lower after than before, with the interval of the paired difference."""
    change = before.astype(np.int64) - after
    half = float(half_width(np.abs(change).sum(), change.sum(), np.array(len(change))))
    value = float(change.mean())
    return of_shares(value, value - half, value + half)


def _kappa(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Return Cohen's kappa: 1 where all images are called alike, 0 where as many are as two independent callers give.

    NaN where both call all images the same.

    *Source:* Cohen, A coefficient of agreement for nominal scales, 1960.
    """
    counts = [np.bincount(own, minlength=max(one.max(), other.max()) + 1) / len(own) for own in (one, other)]
    chance = float(counts[0] @ counts[1])
    return ((one == other).mean() - chance) / (1 - chance) if chance < 1 else math.nan
