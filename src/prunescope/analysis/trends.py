"""Does a measure rise or fall with the rate? Within each series, and over all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from prunescope.analysis.comparisons import metrics_of
from prunescope.analysis.courses import Course, courses_of
from prunescope.analysis.finding import Finding, Margins, verdict_of
from prunescope.analysis.finding_words import coefficient, judged, p_value, plural
from prunescope.analysis.metric_words import Measure, measure_of
from prunescope.analysis.mixed_model import mixed_model
from prunescope.analysis.results import Results
from prunescope.measures.intervals import t_interval
from prunescope.measures.rank_trends import (
    Permuted,
    correlation_interval,
    pearson,
    permute_within,
)
from prunescope.measures.significance import LEVEL, holm

LEAST = 3  # rates, for a trend within one series


def trends(results: Results, margins: Margins) -> Iterator[Finding]:
    """Conclude whether each measure rises or falls with the rate."""
    for metric in metrics_of(results):
        measure, courses = measure_of(metric), courses_of(results, metric)
        assert measure is not None  # metrics_of yields no other
        own = [each for each in courses if not each.control] or courses
        yield from _over_series(metric, measure, own)
        yield from _within_series(metric, measure, courses, own[0] if len(own) == 1 else None)


def _within_series(
    metric: str, measure: Measure, courses: Sequence[Course], only: Course | None
) -> Iterator[Finding]:
    """Conclude from each series by itself; if there is `only` one that is no control, its row is told first."""
    own = [each for each in courses if len(each.rates) >= LEAST]
    tests = [permute_within([(each.rates, each.values)]) if each.moves else None for each in own]
    corrected = holm(np.array([test.p if test else math.nan for test in tests])).tolist()
    among = sum(test is not None for test in tests)
    for course, test, p_holm in zip(own, tests, corrected, strict=True):
        if test is None:
            yield _constant(metric, measure, course)
            continue
        row = _within(metric, measure, course, test, p_holm, among)
        weight = _weight_of(measure, row.verdict, test.least) if course is only else 0.0
        yield replace(row, weight=weight)


def _constant(metric: str, measure: Measure, course: Course) -> Finding:
    return Finding(
        question="trend within a series",
        measure=metric,
        about=course.label,
        series=course.series,
        estimate=math.nan,
        n=len(course.rates),
        method="Spearman's correlation with the rate",
        verdict="no interval",
        sentence=f"The {measure.words} of {course.label} is the same at all {plural(len(course.rates), 'rate')}: no "
        "trend can be computed.",
        figure=measure.figure,
    )


def _within(
    metric: str, measure: Measure, course: Course, test: Permuted, p_holm: float, among: int
) -> Finding:
    n = len(course.rates)
    low, high = correlation_interval(course.rho, n, of_ranks=True)
    least = f"; {plural(n, 'rate')} cannot give less than {test.least:.3f}" if test.least >= LEVEL else ""
    verdict = verdict_of(p_holm, low, high)
    interval = f"95 % interval {coefficient(low)} to {coefficient(high)}; " if math.isfinite(low) else ""
    tested = judged(test.p, p_holm, among, low, high)
    return Finding(
        question="trend within a series",
        measure=metric,
        about=course.label,
        series=course.series,
        estimate=course.rho,
        low=low,
        high=high,
        n=n,
        resampled="network" if math.isfinite(low) else "",
        method=f"Spearman's correlation with the rate; permutation test ({_counted(test)}); interval: Bonett and "
        "Wright's",
        p=test.p,
        p_holm=p_holm,
        verdict=verdict,
        sentence=(
            f"Within {course.label}, over {plural(n, 'rate')}, the {measure.words} {_sense(course.rho)} with the rate "
            f"(Spearman {coefficient(course.rho)}; {interval}permutation test, {tested}{least}): {verdict}."
        ),
        figure=measure.figure,
    )


def _counted(test: Permuted) -> str:
    return "all orders counted" if test.exact else "10,000 orders drawn"


def _over_series(metric: str, measure: Measure, courses: Sequence[Course]) -> Iterator[Finding]:
    moving = [each for each in courses if each.moves]
    networks = sum(len(each.rates) for each in courses)
    if len(courses) < 2:  # the row of the one series says all
        return
    if not moving:
        yield Finding(
            "trend", metric, "all series", math.nan, method="Spearman", verdict="no interval", n=len(courses),
            figure=measure.figure,
            sentence=f"No trend of the {measure.words} with the rate can be computed: in each of "
            f"{plural(len(courses), 'series')}{_of_seeds(courses)} there is one rate only, or the same value at all.",
        )  # fmt: skip
        return
    yield _permutation(metric, measure, moving, courses)
    yield from mixed_model(metric, measure, courses)
    yield _pooled(metric, measure, courses, networks)


def _permutation(
    metric: str, measure: Measure, moving: Sequence[Course], courses: Sequence[Course]
) -> Finding:
    correlations = [each.rho for each in moving]
    mean = math.fsum(correlations) / len(correlations)
    alike = max(correlations) - min(correlations) < 1e-12
    low, high = (math.nan,) * 2 if alike or len(moving) < 2 else t_interval(correlations)
    low, high = max(low, -1.0), min(high, 1.0)
    test = permute_within([(each.rates, each.values) for each in moving])
    left_out = len(courses) - len(moving)
    verdict = verdict_of(test.p)
    interval = f"; 95 % interval {coefficient(low)} to {coefficient(high)}" if math.isfinite(low) else ""
    least = f"; these cannot give less than {test.least:.3f}" if test.least >= LEVEL else ""
    others = (
        " in these, though the interval over series holds 0"
        if verdict == "shown" and low <= 0 <= high
        else ""
    )
    sentence = (
        f"{_senses(measure, correlations, _of_seeds(courses))} (mean Spearman {coefficient(mean)}{interval}; "
        f"permutation of the rates within each series, {p_value(test.p)}{least}): a trend is {verdict}{others}."
        + (f" Left out: {left_out} with one rate, or the same value at all." if left_out else "")
    )
    return Finding(
        question="trend",
        measure=metric,
        about="all series",
        estimate=mean,
        low=low,
        high=high,
        n=len(moving),
        resampled="series" if math.isfinite(low) else "",
        method="mean of Spearman's correlations within series; interval: Student's t over series; permutation of the "
        f"rates within each series ({_counted(test)})",
        p=test.p,
        p_holm=test.p,
        verdict=verdict,
        sentence=sentence,
        figure=measure.figure,
        weight=_weight_of(measure, verdict, test.least),
    )


def _weight_of(measure: Measure, verdict: str, least: float) -> float:
    """Return how early a trend is told; `least`: the smallest p that it could have had."""
    if verdict == "shown":
        return measure.weight - 0.3
    return measure.weight - (2.3 if least < LEVEL else 6.0)


def _of_seeds(courses: Sequence[Course]) -> str:
    names = {each.series for each in courses}
    return " (each seed is one)" if len(names) < len(courses) else ""


def _pooled(metric: str, measure: Measure, courses: Sequence[Course], networks: int) -> Finding:
    rates = np.concatenate([each.rates for each in courses])
    r = pearson(rates, np.concatenate([each.values for each in courses]))
    return Finding(
        question="trend, pooled",
        measure=metric,
        about="all series",
        estimate=r,
        n=networks,
        method="Pearson's correlation of rate and measure, all series in one",
        verdict="described",
        sentence=(
            f"With {plural(networks, 'network')} of all series pooled, the {measure.words} and the rate have a Pearson "
            f"correlation of {coefficient(r)}. It mixes what happens within series with what differs between them, so "
            "it is described only."
        ),
        figure=measure.figure,
    )


def _senses(measure: Measure, correlations: Sequence[float], of_seeds: str) -> str:
    rising, falling = (sum(sign * rho > 0 for rho in correlations) for sign in (1, -1))
    every = f"{plural(len(correlations), 'series')}{of_seeds}"
    if len(correlations) in {rising, falling}:
        whole = f"all {every}" if len(correlations) > 1 else every
        return f"In {whole}, the {measure.words} {'rises' if rising else 'falls'} with the rate"
    return f"Over {every}, the {measure.words} rises with the rate in {rising} and falls in {falling}"


def _sense(rho: float) -> str:
    return "rises" if rho > 0 else "falls" if rho < 0 else "neither rises nor falls"
