"""What can be concluded from the answers of people: which network they prefer, and how far they agree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from prunescope.analysis.agreement import OVER, Agreement, agreements
from prunescope.analysis.crossed import Crossed
from prunescope.analysis.finding import Finding, Margins, verdict_of
from prunescope.analysis.finding_words import coefficient, judged, name, plural, signed, within
from prunescope.analysis.metric_words import Measure
from prunescope.analysis.recognitions import Recognition, recognitions
from prunescope.analysis.results import Results
from prunescope.analysis.votes import (
    BUSIEST,
    Preference,
    holm_of,
    name_of,
    people_noun,
    preferences,
    preferences_by_class,
    without_busiest,
)

WEIGHT, WEIGHT_NOT_SHOWN, WEIGHT_OF_AGREEMENT = 9.2, 7.2, 4.0
MOST_ORDERED = 10  # comparisons that the summary tells apart by how sure they are
UNIT = "participant and item"
INTERVAL = "Student's t; jackknife over participants and over items, less that over answers"
METHOD = f"share of the answers that prefer one; interval: {INTERVAL}"
_RIGHT = Measure("share of right answers", "share", 1, 0.02, "identification", 0)
ONLY_TOTALS = "only totals are known, so there is no interval over participants and items"


def votes(results: Results, margins: Margins) -> Iterator[Finding]:
    """Conclude which of two networks people prefer, and how well they recognise what one shows."""
    pairs = preferences(results)
    corrected = holm_of(each.crossed.p for each in pairs)
    among = sum(math.isfinite(p) for p in corrected)
    weights = weights_of(corrected)
    for pair, p_holm, weight in zip(pairs, corrected, weights, strict=True):
        yield _preference("votes", pair, results, p_holm, among, weight)
    yield from _as_if_independent(pairs, results)
    rest = without_busiest(results)
    for question, others in (
        ("votes without the busiest", rest),
        ("votes by class", preferences_by_class(results)),
    ):
        holm = holm_of(each.crossed.p for each in others)
        known = sum(math.isfinite(p) for p in holm)
        for pair, p_holm in zip(others, holm, strict=True):
            yield _preference(question, pair, results, p_holm, known, 0.0)
    yield from _recognitions(recognitions(results), results)


def weights_of(corrected: Sequence[float]) -> list[float]:
    """Return the weights of comparisons by their p after Holm: those that are shown first, the surest before others."""
    order = sorted(range(len(corrected)), key=lambda i: corrected[i] if math.isfinite(corrected[i]) else 2.0)
    return [
        (WEIGHT if p < 0.05 else WEIGHT_NOT_SHOWN) - 0.1 * min(order.index(i), MOST_ORDERED)
        for i, p in enumerate(corrected)
    ]


def agreement(results: Results, margins: Margins) -> Iterator[Finding]:
    """Conclude how far people agree."""
    found = agreements(results)
    corrected = holm_of(each.alpha.p for each in found)
    among = sum(math.isfinite(p) for p in corrected)
    for each, p_holm in zip(found, corrected, strict=True):
        yield _agreement(each, p_holm, among, people_noun(results))


def _preference(
    question: str, pair: Preference, results: Results, p_holm: float, among: int, weight: float
) -> Finding:
    one, other = name_of(pair.one, results), name_of(pair.other, results)
    verdict = verdict_of(p_holm)
    said = _said(pair, one, other, people_noun(results))
    if question == "votes without the busiest":
        said = f"Without the {BUSIEST} {people_noun(results)}s who gave most answers: {said}"
    said = said[0].upper() + said[1:]
    known = math.isfinite(pair.crossed.p)
    return Finding(
        question=question,
        measure=pair.experiment,
        about=f"{pair.about}: {one} or {other}",
        estimate=pair.share,
        low=pair.crossed.low,
        high=pair.crossed.high,
        n=pair.participants or sum(pair.counts),
        resampled=UNIT if known else "",
        method=METHOD if known else "share of the answers that prefer one",
        p=pair.crossed.p,
        p_holm=p_holm,
        effect=pair.share - 0.5,
        effect_kind="Cohen's g",
        verdict=verdict,
        sentence=f"{said}: {verdict} ({judged(pair.crossed.p, p_holm, among)})." if known else f"{said}.",
        figure="votes-by-class" if question == "votes by class" else "votes",
        weight=weight if known else 0.0,
    )


def _said(pair: Preference, one: str, other: str, person: str) -> str:
    every = sum(pair.counts)
    if not pair.decided:
        return f"with {pair.shown} shown, none of {plural(every, 'answer')} prefers {one} or {other} to the other"
    text = (
        f"with {pair.shown} shown, {_percent(pair.share)} of the {plural(pair.decided, 'answer')} that prefer {one} or "
        f"{other} prefer {other} ({pair.counts[2]:,} of {every:,} call them equal"
    )
    if not pair.participants:
        return f"{text}); {ONLY_TOTALS}"
    people = f"{plural(pair.participants, person)} and {plural(pair.items, 'item')}"
    if math.isnan(pair.crossed.low):
        return f"{text}; {people}: too few, or too alike, for an interval)"
    return f"{text}; {_interval(pair.crossed)} over {people})"


def _as_if_independent(pairs: Sequence[Preference], results: Results) -> Iterator[Finding]:
    """Give the test that published studies made, which takes each answer for another person's."""
    corrected = holm_of(pair.p_of_chi2 for pair in pairs)
    for pair, p_holm in zip(pairs, corrected, strict=True):
        if not pair.decided:
            continue
        one, other = name_of(pair.one, results), name_of(pair.other, results)
        low, high = pair.as_if_independent
        narrower = ""
        if math.isfinite(pair.crossed.low):
            ratio = (pair.crossed.high - pair.crossed.low) / (high - low)
            narrower = f" The interval over participants and items is {ratio:.2f} times as wide."
        yield Finding(
            question="votes as if independent",
            measure=pair.experiment,
            about=f"{pair.about}: {one} or {other}",
            estimate=pair.chi2,
            n=pair.decided,
            method="Pearson's χ² of the answers that prefer one, against one half each",
            p=pair.p_of_chi2,
            p_holm=p_holm,
            verdict="described",
            sentence=(
                f"With {pair.shown} shown, and as if all {pair.decided:,} answers that prefer {one} or {other} were "
                f"independent, "
                f"χ² = {pair.chi2:.3f} ({judged(pair.p_of_chi2, p_holm, len(pairs))}). But answers of one person, and "
                f"about one image, go together.{narrower}"
            ),
            figure="votes",
        )


def _recognitions(found: Sequence[Recognition], results: Results) -> Iterator[Finding]:
    corrected = holm_of(each.change.p for each in found)
    among = sum(math.isfinite(p) for p in corrected)
    for each, p_holm, weight in zip(found, corrected, weights_of(corrected), strict=True):
        about, known = name_of(each.network, results), math.isfinite(each.change.p)
        _, unsure, every = each.counts
        person = people_noun(results)
        whose = f"of {plural(each.participants, person)} " if person != "participant" else ""
        text = (
            f"Of {every:,} answers {whose}on what {about} shows, {_percent(each.share)} name the right class and "
            f"{_percent(unsure / every if every else math.nan)} are “don't know”"
        )
        if not each.participants:
            text = f"{text}; {ONLY_TOTALS}."
        elif known:
            text = (
                f"{text}; against {name_of(each.other, results)}, the share of right ones changes by "
                f"{signed(_RIGHT, each.change.estimate)} points ({within(_RIGHT, each.change.low, each.change.high)}): "
                f"{verdict_of(p_holm)} ({judged(each.change.p, p_holm, among)})."
            )
        else:
            text += f"; {_interval(each.crossed)}." if math.isfinite(each.crossed.low) else "; no interval."
        shown = each.change if known else each.crossed
        yield Finding(
            question="identification",
            measure=each.experiment,
            about=about,
            estimate=shown.estimate if each.participants else each.share,
            low=shown.low,
            high=shown.high,
            n=each.participants or every,
            resampled=UNIT if math.isfinite(shown.low) else "",
            method="share of right answers"
            + (f" less that of {name_of(each.other, results)}" if known else "")
            + (f"; interval: {INTERVAL}" if math.isfinite(shown.low) else ""),
            p=each.change.p,
            p_holm=p_holm,
            verdict=verdict_of(p_holm) if known else "no interval",
            sentence=text,
            figure="identification",
            weight=weight if known else 0.0,
        )


def _agreement(found: Agreement, p_holm: float, among: int, person: str) -> Finding:
    whose = "all" if found.busiest else f"without the {BUSIEST} who gave most answers"
    alpha, verdict = found.alpha, verdict_of(p_holm)
    if math.isnan(alpha.estimate):
        text = "cannot be computed: no item has answers of two people, or all answers are the same"
    elif math.isnan(alpha.p):
        text = f"is {coefficient(alpha.estimate, 3)}, without an interval; 0 is chance, 1 is perfect"
    else:
        text = (
            f"is {coefficient(alpha.estimate, 3)} (95 % interval {coefficient(alpha.low, 3)} to "
            f"{coefficient(alpha.high, 3)}; 0 is chance, 1 is perfect). That it is not chance is {verdict} "
            f"({judged(alpha.p, p_holm, among)})"
        )
    return Finding(
        question="agreement",
        measure="Krippendorff's α",
        about=f"{found.stimulus}, over {OVER[found.over]}, {whose}",
        estimate=alpha.estimate,
        low=alpha.low,
        high=alpha.high,
        n=found.participants,
        resampled=UNIT if math.isfinite(alpha.low) else "",
        method=f"Krippendorff's α of nominal answers; interval: {INTERVAL}",
        p=alpha.p,
        p_holm=p_holm,
        verdict=verdict,
        sentence=(
            f"With {name(found.stimulus)} shown, the agreement (Krippendorff's α) of "
            f"{plural(found.participants, person)} ({whose}) on {OVER[found.over]}, about "
            f"{plural(found.items, 'item')}, {text}."
        ),
        figure="agreement",
        weight=WEIGHT_OF_AGREEMENT if found.busiest and found.over == "winner" else 0.0,
    )


def _interval(found: Crossed) -> str:
    return f"95 % interval {_percent(found.low)} to {_percent(found.high)}"


def _percent(fraction: float) -> str:
    return "–" if math.isnan(fraction) else f"{100 * fraction:.1f} %"
