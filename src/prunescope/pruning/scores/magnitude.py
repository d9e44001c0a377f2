"""Scores that look at the weights alone, one by one; and random numbers, the control for every score."""

from __future__ import annotations

import torch

from prunescope.pruning.scores.score import ScoreRequest, score


@score("l1")
def l1(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """Sum of |w| over the group. *Source:* Li et al., Pruning Filters for Efficient ConvNets, 2017."""
    return request.over_weights(torch.abs)


@score("l2")
def l2(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """Euclidean norm of the group, as in `torch.nn.utils.prune.ln_structured(n=2)`."""
    return {name: squares.sqrt() for name, squares in request.over_weights(torch.square).items()}


@score("random")
def random(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """Uniform random numbers: the control for every other score."""
    return {
        name: torch.rand(request.granularity.shape(layer), generator=request.generator).to(
            layer.module.weight.device
        )
        for name, layer in request.layers.items()
    }
