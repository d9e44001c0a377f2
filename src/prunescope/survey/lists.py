"""Lists of tasks: one is what one participant answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from prunescope.errors import PrunescopeError
from prunescope.survey.balanced_parts import balanced_parts
from prunescope.survey.design import Design
from prunescope.survey.drawn import Drawn

CELL = ("condition", "stimulus")


def deal(drawn: Drawn, main: pd.DataFrame, catch: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Deal every main task to one list, and catch trials to all lists.

    Lists hold at most `design.tasks` main tasks and differ by at most one. They are balanced over conditions, groups
    (layers or classes), conditions within groups, and all together, each to within one task, and no list shows the
    same thing twice: the same unit, or the same image.

    Args:
        drawn: says what a participant may see once only, and which groups there are.
        main: the main tasks, with `task`, `condition`, `stimulus`, and the columns that `drawn` names.
        catch: the catch trials, with `task` and `condition`.
        design: how long lists are, and whether one is of one network.

    Returns:
        `list`, from 0, and `task`; the lists of different networks alternate.

    Raises:
        PrunescopeError: lists of that length must show something twice.
    """
    alone = design.each_sees == "one network"
    blocks = [own for _, own in main.groupby("condition", sort=False)] if alone else [main]
    made = [
        each
        for number, block in enumerate(blocks)
        for each in _lists_of(block, drawn, design, np.random.default_rng([design.seed, 3, number]))
    ]
    made.sort(key=lambda own: own.place)  # stable: the first of every network, the second of every network, …
    rows = []
    for number, own in enumerate(made):
        fitting = catch[catch["condition"].isin([own.condition])] if alone else catch
        pool = (fitting if len(fitting) >= design.catch else catch)["task"].tolist()
        extra = [pool[(number * design.catch + place) % len(pool)] for place in range(design.catch)]
        rows += [{"list": number, "task": name} for name in (*own.tasks, *extra)]
    return pd.DataFrame(rows, columns=["list", "task"])


@dataclass(frozen=True)
class _List:
    """One list before it has a number."""

    place: int
    condition: str
    tasks: Sequence[str]


def _lists_of(block: pd.DataFrame, drawn: Drawn, design: Design, rng: np.random.Generator) -> list[_List]:
    count = -(-len(block) // design.tasks)
    often = block.groupby(list(drawn.once), sort=False).size()
    if int(often.max()) > count:
        raise PrunescopeError(
            f"tasks: {design.tasks}: no participant may see the same {drawn.thing} twice, and {len(often)} of them "
            f"make {len(block)} tasks: with at most {len(block) // int(often.max())} tasks a participant that can "
            f"be kept; set `tasks` to that, or have more {drawn.thing}s ({drawn.more})"
        )
    group = list(drawn.group)
    down = _paths(block, [group, list(drawn.once)])
    up = _paths(block, [[CELL[0]], [CELL[1]], group])
    parts = balanced_parts(down, up, count, rng)
    tasks, condition = block["task"].to_numpy(), str(block["condition"].iloc[0])
    return [_List(part, condition, tasks[parts == part].tolist()) for part in range(count)]


def _paths(block: pd.DataFrame, levels: Sequence[list[str]]) -> list[tuple[object, ...]]:
    columns = [[tuple(row) for row in block[level].itertuples(index=False, name=None)] for level in levels]
    return list(zip(*columns, strict=True))
