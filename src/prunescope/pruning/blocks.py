"""n:m: of every m weights that lie side by side along the inputs, the same number goes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from prunescope.errors import PrunescopeError
from prunescope.networks.layers import Layer

_AS_WRITTEN = 1e-4  # a third may be written .3333
_FEW = 32  # weights of a block: as far as comparing all pairs is faster than sorting
_REMOVED = -math.inf  # what is removed already goes first again


def check_blocks(layers: Mapping[str, Layer], rate: float, m: int) -> None:
    """Raise `PrunescopeError` unless `rate` is a number of weights of every `m`, and all inputs come in blocks of `m`.

    Raises:
        PrunescopeError: m is no number of weights, another rate, or layers whose inputs are no multiple of m.
    """
    if m < 2:
        raise PrunescopeError(
            f"m {m} is impossible: it is how many weights make a block, 2 or more; processors know 4"
        )
    if abs(rate - round(rate * m) / m) > _AS_WRITTEN or not 0 <= round(rate * m) < m:
        possible = ", ".join(f"{k / m:.4g}" for k in range(m))
        raise PrunescopeError(
            f"rate {rate} is impossible where k of every {m} weights go: it is k/{m}, one of {possible}"
        )
    odd = {name: layer.weight_shape[1] for name, layer in layers.items() if layer.weight_shape[1] % m}
    if odd:
        listed = "\n".join(
            f"  {name}: {inputs} inputs are no multiple of {m}" for name, inputs in odd.items()
        )
        raise PrunescopeError(
            f"n:m pruning cannot remove from these layers:\n{listed}\n"
            f"spare them: --spare '{','.join(odd)}' (in a study, spare: [{', '.join(odd)}])"
        )


def select_within_blocks(
    scores: Mapping[str, torch.Tensor],
    rate: float,
    m: int,
    generator: torch.Generator,
    removed: Mapping[str, torch.Tensor] | None = None,
) -> dict[str, torch.Tensor]:
    """Return for each layer which weights stay: bool tensors of the shape of its weight.

    A block is m consecutive inputs (dimension 1 of the weight) of one output, at one position of the kernel. Its
    rate * m lowest weights go. That is the pattern that sparse tensor cores read (2:4), for convolutions with the
    inputs last in memory. *Source:* Mishra et al., Accelerating Sparse Deep Neural Networks, 2021.

    Args:
        scores: layer to the scores of its weights, (out, in) or (out, in, height, width), finite.
        rate: k/m, as `check_blocks` wants it; m: likewise.
        generator: breaks ties, at random.
        removed: layer to the weights (bool) that were removed before: they stay removed, and count among the k.

    Raises:
        PrunescopeError: a score is NaN or infinite.
    """
    keeps = {}
    for name, given in scores.items():
        lowest, highest = (extreme.item() for extreme in torch.aminmax(given))  # NaN, if there is one
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            raise PrunescopeError(
                f"the scores of {name} hold NaN or infinite values: is the network damaged?"
            )
        values = given.masked_fill(removed[name], _REMOVED) if removed else given
        keeps[name] = _keep(values, round(rate * m), m, generator)
        if removed:  # also where more was removed before than is asked for now
            keeps[name] &= ~removed[name]
    return keeps


def _keep(values: torch.Tensor, remove: int, m: int, generator: torch.Generator) -> torch.Tensor:
    """Return all but the `remove` smallest entries of every block.

    An entry's rank is the number of entries of its block that come before it, found pair by pair: where m is small,
    that is faster than sorting millions of blocks.
    """
    if not remove:
        return torch.ones_like(values, dtype=torch.bool)
    blocks = values.unflatten(1, (-1, m))  # (out, in / m, m, height, width)
    if m > _FEW:
        return _keep_at_random(blocks.movedim(2, -1), remove, generator).movedim(-1, 2).flatten(1, 2)
    columns = blocks.unbind(2)  # m times (out, in / m, height, width)
    ranks = [torch.zeros(columns[0].shape, dtype=torch.uint8, device=values.device) for _ in columns]
    for i in range(m):
        for j in range(i):
            before = columns[j] <= columns[i]
            ranks[i] += before
            ranks[j] += before.logical_not_()
    keep = torch.stack([rank >= remove for rank in ranks], dim=2)
    last_gone, first_kept = (_of_rank(rank, ranks, columns) for rank in (remove - 1, remove))
    tied = ((last_gone == first_kept) & (last_gone > _REMOVED)).nonzero(as_tuple=True)
    if len(tied[0]):
        by_block = torch.stack([column[tied] for column in columns], dim=1)  # (blocks, m)
        keep.movedim(2, -1)[tied] = _keep_at_random(by_block, remove, generator)
    return keep.flatten(1, 2)


def _of_rank(rank: int, ranks: list[torch.Tensor], columns: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Return the entry of this rank of each block, (out, in / m, height, width)."""
    found = columns[0]
    for its, column in zip(ranks[1:], columns[1:], strict=True):
        found = torch.where(its == rank, column, found)
    return found


def _keep_at_random(blocks: torch.Tensor, remove: int, generator: torch.Generator) -> torch.Tensor:
    """Return all but the `remove` smallest entries of every row of (…, m); those that tie are drawn."""
    order = torch.rand(blocks.shape, generator=generator).argsort(dim=-1).to(blocks.device)
    ascending = blocks.gather(-1, order).argsort(dim=-1, stable=True)
    gone = order.gather(-1, ascending[..., :remove])
    return torch.ones_like(blocks, dtype=torch.bool).scatter_(-1, gone, False)
