"""What the explanations of many images say of a network: means and curves with intervals over images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.measures.intervals import bootstrap_share, mean_interval, mean_intervals

LIKENESS = ("spearman", "ssim", "iou")
MEANS = (
    *LIKENESS, "deletion", "insertion", "faithfulness", "confidence", "pointing", "inside", "object_share", "gini",
    "entropy",
)  # fmt: skip
Row = tuple[str, float, float, float, int]


def explanation_scores(images: pd.DataFrame, chance: pd.DataFrame | None) -> pd.DataFrame:
    """Average over the images that have each number; what no image has gets no row.

    Args:
        images: rows of the table `explanations` of one network and method.
        chance: `spearman, ssim, iou` of each map with another image's map, if there is a network to compare with.

    Returns:
        `metric` ("<method>/<what>"), `value, low, high, n`: `faithfulness` is insertion less deletion, 0 for maps
        that rank pixels at random; `empty` is the share of maps without a value above 0, which are in no mean; in
        `proxy_top1`, which asks what a map shows, they count as not recognised.
    """
    method = images["method"].iloc[0]
    columns = images.assign(faithfulness=images["insertion"] - images["deletion"])[list(MEANS)]
    if chance is not None:
        columns = columns.join(chance[list(LIKENESS)].add_suffix("_chance").set_index(columns.index))
    rows = [_mean(f"{method}/{name}", columns[name]) for name in columns]
    rows.append(share_row(f"{method}/empty", images["empty"].to_numpy()))
    asked = images["proxy_correct"].dropna()
    rows.append(share_row(f"{method}/proxy_top1", asked.to_numpy() == 1))
    return score_table([row for row in rows if row[-1]])


def share_row(metric: str, hits: NDArray[np.bool_]) -> Row:
    """Return the row of a share of images, (n,) whether each has it."""
    n, count = len(hits), int(hits.sum())
    if not n:
        return metric, np.nan, np.nan, np.nan, 0
    return metric, count / n, *bootstrap_share(count, n), n


def score_table(rows: list[Row]) -> pd.DataFrame:
    """Return rows of the table `scores`."""
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n"])


def explanation_curves(
    method: str, curves: Mapping[str, NDArray[np.float64]], fractions: NDArray[np.float64]
) -> pd.DataFrame:
    """Average deletion and insertion curves over the images.

    Args:
        curves: "deletion" and "insertion" to (images, fractions), NaN in the rows of images that have none.
        fractions: (fractions,) of the pixels that are deleted or inserted.

    Returns:
        `method, curve, fraction, value, low, high, n`; no row where no image has a curve.
    """
    parts = []
    for curve, all_values in curves.items():
        values = all_values[~np.isnan(all_values).any(1)]
        if not len(values):
            continue
        low, high = mean_intervals(values)
        columns = {"fraction": fractions, "value": values.mean(0), "low": low, "high": high}
        parts.append(pd.DataFrame({"method": method, "curve": curve, **columns, "n": len(values)}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _mean(metric: str, column: pd.Series[float]) -> Row:
    values = column.dropna().to_numpy(np.float64)
    if not len(values):
        return metric, np.nan, np.nan, np.nan, 0
    return metric, float(values.mean()), *mean_interval(values), len(values)
