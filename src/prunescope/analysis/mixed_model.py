"""A straight line through all series at once, each with a height of its own: a mixed model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from prunescope.analysis.courses import Course
from prunescope.analysis.finding import Finding, verdict_of
from prunescope.analysis.finding_words import p_value, plural, size, within
from prunescope.analysis.metric_words import Measure
from prunescope.measures.random_intercepts import fit_line

STEP = 0.1  # sentences tell the slope for so much of the rate


def mixed_model(metric: str, measure: Measure, courses: Sequence[Course]) -> Iterator[Finding]:
    """Tell the slope of a measure with the rate, over all series, each with a height of its own."""
    from scipy import stats

    groups = np.repeat(np.arange(len(courses)), [len(each.rates) for each in courses])
    rates, values = (
        np.concatenate([getattr(each, what) for each in courses]) for what in ("rates", "values")
    )
    line = fit_line(rates, values, groups)
    common: dict[str, Any] = {
        "question": "trend by mixed model", "measure": metric, "about": "all series", "figure": measure.figure,
        "method": "slope per unit of the rate; mixed model (REML) with a random intercept per series; Student's t",
    }  # fmt: skip
    if line.why:
        said = f"No slope of the {measure.words} over all series: {line.why}."
        yield Finding(**common, estimate=math.nan, n=len(rates), verdict="no interval", sentence=said)
        return
    half = float(stats.t.ppf(0.975, line.freedom)) * line.error
    low, high = line.slope - half, line.slope + half
    p = float(2 * stats.t.sf(abs(line.slope) / line.error, line.freedom))
    verdict = verdict_of(p)
    sense = "rises" if line.slope > 0 else "falls"
    yield Finding(
        **common,
        estimate=line.slope,
        low=low,
        high=high,
        n=len(rates),
        resampled="network",
        p=p,
        p_holm=p,
        verdict=verdict,
        sentence=(
            f"On a straight line for {plural(len(rates), 'network')} of {plural(len(courses), 'series')}, each with a "
            f"height of its own, the {measure.words} {sense} by {size(measure, STEP * line.slope)} with every "
            f"{100 * STEP:.0f} points of the rate ({within(measure, STEP * low, STEP * high)}; mixed model, "
            f"{p_value(p)}): {verdict}."
        ),
    )
