"""A dense network to time a pruned one against, where the one that it was made from is not at hand."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn

from prunescope.networks.channels import NORMS_PER_CHANNEL
from prunescope.networks.network import Origin, open_network, preprocess_of
from prunescope.pruning.masks import Mask


def as_if_dense(network: nn.Module, mask: Mask | None, images: torch.Tensor) -> nn.Module:
    """Return a copy of `network` whose removed weights are drawn anew from those that stayed in the same tensor.

    Batch norms then take mean and variance from `images`, since those of a removed channel are of a signal that
    was always 0: what flows through the copy has the usual scale everywhere. What it answers means nothing.

    Args:
        mask: what was removed; None: every weight that is 0.
        images: (two or more images, 3, height, width).
    """
    dense = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter, keep in mask.pairs(dense) if mask else _zeros(dense):
            _redraw(parameter, keep.expand_as(parameter).to(parameter.device), generator)
    _recalibrate(dense, images)
    return dense


def as_before_compaction(compact: nn.Module, images: torch.Tensor) -> nn.Module | None:
    """Return the architecture that a compact network was made from, with random weights; None if it is not known.

    Args:
        images: (two or more images, 3, height, width), for its batch norms, on the network's device, in its type.
    """
    origin = getattr(compact, "origin", None)
    if not isinstance(origin, Origin):
        return None
    preprocess = preprocess_of(compact)
    dense = open_network(origin.name, classes=origin.classes, options=origin.options, preprocess=preprocess)
    _recalibrate(dense.to(images), images)
    return dense


def _zeros(network: nn.Module) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, *NORMS_PER_CHANNEL)) and module.weight is not None:
            yield module.weight, module.weight != 0


def _redraw(parameter: torch.Tensor, keep: torch.Tensor, generator: torch.Generator) -> None:
    removed, stayed = int((~keep).sum()), parameter[keep]
    if len(stayed):
        stayed = stayed[stayed != 0] if (stayed != 0).any() else stayed
        drawn = stayed[torch.randint(len(stayed), (removed,), generator=generator).to(stayed.device)]
    else:
        inputs = max(parameter[0].numel(), 1)
        drawn = (torch.randn(removed, generator=generator) / inputs**0.5).to(parameter)
    parameter[~keep] = drawn


def _recalibrate(network: nn.Module, images: torch.Tensor) -> None:
    """Let batch norms take their statistics from `images` alone; the rest stays in eval mode."""
    network.eval()
    for module in network.modules():
        if isinstance(module, NORMS_PER_CHANNEL) and module.track_running_stats:
            module.reset_running_stats()
            module.momentum = None  # the plain mean over batches
            module.train()
    with torch.no_grad():
        network(images)
    network.eval()
