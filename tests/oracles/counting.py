"""Which parameters reach the logits, found out by trying."""

from __future__ import annotations

import copy

import torch
from torch import nn

Reached = dict[str, torch.Tensor]  # parameter to (its shape) bool


def by_zeroing(network: nn.Module, side: int) -> Reached:
    """Set every single weight, bias, scale and shift to 0, one at a time: do the logits change?"""
    network = copy.deepcopy(network).double()
    images = torch.randn(6, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    reached = {}
    with torch.no_grad():
        usual = network(images)
        for name, parameter in network.named_parameters():
            flat = parameter.view(-1)
            changes = torch.zeros(len(flat), dtype=torch.bool)
            for i in flat.nonzero()[:, 0].tolist():
                value = flat[i].item()
                flat[i] = 0
                changes[i] = not torch.equal(network(images), usual)
                flat[i] = value
            reached[name] = changes.view_as(parameter)
    return reached


def by_gradient(network: nn.Module, side: int) -> Reached:
    """Whether a parameter is other than 0 and its gradient too, for a network without dead activations.

    A kernel counts as one: at the small maps of small images a max pooling may never look where one of its
    nine weights matters.
    """
    network = copy.deepcopy(network).double()
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(3, 3, side, side, generator=draw, dtype=torch.float64)
    logits = network(images)
    (logits * torch.randn(logits.shape, generator=draw, dtype=torch.float64)).sum().backward()
    return {
        name: (parameter != 0)
        & (parameter.grad.abs().sum((2, 3), keepdim=True) if parameter.ndim == 4 else parameter.grad).bool()
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }


def silence(network: nn.Module, reached: Reached) -> nn.Module:
    """Return a copy in float64 in which everything that is not reached is 0."""
    network = copy.deepcopy(network).double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.mul_(reached[name])
    return network
