"""From scores to what stays: which groups are removed at a given rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch

from prunescope.errors import PrunescopeError

Scope = Literal["layer", "global"]
Normalise = Literal["mean", "none", "layer"]
Rounding = Literal["round", "floor", "ceil"]

_ROUNDING: dict[Rounding, Callable[[float], int]] = {"round": round, "floor": math.floor, "ceil": math.ceil}
_SAMPLE = 1 << 16
_REMOVED = -1.0  # scores of magnitude, taylor, … are >= 0, so what is removed already goes first again


def select(
    scores: Mapping[str, torch.Tensor],
    rate: float,
    scope: Scope,
    generator: torch.Generator,
    *,
    removed: Mapping[str, torch.Tensor] | None = None,
    normalise: Normalise = "none",
    min_left: int = 1,
    rounding: Rounding = "round",
) -> dict[str, torch.Tensor]:
    """Return for each layer which groups stay: bool tensors of the shape of `scores`.

    Args:
        scores: layer to the scores of its groups, finite, any real numbers; used up (changed in place).
        rate: fraction of all groups (of each layer, or of the pool) that is removed, in [0, 1), cumulative.
        scope: "layer", the same rate in each layer; "global", one threshold over all.
        generator: breaks ties, at random.
        removed: layer to the groups (bool) that were removed before and stay removed.
        normalise: in global scope, divide a layer's scores by their "mean", or by their sum ("layer").
        min_left: groups that each layer keeps at least.
        rounding: how rate * groups becomes a number of groups; "round" is Python's, half to even.
    """
    for name, values in scores.items():
        if not torch.isfinite(values).all():
            raise PrunescopeError(
                f"the scores of {name} hold NaN or infinite values: is the network damaged?"
            )
    count = _ROUNDING[rounding]
    ranked = {
        name: _ranked(values, removed[name] if removed else None, normalise if scope == "global" else "none")
        for name, values in scores.items()
    }
    if scope == "layer":
        return {
            name: _keep([values], min(count(rate * values.numel()), values.numel() - min_left), generator)[0]
            for name, values in ranked.items()
        }
    for values in ranked.values():
        _protect(values, min_left)
    total = sum(values.numel() for values in ranked.values())
    removable = total - min_left * len(ranked)
    keeps = _keep(list(ranked.values()), min(count(rate * total), removable), generator)
    return dict(zip(ranked, keeps, strict=True))


def _ranked(scores: torch.Tensor, removed: torch.Tensor | None, normalise: Normalise) -> torch.Tensor:
    """Make scores comparable, in place: 0 and above for what is there, less for what is gone."""
    if (lowest := scores.min()) < 0:
        scores -= lowest
    if normalise != "none":
        scores /= (scores.mean() if normalise == "mean" else scores.sum()).clamp(min=1e-30)
    return scores if removed is None else scores.masked_fill_(removed, _REMOVED)


def _protect(values: torch.Tensor, min_left: int) -> None:
    """Rank a layer's `min_left` best groups above everything, in place."""
    if min_left:
        flat = values.view(-1)
        flat[flat.topk(min(min_left, flat.numel())).indices] = math.inf


def _keep(pool: Sequence[torch.Tensor], remove: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Return, for each tensor of the pool, all but the `remove` smallest entries of the whole pool."""
    if remove <= 0:
        return [torch.ones_like(values, dtype=torch.bool) for values in pool]
    threshold = kth_smallest(pool, remove, generator)
    keeps = [values > threshold for values in pool]
    spare = sum(values.numel() for values in pool) - remove - sum(int(keep.sum()) for keep in keeps)
    if spare:  # several entries equal the threshold, and not all of them are to go
        ties = [(values == threshold).flatten().nonzero().squeeze(1) for values in pool]
        chosen = torch.randperm(sum(map(len, ties)), generator=generator)[:spare]
        first = 0
        for keep, tied in zip(keeps, ties, strict=True):
            mine = chosen[(chosen >= first) & (chosen < first + len(tied))] - first
            keep.view(-1)[tied[mine.to(tied.device)]] = True
            first += len(tied)
    return keeps


def kth_smallest(pool: Sequence[torch.Tensor], k: int, generator: torch.Generator) -> float:
    """Return the k-th smallest (from 1) entry of many tensors, without joining them.

    A random sample brackets the answer; one pass counts what lies below the bracket and takes out what lies
    inside, which is little and is sorted. *Source:* Floyd & Rivest, Expected time bounds for selection, 1975.
    """
    total = sum(values.numel() for values in pool)
    low, high = -math.inf, math.inf
    if total > 4 * _SAMPLE:
        sample = _sample(pool, total, generator).sort().values
        centre, reach = k / total * len(sample), 4 * math.sqrt(len(sample))
        if centre - reach >= 0:
            low = sample[int(centre - reach)].item()
        if centre + reach < len(sample):
            high = sample[int(centre + reach)].item()
    below = sum(int((values < low).sum()) for values in pool) if low > -math.inf else 0
    inside = torch.cat([values[(values >= low) & (values <= high)] for values in pool])
    if not below < k <= below + len(inside):  # the sample misled us: 1 in 10 000 times
        below, inside = 0, torch.cat([values.flatten() for values in pool])
    return float(inside.sort().values[k - below - 1])


def _sample(pool: Sequence[torch.Tensor], total: int, generator: torch.Generator) -> torch.Tensor:
    places = torch.randint(total, (_SAMPLE,), generator=generator).sort().values
    taken, first = [], 0
    for values in pool:
        mine = places[(places >= first) & (places < first + values.numel())] - first
        taken.append(values.flatten()[mine.to(values.device)])
        first += values.numel()
    return torch.cat(taken)
