"""Is a change of an average one of the units, or of how many each layer has? The same, layers' proportions held."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from prunescope.analysis.finding import Finding, Margins, verdict_of
from prunescope.analysis.finding_words import at, judged, name, plural, signed, within
from prunescope.analysis.live_units import BOTH, CONV, Chain, Pair, chains_of, inferred, scored_units
from prunescope.analysis.metric_words import MEASURES
from prunescope.analysis.results import Results
from prunescope.measures.intervals import t_interval
from prunescope.measures.significance import holm

NOTABLE = 0.005  # of MIS: from here on, shifted proportions are worth telling first
GROWN = 0.01  # of the units, from which on it is worth saying which layer grows
WEIGHT = 5.5
_Z = 1.959963984540054
_MIS = MEASURES["mis"]


class Held(NamedTuple):
    """The change of an average, plain and with the proportions of the layers held.

    Attributes:
        plain: mean of all live units of one network less that of the other.
        held: the same, each layer counting as in the unpruned network; layers without live units in one are left out.
        error: the standard error of `held`.
        n: live units of the network.
        layer: the number of the layer whose share of the units grew most.
        before: its share in the unpruned network.
        after: its share in the network.
    """

    plain: float
    held: float
    error: float
    n: int
    layer: int
    before: float
    after: float


def hold_proportions(network: pd.DataFrame, other: pd.DataFrame, unpruned: pd.DataFrame) -> Held:
    """Compare two averages of MIS by direct standardisation to the layers of the unpruned network.

    Args:
        network: `layer, unit, mis` of its live units.
        other: the same of the network that it is compared with.
        unpruned: `layer` of all units that the layers have unpruned.

    The error is that of a mean over strata, the layers: units that live in both are paired.

    *Source:* Fleiss, Statistical methods for rates and proportions, 2003, on direct standardisation.
    """
    new, old = (_by_layer(each) for each in (network, other))
    layers = new.index.intersection(old.index)
    whole = unpruned["layer"].value_counts()
    shares = new["n"] / new["n"].sum(), whole / whole.sum()
    growth = shares[0].sub(shares[1], fill_value=0.0)
    grown = int(growth.index[int(np.argmax(growth))])
    new, old = new.loc[layers], old.loc[layers]
    weights = whole.loc[layers] / whole.loc[layers].sum()
    both = network.merge(other, on=["layer", "unit"], suffixes=("", "_other"))
    residuals = [
        both[column] - both.groupby("layer")[column].transform("mean") for column in ("mis", "mis_other")
    ]
    together = (residuals[0] * residuals[1]).groupby(both["layer"]).sum().reindex(layers, fill_value=0.0)
    # A layer with one unit has no deviation of its own: it gets that of all layers together.
    variances = (
        new["variance"].fillna(_pooled(new)) / new["n"] + old["variance"].fillna(_pooled(old)) / old["n"]
    )
    variance = (weights**2 * (variances - 2 * together / (new["n"] * old["n"]))).sum()
    return Held(
        float(network["mis"].mean() - other["mis"].mean()),
        float((weights * (new["mean"] - old["mean"])).sum()),
        math.sqrt(max(float(variance), 0.0)),
        len(network),
        grown,
        float(shares[1].get(grown, 0.0)),
        float(shares[0].get(grown, 0.0)),
    )


def _by_layer(units: pd.DataFrame) -> pd.DataFrame:
    groups = units.groupby("layer")["mis"]
    return pd.DataFrame({"n": groups.count(), "mean": groups.mean(), "variance": groups.var()})


def _pooled(layers: pd.DataFrame) -> float:
    freedom = layers["n"] - 1
    return float((layers["variance"].fillna(0.0) * freedom).sum() / max(float(freedom.sum()), 1.0))


def compositions(results: Results, margins: Margins) -> Iterator[Finding]:
    """Conclude for every final network how far its mean MIS moves with the layers' proportions held."""
    chains = chains_of(results)
    units = {kinds: scored_units(results, kinds) for kinds in (CONV, BOTH)}
    found: dict[tuple[str, str], list[tuple[Chain, Pair, Held]]] = {}
    for chain in chains:
        for (target, _), pair in zip(chain.targets, chain.pairs, strict=True):
            tables = units[CONV if pair.dense else BOTH]
            both = [tables[each] for each in (pair.network, pair.other) if each in tables]
            if len(both) < 2:
                continue
            alive = [each[each["alive"] & each["mis"].notna()] for each in both]
            unpruned = alive[-1] if pair.dense else both[-1]  # whose dead units were there once
            if all(map(len, alive)) and set(alive[0]["layer"]) & set(alive[1]["layer"]):
                held = hold_proportions(alive[0], alive[1], unpruned)
                found.setdefault((chain.series, target), []).append((chain, pair, held))
    rows = [_finding(results, target, own) for (_, target), own in found.items()]
    corrected = holm(np.array([row.p for row, _ in rows])).tolist()
    among = sum(math.isfinite(p) for p in corrected)
    told = [
        (_judged(row, p_holm, among), shift) for (row, shift), p_holm in zip(rows, corrected, strict=True)
    ]
    yield from _weighed(told, {each.series for each in chains if each.control})


def _finding(results: Results, target: str, own: list[tuple[Chain, Pair, Held]]) -> tuple[Finding, float]:
    """Return a finding whose sentence still lacks its verdict, and what shifted proportions did to the plain mean."""
    from scipy import stats

    chain, pair, first = own[0]
    rate = next(rate for each, rate in chain.targets if each == target)
    plain, held = (math.fsum(getattr(each[2], what) for each in own) / len(own) for what in ("plain", "held"))
    if len(own) > 1:
        n, resampled, interval = len(own), "seed", "Student's t over seeds"
        changes = np.array([each[2].held for each in own])
        low, high = t_interval(changes.tolist())
        p = float(stats.ttest_1samp(changes, 0.0).pvalue) if high > low else math.nan
    else:
        n, resampled, interval = first.n, "unit", "normal, units drawn within layers"
        low, high = held - _Z * first.error, held + _Z * first.error
        p = math.erfc(abs(held) / first.error / math.sqrt(2)) if first.error > 0 else math.nan
    other = "dense" if pair.dense else at(pair.target, pair.rate)
    kinds = "convolution units" if pair.dense else "convolution and linear units"
    layer = str(results.units["layer"].cat.categories[first.layer])
    interval_words = f" ({within(_MIS, low, high)})" if math.isfinite(low) else ""
    seeds = f", on average over {plural(len(own), 'seed')}" if len(own) > 1 else ""
    of_seed = f" (seed {chain.seed})" if len(own) > 1 else ""
    grown = (
        f" The layer whose share grows most{of_seed}, {name(layer)}, has {100 * first.after:.0f} % of the live "
        f"units, and {100 * first.before:.0f} % unpruned."
        if first.after - first.before >= GROWN
        else ""
    )
    sentence = (
        f"From {other} to {at(target, rate)} of {name(chain.series)}{seeds}, the plain mean MIS of live {kinds} "
        f"changes by {signed(_MIS, plain)}; with the layers' proportions held as unpruned by "
        f"{signed(_MIS, held)}{interval_words}.{grown}{inferred(results, chain.series)}"
    )
    row = Finding(
        question="composition",
        measure="mis",
        about=f"{chain.series} at {at(target, rate)}",
        series=chain.series,
        target=target,
        estimate=held,
        low=low,
        high=high,
        n=n,
        resampled=resampled if math.isfinite(low) else "",
        method=f"mean MIS of live {kinds} less that of {other}, directly standardised to the unpruned layers; "
        f"interval: {interval}",
        p=p,
        effect=plain - held,
        effect_kind="of the plain change, what shifted proportions of the layers make",
        verdict="not shown",
        sentence=sentence,
        figure="mis-by-layer",
    )
    return row, plain - held


def _judged(row: Finding, p_holm: float, among: int) -> Finding:
    verdict = verdict_of(p_holm)
    tested = f" ({judged(row.p, p_holm, among)})" if math.isfinite(p_holm) else ""
    end = (
        f" A change with the proportions held is {verdict}{tested}." if tested else " One value: no interval."
    )
    return replace(row, p_holm=p_holm, verdict=verdict, sentence=row.sentence + end)


def _weighed(rows: list[tuple[Finding, float]], controls: set[str]) -> Iterator[Finding]:
    """Give the row in which proportions shift the mean most a place among what is told first, if they do notably."""
    own = [(row, abs(shift)) for row, shift in rows if row.series not in controls]
    most, shift = max(own, key=lambda pair: pair[1], default=(None, 0.0))
    for row, _ in rows:
        yield replace(row, weight=WEIGHT) if row is most and shift >= NOTABLE else row
