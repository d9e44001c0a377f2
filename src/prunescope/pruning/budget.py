"""The smallest rate that keeps to a budget: multiply-accumulates, weights, bytes of the file, or milliseconds."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.networks.checkpoints import to_bytes
from prunescope.networks.layers import find_layers
from prunescope.networks.network import describe, example_input
from prunescope.pruning.compaction import compact
from prunescope.pruning.counting import count
from prunescope.pruning.granularity import N_OF_M
from prunescope.pruning.masks import Mask
from prunescope.pruning.prune import Pruning

Of = Literal["macs", "weights", "bytes", "milliseconds"]
Cost = Callable[[nn.Module, Mask], float]

STEPS = 10_000  # rates that are looked at
MEASURED_STEPS = 100  # likewise where the cost is measured, since no clock tells finer ones apart
CONFIRMATIONS = 2  # measurements, of what was found, that have to keep to the budget as well
_UNITS: dict[Of, str] = {"macs": "MACs", "weights": "weights", "bytes": "B", "milliseconds": "ms"}
_NO_CLOCK = (
    "a budget of milliseconds needs cost, a function that measures them, such as "
    "prunescope.measures.latency.milliseconds"
)
_SMALLEST_SIDE = 64  # pixels, of an image that channels can be followed on


@dataclass(frozen=True)
class Budget:
    """How much a pruned network may cost.

    Attributes:
        of: "macs" (multiply-accumulates for one image that reach the logits: `macs_effective`), "weights" (those of
            the pruned layers that reach the logits), "bytes" (of the file that `prunescope compact` writes), or
            "milliseconds" (of a forward pass).
        at_most: in these units.
    """

    of: Of
    at_most: float

    def __post_init__(self) -> None:
        if self.of not in _UNITS:
            raise PrunescopeError(
                f"a budget of {self.of!r}: expected {', '.join(get_args(Of))}{did_you_mean(self.of, _UNITS)}"
            )
        if not 0 < self.at_most < math.inf:  # nor NaN
            raise PrunescopeError(
                f"a budget of {self.at_most} {_UNITS[self.of]} is impossible: expected a number above 0"
            )


@dataclass(frozen=True)
class Found:
    """What keeps to a budget: the mask, the rate that it was asked for, and what the network then costs."""

    mask: Mask
    rate: float
    reached: float


def prune_to_budget(
    network: nn.Module,
    pruning: Pruning,
    budget: Budget,
    previous: Mask | None = None,
    cost: Cost | None = None,
) -> Found:
    """Return the mask of the smallest rate at which a network keeps to a budget. The network is not changed.

    The rate is found by bisection, to 1e-4 (1e-2 for milliseconds; for n:m among the multiples of 1 / m): what is
    found keeps to the budget, and the next smaller rate does not. Where costs rise with the rate here and there, as
    measured ones do, an even smaller rate may keep to it by chance. Milliseconds are measured twice more at the end,
    and the rate is raised until both keep to the budget; `reached` is the longer of the two. Another hour or machine
    differs by what its clock scatters.

    Args:
        pruning: how to prune this network; one rate has to say it all, so not with scope "specific".
        previous: what was removed before and stays removed.
        cost: from the network with its zeros, and its mask, to what it costs, in the budget's unit; needed for
            milliseconds, of which `measures.latency.milliseconds` is one (`functools.partial` gives it a runtime
            and a batch).

    Raises:
        PrunescopeError: the budget cannot be met (says the least possible), or the scope is "specific".
    """
    if pruning.scope == "specific":
        raise PrunescopeError(
            "a budget needs one rate that can be raised: choose scope layer, global or erk instead of specific"
        )
    search = _Search(network, pruning, budget, previous)
    if budget.of == "milliseconds":
        if cost is None:
            raise PrunescopeError(_NO_CLOCK)
        return search.confirmed(cost)
    exact = cost or _cost_of(search.network, pruning, budget.of)
    quick = None if cost else _quick_cost(search.network, pruning, budget.of)
    if quick and (place := search.first(quick)) is not None:
        mask = search.mask(place)
        reached = search.cost(exact, mask)
        if reached <= budget.at_most:  # as always, but for code that looks at the size of images
            return Found(mask, search.rates[place], reached)
    place = search.first(exact)
    if place is None:
        raise search.out_of_reach(exact)
    mask = search.mask(place)
    return Found(mask, search.rates[place], search.cost(exact, mask))


def cost_before(network: nn.Module, pruning: Pruning, of: Of, cost: Cost | None = None) -> float:
    """Return what a network costs before it is pruned, in the budget's unit.

    Args:
        network: as `pruning` was made for.
        cost: as in `prune_to_budget`.
    """
    if cost is None and of == "milliseconds":
        raise PrunescopeError(_NO_CLOCK)
    return (cost or _cost_of(network, pruning, of))(network, Mask({}, pruning.granularity.name))


class _Search:
    """Masks of one pruning by the place of their rate, and what a copy of the network costs with them."""

    def __init__(self, network: nn.Module, pruning: Pruning, budget: Budget, previous: Mask | None) -> None:
        self.pruning, self.budget, self.previous = pruning, budget, previous
        self.network, self.dense = copy.deepcopy(network), dict(network.named_parameters())
        self.rates = _rates(pruning, budget)
        self.scores = pruning.scores(previous) if pruning.steps == 1 else None
        self.masked: set[str] = set()

    def mask(self, place: int) -> Mask:
        return self.pruning.at(self.rates[place], self.previous, self.scores)

    def cost(self, cost: Cost, mask: Mask) -> float:
        """Return what the network costs with a mask."""
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                if name in self.masked:
                    parameter.copy_(self.dense[name])
        self.masked = set(mask.keep)
        mask.apply(self.network)
        return cost(self.network, mask)

    def first(self, cost: Cost) -> int | None:
        """Return the place of the smallest rate that keeps to the budget, None if the largest does not."""
        known: list[tuple[Mask, bool]] = []  # the masks at both ends: what equals one of them costs the same

        def keeps(place: int) -> bool:
            mask = self.mask(place)
            for other, kept in known:
                if _same(mask, other):
                    return kept
            kept = self.cost(cost, mask) <= self.budget.at_most
            known[:] = [(other, what) for other, what in known if what != kept] + [(mask, kept)]
            return kept

        low, high = 0, len(self.rates) - 1
        if not keeps(high):
            return None
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if keeps(middle) else (middle + 1, high)
        return high

    def confirmed(self, cost: Cost) -> Found:
        """Do the same where costs are measured: measure again what was found, and raise the rate until it holds."""
        place = self.first(cost)
        for later in range(len(self.rates) if place is None else place, len(self.rates)):
            mask = self.mask(later)
            reached = max(self.cost(cost, mask) for _ in range(CONFIRMATIONS))
            if reached <= self.budget.at_most:
                return Found(mask, self.rates[later], reached)
        raise self.out_of_reach(cost)

    def out_of_reach(self, cost: Cost) -> PrunescopeError:
        """Return the error that says the least possible."""
        of, kept = self.budget.of, self.pruning.selection
        least, whole = (self.cost(cost, self.mask(place)) for place in (len(self.rates) - 1, 0))
        if self.pruning.granularity is N_OF_M:
            why = [f"every {self.pruning.m} weights keep one"]
        else:
            why = [
                f"each layer keeps {name} {kept[name]}" for name in ("min_left", "min_share") if kept[name]
            ]
        if kept["round_to"] > 1:
            why.append(f"numbers of channels are multiples of {kept['round_to']}")
        if spared := len(find_layers(self.network)) - len(self.pruning.layers):
            why.append(f"{spared} layers are spared" if spared > 1 else "1 layer is spared")
        return PrunescopeError(
            f"a budget of {amount(self.budget.at_most, of)} cannot be met: the least possible is {least / whole:.1%} "
            f"({amount(least, of)} of {amount(whole, of)}, at rate {self.rates[-1]:g})"
            f"{': ' if why else ''}{', '.join(why)}"
        )


def _rates(pruning: Pruning, budget: Budget) -> Sequence[float]:
    """Return the rates to choose from, ascending."""
    steps = MEASURED_STEPS if budget.of == "milliseconds" else STEPS
    if pruning.granularity is N_OF_M:
        steps = pruning.m
    return [step / steps for step in range(steps)]


def _same(mask: Mask, other: Mask) -> bool:
    return mask.keep.keys() == other.keep.keys() and all(
        torch.equal(keep, other.keep[name]) for name, keep in mask.keep.items()
    )


def _cost_of(network: nn.Module, pruning: Pruning, of: Of, example: torch.Tensor | None = None) -> Cost:
    """Return the function that counts multiply-accumulates, weights or bytes.

    Args:
        network: that it will be asked about, with other weights.
        example: the image that channels are followed on, as in `count`.
    """
    if of == "bytes":
        shrinks = pruning.granularity.shrinks
        return lambda network, mask: _file_bytes(network, mask if shrinks else None)
    example = example_input(network) if example is None else example
    layers = find_layers(network, example)
    uses = {name: layer.positions for name, layer in find_layers(network).items()}
    if of == "weights":
        uses = dict.fromkeys(pruning.layers, 1)

    def counted(network: nn.Module, mask: Mask) -> float:
        parts = count(network, layers, example).layers
        return sum(
            times * (parts[name].layer.weights - parts[name].unreachable) for name, times in uses.items()
        )

    return counted


def _quick_cost(network: nn.Module, pruning: Pruning, of: Of) -> Cost | None:
    """Return what does the same on a smaller image, where the network takes one: channels go the same ways."""
    example = example_input(network)
    side = max(example.shape[-1] // 4, _SMALLEST_SIDE)
    if of == "bytes" or side >= example.shape[-1]:
        return None
    small = example[:, :, :side, :side]
    try:
        same = find_layers(network, small).keys() == find_layers(network).keys()
        return _cost_of(network, pruning, of, small) if same else None
    except PrunescopeError:  # a network for images of one size
        return None


def _file_bytes(network: nn.Module, mask: Mask | None) -> int:
    """Return the bytes of the network's file: packed, or compact where that is smaller."""
    packed = len(to_bytes(network.state_dict(), describe(network), pack=True))
    if mask is None:
        return packed
    try:
        smaller = compact(network, mask)
    except PrunescopeError:
        return packed
    return min(packed, len(to_bytes(smaller.state_dict(), describe(smaller))))


def amount(value: float, of: Of) -> str:
    """Return a cost as people read it: 184 M MACs, 3.25 MB, 4.1 ms."""
    if of == "milliseconds":
        return f"{value:.3g} ms"
    for prefix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}{'' if of == 'bytes' else ' '}{_UNITS[of]}"
    return f"{value:g} {_UNITS[of]}"
