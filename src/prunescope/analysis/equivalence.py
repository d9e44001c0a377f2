"""Is a measure as good as the dense network's? Shown only if its whole 90 % interval lies within a margin."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from prunescope.analysis.comparisons import Comparison
from prunescope.analysis.finding import Finding
from prunescope.analysis.finding_words import at, judged, name, tolerance, within
from prunescope.analysis.metric_words import Measure
from prunescope.measures.significance import LEVEL, Floats, holm, tost


def equivalences(measure: Measure, comparisons: Sequence[Comparison], margin: float) -> Iterator[Finding]:
    """Test each difference for lying within ± margin, which is in the unit of the measure."""
    difference, error, freedom = (
        np.array([getattr(each, what) for each in comparisons]) for what in ("difference", "error", "freedom")
    )
    p = tost(difference, error, freedom, margin)
    corrected = holm(p)
    among = int(np.isfinite(p).sum())
    halves = _halves(error, freedom)
    if not among:
        yield _without_intervals(measure, comparisons, margin)
        return
    for each, own, p_holm, half in zip(
        comparisons, p.tolist(), corrected.tolist(), halves.tolist(), strict=True
    ):
        equal = p_holm < LEVEL
        where = (
            f"the {measure.words} of {name(each.group.series)} at {at(each.group.target, each.group.rate)}"
        )
        claim = f"equal to dense within {tolerance(measure, margin)}"
        if math.isnan(p_holm):
            said = f"Whether {where} is {claim} cannot be said: {each.why or 'one seed'}, so there is no interval."
        else:
            narrow = within(measure, each.difference - half, each.difference + half, level=90)
            tested = f"{narrow}; two one-sided tests, {judged(own, p_holm, among)}"
            said = (
                f"{where[0].upper()}{where[1:]} is shown to be {claim} ({tested})."
                if equal
                else f"That {where} is {claim} is not shown ({tested})."
            )
        yield Finding(
            question="equivalence",
            measure=each.metric,
            about=f"{each.group.series} at {at(each.group.target, each.group.rate)}",
            series=each.group.series,
            target=each.group.target,
            estimate=each.difference,
            low=each.low,
            high=each.high,
            n=each.n,
            resampled=each.resampled,
            method=f"two one-sided tests (TOST) of pruned less dense; interval: {each.interval}",
            p=own,
            p_holm=p_holm,
            margin=margin,
            verdict="no interval" if math.isnan(p_holm) else "shown to be equal" if equal else "not shown",
            sentence=said,
            figure=measure.figure,
        )


def _without_intervals(measure: Measure, comparisons: Sequence[Comparison], margin: float) -> Finding:
    claim = f"equal to dense within {tolerance(measure, margin)}"
    why = "; ".join(dict.fromkeys(each.why for each in comparisons))
    return Finding(
        question="equivalence",
        measure=comparisons[0].metric,
        about="all series",
        estimate=math.nan,
        method="none: two one-sided tests need an interval",
        margin=margin,
        verdict="no interval",
        sentence=f"Whether the {measure.words} is {claim} cannot be said of any network: {why}, so there is no "
        "interval.",
        figure=measure.figure,
    )


def _halves(error: Floats, freedom: Floats) -> Floats:
    from scipy import stats

    halves: Floats = stats.t.ppf(0.95, freedom) * error
    return halves
