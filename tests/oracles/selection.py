"""Which groups go, by sorting plain Python lists."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

Scores = Mapping[str, list[float]]
ROUND = {"round": round, "floor": math.floor, "ceil": math.ceil}


def least_of(groups: int, min_left: int, min_share: float) -> int:
    """Return how many groups a layer has to keep; the share is taken as the decimal number that was written."""
    return min(groups, max(min_left, math.ceil(Fraction(str(min_share)) * groups)))


def gone(
    scores: Scores,
    rate: float | Mapping[str, float],
    scope: Literal["layer", "global"],
    already: Mapping[str, set[int]],
    normalise: Literal["none", "mean", "layer"],
    min_left: int,
    rounding: str,
    min_share: float = 0.0,
) -> tuple[int, set[tuple[str, int]], set[tuple[str, int]]]:
    """Return (how many groups go in all, those that surely go, those that may: ties at the threshold)."""
    if scope == "layer":
        parts = [
            gone(
                {name: values},
                rate[name] if isinstance(rate, Mapping) else rate,
                "global",
                already,
                "none",
                min_left,
                rounding,
                min_share,
            )
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
        removable = left[: max(0, len(left) - least_of(len(values), min_left, min_share))]
        ranked += [((value - shift) / max(divisor, 1e-30), (name, i)) for value, i in removable]
    ranked.sort()
    groups = sum(map(len, scores.values()))
    wanted = min(max(ROUND[rounding](rate * groups) - len(before), 0), len(ranked))
    if not wanted:
        return len(before), before, set()
    threshold = ranked[wanted - 1][0]
    surely = before | {place for value, place in ranked if value < threshold}
    return len(before) + wanted, surely, {place for value, place in ranked if value == threshold}
