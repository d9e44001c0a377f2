"""Whether one layer is another with its filters, and what they read, in another order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Keys = NDArray[np.uint64]
Values = NDArray[np.float32]
_ROUNDS = 3  # in which filters and inputs are told apart by each other
_SEED = 7
_PART = 2**16  # weights looked at at once, which stay in the processor's cache


@dataclass(frozen=True)
class Order:
    """Where the filters and inputs of a layer are found in another: `other[filters][:, inputs]` is the layer.

    Attributes:
        filters: (out,), `inputs`: (in,).
    """

    filters: Indices
    inputs: Indices

    @property
    def moved(self) -> bool:
        """Whether any filter stands at another place."""
        return bool((self.filters != np.arange(len(self.filters))).any())


def find_order(dense: torch.Tensor, pruned: torch.Tensor) -> Order | None:
    """Return where each filter and input of `dense` is in `pruned`; None if they differ in more than their order.

    A filter is known by its values at each position of the kernel, in whatever order the inputs are, and an input by
    those that read it. Where several have the same values, those that read them tell them apart; equal ones, such as
    filters that are wholly 0, keep their order among themselves. What is returned was checked weight by weight.

    Args:
        dense: (out, in / groups, height, width) or (out, in), float32, on the CPU; `pruned`: of the same shape.

    *Source:* refinement of colours, Weisfeiler & Leman 1968, with sums of hashes for multisets.
    """
    mine, theirs = (weight.reshape(*weight.shape[:2], -1).numpy() for weight in (dense, pruned))
    filters = _match(_filter_keys(mine), _filter_keys(theirs))
    if filters is None:
        return None
    places = np.random.default_rng(_SEED).integers(2**64, size=len(filters), dtype=np.uint64)
    moved = np.empty_like(places)
    moved[filters] = places
    none = np.zeros(mine.shape[1], dtype=np.uint64)
    inputs = _match(_sums(mine, places, none)[1], _sums(theirs, moved, none)[1])
    if inputs is None or not torch.equal(pruned[filters][:, inputs], dense):
        return None
    return Order(filters, inputs)


def _filter_keys(values: Values) -> Keys:
    """Return a number for each filter, that does not depend on the order of filters and inputs."""
    filters, inputs = (np.ones(size, dtype=np.uint64) for size in values.shape[:2])
    for _ in range(_ROUNDS):
        filters, inputs = (_mix(sums) for sums in _sums(values, filters, inputs))
        if len(np.unique(filters)) == len(filters):
            break
    return filters


def _sums(values: Values, filters: Keys, inputs: Keys) -> tuple[Keys, Keys]:
    """Sum hashes of the weights over each filter, times the number of the input, and over each input likewise.

    Args:
        values: (out, in, positions); `filters`: (out,), `inputs`: (in,), their numbers.
    """
    of_filters, of_inputs = np.empty_like(filters), np.zeros_like(inputs)
    positions = np.arange(values.shape[2], dtype=np.uint64) << np.uint64(32)
    step = max(1, _PART // max(1, values[0].size))
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        bits = (values[part] + np.float32(0)).view(np.uint32)  # -0 is 0
        hashed = _mix(bits + positions)
        of_filters[part] = np.einsum("fix,i->f", hashed, inputs)
        of_inputs += np.einsum("fix,f->i", hashed, filters[part])
    return of_filters, of_inputs


def _mix(keys: Keys) -> Keys:
    """Scramble numbers in place, each to another. *Source:* Steele et al., SplitMix64, 2014."""
    keys += np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        keys ^= keys >> np.uint64(shift)
        keys *= np.uint64(factor)
    keys ^= keys >> np.uint64(31)
    return keys


def _match(keys: Keys, others: Keys) -> Indices | None:
    """Return where each of `keys` is among `others`, equal ones in order; None if they are not the same."""
    mine, theirs = (np.argsort(each, kind="stable") for each in (keys, others))
    if (keys[mine] != others[theirs]).any():
        return None
    found = np.empty_like(mine)
    found[mine] = theirs
    return found
