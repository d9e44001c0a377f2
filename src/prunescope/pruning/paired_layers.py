"""Which layer of one network is which of another, told from the names and shapes of their weights alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from prunescope.errors import PrunescopeError

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class PairedLayers:
    """The layers that two networks both have.

    Attributes:
        pruned: layer of the dense network to that of the pruned one.
        by: what they were paired by.
        other_outputs: whether only the last layer's outputs, the classes, keep the shapes from being equal.
        equal: whether all paired weights have equal shapes, that one aside.
        smaller: whether all have, with equal kernels, at most as many filters and inputs, and some have fewer.
        missing: layers of the dense network that the pruned one lacks; `added`: the other way round.
    """

    pruned: dict[str, str]
    by: Literal["name", "order"]
    other_outputs: bool
    equal: bool
    smaller: bool
    missing: tuple[str, ...]
    added: tuple[str, ...]


def check_weights(weights: Weights, whose: str) -> None:
    """Raise unless all are the weights of convolutions or linear layers, and numbers.

    Raises:
        PrunescopeError: a tensor of another rank than 2 or 4, or one that holds NaN or infinite values.
    """
    for name, weight in weights.items():
        if weight.ndim not in (2, 4):
            raise PrunescopeError(
                f"{name} of the {whose} network has the shape {tuple(weight.shape)}: expected the weight of a "
                "convolution, (out, in, height, width), or of a linear layer, (out, in); leave others out"
            )
        if weight.numel() and not all(math.isfinite(extreme) for extreme in torch.aminmax(weight.detach())):
            raise PrunescopeError(
                f"{name} of the {whose} network holds NaN or infinite values: the weights are unusable"
            )


def pair_layers(dense: Weights, pruned: Weights) -> PairedLayers:
    """Pair layers of one name, or, where names say nothing but the shapes are the same in order, of one place.

    Args:
        dense: layer to its weight, in the network's order; `pruned` likewise.
    """
    common = {name: name for name in dense if name in pruned and dense[name].ndim == pruned[name].ndim}
    by: Literal["name", "order"] = "name"
    if 2 * len(common) < len(pruned) and _shapes(dense) == _shapes(pruned):
        common, by = dict(zip(dense, pruned, strict=True)), "order"
    mine, theirs = ({name: w.shape for name, w in weights.items()} for weights in (dense, pruned))
    differing = [name for name, other in common.items() if mine[name] != theirs[other]]
    missing = tuple(name for name in dense if name not in common)
    added = tuple(name for name in pruned if name not in common.values())
    last, own_last = (next(reversed(list(weights)), "") for weights in (dense, pruned))
    other_outputs = (
        differing == [last]
        and len(common) > 1
        and common[last] == own_last
        and mine[last][1:] == theirs[common[last]][1:]
    )
    fits = all(
        mine[name][2:] == theirs[other][2:]
        and all(a >= b for a, b in zip(mine[name], theirs[other], strict=True))
        for name, other in common.items()
    )
    return PairedLayers(
        common,
        by,
        other_outputs,
        bool(common) and (not differing or other_outputs),
        bool(differing) and fits and not other_outputs and not added,
        missing,
        added,
    )


def _shapes(weights: Weights) -> list[torch.Size]:
    return [weight.shape for weight in weights.values()]
