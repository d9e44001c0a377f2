"""What scoring dead units does to an average: with them, as published, against without them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from prunescope.analysis.finding import Finding, Margins, verdict_of
from prunescope.analysis.finding_words import at, judged, name, signed, within
from prunescope.analysis.live_units import BOTH, Chain, chains_of, inferred, scored_units
from prunescope.analysis.metric_words import MEASURES
from prunescope.analysis.results import Results
from prunescope.measures.intervals import t_interval
from prunescope.measures.significance import holm

NOTABLE = 0.02  # of MIS: from here on, the artefact is worth telling first
WEIGHT = 8.5
LEAST = 30  # units
_Z = 1.959963984540054
_MIS = MEASURES["mis"]


class Means(NamedTuple):
    """Of one network: the mean with dead units scored, without them, the error of their difference, the dead share."""

    scored: float
    live: float
    error: float
    dead: float
    n: int


def means_of(units: pd.DataFrame) -> Means:
    """Average the published score over all units and over those alive.

    Args:
        units: `alive, mis_published`, a row per unit.

    The error of the difference is that of a ratio of means, to first order (the delta method).
    """
    values, alive = units["mis_published"].to_numpy(np.float64), units["alive"].to_numpy(bool)
    scored, live = values.mean(), values[alive].mean()
    influence = (values - scored) - alive * (values - live) / alive.mean()
    error = float(influence.std()) / math.sqrt(len(values))
    return Means(float(scored), float(live), error, 1 - float(alive.mean()), len(values))


def dead_units(results: Results, margins: Margins) -> Iterator[Finding]:
    """Conclude for each series with dead units how much of what its mean does, from start to end, is theirs."""
    units = scored_units(results, BOTH)
    found: dict[str, list[tuple[Chain, Means, Means]]] = {}
    for chain in chains_of(results):
        if not chain.pairs:
            continue
        tables = [units.get(each) for each in (chain.pairs[-1].other, chain.pairs[-1].network)]
        known = [each.dropna(subset=["mis_published"]) for each in tables if each is not None]
        if len(known) == 2 and all(len(each) >= LEAST and each["alive"].any() for each in known):
            first, last = map(means_of, known)
            if first.dead or last.dead:
                found.setdefault(chain.series, []).append((chain, first, last))
    rows = [_finding(own) for own in found.values()]
    corrected = holm(np.array([row.p for row in rows])).tolist()
    among = sum(math.isfinite(p) for p in corrected)
    told = []
    for row, p_holm in zip(rows, corrected, strict=True):
        verdict = verdict_of(p_holm)
        end = (
            f": {verdict} ({judged(row.p, p_holm, among)})."
            if math.isfinite(p_holm)
            else ", without an interval."
        )
        sentence = f"{row.sentence}{end}{inferred(results, row.series)}"
        told.append(replace(row, p_holm=p_holm, verdict=verdict, sentence=sentence))
    most = max(told, key=lambda row: abs(row.estimate), default=None)
    for row in told:
        yield replace(row, weight=WEIGHT) if row is most and abs(row.estimate) >= NOTABLE else row


def _finding(own: list[tuple[Chain, Means, Means]]) -> Finding:
    """Return a finding whose sentence still lacks its verdict, which waits for all series."""
    from scipy import stats

    chain, first, last = own[0]
    artefacts = [(end.scored - start.scored) - (end.live - start.live) for _, start, end in own]
    artefact = math.fsum(artefacts) / len(own)
    if len(own) > 1:
        low, high = t_interval(artefacts)
        p = float(stats.ttest_1samp(artefacts, 0.0).pvalue) if high > low else math.nan
        n, resampled, interval = len(own), "seed", "Student's t over seeds"
    else:
        error = math.hypot(first.error, last.error)
        low, high = artefact - _Z * error, artefact + _Z * error
        p = math.erfc(abs(artefact) / error / math.sqrt(2)) if error > 0 else math.nan
        n, resampled, interval = last.n, "unit", "normal, by the delta method"
    pair, (target, rate) = chain.pairs[-1], chain.targets[-1]
    start = "dense" if pair.dense else at(pair.target, pair.rate)
    seeds = f", mean of {len(own)} seeds" if len(own) > 1 else ""
    ends = [math.fsum(getattr(each[i], what) for each in own) / len(own)
            for what in ("scored", "live") for i in (1, 2)]  # fmt: skip
    dead = math.fsum(each[2].dead for each in own) / len(own)
    return Finding(
        question="dead units",
        measure="mis_published",
        about=chain.series,
        series=chain.series,
        target=target,
        estimate=artefact,
        low=low,
        high=high,
        n=n,
        resampled=resampled if math.isfinite(low) else "",
        method=f"change from {start} with dead units scored, less the change without them; interval: {interval}",
        p=p,
        effect=dead,
        effect_kind="share of dead units",
        verdict="not shown",
        sentence=(
            f"From {start} to {at(target, rate)} of {name(chain.series)}{seeds}, the mean MIS of convolution and "
            f"linear units goes from {ends[0]:.3f} to {ends[1]:.3f} if dead units are scored too, and from "
            f"{ends[2]:.3f} to {ends[3]:.3f} without them. {100 * dead:.0f} % of the units are dead; they alone make "
            f"{signed(_MIS, artefact)} of the change ({within(_MIS, low, high)})"
        ),
        figure="mis-by-rate",
    )
