"""Where channels go: which layer reads which channel of which other layer, and what ties channels together.

The network is run once with every layer replaced by a painter: channel c of a layer puts out one number, its
colour, at every position. Whatever moves channels about without changing them (concatenation, slicing,
shuffling, pooling, flattening, activations that keep zero) lets the colour through, so that each layer sees at
its input whose channels it reads. Where colours were added, none is recognised, and the gradient of what
arrives says which layers took part. No graph of the network is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from prunescope.networks.layers import Layer, find_layers
from prunescope.networks.network import evaluating, example_input

KEEPS_ZERO = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardtanh, nn.Tanh, nn.Softsign,
)  # fmt: skip
NORMS_PER_CHANNEL = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
NORMS_ACROSS_CHANNELS = (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d, nn.LocalResponseNorm, nn.RMSNorm)

# Colours are large, so that a gate (sigmoid of a colour) is exactly 1 and lets what it gates through, and
# random to 40 bits, so that a sum of two is not a third.
_LARGEST = 2.0**45


@dataclass
class ChannelMap:
    """Whose channels arrive where.

    Attributes:
        reads: layer to (inputs,) int64: the number of the channel that each input is, -1 for none.
        norms: batch norm to (channels,) int64, likewise.
        first: layer to the number of its channel 0; channel c of it has number `first[layer] + c`.
        tied: layer to the reason why its channels cannot be removed one by one.
        logits: layers whose channels are the network's output.
        count: channels of all layers together.
    """

    reads: dict[str, torch.Tensor] = field(default_factory=dict)
    norms: dict[str, torch.Tensor] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    tied: dict[str, str] = field(default_factory=dict)
    logits: set[str] = field(default_factory=set)
    count: int = 0


@contextmanager
def replaced_forward(forwards: Mapping[nn.Module, Callable[..., object]]) -> Iterator[None]:
    """Let modules compute something else for a while."""
    own = {module: module.__dict__["forward"] for module in forwards if "forward" in module.__dict__}
    try:
        for module, forward in forwards.items():
            module.forward = forward
        yield
    finally:
        for module in forwards:
            del module.forward
        for module, forward in own.items():
            module.forward = forward


def map_channels(network: nn.Module, layers: Mapping[str, Layer] | None = None) -> ChannelMap:
    """Follow every channel of every layer through the network, in one pass.

    Differs from a dependency graph: channels that an addition or a depthwise convolution ties together are
    named as tied, not resolved into groups.
    """
    return _Painting(network, layers or find_layers(network)).run()


class _Painting:
    def __init__(self, network: nn.Module, layers: Mapping[str, Layer]) -> None:
        self.network, self.layers = network, layers
        self.map = ChannelMap()
        for name, layer in layers.items():
            self.map.first[name] = self.map.count
            self.map.count += layer.weight_shape[0]
        device = example_input(network).device
        draw = torch.rand(self.map.count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.colours = ((draw + 1) * _LARGEST).to(device)
        self.sorted, self.order = self.colours.sort()
        # one factor per layer, whose gradient tells whether the layer took part in a sum
        self.factors = {
            name: torch.ones((), dtype=torch.float64, device=device, requires_grad=True) for name in layers
        }
        self.sums: dict[str, torch.Tensor] = {}

    def run(self) -> ChannelMap:
        names = {module: name for name, module in self.network.named_modules()}
        forwards: dict[nn.Module, Callable[..., object]] = {}
        for module, name in names.items():
            if name in self.layers:
                forwards[module] = self.painter(self.layers[name])
            elif isinstance(module, NORMS_PER_CHANNEL):
                forwards[module] = self.norm(name, module)
            elif isinstance(module, NORMS_ACROSS_CHANNELS):
                forwards[module] = self.mixer(name)
            elif isinstance(module, nn.MultiheadAttention):
                forwards[module] = lambda query, *_, **__: (torch.zeros_like(query), None)
            elif isinstance(module, KEEPS_ZERO):
                forwards[module] = lambda x: x
        try:
            with evaluating(self.network), torch.enable_grad(), replaced_forward(forwards):
                output = self.network(example_input(self.network).double())
        except RuntimeError as error:  # a module that uses weights by itself, say Swin's window attention
            reason = f"its channels cannot be followed through this network ({str(error).splitlines()[0]})"
            self.map.tied = dict.fromkeys(self.layers, reason)
            self.map.logits = {list(self.layers)[-1]}
            return self.map
        logits = output if isinstance(output, torch.Tensor) else output[0]
        self.map.logits = self.owners(self.recognise("the output", logits, dim=1))
        self.name_ties()
        self.name_constants(forwards)
        return self.map

    def name_constants(self, forwards: Mapping[nn.Module, Callable[..., object]]) -> None:
        """Run again with all channels at 0: one that is other than 0 where it is read cannot be removed."""
        dark: dict[nn.Module, Callable[..., object]] = {
            module: (lambda x: x) if isinstance(module, NORMS_PER_CHANNEL) else forward
            for module, forward in forwards.items()
        }
        dark |= {layer.module: self.eraser(layer) for layer in self.layers.values()}
        with evaluating(self.network), replaced_forward(dark):
            self.network(example_input(self.network).double())

    def eraser(self, layer: Layer) -> Callable[[torch.Tensor], torch.Tensor]:
        calls = iter(range(10**9))

        def erase(x: torch.Tensor) -> torch.Tensor:
            lit = x.movedim(1 if layer.kind == "conv" else -1, 0).flatten(1).any(1)
            for owner in self.owners(self.map.reads[layer.name][lit]):
                self.map.tied.setdefault(owner, f"turned into other than 0 on its way to {layer.name}")
            return x.new_zeros(layer.outputs[next(calls) % len(layer.outputs)])

        return erase

    def painter(self, layer: Layer) -> Callable[[torch.Tensor], torch.Tensor]:
        calls = iter(range(10**9))
        first, count = self.map.first[layer.name], layer.weight_shape[0]
        colours = self.colours[first : first + count]
        shape = (1, -1, 1, 1) if layer.kind == "conv" else (-1,)

        def paint(x: torch.Tensor) -> torch.Tensor:
            read = self.recognise(layer.name, x, dim=1 if layer.kind == "conv" else -1)
            seen = self.map.reads.get(layer.name)
            self.map.reads[layer.name] = read if seen is None else torch.where(seen == read, read, -1)
            if layer.groups > 1:
                kind = "depthwise" if layer.weight_shape[1] == 1 else "grouped"
                for owner in self.owners(read):
                    self.map.tied.setdefault(owner, f"tied by the {kind} convolution {layer.name}")
                self.map.tied.setdefault(layer.name, f"a {kind} convolution")
            output = layer.outputs[next(calls) % len(layer.outputs)]
            return (colours * self.factors[layer.name]).view(shape).expand(output).clone()

        return paint

    def norm(self, name: str, module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        def look(x: torch.Tensor) -> torch.Tensor:
            self.map.norms[name] = read = self.recognise(name, x, dim=1)
            if getattr(module, "weight", None) is None:
                for owner in self.owners(read):
                    self.map.tied.setdefault(
                        owner, f"followed by {name}, which has no scale and shift to remove"
                    )
            return x

        return look

    def mixer(self, name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        def mix(x: torch.Tensor) -> torch.Tensor:
            for dim in (1, -1):
                for owner in self.owners(self.recognise(name, x, dim)):
                    self.map.tied.setdefault(owner, f"normalised over its channels by {name}")
            return torch.zeros_like(x)

        return mix

    def recognise(self, reader: str, x: torch.Tensor, dim: int) -> torch.Tensor:
        """Return the number of the channel that each entry of `dim` shows, -1 where it shows none."""
        flat = x.movedim(dim, 0).flatten(1)
        brightest = flat.detach().abs().argmax(1)  # a position that no zero padding was averaged into
        shown = flat[torch.arange(len(flat), device=flat.device), brightest]  # (channels,)
        nearest = torch.searchsorted(self.sorted, shown.detach()).clamp(max=len(self.sorted) - 1)
        below = (nearest - 1).clamp(min=0)
        distance = [(self.sorted[i] - shown.detach()).abs() for i in (nearest, below)]
        index = torch.where(distance[0] <= distance[1], nearest, below)
        close = torch.minimum(*distance) <= 1e-12 * _LARGEST
        sums = shown[~close & (shown.detach() != 0)]
        if sums.requires_grad:
            self.sums[f"{reader}#{len(self.sums)}"] = sums.sum()
        return torch.where(close, self.order[index], -1)

    def owners(self, numbers: torch.Tensor) -> set[str]:
        found = set(numbers[numbers >= 0].tolist())
        return {
            name
            for name, first in self.map.first.items()
            if found.intersection(range(first, first + self.layers[name].weight_shape[0]))
        }

    def name_ties(self) -> None:
        names, factors = list(self.factors), list(self.factors.values())
        for total in self.sums.values():
            gradients = torch.autograd.grad(total, factors, retain_graph=True, allow_unused=True)
            taking_part = [
                name for name, g in zip(names, gradients, strict=True) if g is not None and g.item() != 0
            ]
            for name in taking_part:
                others = [other for other in taking_part if other != name]
                reason = (
                    f"tied by addition to {_some(others)}"
                    if others
                    else "changed on its way (added to, gated)"
                )
                self.map.tied.setdefault(name, reason)
        read = set().union(*(self.owners(numbers) for numbers in self.map.reads.values()), self.map.logits)
        for name in set(self.layers) - read:
            self.map.tied.setdefault(name, "no layer reads its channels as they are (a gate, or attention)")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
