"""What the section on people's answers has of answers that are right or wrong, of MIS, and of side effects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from prunescope.analysis.confidence import Confidence, confidence_of
from prunescope.analysis.mixed_answers import INTERCEPT, POSITION, SIDE, MixedAnswers, mixed_answers
from prunescope.analysis.people_and_mis import PeopleAndMis, people_and_mis, people_by_unit
from prunescope.analysis.people_findings import SIDES
from prunescope.analysis.people_mis_findings import about_of
from prunescope.analysis.people_slope import PeopleSlope, people_slope
from prunescope.analysis.results import Results
from prunescope.analysis.right_answers import MIS, RightAnswers, right_answers, right_by_layer
from prunescope.analysis.side_effects import SideEffect, side_effects
from prunescope.analysis.votes import holm_of, name_of
from prunescope.report import people_figures
from prunescope.report.blocks import Cell, Plot, Table, change_cell, number_cell, table_of
from prunescope.report.exclusions import exclusion_tables
from prunescope.report.formats import (
    NO_VALUE,
    count,
    decimal,
    interval,
    p_value,
    percent,
    signed,
    times,
    whole,
)

WHAT_TASKS_ARE = (
    "People were shown images that drive a unit least and images that drive it most, and said which of two more images "
    "fits the latter. That is the task which MIS has a similarity of images answer; guessing is right half of the time."
)
EFFECTS = {
    "learning": "Right answers, last task less first",
    "side": "Share of the {} beyond one half",
    "repetition": "Answers that repeat the one before, beyond chance",
    "time when right": "Time of right answers, against wrong ones",
    "time over the tasks": "Time of the last task, against the first",
}


def parts_of(results: Results) -> tuple[list[Plot], list[Table]]:
    """Draw what there is of answers to MIS tasks, and give its numbers, those of side effects and of exclusions."""
    right = [each for each in right_answers(results) if each.experiment == MIS]
    layers = [each for each in right_by_layer(results) if each.experiment == MIS]
    layers = layers if len({each.layer for each in layers}) > 1 else []
    sure, found, slope = confidence_of(results), people_and_mis(results), people_slope(results)
    plots = [_right_plot(results, right)] if right else []
    tables = [_networks(results, right)] if right else []
    if layers:
        plots += [_layer_plot(results, layers)] if _mostly_known(layers) else []
        tables.append(_layers(results, layers))
    plots += [_confidence_plot(sure)] if sure else []
    if found:
        plots.append(_mis_plot(results, found))
        tables.append(_mis(results, found))
    if slope is not None:
        plots.append(_slope_plot(slope))
        tables.append(_slopes(slope))
    effects, models = side_effects(results), mixed_answers(results)
    tables += [_effects(effects)] if effects else []
    tables += [_model(results, each) for each in models if each.model.terms]
    return plots, [*tables, *exclusion_tables(results)]


def _mostly_known(layers: Sequence[RightAnswers]) -> bool:
    """Say whether most layers have an interval; where they have a unit or two each, a figure would show chance."""
    return sum(math.isfinite(each.crossed.low) for each in layers) * 2 >= len(layers)


def _right_plot(results: Results, right: Sequence[RightAnswers]) -> Plot:
    caption = "Right answers of people to the tasks of MIS, with 95 % intervals over participants and units."
    alt = f"Share of right answers for {count(len(right), 'network')}. The numbers are in a table of this section."
    return Plot("right-answers", partial(people_figures.draw_right, results, right), caption, alt)


def _layer_plot(results: Results, layers: Sequence[RightAnswers]) -> Plot:
    alt = "Share of right answers by layer. The numbers are in a table of this section."
    draw = partial(people_figures.draw_by_layer, results, layers)
    return Plot("right-by-layer", draw, "The same for the units of each layer.", alt)


def _confidence_plot(sure: Sequence[Confidence]) -> Plot:
    caption = (
        "Right answers by the confidence that people state, with 95 % intervals over participants and units."
    )
    guessing = 0.5 if sure[0].experiment == MIS else math.nan
    levels = sum(len(each.levels) for each in sure)
    alt = f"Share of right answers at {count(levels, 'level')} of confidence."
    return Plot("confidence", partial(people_figures.draw_confidence, sure, guessing), caption, alt)


def _mis_plot(results: Results, found: Sequence[PeopleAndMis]) -> Plot:
    units = people_by_unit(results).dropna(subset=["mis"])
    caption = (
        "Left: each unit's share of right answers against its MIS; larger marks have more answers. Right: "
        "Spearman's correlation with 95 % intervals over participants and units, and the noise ceiling, what "
        "a perfect predictor of these answers could be expected to reach, with its interval over units."
    )
    alt = f"People against MIS over {count(len(units), 'unit')}. The numbers are in a table of this section."
    draw = partial(people_figures.draw_people_and_mis, results, units, found)
    return Plot("people-and-mis", draw, caption, alt)


def _slope_plot(slope: PeopleSlope) -> Plot:
    caption = (
        "Right answers by the margin of the task, in bins of equally many answers, with 95 % intervals over "
        "participants and units; and what MIS makes of a margin at the slope that fits people best and at the one "
        "that it was scored with."
    )
    alt = "Share of right answers by margin, with curves of two slopes. The numbers are in a table of this section."
    return Plot("slope-of-people", partial(people_figures.draw_slope, slope), caption, alt)


def _networks(results: Results, found: Sequence[RightAnswers]) -> Table:
    rows = _rows_of_right(results, found)
    caption = (
        "Right answers to the tasks of MIS, with 95 % intervals over participants and units; against guessing, and "
        "against the network that is pruned least. Each correction (Holm) is over the networks."
    )
    return table_of(rows, caption)


def _layers(results: Results, found: Sequence[RightAnswers]) -> Table:
    table = table_of(_rows_of_right(results, found), "The same by layer; corrected over layers and networks.")
    return replace(table, folded=True)


def _rows_of_right(results: Results, found: Sequence[RightAnswers]) -> list[dict[str, Cell]]:
    chance, change = holm_of(each.crossed.p for each in found), holm_of(each.change.p for each in found)
    return [
        {
            "Network": Cell(name_of(each.network, results)),
            "Layer": Cell(each.layer or NO_VALUE),
            "Participants": number_cell(each.participants, whole),
            "Units": number_cell(each.items, whole),
            "Answers": number_cell(each.every, whole),
            "Right": Cell(percent(each.share), interval(each.crossed.low, each.crossed.high), each.share),
            "p, guessing (Holm)": _p(p),
            "Against dense": change_cell(each.change.estimate, each.change.low, each.change.high),
            "p, dense (Holm)": _p(p_change),
        }
        for each, p, p_change in zip(found, chance, change, strict=True)
    ]


def _mis(results: Results, found: Sequence[PeopleAndMis]) -> Table:
    corrected = holm_of(each.spearman.p for each in found)
    rows = [
        {
            "Over": Cell(about_of(each, results)),
            "How many": number_cell(each.things, whole),
            "Participants": number_cell(each.participants, whole),
            "Spearman": Cell(
                signed(each.spearman.estimate),
                _ends(each.spearman.low, each.spearman.high),
                each.spearman.estimate,
            ),
            "p (Holm)": _p(p),
            "Pearson": Cell(
                signed(each.pearson.estimate),
                _ends(each.pearson.low, each.pearson.high),
                each.pearson.estimate,
            ),
            "Noise ceiling": Cell(
                signed(each.ceiling.most), _ends(each.ceiling.low, each.ceiling.high), each.ceiling.most
            ),
            "Reliability": number_cell(each.ceiling.reliability, partial(decimal, decimals=2)),
        }
        for each, p in zip(found, corrected, strict=True)
    ]
    caption = (
        "People's share of right answers against MIS, with 95 % intervals over participants and units. Reliability: "
        "split halves of the people of each unit (Spearman–Brown); the ceiling is its square root."
    )
    return table_of(rows, caption)


def _slopes(found: PeopleSlope) -> Table:
    fit, lapses = found.fit, found.with_lapses
    rows = [
        _slope_row("fits best", fit.slope, (fit.low, fit.high), 0.0, fit.log_likelihood / fit.answers),
        _slope_row(
            "fits best, some answers guessed", lapses.slope, (lapses.low, lapses.high), lapses.lapse,
            lapses.log_likelihood / lapses.answers,
        ),
        _slope_row(
            "as MIS was scored", fit.default, (math.nan, math.nan), 0.0, fit.log_likelihood_of_default / fit.answers
        ),
        _slope_row("guessing", 0.0, (math.nan, math.nan), 0.0, fit.log_likelihood_of_guessing / fit.answers),
    ]  # fmt: skip
    why = f" {fit.why[0].upper()}{fit.why[1:]}." if fit.why else ""
    return table_of(
        rows, "The slope of MIS against people, with 95 % intervals over participants and units." + why
    )


def _slope_row(
    name: str, slope: float, ends: tuple[float, float], lapse: float, likelihood: float
) -> dict[str, Cell]:
    within = f"{ends[0]:.1f} to {ends[1]:.1f}" if math.isfinite(ends[0]) else ""
    return {
        "Slope that": Cell(name),
        "Slope": Cell(decimal(slope, 1) if math.isfinite(slope) else NO_VALUE, within, slope),
        "Guessed": number_cell(lapse, percent),
        "Log likelihood of an answer": Cell(decimal(likelihood, 4).replace("-", "−"), number=likelihood),
    }


def _effects(found: Sequence[SideEffect]) -> Table:
    corrected = holm_of(each.value.p for each in found)
    rows = [
        {
            "Experiment": Cell(each.experiment),
            "Side effect": Cell(EFFECTS[each.kind].format(SIDES.get(each.first, ""))),
            "Answers": number_cell(each.answers, whole),
            "Participants": number_cell(each.participants, whole),
            "Size": _size(each),
            "p (Holm)": _p(p),
        }
        for each, p in zip(found, corrected, strict=True)
    ]
    caption = (
        "What else moves answers than what is asked, with 95 % intervals over participants and items (of repetition, "
        "over participants). Of no effect, differences are 0 and times 1."
    )
    return table_of(rows, caption)


def _size(each: SideEffect) -> Cell:
    value = each.value
    if not each.of_time:
        return change_cell(value.estimate, value.low, value.high)
    ends = f"{math.exp(value.low):.2f} to {math.exp(value.high):.2f}" if math.isfinite(value.low) else ""
    return Cell(f"{math.exp(value.estimate):.2f}×", ends, value.estimate)


def _model(results: Results, found: MixedAnswers) -> Table:
    names = {
        INTERCEPT: name_of(found.base, results),
        POSITION: "last task less first",
        SIDE: "left side less right",
    }
    names |= {each: _condition(each, found, results) for each in found.conditions}
    rows = [
        {
            "Effect": Cell(names[effect.name]),
            "Log odds": Cell(_finite(effect.estimate), _ends(effect.low, effect.high), effect.estimate),
            "Odds": number_cell(math.exp(min(effect.estimate, 700.0)), times),
            "p (Wald)": _p(effect.p),
        }
        for effect in found.model.effects
    ]
    model = found.model
    tests = "; ".join(
        f"{term.name}: χ² {term.chi2:.2f}, {term.freedom} df, p {p_value(term.p)}" for term in model.terms
    )
    trouble = f" {model.why[0].upper()}{model.why[1:]}." if model.why else ""
    caption = (
        f"Mixed logistic model, {found.experiment}, {found.stimulus}: {count(model.answers, 'answer')}, standard "
        f"deviation of {count(model.participants, 'participant')} {model.participant_sd:.2f} and of "
        f"{count(model.items, 'item')} {model.item_sd:.2f} in log odds. Likelihood ratios: {tests}.{trouble}"
    )
    return replace(table_of(rows, caption), folded=True)


def _condition(condition: str, found: MixedAnswers, results: Results) -> str:
    if found.base:
        return f"{name_of(condition, results)}, less {name_of(found.base, results)}"
    one, other = condition.split(" | ", 1)
    return f"{name_of(other, results)} rather than {name_of(one, results)}"


def _finite(value: float) -> str:
    return signed(value) if math.isfinite(value) else NO_VALUE


def _ends(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{signed(low)} to {signed(high)}"


def _p(p: float) -> Cell:
    return Cell(NO_VALUE, number=math.nan) if math.isnan(p) else Cell(p_value(p), number=p)
