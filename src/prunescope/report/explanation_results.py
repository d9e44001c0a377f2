"""What was measured of explanations, beside each network: by method, and against the dense network image by image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from prunescope.analysis.metric_words import METHOD_NAMES
from prunescope.analysis.results import Results, records
from prunescope.measures.intervals import mean_interval

LIKENESS = ("spearman", "ssim", "iou")
SCORED = (
    *LIKENESS, *(f"{what}_chance" for what in LIKENESS),
    "deletion", "insertion", "faithfulness", "confidence", "pointing", "inside", "object_share", "gini", "entropy",
    "empty", "proxy_top1",
)  # fmt: skip
CHANGES = ("deletion", "insertion", "faithfulness", "confidence", "proxy_top1")
OF_PROXY = ("proxy/whole", "proxy/random")


KNOWN = [
    "network", "series", "seed", "stage", "target", "rate", "asked", "control", "final", "run", "published",
]  # fmt: skip


class Stage(NamedTuple):
    """Networks at one stage of their series: `name` is empty for those in which it ends."""

    name: str
    networks: pd.DataFrame
    hollow: bool


def name_method(method: str, start: bool = True) -> str:
    """Write a method as it stands at the start of a sentence, or within; those with only Captum's name keep it."""
    name = METHOD_NAMES.get(method, method)
    return name[:1].upper() + name[1:] if start else name


def methods_of(results: Results) -> list[str]:
    """Return the methods of attribution that a study used, in its order."""
    parts = [str(metric).rpartition("/") for metric in results.scores["metric"].unique()]
    return list(dict.fromkeys(method for method, _, what in parts if what in SCORED and method))


def with_explanations(results: Results) -> Results:
    """Put what was measured of explanations beside every network.

    Returns:
        the results, whose `networks` have for each method the columns `<method>/<what>` of `SCORED`, the mean over
        images, and `<method>/<what>_change` of `CHANGES`, the mean over the same images of the difference from the
        dense network of the same seed; each with `…_low` and `…_high`; also those of `OF_PROXY`.
    """
    metrics = [f"{method}/{what}" for method in methods_of(results) for what in SCORED] + list(OF_PROXY)
    networks = results.networks
    own = results.scores[results.scores["metric"].isin(metrics)]
    for column, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
        wide = own.pivot(index="network", columns="metric", values=column).reindex(columns=metrics)
        networks = networks.join(wide.astype(float).add_suffix(suffix), on="network")
    return replace(results, networks=networks.join(_changes(results), on="network"))


def only(networks: pd.DataFrame, *metrics: str) -> pd.DataFrame:
    """Return what networks are and a few metrics: working on hundreds of columns takes its time."""
    columns = [f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high")]
    return networks[KNOWN + [column for column in columns if column in networks]]


def stages(results: Results, method: str, what: str = "confidence") -> list[Stage]:
    """Return the stages at which networks were explained by a method."""
    column = f"{method}/{what}"
    retrained = results.retrained[column].notna().any()
    found = [Stage("before retraining" if retrained else "", results.pruned, True)]
    found += [Stage("", results.retrained, False)]
    return [stage for stage in found if stage.networks[column].notna().any()]


def _changes(results: Results) -> pd.DataFrame:
    """Return a row per network that was explained beside its dense one; columns as `with_explanations` says."""
    methods = methods_of(results)
    columns = [
        f"{method}/{what}_change{end}"
        for method in methods
        for what in CHANGES
        for end in ("", "_low", "_high")
    ]
    found = dict(_changes_by_network(results))
    index = pd.Index(list(found), dtype=object)
    return pd.DataFrame(list(found.values()), index, dtype=np.float64).reindex(columns=columns)


def _changes_by_network(results: Results) -> Iterator[tuple[str, dict[str, float]]]:
    table = _with_differences(results.explanations)
    images = {
        str(name): own.set_index(["method", "image"]) for name, own in table.groupby("network", sort=False)
    }
    dense_of = results.dense.set_index(["run", "seed"])["network"].map(str).to_dict()
    for row in records(results.sparse[["network", "run", "seed"]]):
        name, dense = str(row["network"]), images.get(dense_of.get((row["run"], row["seed"]), ""))
        if dense is None or name not in images:
            continue
        values: dict[str, float] = {}
        difference = images[name][list(CHANGES)] - dense[list(CHANGES)]
        for method, own in difference.groupby(level="method", sort=False):
            for what in CHANGES:
                column, change = f"{method}/{what}_change", own[what].dropna().to_numpy()
                if len(change):
                    values[column] = float(change.mean())
                # Over several seeds the interval is that of their means.
                if len(change) and results.seeds == 1:
                    values[f"{column}_low"], values[f"{column}_high"] = mean_interval(change)
        yield name, values


def _with_differences(explanations: pd.DataFrame) -> pd.DataFrame:
    return explanations.assign(
        faithfulness=explanations["insertion"] - explanations["deletion"],
        proxy_top1=explanations["proxy_correct"].to_numpy(dtype=np.float64, na_value=np.nan),
    )
