"""Whose answers are left out and by which rule, and how much hangs on the rules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd

from prunescope.analysis.results import Results
from prunescope.report.blocks import Cell, Table, number_cell, table_of
from prunescope.report.formats import NO_VALUE, count, interval, percent, whole

SURVEY = "survey"  # the key of study.json


class Rule(NamedTuple):
    """A rule of exclusion: the column that it looks at, what that is, and how its bound is told."""

    column: str
    measured: str
    bound: str


RULES = {  # by their names in a design
    "catch": Rule("catch_right", "Share of catch trials that are right", "at least {}"),
    "total_s": Rule("total_s", "Seconds in all", "{} to {}"),
    "instructions_s": Rule("instructions_s", "Seconds over the instructions", "{} to {}"),
    "rarer": Rule("rarer", "Answers for the rarer side", "at least {}"),
    "practice_rounds": Rule("practice_rounds", "Rounds of practice", "at most {}"),
}


def exclusion_tables(results: Results) -> list[Table]:
    """Show the rules with what was measured, those who were left out, and what comes out under other rules."""
    if results.participants.empty:
        return []
    rows = [row for own, told in _experiments(results) for row in _rules(own, told)]
    tables = [table_of(rows, _caption(results.participants), sortable=False)] if rows else []
    return [*tables, *_left_out(results.participants), *_other_rules(results)]


def _experiments(results: Results) -> Iterator[tuple[pd.DataFrame, Mapping[str, Any]]]:
    """Yield the participants of each experiment, and what the study says of it."""
    survey = results.study.get(SURVEY)
    told = {
        each.get("name"): each
        for each in (survey or {}).get("experiments") or []
        if isinstance(each, Mapping)
    }
    people = results.participants
    if len(told) == 1 or people["experiment"].isna().all():
        yield people, next(iter(told.values()), {})
        return
    kinds = {each.get("kind"): each for each in told.values()}
    for name, own in people.groupby("experiment", sort=False):
        yield own, told.get(name) or kinds.get(name) or {}


def _rules(people: pd.DataFrame, told: Mapping[str, Any]) -> Iterator[dict[str, Cell]]:
    bounds, by = told.get("exclusion") or {}, told.get("excluded_by") or {}
    for name, rule in RULES.items():
        known = people[rule.column].dropna()
        if known.empty:
            continue
        low, half, high = (float(each) for each in known.quantile([0.1, 0.5, 0.9]))
        yield {
            "Experiment": Cell(str(told.get("name") or NO_VALUE)),
            "What is looked at": Cell(rule.measured),
            "Rule": Cell(_bound(rule, bounds.get(name)) if bounds else NO_VALUE),
            "Left out": number_cell(float(by.get(name, 0)) if bounds else math.nan, whole),
            "Known of": number_cell(len(known), whole),
            "Median": Cell(f"{half:.3g}", f"{low:.3g} to {high:.3g}", half),
            "Least": number_cell(float(known.min()), "{:.3g}".format),
            "Most": number_cell(float(known.max()), "{:.3g}".format),
        }


def _bound(rule: Rule, bound: Any) -> str:
    if bound is None:
        return "not applied"
    ends = list(bound) if isinstance(bound, Sequence) and not isinstance(bound, str) else [bound]
    return rule.bound.format(*(f"{float(end):g}" for end in ends))


def _caption(people: pd.DataFrame) -> str:
    out = int(people["excluded"].fillna(False).sum())
    return (
        f"Of {count(len(people), 'participant')}, {out:,} left out. Each rule with how many it leaves out by itself, "
        "and what was measured of all participants, with the middle 80 % below the median."
    )


def _left_out(people: pd.DataFrame) -> list[Table]:
    out = people[people["excluded"].fillna(False).astype(bool)]
    if out.empty:
        return []
    rows = [
        {"Participant": Cell(str(each["participant"])), "Why": Cell(str(each["why"] or NO_VALUE))}
        for each in out.to_dict("records")
    ]
    caption = f"Whose answers are left out, and why: {count(len(out), 'participant')}."
    return [replace(table_of(rows, caption), folded=True)]


def _other_rules(results: Results) -> list[Table]:
    survey = results.study.get(SURVEY)
    told = [each for each in (survey or {}).get("rules") or [] if isinstance(each, Mapping)]
    if not told:
        return []
    rows = [
        {
            "Rules": Cell(str(each.get("rules") or NO_VALUE)),
            "Experiment": Cell(str(each.get("experiment") or NO_VALUE)),
            "Shown": Cell(str(each.get("stimulus") or NO_VALUE)),
            "Of": Cell(str(each.get("about") or each.get("condition") or NO_VALUE)),
            "Participants": number_cell(_number(each, "participants"), whole),
            "Answers": number_cell(_number(each, "votes"), whole),
            "Share": Cell(
                percent(_number(each, "estimate")),
                interval(_number(each, "low"), _number(each, "high")),
                _number(each, "estimate"),
            ),
        }
        for each in told
    ]
    caption = (
        "How much hangs on the rules: the share of right answers, or of those that prefer the more pruned network, had "
        "other participants been left out. With 95 % intervals over participants and items."
    )
    return [replace(table_of(rows, caption), folded=True)]


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else math.nan
