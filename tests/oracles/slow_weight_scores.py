"""Scores from weights, in plain Python numbers, one group after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

Group = Sequence[float]


def groups_of(weight: torch.Tensor, granularity: str) -> list[list[float]]:
    """Return the weights of each group, in the order of the groups' flat numbers."""
    filters = [part.flatten().tolist() for part in weight]
    if granularity == "filter":
        return filters
    if granularity == "weight":
        return [[w] for f in filters for w in f]
    if granularity == "kernel":
        return [weight[o, i].flatten().tolist() for o in range(len(weight)) for i in range(weight.shape[1])]
    assert granularity == "connection"
    return [weight[:, i].flatten().tolist() for i in range(weight.shape[1])]


def distances(groups: Sequence[Group], removed: Sequence[bool]) -> list[float]:
    """Sum of the distances of each group that is left to all that are."""
    return [
        0.0 if gone else math.fsum(math.dist(a, b) for b, out in zip(groups, removed, strict=True) if not out)
        for a, gone in zip(groups, removed, strict=True)
    ]


def lamp(groups: Sequence[Group]) -> list[float]:
    """Squared norm over the sum of all squared norms at least as large; for groups of which no two are equal."""
    squares = [math.fsum(w * w for w in group) for group in groups]
    return [s and s / math.fsum(other for other in squares if other >= s) for s in squares]
