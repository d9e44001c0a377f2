"""The tables of a study folder, read and joined: all that a report is made from."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from prunescope.errors import PrunescopeError, describe_os_error

NEEDED: dict[str, tuple[str, ...]] = {
    "networks": ("network", "step", "series", "seed", "stage", "rate", "parent"),
    "scores": ("network", "metric", "value"),
    "layers": ("network", "layer", "spared", "zeros"),
    "classes": ("network", "index", "class", "n", "top1"),
    "steps": ("step", "status", "reused"),
}
NOT_ALWAYS: dict[str, tuple[str, ...]] = {  # only where something was pruned, or has an interval
    "networks": (
        "granularity", "score", "scope", "norm", "hold", "schedule", "retraining",
        "zeros_after_pruning", "zeros_after_retraining",
        "unreachable_after_pruning", "unreachable_after_retraining", "held",
    ),
    "scores": ("low", "high"),
    "layers": ("unreachable",),
    "classes": (),
    "steps": ("kind", "label", "error"),
}  # fmt: skip
NUMBERS = {
    "rate", "zeros_after_pruning", "zeros_after_retraining", "unreachable_after_pruning",
    "unreachable_after_retraining", "held", "value", "low", "high", "zeros", "unreachable", "n", "top1",
}  # fmt: skip
OF_A_MEASURE = ("scores", "layers", "classes")  # absent where the study did not measure them
METRICS = (
    "top1", "top5", "cross_entropy", "calibration_error",
    "weights", "nonzero", "unreachable_all",
    "compression_prunable", "compression_all", "compression_reachable",
    "macs_dense", "macs_effective", "file_bytes", "file_bytes_zstd",
)  # fmt: skip

# Student's t at .975 for 1 to 29 degrees of freedom.
T_975 = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452,
)  # fmt: skip


Network = dict[str, Any]  # one row of `Results.networks`


class Estimate(NamedTuple):
    """A metric of one series at one rate, averaged over seeds.

    `low` and `high` are the 95 % interval: for one seed the metric's own, over images (NaN where there is
    none); for several, Student's t over seeds.
    """

    series: str
    rate: float
    value: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Results:
    """One study's results.

    Attributes:
        study: what `study.json` holds; any key may be absent.
        networks: one row per network; columns of the table `networks`, every metric of `METRICS` with its
            `…_low` and `…_high` (NaN where not measured), and
            `zeros`, `unreachable`: fraction of the prunable weights, as the network stands;
            `gone`: the one of the two that says what is really gone, `unreachable` for filters, else `zeros`;
            `macs_left`, `file_left`: against the dense network of the same seed;
            `final`: whether the series ends in this network, rather than going on to retrain it.
        layers: one row per network and layer, with `left`: the fraction of its weights that is not gone.
        classes: one row per network and class.
        steps: one row per step.
        files: the names of all files of tables.
    """

    study: dict[str, Any]
    networks: pd.DataFrame
    layers: pd.DataFrame
    classes: pd.DataFrame
    steps: pd.DataFrame
    files: list[str]

    @property
    def dense(self) -> pd.DataFrame:
        """The dense networks, one per seed."""
        return self.networks[self.networks["stage"] == "dense"]

    @property
    def pruned(self) -> pd.DataFrame:
        """The networks just pruned, before any retraining."""
        return self.networks[self.networks["stage"] == "pruned"]

    @property
    def retrained(self) -> pd.DataFrame:
        """The networks pruned and retrained."""
        return self.networks[self.networks["stage"] == "retrained"]

    @property
    def final(self) -> pd.DataFrame:
        """The networks in which each series ends: retrained, or pruned where nothing is retrained."""
        return self.networks[self.networks["final"]]

    @property
    def series(self) -> list[str]:
        """The names of the series, in the order of the study."""
        return [str(name) for name in self.networks.loc[self.networks["stage"] != "dense", "series"].unique()]

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return int(self.networks["seed"].nunique())

    @property
    def chance(self) -> float:
        """Top-1 of always naming the most frequent class; NaN where it is not known."""
        one = self.classes[self.classes["network"] == self.classes["network"].min()]
        return float(one["n"].max() / one["n"].sum()) if len(one) else math.nan

    def measured(self, metric: str) -> bool:
        """Whether any network has this metric."""
        return bool(self.networks[metric].notna().any())


def read_results(folder: Path) -> Results:
    """Read a study folder.

    Raises:
        PrunescopeError: a table or `study.json` is missing, damaged, or lacks a column.
    """
    study = _read_study(folder / "study.json")
    tables = {name: _read_table(folder / "tables", name) for name in NEEDED}
    twice = tables["scores"].duplicated(["network", "metric"])
    if twice.any():
        network, metric = tables["scores"].loc[twice, ["network", "metric"]].iloc[0]
        raise PrunescopeError(
            f"{folder / 'tables/scores.parquet'} is damaged: two values of {metric} for {network}"
        )
    networks = _join(tables["networks"], tables["scores"])
    layers = (
        tables["layers"]
        .drop(columns="rate", errors="ignore")
        .merge(networks[["network", "granularity"]], on="network")
    )
    layers["left"] = 1 - _gone(layers)
    files = sorted(path.name for path in (folder / "tables").glob("[!.]*.parquet"))
    return Results(study, networks, layers, tables["classes"], tables["steps"], files)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def over_seeds(networks: pd.DataFrame, metric: str) -> list[Estimate]:
    """Average a metric over the seeds of each series and rate, rates rising within a series."""
    measured = networks.dropna(subset=[metric])
    order = list(measured["series"].unique())
    groups: dict[tuple[str, float], pd.DataFrame] = dict(iter(measured.groupby(["series", "rate"])))  # type: ignore[arg-type]
    estimates = []
    for series, rate in sorted(groups, key=lambda key: (order.index(key[0]), key[1])):
        group = groups[series, rate]
        values = [float(value) for value in group[metric]]
        if len(values) > 1:
            low, high = t_interval(values)
        else:
            low, high = (float(group.iloc[0].get(f"{metric}_{end}", math.nan)) for end in ("low", "high"))
        estimates.append(Estimate(series, rate, math.fsum(values) / len(values), low, high, len(values)))
    return estimates


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of two or more independent values, by Student's t."""
    n = len(values)
    mean = sum(values) / n
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    return mean - _t_975(n - 1) * error, mean + _t_975(n - 1) * error


def _t_975(freedom: int) -> float:
    if freedom <= len(T_975):
        return T_975[freedom - 1]
    z = NormalDist().inv_cdf(0.975)  # Cornish-Fisher: right to 1e-4 from 30 degrees on
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _read_study(path: Path) -> dict[str, Any]:
    try:
        study = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PrunescopeError(
            f"{path} is missing: expected the folder of a study that was run (`prunescope run STUDY`)"
        ) from error
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
    except ValueError as error:
        raise PrunescopeError(f"{path} is damaged ({error}): run the study again to write it anew") from error
    if not isinstance(study, dict):
        raise PrunescopeError(f"{path} is damaged (no object): run the study again to write it anew")
    return study


def _read_table(folder: Path, name: str) -> pd.DataFrame:
    path = folder / f"{name}.parquet"
    if not path.exists() and name not in OF_A_MEASURE:
        raise PrunescopeError(f"{path} is missing: run the study again to write it anew")
    try:
        table = pd.read_parquet(path) if path.exists() else pd.DataFrame()
        missing = [column for column in NEEDED[name] if column not in table]
        if missing and len(table):
            raise PrunescopeError(
                f"{path} lacks the column {missing[0]!r}: it comes from another version of prunescope; "
                "run the study again to write it anew"
            )
        columns = [*NEEDED[name], *NOT_ALWAYS[name]]
        # A column without any value has lost its type in the file.
        return table.reindex(columns=columns).astype(
            {column: float if column in NUMBERS else object for column in columns}
        )
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise PrunescopeError(f"{path} is damaged ({error}): run the study again to write it anew") from error


def _join(networks: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Put every network's metrics beside it, and what follows from them."""
    joined = networks.assign(rate=networks["rate"].fillna(0.0).round(6))  # .3 and .1 + .2 are one rate
    for column, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
        wide = scores.pivot(index="network", columns="metric", values=column).reindex(columns=list(METRICS))
        joined = joined.join(wide.astype(float).add_suffix(suffix), on="network")
    is_retrained = joined["stage"] == "retrained"
    for what in ("zeros", "unreachable"):
        after_pruning = joined[f"{what}_after_pruning"]
        joined[what] = joined[f"{what}_after_retraining"].where(is_retrained, after_pruning)
    joined["gone"] = _gone(joined)
    joined["macs_left"] = joined["macs_effective"] / joined["macs_dense"]
    dense = joined[joined["stage"] == "dense"].drop_duplicates("seed").set_index("seed")
    joined["file_left"] = joined["file_bytes_zstd"] / joined["seed"].map(dense["file_bytes_zstd"])
    joined["final"] = is_retrained | ((joined["stage"] == "pruned") & (joined["retraining"] == "none"))
    return joined


def _gone(table: pd.DataFrame) -> pd.Series[float]:
    reachable_counts = (table["granularity"] == "filter") & table["unreachable"].notna()
    return table["unreachable"].where(reachable_counts, table["zeros"])
