"""Magnitude on one scale for all layers: how much of what would be left of the layer a weight is."""

from __future__ import annotations

import torch
from torch.nn import functional

from prunescope.pruning.scores.score import ScoreRequest, score


@score("lamp", comparable=True)
def lamp(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """w² over the sum of all w² of the layer that are at least as large, w itself among them.

    Within a layer the order is that of |w|. The largest weight of each layer scores 1, so one threshold over all
    layers leaves every layer at least that one. For filters, connections and kernels the squared Euclidean norm
    takes the place of w². Equal weights stand in a random order, and each counts those behind it: a layer of equal
    weights is thinned like others, rather than kept or lost as a whole. Weights that are 0, as those removed
    before, score 0.

    *Source:* Lee et al., Layer-adaptive Sparsity for the Magnitude-based Pruning, 2021.
    *Differs:* filters that are tied across layers get the sum of their scores, of which none need be 1.
    """
    return {
        name: _share_of_the_rest(
            request.granularity.reduce(request.weight(name).double().square()), request.generator
        ).to(torch.promote_types(layer.module.weight.dtype, torch.float32))
        for name, layer in request.layers.items()
    }


def _share_of_the_rest(squares: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return each entry divided by the sum of itself and all larger ones, in the same shape."""
    ascending, order = _sorted(squares.flatten(), generator)
    rest = ascending.flip(0).cumsum(0).flip(0)
    shares = torch.empty_like(ascending)
    shares[order] = ascending / rest.clamp(min=torch.finfo(rest.dtype).tiny)
    return shares.view(squares.shape)


def _sorted(values: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float64 values of at least 0 in ascending order, and where each came from; ties other than 0 are drawn."""
    bits, order = values.view(
        torch.int64
    ).sort()  # the bits of such numbers have their order, and sort 3 x faster
    same = bits[1:] == bits[:-1]
    tied = (functional.pad(same, (1, 0)) | functional.pad(same, (0, 1))) & (bits > 0)
    places = tied.nonzero().squeeze(1)
    drawn = places[torch.randperm(len(places), generator=generator).to(places.device)]
    order[places] = order[drawn[bits[drawn].sort(stable=True).indices]]
    return bits.view(torch.float64), order
