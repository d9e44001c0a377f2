"""Which whole groups of a weight are 0, weight by weight, in plain Python."""

from __future__ import annotations

import itertools
from collections import Counter

import torch

from oracles.slow_blocks import blocks_of


def whole_groups(weight: torch.Tensor) -> dict[str, int]:
    """Count the filters, connections and kernels that are wholly 0, and the zeros in each kind."""
    shape = [*weight.shape, 1, 1][:4]
    values = weight.reshape(shape).tolist()
    groups: dict[str, dict[tuple[int, ...], list[bool]]] = {"filter": {}, "connection": {}, "kernel": {}}
    for o, c, y, x in itertools.product(*map(range, shape)):
        zero = values[o][c][y][x] == 0
        for name, group in (("filter", (o,)), ("connection", (c,)), ("kernel", (o, c))):
            groups[name].setdefault(group, []).append(zero)
    return {name: sum(map(all, found.values())) for name, found in groups.items()}


def zeros_of_blocks(weight: torch.Tensor, m: int) -> Counter[int]:
    """Count the blocks of m inputs by how many zeros they have."""
    return Counter(sum(weight[place].item() == 0 for place in block) for block in blocks_of(weight.shape, m))
