"""SNIP: how much the loss depends on whether a weight is there."""

from __future__ import annotations

import torch

from prunescope.pruning.scores.gradients import differentiable, refuse_dead
from prunescope.pruning.scores.score import ScoreRequest, score


@score("snip", needs="calibration")
def snip(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """|w · ∂L/∂w|, summed over the group; L is the mean cross-entropy of all calibration images.

    *Source:* Lee et al., SNIP: Single-shot Network Pruning based on Connection Sensitivity, 2019, eq. 4.
    *Differs:* the network is in eval mode and is scored as it stands, trained or not; scores are not divided by
    their sum. Groups add up the sensitivities of their weights without regard to sign.

    Raises:
        PrunescopeError: all gradients are 0.
    """
    assert request.calibration is not None
    with differentiable(request.network, request.layers) as network:
        gradients = network.gradients(network.losses(request.calibration))
    refuse_dead("snip", gradients)
    return request.summed({name: (request.weight(name) * g).abs() for name, g in gradients.items()})
