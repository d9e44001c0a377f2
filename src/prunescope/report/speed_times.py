"""The times of a study, ready to compare: beside the networks, over seeds, and the fastest of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from prunescope.analysis.results import Results, over_seeds
from prunescope.measures.intervals import mean_interval
from prunescope.report.speed_words import NOTICED, bought

KEEPS = 0.01  # of top-1: a network that loses no more than this is said to keep its accuracy
KNOWN = [
    "network", "step", "series", "target", "asked", "rate", "seed", "stage", "top1", "top1_low", "top1_high", "lost",
]  # fmt: skip
SAME_RUN = ["network", "runtime", "batch"]
GROUP = ["runtime", "batch", "variant"]


class Gain(NamedTuple):
    """How fast a series is at one target in one runtime, averaged over seeds.

    Attributes:
        variant: "masked" or "compact".
        speedup: over the dense network in the same run; `low`, `high`: its 95 % interval.
        latency: milliseconds, as `Times` says; dense_latency: of the dense network.
        lost: top-1 of the dense network minus this one's; NaN where accuracy was not measured.
        promised: multiply-accumulates of the dense network over this one's.
    """

    runtime: str
    batch: int
    variant: str
    series: str
    target: str
    rate: float
    speedup: float
    low: float
    high: float
    latency: float
    dense_latency: float
    lost: float
    promised: float

    @property
    def faster(self) -> bool:
        """Whether it is faster than the dense network, by more than is worth no word."""
        return bought(self._asdict()) == "time"

    @property
    def keeps(self) -> bool:
        """Whether it keeps the dense network's accuracy, to within `KEEPS`."""
        return round(self.lost, 6) <= KEEPS


class OfMasks(NamedTuple):
    """What the masks alone did in one runtime: the mean over networks, and its 95 % interval.

    The unit is the network, so one that series share counts once; the interval of a single one is over rounds.

    Attributes:
        each_near: whether the interval of every single network is within 5 % of 1.
    """

    runtime: str
    speedup: float
    low: float
    high: float
    networks: int
    each_near: bool

    @property
    def verdict(self) -> str:
        """What is shown: "time" bought, "slower", "nothing" (within 5 % of 1, all or on average); else "unclear"."""
        found = bought(self._asdict())
        return "nothing" if found == "unclear" and self.each_near else found


@dataclass(frozen=True)
class Times:
    """The times of the dense and the final networks.

    Attributes:
        table: one row per network, runtime, batch and variant, in the order of the study. Columns of the table
            `speed`, and
            `step`, `series`, `target`, `rate`, `seed`, `stage`, `top1` with its interval;
            `lost`: top-1 of the dense network of the same seed minus this one's;
            `speedup_low`, `speedup_high`;
            `promised`: multiply-accumulates of the dense network over those of the variant;
            `dense_latency`: milliseconds of the dense network, the median over all its runs in this runtime at this
            batch;
            `latency`: that over the speed-up, and `throughput`: images per second at this latency, with the
            intervals of the speed-up. A machine that is slower in one run than in another does not move them.
    """

    table: pd.DataFrame

    @cached_property
    def measured(self) -> pd.DataFrame:
        """The rows that have numbers."""
        return self.table[self.table["milliseconds"].notna()]

    @cached_property
    def runtimes(self) -> list[str]:
        """The runtimes that gave any number, in the order of the table."""
        return [str(name) for name in self.measured["runtime"].unique()]

    @cached_property
    def batches(self) -> list[int]:
        """The batches that gave any number, rising."""
        return sorted(int(batch) for batch in self.measured["batch"].unique())

    @cached_property
    def gains(self) -> list[Gain]:
        """The speed-ups averaged over seeds, for every runtime, batch, variant, series and target."""
        gains = []
        for _, own in self.measured[self.measured["variant"] != "dense"].groupby(GROUP, sort=False):
            runtime, batch, variant = own.iloc[0][GROUP]
            means = own.groupby(["series", "target"])[["latency", "dense_latency", "lost", "promised"]].mean()
            others = dict(zip(means.index, means.to_numpy().tolist(), strict=True))
            for estimate in over_seeds(own, "speedup"):
                series, target, rate, *value = estimate[:6]
                place = str(runtime), int(batch), str(variant)
                gains.append(Gain(*place, series, target, rate, *value, *others[series, target]))
        return gains

    def gains_at(self, batch: int) -> list[Gain]:
        """Return the speed-ups at one batch."""
        return [gain for gain in self.gains if gain.batch == batch]

    def dense_runs(self, batch: int) -> dict[str, pd.Series[float]]:
        """Return the milliseconds of the dense network in each runtime: of every run, since each times it anew."""
        dense = _each_run_once(self.measured[self.measured["variant"] == "dense"])
        dense = dense[dense["batch"] == batch]
        return {str(name): own["milliseconds"] for name, own in dense.groupby("runtime", sort=False)}

    def of_masks(self, batch: int) -> list[OfMasks]:
        """Average over networks what the masks alone did in each runtime at a batch."""
        found = []
        masked = _each_run_once(self.measured[self.measured["variant"] == "masked"])
        masked = masked[masked["batch"] == batch]
        for runtime, own in masked.dropna(subset=["speedup"]).groupby("runtime", sort=False):
            speedups = own["speedup"].to_numpy(dtype=np.float64)
            low, high = mean_interval(speedups)
            if len(own) == 1:
                low, high = float(own["speedup_low"].iloc[0]), float(own["speedup_high"].iloc[0])
            near = own["speedup_low"].ge(1 / NOTICED).all() and own["speedup_high"].le(NOTICED).all()
            found.append(OfMasks(str(runtime), float(speedups.mean()), low, high, len(own), bool(near)))
        return found


def times_of(results: Results) -> Times:
    """Put the times of the dense and the final networks beside what is known of each network."""
    ends = pd.concat([results.dense, results.final]).reset_index(drop=True)
    top1 = results.dense.drop_duplicates(["run", "seed"]).set_index(["run", "seed"])["top1"]
    ends["lost"] = ends[["run", "seed"]].join(top1, on=["run", "seed"])["top1"] - ends["top1"]
    table = ends[KNOWN].merge(results.speed, on="network")
    table = table.rename(columns={"low": "speedup_low", "high": "speedup_high"})
    dense = table[table["variant"] == "dense"]
    macs = dense[[*SAME_RUN, "macs"]].rename(columns={"macs": "dense_macs"})
    runs = _each_run_once(dense).groupby(["runtime", "batch"])
    latency = runs["milliseconds"].median().rename("dense_latency")
    table = table.merge(macs, on=SAME_RUN, how="left").join(latency, on=["runtime", "batch"])
    table["promised"] = table["dense_macs"] / table["macs"].where(table["macs"] > 0)
    for end, other in (("", ""), ("_low", "_high"), ("_high", "_low")):
        table[f"latency{other}"] = table["dense_latency"] / table[f"speedup{end}"]
        table[f"throughput{end}"] = 1000 * table["batch"] / table[f"latency{other}"]
    return Times(table)


def _each_run_once(times: pd.DataFrame) -> pd.DataFrame:
    """Drop the rows that repeat a run of another series: one step was timed once, however many series share it."""
    return times.drop_duplicates(["step", "runtime", "batch", "variant"])


def compact_of(gains: Sequence[Gain]) -> list[Gain]:
    """Return the speed-ups of the compact networks, the largest first."""
    compact = [gain for gain in gains if gain.variant == "compact"]
    return sorted(compact, key=lambda gain: gain.speedup, reverse=True)


def best_compact(gains: Sequence[Gain]) -> Gain | None:
    """Return the largest speed-up of a compact network that is shown: its interval excludes 1."""
    return next((gain for gain in compact_of(gains) if gain.low > 1), None)


def fastest_that_keeps(gains: Sequence[Gain]) -> Gain | None:
    """Return the network of least time, in whatever runtime, that keeps its accuracy and is faster than dense."""
    fast = [gain for gain in gains if gain.keeps and gain.faster]
    return min(fast, key=lambda gain: gain.latency, default=None)
