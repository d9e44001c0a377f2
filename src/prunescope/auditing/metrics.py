"""The numbers of an audit, from its tables: those that conditions know, each under one name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from prunescope.auditing.answers import FEWEST, Answers, Floats
from prunescope.auditing.found import SIDES, Found, Intervals, Metrics, of_shares, split
from prunescope.auditing.metric_names import OF_MAPS, identifier, known_metrics, place
from prunescope.measures.intervals import mean_interval
from prunescope.measures.significance import welch

Tables = Mapping[str, pd.DataFrame]
Named = Iterator[tuple[str, Found]]
UNKNOWN = Found(None)
FATES = ("concepts_kept", "concepts_changed", "concepts_lost", "concepts_gained")


def flatten(
    tables: Tables, pruning: Mapping[str, Any], relation: Mapping[str, Any], answers: Answers | None = None
) -> tuple[Metrics, Intervals]:
    """Return the numbers of an audit by name, and the 95 % intervals of those that have one.

    Where the networks have the same units, `mis_paired_change` stands on those alive in both. `mis_change` and
    `hit_rate_change` are differences of the means over each network's own live units, and their intervals Welch's, as
    if no unit were in both. Changes of maps stand on the images that both networks have a value for.

    Args:
        tables: those of the audit: `scores`, `patterns`, `layers`, `units`, `explanations`, `speed`,
            `forgetting_groups`; any may be missing.
        pruning: what was recognised, `Recognised.overall`.
        relation: of the two networks' weights, `Relation.overall`.

    Returns:
        The numbers that were measured, None where one is not defined; and the ends of intervals.
    """
    scores = _Scores(tables.get("scores", pd.DataFrame()))
    found = {
        **dict(_sizes(scores, tables)),
        "dead_layers": Found(float(len(pruning.get("dead_layers", ())))),
        "granularity": Found(pruning.get("granularity")),
        "relation": Found(relation.get("kind")),
        "weight_correlation": Found(relation.get("correlation")),
        **dict(_units(scores, tables.get("units"))),
        **dict(_concepts(scores, tables.get("units"))),
        **dict(_maps(scores, tables.get("explanations"))),
        **dict(_times(tables.get("speed"))),
        **dict(_groups(tables.get("forgetting_groups"))),
    }
    metrics, intervals = split(found)
    if answers is not None:
        metrics, intervals = answers.metrics | metrics, answers.intervals | intervals
    usual = [name for name in known_metrics() if name in metrics]
    return {name: metrics[name] for name in dict.fromkeys((*usual, *metrics))}, intervals


class _Scores:
    """The table `scores` of both networks, by network and metric."""

    def __init__(self, table: pd.DataFrame) -> None:
        columns = table.reindex(columns=["network", "metric", "value", "low", "high"])
        self.found = {
            (str(network), str(metric)): Found(float(value), float(low), float(high))
            for network, metric, value, low, high in columns.itertuples(index=False)
        }

    def pair(self, metric: str) -> tuple[Found, Found] | None:
        """Return a metric of the dense and of the pruned network; None if it is known of neither."""
        known = [self.found.get((side, metric)) for side in SIDES]
        if known == [None, None]:
            return None
        return known[0] or UNKNOWN, known[1] or UNKNOWN

    def values(self, metric: str) -> Floats:
        """Return a metric of both networks, (2,), NaN where it is not known."""
        return _values(self.pair(metric) or (UNKNOWN, UNKNOWN))


def _values(pair: tuple[Found, Found]) -> Floats:
    return np.array([math.nan if each.value is None else float(each.value) for each in pair])


def _sizes(scores: _Scores, tables: Tables) -> Named:
    patterns, layers = tables.get("patterns", pd.DataFrame()), tables.get("layers", pd.DataFrame())
    weights, zeros = _sums(patterns, "weights"), _sums(patterns, "zeros")
    gone = _sums(layers, "unreachable", shares_of="weights")
    in_file = [scores.values(metric) for metric in ("file_bytes_zstd", "file_bytes")]
    file = in_file[1] if np.isnan(in_file[0]).all() else in_file[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = {"zeros": zeros / weights, "unreachable": gone / weights}
    counts = {
        "weights": weights,
        "nonzero": weights - zeros,
        "parameters": scores.values("weights"),
        "macs": scores.values("macs_effective"),
    }
    for name, pair in counts.items():
        yield from _both(name, pair)
        yield f"{name}_left", Found(_ratio(pair[1], pair[0]))
    for name, pair in shares.items():
        yield from _both(name, pair)
    yield "compression", Found(_ratio(*(weights - zeros)))
    yield "compression_reachable", Found(_ratio(*(weights - gone)))
    yield from _both("file_bytes", file)
    yield "file_left", Found(_ratio(file[1], file[0]))


def _sums(table: pd.DataFrame, column: str, shares_of: str | None = None) -> Floats:
    """Return the sum over all layers of the dense and of the pruned network, (2,), NaN where nothing is known of one.

    Args:
        shares_of: the column that `column` holds shares of.
    """
    if table.empty:
        return np.full(2, math.nan)
    amounts = table[column] * (table[shares_of] if shares_of else 1)
    found = amounts.groupby(table["network"].astype(str)).sum(min_count=1)
    return found.reindex(list(SIDES)).to_numpy(np.float64)


def _units(scores: _Scores, units: pd.DataFrame | None) -> Named:
    mis = scores.pair("mis")
    if mis is None or units is None:
        return
    for metric in ("units_alive", "units_dead"):
        yield from _both(metric, scores.values(metric))
    live = units[(units["kind"] == "conv") & units["alive"].astype("boolean").fillna(False)]
    for metric in ("mis", "hit_rate"):
        pair = scores.pair(metric) or (UNKNOWN, UNKNOWN)
        yield from _both(metric, pair)
        yield f"{metric}_change", _apart(live, metric, pair)
    layers = scores.values("mis_layers")
    yield from _both("mis_layers", layers)
    yield "mis_layers_change", Found(layers[1] - layers[0])
    if (paired := scores.pair("mis_paired")) is not None:  # only where the networks have the same units
        yield from _both("mis_paired", paired)
        wide = live.pivot(index=["layer", "unit"], columns="network", values="mis").dropna()
        yield "mis_paired_change", _mean_change(wide)
    yield from _both("mis_published", scores.pair("mis_published") or (UNKNOWN, UNKNOWN))
    yield "mis_chance", (scores.pair("mis_chance") or (UNKNOWN,))[0]


def _apart(live: pd.DataFrame, metric: str, pair: tuple[Found, Found]) -> Found:
    """Return the difference of two networks' means over their own live units, with Welch's interval."""
    change = _values(pair)[1] - _values(pair)[0]
    before, after = (
        live.loc[live["network"] == side, metric].dropna().to_numpy(np.float64)[:, None] for side in SIDES
    )
    if min(len(before), len(after)) < 2:
        return Found(change)
    compared = welch(before, after)
    return Found(change, float(compared.low[0]), float(compared.high[0]))


def _mean_change(wide: pd.DataFrame) -> Found:
    """Return the mean over rows of the column "pruned" less the column "dense"."""
    if not len(wide) or not set(SIDES) <= set(wide):
        return UNKNOWN
    change = wide["pruned"].to_numpy(np.float64) - wide["dense"].to_numpy(np.float64)
    return Found(float(change.mean()), *mean_interval(change))


def _concepts(scores: _Scores, units: pd.DataFrame | None) -> Named:
    if scores.pair("detectors") is None or units is None:
        return
    for metric in ("detectors", "unique_detectors"):
        pair = scores.values(metric)
        yield from _both(metric, pair)
        yield f"{metric}_left", Found(_ratio(pair[1], pair[0]))
    found = units[units["detector"].astype("boolean").fillna(False)]
    dense, pruned = (
        set(found.loc[found["network"] == side, ["category", "concept"]].itertuples(index=False, name=None))
        for side in SIDES
    )
    yield "concept_jaccard", Found(_ratio(len(dense & pruned), len(dense | pruned)))
    for metric in FATES:
        if (fates := scores.pair(metric)) is not None:  # only where the networks have the same units
            yield metric, fates[1]


def _maps(scores: _Scores, explanations: pd.DataFrame | None) -> Named:
    for control in ("whole", "random"):
        if (pair := scores.pair(f"proxy/{control}")) is not None:
            yield f"proxy_{control}", pair[0]
    if explanations is None:
        return
    for method, rows in explanations.groupby("method", sort=False):
        for what, quantity in OF_MAPS.items():
            pair = scores.pair(f"{method}/{what}")
            name = f"{identifier(str(method))}_{what}"
            if pair is None:
                continue
            if not quantity.ends:  # likeness to the dense network
                yield name, pair[1]
                continue
            yield from _both(name, pair)
            wide = rows.assign(value=_of_each(rows, what)).pivot(
                index="image", columns="network", values="value"
            )
            yield f"{name}_change", _mean_change(wide.dropna())


def _of_each(rows: pd.DataFrame, what: str) -> pd.Series[float]:
    """Return what the means of explanations are of, image by image."""
    if what == "faithfulness":
        return rows["insertion"] - rows["deletion"]
    return rows["proxy_correct" if what == "proxy_top1" else what].astype("float64")


def _times(speed: pd.DataFrame | None) -> Named:
    if speed is None:
        return
    for row in speed.to_dict("records"):
        variant, where = str(row["variant"]), place(str(row["runtime"]), int(row["batch"]))
        yield f"ms_{where}_{variant}", Found(float(row["milliseconds"]))
        if variant != "dense":
            name = "speedup" if variant == "pruned" else f"speedup_{variant}"
            yield f"{name}_{where}", Found(float(row["speedup"]), float(row["low"]), float(row["high"]))


def _groups(groups: pd.DataFrame | None) -> Named:
    """Yield the group of images that loses most, of those with enough images."""
    if groups is None:
        return
    whole = groups[(groups["class"] == "") & (groups["n"] >= FEWEST)].dropna(subset=["fnr_change"])
    if not len(whole):
        return
    worst = whole.iloc[int(whole["fnr_change"].argmax())]
    yield "worst_group", Found(f"{worst['attribute']}: {worst['group']}")
    yield "worst_group_rise", of_shares(worst["fnr_change"], worst["fnr_low"], worst["fnr_high"])


def _both(name: str, pair: Iterable[Found | float]) -> Named:
    for side, each in zip(SIDES, pair, strict=True):
        yield f"{name}_{side}", each if isinstance(each, Found) else Found(float(each))


def _ratio(one: float, other: float) -> float:
    return float(one / other) if other else math.nan
