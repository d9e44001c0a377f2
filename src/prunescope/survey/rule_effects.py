"""How much hangs on the rules of exclusion: the main result with all of them, without any, and without each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from prunescope.analysis.crossed import crossed, share
from prunescope.analysis.right_answers import units_or_items
from prunescope.survey.design import Exclusion
from prunescope.survey.exclusions import NONE, RULES
from prunescope.survey.tables import SurveyTables

COLUMNS = (
    "rules", "experiment", "stimulus", "condition", "about", "participants", "votes", "estimate", "low", "high",
)  # fmt: skip
ALL, NO = "all rules", "no rule"


def rule_effects(
    tables: SurveyTables,
    exclusion: Exclusion,
    *,
    unfinished: bool = False,
    name: Callable[[str], str] = str,
) -> list[dict[str, Any]]:
    """Return the main result of each condition under several sets of rules.

    The result is the share of right answers; of pairs, the share that prefers the more pruned network among answers
    that prefer one. Intervals are over participants and items.

    Args:
        tables: with all participants.
        exclusion: the rules that the analysis goes by.
        unfinished: whether it keeps who has not finished.
        name: what a network is called in words.
    """
    ways = {ALL: (exclusion, unfinished), NO: (NONE, unfinished)}
    for rule in RULES:
        if getattr(exclusion, rule) is not None:
            ways[f"without {rule}"] = (exclusion.model_copy(update={rule: None}), unfinished)
    ways["without the unfinished" if unfinished else "with the unfinished"] = (exclusion, not unfinished)
    return [
        {"rules": way} | row
        for way, (rules, keep) in ways.items()
        for row in _main_results(tables.judged_by(rules, unfinished=keep), name)
    ]


def _main_results(tables: SurveyTables, name: Callable[[str], str]) -> Iterator[dict[str, Any]]:
    """Yield the result of each stimulus and condition, in the order of the tasks, also of those without answers."""
    tasks = tables.experiment.tasks
    main = tasks[tasks["role"] == "main"]
    more_pruned = main.set_index("task")["other"]
    votes, of = tables.votes, ["stimulus", "condition", "network", "one", "other"]
    for stimulus, condition, network, one, other in main[of].drop_duplicates().itertuples(index=False):
        own = votes[(votes["stimulus"] == stimulus) & (votes["condition"] == condition)]
        decided, wins = _wins(own, more_pruned)
        participants, people = pd.factorize(own["participant"][decided])
        items, _ = pd.factorize(units_or_items(own[decided]))
        columns = np.stack([wins[decided], np.ones(decided.sum())], 1)
        found = crossed(columns, participants, items, share, null=0.5)
        yield {
            "experiment": tables.experiment.design.kind,
            "stimulus": stimulus,
            "condition": condition,
            "about": name(network) if pd.notna(network) else f"{name(one)} or {name(other)}",
            "participants": len(people),
            "votes": len(own),
            "estimate": found.estimate,
            "low": found.low,
            "high": found.high,
        }


def _wins(votes: pd.DataFrame, more_pruned: pd.Series[str]) -> tuple[Any, Any]:
    """Return which answers decide, and which of them are right, or for the more pruned network."""
    chosen = votes["chosen"].to_numpy(object)
    if votes["left"].isna().all():
        return np.ones(len(votes), bool), votes["correct"].fillna(False).to_numpy(bool).astype(float)
    return chosen != "", (chosen == votes["task"].map(more_pruned).to_numpy(object)).astype(float)
