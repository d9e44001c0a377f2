"""Which channels can leave a network whose zeros are in place, without changing what it computes.

A channel is *silent* if it is 0 whatever the image, and *unread* if no weight other than 0 reads it. Silent and
unread channels leave, together with those that the architecture ties to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from prunescope.networks.channels import ChannelMap
from prunescope.networks.layers import Layer
from prunescope.networks.network import device_of
from prunescope.pruning.counting import norm_pattern


@dataclass
class Leaving:
    """Channels by number, (channels,) bool, as `ChannelMap` counts them.

    Attributes:
        patterns: layer to (out, in / groups) bool: which of its inputs each filter reads with a weight that is
            not 0.
        silent: always 0, in whatever is made of it before a layer reads it.
        leaves: goes.
        last: could go, but stays so that each layer keeps a channel.
        shifted: channels that a batch norm makes other than 0 although they are 0, to its name.
    """

    layers: Mapping[str, Layer]
    channels: ChannelMap
    patterns: dict[str, torch.Tensor]
    silent: torch.Tensor
    leaves: torch.Tensor
    last: torch.Tensor
    shifted: dict[int, str] = field(default_factory=dict)

    def filters(self, layer: str) -> torch.Tensor:
        """Return which of a layer's filters stay, (out,) bool."""
        return ~self.leaves[self.channels.numbers(layer)]

    def arriving(self, reads: torch.Tensor) -> torch.Tensor:
        """Return which of the channels that arrive somewhere, (inputs,) numbers, still do, (inputs,) bool."""
        return ~_of(self.leaves, reads)

    def inputs(self, layer: str) -> torch.Tensor:
        """Return which inputs of a layer still arrive, (in,) bool."""
        return self.arriving(_reads(self.layers[layer], self.channels))

    def read(self, layer: str) -> torch.Tensor:
        """Return which inputs of a layer any filter that stays reads with a weight other than 0, (in,) bool."""
        return _columns(self.patterns[layer], self.filters(layer), self.layers[layer].groups)


def find_leaving(network: nn.Module, layers: Mapping[str, Layer], channels: ChannelMap) -> Leaving:
    """Find what can leave, at once: zeros that let further channels be silent or unread are followed to the end.

    Both are found as the largest set that holds itself up: everything is taken to be silent, and then what is
    not is struck out until nothing is left to strike out. That is exact, since no channel is read before it is
    computed.
    """
    patterns = {name: _pattern(layer) for name, layer in layers.items()}
    stays = torch.zeros(channels.count, dtype=torch.bool)
    for name in {*channels.fixed, *channels.logits}:
        stays[channels.numbers(name)] = True
    shifted = _shifted(network, channels)
    leaving = Leaving(layers, channels, patterns, ~stays, ~stays, torch.zeros_like(stays), shifted)
    _strike_loud(leaving)
    _strike_read(leaving)
    for name in layers:
        numbers = channels.numbers(name)
        if leaving.leaves[numbers].all():
            kept = channels.together == channels.together[numbers[0]]
            leaving.last |= kept
            leaving.leaves &= ~kept
    return leaving


def _strike_loud(leaving: Leaving) -> None:
    """Strike out of `silent` what is other than 0: by its own weights and bias, or by a batch norm behind it."""
    channels = leaving.channels
    loud = torch.zeros(channels.count, dtype=torch.bool)
    loud[torch.tensor(list(leaving.shifted), dtype=torch.int64)] = True
    for name, layer in leaving.layers.items():
        if name in channels.gates:  # they let nothing through where nothing comes
            loud[channels.numbers(name)] = False
        elif layer.module.bias is not None:
            loud[channels.numbers(name)] |= layer.module.bias.detach().cpu() != 0
    struck = True
    while struck:
        leaving.silent &= ~_with_partners(loud, channels)
        struck = False
        for name, layer in leaving.layers.items():
            if name not in channels.gates:
                heard = ~_of(leaving.silent, _reads(layer, channels))
                found = _rows(leaving.patterns[name], heard, layer.groups)
                if (found & leaving.silent[channels.numbers(name)]).any():
                    loud[channels.numbers(name)] |= found
                    leaving.silent &= ~_with_partners(loud, channels)
                    struck = True


def _strike_read(leaving: Leaving) -> None:
    """Strike out of `leaves` what is neither silent nor unread."""
    channels = leaving.channels
    struck = True
    while struck:
        struck = False
        for name, layer in reversed(list(leaving.layers.items())):
            reads = _reads(layer, channels)
            read = reads[leaving.read(name) & (reads >= 0)]
            if (leaving.leaves[read] & ~leaving.silent[read]).any():
                wanted = torch.zeros(channels.count, dtype=torch.bool)
                wanted[read] = True
                leaving.leaves &= leaving.silent | ~_with_partners(wanted, channels)
                struck = True


def _pattern(layer: Layer) -> torch.Tensor:
    weight = layer.module.weight.detach()
    return ((weight != 0).flatten(2).any(2) if layer.kind == "conv" else weight != 0).cpu()


def _reads(layer: Layer, channels: ChannelMap) -> torch.Tensor:
    """Return the numbers of the channels that a layer reads, (in,), -1 for none."""
    if layer.name in channels.reads:
        return channels.reads[layer.name].cpu()
    return torch.full((layer.weight_shape[1] * layer.groups,), -1)


def _of(what: torch.Tensor, reads: torch.Tensor) -> torch.Tensor:
    """Return what (channels,) bool says of the channels that are read; false where none is."""
    reads = reads.cpu()
    return what[reads.clamp(min=0)] & (reads >= 0)


def _with_partners(some: torch.Tensor, channels: ChannelMap) -> torch.Tensor:
    """Return the channels in (channels,) bool and all that are tied to them."""
    groups = torch.zeros_like(some)
    groups[channels.together[some]] = True
    return groups[channels.together]


def _rows(pattern: torch.Tensor, inputs: torch.Tensor, groups: int) -> torch.Tensor:
    """Return which filters, (out,), read any of these inputs, (in,)."""
    if groups == 1:
        return pattern[:, inputs].any(1)
    per_group = pattern.view(groups, -1, pattern.shape[1])
    return (per_group & inputs.view(groups, 1, -1)).any(2).flatten()


def _columns(pattern: torch.Tensor, filters: torch.Tensor, groups: int) -> torch.Tensor:
    """Return which inputs, (in,), any of these filters, (out,), reads."""
    if groups == 1:
        return pattern[filters].any(0)
    per_group = pattern.view(groups, -1, pattern.shape[1])
    return (per_group & filters.view(groups, -1, 1)).any(1).flatten()


def _shifted(network: nn.Module, channels: ChannelMap) -> dict[int, str]:
    """Return the channels that a batch norm turns from 0 into something else, with its name."""
    found: dict[int, str] = {}
    for name, numbers in channels.norms.items():
        _, constant = norm_pattern(network.get_submodule(name), device_of(network))
        for number in numbers[(numbers >= 0) & constant.bool()].tolist():
            found.setdefault(number, name)
    return found
