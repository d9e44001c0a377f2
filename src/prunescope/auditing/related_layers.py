"""How one layer is related to another, told from their weights alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from prunescope.auditing.reordering import Order, find_order
from prunescope.pruning.paired_layers import Weights

FULL = "float32"
_HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}  # the coarsest first
_NORMS = 1e-5  # relative difference of filter norms that are equal
_STRAIGHT = 1e-5  # 1 - |cosine| of filters that are equal up to a factor, in half precision too
_FACTOR = 0.01  # by which a factor differs from 1, for it to be one
_PART = 2**20  # weights looked at at once
_SAMPLE = 1000  # values of a smaller layer that are looked for in the larger one
_VARIES = 3  # weights, for a correlation to say anything


@dataclass(frozen=True)
class RelatedLayer:
    """How a layer of the pruned network is related to that of the dense one.

    Attributes:
        same: bit for bit; `rounded`: the same where both are rounded to the coarser type of the two.
        norms_equal: whether they have the same filter norms, in some order.
        kept: share of the pruned layer's weights other than 0 that are the dense layer's own, at their place. Where it
            is smaller: anywhere, and NaN in half precision, where values do not tell weights apart.
        correlation: of the weights other than 0 with the dense layer's, NaN where shapes differ or nothing varies.
        left_of_dense: weights other than 0 / weights of the dense layer; `left`: their number.
        rescaled: whether each filter is the dense one's times a factor, not all of them 1.
        order: where the dense layer's filters and inputs are, if they are all there.
    """

    layer: str
    pruned_layer: str
    same: bool = False
    rounded: bool = False
    norms_equal: bool = False
    kept: float = math.nan
    correlation: float = math.nan
    left_of_dense: float = math.nan
    left: int = 0
    rescaled: bool = False
    order: Order | None = None
    shapes_equal: bool = True

    @property
    def reordered(self) -> bool:
        """Whether it is the dense layer with filters or inputs in another order."""
        return self.order is not None


def coarsest(dense: Weights, pruned: Weights) -> tuple[str, str]:
    """Return for each of two networks the coarsest type that holds all its values: bfloat16, float16 or float32."""
    return _coarsest(dense), _coarsest(pruned)


def _coarsest(weights: Weights) -> str:
    for name, dtype in _HALVES.items():
        parts = (part for weight in weights.values() for part in weight.flatten().split(_PART))
        if all(torch.equal(part.to(dtype).to(part.dtype), part) for part in parts):
            return name
    return FULL


def relate_layers(
    layer: str, pruned_layer: str, dense: torch.Tensor, pruned: torch.Tensor, precision: str
) -> RelatedLayer:
    """Compare two layers.

    Args:
        dense: (out, in / groups, height, width) or (out, in); `pruned`: of the same rank.
        precision: what both are rounded to, before they are compared.
    """
    dense, pruned = dense.detach().float(), pruned.detach().float()
    left = int(pruned.count_nonzero())
    share = left / dense.numel() if dense.numel() else math.nan
    mine, theirs = _rounded(dense, precision), _rounded(pruned, precision)
    if mine.shape != theirs.shape:
        kept = _found(mine, theirs) if precision == FULL else math.nan
        return RelatedLayer(
            layer, pruned_layer, kept=kept, left_of_dense=share, left=left, shapes_equal=False
        )
    rounded = torch.equal(mine, theirs)
    sums = _Sums.of(mine, theirs)
    return RelatedLayer(
        layer,
        pruned_layer,
        torch.equal(dense, pruned),
        rounded,
        sums.norms_equal,
        int(((theirs != 0) & (mine == theirs)).count_nonzero()) / left if left else math.nan,
        sums.correlation,
        share,
        left,
        sums.rescaled,
        find_order(mine, theirs) if sums.norms_equal and not rounded else None,
    )


def _rounded(weight: torch.Tensor, precision: str) -> torch.Tensor:
    return weight if precision == FULL else weight.to(_HALVES[precision]).float()


def _found(dense: torch.Tensor, pruned: torch.Tensor) -> float:
    """Return the share of some values of `pruned`, other than 0, that occur in `dense`."""
    values = pruned[pruned != 0]
    sample = values[:: math.ceil(len(values) / _SAMPLE)].unique() if len(values) else values
    if not len(sample):
        return math.nan
    places = torch.searchsorted(sample, dense.flatten()).clamp_(max=len(sample) - 1)
    return len(places[sample[places] == dense.flatten()].unique()) / len(sample)


@dataclass(frozen=True)
class _Sums:
    """Sums over the weights of each filter, (out,) of float64, for what is said of them together.

    Attributes:
        n: weights y of the pruned layer that are not 0; x is the dense layer's weight there, 0 elsewhere.
        squares: of all weights of the dense layer.
    """

    n: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor
    xx: torch.Tensor
    yy: torch.Tensor
    xy: torch.Tensor
    squares: torch.Tensor

    @classmethod
    def of(cls, dense: torch.Tensor, pruned: torch.Tensor) -> _Sums:
        filters = max(1, _PART * len(dense) // max(1, dense.numel()))
        parts = []
        for mine, theirs in zip(
            dense.flatten(1).split(filters), pruned.flatten(1).split(filters), strict=True
        ):
            full, y = mine.double(), theirs.double()
            x = full * (y != 0)
            sums = (
                y.count_nonzero(1),
                x.sum(1),
                y.sum(1),
                *((a * b).sum(1) for a, b in ((x, x), (y, y), (x, y))),
            )
            parts.append(torch.stack([*(each.double() for each in sums), (full * full).sum(1)]))
        return cls(*torch.cat(parts, 1))

    @property
    def correlation(self) -> float:
        """Pearson's, over all weights."""
        n, x, y, xx, yy, xy = (
            float(each.sum()) for each in (self.n, self.x, self.y, self.xx, self.yy, self.xy)
        )
        if n < _VARIES:
            return math.nan
        spread = (xx - x * x / n) * (yy - y * y / n)
        tiny = 1e-12 * xx * yy  # what differences of equal sums leave
        return max(-1.0, min(1.0, (xy - x * y / n) / math.sqrt(spread))) if spread > tiny else math.nan

    @property
    def norms_equal(self) -> bool:
        """Whether both have the same filter norms, in any order."""
        return torch.allclose(self.squares.sqrt().sort()[0], self.yy.sqrt().sort()[0], rtol=_NORMS, atol=0)

    @property
    def rescaled(self) -> bool:
        """Whether each filter is a multiple of the dense one's; one with a single weight says nothing."""
        several = self.n > 1
        x, y, xy = self.xx[several].sqrt(), self.yy[several].sqrt(), self.xy[several]
        straight = xy.abs() >= (1 - _STRAIGHT) * x * y
        factors = (xy - x**2).abs() > _FACTOR * x**2
        return bool((x > 0).all() and straight.all() and factors.any())
