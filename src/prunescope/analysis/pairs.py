"""Each pruned network beside the dense one that it comes from, and what of both can be compared one by one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.analysis.results import Results, are_one

Floats = NDArray[np.float64]
Values = dict[str, Floats]  # by network, one value for each thing, in one order for all


class Group(NamedTuple):
    """The networks of all seeds that were pruned alike and in which a series ends.

    Attributes:
        series: its name.
        target: what was asked.
        rate: the mean of the rates.
        control: whether it is a control of another series.
        pairs: the names of each network and of its dense one; one pair where the networks of all seeds are one.
    """

    series: str
    target: str
    rate: float
    control: bool
    pairs: list[tuple[str, str]]


def groups_of(results: Results) -> list[Group]:
    """Return the final networks with their dense ones, in the order of the series, rates rising."""
    final = results.final.assign(dense=dense_of(results)).dropna(subset=["dense"])
    groups = []
    for (series, target), own in final.groupby(["series", "target"], sort=False):
        dense = results.dense[results.dense["network"].isin(own["dense"])]
        alone = own[:1] if are_one(own) and (own["dense"].nunique() == 1 or are_one(dense)) else own
        pairs = [(str(one), str(dense)) for one, dense in zip(alone["network"], alone["dense"], strict=True)]
        control = bool(own["control"].notna().any())
        groups.append(Group(str(series), str(target), round(float(own["rate"].mean()), 6), control, pairs))
    order = {series: place for place, series in enumerate(dict.fromkeys(each.series for each in groups))}
    return sorted(groups, key=lambda each: (order[each.series], each.rate))


def dense_of(results: Results) -> pd.Series[str]:
    """Return the name of the dense network of every network's run and seed; NaN where it is missing."""
    dense = results.dense.drop_duplicates(["run", "seed"]).set_index(["run", "seed"])["network"]
    keys = pd.MultiIndex.from_frame(results.networks[["run", "seed"]])
    return pd.Series(dense.reindex(keys).to_numpy(), index=results.networks.index)


def numbers_of(results: Results, metric: str) -> pd.Series[float]:
    """Return a metric of every network that has it, by the name of the network."""
    if metric in results.networks:
        return results.networks.set_index("network")[metric].dropna()
    own = results.scores[results.scores["metric"] == metric]
    return own.set_index("network")["value"].dropna()


def of_units(results: Results, metric: str, networks: Iterable[str], looked_at: str) -> Values:
    """Return a number of each convolution unit.

    Args:
        metric: a column of the table of units.
        networks: the names of those that are asked for.
        looked_at: a column that is empty where the measure did not look at a unit.

    Returns:
        NaN where a unit has no value, or is dead.
    """
    units = results.units
    names = [str(name) for name in networks]
    units = units[units["network"].isin(names) & (units["kind"] == "conv") & units[looked_at].notna()]
    if units.empty:
        return {}
    keys = units["layer"].cat.codes.to_numpy(np.int64) * (int(units["unit"].max()) + 1) + units["unit"]
    _, rows = np.unique(keys, return_inverse=True)
    values = units[metric].astype("float64").to_numpy()
    column = units["network"].astype("category").cat.remove_unused_categories()
    table = np.full((len(column.cat.categories), rows.max() + 1), np.nan)
    table[column.cat.codes, rows] = values
    return {str(name): own for name, own in zip(column.cat.categories, table, strict=True)}


def of_answers(results: Results, networks: Iterable[str]) -> Values:
    """Return 1 for each image that a network gets right and 0 for each other; nothing without a table of answers."""
    names = list(dict.fromkeys(networks))
    answers = results.answers_of(names) if names else pd.DataFrame()
    if answers.empty:
        return {}
    right = np.asarray(answers["label"] == answers["prediction"], dtype=np.float64)
    return _by_network(answers["network"], answers["image"], right)


def of_explanations(results: Results, metric: str, networks: Iterable[str]) -> Values:
    """Return a number of the map of each image, by a metric such as "grad-cam/inside"; NaN where it has none."""
    method, _, name = metric.rpartition("/")
    maps = results.explanations
    maps = maps[(maps["method"] == method) & maps["network"].isin(list(networks))]
    if maps.empty:
        return {}
    maps = maps.assign(faithfulness=maps["insertion"] - maps["deletion"], proxy_top1=maps["proxy_correct"])
    return _by_network(maps["network"], maps["image"], np.asarray(maps[name].astype("float64")))


def _by_network(networks: pd.Series[str], things: pd.Series[str], values: Floats) -> Values:
    columns, names = pd.factorize(networks)
    rows, found = pd.factorize(things)
    table = np.full((len(names), len(found)), np.nan)
    table[columns, rows] = values
    return {str(name): own for name, own in zip(names, table, strict=True)}
