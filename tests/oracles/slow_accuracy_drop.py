"""The greedy algorithm of CAR by brute force: a fresh copy of the network for every set of removed filters."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import nn

Filter = tuple[str, int]  # layer, number
Evaluate = Callable[[nn.Module], float]


def without(network: nn.Module, gone: Iterable[Filter], norms: Mapping[str, str]) -> nn.Module:
    """Return a copy without some filters, their biases and their channels in the batch norm behind the layer."""
    network = copy.deepcopy(network)
    with torch.no_grad():
        for layer, number in gone:
            for name in (layer, norms.get(layer)):
                if name:
                    module = network.get_submodule(name)
                    for parameter in module._parameters.values():
                        if parameter is not None:
                            parameter[number] = 0
    return network


def greedy(
    network: nn.Module,
    layers: Mapping[str, int],
    evaluate: Evaluate,
    count: int,
    norms: Mapping[str, str],
) -> set[Filter]:
    """Remove `count` filters, each time the one without which the accuracy is highest; keep one in each layer.

    Args:
        layers: layer to its number of filters.
    """
    gone: set[Filter] = set()
    for _ in range(count):
        left = [(layer, i) for layer, size in layers.items() for i in range(size) if (layer, i) not in gone]
        sizes = {layer: sum(owner == layer for owner, _ in left) for layer in layers}
        candidates = [one for one in left if sizes[one[0]] > 1]
        gone.add(max(candidates, key=lambda one: evaluate(without(network, [*gone, one], norms))))
    return gone
