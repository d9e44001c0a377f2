"""The tables of a study folder, read and joined: all that a report is made from."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.measures.intervals import t_interval
from prunescope.report.tables import read_tables

METRICS = (
    "top1", "top5", "cross_entropy", "calibration_error",
    "weights", "nonzero", "unreachable_all",
    "compression_prunable", "compression_all", "compression_reachable",
    "macs_dense", "macs_effective", "macs_compact", "weights_compact",
    "file_bytes", "file_bytes_zstd", "file_bytes_compact", "file_bytes_compact_zstd", "file_bytes_packed",
    "mis", "mis_layers", "mis_paired", "mis_published", "hit_rate", "mis_chance", "units_alive", "units_dead",
    "detectors", "unique_detectors", "concept_jaccard",
    "concepts_kept", "concepts_changed", "concepts_lost", "concepts_gained",
)  # fmt: skip
TABLES_AS_THEY_ARE = ("classes", "steps", "units", "detectors", "examples", "thumbnails", "speed")


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
        units: one row per network, layer and unit; NaN or NA where a measure did not look at it.
        detectors: one row per network, control, layer ("" for all) and category ("" for all).
        examples: one row per image that a unit of a network answers to most or least.
        thumbnails: one row per image of the examples.
        speed: one row per network, runtime, batch and variant (dense, masked, compact).
        files: the names of all files of tables.
    """

    study: dict[str, Any]
    networks: pd.DataFrame
    layers: pd.DataFrame
    classes: pd.DataFrame
    steps: pd.DataFrame
    units: pd.DataFrame
    detectors: pd.DataFrame
    examples: pd.DataFrame
    thumbnails: pd.DataFrame
    speed: pd.DataFrame
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
    tables = read_tables(folder)
    networks = _join(tables["networks"], tables["scores"])
    layers = (
        tables["layers"]
        .drop(columns="rate", errors="ignore")
        .merge(networks[["network", "granularity"]], on="network")
    )
    layers["left"] = 1 - _gone(layers)
    files = sorted(path.name for path in (folder / "tables").glob("[!.]*.parquet"))
    rest = {name: tables[name] for name in TABLES_AS_THEY_ARE}
    return Results(study=study, networks=networks, layers=layers, files=files, **rest)


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
