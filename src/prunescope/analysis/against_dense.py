"""What became of each measure: differences to the dense network, where it is better, and where it is as good."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from prunescope.analysis.comparisons import Comparison, compare
from prunescope.analysis.equivalence import equivalences
from prunescope.analysis.finding import Finding, Margins, verdict_of
from prunescope.analysis.finding_words import at, judged, name, plural, size, tolerance, value, within
from prunescope.analysis.metric_words import Measure, margin_of, measure_of
from prunescope.analysis.results import Results
from prunescope.analysis.sweet_spots import sweet_spots
from prunescope.measures.significance import holm

DEFINITION = "pruned less dense"


def against_dense(results: Results, margins: Margins) -> Iterator[Finding]:
    """Conclude from every measure of every final network, compared with its dense one."""
    for comparisons in compare(results):
        measure = measure_of(comparisons[0].metric)
        assert measure is not None  # only those that words are known for are compared
        corrected = holm(np.array([each.p for each in comparisons])).tolist()
        margin = margin_of(comparisons[0].metric, margins)
        differences = list(_differences(measure, comparisons, corrected))
        equal = list(equivalences(measure, comparisons, margin))
        yield from _in_short(measure, comparisons, differences, equal)
        yield from differences
        yield from equal
        yield from sweet_spots(measure, comparisons, corrected)


def _differences(
    measure: Measure, comparisons: Sequence[Comparison], corrected: Sequence[float]
) -> Iterator[Finding]:
    among = sum(math.isfinite(p) for p in corrected)
    for each, p_holm in zip(comparisons, corrected, strict=True):
        verdict = verdict_of(p_holm, each.low, each.high)
        yield Finding(
            question="difference",
            measure=each.metric,
            about=f"{each.group.series} at {at(each.group.target, each.group.rate)}",
            series=each.group.series,
            target=each.group.target,
            estimate=each.difference,
            low=each.low,
            high=each.high,
            n=each.n,
            resampled=each.resampled,
            method=f"{DEFINITION}; interval: {each.interval}; test: {each.test}",
            p=each.p,
            p_holm=p_holm,
            effect=each.effect,
            effect_kind=each.effect_kind,
            verdict=verdict,
            sentence=_sentence(measure, each, p_holm, among, verdict),
            figure=measure.figure,
        )


def _sentence(measure: Measure, each: Comparison, p_holm: float, among: int, verdict: str) -> str:
    where = f"{name(each.group.series)} at {at(each.group.target, each.group.rate)}"
    if math.isnan(each.difference):
        return f"The {measure.words} of {where} cannot be compared with dense: {each.why}."
    difference = f"the {measure.words} of {where} is {compared(measure, each)}"
    if verdict == "no interval":
        why = each.why or "no interval"
        return f"{difference[0].upper()}{difference[1:]}; {why}: no interval, so nothing is concluded."
    tested = judged(each.p, p_holm, among, each.low, each.high)
    interval = f"{within(measure, each.low, each.high)}; {each.test}, {tested}"
    return f"{over(each)}, {difference} ({interval}): {verdict}."


def compared(measure: Measure, each: Comparison) -> str:
    """Say a difference: 1.2 points lower than dense (84.6 %)."""
    dense = f"dense ({value(measure, each.dense)})"
    if size(measure, each.difference) == size(measure, 0.0):
        return f"the same as {dense} to the last digit written here"
    sense = "higher" if each.difference > 0 else "lower"
    return f"{size(measure, each.difference)} {sense} than {dense}"


def over(each: Comparison) -> str:
    """Say what two networks were compared over."""
    if each.resampled == "seed":
        return f"Over {plural(each.n, 'seed')}"
    if each.resampled == "unit":
        alive = "units alive in both" if each.metric != "detectors" else "units looked at in both"
        return f"Over the {each.n:,} {alive}"
    return (
        f"Over the same {plural(each.n, 'image')}"
        if "different" not in each.interval
        else f"Over {each.n:,} images"
    )


def _in_short(
    measure: Measure,
    comparisons: Sequence[Comparison],
    differences: Sequence[Finding],
    equal: Sequence[Finding],
) -> Iterator[Finding]:
    """Count the verdicts of one measure over all networks that are not controls, and name the largest difference."""
    pruned = [i for i, each in enumerate(comparisons) if not each.group.control]
    own = [i for i in pruned if differences[i].verdict != "no interval"]
    if len(own) < 2:  # one sentence says it
        return
    shown = [i for i in own if differences[i].verdict == "shown"]
    alike = [i for i in own if equal[i].verdict == "shown to be equal"]
    without = f"; {len(pruned) - len(own)} more have no interval" if len(pruned) > len(own) else ""
    neither = len(set(own) - set(shown) - set(alike))
    place = max(shown or own, key=lambda i: abs(comparisons[i].difference))
    largest = comparisons[place]
    seeds = ", each the mean of its seeds" if all(comparisons[i].resampled == "seed" for i in own) else ""
    all_equal = not shown and len(alike) == len(own)
    yield replace(
        equal[place] if all_equal else differences[place],
        question="difference",
        about="all series",
        series="",
        target="",
        method=f"the largest difference of all, {differences[place].method}",
        margin=equal[0].margin,
        sentence=(
            f"The {measure.words} is {_senses([comparisons[i].difference for i in shown])} of "
            f"{plural(len(own), 'pruned network')}{seeds} (Holm{without}), and shown to be equal to dense "
            f"within {tolerance(measure, equal[0].margin)} in {len(alike) or 'none'}"
            + (f"; of {neither} neither is shown" if neither else "")
            + f". The largest difference{' shown' if shown else ''} is that of {name(largest.group.series)} at "
            f"{at(largest.group.target, largest.group.rate)}: {compared(measure, largest)}."
        ),
        weight=measure.weight,
    )


def _senses(differences: Sequence[float]) -> str:
    lower = sum(each < 0 for each in differences)
    counts = {"lower": lower, "higher": len(differences) - lower}
    words = [f"{sense} than dense in {n}" for sense, n in counts.items() if n]
    return f"shown to be {' and '.join(words)}" if words else "shown to differ from dense in none"
