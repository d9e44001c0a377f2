"""SynFlow: how much flows through a weight if all weights are taken positive. It needs no images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from prunescope.networks.channels import replaced_forward
from prunescope.networks.network import device_of, example_input
from prunescope.pruning.scores.gradients import differentiable, gradients_of, refuse_dead
from prunescope.pruning.scores.score import ScoreRequest, score

SATURATING = (nn.ReLU6, nn.Hardtanh, nn.Tanh, nn.Softsign)


@score("synflow", comparable=True, steps=100)
def synflow(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """|w| · ∂R/∂|w|, summed over the group; R is the sum of the logits for an image of ones, all weights positive.

    Every layer that all flow passes through has the same sum of scores, R. So layers are compared as they are, and
    with many small steps (100) none of them loses all its weights. Of parallel branches the longest
    has by far the largest products, and others may lose all but `min_left`. Scores are in float64, since R of a deep
    network has a hundred digits (on Apple's GPUs, which have no float64, in float32).

    *Source:* Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, 2020,
    for layers without biases. Its implementation takes batch norms and their running statistics positive as well.
    *Differs:* biases, and what a batch norm subtracts and adds, are 0, as in a network that was not trained yet: in a
    trained one the running means, taken positive, would hold back all flow. Modules that saturate (ReLU6, Hardtanh,
    Tanh, Softsign) are taken as ReLU, since no change would pass through them. Gates (Sigmoid, Hardsigmoid) saturate
    at 1, so that layers which only gate have scores near 0: spare them.

    Raises:
        PrunescopeError: nothing flows.
    """
    dtype = torch.float32 if device_of(request.network).type == "mps" else torch.float64
    linear: dict[nn.Module, Callable[[torch.Tensor], torch.Tensor]] = {
        module: torch.relu for module in request.network.modules() if isinstance(module, SATURATING)
    }
    with (
        differentiable(request.network, request.layers, dtype, _positive) as network,
        replaced_forward(linear),
    ):
        ones = torch.ones_like(example_input(request.network), dtype=dtype)
        gradients = gradients_of(network(ones).sum(), network.weights)
        scores = {name: network.weights[name].detach() * g for name, g in gradients.items()}
    refuse_dead("synflow", scores)
    return request.summed(scores)


def _positive(name: str, values: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(values) if name.endswith(("bias", "running_mean")) else values.abs()
