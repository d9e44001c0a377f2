"""First-order Taylor of activations: how much the loss would change if a channel put out 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.networks.layers import Layer, Prunable
from prunescope.pruning.scores.gradients import differentiable, gradients_of, refuse_dead
from prunescope.pruning.scores.score import ScoreRequest, score


@score(
    "taylor",
    needs="calibration",
    granularities=("filter",),
    because="it looks at what channels put out, which is one number for all weights of a filter",
)
def taylor(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """Mean over the images of |mean over positions of a · ∂L/∂a|, for each output channel a of a layer.

    Where a layer is called several times, or several modules share its weight, the calls add up before the absolute
    value is taken, since they go together. Layers that are tied (residual additions, depthwise convolutions) are
    scored each by its own output; `prune` then adds up the scores of the filters that go together.

    *Source:* Molchanov et al., Pruning Convolutional Neural Networks for Resource Efficient Inference, 2017, eq. 8.
    *Differs:* a is what the layer itself puts out, before batch norm and nonlinearity (behind a ReLU alone the
    product is the same); in global scope scores are divided by their layer's mean rather than by its L2 norm. The
    network is in eval mode.

    Raises:
        PrunescopeError: all gradients are 0, or what a layer puts out does not belong to single images.
    """
    calibration = request.calibration
    assert calibration is not None
    with differentiable(request.network, {}) as network:
        totals = {
            name: torch.zeros(layer.weight_shape[0], dtype=network.dtype, device=layer.module.weight.device)
            for name, layer in request.layers.items()
        }
        for inputs, labels in network.batches(calibration):
            with gated(request.network, request.layers) as gates:
                loss = calibration.loss(network, inputs, labels)
            gradients = gradients_of(loss, {i: gate.factors for i, gate in enumerate(gates)})
            effects: dict[str, torch.Tensor] = {}
            for i, gate in enumerate(gates):
                effects[gate.layer] = effects.get(gate.layer, 0) + gate.effects(gradients[i], len(labels))
            for name, effect in effects.items():
                totals[name] += effect.abs().sum(0)
    refuse_dead("taylor", totals)
    return {
        name: total.view(request.granularity.shape(request.layers[name])) for name, total in totals.items()
    }


@dataclass(frozen=True)
class Gate:
    """What one call of a layer is multiplied by.

    Attributes:
        factors: (entries, out) ones; entries are the images, or several for each, as with windows of an image.
        positions: of one entry.
    """

    layer: str
    factors: torch.Tensor
    positions: int

    def effects(self, gradient: torch.Tensor, images: int) -> torch.Tensor:
        """Return the mean over positions of a · ∂L/∂a, (images, out); `gradient` is that by the factors."""
        entries, out = gradient.shape
        if entries % images:
            raise PrunescopeError(
                f"taylor cannot score {self.layer}: for {images} images it puts out {entries} results; spare it, or "
                "choose another score"
            )
        return gradient.view(images, -1, out).mean(1) / self.positions


@contextmanager
def gated(network: nn.Module, layers: Mapping[str, Layer]) -> Iterator[list[Gate]]:
    """Multiply what layers put out by gates, which the list gathers call by call."""
    names = {id(layer.module.weight): name for name, layer in layers.items()}
    gates: list[Gate] = []

    def gate(name: str, channel: int, output: torch.Tensor) -> torch.Tensor:
        factors = torch.ones(
            len(output), output.shape[channel], dtype=output.dtype, device=output.device, requires_grad=True
        )
        gates.append(Gate(name, factors, output.numel() // factors.numel()))
        shape = [1] * output.ndim
        shape[0], shape[channel] = factors.shape
        return output * factors.view(shape)

    hooks = []
    try:
        for module in network.modules():
            if isinstance(module, Prunable) and (name := names.get(id(module._parameters.get("weight")))):
                channel = 1 if isinstance(module, nn.Conv2d) else -1
                hooks.append(
                    module.register_forward_hook(
                        lambda _, __, output, name=name, channel=channel: gate(name, channel, output)
                    )
                )
        yield gates
    finally:
        for hook in hooks:
            hook.remove()
