"""n:m block by block, in plain Python."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch

Place = tuple[int, ...]


def blocks_of(shape: torch.Size, m: int) -> Iterator[list[Place]]:
    """Yield the places of the weights of every block: m inputs side by side, all else equal."""
    out, inputs, *kernel = shape
    for o, first in itertools.product(range(out), range(0, inputs, m)):
        for position in itertools.product(*(range(side) for side in kernel)):
            yield [(o, first + i, *position) for i in range(m)]


def may_go(scores: dict[Place, float], before: set[Place], k: int) -> tuple[int, set[Place], set[Place]]:
    """Return (how many weights of a block go, those that surely go, those of which some may: ties)."""
    left = sorted((score, place) for place, score in scores.items() if place not in before)
    more = max(k - len(before), 0)
    if not more:
        return len(before), before, set()
    threshold = left[more - 1][0]
    surely = {place for score, place in left if score < threshold}
    return len(before) + more, before | surely, {place for score, place in left if score == threshold}
