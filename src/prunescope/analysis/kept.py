"""How far the networks of a study keep what was asked: wish by wish, over seeds or images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.analysis.quantities import Quantities
from prunescope.analysis.recommendation import Network, of
from prunescope.analysis.results import are_one
from prunescope.analysis.tables import read_answers_of
from prunescope.analysis.wishes import Wish
from prunescope.measures.intervals import t_interval
from prunescope.measures.significance import half_width

COUNTED = (
    "weights",
    "nonzero",
    "prunable",
    "zeros",
    "unreachable",
    "gone",
    "left",
    "compression",
    "macs",
    "file",
    "held",
)
RESAMPLED = {  # over what a measure gives a network's own interval, by the beginning of the metric's name
    "top": "images", "cross_entropy": "images", "calibration": "images", "mis": "units", "hit_rate": "units",
    "ms_": "rounds", "speedup_": "rounds",
}  # fmt: skip
NOISE = 1e-9  # what rounding leaves of a mean of 0, as a share of what was added


class Interval(NamedTuple):
    """The 95 % interval of a surplus, and over what; `n`: of how many, 0 where that is not known.

    Where there is none, `over` is "" and `n` how many networks there are, which then have all the same surplus.
    """

    low: float
    high: float
    over: str
    n: int


Groups = Sequence[tuple[Network, pd.DataFrame]]
NONE = Interval(math.nan, math.nan, "", 0)


def answer(groups: Groups, asked: Asked) -> pd.DataFrame:
    """Answer every wish for every network.

    Args:
        groups: networks pruned alike, and their rows in `Quantities.networks`, one per seed.

    Returns:
        The columns of `Recommendation.answers` but `front`.
    """
    rows = [
        {**network._asdict(), **asked.answer(wish, network, own)}
        for network, own in groups
        for wish in asked.wishes
    ]
    return pd.DataFrame(rows)


class Asked:
    """Wishes, and all that a study knows to answer them."""

    def __init__(self, wishes: Sequence[Wish], quantities: Quantities, folder: Path) -> None:
        self.wishes, self.quantities, self.folder = wishes, quantities, folder

    def answer(self, wish: Wish, network: Network, own: pd.DataFrame) -> dict[str, Any]:
        """Answer one wish for networks pruned alike."""
        if wish.metric in own:
            values, dense, found = self._by_seed(wish, own)
        else:
            values, dense, found = self._forgotten(wish, network)
        bounds = [wish.bound(each) for each in dense]
        surpluses = [wish.beyond(value, bound) for value, bound in zip(values, bounds, strict=True)]
        surplus, bound = _mean(surpluses), _mean(bounds)
        scale = abs(_mean(dense)) or math.nan
        scale = scale if math.isfinite(scale) else abs(bound) or 1.0
        return {
            "wish": wish.text,
            "metric": wish.metric,
            "value": _mean(values),
            "dense": _mean(dense),
            "bound": bound,
            "surplus": surplus,
            **found._asdict(),
            "kept": wish.holds(surplus),
            "shown": wish.holds(surplus) and wish.holds(found.low),
            "relative": surplus / scale,
            "scale": scale,
        }

    def _by_seed(self, wish: Wish, own: pd.DataFrame) -> tuple[list[float], list[float], Interval]:
        """Return the values of a wish's metric and the dense network's, of the seeds that have both."""
        known = self.quantities.dense.reindex(columns=[wish.metric])[wish.metric]
        seeds = own.assign(dense=own["seed"].map(known))
        pairs = seeds.dropna(subset=[wish.metric, "dense"] if wish.of_dense else [wish.metric])
        values, dense = pairs[wish.metric].astype(float).tolist(), pairs["dense"].astype(float).tolist()
        surpluses = [wish.surplus(*pair) for pair in zip(values, dense, strict=True)]
        if not surpluses:
            return values, dense, NONE
        n = len(surpluses)
        if max(surpluses) - min(surpluses) > NOISE * max(map(abs, values)):
            return values, dense, Interval(*t_interval(surpluses), "seeds", n)
        if wish.metric.startswith(COUNTED) or n == 1 or are_one(pairs):
            return values[:1], dense[:1], self._of_one(wish, pairs.iloc[0], surpluses[0])
        return values, dense, NONE._replace(n=n)  # a few counts that are alike do not say that all would be

    def _of_one(self, wish: Wish, network: pd.Series[Any], surplus: float) -> Interval:
        """Return the interval that one network alone has: of counts, over images, or the metric's own."""
        if wish.metric.startswith(COUNTED):
            return Interval(surplus, surplus, "counted", 1)
        if wish.metric == "top1" and (found := self._over_images(wish, network, surplus)):
            return found
        if wish.of_dense:
            return NONE._replace(n=1)
        ends = [float(network.get(f"{wish.metric}_{end}", math.nan)) for end in ("low", "high")]
        low, high = sorted(wish.surplus(end, math.nan) for end in ends)
        return (
            Interval(low, high, _resampled(wish.metric), 0)
            if math.isfinite(low + high)
            else NONE._replace(n=1)
        )

    def _over_images(self, wish: Wish, network: pd.Series[Any], surplus: float) -> Interval | None:
        """Return the interval of top-1 over images, each network's answer beside the dense network's."""
        share = wish.share_of_dense
        right = self._right.get(str(network["network"]))
        if share is None or right is None:
            return None
        sign = 1 if wish.at_least else -1
        change = sign * right.astype(np.float64)
        mean = float(network["top1"])
        if share:
            dense = self._right.get(str(self.quantities.dense["network"].get(network["seed"])))
            if dense is None:
                return None
            change = change - sign * share * dense
            mean -= share * float(network["dense"])
        n = len(change)
        if not math.isclose(
            change.mean(), sign * mean, abs_tol=1e-6
        ):  # these are not the images it was scored on
            return None
        weight = max(1.0, abs(share))
        half = float(half_width(np.square(change).sum(), change.sum(), np.array(n), weight))
        return Interval(surplus - half, surplus + half, "images", n)

    @cached_property
    def _right(self) -> dict[str, NDArray[np.bool_]]:
        """Which images each network gets right, in one order for all."""
        networks = [*self.quantities.final["network"], *self.quantities.dense["network"]]
        table = read_answers_of(self.folder, [str(name) for name in networks])
        table = table.assign(right=table["label"] == table["prediction"]).astype(
            {"network": str, "image": str}
        )
        wide = table.drop_duplicates(["network", "image"]).pivot(
            index="image", columns="network", values="right"
        )
        return {str(name): wide[name].to_numpy(bool) for name in wide if wide[name].notna().all()}

    def _forgotten(self, wish: Wish, network: Network) -> tuple[list[float], list[float], Interval]:
        """Return what the table `forgetting` says: one value for all seeds, with its interval."""
        table = self.quantities.forgotten
        own = table[of(table, network) & (table["metric"] == wish.metric)]
        if own.empty:
            return [], [], NONE
        row = own.iloc[0]
        low, high = sorted(wish.surplus(float(row[end]), math.nan) for end in ("low", "high"))
        number = row["seeds"] if row["over"] == "seeds" else row["n"]
        found = Interval(low, high, str(row["over"]), int(number)) if math.isfinite(low + high) else NONE
        return [float(row["value"])], [math.nan], found


def points(groups: Groups, wishes: Sequence[Wish]) -> Iterator[dict[str, Any]]:
    """Yield every metric that is to be kept of every single network, beside its cost."""
    metrics = dict.fromkeys(wish.metric for wish in wishes)
    for network, own in groups:
        for metric in (metric for metric in metrics if metric in own):
            for seed, cost, value in own[["seed", "cost", metric]].itertuples(index=False):
                rest = {"seed": seed, "metric": metric, "cost": float(cost), "value": float(value)}
                yield {**network._asdict(), **rest}


def _resampled(metric: str) -> str:
    images = "images" if "/" in metric else "itself"  # those with a slash are of explanations
    return next((unit for name, unit in RESAMPLED.items() if metric.startswith(name)), images)


def _mean(values: Sequence[float]) -> float:
    """Return the mean; 0 where only rounding is left of it, NaN of nothing."""
    if not values:
        return math.nan
    if not all(map(math.isfinite, values)):  # a compression of which nothing is left
        return sum(values) / len(values)
    mean = math.fsum(values) / len(values)
    return 0.0 if abs(mean) <= NOISE * max(map(abs, values)) else mean
