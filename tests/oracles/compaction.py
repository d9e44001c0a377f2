"""What compaction must not change, seen from outside."""

from __future__ import annotations

import copy

import torch
from torch import nn

import prunescope as ps
from prunescope.networks.channels import ChannelMap
from prunescope.networks.layers import Layer


def unsettle(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draw biases, and the statistics, scales and shifts of batch norms: the usual 0 and 1 would hide errors."""
    draw = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=draw)
            module.running_var.uniform_(0.5, 1.5, generator=draw)
            nn.init.normal_(module.weight, 1, 0.2, generator=draw)
        if isinstance(module, nn.BatchNorm2d | nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.normal_(module.bias, 0, 0.2, generator=draw)
    return network


def random_filters(network: nn.Module, channels: ChannelMap, rate: float, seed: int) -> ps.Mask:
    """Remove each group of filters that can be removed with a probability; each layer keeps one at least."""
    draw = torch.Generator().manual_seed(seed)
    keep = torch.rand(channels.count, generator=draw) >= rate
    removable = [
        name for name in channels.first if name not in channels.fixed and name not in channels.logits
    ]
    may_go = torch.zeros(channels.count, dtype=torch.bool)
    for name in removable:
        numbers = channels.numbers(name)
        may_go[numbers] = True
        keep[channels.together[numbers[torch.randint(len(numbers), (1,), generator=draw)]]] = True
    keep = (keep | ~may_go)[channels.together]
    masks = {}
    for name in removable:
        layer, kept = network.get_submodule(name), keep[channels.numbers(name)]
        masks[f"{name}.weight"] = kept.view(-1, *[1] * (layer.weight.ndim - 1))
        if layer.bias is not None:
            masks[f"{name}.bias"] = kept
    for name, numbers in channels.norms.items():
        masks[f"{name}.weight"] = masks[f"{name}.bias"] = keep[numbers] | (numbers < 0)
    return ps.Mask(masks, "filter")


def random_connections(layers: dict[str, Layer], rate: float, seed: int) -> ps.Mask:
    """Remove each input of every convolution that is not grouped with a probability; each keeps one at least."""
    draw = torch.Generator().manual_seed(seed)
    masks = {}
    for name, layer in layers.items():
        if layer.kind == "conv" and layer.groups == 1:
            keep = torch.rand(layer.weight_shape[1], generator=draw) >= rate
            keep[torch.randint(len(keep), (1,), generator=draw)] = True
            masks[f"{name}.weight"] = keep.view(1, -1, 1, 1)
    return ps.Mask(masks, "connection")


def masked(network: nn.Module, mask: ps.Mask) -> nn.Module:
    """Return a copy with what is removed at 0."""
    network = copy.deepcopy(network)
    mask.apply(network)
    return network


def some_images(side: int, images: int = 1) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(images, 3, side, side, generator=draw, dtype=torch.float64)


def outputs(
    network: nn.Module, images: torch.Tensor, training: bool = False, heads: bool = False
) -> list[torch.Tensor]:
    """Return all that a network puts out in float64, which it is left in; training is without dropout.

    With `heads`, auxiliary heads run although all else is as in eval mode.
    """
    network.double().train(training)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    network.training = training or heads
    with torch.no_grad():
        output = network(images)
    return [output] if isinstance(output, torch.Tensor) else list(output)


def difference(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    """Return the largest difference, as a fraction of the largest logit."""
    assert [one.shape for one in found] == [other.shape for other in expected]
    assert all(other.abs().max() > 0 for other in expected)
    return max(
        float((one - other).abs().max() / other.abs().max())
        for one, other in zip(found, expected, strict=True)
    )
