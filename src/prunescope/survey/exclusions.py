"""Whose answers count: what the rules of a design look at, measured for everyone, and what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.survey.codebook import typed
from prunescope.survey.design import Exclusion
from prunescope.survey.experiment import Experiment
from prunescope.survey.votes import Raw

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
SIDES = {"pairwise": ("left", "right"), "mis": ("top", "bottom")}
UNFINISHED = "unfinished"
WORDS = {
    UNFINISHED: "main answers:",
    "catch": "share of catch trials right:",
    "total_s": "seconds in all, by page and by server:",
    "instructions_s": "seconds for the instructions:",
    "rarer": "answers for the rarer side:",
    "practice_rounds": "rounds of practice:",
}
RULES = tuple(Exclusion.model_fields)
NONE = Exclusion(**dict.fromkeys(RULES))


def participants_table(experiment: Experiment, raw: Raw, answers: pd.DataFrame) -> pd.DataFrame:
    """Return one row per participant with what the rules look at; who is excluded is not said yet.

    Who is too fast or too slow is measured by two clocks: that of the page, which does not follow the time of day and
    goes on after a reload, and that of the server. See
    `with_exclusions`.

    Args:
        answers: as `answers_table` made them of the same tables.
    """
    kind = experiment.design.kind
    people = raw["participants"].sort_values("number", kind="stable").set_index("participant", drop=False)
    main = answers[answers["phase"] == "main"]
    of_each, practice = main.groupby("participant"), answers[answers["phase"] == "practice"]
    catch = main[(main["role"] == "catch") & main["correct"].notna()].groupby("participant")["correct"]
    trials = people["list"].map({list_: len(own) for list_, own in enumerate(experiment.tasks_of_list)})
    count = _each(of_each.size(), people)
    found = people.assign(
        experiment=kind,
        answers=count,
        finished=count == trials,
        total_s=(_page_time(raw["answers"]) / 1000).reindex(people.index).where(count > 0),
        total_server_s=of_each["received"].max() - people["joined"],
        instructions_s=people["instructions_ms"] / 1000,
        before_tasks_s=answers.groupby("participant")["received"].min() - people["joined"],
        practice_rounds=_each(practice.groupby("participant")["round"].max(), people),
        median_rt_ms=of_each["rt_ms"].median(),
        catch_trials=_each(catch.size(), people),
        catch_right=catch.mean().astype("float64"),
        rarer=_rarer(kind, main, people),
        **{
            column: _each(raw["events"].query("kind == @event").groupby("participant").size(), people)
            for column, event in (("blurs", "blur"), ("fullscreen_exits", "fullscreen_exit"))
        },
    )
    return typed("participants", found, experiment.design)


def _each(counts: pd.Series[Any], people: pd.DataFrame) -> pd.Series[Any]:
    """Return a count for everyone, 0 for those who have none."""
    return counts.reindex(people.index, fill_value=0)


def _rarer(kind: str, main: pd.DataFrame, people: pd.DataFrame) -> pd.Series[Any] | None:
    """Count the answers for the side that was chosen less often; None where answers are no sides."""
    if kind not in SIDES:
        return None
    sides = [
        _each(main[main["answer"] == side].groupby("participant").size(), people) for side in SIDES[kind]
    ]
    return sides[0].where(sides[0] < sides[1], sides[1])


def _page_time(answers: pd.DataFrame) -> pd.Series[Any]:
    """Return the page's time at the last main answer of each participant, in ms.

    Where the clock begins anew, the page having lost what it kept, the stretches before are added.
    """
    order = answers.assign(main=answers["phase"] == "main").sort_values(["main", "round", "position"])
    following = order.groupby("participant")["elapsed_ms"].shift(-1)
    ends = order[following.isna() | (following < order["elapsed_ms"])]
    return ends.groupby("participant")["elapsed_ms"].sum()


def with_exclusions(
    participants: pd.DataFrame, exclusion: Exclusion, *, unfinished: bool = False
) -> pd.DataFrame:
    """Say for each participant whether the answers are left out, by which rules, and why.

    Who is too fast or too slow must be so by both clocks, so that one that jumps excludes nobody. Of who has not
    answered all, only what more answers cannot mend is judged, and the share of catch trials so far.

    Args:
        participants: as `participants_table` makes them. Drawn ones may lack `total_server_s` and
            `before_tasks_s`: the page's clock then stands for the server's.
        exclusion: the rules.
        unfinished: keep who has not answered all of the main part.

    Returns:
        The same with `excluded`, `rules` and `why`.
    """
    found = _broken(participants, exclusion, unfinished)
    rules, words = [""] * len(participants), [""] * len(participants)
    for rule, (broken, values, bound) in found.items():
        for i in np.flatnonzero(broken):
            rules[i] = f"{rules[i]} {rule}".strip()
            said = f"{WORDS[rule]} {' and '.join(_shown(each[i]) for each in values)}, expected {bound}"
            words[i] = f"{words[i]}; {said}" if words[i] else said
    told = participants.assign(excluded=[bool(each) for each in rules], rules=rules, why=words)
    return told.astype({"excluded": "boolean", "rules": "string", "why": "string"})


def _broken(
    participants: pd.DataFrame, rules: Exclusion, unfinished: bool
) -> dict[str, tuple[Flags, list[Numbers], str]]:
    """Return for each rule who breaks it, the values that were looked at, and the bound in words."""
    finished = participants["finished"].to_numpy(bool)
    found: dict[str, tuple[Flags, list[Numbers], str]] = {}
    if not unfinished:
        found[UNFINISHED] = (~finished, [_numbers(participants, "answers")], "all")
    if rules.catch is not None:
        right = _numbers(participants, "catch_right")
        found["catch"] = (right < rules.catch, [right], f"at least {rules.catch:g}")
    if rules.total_s is not None:
        clocks = [_numbers(participants, name, "total_s") for name in ("total_s", "total_server_s")]
        fast, slow = _outside(clocks, rules.total_s)
        found["total_s"] = ((fast & finished) | slow, clocks, _within(rules.total_s))
    if rules.instructions_s is not None:  # the server's time holds more than the instructions
        page = _numbers(participants, "instructions_s")
        server = _numbers(participants, "before_tasks_s", "instructions_s")
        fast, slow = page < rules.instructions_s[0], _outside([page, server], rules.instructions_s)[1]
        found["instructions_s"] = (fast | slow, [page], _within(rules.instructions_s))
    if rules.rarer is not None:
        rarer = _numbers(participants, "rarer")
        found["rarer"] = ((rarer < rules.rarer) & finished, [rarer], f"at least {rules.rarer}")
    if rules.practice_rounds is not None:
        rounds = _numbers(participants, "practice_rounds")
        found["practice_rounds"] = (
            rounds > rules.practice_rounds,
            [rounds],
            f"at most {rules.practice_rounds}",
        )
    return found


def _outside(clocks: Sequence[Numbers], bounds: tuple[float, float]) -> tuple[Flags, Flags]:
    """Return who is too fast, and who too slow, by all clocks."""
    fast, slow = (
        np.logical_and.reduce(each)
        for each in zip(*((t < bounds[0], t > bounds[1]) for t in clocks), strict=True)
    )
    return fast, slow


def _numbers(participants: pd.DataFrame, name: str, instead: str = "") -> Numbers:
    """Return a column, or the one that stands for it; NaN, of which no rule is true, where there is none."""
    column = participants[name if name in participants else instead]
    return column.to_numpy(np.float64, na_value=math.nan)


def _within(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:g} to {bounds[1]:g}"


def _shown(value: Any) -> str:
    return f"{value:.1f}" if value >= 10 and value % 1 else f"{value:.3g}"


def change_rules(exclusion: Exclusion, settings: Sequence[str]) -> Exclusion:
    """Return the rules with some changed: "catch=.9", "total_s=100,3000", "rarer=none".

    Raises:
        PrunescopeError: there is no such rule, or it takes no such value.
    """
    rules = exclusion.model_dump()
    for setting in settings:
        name, equals, text = (part.strip() for part in setting.partition("="))
        if name not in RULES or not equals:
            raise PrunescopeError(
                f"--rule {setting}: expected RULE=VALUE{did_you_mean(name, RULES)}, of {', '.join(RULES)}, "
                "for example catch=.9, total_s=100,3000, rarer=none"
            )
        rules[name] = None if text.lower() in ("none", "null") else _value(text)
        try:
            exclusion = Exclusion.model_validate(rules)
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            raise PrunescopeError(f"--rule {setting}: {said[0].lower()}{said[1:]}") from error
    return exclusion


def _value(text: str) -> Any:
    try:
        parts = [yaml.safe_load(part) for part in text.strip("[]").split(",")]
    except yaml.YAMLError:
        return text
    return parts if len(parts) > 1 else parts[0]
