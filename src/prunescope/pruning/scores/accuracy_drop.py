"""Score by the accuracy that is lost without a group: the network is evaluated once for each."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.networks.network import evaluating
from prunescope.pruning.masks import Mask, lent
from prunescope.pruning.scores.score import ScoreRequest, score

MOST_GROUPS = 20_000
"""Groups that `car` scores at most, since it evaluates the network for each of them."""


@score("car", needs="accuracy", comparable=True)
def car(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """Accuracy of the network as it stands minus its accuracy without the group alone.

    Filters that are tied across layers go together and are tried once: the first of them gets the drop, the others
    0, and their sum, by which they are selected, is the drop. Groups that were removed before are not tried and
    score 0. With as many `score_steps` as groups are removed, this is the greedy algorithm of the paper: the
    group that costs least goes, and all others are tried anew.

    Raises:
        PrunescopeError: there are more than `MOST_GROUPS` (20 000) groups.

    *Source:* Abbasi-Asl & Yu, Structural Compression of Convolutional Neural Networks, 2017 (classification
    accuracy reduction).
    *Differs:* the network runs in eval mode. They take one layer after the other; here any scope will do.
    """
    assert request.evaluate is not None  # Score.__call__ has seen to it
    if request.without is None:
        raise PrunescopeError(
            "car removes one group at a time: give without, from a layer and a group to a mask"
        )
    left = {name: _left(request, name) for name in request.layers}
    _refuse_too_many(sum(len(numbers) for numbers in left.values()))
    with evaluating(request.network):
        whole = float(request.evaluate(request.network))
        tried: set[tuple[tuple[str, bytes], ...]] = set()
        scores = {}
        for name, layer in request.layers.items():
            drops = torch.zeros(request.granularity.shape(layer))
            for number in left[name]:
                mask = request.without(name, number)
                goes = _what_goes(mask)
                if goes not in tried:
                    tried.add(goes)
                    drops.view(-1)[number] = whole - _accuracy(request.network, mask, request.evaluate)
            scores[name] = drops.to(layer.module.weight.device)
    return scores


def _left(request: ScoreRequest, layer: str) -> list[int]:
    """Return the flat numbers of the groups of a layer that are still there."""
    if layer in request.removed:
        numbers: list[int] = (~request.removed[layer]).flatten().nonzero().squeeze(1).tolist()
        return numbers
    return list(range(torch.Size(request.granularity.shape(request.layers[layer])).numel()))


def _refuse_too_many(groups: int) -> None:
    if groups > MOST_GROUPS:
        raise PrunescopeError(
            f"car evaluates the network once for each group, and there are {groups:,} of them, more than "
            f"{MOST_GROUPS:,}: choose fewer layers, filters in place of weights, or another score (taylor, snip)"
        )


def _what_goes(mask: Mask) -> tuple[tuple[str, bytes], ...]:
    """Return something that is equal for masks that remove the same."""
    gone = {name: (~keep).flatten().nonzero() for name, keep in mask.keep.items() if not keep.all()}
    return tuple(sorted((name, places.cpu().numpy().tobytes()) for name, places in gone.items()))


def _accuracy(network: nn.Module, mask: Mask, evaluate: Callable[[nn.Module], float]) -> float:
    with lent(network, mask):
        return float(evaluate(network))
