"""`Mask.held`: how much of what was removed is still zero."""

from __future__ import annotations

import torch
from torch import nn

from prunescope.pruning.masks import Mask


def test_weights_that_grow_back_are_counted_and_those_that_were_zero_before_are_not() -> None:
    network = nn.Sequential(nn.Linear(3, 4, bias=False))
    weight = network[0].weight
    with torch.no_grad():
        weight.fill_(1.0)
        weight[3, 2] = 0.0  # was 0 all along, and nobody removed it
    keep = torch.ones(4, 1, dtype=torch.bool)
    keep[:2] = False  # two rows of three weights
    mask = Mask({"0.weight": keep}, "filter", {"0": 0.5})
    assert mask.held(network) == 0.0
    mask.apply(network)
    assert mask.held(network) == 1.0
    with torch.no_grad():
        weight[0, 1] = 1e-8
        weight[3, 2] = 5.0
    assert mask.held(network) == 5 / 6
