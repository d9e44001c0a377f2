"""What can be concluded about people and MIS: does it say whom they understand, and how steeply."""

from __future__ import annotations

import math
from collections.abc import Iterator

from prunescope.analysis.finding import Finding, Margins, verdict_of
from prunescope.analysis.finding_words import coefficient, judged, p_value, plural
from prunescope.analysis.people_and_mis import PeopleAndMis, people_and_mis
from prunescope.analysis.people_slope import PeopleSlope, people_slope
from prunescope.analysis.results import Results
from prunescope.analysis.slope_fit import SlopeFit
from prunescope.analysis.vote_findings import UNIT
from prunescope.analysis.votes import holm_of, name_of, people_noun

WEIGHT, WEIGHT_NOT_SHOWN, WEIGHT_OF_SLOPE = 9.0, 7.0, 5.0
_METHOD = (
    "correlation; interval: Fisher's z, jackknife over participants and over units, less that over answers"
)


def people_against_mis(results: Results, margins: Margins) -> Iterator[Finding]:
    """Conclude whether people are right more often about units of a high MIS, and which slope fits them."""
    found = people_and_mis(results)
    for kind in ("spearman", "pearson"):
        corrected = holm_of(getattr(each, kind).p for each in found)
        among = sum(math.isfinite(p) for p in corrected)
        for each, p_holm in zip(found, corrected, strict=True):
            yield _correlation(each, kind, p_holm, among, results)
    slope = people_slope(results)
    if slope is not None:
        yield _slope(slope.fit, slope, results)


def about_of(each: PeopleAndMis, results: Results) -> str:
    """Say over what a correlation is."""
    if each.over == "networks":
        return "networks"
    if each.over == "units within networks":
        return "units, within networks"
    return f"units of {name_of(each.network, results)}" if each.network else "units of all networks"


def _correlation(each: PeopleAndMis, kind: str, p_holm: float, among: int, results: Results) -> Finding:
    found, about = getattr(each, kind), about_of(each, results)
    words = {"spearman": "Spearman", "pearson": "Pearson"}[kind]
    thing = "network" if each.over == "networks" else "unit"
    verdict = verdict_of(p_holm)
    text = (
        f"Over {plural(each.things, thing)} ({about}), the share of right answers of "
        f"{plural(each.participants, people_noun(results))} goes with MIS with {words} {coefficient(found.estimate)}"
    )
    if math.isfinite(found.p):
        text += (
            f" (95 % interval {coefficient(found.low)} to {coefficient(found.high)}, over participants and units): "
            f"{verdict} ({judged(found.p, p_holm, among)})."
        )
        if each.over == "networks":
            text += " The interval is for these networks, not for others."
    else:
        text += "; too few, or too alike, for an interval."
    weight = 0.0
    if (each.over == "units" and not each.network) or among == 1:
        weight = WEIGHT if verdict == "shown" else WEIGHT_NOT_SHOWN
    return Finding(
        question="people and MIS" if kind == "spearman" else "people and MIS, linear",
        measure="mis and right answers",
        about=about,
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        n=each.participants,
        resampled=UNIT if math.isfinite(found.low) else "",
        method=f"{words}'s {_METHOD}",
        p=found.p,
        p_holm=p_holm,
        verdict=verdict,
        sentence=text + _ceiling(each),
        figure="people-and-mis",
        weight=weight if kind == "spearman" and math.isfinite(found.p) else 0.0,
    )


def _ceiling(each: PeopleAndMis) -> str:
    if each.over == "networks":
        return ""
    if math.isnan(each.ceiling.most):
        if each.ceiling.units < 3:
            return " Too few units have answers of two people for a noise ceiling."
        return (
            " Which units one half of the people gets right says nothing of the other half beyond chance: answers are "
            "too few, or units too alike, for a noise ceiling."
        )
    return (
        f" These answers are so noisy that a perfect predictor could be expected to reach "
        f"{coefficient(each.ceiling.most)} ({coefficient(each.ceiling.low)} to {coefficient(each.ceiling.high)}; "
        f"reliability {coefficient(each.ceiling.reliability)} over {plural(each.ceiling.units, 'unit')}, split halves)."
    )


def _slope(fit: SlopeFit, found: PeopleSlope, results: Results) -> Finding:
    text = f"The {plural(fit.answers, 'answer')} of {plural(fit.participants, people_noun(results))} about units "
    known = math.isfinite(fit.low)
    if known:
        per_answer = (fit.log_likelihood - fit.log_likelihood_of_default) / fit.answers
        text += (
            f"fit a slope of MIS of {fit.slope:.1f} best (95 % interval {fit.low:.1f} to {fit.high:.1f}). That it is "
            f"not the {fit.default:g} that MIS was scored with is {verdict_of(fit.p)} ({p_value(fit.p)}); an answer is "
            f"{100 * math.expm1(per_answer):.2f} % more likely at the fitted one."
        )
        lapses = found.with_lapses
        if lapses.lapse > 0 and math.isfinite(lapses.slope):
            text += f" With {100 * lapses.lapse:.1f} % of answers guessed, the slope is {lapses.slope:.1f}."
    elif math.isfinite(fit.slope):
        text += f"fit a slope of MIS of {fit.slope:.1f} best: {fit.why}."
    else:
        text += f"fit no slope of MIS: {fit.why}."
    return Finding(
        question="slope of MIS",
        measure="mis and right answers",
        about="all units",
        estimate=fit.slope,
        low=fit.low,
        high=fit.high,
        n=fit.participants,
        resampled=UNIT if known else "",
        method="maximum likelihood of σ(slope · margin); interval of its logarithm: jackknife over participants and "
        "over units, less that over answers; test against the slope that MIS was scored with",
        p=fit.p,
        p_holm=fit.p,
        verdict=verdict_of(fit.p),
        sentence=text,
        figure="slope-of-people",
        weight=WEIGHT_OF_SLOPE if known else 0.0,
    )
