"""What published means of MIS are made of: with the units that are dead, and with these set aside."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.analysis.dead_units import means_of
from prunescope.analysis.finding import Finding, Margins
from prunescope.analysis.finding_words import coefficient, plural
from prunescope.analysis.live_units import BOTH, scored_units
from prunescope.analysis.results import Results
from prunescope.measures.rank_trends import pearson, spearman

LEAST = 3  # networks, for a correlation to be told
WEIGHT = 8.0


@dataclass(frozen=True)
class MeanMis:
    """The mean MIS of the convolution and linear units of one network.

    Attributes:
        scored: with dead units, as published.
        live: without them.
        dead: their share.
        layer: the share of `Corrected.layer` among the units that are left.
    """

    network: str
    series: str
    target: str
    rate: float
    scored: float
    live: float
    dead: float
    layer: float


@dataclass(frozen=True)
class Corrected:
    """The means of all networks, and how they go with the rate.

    Attributes:
        layer: the layer whose share of the units grows most when dead ones are set aside.
        of_all: its share of all units.
    """

    means: list[MeanMis]
    layer: str
    of_all: float

    def pooled(self, which: str) -> float:
        """Return Pearson's correlation of the rate and the mean, over the networks of all series."""
        values = np.array([getattr(each, which) for each in self.means])
        return (
            pearson(np.array([each.rate for each in self.means]), values)
            if len(values) >= LEAST
            else math.nan
        )

    def within(self, which: str) -> dict[str, float]:
        """Return Spearman's correlation of both within each series of enough networks."""
        found = {}
        for series, own in self.by_series().items():
            if len(own) >= LEAST:
                rates, values = (np.array([getattr(each, key) for each in own]) for key in ("rate", which))
                found[series] = spearman(rates, values)
        return {series: rho for series, rho in found.items() if not math.isnan(rho)}

    def by_series(self) -> dict[str, list[MeanMis]]:
        """Return the means of each series, rates rising."""
        found: dict[str, list[MeanMis]] = {}
        for each in sorted(self.means, key=lambda each: each.rate):
            found.setdefault(each.series, []).append(each)
        return {series: found[series] for series in dict.fromkeys(each.series for each in self.means)}


def is_published(results: Results) -> bool:
    """Whether the results are a published study's."""
    return bool(results.study.get("published"))


def corrected_means(results: Results) -> Corrected | None:
    """Return the means of the networks of a published study; None if it has no units of pruned networks."""
    tables = scored_units(results, BOTH) if is_published(results) else {}
    rows = results.final[results.final["network"].isin(tables)]
    tables = {
        str(network): tables[str(network)].dropna(subset=["mis_published"]) for network in rows["network"]
    }
    tables = {network: own for network, own in tables.items() if len(own) and own["alive"].any()}
    if not tables:
        return None
    names = list(results.units["layer"].cat.categories)
    of_all = _shares([own["layer"].to_numpy() for own in tables.values()], len(names))
    of_live = _shares([own.loc[own["alive"], "layer"].to_numpy() for own in tables.values()], len(names))
    most = int((of_live - of_all).max(0).argmax())
    share = dict(zip(tables, of_live[:, most], strict=True))
    means = []
    for row in rows[rows["network"].isin(tables)].to_dict("records"):
        found = means_of(tables[row["network"]])
        ends = (row["network"], row["series"], row["target"], row["rate"])
        means.append(MeanMis(*ends, found.scored, found.live, found.dead, float(share[row["network"]])))
    return Corrected(means, str(names[most]), float(of_all[0, most]))


def _shares(layers: Sequence[NDArray[np.int64]], count: int) -> NDArray[np.float64]:
    """Return the share of each layer among the units of each network, (networks, layers)."""
    found = np.stack([np.bincount(own, minlength=count) for own in layers]).astype(np.float64)
    shares: NDArray[np.float64] = found / found.sum(1, keepdims=True)
    return shares


def as_published(results: Results, margins: Margins) -> Iterator[Finding]:
    """Describe how published means go with the rate, dead units averaged in and set aside."""
    found = corrected_means(results)
    if found is None:
        return
    scored, live = found.pooled("scored"), found.pooled("live")
    if not math.isnan(scored + live):
        yield _correlation(found, scored, live)


def _correlation(found: Corrected, scored: float, live: float) -> Finding:
    within = [found.within(which).values() for which in ("scored", "live")]
    rising = [sum(rho > 0 for rho in own) for own in within]
    return Finding(
        question="as published",
        measure="mis_published",
        about="all series",
        estimate=live,
        n=len(found.means),
        method="Pearson's correlation of rate and mean MIS, all series in one, dead units set aside",
        effect=scored,
        effect_kind="the same with dead units averaged in",
        verdict="described",
        sentence=(
            f"Over {plural(len(found.means), 'network')} of all series pooled, Pearson's correlation of the rate and "
            f"the mean MIS of convolution and linear units is {coefficient(scored, 3)} with dead units averaged in and "
            f"{coefficient(live, 3)} with them set aside. Of {plural(len(within[0]), 'series')}, the mean rises with "
            f"the rate in {rising[0]} with them and in {rising[1]} without. Which units are dead is inferred."
        ),
        figure="published-and-corrected",
        weight=WEIGHT,
    )
