"""How much pruned networks forget, in few numbers: agreement, exemplars, and changes of accuracy and calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.measures.accuracy import calibration_error
from prunescope.measures.forgetting_images import (
    FEWEST_SWAPS,
    exemplars_by_chance,
    forgotten_images,
)
from prunescope.measures.forgetting_pairs import Pairs, Said
from prunescope.measures.intervals import bootstrap_mean, bootstrap_share, mean_interval
from prunescope.measures.significance import half_width

Row = tuple[str, float, float, float, int, int, str]


def forgetting_scores(pairs: Pairs) -> pd.DataFrame:
    """Return how dense and pruned networks differ over all images, one row a metric.

    Returns:
        `metric, value, low, high, n, seeds, over`. `over` says what was resampled for the interval: "seeds"
        (Student's t), "images" (for one seed, and for shares of images), or "swaps" (the band of chance).

        `agreement`: share of the images that the pruned network calls what the dense one does; `agreement_right`,
        `agreement_wrong`: of those that the dense network gets right, or wrong; `agreement_of_seeds`: of two dense
        networks of different seeds with each other, what agreement is among networks that nobody pruned.
        `lost`, `won`: share of the images newly wrong, newly right; `top1_change`: the one from the other.
        `calibration_change`: of the expected calibration error, in 15 bins; `overconfidence_change`: of mean
        confidence minus accuracy.
        With two seeds or more, `exemplars`: share of images whose most frequent label differs;
        `exemplars_by_chance`: the same if it were chance which network of a seed is the pruned one;
        `exemplars_dense_top1`, `others_dense_top1`: top-1 of the dense networks on them and on the rest.
    """
    rows = [*_by_seed(pairs), *_agreement_of_seeds(pairs)]
    if len(pairs) > 1:
        rows += _exemplars(pairs)
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n", "seeds", "over"])


def _by_seed(pairs: Pairs) -> Iterator[Row]:
    """Yield what every pair of networks has for itself."""
    same = pairs.dense.predictions == pairs.pruned.predictions  # (seeds, images)
    yield _share("agreement", same)
    yield _share("agreement_right", same, pairs.dense.right)
    yield _share("agreement_wrong", same, ~pairs.dense.right)
    yield _share("lost", pairs.changes < 0)
    yield _share("won", pairs.changes > 0)
    images = pairs.changes.shape[1]
    if len(pairs) > 1:
        accuracy = pairs.changes.mean(1)
        errors = _calibration(pairs.pruned) - _calibration(pairs.dense)
        excess = _overconfidence(pairs.pruned).mean(1) - _overconfidence(pairs.dense).mean(1)
        yield _over_seeds("top1_change", accuracy, images)
        yield _over_seeds("calibration_change", errors, images)
        yield _over_seeds("overconfidence_change", excess, images)
        return
    change = pairs.changes[0]
    half = float(half_width(np.abs(change).sum(), change.sum(), images))
    value = float(change.mean())
    yield "top1_change", value, value - half, value + half, images, 1, "images"
    error = _calibration(pairs.pruned) - _calibration(pairs.dense)
    yield "calibration_change", float(error[0]), math.nan, math.nan, images, 1, "images"
    each = (_overconfidence(pairs.pruned) - _overconfidence(pairs.dense))[0]
    yield "overconfidence_change", float(each.mean()), *bootstrap_mean(each), images, 1, "images"


def _share(metric: str, hits: NDArray[np.bool_], among: NDArray[np.bool_] | None = None) -> Row:
    """Return the share of images, or of those `among` them: (seeds, images); NaN where there are none."""
    among = np.ones_like(hits) if among is None else among
    found, n = (hits & among).sum(1), among.sum(1)
    if len(hits) == 1:
        count, images = int(found[0]), int(n[0])
        if not images:
            return metric, math.nan, math.nan, math.nan, 0, 1, "images"
        return metric, count / images, *bootstrap_share(count, images), images, 1, "images"
    return _over_seeds(metric, found[n > 0] / n[n > 0], int(n.max()))


def _over_seeds(metric: str, values: NDArray[np.float64], n: int) -> Row:
    value = float(values.mean()) if len(values) else math.nan
    return metric, value, *mean_interval(values), n, len(values), "seeds"


def _calibration(said: Said) -> NDArray[np.float64]:
    return np.array(
        [calibration_error(sure, right) for sure, right in zip(said.confidence, said.right, strict=True)]
    )


def _overconfidence(said: Said) -> NDArray[np.float64]:
    """Return confidence minus whether it is right, (seeds, images)."""
    return said.confidence.astype(np.float64) - said.right


def _agreement_of_seeds(pairs: Pairs) -> Iterator[Row]:
    """Yield the agreement of the dense networks with each other, if there are several."""
    said = pairs.dense
    if len(said) < 2 or said.alike:
        return
    one, other = np.triu_indices(len(said), k=1)
    shares = (said.predictions[one] == said.predictions[other]).mean(1)
    images = said.predictions.shape[1]
    yield "agreement_of_seeds", float(shares.mean()), math.nan, math.nan, images, len(said), "seeds"


def _exemplars(pairs: Pairs) -> Iterator[Row]:
    exemplar = forgotten_images(pairs)["flip"].to_numpy(bool)
    images, seeds, count = len(exemplar), len(pairs), int(exemplar.sum())
    yield "exemplars", count / images, *bootstrap_share(count, images), images, seeds, "images"
    chance = exemplars_by_chance(pairs)
    if len(chance):
        low, high = math.nan, math.nan
        if len(chance) >= FEWEST_SWAPS:
            low, high = np.quantile(chance, [0.025, 0.975]).tolist()
        yield "exemplars_by_chance", float(chance.mean()), low, high, images, seeds, "swaps"
    for metric, members in (("exemplars_dense_top1", exemplar), ("others_dense_top1", ~exemplar)):
        if members.any():
            yield _over_seeds(metric, pairs.dense.right[:, members].mean(1), int(members.sum()))
