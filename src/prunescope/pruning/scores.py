"""How important each group of weights is: the lowest scores go first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from prunescope.networks.layers import Layer
from prunescope.pruning.granularity import Granularity
from prunescope.registry import Registry


@dataclass(frozen=True)
class ScoreRequest:
    """What a score may look at. `generator` is the only source of randomness, on the CPU."""

    network: nn.Module
    layers: Mapping[str, Layer]
    granularity: Granularity
    generator: torch.Generator

    def over_weights(self, elements: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
        """Apply `elements` to the weight of every layer and sum over each group."""
        return {
            name: self.granularity.reduce(elements(layer.module.weight.detach().contiguous()))
            for name, layer in self.layers.items()
        }


Score = Callable[[ScoreRequest], dict[str, torch.Tensor]]
SCORES: Registry[Score] = Registry("score")


@SCORES.register("l1")
def l1(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """Sum of |w| over the group. *Source:* Li et al., Pruning Filters for Efficient ConvNets, 2017."""
    return request.over_weights(torch.abs)


@SCORES.register("l2")
def l2(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """Euclidean norm of the group, as in `torch.nn.utils.prune.ln_structured(n=2)`."""
    return {name: squares.sqrt() for name, squares in request.over_weights(torch.square).items()}


@SCORES.register("random")
def random(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """Uniform random numbers: the control for every other score."""
    return {
        name: torch.rand(request.granularity.shape(layer), generator=request.generator).to(
            layer.module.weight.device
        )
        for name, layer in request.layers.items()
    }
