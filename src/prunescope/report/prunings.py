"""Networks of all seeds that were pruned alike, which the tables of forgetting compare with the dense ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from prunescope.analysis.results import Results, is_rate, records
from prunescope.analysis.tables import ALIKE
from prunescope.report.blocks import Cell
from prunescope.report.formats import name_target
from prunescope.report.units import network_cells

MOST_DRAWN = 4  # targets of one series in a figure
MOST_SERIES = 4  # that have words and figures of their own; tables have all
NOTHING = dict.fromkeys(("value", "low", "high"), math.nan)


class Pruning(NamedTuple):
    """One series at one target and stage, over all seeds.

    `rate` is the mean over seeds; `final` says whether the series ends there, rather than going on to retrain;
    `seeds` counts those that differ: networks that are one and the same are one.
    """

    series: str
    target: str
    stage: str
    rate: float
    final: bool
    seeds: int

    @property
    def name(self) -> str:
        """What was asked, as people would write it."""
        return name_target(self.target, self.rate)

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a table that are about it."""
        same = [table[column] == value for column, value in zip(ALIKE, self, strict=False)]
        return table[np.logical_and.reduce(same)]

    def number(self, results: Results, metric: str) -> dict[str, float]:
        """Return `value`, `low` and `high` of a metric of the table `forgetting`; NaN where there is none."""
        own = self.of(results.forgetting)
        rows = records(own.loc[own["metric"] == metric, list(NOTHING)])
        return rows[0] if rows else NOTHING

    def cells(self, results: Results) -> dict[str, Cell]:
        """Say in a row of a table which one it is."""
        network = {**self._asdict(), "asked": is_rate(self.target), "seed": math.nan}
        return network_cells(network, results)


def prunings(results: Results) -> list[Pruning]:
    """Return all that were compared with dense networks: series as in the study, rates rising, pruned first."""
    keys = list(ALIKE)
    compared = results.forgetting.groupby(keys, sort=False)["seeds"].max().fillna(1).astype(int).reset_index()
    known = results.sparse.groupby(keys, sort=False).agg(rate=("rate", "mean"), final=("final", "any"))
    rows = records(compared.merge(known.round({"rate": 6}).reset_index(), on=keys))
    order = {series: place for place, series in enumerate(results.series)}
    rows.sort(key=lambda row: (order[row["series"]], row["rate"], row["stage"]))
    return [Pruning(**row) for row in rows]


def over_what(own: Iterable[Pruning]) -> str:
    """Say what intervals and tests of them stand on: seeds, or the images where there is one network."""
    several = {each.seeds > 1 for each in own}
    if several == {True, False}:
        return "over seeds, or over images where all seeds are one network"
    return "over seeds" if several == {True} else "over images"


def by_series(found: list[Pruning]) -> dict[str, list[Pruning]]:
    """Return the prunings in which each series ends, rates rising."""
    return {
        series: [each for each in found if each.series == series and each.final]
        for series in dict.fromkeys(each.series for each in found if each.final)
    }


def by_name(own: list[Pruning]) -> dict[str, Pruning]:
    """Return them by name, each once: rates that are written alike, as 99.76 and 99.81 %, go by what was asked."""
    names = [each.name for each in own]
    return {
        name if names.count(name) == 1 else each.target: each for name, each in zip(names, own, strict=True)
    }


def drawn(own: list[Pruning], most: int = MOST_DRAWN) -> list[Pruning]:
    """Return all of them, or of many some, evenly, the last among them."""
    if len(own) <= most:
        return own
    places = np.linspace(0, len(own) - 1, most).round().astype(int)
    return [own[place] for place in places]
