"""`prune`: scores, selection and the consequences of removing a channel, put together into a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import nn

from prunescope.errors import PrunescopeError, did_you_mean, some
from prunescope.networks.channels import ChannelMap, map_channels
from prunescope.networks.layers import Layer, find_layers, matching
from prunescope.pruning.allocation import erdos_renyi_rates, given_rates, pooled_rates
from prunescope.pruning.blocks import check_blocks, select_within_blocks
from prunescope.pruning.calibration import Calibration
from prunescope.pruning.granularity import CONNECTION, FILTER, GRANULARITIES, N_OF_M, Granularity
from prunescope.pruning.masks import Mask, lent
from prunescope.pruning.pools import merge, split, tied_pools
from prunescope.pruning.scores.own import find_score
from prunescope.pruning.scores.score import Evaluate, ScoreRequest
from prunescope.pruning.selection import Normalise, Rounding, select

Norm = Literal["remove", "keep"]
Scope = Literal["layer", "global", "specific", "erk"]
Rate = float | Mapping[str, float]
Scores = dict[str, torch.Tensor]

APART = 0x9E3779B9  # added to the seed for scores: the bare one has drawn the initial weights, one by one


def prune(
    network: nn.Module,
    granularity: str,
    *,
    by: str = "l1",
    scope: Scope = "layer",
    rate: Rate,
    layers: Sequence[str] | None = None,
    spare: Sequence[str] = (),
    norm: Norm = "remove",
    previous: Mask | None = None,
    normalise: Normalise | None = None,
    min_left: int = 1,
    min_share: float = 0.0,
    allow_empty_layers: bool = False,
    rounding: Rounding = "round",
    round_to: int = 1,
    m: int = 4,
    score_steps: int | None = None,
    calibration: Calibration | None = None,
    evaluate: Evaluate | None = None,
    seed: int = 0,
) -> Mask:
    """Choose which weights of a network to remove. The network itself is not changed.

    Args:
        granularity: "weight" (one element), "filter" (W[o]), "connection" (W[:, c]), "kernel" (W[o, c]) or "n:m"
            (some of every `m` weights along the input dimension).
        by: the score; the lowest go: "l1", "l2", "random", "snip", … (an unknown name lists them all), or a
            function of one's own, "file.py:function".
        scope: "layer" (the same rate in each), "global" (one threshold over all), "erk" (Erdős-Rényi kernel: layers
            with more weights lose a larger share) or "specific" (a rate for each layer).
        rate: fraction of the groups of the dense network that is removed, in [0, 1), cumulative; for "erk", of its
            weights, so that of filters and connections fewer go; for "specific", from globs of layers to fractions
            of their groups.
        layers: globs of the layers to prune; by default all convolutions, and for "weight" linear layers too.
            Filters that the architecture ties together (residual additions, depthwise convolutions, gates) are
            scored and removed together, so their layers have to be chosen together.
        spare: globs of layers that are left alone.
        norm: for filters, "remove" takes the channel out of the batch norm and the bias behind it as well;
            "keep" masks the convolution alone, so that a dead filter goes on emitting a constant.
        previous: what was removed before and stays removed.
        normalise: in global scope, divide scores by their layer's "mean" (the default for groups of several
            weights, since bare sums favour large ones), its sum ("layer"), or nothing ("none").
        min_left: groups that each layer keeps at least; 0 takes what the rate says.
        min_share: share of its groups that each layer keeps at least, in [0, 1].
        allow_empty_layers: with `min_left=0`, whether a layer may lose all its weights.
        rounding: how rate * groups becomes a number; "round" is half to even, as torch does.
        round_to: for filters and connections, each layer (layers that are tied: their groups) keeps the nearest
            multiple of it, so that the rate is met roughly; layers with fewer keep them all. 8 suits most
            processors.
        m: for "n:m", the length of a block of inputs; the rate is a multiple of 1 / m.
        score_steps: on how many rungs towards the rate the scores are computed anew, each keeping the same fraction
            of the one before; None: as the score's paper does (SynFlow 100, others 1).
        calibration: labelled images for scores that look at some.
        evaluate: from a network to its accuracy on images that choices are made on, for scores that ask for it.
        seed: for random scores and for ties.

    Raises:
        PrunescopeError: an unknown name, a rate outside [0, 1), a layer that cannot be pruned so, a score that is
            not given what it needs.
    """
    pruning = Pruning(
        network, granularity, by=by, scope=scope, layers=layers, spare=spare, norm=norm, normalise=normalise,
        min_left=min_left, min_share=min_share, allow_empty_layers=allow_empty_layers, rounding=rounding,
        round_to=round_to, m=m, score_steps=score_steps, calibration=calibration, evaluate=evaluate, seed=seed,
    )  # fmt: skip
    return pruning.at(rate, previous)


class Pruning:
    """One way to prune a network, from which masks at any rate are made; `prune` explains the choices.

    Attributes:
        layers: the layers that are pruned, in the network's order.
        pools: those of them whose filters are tied.
        steps: rungs towards a rate on which the scores are computed anew.
    """

    def __init__(
        self,
        network: nn.Module,
        granularity: str,
        *,
        by: str = "l1",
        scope: Scope = "layer",
        layers: Sequence[str] | None = None,
        spare: Sequence[str] = (),
        norm: Norm = "remove",
        normalise: Normalise | None = None,
        min_left: int = 1,
        min_share: float = 0.0,
        allow_empty_layers: bool = False,
        rounding: Rounding = "round",
        round_to: int = 1,
        m: int = 4,
        score_steps: int | None = None,
        calibration: Calibration | None = None,
        evaluate: Evaluate | None = None,
        seed: int = 0,
    ) -> None:
        self.network, self.granularity, self.score = network, GRANULARITIES[granularity], find_score(by)
        self.score.check(self.granularity)
        self.scope, self.norm, self.m, self.seed = scope, norm, m, seed
        self.calibration, self.evaluate = calibration, evaluate
        self.may_empty = bool(min_left or min_share or allow_empty_layers)
        self.steps = self.score.steps if score_steps is None else score_steps
        self._check(normalise, min_left, min_share, rounding, round_to)
        if normalise is None:
            normalise = "mean" if self.granularity.together and not self.score.comparable else "none"
        self.selection: dict[str, Any] = {
            "normalise": normalise, "min_left": min_left, "min_share": min_share, "rounding": rounding,
            "round_to": round_to,
        }  # fmt: skip
        found = find_layers(network)
        self.channels = map_channels(network, found) if self.granularity.removes_channels else None
        self.layers = choose_layers(found, self.granularity, layers, spare, norm, self.channels)
        self.pools = tied_pools(self.layers, self.channels) if self.channels and norm == "remove" else []

    def at(self, rate: Rate, previous: Mask | None = None, scores: Scores | None = None) -> Mask:
        """Return the mask that removes `rate`, of what `previous` left.

        Args:
            scores: what `scores` said for the same `previous`, where several rates are asked for.
        """
        if previous is not None and previous.granularity != self.granularity.name:
            raise PrunescopeError(
                f"the previous mask is by {previous.granularity}; rounds of one schedule share one granularity"
            )
        goal = self._rates(rate)
        if scores is not None or self.steps == 1:
            given = {name: values.clone() for name, values in scores.items()} if scores else None
            return self._select(goal, previous, given or self.scores(previous))
        gone, mask = self._share_gone(previous), previous
        for step in range(1, self.steps + 1):
            rung = partial(
                _rung, gone=gone, share=step / self.steps, blocks=self.m if self.granularity is N_OF_M else 0
            )
            rates = {name: rung(r) for name, r in goal.items()} if isinstance(goal, dict) else rung(goal)
            mask = self._select(rates, mask, self.scores(mask))
        assert mask is not None
        return mask

    def scores(self, previous: Mask | None = None) -> Scores:
        """Return the scores of the network without what `previous` removed, layer to a tensor of its groups' shape."""
        request = ScoreRequest(
            self.network, self.layers, self.granularity, self._generator(APART), self.calibration, self.evaluate,
            removed=self._removed(previous), without=self.without, followed=self.channels,
        )  # fmt: skip
        with lent(self.network, previous):
            return self.score(request)

    def without(self, layer: str, number: int) -> Mask:
        """Return the mask that removes one group of a layer, by its flat number, with all that goes with it."""
        keep = {
            name: torch.ones(self.granularity.shape(found), dtype=torch.bool)
            for name, found in self.layers.items()
        }
        keep[layer].view(-1)[number] = False
        for pool in self.pools:
            if layer in pool.groups:
                group = int(pool.groups[layer].flatten()[number])
                keep |= {name: groups != group for name, groups in pool.groups.items()}
        return self._mask(keep, {layer: 0.0}, None)

    def _check(
        self, normalise: Normalise | None, min_left: int, min_share: float, rounding: Rounding, round_to: int
    ) -> None:
        for name, given, known in (
            ("scope", self.scope, get_args(Scope)),
            ("norm", self.norm, get_args(Norm)),
            ("rounding", rounding, get_args(Rounding)),
            ("normalise", normalise or "none", get_args(Normalise)),
        ):
            if given not in known:
                raise PrunescopeError(
                    f"no {name} {given!r}{did_you_mean(given, known)}; known: {', '.join(known)}"
                )
        if round_to < 1 or (round_to > 1 and self.granularity not in (FILTER, CONNECTION)):
            raise PrunescopeError(
                f"round_to {round_to} is impossible: a number of channels, for filters and connections; 1 for others"
            )
        if min_left < 0:
            raise PrunescopeError(f"min_left {min_left} is impossible: a number of groups, 0 or more")
        if self.steps < 1:
            raise PrunescopeError(f"score_steps {self.steps} is impossible: at least 1")
        if self.granularity is N_OF_M and self.scope != "layer":
            raise PrunescopeError(
                "n:m removes the same share of every block, so that its scope is layer: leave scope out"
            )
        if self.granularity is N_OF_M and (min_left > 1 or min_share or rounding != "round"):
            raise PrunescopeError(
                "n:m keeps the same number of every block: leave min_left, min_share and rounding out"
            )

    def _generator(self, apart: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed + apart)

    def _rates(self, rate: Rate) -> float | dict[str, float]:
        """Return the one rate, or that of each layer."""
        if isinstance(rate, Mapping) != (self.scope == "specific"):
            raise PrunescopeError(
                "a rate for each layer, {'conv1': 0.5, 'layer*': 0.8}, goes with scope 'specific' and with no other"
            )
        rates = given_rates(rate, self.layers) if isinstance(rate, Mapping) else {"": rate}
        for one in rates.values():
            if not 0 <= one < 1:
                raise PrunescopeError(
                    f"rate {one} is impossible: it is the fraction removed, from 0 up to below 1"
                )
        if isinstance(rate, Mapping):
            return rates
        return erdos_renyi_rates(self.layers, rate) if self.scope == "erk" else rate

    def _removed(self, previous: Mask | None) -> dict[str, torch.Tensor]:
        if previous is None:
            return {}
        return {
            name: _removed_before(previous, layer, self.granularity) for name, layer in self.layers.items()
        }

    def _share_gone(self, previous: Mask | None) -> float:
        removed = list(self._removed(previous).values())
        return sum(int(r.sum()) for r in removed) / sum(r.numel() for r in removed) if removed else 0.0

    def _select(self, rate: float | dict[str, float], previous: Mask | None, scores: Scores) -> Mask:
        """Return the mask at a rate; uses `scores` up."""
        rates = rate if isinstance(rate, dict) else dict.fromkeys(self.layers, rate)
        if self.granularity is N_OF_M:
            assert not isinstance(rate, dict)
            check_blocks(self.layers, rate, self.m)
            keep = select_within_blocks(
                scores, rate, self.m, self._generator(), self._removed(previous) or None
            )
            return self._mask(keep, rates, previous)
        gone = merge(self._removed(previous), self.pools) if previous else None
        merged = merge(scores, self.pools)
        keep = select(
            merged,
            pooled_rates(rate, self.layers, self.pools) if isinstance(rate, dict) else rate,
            "global" if self.scope == "global" else "layer",
            self._generator(),
            removed=gone,
            staying={
                pool.name: pool.best(
                    merged[pool.name],
                    gone[pool.name] if gone else None,
                    self.selection["min_left"],
                    self.selection["min_share"],
                )
                for pool in self.pools
            },
            **self.selection,
        )
        keep = split(keep, self.pools)
        if not self.may_empty:
            _refuse_empty(keep)
        return self._mask(keep, rates, previous)

    def _mask(self, keep: dict[str, torch.Tensor], rates: dict[str, float], previous: Mask | None) -> Mask:
        weights = {f"{name}.weight": kept for name, kept in keep.items()}
        if self.channels and self.norm == "remove":
            weights |= _behind(self.layers, self.channels, keep)
        if previous:
            weights = {name: value for name, value in previous.keep.items() if name not in weights} | weights
        return Mask(weights, self.granularity.name, rates)


def _rung(rate: float, gone: float, share: float, blocks: int) -> float:
    """Return the rate on the way from `gone` to `rate`: each rung keeps the same fraction of the one before.

    Args:
        blocks: the length of blocks of which only whole numbers go; 0: there are none.
    """
    rung = rate if rate <= gone else 1 - (1 - gone) * ((1 - rate) / (1 - gone)) ** share
    return round(rung * blocks) / blocks if blocks else rung


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


def _removed_before(previous: Mask, layer: Layer, granularity: Granularity) -> torch.Tensor:
    """Return which groups of a layer `previous` removed, on the layer's device."""
    device, expected = layer.module.weight.device, granularity.shape(layer)
    if f"{layer.name}.weight" not in previous.keep:
        return torch.zeros(expected, dtype=torch.bool, device=device)
    removed = previous.removed(layer.name).to(device)
    if removed.shape != expected:
        raise PrunescopeError(
            f"the previous mask is for another network: that of {layer.name} is {tuple(removed.shape)}, "
            f"expected {expected}"
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
