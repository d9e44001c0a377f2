"""What pruning left: zeros, weights that no longer reach anything, and the arithmetic that remains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear  # what nn.MultiheadAttention puts out by

from prunescope.networks.channels import NORMS_PER_CHANNEL, after_norm, replaced_forward
from prunescope.networks.layers import Layer, find_layers
from prunescope.networks.network import evaluating, example_input, logits_of
from prunescope.networks.shapes import gathered


@dataclass(frozen=True)
class LayerCount:
    """One layer's weights (bias aside).

    Attributes:
        zeros: weights that are exactly 0.
        unreachable: zeros, plus weights that read only dead channels or feed only dead ones.
        macs_effective: multiply-accumulates of the weights that are not unreachable, for one image.
        units: output channels.
        units_alive: output channels that can be other than 0 and that reach the logits.
    """

    layer: Layer
    zeros: int
    unreachable: int
    macs_effective: int
    units: int
    units_alive: int


@dataclass(frozen=True)
class Count:
    """A network's weights: per layer, and all parameters that its forward pass in eval mode uses."""

    layers: dict[str, LayerCount]
    parameters: int
    zeros: int
    unreachable: int


@dataclass
class _Alive:
    """Per channel: can what arrives be other than 0; does what leaves matter to the logits."""

    inputs: torch.Tensor
    outputs: torch.Tensor  # the value put out can be other than 0
    matters: torch.Tensor  # the gradient of the logits is other than 0


def count(
    network: nn.Module, layers: Mapping[str, Layer] | None = None, example: torch.Tensor | None = None
) -> Count:
    """Count zeros and unreachable weights of a network, layer by layer.

    A probe flows through the network with every weight replaced by a positive random number where it is not
    0 (what a layer puts out is scaled to at most 1, so that no activation or gate saturates): a channel can be
    alive where the probe arrives, and matters where the gradient of the output comes back. Any architecture
    that runs can be counted so. A constant that a bias or a shift puts out counts as alive: it does change
    the logits.

    Args:
        layers: as `find_layers` returns them, for this example.
        example: (1, 3, height, width), of which only the shape matters; by default of the network's own size.
    """
    example = example_input(network) if example is None else example
    layers = layers or find_layers(network, example)
    flows = _flow(network, layers, example)
    counted = {name: _count_layer(layer, flows[layer.module]) for name, layer in layers.items()}
    parameters = zeros = unreachable = 0
    for name, layer in layers.items():
        bias = layer.module.bias
        own = counted[name]
        gone, dead = (0, 0) if bias is None else _vector_counts(bias, flows[layer.module].matters)
        parameters += layer.weights + (0 if bias is None else bias.numel())
        zeros += own.zeros + gone
        unreachable += own.unreachable + dead
    for module, alive in flows.items():
        if isinstance(module, NORMS_PER_CHANNEL) and module.affine:
            shifted = (
                alive.inputs if module.running_mean is None else alive.inputs | (module.running_mean != 0)
            )
            for vector, reached in (
                (module.weight, shifted & alive.matters),
                (module.bias, alive.matters),
            ):
                gone, dead = _vector_counts(vector, reached)
                parameters, zeros, unreachable = parameters + vector.numel(), zeros + gone, unreachable + dead
    for other in _other_parameters(network):
        gone = int((other == 0).sum())
        parameters, zeros, unreachable = parameters + other.numel(), zeros + gone, unreachable + gone
    return Count(counted, parameters, zeros, unreachable)


def _other_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return what no layer and no batch norm holds: LayerNorms, attention, tokens. Nothing in it is pruned."""
    followed = (nn.Conv2d, nn.Linear, *NORMS_PER_CHANNEL)  # or, like auxiliary heads, not run at all
    held = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, followed) and not isinstance(module, NonDynamicallyQuantizableLinear)
        for parameter in module.parameters(recurse=False)
    }
    return [parameter for parameter in network.parameters() if id(parameter) not in held]


def _vector_counts(vector: torch.Tensor, reached: torch.Tensor) -> tuple[int, int]:
    """Return (zeros, unreachable) of a bias, scale or shift."""
    return int((vector == 0).sum()), int(((vector == 0) | ~reached).sum())


def _count_layer(layer: Layer, alive: _Alive) -> LayerCount:
    weight = (
        layer.module.weight.detach().flatten(2)
        if layer.kind == "conv"
        else layer.module.weight.detach()[..., None]
    )
    per_group = weight.unflatten(0, (layer.groups, -1))  # (groups, out / groups, in / groups, positions)
    inputs = alive.inputs.view(layer.groups, 1, -1, 1)
    outputs = alive.matters.view(layer.groups, -1, 1, 1)
    left = per_group != 0
    zeros = layer.weights - int(left.count_nonzero())
    reached = int(left.logical_and_(inputs & outputs).count_nonzero())
    return LayerCount(
        layer,
        zeros=zeros,
        unreachable=layer.weights - reached,
        macs_effective=layer.positions * reached,
        units=layer.weight_shape[0],
        units_alive=int((alive.outputs & alive.matters).sum()),
    )


def _flow(network: nn.Module, layers: Mapping[str, Layer], example: torch.Tensor) -> dict[nn.Module, _Alive]:
    """Run the probe; return what it found at every layer and batch norm."""
    device = example.device
    generator = torch.Generator().manual_seed(0)
    found: dict[nn.Module, _Alive] = {}

    def positive(pattern: torch.Tensor) -> torch.Tensor:
        """Return random numbers where `pattern`, (out, in), is true."""
        return torch.rand(pattern.shape, generator=generator).add_(0.5).to(device).mul_(pattern)

    def watch(module: nn.Module, x: torch.Tensor, y: torch.Tensor, dim: int) -> torch.Tensor:
        seen = found.setdefault(
            module,
            _Alive(
                *(
                    torch.zeros(size, dtype=torch.bool, device=device)
                    for size in (x.shape[dim], *[y.shape[dim]] * 2)
                )
            ),
        )
        seen.inputs |= _any(x != 0, dim)
        seen.outputs |= _any(y != 0, dim)
        if y.requires_grad:

            def note(gradient: torch.Tensor) -> None:
                seen.matters |= _any(gradient != 0, dim)

            y.register_hook(note)
        return y

    def through_layer(layer: Layer) -> Callable[[torch.Tensor], torch.Tensor]:
        weight, bias = layer.module.weight.detach(), layer.module.bias
        pattern = (weight != 0).flatten(2).any(2) if layer.kind == "conv" else weight != 0
        mixing = positive(pattern)
        constant = torch.zeros(len(pattern), device=device) if bias is None else (bias.detach() != 0).float()
        calls = iter(range(10**9))

        def probe(x: torch.Tensor) -> torch.Tensor:
            x = gathered(layer.module, x)
            if layer.kind == "linear":
                return watch(layer.module, x, _bounded(functional.linear(x, mixing, constant)), dim=-1)
            y = _bounded(functional.conv2d(x, mixing[:, :, None, None], constant, groups=layer.groups))
            height, width = layer.outputs[next(calls) % len(layer.outputs)][-2:]
            return watch(layer.module, x, functional.adaptive_avg_pool2d(y, (height, width)), dim=1)

        return probe

    def through_norm(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        scale, constant = norm_pattern(module, device)

        def probe(x: torch.Tensor) -> torch.Tensor:
            shape = (1, -1, *[1] * (x.ndim - 2))
            return after_norm(module, watch(module, x, x * scale.view(shape) + constant.view(shape), dim=1))

        return probe

    forwards: dict[nn.Module, Callable[..., object]] = {
        layer.module: through_layer(layer) for layer in layers.values()
    }
    for module in network.modules():
        if isinstance(module, NORMS_PER_CHANNEL):
            forwards[module] = through_norm(module)
        elif isinstance(module, nn.LayerNorm | nn.GroupNorm):
            forwards[module] = _across_channels
        elif isinstance(module, nn.MultiheadAttention):
            forwards[module] = _attention
        elif isinstance(module, nn.PReLU):
            forwards[module] = lambda x: x  # as for the positive probe, whatever the type of its slopes
    with (
        evaluating(network),
        torch.inference_mode(False),
        torch.enable_grad(),
        replaced_forward(forwards),
    ):
        image = (torch.rand(example[:1].shape, generator=generator) + 0.5).to(device).requires_grad_()
        logits = logits_of(network(image))
        (logits * (torch.rand(logits.shape, generator=generator) + 0.5).to(device)).sum().backward(
            inputs=[image]
        )
    return found


def _bounded(x: torch.Tensor) -> torch.Tensor:
    """Scale `x` so that its largest entry is 1."""
    return x / x.detach().abs().max().clamp(min=1e-30)


def _any(where: torch.Tensor, dim: int) -> torch.Tensor:
    """Return (channels,): is it so anywhere in each entry of `dim`."""
    return where.movedim(dim, 0).flatten(1).any(1)


def norm_pattern(module: nn.Module, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which channels a batch norm lets through, and to which it adds a constant, (channels,) of 0 and 1."""
    assert isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm)
    mean = (
        torch.zeros(module.num_features, device=device)
        if module.running_mean is None
        else module.running_mean
    )
    if not module.affine:
        return torch.ones_like(mean), (mean != 0).float()
    scale, shift = module.weight.detach(), module.bias.detach()
    return (scale != 0).float(), ((shift != 0) | ((scale != 0) & (mean != 0))).float()


def _across_channels(x: torch.Tensor) -> torch.Tensor:
    """Let every channel reach every other, and stay positive, as no real normalisation does."""
    return x + x.flatten(1).mean(1).view(-1, *[1] * (x.ndim - 1)) + 1


def _attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: object, **__: object
) -> tuple[torch.Tensor, None]:
    """Let every token and channel, (images, tokens, channels), reach every other: attention is not pruned."""
    return query + key + value.mean(dim=(1, 2), keepdim=True), None
