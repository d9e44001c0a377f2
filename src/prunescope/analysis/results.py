"""The tables of a study folder, read and joined: all that a report is made from."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from prunescope.analysis.tables import NEEDED, read_answers_of, read_tables
from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.measures.intervals import t_interval

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
TABLES_AS_THEY_ARE = (
    "classes", "steps", "units", "detectors", "examples", "thumbnails", "speed", "sensitivity",
    "scores", "explanations", "explanation_curves", "explanation_pictures",
    "forgetting", "forgetting_classes", "forgetting_images", "forgetting_groups", "forgetting_attributes", "images",
    "curves", "votes", "participants",
)  # fmt: skip


Network = dict[str, Any]  # one row of `Results.networks`
Answers = Callable[[Sequence[str]], pd.DataFrame]


def no_answers(networks: Sequence[str]) -> pd.DataFrame:
    """Return no answers, of tables that hold none."""
    return pd.DataFrame(columns=list(NEEDED["images"]))


class Estimate(NamedTuple):
    """A metric of one series at one target, averaged over seeds.

    `target` is what was asked, a rate or a budget, as text; `rate` the mean of the rates, which for a budget is
    found anew for each seed. `low` and `high` are the 95 % interval: for one network the metric's own, over images
    (NaN where there is none); for several, Student's t over seeds. `seeds` counts those that differ: networks of
    several seeds that are one and the same are one.
    """

    series: str
    target: str
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
            `target`: what was asked, as text, filled in from the rate where the table has none; networks of
            several seeds belong together by `series` and `target`, since `rate` may have been found for each;
            `asked`: whether the target is a rate, rather than a budget or a factor for which a rate was found;
            `zeros`, `unreachable`: fraction of the prunable weights, as the network stands;
            `gone`: the one of the two that says what is really gone, `unreachable` for filters, else `zeros`;
            `left`: the rest, or what the rate leaves where sizes were not measured;
            `macs_left`, `file_left`: against the dense network of the same seed;
            `before`: of a retrained network, the one just pruned that it comes from, if its series has one;
            `final`: whether the series ends in this network, rather than going on to retrain it;
            `run`: the study that it is from, where several are looked at together, else ""; studies that start from
                the same dense networks share one, so that a network and its dense one have `run` and `seed` in common;
            `published`: whether it is from a published study that is only drawn along.
        layers: one row per network and layer, with `left`: the fraction of its weights that is not gone.
        classes: one row per network and class.
        steps: one row per step.
        units: one row per network, layer and unit; NaN or NA where a measure did not look at it.
        detectors: one row per network, control, layer ("" for all) and category ("" for all).
        examples: one row per image that a unit of a network answers to most or least.
        thumbnails: one row per image of the examples.
        speed: one row per network, runtime, batch and variant (dense, masked, compact).
        sensitivity: one row per series, seed, layer and rate, that layer alone being pruned.
        scores: one row per network and metric; those outside of `METRICS` are only here.
        explanations: one row per network, method of attribution and image explained.
        explanation_curves: one row per network, method, curve (deletion, insertion) and share of the pixels.
        explanation_pictures: one row per picture of an explanation: the image, its heat map, its explanation map.
        forgetting: one row per series, target, stage and metric: networks pruned alike against the dense ones.
        forgetting_classes: one row per series, target, stage and class.
        forgetting_images: one row per series, target, stage and image.
        forgetting_groups: one row per series, target, stage, attribute, group and class ("" for their mean).
        forgetting_attributes: one row per series, target, stage and attribute.
        images: one row per network and image, of the most forgotten images alone.
        curves: one row per network and epoch of its training.
        votes: one row per answer that a person gave, of those whose answers count.
        participants: one row per person who was asked, those whose answers do not count among them.
        files: the names of all files of tables.
        answers_of: reads what networks, given by name, called every image: `network, image, label, prediction`.
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
    sensitivity: pd.DataFrame
    scores: pd.DataFrame
    explanations: pd.DataFrame
    explanation_curves: pd.DataFrame
    explanation_pictures: pd.DataFrame
    forgetting: pd.DataFrame
    forgetting_classes: pd.DataFrame
    forgetting_images: pd.DataFrame
    forgetting_groups: pd.DataFrame
    forgetting_attributes: pd.DataFrame
    images: pd.DataFrame
    curves: pd.DataFrame
    votes: pd.DataFrame
    participants: pd.DataFrame
    files: list[str]
    answers_of: Answers = no_answers

    @property
    def dense(self) -> pd.DataFrame:
        """The dense networks, one per run and seed."""
        return self.networks[(self.networks["stage"] == "dense") & ~self.networks["published"]]

    @property
    def sparse(self) -> pd.DataFrame:
        """All networks but the dense ones."""
        return self.networks[self.networks["stage"] != "dense"]

    @property
    def pruned(self) -> pd.DataFrame:
        """The networks just pruned, before any retraining."""
        return self.networks[self.networks["stage"] == "pruned"]

    @property
    def prunings(self) -> pd.DataFrame:
        """One network per pruning: as pruned; or as trained, if that pruned it or used the mask of another series."""
        return self.networks[
            (self.networks["stage"] == "pruned")
            | ((self.networks["stage"] == "retrained") & self.networks["before"].isna())
        ]

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
        return [str(name) for name in self.sparse["series"].unique()]

    @property
    def controls(self) -> dict[str, str]:
        """The series that are controls of another one: their names, and which control each is."""
        rows = self.sparse.drop_duplicates("series").dropna(subset=["control"])
        return {
            str(name): str(control) for name, control in zip(rows["series"], rows["control"], strict=True)
        }

    @property
    def published(self) -> list[str]:
        """The names of the series of published studies that are only drawn along."""
        return [str(name) for name in self.sparse.loc[self.sparse["published"], "series"].unique()]

    def dense_beside(self, series: str) -> pd.DataFrame:
        """Return the dense networks of the run that a series is from."""
        runs = self.networks.loc[self.networks["series"] == series, "run"]
        return self.dense[self.dense["run"].isin(runs)]

    @property
    def published_dense(self) -> pd.DataFrame:
        """The dense networks of those studies."""
        return self.networks[(self.networks["stage"] == "dense") & self.networks["published"]]

    @property
    def rate_label(self) -> str:
        """What an axis or a column of rates is called."""
        return "Rate asked" if self.networks["asked"].all() else "Rate asked or found"

    @property
    def target_label(self) -> str:
        """What rows or ticks are called that are named by `name_target`."""
        return "Rate asked" if self.networks["asked"].all() else "Target"

    @property
    def seeds(self) -> int:
        """How many seeds there are, of the series that has most."""
        return int(self.networks.groupby("series")["seed"].nunique().max()) if len(self.networks) else 0

    @property
    def own(self) -> Results:
        """The same without the published studies that are only drawn along."""
        if not self.networks["published"].any():
            return self
        names = self.networks.loc[self.networks["published"], "network"]
        tables = {name: getattr(self, name) for name in ("networks", "scores", "curves")}
        kept: dict[str, Any] = {name: rows[~rows["network"].isin(names)] for name, rows in tables.items()}
        return replace(self, **kept)

    @property
    def chance(self) -> float:
        """Top-1 of always naming the most frequent class; NaN where it is not known."""
        one = self.classes[self.classes["network"] == self.classes["network"].min()]
        return float(one["n"].max() / one["n"].sum()) if len(one) else math.nan

    def settings_of(self, measure: str) -> dict[str, Any]:
        """Return the settings of a measure, as far as they are told."""
        choices = (self.study.get("settings") or {}).get("measure") or []
        own = (
            each.get("settings") for each in choices if isinstance(each, dict) and each.get("name") == measure
        )
        return next((settings for settings in own if isinstance(settings, dict)), {})

    def measured(self, metric: str) -> bool:
        """Whether any network has this metric."""
        return bool(self.networks[metric].notna().any())


def read_results(folder: Path) -> Results:
    """Read a study folder.

    Raises:
        PrunescopeError: a table or `study.json` is missing, damaged, or lacks a column.
    """
    return join_tables(_read_study(folder / "study.json"), read_tables(folder), folder)


def join_tables(study: dict[str, Any], tables: dict[str, pd.DataFrame], folder: Path) -> Results:
    """Join the tables of a folder, as `read_tables` returns them, to `Results`."""
    networks = _join(tables["networks"], tables["scores"])
    layers = (
        tables["layers"]
        .drop(columns="rate", errors="ignore")
        .merge(networks[["network", "granularity"]], on="network")
    )
    layers["left"] = 1 - _gone(layers)
    files = sorted(path.name for path in (folder / "tables").glob("[!.]*.parquet"))
    rest = {name: tables[name] for name in TABLES_AS_THEY_ARE}
    answers = partial(read_answers_of, folder)
    return Results(study=study, networks=networks, layers=layers, files=files, answers_of=answers, **rest)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def is_rate(target: str) -> bool:
    """Whether a target is a rate, rather than a budget or a factor of what each layer tolerates."""
    return re.fullmatch(r"[0-9.]+(e-[0-9]+)?", target) is not None


def targets_of(networks: pd.DataFrame) -> dict[str, float]:
    """Return the targets of networks by their mean rate, which rises."""
    means = networks.groupby("target", sort=False)["rate"].mean().round(6).sort_values(kind="stable")
    return {str(target): float(rate) for target, rate in means.items()}


def are_one(networks: pd.DataFrame) -> bool:
    """Whether networks of several seeds are one and the same, given for all seeds and pruned alike: by their scores."""
    told = networks.reindex(columns=["top1", "cross_entropy"])
    return bool(told.notna().all(axis=None)) and len(told.drop_duplicates()) == 1


def over_seeds(networks: pd.DataFrame, metric: str) -> list[Estimate]:
    """Average a metric over the seeds of each series and target, rates rising within a series."""
    estimates = []
    known = {"series", "target", "rate", metric, f"{metric}_low", f"{metric}_high", "top1", "cross_entropy"}
    of_metric = networks[[column for column in networks if column in known]].dropna(subset=[metric])
    for (series, target), group in of_metric.groupby(["series", "target"], sort=False):
        values = [float(value) for value in group[metric]]
        if len(values) > 1 and len(set(values)) == 1 and are_one(group):
            values = values[:1]
        if len(values) > 1:
            low, high = t_interval(values)
        else:
            low, high = (float(group.iloc[0].get(f"{metric}_{end}", math.nan)) for end in ("low", "high"))
        rate, value = round(float(group["rate"].mean()), 6), math.fsum(values) / len(values)
        estimates.append(Estimate(str(series), str(target), rate, value, low, high, len(values)))
    order = {series: place for place, series in enumerate(dict.fromkeys(each.series for each in estimates))}
    return sorted(estimates, key=lambda each: (order[each.series], each.rate))


def read_record(path: Path, what: str, command: str) -> Any:
    """Read the JSON that says what was done, beside the tables.

    Args:
        what: whose folder it lies in: an audit, a study that was run.
        command: what makes such a folder.

    Raises:
        PrunescopeError: it is missing, damaged, or cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PrunescopeError(f"{path} is missing: expected the folder of {what} (`{command}`)") from error
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
    except (ValueError, RecursionError) as error:
        again = what.split()[1]
        raise PrunescopeError(
            f"{path} is damaged ({error}): run the {again} again to write it anew"
        ) from error


def _read_study(path: Path) -> dict[str, Any]:
    study = read_record(path, "a study that was run", "prunescope run STUDY")
    if not isinstance(study, dict):
        raise PrunescopeError(f"{path} is damaged (no object): run the study again to write it anew")
    return study


def _join(networks: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Put every network's metrics beside it, and what follows from them."""
    joined = networks.assign(rate=networks["rate"].fillna(0.0).round(6))  # .3 and .1 + .2 are one rate
    joined["target"] = joined["target"].fillna(joined["rate"].map("{:.4g}".format))
    joined["asked"] = joined["target"].map(is_rate).astype(bool)
    for column, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
        wide = scores.pivot(index="network", columns="metric", values=column).reindex(columns=list(METRICS))
        joined = joined.join(wide.astype(float).add_suffix(suffix), on="network")
    is_retrained = joined["stage"] == "retrained"
    for what in ("zeros", "unreachable"):
        after_pruning = joined[f"{what}_after_pruning"]
        joined[what] = joined[f"{what}_after_retraining"].where(is_retrained, after_pruning)
    joined["gone"] = _gone(joined)
    joined["left"] = (1 - joined["gone"].fillna(joined["rate"])).where(joined["stage"] != "dense", 1.0)
    joined["macs_left"] = joined["macs_effective"] / joined["macs_dense"]
    dense = joined[joined["stage"] == "dense"].drop_duplicates("seed").set_index("seed")
    joined["file_left"] = joined["file_bytes_zstd"] / joined["seed"].map(dense["file_bytes_zstd"])
    joined["before"] = _before(joined)
    joined["final"] = is_retrained | ((joined["stage"] == "pruned") & (joined["retraining"] == "none"))
    joined["run"] = ""
    joined["published"] = False
    return joined


def _before(networks: pd.DataFrame) -> pd.Series[Any]:
    pruned = networks[networks["stage"] == "pruned"].set_index("network")["series"]
    own = (networks["stage"] == "retrained") & (networks["parent"].map(pruned) == networks["series"])
    return networks["parent"].where(own)


def _gone(table: pd.DataFrame) -> pd.Series[float]:
    reachable_counts = (table["granularity"] == "filter") & table["unreachable"].notna()
    return table["unreachable"].where(reachable_counts, table["zeros"])
