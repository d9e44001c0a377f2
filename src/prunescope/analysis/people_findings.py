"""What can be concluded from answers that are right or wrong: of networks, of confidence, and of side effects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prunescope.analysis.confidence import confidence_of
from prunescope.analysis.crossed import Crossed
from prunescope.analysis.finding import Finding, Margins, verdict_of
from prunescope.analysis.finding_words import judged, line, name, plural, signed, within
from prunescope.analysis.metric_words import Measure
from prunescope.analysis.mixed_answers import NETWORKS, POSITION, MixedAnswers, mixed_answers
from prunescope.analysis.results import Results
from prunescope.analysis.right_answers import MIS, RightAnswers, right_answers, right_by_layer
from prunescope.analysis.side_effects import SideEffect, side_effects
from prunescope.analysis.vote_findings import INTERVAL, UNIT
from prunescope.analysis.votes import holm_of, name_of, people_noun

WEIGHT, WEIGHT_NOT_SHOWN, WEIGHT_OF_SIDE_EFFECT = 9.1, 7.1, 4.5
_SHARE = Measure("share of right answers", "share", 1, 0.02, "right-answers", 0)
SIDES = {"top": "upper image", "left": "left side"}  # by the answer
_OF_PARTICIPANTS = "Student's t; jackknife over participants"


def people(results: Results, margins: Margins) -> Iterator[Finding]:
    """Conclude how often people are right, whether that differs between networks, and what else moves answers."""
    found = right_answers(results)
    yield from _against_chance(found, results)
    yield from _against_dense("right answers against dense", found, results)
    yield from _against_dense("right answers by layer", right_by_layer(results), results)
    yield from _by_confidence(results)
    yield from _side_effects(results)
    for model in mixed_answers(results):
        yield from _of_model(model, results)


def _corrected(found: Sequence[Any], of: Iterable[float]) -> Iterator[tuple[Any, float, int]]:
    """Yield each with its p after Holm, and among how many."""
    p = list(of)
    among = sum(math.isfinite(each) for each in p)
    for each, p_holm in zip(found, holm_of(p), strict=True):
        yield each, p_holm, among


def _against_chance(found: Sequence[RightAnswers], results: Results) -> Iterator[Finding]:
    known = [each for each in found if math.isfinite(each.chance)]
    for each, p_holm, among in _corrected(known, (each.crossed.p for each in known)):
        about, share = name_of(each.network, results), each.crossed
        text = (
            f"Of {plural(each.every, 'answer')} about {_asked(each, about)}, {_percent(each.share)} are right"
        )
        over = (
            f"over {plural(each.participants, people_noun(results))} and {plural(each.items, _thing(each))}"
        )
        verdict = verdict_of(p_holm)
        if math.isnan(share.p):
            text += (
                f" ({over}: too few, or too alike, for an interval); guessing gives {_percent(each.chance)}."
            )
        else:
            sense = "more" if share.estimate > each.chance else "fewer"
            text += (
                f" (95 % interval {_percent(share.low)} to {_percent(share.high)} {over}). That these are {sense} than "
                f"by guessing ({_percent(each.chance)}) is {verdict} ({judged(share.p, p_holm, among)})."
            )
        yield Finding(
            question="right answers",
            measure=each.experiment,
            about=about,
            estimate=each.share,
            method="share of right answers, against guessing" + _interval_told(share),
            verdict=verdict,
            sentence=text,
            figure=_SHARE.figure if each.experiment == MIS else "identification",
            effect=each.share - each.chance,
            effect_kind="share beyond guessing",
            **_numbers(share, each.participants, p_holm),
        )


def _against_dense(question: str, found: Sequence[RightAnswers], results: Results) -> Iterator[Finding]:
    """Compare networks of MIS tasks; those whose class is named are compared among the answers that name one.

    Layers of which too few units are asked about for an interval are in a table only.
    """
    known = [each for each in found if each.other and (math.isfinite(each.change.p) or not each.layer)]
    known = [each for each in known if each.experiment == MIS]
    for each, p_holm, among in _corrected(known, (each.change.p for each in known)):
        about, other = name_of(each.network, results), name_of(each.other, results)
        where = f" of {name(each.layer)}" if each.layer else ""
        change, verdict = each.change, verdict_of(p_holm)
        text = f"Of answers about units{where} of {about}, {_percent(each.share)} are right: "
        if math.isnan(change.p):
            text += f"{signed(_SHARE, change.estimate)} points against {other}; too few for an interval."
        else:
            text += (
                f"{signed(_SHARE, change.estimate)} points against {other} "
                f"({within(_SHARE, change.low, change.high)}, over participants and {_thing(each)}s of "
                f"{plural(each.participants, people_noun(results))} who saw {about}): {verdict} "
                f"({judged(change.p, p_holm, among)})."
            )
        shown = WEIGHT if verdict == "shown" else WEIGHT_NOT_SHOWN
        yield Finding(
            question=question,
            measure=each.experiment,
            about=f"{about}, {line(each.layer)}" if each.layer else about,
            estimate=change.estimate,
            method=f"share of right answers less that of {other}" + _interval_told(change),
            verdict=verdict,
            sentence=text,
            figure="right-by-layer" if each.layer else _SHARE.figure,
            weight=0.0 if each.layer or math.isnan(change.p) else shown,
            **_numbers(change, each.participants, p_holm),
        )


def _by_confidence(results: Results) -> Iterator[Finding]:
    found = confidence_of(results)
    for each, p_holm, among in _corrected(found, (each.change.p for each in found)):
        told = ", ".join(
            f"{_percent(share.estimate)} of {answers:,} at {level}"
            for level, answers, share in zip(each.levels, each.answers, each.shares, strict=True)
        )
        text = f"By the confidence that {plural(each.participants, people_noun(results))} state, right are {told}"
        if math.isfinite(each.change.p):
            text += (
                f". From the lowest to the highest, that changes by {signed(_SHARE, each.change.estimate)} points "
                f"({within(_SHARE, each.change.low, each.change.high)}): {verdict_of(p_holm)} "
                f"({judged(each.change.p, p_holm, among)})"
            )
        yield Finding(
            question="confidence",
            measure=each.experiment,
            about=f"levels {each.levels[0]} to {each.levels[-1]}",
            estimate=each.change.estimate,
            method="share of right answers at the highest level less that at the lowest"
            + _interval_told(each.change),
            verdict=verdict_of(p_holm),
            sentence=f"{text}.",
            figure="confidence",
            **_numbers(each.change, each.participants, p_holm),
        )


def _side_effects(results: Results) -> Iterator[Finding]:
    found = side_effects(results)
    for each, p_holm, among in _corrected(found, (each.value.p for each in found)):
        verdict, value = verdict_of(p_holm), each.value
        told = told_of(each)
        if math.isfinite(value.p):
            judgement = f"{verdict} ({judged(value.p, p_holm, among)})"
            text = f"{told} ({_ends(each)}; {plural(each.participants, people_noun(results))}): {judgement}."
        else:
            text = f"{told}; no interval."
        yield Finding(
            question="side effects",
            measure=each.experiment,
            about=each.kind,
            estimate=value.estimate,
            method=_METHODS[each.kind],
            verdict=verdict,
            sentence=text,
            weight=WEIGHT_OF_SIDE_EFFECT if verdict == "shown" else 0.0,
            **_numbers(value, each.participants, p_holm),
        )


def told_of(effect: SideEffect) -> str:
    """Say what a side effect comes to."""
    value = effect.value.estimate
    points, factor = signed(_SHARE, value), math.exp(value)
    match effect.kind:
        case "learning":
            return f"From the first task to the last, the share of right answers changes by {points} points"
        case "side":
            return (
                f"The share of answers for the {SIDES[effect.first]} is {points} points from one half, were both sides "
                "dealt equally often"
            )
        case "repetition":
            return (
                f"The share of answers that repeat the one before is {points} points from what the same answers in any "
                "order give"
            )
        case "time when right":
            return f"Right answers take {factor:.2f} times as long as wrong ones of the same person"
        case "time over the tasks":
            return f"The last task takes {factor:.2f} times as long as the first"


def _ends(effect: SideEffect) -> str:
    low, high = effect.value.low, effect.value.high
    if effect.of_time:
        return f"95 % interval {math.exp(low):.2f} to {math.exp(high):.2f} times"
    return within(_SHARE, low, high)


_METHODS = {
    "learning": f"slope of being right with the place of the task, within participants; interval: {INTERVAL}",
    "side": f"share for one side, the two deals averaged, less one half; interval: {INTERVAL}",
    "repetition": f"share of repeated answers less that under permutation; interval: {_OF_PARTICIPANTS}",
    "time when right": f"difference of log times, right less wrong, within participants; interval: {INTERVAL}",
    "time over the tasks": f"slope of log times with the place of the task, within participants; interval: {INTERVAL}",
}


def _of_model(found: MixedAnswers, results: Results) -> Iterator[Finding]:
    model, method = (
        found.model,
        "mixed logistic model, participants and items crossed; Laplace; likelihood ratio",
    )
    common: dict[str, Any] = {"measure": found.experiment, "n": model.participants, "method": method}
    what = "networks differ" if found.base else "one network of a pair is preferred"
    if not model.terms:
        yield Finding(
            **common, question="mixed model of answers", about=found.stimulus, estimate=math.nan, verdict="no interval",
            sentence=f"No mixed model of the answers to {name(found.stimulus)}: {model.why or 'nothing to compare'}.",
        )  # fmt: skip
        return
    for term, p_holm, among in _corrected(model.terms, (term.p for term in model.terms)):
        verdict = verdict_of(p_holm)
        says = {NETWORKS: what, POSITION: "answers change with the place of the task"}
        doubt = f" Note: {model.why}." if model.why else ""
        yield Finding(
            **common,
            question="mixed model of answers",
            about=f"{found.stimulus}: {term.name}",
            estimate=term.chi2,
            p=term.p,
            p_holm=p_holm,
            verdict=verdict,
            sentence=(
                f"In a mixed logistic model of {plural(model.answers, 'answer')} to {name(found.stimulus)}, with "
                f"heights of {plural(model.participants, people_noun(results))} (standard deviation "
                f"{model.participant_sd:.2f} in log odds) and of {plural(model.items, 'item')} ({model.item_sd:.2f}), "
                f"that {says.get(term.name, 'the side matters')} is {verdict} (χ² = {term.chi2:.2f}, "
                f"{term.freedom} df, {judged(term.p, p_holm, among)}).{doubt}"
            ),
        )


def _numbers(found: Crossed, participants: int, p_holm: float) -> dict[str, Any]:
    return {
        "low": found.low,
        "high": found.high,
        "n": participants,
        "resampled": UNIT if math.isfinite(found.low) else "",
        "p": found.p,
        "p_holm": p_holm,
    }


def _interval_told(found: Crossed) -> str:
    return f"; interval: {INTERVAL}" if math.isfinite(found.low) else ""


def _asked(each: RightAnswers, network: str) -> str:
    return f"units of {network}" if each.experiment == MIS else f"what {network} shows"


def _thing(each: RightAnswers) -> str:
    return "unit" if each.experiment == MIS else "item"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
