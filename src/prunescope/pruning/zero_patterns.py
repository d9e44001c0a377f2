"""How the zeros of one layer lie: one by one, as whole filters, connections or kernels, or n of every m."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

BOTH = "filter and connection"
_A_FEW = 0.01  # share of weights that may be 0 by themselves: in half precision, .001 are
_COMMONER = 3.0  # times as common as any other value is 0, if weights rounded to a few values were pruned
_AT_MOST = 0.1  # share of zeros that rounding to a few values excuses
_HALF, _MOST = 0.5, 0.9  # of the zeros
_SURE = 20.0  # bits: a million times likelier
_MOST_VALUES = 256  # that are counted: 8 bits
_FIRST, _PART = 2**12, 2**18  # weights looked through at once
_LARGEST_BLOCK = 32  # of n:m
_RARELY = 0.1  # of the blocks: a rule that chance breaks in fewer of them says nothing


@dataclass(frozen=True)
class ZeroPattern:
    """How the zeros of one layer lie.

    Attributes:
        shape: (filters, inputs, height, width), 1 x 1 for a linear layer.
        zeros: weights that are 0.
        filters: filters W[o] that are wholly 0; `connections` W[:, c] and `kernels` W[o, c] likewise.
        held: granularity to the zeros that lie in whole groups of it: "filter", "connection", "filter and connection",
            "kernel", "weight" (all of them); "2:4" (2 of every 4 left), if there is such a rule.
        bits: those that leave at most a few zeros over, to how much shorter they tell which weights are 0 than a list
            of single weights does.
        distinct: how many values the weights other than 0 have, None for more than 256.
        few: share of its weights that may be 0 by themselves.
    """

    shape: tuple[int, int, int, int]
    zeros: int
    filters: int
    connections: int
    kernels: int
    held: dict[str, int]
    bits: dict[str, float]
    distinct: int | None
    few: float

    @property
    def weights(self) -> int:
        """How many weights the layer has."""
        return math.prod(self.shape)

    @property
    def kernel_size(self) -> int:
        """Weights of one kernel: height times width."""
        return self.shape[2] * self.shape[3]

    @property
    def share(self) -> float:
        """Share of the weights that are 0."""
        return self.zeros / self.weights if self.weights else 0.0

    @property
    def touched(self) -> bool:
        """Whether more weights are 0 than may be so by themselves, or nearly all of them in whole groups."""
        return self.share >= self.few or any(
            bits > _SURE and self.held[name] >= _MOST * self.zeros for name, bits in self.bits.items()
        )

    @property
    def plausible(self) -> dict[str, float]:
        """Those of `bits` that are about as good as the best: where a kernel is a weight, both are."""
        best = max(self.bits.values(), default=0)
        return {name: bits for name, bits in self.bits.items() if bits >= best - _SURE}


def find_pattern(weight: torch.Tensor) -> ZeroPattern:
    """Return how the zeros of a weight lie.

    That whole groups are 0 says little: where nine weights of ten were removed one by one, many a 3 x 3 kernel is
    wholly 0. What counts is whether anything else is. Of the granularities that leave (nearly) no zero over, the
    likeliest is the one that tells in the fewest bits which weights are 0: log2 of the ways to choose so many groups.

    Args:
        weight: (out, in / groups, height, width), or (out, in).

    *Source:* Rissanen, Modeling by shortest data description, Automatica 14, 1978.
    """
    zero = (weight == 0).view(*weight.shape, *(1,) * (4 - weight.ndim))
    filters, inputs, height, width = zero.shape
    total, zeros, area = zero.numel(), int(zero.count_nonzero()), height * width
    whole = zero.flatten(2).all(2)  # (filters, inputs)
    rows, columns, kernels = (int(each.count_nonzero()) for each in (whole.all(1), whole.all(0), whole))
    held = {
        "filter": rows * inputs * area,
        "connection": columns * filters * area,
        BOTH: (rows * inputs + columns * filters - rows * columns) * area,
        "kernel": kernels * area,
        "weight": zeros,
    }
    choices = {
        "filter": _choices(filters, rows),
        "connection": _choices(inputs, columns),
        BOTH: _choices(filters, rows) + _choices(inputs, columns),
        "kernel": _choices(filters * inputs, kernels),
        "weight": _choices(total, zeros),
    }
    distinct, few = _count_values(weight)
    bits = {}
    for name, inside in held.items():
        outside, over = total - inside, zeros - inside
        if name == "kernel" and weight.ndim == 2:  # linear layers have none
            continue
        if over <= few * outside and inside and inside >= _HALF * zeros:
            bits[name] = choices["weight"] - choices[name] - _choices(outside, over)
    if "filter" in bits or "connection" in bits:
        bits.pop(BOTH, None)
    pattern = ZeroPattern(
        (filters, inputs, height, width), zeros, rows, columns, kernels, held, bits, distinct, few
    )
    if pattern.touched and zeros < total and (blocks := _find_blocks(zero, pattern.share)):
        held[blocks.name], bits[blocks.name] = min(zeros, blocks.zeros), blocks.bits
    return pattern


def _count_values(weight: torch.Tensor) -> tuple[int | None, float]:
    """Return how many values other than 0 there are (None: more than 256), and what share may be 0 by itself.

    Weights that were rounded to a few values, 0 among them, are 0 about as often as another of the values.
    """
    values = weight.flatten()
    seen = values[:0]
    for part in (values[:_FIRST], *values[_FIRST:].split(_PART)):
        seen = torch.cat((seen, part[part != 0])).unique()
        if len(seen) > _MOST_VALUES:
            return None, _A_FEW
    some = values[:_PART]
    counts = some[some != 0].unique(return_counts=True)[1]
    common = int(counts.max()) / len(some) if len(counts) else 0.0
    return len(seen), min(max(_A_FEW, _COMMONER * common), _AT_MOST)


def _choices(things: int, chosen: int) -> float:
    """Return log2 of the number of ways to choose some of `things`."""
    log = math.lgamma(things + 1) - math.lgamma(chosen + 1) - math.lgamma(things - chosen + 1)
    return log / math.log(2)


class _Blocks(NamedTuple):
    """A rule that holds for blocks of inputs: "n:m", the zeros that it asks for, and how unlikely it is by chance."""

    name: str
    zeros: int
    bits: float


def _find_blocks(zero: torch.Tensor, share: float) -> _Blocks | None:
    """Return the rule by which (nearly) every block of m inputs has so many zeros, if that explains the zeros.

    Args:
        zero: (filters, inputs, height, width).
        share: of them that are true.
    """
    inputs, best = zero.shape[1], None
    first = math.ceil(_PART / max(1, zero[0].numel()))  # filters on which a block length is tried first
    for m in range(2, min(inputs, _LARGEST_BLOCK) + 1):
        if inputs % m or not _least(zero[:first], m):
            continue
        gone, blocks = _least(zero, m), zero.numel() // m
        broken = _fewer(gone, m, share)
        enough = gone / m >= _MOST * share and broken > _RARELY
        if enough and (best is None or gone * blocks > best.zeros):
            best = _Blocks(f"{m - gone}:{m}", gone * blocks, -blocks * math.log2(1 - broken))
    return best


def _least(zero: torch.Tensor, m: int) -> int:
    """Return how many zeros (nearly) every block of m inputs has at least."""
    counts = zero.unflatten(1, (-1, m)).sum(2, dtype=torch.uint8).flatten()
    fewer = torch.bincount(counts, minlength=m + 1).cumsum(0)  # blocks with at most so many zeros
    return int((fewer <= _A_FEW * len(counts)).sum())


def _fewer(gone: int, m: int, share: float) -> float:
    """Return how likely a block of m has fewer zeros than `gone`, if each weight were 0 by chance, at `share`."""
    return sum(math.comb(m, k) * share**k * (1 - share) ** (m - k) for k in range(gone))
