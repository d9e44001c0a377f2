"""GraSP: how much gradient would flow without a weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from prunescope.errors import PrunescopeError
from prunescope.networks.channels import replaced_forward
from prunescope.networks.layers import find_layers
from prunescope.pruning.scores.gradients import differentiable, gradients_of, refuse_dead
from prunescope.pruning.scores.score import ScoreRequest, score

TEMPERATURE = 200.0  # divides the logits, so that all classes are about equally likely: the paper's


@score("grasp", needs="calibration", comparable=True)
def grasp(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """w · (H g), summed over the group: to first order, half of what removing it takes from the squared gradient.

    g and H are gradient and Hessian of the mean cross-entropy of all calibration images, by the weights of all
    convolutions and linear layers, chosen or not. A negative score says that more gradient flows without the group;
    these go first. Scores are changes of one number, so layers are compared as they are.

    *Source:* Wang, Zhang & Grosse, Picking Winning Tickets Before Training by Preserving Gradient Flow, 2020, eq. 8,
    whose S(-θ) = -θ · H g is high for what goes first.
    *Differs:* the network is in eval mode, and g is that of all images at once, so batches do not matter.

    Raises:
        PrunescopeError: all gradients are 0, or the network computes what torch has no second derivative of.
    """
    assert request.calibration is not None
    layers = {
        name: layer
        for name, layer in {**find_layers(request.network), **request.layers}.items()
        if "weight" in layer.module._parameters  # and is not computed from others
    }
    with differentiable(request.network, layers) as network, twice_differentiable(request.network):
        gradient = network.gradients(network.losses(request.calibration, TEMPERATURE))
        refuse_dead("grasp", gradient)
        products = network.gradients(
            _along(gradient, gradients_of(loss, network.weights, create_graph=True))
            for loss in network.losses(request.calibration, TEMPERATURE)
        )
    return request.summed({name: request.weight(name) * products[name] for name in request.layers})


def _along(direction: dict[str, torch.Tensor], gradients: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the inner product, a scalar whose own gradient is H times `direction`."""
    return torch.stack([(direction[name] * gradient).sum() for name, gradient in gradients.items()]).sum()


@contextmanager
def twice_differentiable(network: nn.Module) -> Iterator[None]:
    """Let a network compute in ways that have second derivatives, where there are such."""
    forwards: dict[nn.Module, Callable[[torch.Tensor], torch.Tensor]] = {
        module: lambda x: functional.relu6(x + 3) / 6
        for module in network.modules()
        if isinstance(module, nn.Hardsigmoid)
    }
    try:
        with replaced_forward(forwards), sdpa_kernel(SDPBackend.MATH):
            yield
    except RuntimeError as error:
        if "is not implemented" not in str(error):
            raise
        raise PrunescopeError(
            f"grasp takes second derivatives, and torch has none of something that the network computes ({error}): "
            "choose another score"
        ) from error
