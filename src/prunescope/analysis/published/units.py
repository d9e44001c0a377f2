"""The MIS of published units as tables of a run: which were alive is inferred, and so called."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.analysis.published.study import score
from prunescope.measures.intervals import DRAWS, mean_interval

ALIVE_UP_TO = 0.99  # a unit of higher MIS in a pruned network is taken for one that was pruned away
KINDS = ("conv", "linear")
MOST_TASKS = 100
LARGE = 30  # of so many units on, the bootstrap takes over from Student's t


def unit_rows(rows: pd.DataFrame, *, pruned: bool | pd.Series[bool]) -> pd.DataFrame:
    """Return the table `units`.

    Args:
        rows: `network, layer, kind, unit, mis, hit_rate`.
        pruned: whether units may have been pruned away, of all or of each row; of a dense network, all are alive.
    """
    alive = (rows["mis"] <= ALIVE_UP_TO) | np.logical_not(pruned)
    return pd.DataFrame(
        {
            "network": rows["network"], "layer": rows["layer"], "kind": rows["kind"],
            "unit": rows["unit"].astype("int64"), "alive": alive,
            "mis": rows["mis"].where(alive), "hit_rate": rows["hit_rate"].where(alive),
            "mis_published": rows["mis"], "tasks": tasks_of(rows["hit_rate"]),
        }
    )  # fmt: skip


def tasks_of(hit_rates: pd.Series[float]) -> float:
    """Return the fewest tasks of which all hit rates are shares; NaN if more than 100 would be needed."""
    for tasks in range(1, MOST_TASKS + 1):
        solved = hit_rates * tasks
        if ((solved - solved.round()).abs() < 1e-6).all():
            return float(tasks)
    return math.nan


def why_tasks(units: pd.DataFrame) -> list[str]:
    """Say how the number of tasks was found, if it was."""
    tasks = float(units["tasks"].iloc[0]) if len(units) else math.nan
    if math.isnan(tasks):
        return []
    return [
        f"Each unit had {tasks:.0f} tasks: all hit rates are shares of {tasks:.0f}. The files do not say how many "
        "images there were, nor the slope."
    ]


def unit_scores(units: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return the rows of `scores` of each network: what a run of this program would say of these units."""
    paired = _alive_everywhere(units)
    rows: list[tuple[Any, ...]] = []
    for name, own in units.groupby("network", sort=False):
        network = str(name)
        conv = own[own["kind"] == "conv"]
        live = conv[conv["alive"]]
        if live.empty:
            continue
        rows += [
            (network, metric, live[metric].mean(), *_interval(live[metric].to_numpy()), len(live), "mis")
            for metric in ("mis", "hit_rate")
        ]
        both = live[pd.MultiIndex.from_frame(live[["layer", "unit"]]).isin(paired)]
        rows += [
            score(network, metric, value, n, "mis")
            for metric, value, n in (
                ("mis_layers", live.groupby("layer")["mis"].mean().mean(), live["layer"].nunique()),
                ("mis_paired", both["mis"].mean(), len(both)),
                ("mis_published", own["mis_published"].mean(), len(own)),
                ("units_alive", len(live), len(conv)),
                ("units_dead", len(conv) - len(live), len(conv)),
            )
        ]
    return rows


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the interval of the mean; of few different values, such as hit rates, equal ones are drawn together."""
    kinds, times = np.unique(values, return_counts=True)
    if len(values) < LARGE or len(kinds) > MOST_TASKS:
        return mean_interval(values)
    drawn = np.random.default_rng(0).multinomial(len(values), times / len(values), DRAWS)
    low, high = np.quantile(drawn @ kinds / len(values), (0.025, 0.975))
    return float(low), float(high)


def _alive_everywhere(units: pd.DataFrame) -> pd.MultiIndex:
    conv = units[units["kind"] == "conv"]
    alive = conv.groupby(["layer", "unit"], sort=False)["alive"].all()
    return pd.MultiIndex.from_tuples(list(alive[alive].index), names=["layer", "unit"])
