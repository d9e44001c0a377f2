"""Scores that are derivatives, by changing one number at a time and looking what happens."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional

STEP = 1e-5
Elements = dict[str, torch.Tensor]


def loss(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, temperature: float = 1) -> float:
    with torch.no_grad():
        return functional.cross_entropy(network(inputs) / temperature, labels).item()


def central(value: Callable[[], float], number: torch.Tensor, step: float = STEP) -> float:
    """Return the derivative of `value` by `number`, a view of one element that is put back."""
    before = number.item()
    number.fill_(before + step)
    above = value()
    number.fill_(before - step)
    below = value()
    number.fill_(before)
    return (above - below) / (2 * step)


def weights_of(network: nn.Module) -> Elements:
    """Return layer to weight, each weight once."""
    found, seen = {}, set()
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and id(module.weight) not in seen:
            seen.add(id(module.weight))
            found[name] = module.weight.data
    return found


def snip_by_gates(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> Elements:
    """|derivative of the loss by a gate c in c * w, at 1|, one weight at a time."""
    network = copy.deepcopy(network)
    found = {}
    for name, weight in weights_of(network).items():
        scores = torch.zeros(weight.numel(), dtype=torch.float64)
        flat = weight.view(-1)
        for i, value in enumerate(flat.tolist()):
            gate = torch.ones((), dtype=torch.float64)

            def gated_loss(flat: torch.Tensor = flat, i: int = i, value: float = value) -> float:
                flat[i] = value * gate.item()  # noqa: B023
                return loss(network, inputs, labels)

            scores[i] = abs(central(gated_loss, gate))
            flat[i] = value
        found[name] = scores.view_as(weight)
    return found


@contextmanager
def channel_gate(
    network: nn.Module, weight: nn.Parameter, channel: int, gate: torch.Tensor
) -> Iterator[None]:
    """Multiply one channel of what every module with this weight puts out."""

    def multiply(module: nn.Module, _: object, output: torch.Tensor) -> torch.Tensor:
        changed = output.clone()
        changed.select(1 if isinstance(module, nn.Conv2d) else -1, channel).mul_(gate)
        return changed

    users = [m for m in network.modules() if getattr(m, "weight", None) is weight]
    hooks = [user.register_forward_hook(multiply) for user in users]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def taylor_by_gates(
    network: nn.Module, layer: str, positions: int, inputs: torch.Tensor, labels: torch.Tensor
) -> list[float]:
    """Mean over images of |derivative of the image's loss by a gate of the channel| / positions."""
    weight = network.get_submodule(layer).weight
    scores = []
    for channel in range(len(weight)):
        gate = torch.ones((), dtype=torch.float64)
        with channel_gate(network, weight, channel, gate):
            effects = [
                abs(central(lambda i=i: loss(network, inputs[i : i + 1], labels[i : i + 1]), gate))
                for i in range(len(labels))
            ]
        scores.append(sum(effects) / len(effects) / positions)
    return scores


def squared_gradient(
    network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, temperature: float
) -> float:
    """Return the squared length of the loss's gradient by the weights of convolutions and linear layers."""
    weights = [dict(network.named_modules())[name].weight.requires_grad_() for name in weights_of(network)]
    value = functional.cross_entropy(network(inputs) / temperature, labels)
    return sum(float(g.square().sum()) for g in torch.autograd.grad(value, weights))


def grasp_by_differences(
    network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, temperature: float
) -> Elements:
    """w / 2 times the derivative by w of the squared gradient, one weight at a time."""
    network = copy.deepcopy(network)
    found = {}
    for name, weight in weights_of(network).items():
        flat = weight.view(-1)
        slopes = [
            central(lambda: squared_gradient(network, inputs, labels, temperature), flat[i])
            for i in range(len(flat))
        ]
        found[name] = weight * torch.tensor(slopes, dtype=torch.float64).view_as(weight) / 2
    return found


def without_each(network: nn.Module, value: Callable[[nn.Module], float]) -> Mapping[tuple[str, int], float]:
    """Return what `value` is with each single weight at 0."""
    network = copy.deepcopy(network)
    found = {}
    for name, weight in weights_of(network).items():
        flat = weight.view(-1)
        for i, before in enumerate(flat.tolist()):
            flat[i] = 0
            found[name, i] = value(network)
            flat[i] = before
    return found


def synflow_of_matrices(matrices: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return for matrices (out, in), applied in turn to ones, |w[o, i]| times what reaches i and what leaves o."""
    positive = [matrix.abs() for matrix in matrices]
    scores = []
    for k, matrix in enumerate(positive):
        arriving = torch.ones(positive[0].shape[1], dtype=matrix.dtype)
        for before in positive[:k]:
            arriving = before @ arriving
        leaving = torch.ones(positive[-1].shape[0], dtype=matrix.dtype)
        for after in reversed(positive[k + 1 :]):
            leaving = leaving @ after
        scores.append(leaving[:, None] * matrix * arriving[None, :])
    return scores


def convolution_matrix(weight: torch.Tensor, side: int, padding: int) -> torch.Tensor:
    """Return a convolution of stride 1 as a matrix, (out * side², in * side²), column by column."""
    columns = []
    for i in range(weight.shape[1] * side * side):
        image = torch.zeros(weight.shape[1] * side * side, dtype=weight.dtype)
        image[i] = 1
        columns.append(functional.conv2d(image.view(1, -1, side, side), weight, padding=padding).flatten())
    return torch.stack(columns, 1)
