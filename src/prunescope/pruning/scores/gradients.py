"""Gradients of a network that is left exactly as it is: it runs in eval mode, on stand-ins for its tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn
from torch.func import functional_call

from prunescope.errors import PrunescopeError
from prunescope.networks.layers import Layer, held_tensors
from prunescope.networks.network import device_of, evaluating, logits_of
from prunescope.pruning.calibration import Calibration

Key = TypeVar("Key")
Change = Callable[[str, torch.Tensor], torch.Tensor]


class StandIn:
    """Computes what a network computes, from tensors that stand in for its parameters and buffers.

    So gradients can be taken whether or not parameters are frozen, and none is left behind.

    Attributes:
        weights: layer to its weight. A weight that several modules share is one, and its gradient is of all uses.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Mapping[str, Layer],
        dtype: torch.dtype | None = None,
        change: Change | None = None,
    ) -> None:
        self.network = network
        self.dtype = dtype or torch.promote_types(next(network.parameters()).dtype, torch.float32)
        held = held_tensors(network)
        lent = {id(tensor): self._detached(tensor) for tensor in held.values()}
        for buffer in network.buffers():
            lent[id(buffer)] = lent[id(buffer)].clone()
        for name, tensor in held.items():
            if change is not None and tensor.is_floating_point():
                lent[id(tensor)] = change(name, lent[id(tensor)])
        self.tensors = {name: lent[id(tensor)] for name, tensor in held.items()}
        self.weights = {name: lent[id(layer.module.weight)] for name, layer in layers.items()}
        for weight in self.weights.values():
            weight.requires_grad_()

    def _detached(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_inference():  # made in the caller's inference mode, of no use to autograd
            tensor = tensor.clone()
        return tensor.detach().to(self.dtype) if tensor.is_floating_point() else tensor.detach()

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits, (images, classes)."""
        return logits_of(functional_call(self.network, self.tensors, inputs, tie_weights=False))

    def batches(self, calibration: Calibration) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield inputs and labels of each batch, copies that the network may change."""
        for inputs, labels in calibration.batches(self.network):
            yield inputs.to(self.dtype, copy=True), labels.clone()

    def losses(self, calibration: Calibration, temperature: float = 1) -> Iterator[torch.Tensor]:
        """Yield the loss of each batch, divided by all images."""
        for inputs, labels in self.batches(calibration):
            yield calibration.loss(self, inputs, labels, temperature)

    def gradients(self, scalars: Iterable[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return layer to the gradient of a sum of scalars by its weight."""
        total = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        for scalar in scalars:
            for name, gradient in gradients_of(scalar, self.weights).items():
                total[name] += gradient
        return total


@contextmanager
def differentiable(
    network: nn.Module,
    layers: Mapping[str, Layer],
    dtype: torch.dtype | None = None,
    change: Change | None = None,
) -> Iterator[StandIn]:
    """Yield a stand-in for a network, in eval mode, whatever the caller has turned off or on.

    Args:
        layers: those whose weights gradients are to be taken by.
        dtype: of all computing; by default the network's own, but float32 at least.
        change: from the name and the values of a parameter or buffer to the values it has in the stand-in.
    """
    with (
        torch.inference_mode(False),
        evaluating(network),
        torch.enable_grad(),
        torch.autocast(device_of(network).type, enabled=False),
    ):
        yield StandIn(network, layers, dtype, change)


def gradients_of(
    scalar: torch.Tensor, by: Mapping[Key, torch.Tensor], create_graph: bool = False
) -> dict[Key, torch.Tensor]:
    """Return the gradients of a scalar, by the names of the tensors; 0 where it does not depend on one."""
    if not scalar.requires_grad:
        return {name: torch.zeros_like(tensor) for name, tensor in by.items()}
    found = torch.autograd.grad(scalar, list(by.values()), create_graph=create_graph, materialize_grads=True)
    return dict(zip(by, found, strict=True))


def refuse_dead(score: str, gradients: Mapping[str, torch.Tensor]) -> None:
    """Raise `PrunescopeError` if all gradients are 0."""
    if not any(bool(gradient.any()) for gradient in gradients.values()):
        raise PrunescopeError(
            f"{score} finds that all gradients are 0: no chosen layer has an influence on the output. The network is "
            "dead, for instance since too much of it was pruned: prune less, or choose a score that looks at the "
            "weights alone (l1)"
        )
