"""From scores to what stays: which groups are removed at a given rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch

from prunescope.errors import PrunescopeError, some

Scope = Literal["layer", "global"]
Normalise = Literal["mean", "none", "layer"]
Rounding = Literal["round", "floor", "ceil"]

_ROUNDING: dict[Rounding, Callable[[float], int]] = {"round": round, "floor": math.floor, "ceil": math.ceil}
_SAMPLE = 1 << 16  # entries
_REMOVED = -math.inf  # what is removed already goes first again
_DUST = 1e-9  # .07 * 100 is a little more than 7


def select(
    scores: Mapping[str, torch.Tensor],
    rate: float | Mapping[str, float],
    scope: Scope,
    generator: torch.Generator,
    *,
    removed: Mapping[str, torch.Tensor] | None = None,
    staying: Mapping[str, torch.Tensor] | None = None,
    normalise: Normalise = "none",
    min_left: int = 1,
    min_share: float = 0.0,
    rounding: Rounding = "round",
    round_to: int = 1,
) -> dict[str, torch.Tensor]:
    """Return for each layer which groups stay: bool tensors of the shape of `scores`.

    Args:
        scores: layer to the scores of its groups, finite, any real numbers; used up (changed in place).
        rate: fraction of all groups (of each layer, or of the pool) that is removed, in [0, 1), cumulative; or, in
            layer scope, layer to a fraction of its own.
        scope: "layer", the same rate in each layer unless each has its own; "global", one threshold over all.
        generator: breaks ties, at random.
        removed: layer to the groups (bool) that were removed before and stay removed.
        staying: layer to the groups (bool) that stay whatever their score, unless they are removed already.
        normalise: in global scope, divide a layer's scores by their "mean", or by their sum ("layer").
        min_left: groups that each layer keeps at least, as far as it has them left.
        min_share: likewise, as a share of its groups; the larger number counts. In global scope, what cannot go
            from one layer goes from others, so that the rate is met as far as it can be.
        rounding: how rate * groups becomes a number of groups; "round" is Python's, half to even.
        round_to: what each layer keeps becomes the nearest multiple of it (halves up, at most all its groups) that
            is at least one and not less than what it has to keep.

    Raises:
        PrunescopeError: a score is NaN or infinite, rates by layer are given for global scope or for other layers,
            or a rate or share is impossible.
    """
    rates = _rate_of_each(rate, list(scores), scope)
    count = _ROUNDING[rounding]
    ranked = {
        name: _ranked(
            name, values, removed[name] if removed else None, normalise if scope == "global" else "none"
        )
        for name, values in scores.items()
    }
    least = {name: least_left(values.numel(), min_left, min_share) for name, values in ranked.items()}
    for name, stay in (staying or {}).items():
        stays = stay & (ranked[name] > _REMOVED)
        ranked[name].masked_fill_(stays, math.inf)
        least[name] = max(least[name], int(stays.count_nonzero()))
    pool = list(ranked.values())
    if scope == "layer" or isinstance(rate, Mapping):
        gone = [count(rates[name] * values.numel()) for name, values in ranked.items()]
    else:
        total = sum(values.numel() for values in pool)
        stay_anyway = sum(_protect(values, least[name], generator) for name, values in ranked.items())
        keeps = _keep(pool, min(count(rate * total), total - stay_anyway), generator)
        gone = [keep.numel() - int(keep.count_nonzero()) for keep in keeps]
    if scope == "layer" or round_to > 1:
        keeps = [
            _keep([values], _rounded(mine, values.numel(), least[name], round_to), generator)[0]
            for (name, values), mine in zip(ranked.items(), gone, strict=True)
        ]
    if removed:  # also where more was removed before than is asked for now
        keeps = [keep & ~removed[name] for name, keep in zip(ranked, keeps, strict=True)]
    return dict(zip(ranked, keeps, strict=True))


def least_left(groups: int, min_left: int, min_share: float) -> int:
    """Return how many of its groups a layer keeps at least.

    Raises:
        PrunescopeError: the share is none.
    """
    if not 0 <= min_share <= 1:
        raise PrunescopeError(
            f"min_share {min_share} is impossible: it is a share of the groups, from 0 to 1"
        )
    return min(groups, max(min_left, math.ceil(min_share * groups - _DUST)))


def _rate_of_each(
    rate: float | Mapping[str, float], names: Sequence[str], scope: Scope
) -> Mapping[str, float]:
    """Return layer to rate."""
    rates = rate if isinstance(rate, Mapping) else dict.fromkeys(names, rate)
    if isinstance(rate, Mapping) and scope != "layer":
        raise PrunescopeError(f"scope {scope!r} takes one rate for all layers, and a rate was given for each")
    if other := rates.keys() ^ set(names):
        raise PrunescopeError(
            f"a rate is needed for each layer that is pruned, and for no other: see to {some(sorted(other))}"
        )
    for name, one in rates.items():
        if not 0 <= one < 1:
            raise PrunescopeError(
                f"rate {one} of {name} is impossible: it is the fraction removed, from 0 up to below 1"
            )
    return rates


def _rounded(remove: int, groups: int, least: int, round_to: int) -> int:
    """Return how many groups of a layer go, such that a multiple of `round_to` stays, or all do."""
    kept = max(groups - remove, least)
    if round_to > 1:
        nearest = (2 * kept + round_to) // (2 * round_to)
        kept = max(nearest, math.ceil(least / round_to), 1) * round_to
    return groups - min(kept, groups)


def _ranked(
    name: str, scores: torch.Tensor, removed: torch.Tensor | None, normalise: Normalise
) -> torch.Tensor:
    """Make scores comparable, in place; what is gone comes before all others."""
    lowest, highest = (extreme.item() for extreme in torch.aminmax(scores))  # NaN, if there is one
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise PrunescopeError(f"the scores of {name} hold NaN or infinite values: is the network damaged?")
    if normalise != "none":
        scores -= min(lowest, 0)
        scores /= (scores.mean() if normalise == "mean" else scores.sum()).clamp(min=1e-30)
    return scores if removed is None else scores.masked_fill_(removed, _REMOVED)


def _protect(values: torch.Tensor, least: int, generator: torch.Generator) -> int:
    """Rank the `least` best groups that a layer still has above everything, in place; return how many these are."""
    rows = values.view(len(values), -1)
    if least >= len(rows):
        best = _keep([values], values.numel() - least, generator)[0].logical_and_(values > _REMOVED)
        values.masked_fill_(best, math.inf)
        return int(best.count_nonzero())
    within_rows = rows.amax(1).topk(least).indices  # in which they must lie
    within = rows[within_rows].view(-1).topk(least).indices
    where = within_rows[within // rows.shape[1]], within % rows.shape[1]
    rows[where] = rows[where].masked_fill(rows[where] > _REMOVED, math.inf)
    return int((rows[where] == math.inf).count_nonzero())


def _keep(pool: Sequence[torch.Tensor], remove: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Return, for each tensor of the pool, all but the `remove` smallest entries of the whole pool.

    A random sample brackets the threshold. One look at all entries then keeps what lies above the bracket and
    takes out what lies inside, which is little, so that the pool is neither joined nor sorted. *Source:* Floyd
    & Rivest, Expected time bounds for selection, 1975.
    """
    if remove <= 0:
        return [torch.ones_like(values, dtype=torch.bool) for values in pool]
    keeps = _keep_by_bracket(pool, remove, *_bracket(pool, remove, generator), generator)
    if keeps is None:  # the sample misled us
        keeps = _keep_by_bracket(pool, remove, -math.inf, math.inf, generator)
        assert keeps is not None
    return keeps


def _keep_by_bracket(
    pool: Sequence[torch.Tensor], remove: int, low: float, high: float, generator: torch.Generator
) -> list[torch.Tensor] | None:
    """Do what `_keep` does; None if the threshold lies outside of `low` to `high`."""
    keeps = [values >= low for values in pool]
    inside = [_places((values <= high).logical_and_(keep)) for values, keep in zip(pool, keeps, strict=True)]
    candidates = torch.cat([values.flatten()[places] for values, places in zip(pool, inside, strict=True)])
    remove -= sum(keep.numel() - int(keep.count_nonzero()) for keep in keeps)
    if not 0 < remove <= len(candidates):
        return None
    gone = _smallest(candidates, remove, generator).split([len(places) for places in inside])
    for keep, places, mine in zip(keeps, inside, gone, strict=True):
        keep.view(-1)[places[mine]] = False
    return keeps


def _places(where: torch.Tensor) -> torch.Tensor:
    """Return the flat indices at which a bool tensor is true; numpy's search is the faster one on the CPU."""
    flat = where.flatten()
    return torch.from_numpy(np.flatnonzero(flat.numpy())) if flat.is_cpu else flat.nonzero().squeeze(1)


def _smallest(values: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Return which are the `count` (at least 1) smallest of `values`, (values,) bool; ties are drawn."""
    threshold = values.kthvalue(count).values
    smallest = values < threshold
    ties = (values == threshold).nonzero().squeeze(1)
    count -= int(smallest.count_nonzero())
    if len(ties) > _SAMPLE:  # by random numbers, which are faster to rank than places are to shuffle
        keys = torch.rand(len(ties), generator=generator).to(ties.device)
        smallest[ties] = ~_keep([keys], count, generator)[0]
    else:
        smallest[ties[torch.randperm(len(ties), generator=generator)[:count].to(ties.device)]] = True
    return smallest


def _bracket(pool: Sequence[torch.Tensor], k: int, generator: torch.Generator) -> tuple[float, float]:
    """Return two numbers between which the k-th smallest entry lies, but for one time in a million."""
    total = sum(values.numel() for values in pool)
    if total <= 4 * _SAMPLE:
        return -math.inf, math.inf
    sample = _sample(pool, total, generator)
    centre, share = k / total * _SAMPLE, k / total
    reach = 5 * math.sqrt(_SAMPLE * share * (1 - share)) + 1  # standard deviations of a rank in the sample
    first, last = math.floor(centre - reach), math.ceil(centre + reach)
    low = sample.kthvalue(first).values.item() if first >= 1 else -math.inf
    high = sample.kthvalue(last).values.item() if last <= _SAMPLE else math.inf
    return low, high


def _sample(pool: Sequence[torch.Tensor], total: int, generator: torch.Generator) -> torch.Tensor:
    """Return `_SAMPLE` entries of the whole pool, drawn with replacement."""
    places = torch.randint(total, (_SAMPLE,), generator=generator).sort().values
    ends = torch.tensor([values.numel() for values in pool]).cumsum(0)
    shares = places.tensor_split(torch.searchsorted(places, ends[:-1]))
    starts = [0, *ends[:-1].tolist()]
    return torch.cat(
        [
            values.flatten()[(mine - start).to(values.device)]
            for values, mine, start in zip(pool, shares, starts, strict=True)
        ]
    )
