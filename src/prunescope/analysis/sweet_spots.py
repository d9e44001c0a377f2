"""Rates at which a measure is better than the dense network's, beyond its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from prunescope.analysis.comparisons import Comparison
from prunescope.analysis.finding import Finding, verdict_of
from prunescope.analysis.finding_words import at, name, plural, size, within
from prunescope.analysis.metric_words import Measure

MOST_NAMED = 6


def sweet_spots(
    measure: Measure, comparisons: Sequence[Comparison], corrected: Sequence[float]
) -> Iterator[Finding]:
    """Say of each series at which of its rates it is shown to be better, and at which most.

    Args:
        corrected: the p of each comparison, by Holm's method over all series and rates.
    """
    if not measure.better:
        return
    tested = [(each, p) for each, p in zip(comparisons, corrected, strict=True) if math.isfinite(p)]
    found = []
    for series in dict.fromkeys(each.group.series for each, _ in tested):
        own = [(each, p) for each, p in tested if each.group.series == series]
        found.append(_of_series(measure, own, len(tested)))
    yield from _weighed(measure, found, {each.group.series for each, _ in tested if each.group.control})


def _of_series(measure: Measure, own: Sequence[tuple[Comparison, float]], among: int) -> Finding:
    better = [
        (each, p)
        for each, p in own
        if verdict_of(p, each.low, each.high) == "shown" and measure.better * each.difference > 0
    ]
    best, p_holm = max(better or own, key=lambda pair: measure.better * pair[0].difference)
    series = best.group.series
    sense = "higher" if measure.better > 0 else "lower"
    difference = f"{size(measure, best.difference)} {sense} ({within(measure, best.low, best.high)})"
    best_rate = at(best.group.target, best.group.rate)
    measured = f"the {measure.words} of {name(series)}"
    if better:
        sentence = (
            f"{_rates([each for each, _ in better], len(own))}, {measured} is shown to be better than "
            f"dense{_corrected(among)}{f', most at {best_rate}' if len(better) > 1 else ''}: {difference}, over "
            f"{plural(best.n, best.resampled)}."
        )
    else:
        where = f"At none of its {plural(len(own), 'rate')}, {measured} is" if len(own) > 1 else (
            f"At {best_rate}, the one rate that there is, {measured} is not")  # fmt: skip
        nearest = measure.better * best.difference > 0
        sentence = f"{where} shown to be better than dense{_corrected(among)}; " + (
            f"nearest to it is {best_rate}: {difference}." if nearest else f"it is nowhere measured {sense}."
        )
    return Finding(
        question="sweet spot",
        measure=best.metric,
        about=series,
        series=series,
        target=best.group.target,
        estimate=best.difference,
        low=best.low,
        high=best.high,
        n=best.n,
        resampled=best.resampled,
        method=f"pruned less dense at the best rate; interval: {best.interval}; test: {best.test}",
        p=best.p,
        p_holm=p_holm,
        effect=best.effect,
        effect_kind=best.effect_kind,
        verdict="shown" if better else "not shown",
        sentence=sentence,
        figure=measure.figure,
    )


def _rates(better: Sequence[Comparison], every: int) -> str:
    rates = [at(each.group.target, each.group.rate) for each in better]
    if every == 1:
        return f"At {rates[0]}, the one rate that there is"
    more = f" and {len(rates) - MOST_NAMED} more" if len(rates) > MOST_NAMED else ""
    return f"At {len(rates)} of {every} rates ({', '.join(rates[:MOST_NAMED])}{more})"


def _corrected(among: int) -> str:
    return f" (Holm over {among} networks)" if among > 1 else ""


def _weighed(measure: Measure, found: Sequence[Finding], controls: set[str]) -> Iterator[Finding]:
    """Give the series that is better by most a place among what is told first."""
    shown = [each for each in found if each.verdict == "shown" and each.series not in controls]
    best = max(shown, key=lambda each: measure.better * each.estimate, default=None)
    for each in found:
        yield replace(each, weight=measure.weight - 1.5) if each is best else each
