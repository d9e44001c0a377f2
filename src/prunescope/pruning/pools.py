"""Layers whose channels are removed together: their groups are scored, selected and removed as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from prunescope.networks.channels import ChannelMap
from prunescope.networks.layers import Layer
from prunescope.pruning.selection import least_left


@dataclass(frozen=True)
class Pool:
    """Layers that channels tie together, or one layer that has channels tied to each other (as a chunk's halves).

    Attributes:
        groups: layer to int64, (out, 1, 1, 1) or for a linear layer (out, 1): which of the pool's groups each
            of its channels belongs to.
        count: groups of the pool.
    """

    groups: dict[str, torch.Tensor]
    count: int

    @property
    def name(self) -> str:
        """The first of its layers."""
        return next(iter(self.groups))

    def gather(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum what its layers say of their filters over each group: (count,).

        Of bool tensors, the sum says whether any of the group's channels is true.
        """
        first = values[self.name]
        total = torch.zeros(self.count, dtype=first.dtype, device=first.device)
        for layer, groups in self.groups.items():
            total.index_add_(0, groups.flatten().to(total.device), values[layer].flatten())
        return total

    def best(
        self, scores: torch.Tensor, removed: torch.Tensor | None, min_left: int, min_share: float
    ) -> torch.Tensor:
        """Return the groups, (count,) bool, in which each of its layers has the best filters that it has to keep."""
        left = scores if removed is None else scores.masked_fill(removed, -math.inf)
        best = torch.zeros_like(left, dtype=torch.bool)
        for groups in self.groups.values():
            own = groups.flatten().to(left.device)
            best[own[left[own].topk(least_left(len(own), min_left, min_share)).indices]] = True
        return best

    def spread(self, values: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return for each layer what (count,) says of its filters."""
        return {layer: values[groups.to(values.device)] for layer, groups in self.groups.items()}


def tied_pools(layers: Mapping[str, Layer], channels: ChannelMap) -> list[Pool]:
    """Return the pools of channels that are tied among `layers`; all partners of a layer have to be among them."""
    pools = []
    for names in channels.partners():
        if layers.keys() >= set(names):
            together = [channels.together[channels.numbers(name)] for name in names]
            found, index = torch.cat(together).unique(return_inverse=True)
            if len(found) == len(index):
                continue
            groups = {
                name: part.view(-1, *[1] * (len(layers[name].weight_shape) - 1))
                for name, part in zip(names, index.split([len(part) for part in together]), strict=True)
            }
            pools.append(Pool(groups, len(found)))
    return pools


def merge(values: Mapping[str, torch.Tensor], pools: Iterable[Pool]) -> dict[str, torch.Tensor]:
    """Put what layers say of their filters together, pool by pool; other layers are left as they are."""
    merged = dict(values)
    for pool in pools:
        total = pool.gather(values)
        for layer in pool.groups:
            del merged[layer]
        merged[pool.name] = total
    return {name: merged[name] for name in values if name in merged}


def split(values: Mapping[str, torch.Tensor], pools: Iterable[Pool]) -> dict[str, torch.Tensor]:
    """Take apart what `merge` put together."""
    parts = dict(values)
    for pool in pools:
        parts |= pool.spread(values[pool.name])
    return parts
