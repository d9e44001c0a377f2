"""`prune`: scores, selection and the consequences of removing a channel, put together into a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal

import torch
from torch import nn

from prunescope.errors import PrunescopeError, some
from prunescope.networks.channels import ChannelMap, map_channels
from prunescope.networks.layers import Layer, find_layers, matching
from prunescope.pruning.granularity import GRANULARITIES, Granularity
from prunescope.pruning.masks import Mask
from prunescope.pruning.pools import merge, split, tied_pools
from prunescope.pruning.scores import SCORES, ScoreRequest
from prunescope.pruning.selection import Normalise, Rounding, Scope, select

Norm = Literal["remove", "keep"]


def prune(
    network: nn.Module,
    granularity: str,
    *,
    by: str = "l1",
    scope: Scope = "layer",
    rate: float,
    layers: Sequence[str] | None = None,
    spare: Sequence[str] = (),
    norm: Norm = "remove",
    previous: Mask | None = None,
    normalise: Normalise | None = None,
    min_left: int = 1,
    allow_empty_layers: bool = False,
    rounding: Rounding = "round",
    round_to: int = 1,
    seed: int = 0,
) -> Mask:
    """Choose which weights of a network to remove. The network itself is not changed.

    Args:
        granularity: "weight" (one element), "filter" (W[o]) or "connection" (W[:, c]).
        by: the score; the lowest go: "l1", "l2", "random".
        scope: "layer" (the same rate in each) or "global" (one threshold over all).
        rate: fraction of the groups of the dense network that is removed, in [0, 1), cumulative.
        layers: globs of the layers to prune; by default all convolutions, and for "weight" linear layers too.
            Filters that the architecture ties together (residual additions, depthwise convolutions, gates) are
            scored and removed together, so their layers have to be chosen together.
        spare: globs of layers that are left alone.
        norm: for filters, "remove" takes the channel out of the batch norm and the bias behind it as well;
            "keep" masks the convolution alone, so that a dead filter goes on emitting a constant.
        previous: what was removed before and stays removed.
        normalise: in global scope, divide scores by their layer's "mean" (the default for filters and
            connections, since bare sums favour large ones), its sum ("layer"), or nothing ("none").
        min_left: groups that each layer keeps at least; 0 takes what the rate says.
        allow_empty_layers: with `min_left=0`, whether a layer may lose all its weights.
        rounding: how rate * groups becomes a number; "round" is half to even, as torch does.
        round_to: for filters and connections, each layer (layers that are tied: their groups) keeps the nearest
            multiple of it, so that the rate is met roughly; layers with fewer keep them all. 8 suits most
            processors.
        seed: for random scores and for ties.

    Raises:
        PrunescopeError: an unknown name, a rate outside [0, 1), a layer that cannot be pruned so.
    """
    if not 0 <= rate < 1:
        raise PrunescopeError(f"rate {rate} is impossible: it is the fraction removed, from 0 up to below 1")
    kind = GRANULARITIES[granularity]
    if previous is not None and previous.granularity != granularity:
        raise PrunescopeError(
            f"the previous mask is by {previous.granularity}; rounds of one schedule share one granularity"
        )
    if round_to < 1 or (round_to > 1 and not kind.together):
        raise PrunescopeError(
            f"round_to {round_to} is impossible: a number of channels, 1 for single weights"
        )
    found = find_layers(network)
    channels = map_channels(network, found) if kind.removes_channels else None
    chosen = choose_layers(found, kind, layers, spare, norm, channels)
    generator = torch.Generator().manual_seed(seed)
    scores = SCORES[by](ScoreRequest(network, chosen, kind, generator))
    if normalise is None:
        normalise = "mean" if kind.together else "none"
    pools = tied_pools(chosen, channels) if channels and norm == "remove" else []
    removed = None
    if previous is not None:
        removed = merge({name: _removed(previous, name, scores[name]) for name in chosen}, pools)
    merged = merge(scores, pools)
    keep = select(
        merged,
        rate,
        scope,
        generator,
        removed=removed,
        staying={
            pool.name: pool.best(merged[pool.name], removed[pool.name] if removed else None, min_left)
            for pool in pools
        },
        normalise=normalise,
        min_left=min_left,
        rounding=rounding,
        round_to=round_to,
    )
    keep = split(keep, pools)
    if not (min_left or allow_empty_layers):
        _refuse_empty(keep)
    weights = {f"{name}.weight": kept for name, kept in keep.items()}
    if channels and norm == "remove":
        weights |= _behind(chosen, channels, keep)
    if previous:
        weights = {name: value for name, value in previous.keep.items() if name not in weights} | weights
    return Mask(weights, granularity, dict.fromkeys(chosen, rate))


def choose_layers(
    layers: Mapping[str, Layer],
    granularity: Granularity,
    patterns: Sequence[str] | None,
    spare: Sequence[str],
    norm: Norm,
    channels: ChannelMap | None,
) -> dict[str, Layer]:
    """Return the layers to prune, in the network's order.

    Raises:
        PrunescopeError: a pattern fits no layer, or a layer cannot be pruned so and is not spared.
    """
    if patterns is None:
        wanted = [name for name, layer in layers.items() if not granularity.together or layer.kind == "conv"]
    else:
        wanted = matching(patterns, layers)
    spared = set(matching(spare, layers)) if spare else set()
    if channels:
        if logits := channels.logits & set(patterns or ()):
            raise PrunescopeError(
                f"{min(logits)} yields the logits: its filters are the classes, and are never pruned"
            )
        spared |= channels.logits
    names = [name for name in wanted if name not in spared]
    for name in names:
        if "weight" not in layers[name].module._parameters:
            raise PrunescopeError(
                f"{name}: its weight is computed from others (a parametrization, weight or spectral norm), and would "
                "come back: make it permanent first, or spare the layer"
            )
    refused = {name: why for name in names if (why := granularity.why_not(layers[name]))}
    if channels and norm == "remove":
        if patterns is None:
            names = _with_linear_partners(names, spared, layers, channels)
        refused |= _not_removable(names, channels)
    if refused:
        raise PrunescopeError(_refusal(granularity, refused, set(layers) - set(names) - spared, channels))
    if not names:
        raise PrunescopeError(f"nothing to prune: all of {', '.join(wanted) or 'no layer'} is spared")
    return {name: layers[name] for name in names}


def _with_linear_partners(
    names: Sequence[str], spared: AbstractSet[str], layers: Mapping[str, Layer], channels: ChannelMap
) -> list[str]:
    """Add the linear layers that chosen convolutions are tied to, such as those of a gate."""
    partners = {name for pool in channels.partners() if not set(names).isdisjoint(pool) for name in pool}
    added = {name for name in partners if layers[name].kind == "linear" and name not in spared}
    return [name for name in layers if name in added or name in names]


def _not_removable(names: Sequence[str], channels: ChannelMap) -> dict[str, str]:
    """Return the layers of which no filter can be removed, or only together with a layer that is not chosen."""
    refused = {name: channels.fixed[name] for name in names if name in channels.fixed}
    for pool in channels.partners():
        left_alone = [name for name in pool if name not in names]
        if left_alone:
            why = f"its filters go together with those of {some(left_alone)}, which would be left alone"
            refused = {name: why for name in pool if name in names} | refused
    return refused


def _refusal(
    granularity: Granularity,
    refused: Mapping[str, str],
    others: AbstractSet[str],
    channels: ChannelMap | None,
) -> str:
    listed = "\n".join(f"  {name}: {why}" for name, why in refused.items())
    text = (
        f"{granularity.name} pruning cannot remove from these layers:\n{listed}\n"
        f"spare them: --spare '{','.join(refused)}' (in a study, spare: [{', '.join(refused)}])"
    )
    free = sorted(others - set(channels.fixed)) if channels else []
    return f"{text}\nlinear layers can be chosen: --layers '{some(free)}'" if free else text


def _removed(previous: Mask, layer: str, scores: torch.Tensor) -> torch.Tensor:
    if f"{layer}.weight" not in previous.keep:
        return torch.zeros_like(scores, dtype=torch.bool)
    removed = previous.removed(layer).to(scores.device)
    if removed.shape != scores.shape:
        raise PrunescopeError(
            f"the previous mask is for another network: that of {layer} is {tuple(removed.shape)}, "
            f"expected {tuple(scores.shape)}"
        )
    return removed


def _refuse_empty(keep: Mapping[str, torch.Tensor]) -> None:
    empty = [name for name, kept in keep.items() if not kept.any()]
    if empty:
        raise PrunescopeError(
            f"{', '.join(empty)} would lose all weights: prune less, spare it, keep `min_left: 1`, or say "
            "`allow_empty_layers: true`"
        )


def _behind(
    layers: Mapping[str, Layer], channels: ChannelMap, keep: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return masks for what a removed channel leaves behind: biases, and scale and shift of batch norms."""
    alive = torch.ones(channels.count, dtype=torch.bool)
    masks = {}
    for name, layer in layers.items():
        kept = keep[name].flatten().cpu()
        alive[channels.first[name] : channels.first[name] + len(kept)] = kept
        if layer.module.bias is not None:
            masks[f"{name}.bias"] = kept
    for norm, numbers in channels.norms.items():
        kept = torch.where(numbers.cpu() >= 0, alive[numbers.cpu().clamp(min=0)], True)
        if not kept.all():
            masks |= {f"{norm}.weight": kept, f"{norm}.bias": kept.clone()}
    return masks
