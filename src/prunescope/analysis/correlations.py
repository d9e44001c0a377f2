"""Which measures go together: over networks, and within each series."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from prunescope.analysis import pairs
from prunescope.analysis.finding import Finding, Margins, verdict_of
from prunescope.analysis.finding_words import coefficient, judged, p_value, plural
from prunescope.analysis.metric_words import MEASURES
from prunescope.analysis.results import Results
from prunescope.measures.rank_trends import (
    Floats,
    correlation_bootstrap,
    correlation_interval,
    pearson,
    permute_within,
    spearman,
)

PAIRS = (("mis", "top1"), ("detectors", "top1"), ("unique_detectors", "top1"), ("mis", "detectors"))
FIGURES = {("mis", "top1"): "top1-by-mis"}
LEAST, LARGE = 4, 30  # networks: for a correlation, and for the bootstrap
ALONE = "network"


def correlations(results: Results, margins: Margins) -> Iterator[Finding]:
    """Conclude which measures go together over the networks in which the series end."""
    for first, second in PAIRS:
        final = results.final
        if (kept := final["control"].isna()).any():
            final = final[kept]
        final = final.copy()
        for metric in (first, second):
            final[metric] = final["network"].map(pairs.numbers_of(results, metric))
        both = final.dropna(subset=[first, second])
        if len(both):
            yield from _of_pair(first, second, both)


def _of_pair(first: str, second: str, both: pd.DataFrame) -> Iterator[Finding]:
    x, y = (both[metric].to_numpy(np.float64) for metric in (first, second))
    words = f"the {MEASURES[first].words} and the {MEASURES[second].words}"
    common: dict[str, Any] = {
        "measure": f"{first} and {second}", "about": "all series", "figure": FIGURES.get((first, second), ""),
    }  # fmt: skip
    if len(x) < LEAST or math.isnan(pearson(x, y)):
        few = f"only {plural(len(x), 'network')} {'has' if len(x) == 1 else 'have'} both"
        why = few if len(x) < LEAST else "one of them is the same in all networks"
        yield Finding(
            question="correlation", **common, estimate=math.nan, n=len(x), method="none", verdict="no interval",
            sentence=f"Whether {words} go together cannot be said: {why}.",
        )  # fmt: skip
        return
    within = list(_within_series(words, first, second, both, common))
    ranks, line = (_over_networks(words, x, y, of_ranks, common) for of_ranks in (True, False))
    beside = "".join(f" Within series it is {coefficient(row.estimate)} on average." for row in within)
    yield replace(ranks, sentence=ranks.sentence + beside)
    yield line
    yield from within


def _over_networks(words: str, x: Floats, y: Floats, of_ranks: bool, common: dict[str, Any]) -> Finding:
    kind, r = ("Spearman", spearman(x, y)) if of_ranks else ("Pearson", pearson(x, y))
    low, high, how = interval_of(x, y, r, of_ranks)
    p, test = p_of(x, y, r, of_ranks)
    within = f"95 % interval {coefficient(low)} to {coefficient(high)}; " if math.isfinite(low) else ""
    verdict = verdict_of(p, low, high)
    return Finding(
        question="correlation" if of_ranks else "linear correlation",
        **common,
        estimate=r,
        low=low,
        high=high,
        n=len(x),
        resampled=ALONE if math.isfinite(low) else "",
        method=f"{kind}'s correlation; interval: {how}; test: {test}",
        p=p,
        p_holm=p,
        verdict=verdict,
        sentence=(
            f"Over {plural(len(x), 'network')}, taken as independent, {words} have a {kind} correlation of "
            f"{coefficient(r)} ({within}{judged(p, p, 1, low, high)}): {verdict}."
        ),
        weight=(5.0 if verdict == "shown" else 2.0)
        if of_ranks and common["measure"] == "mis and top1"
        else 0.0,
    )


def interval_of(x: Floats, y: Floats, r: float, of_ranks: bool) -> tuple[float, float, str]:
    """Return the 95 % interval of a correlation, and how it was made."""
    if len(x) >= LARGE:
        return *correlation_bootstrap(x, y, of_ranks), "percentile bootstrap, 10,000 draws"
    low, high = correlation_interval(r, len(x), of_ranks)
    return low, high, "none" if math.isnan(low) else "Bonett and Wright's" if of_ranks else "Fisher's z"


def p_of(x: Floats, y: Floats, r: float, of_ranks: bool) -> tuple[float, str]:
    """Return the p of a correlation, and the name of the test."""
    from scipy import stats

    if of_ranks and len(x) < LARGE:
        test = permute_within([(x, y)])
        return test.p, f"permutation ({'all orders counted' if test.exact else '10,000 orders drawn'})"
    freedom = len(x) - 2
    t = abs(r) * math.sqrt(freedom / (1 - r**2)) if abs(r) < 1 else math.inf
    return float(2 * stats.t.sf(t, freedom)), "Student's t"


def _within_series(
    words: str, first: str, second: str, both: pd.DataFrame, common: dict[str, Any]
) -> Iterator[Finding]:
    """Ask the same within each series: whatever differs between series moves nothing there."""
    series = []
    for _, own in both.groupby(["run", "series", "seed"], sort=False):
        x, y = (own[metric].to_numpy(np.float64) for metric in (first, second))
        if len(x) > 1 and not math.isnan(spearman(x, y)):
            series.append((x, y))
    if len(series) < 2:
        return
    mean = math.fsum(spearman(x, y) for x, y in series) / len(series)
    test = permute_within(series)
    verdict = verdict_of(test.p)
    yield Finding(
        question="correlation within series",
        **common,
        estimate=mean,
        n=len(series),
        method="mean of Spearman's correlations within series; permutation within each series "
        f"({'all orders counted' if test.exact else '10,000 orders drawn'})",
        p=test.p,
        p_holm=test.p,
        verdict=verdict,
        sentence=(
            f"Within {plural(len(series), 'series')}, where the rate moves both, {words} have a mean Spearman "
            f"correlation of {coefficient(mean)} (permutation within each series, {p_value(test.p)}): {verdict}."
        ),
    )
