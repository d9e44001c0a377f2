"""Where channels go: which layer reads which channel of which other layer, and what ties channels together.

The network is run once with every layer replaced by a painter: channel c of a layer puts out one number, its
colour, at every position. Whatever moves channels about without changing them (concatenation, slicing,
shuffling, pooling, flattening, activations that keep zero) lets the colour through, so that each layer sees at
its input whose channels it reads. Where colours were added up, the gradient of the sum says which channels took
part; the sum is a colour from then on. No graph of the network is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from prunescope.networks.layers import Layer, find_layers
from prunescope.networks.network import evaluating, example_input
from prunescope.networks.shapes import gathered

KEEPS_ZERO = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardtanh, nn.Tanh, nn.Softsign,
)  # fmt: skip
NORMS_PER_CHANNEL = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
NORMS_ACROSS_CHANNELS = (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d, nn.LocalResponseNorm, nn.RMSNorm)

# Colours are large, so that a gate (sigmoid of a colour) is exactly 1 and lets what it gates through, and
# random to 40 bits, so that a sum of two is not a third.
_LARGEST = 2.0**45
_SAME_COLOUR = 1e-12 * _LARGEST
_HALF_OPEN = 0.5  # what gates are given, so that they let a part through
_UNFOLLOWABLE = (RuntimeError, TypeError, ValueError, IndexError)


@dataclass
class ChannelMap:
    """Whose channels arrive where. The channels of all layers are numbered through.

    Attributes:
        reads: layer to (inputs,) int64: the number of the channel that each input is, -1 where it is none. Where
            channels were added up, the lowest of their numbers.
        norms: batch norm to (channels,) int64, likewise; slopes: PReLU with a slope per channel, likewise.
        first: layer to the number of its channel 0; channel c of it has number `first[layer] + c`.
        together: (channels,) int64: the lowest number among the channels that each is removed together with:
            those added to it, those that a depthwise convolution makes of it, and those that gate it.
        gates: layers that only scale what others put out (squeeze and excitation).
        fixed: layer to the reason why its channels cannot be removed.
        logits: layers whose channels are the network's output.
        count: channels of all layers together.
    """

    reads: dict[str, torch.Tensor] = field(default_factory=dict)
    norms: dict[str, torch.Tensor] = field(default_factory=dict)
    slopes: dict[str, torch.Tensor] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    together: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    gates: set[str] = field(default_factory=set)
    fixed: dict[str, str] = field(default_factory=dict)
    logits: set[str] = field(default_factory=set)
    count: int = 0

    def numbers(self, layer: str) -> torch.Tensor:
        """Return the numbers of a layer's channels, (out,)."""
        layers = list(self.first)
        after = layers.index(layer) + 1
        end = self.first[layers[after]] if after < len(layers) else self.count
        return torch.arange(self.first[layer], end)

    def owners(self, numbers: torch.Tensor) -> set[str]:
        """Return the layers that channels belong to."""
        layers, starts = list(self.first), torch.tensor(list(self.first.values()))
        found = torch.searchsorted(starts, numbers[numbers >= 0].cpu().contiguous(), right=True) - 1
        return {layers[index] for index in found.unique().tolist()}

    def partners(self) -> list[tuple[str, ...]]:
        """Return the layers that have channels removed together, directly or by way of others; most are alone."""
        group_of = {name: set(self.together[self.numbers(name)].tolist()) for name in self.first}
        pools: list[tuple[list[str], set[int]]] = []
        for name, groups in group_of.items():
            joined = [pool for pool in pools if not groups.isdisjoint(pool[1])]
            pools = [pool for pool in pools if groups.isdisjoint(pool[1])]
            members = [member for pool in joined for member in pool[0]]
            pools.append(([*members, name], groups.union(*(pool[1] for pool in joined))))
        order = list(self.first)
        return sorted((tuple(members) for members, _ in pools), key=lambda pool: order.index(pool[0]))


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


def after_norm(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return what a normalisation makes of `x` once it is normalised: timm's batch norms hold their activation."""
    for child in module.children():
        x = child(x)
    return x


@contextmanager
def _buffers_in_double(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Let what modules hold beside weights, such as the filter of a blur, be float64 for a while, as colours are."""
    buffers = [buffer for module in modules for buffer in module.buffers(recurse=False)]
    own = [(buffer, buffer.data) for buffer in buffers if buffer.is_floating_point()]
    try:
        for buffer, values in own:
            buffer.data = values.double()
        yield
    finally:
        for buffer, values in own:
            buffer.data = values


def map_channels(
    network: nn.Module,
    layers: Mapping[str, Layer] | None = None,
    *,
    example: torch.Tensor | None = None,
    auxiliary: bool = False,
) -> ChannelMap:
    """Follow every channel of every layer through the network.

    Differs from torch-pruning's dependency graph: it needs no rules for operations, since colours flow through
    whatever the forward pass does, and what it cannot follow is named rather than guessed.

    Args:
        layers: as `find_layers` returns them.
        example: (1, 3, height, width); by default one image of the network's own size.
        auxiliary: whether heads that only training uses are followed too; with `layers`, those among them are.
    """
    with torch.inference_mode(False), torch.enable_grad():  # whatever the caller has turned off
        example = example_input(network) if example is None else torch.zeros_like(example[:1])
        layers = layers or find_layers(network, example, auxiliary=auxiliary)
        return _Painting(network, layers, example).run()


Forward = Callable[[torch.Tensor], torch.Tensor]


class _Painting:
    def __init__(self, network: nn.Module, layers: Mapping[str, Layer], example: torch.Tensor) -> None:
        self.network, self.layers = network, layers
        self.heads = any(layer.auxiliary for layer in layers.values())
        self.example = example.double()
        self.map = ChannelMap()
        for name, layer in layers.items():
            self.map.first[name] = self.map.count
            self.map.count += layer.weight_shape[0]
        self.generator = torch.Generator().manual_seed(0)
        self.device = example.device
        self.colours = (self.draw(self.map.count) + 1) * _LARGEST
        self.known, self.shows = self.colours.sort()  # every colour met so far, sums too, and whose it is
        self.factors = self.ones()  # their gradients tell which channels took part in a sum
        self.ties: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.summed: set[str] = set()
        self.loose: list[nn.Parameter] = []  # of modules that run as they are
        self.inside = ""

    def draw(self, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator, dtype=torch.float64).to(self.device)

    def ones(self) -> dict[str, torch.Tensor]:
        """Return one factor per channel, 1, by layer."""
        return {
            name: torch.ones(
                layer.weight_shape[0], dtype=torch.float64, device=self.device, requires_grad=True
            )
            for name, layer in self.layers.items()
        }

    def run(self) -> ChannelMap:
        try:
            outputs = self.pass_through(self.painter, self.norm)
            for output in outputs:
                self.map.logits |= self.map.owners(self.recognise(output, dim=1))
            self.tie_gates()
            self.name_unread()
            self.name_constants()
            self.settle()
        except _UNFOLLOWABLE as error:  # a module that uses weights by itself, say Swin's window attention
            where = f" in {self.inside}" if self.inside else ""
            reason = (
                f"its channels cannot be followed through this network ({str(error).splitlines()[0]}{where})"
            )
            self.map.fixed = dict.fromkeys(self.layers, reason)
            self.map.logits = self.map.logits or {list(self.layers)[-1]}
            self.map.together = torch.arange(self.map.count)
        return self.map

    def pass_through(
        self, through_layer: Callable[[Layer], Forward], through_norm: Callable[[str, nn.Module], Forward]
    ) -> list[torch.Tensor]:
        """Run the network with layers and normalisations replaced; return its outputs."""
        forwards: dict[nn.Module, Callable[..., object]] = {}
        self.loose = []
        names = {module: name for name, module in self.network.named_modules()}
        for module, name in names.items():
            if name in self.layers:
                forwards[module] = through_layer(self.layers[name])
            elif isinstance(module, NORMS_PER_CHANNEL) or _has_slopes(module):
                forwards[module] = through_norm(name, module)
            elif isinstance(module, NORMS_ACROSS_CHANNELS):
                forwards[module] = self.mixer(name)
            elif isinstance(module, nn.MultiheadAttention):
                forwards[module] = lambda query, *_, **__: (torch.zeros_like(query), None)
            elif isinstance(module, KEEPS_ZERO):
                forwards[module] = lambda x: x
            else:
                self.loose += [p for p in module.parameters(recurse=False) if p.requires_grad]

        def enter(module: nn.Module, _: object) -> None:
            self.inside = names[module]

        hooks = [module.register_forward_pre_hook(enter) for module in names]
        try:
            with (
                evaluating(self.network),
                torch.enable_grad(),
                replaced_forward(forwards),
                _buffers_in_double(module for module in names if module not in forwards),
            ):
                self.network.training = self.heads
                output = self.network(self.example)
        finally:
            for hook in hooks:
                hook.remove()
        self.inside = ""
        if isinstance(output, torch.Tensor):
            return [output]
        return [part for part in (output if self.heads else output[:1]) if part is not None]

    def painter(self, layer: Layer) -> Forward:
        fill = self.filler(layer)
        colours = self.colours[self.map.numbers(layer.name)] * self.factors[layer.name]

        def paint(x: torch.Tensor) -> torch.Tensor:
            read = self.recognise(gathered(layer.module, x), dim=_channel_dim(layer))
            self.note(self.map.reads, layer.name, read)
            return fill(colours)

        return paint

    def filler(self, layer: Layer) -> Forward:
        """Return what spreads one number per channel over the layer's output, call by call."""
        calls = iter(range(10**9))
        shape = (1, -1, 1, 1) if layer.kind == "conv" else (-1,)

        def fill(values: torch.Tensor) -> torch.Tensor:
            return values.view(shape).expand(layer.outputs[next(calls) % len(layer.outputs)]).clone()

        return fill

    def norm(self, name: str, module: nn.Module) -> Forward:
        found = self.map.slopes if _has_slopes(module) else self.map.norms

        def look(x: torch.Tensor) -> torch.Tensor:
            read = self.recognise(x, dim=1)
            self.note(found, name, read)
            if getattr(module, "weight", None) is None:
                self.fix(read, f"followed by {name}, which has no scale and shift to remove")
            return after_norm(module, x)

        return look

    def note(self, found: dict[str, torch.Tensor], name: str, read: torch.Tensor) -> None:
        """Note what a module reads; what it reads in the same place on different calls is tied."""
        seen = found.setdefault(name, read)
        known = (seen >= 0) & (read >= 0)
        self.ties.append((seen[known], read[known]))
        for numbers in (seen[~known], read[~known]):
            self.fix(numbers, f"read by {name}, which reads something else in its place as well")
        found[name] = torch.where(known, seen, -1)

    def mixer(self, name: str) -> Forward:
        def mix(x: torch.Tensor) -> torch.Tensor:
            for dim in (1, -1):
                self.fix(self.recognise(x, dim), f"normalised over its channels by {name}")
            return torch.zeros_like(x)

        return mix

    def fix(self, numbers: torch.Tensor, reason: str) -> None:
        for owner in self.map.owners(numbers):
            self.map.fixed.setdefault(owner, reason)

    def recognise(self, x: torch.Tensor, dim: int) -> torch.Tensor:
        """Return the number of the channel that each entry of `dim` shows, -1 where it shows none."""
        shown = _brightest(x, dim)
        numbers = self.look_up(shown)
        unknown = (numbers < 0) & (shown.detach() != 0)
        if unknown.any() and shown.requires_grad:
            self.take_apart(shown[unknown])
            numbers = self.look_up(shown)
        return numbers

    def look_up(self, shown: torch.Tensor) -> torch.Tensor:
        nearest, distance = _nearest(self.known, shown.detach())
        return torch.where(distance <= _SAME_COLOUR, self.shows[nearest], -1)

    def take_apart(self, shown: torch.Tensor) -> None:
        """Find the channels behind colours that are no channel's, (entries,); make those that are sums known."""
        values, order = shown.detach().sort()
        starts = torch.ones_like(values, dtype=torch.bool)
        starts[1:] = values.diff() > _SAME_COLOUR
        sums, values = shown[order[starts]], values[starts]
        belongs, lost = self.belonging(sums, self.factors)
        self.fix(lost, "it takes part in several sums at once")
        taking_part = (belongs >= 0).nonzero().squeeze(1)
        belongs = belongs[taking_part]
        plain = torch.zeros_like(values).index_add(0, belongs, self.colours[taking_part])
        is_sum = plain > 0
        # else scaled as a whole, as by pooling over a margin
        if len(lost) or self.depends_on_parameters(sums):
            is_sum &= (plain - values).abs() <= _SAME_COLOUR
        self.fix(taking_part[~is_sum[belongs]], "it is changed on its way by parameters that no layer holds")
        lowest = torch.full_like(values, self.map.count, dtype=torch.int64)
        lowest.scatter_reduce_(0, belongs, taking_part, "amin")
        self.ties.append((taking_part, lowest[belongs]))
        self.summed |= self.map.owners(taking_part)
        self.known, order = torch.cat([self.known, values[is_sum]]).sort()
        self.shows = torch.cat([self.shows, lowest[is_sum]])[order]

    def depends_on_parameters(self, entries: torch.Tensor) -> bool:
        """Say whether anything but layers and normalisations has a part in the entries: a scale, say."""
        if not self.loose:
            return False
        found = torch.autograd.grad(entries.sum(), self.loose, retain_graph=True, allow_unused=True)
        return any(gradient is not None and bool((gradient != 0).any()) for gradient in found)

    def belonging(
        self, entries: torch.Tensor, factors: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return for each channel of the network which entry it takes part in, -1 for none, and who is in several.

        Every entry gets two random tags. The gradients of the two tagged totals with respect to a channel that
        takes part in one entry, with whatever weight, are in the proportion of that entry's tags.
        """
        tags = self.draw(2, len(entries)) + 1
        first, second = (self.gradients((tag * entries).sum(), factors) for tag in tags)
        part = second != 0
        ratios, order = (tags[0] / tags[1]).sort()
        nearest, distance = _nearest(ratios, torch.where(part, first / second.where(part, 1), 1))
        belongs = torch.where(part & (distance < 1e-10), order[nearest], -1)
        return belongs, (part & (belongs < 0)).nonzero().squeeze(1)

    def gradients(self, total: torch.Tensor, factors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the gradient with respect to every channel's factor, (channels,)."""
        found = torch.autograd.grad(total, list(factors.values()), retain_graph=True, allow_unused=True)
        gradient = torch.zeros(self.map.count, dtype=torch.float64, device=self.device)
        for name, part in zip(factors, found, strict=True):
            if part is not None:
                gradient[self.map.numbers(name)] = part
        return gradient

    def unread(self) -> set[str]:
        read = set().union(*(self.map.owners(numbers) for numbers in self.map.reads.values()))
        return set(self.layers) - read - self.summed - self.map.logits

    def tie_gates(self) -> None:
        """Run again with what nobody reads half open: what changes by it is gated by it."""
        closed = self.unread() - set(self.map.fixed)
        if not closed:
            return
        pushes = {name: factor for name, factor in self.ones().items() if name in closed}

        def gate(layer: Layer) -> Forward:
            fill = self.filler(layer)
            paint = self.colours[self.map.numbers(layer.name)]
            if layer.name in pushes:
                paint = _HALF_OPEN * pushes[layer.name]

            def pass_on(x: torch.Tensor) -> torch.Tensor:
                shown = _brightest(gathered(layer.module, x), _channel_dim(layer))
                self.tie_to(self.map.reads[layer.name], shown, pushes)
                return fill(paint)

            return pass_on

        self.pass_through(gate, lambda name, module: partial(after_norm, module))

    def tie_to(self, reads: torch.Tensor, shown: torch.Tensor, pushes: Mapping[str, torch.Tensor]) -> None:
        """Tie the gates that act on a layer's inputs to the channels that these are."""
        if not shown.requires_grad:
            return
        numbers, index = reads.unique(return_inverse=True)
        sample = torch.zeros_like(numbers).scatter_(0, index, torch.arange(len(reads), device=reads.device))
        sample, numbers = sample[numbers >= 0], numbers[numbers >= 0]
        if not len(numbers):
            return
        belongs, _ = self.belonging(shown[sample], pushes)
        gates = (belongs >= 0).nonzero().squeeze(1)
        self.ties.append((gates, numbers[belongs[gates]]))
        self.map.gates |= self.map.owners(gates)

    def name_unread(self) -> None:
        for name in self.unread() - self.map.gates:
            self.map.fixed.setdefault(name, "no layer reads its channels as they are (attention, say)")

    def name_constants(self) -> None:
        """Run again with all channels at 0: one that is other than 0 where it is read cannot be removed."""

        def erase(layer: Layer) -> Forward:
            fill = self.filler(layer)
            dark = torch.zeros(layer.weight_shape[0], dtype=torch.float64, device=self.device)

            def look(x: torch.Tensor) -> torch.Tensor:
                lit = _brightest(gathered(layer.module, x), _channel_dim(layer)) != 0
                reason = f"turned into other than 0 on its way to {layer.name}"
                self.fix(self.map.reads[layer.name][lit], reason)
                return fill(dark)

            return look

        self.example = self.draw(*self.example.shape)  # which may be added to channels
        self.pass_through(erase, lambda name, module: partial(after_norm, module))

    def settle(self) -> None:
        """Put together what is tied; what is tied to a channel that cannot go, cannot go."""
        for name, layer in self.layers.items():
            if layer.groups > 1:
                self.tie_grouped(name, layer)
        self.map.together = _joined(self.map.count, self.ties)
        self.ties.clear()
        for name in self.layers:
            groups = self.map.together[self.map.numbers(name)]
            if len(groups) > 1 and (groups == groups[0]).all() and name not in self.map.logits:
                self.map.fixed.setdefault(
                    name, "its channels are mixed with each other, and go all or not at all"
                )
        for pool in self.map.partners():
            stays = [name for name in pool if name in self.map.logits or name in self.map.fixed]
            if len(pool) > 1 and stays:
                why = self.map.fixed.get(stays[0], "which yields the logits")
                for name in pool:
                    if name not in self.map.logits:
                        self.map.fixed.setdefault(name, f"tied to {stays[0]}: {why}")

    def tie_grouped(self, name: str, layer: Layer) -> None:
        """Tie a depthwise convolution to what it reads; fix what a grouped one reads and puts out."""
        read, own = self.map.reads[name], self.map.numbers(name)
        if layer.weight_shape[1] > 1:
            self.fix(read, f"read by the grouped convolution {name}")
            self.map.fixed.setdefault(name, "a grouped convolution")
        elif bool((read < 0).any()):
            self.map.fixed.setdefault(
                name, "a depthwise convolution that reads the image, or what is unknown"
            )
        else:
            self.ties.append((own, read.cpu().repeat_interleave(len(own) // len(read))))


def _channel_dim(layer: Layer) -> int:
    return 1 if layer.kind == "conv" else -1


def _has_slopes(module: nn.Module) -> bool:
    return isinstance(module, nn.PReLU) and module.num_parameters > 1


def _brightest(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Return for each entry of `dim` its value where it is largest: where no zero padding was averaged into it."""
    flat = x.movedim(dim, 0).flatten(1)
    return flat[torch.arange(len(flat), device=flat.device), flat.detach().abs().argmax(1)]


def _nearest(ascending: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the index of the entry of `ascending` that is nearest to each value, and the distance."""
    above = torch.searchsorted(ascending, values.contiguous()).clamp(max=len(ascending) - 1)
    below = (above - 1).clamp(min=0)
    distance = torch.stack([(ascending[above] - values).abs(), (ascending[below] - values).abs()])
    return torch.where(distance[0] <= distance[1], above, below), distance.amin(0)


def _joined(count: int, ties: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """Return for each of `count` channels the lowest number that it is tied to, directly or by way of others."""
    together = torch.arange(count)
    if not ties:
        return together
    one, other = (torch.cat([tie[side].cpu() for tie in ties]) for side in (0, 1))
    while True:
        lowest = torch.minimum(together[one], together[other])
        joined = together.clone()
        for end in (together[one], together[other], one, other):
            joined.scatter_reduce_(0, end, lowest, "amin")
        joined = joined[joined]
        if torch.equal(joined, together):
            return together
        together = joined
