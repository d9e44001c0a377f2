"""Which groups go, by sorting plain Python lists."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

Scores = Mapping[str, list[float]]
ROUND = {"round": round, "floor": math.floor, "ceil": math.ceil}


def gone(
    scores: Scores,
    rate: float,
    scope: Literal["layer", "global"],
    already: Mapping[str, set[int]],
    normalise: Literal["none", "mean", "layer"],
    min_left: int,
    rounding: str,
) -> tuple[int, set[tuple[str, int]], set[tuple[str, int]]]:
    """Return (how many groups go in all, those that surely go, those that may: ties at the threshold)."""
    if scope == "layer":
        parts = [
            gone({name: values}, rate, "global", already, "none", min_left, rounding)
            for name, values in scores.items()
        ]
        return (
            sum(count for count, _, _ in parts),
            set().union(*(surely for _, surely, _ in parts)),
            set().union(*(maybe for _, _, maybe in parts)),
        )
    before = {(name, i) for name in scores for i in already.get(name, ())}
    ranked = []
    for name, values in scores.items():
        lowest = min(0, *values)
        total = sum(value - lowest for value in values)
        divisor = {"none": 1.0, "mean": total / len(values), "layer": total}[normalise]
        shift = 0 if normalise == "none" else lowest
        left = sorted((value, i) for i, value in enumerate(values) if (name, i) not in before)
        removable = left[: max(0, len(left) - min_left)] if min_left else left
        ranked += [((value - shift) / max(divisor, 1e-30), (name, i)) for value, i in removable]
    ranked.sort()
    groups = sum(map(len, scores.values()))
    wanted = min(ROUND[rounding](rate * groups), groups - min_left * len(scores)) - len(before)
    wanted = min(max(wanted, 0), len(ranked))
    if not wanted:
        return len(before), before, set()
    threshold = ranked[wanted - 1][0]
    surely = before | {place for value, place in ranked if value < threshold}
    return len(before) + wanted, surely, {place for value, place in ranked if value == threshold}
