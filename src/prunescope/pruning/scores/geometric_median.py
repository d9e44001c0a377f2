"""Score by the distances to all other groups of the layer: what lies in their middle can be replaced by them."""

from __future__ import annotations

import torch

from prunescope.pruning.scores.score import ScoreRequest, score

_ENTRIES = 1 << 23  # of the distances held at once: 64 MiB


@score(
    "fpgm",
    granularities=("filter", "connection"),
    because="it is a distance between whole filters, or between all weights of two inputs",
)
def fpgm(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """Sum of the Euclidean distances between a group and all others of its layer.

    Groups that were removed before are no part of the layer any more: their score is 0, and none is measured
    from or to them.

    *Source:* He et al., Filter Pruning via Geometric Median for Deep Convolutional Neural Networks Acceleration, 2019.
    *Differs:* the authors score filters; connections, W[:, c], are scored in the same way.
    """
    scores = {}
    for name, layer in request.layers.items():
        shape = request.granularity.shape(layer)
        along = 1 if 0 in request.granularity.together else 0
        groups = request.weight(name).movedim(along, 0).flatten(1)  # (groups, weights of one)
        left = torch.ones(len(groups), dtype=torch.bool, device=groups.device)
        if name in request.removed:
            left = ~request.removed[name].flatten().to(groups.device)
        sums = torch.zeros(len(groups), device=groups.device)
        sums[left] = _sums_of_distances(groups[left]).float()
        scores[name] = sums.view(shape)
    return scores


def _sums_of_distances(groups: torch.Tensor) -> torch.Tensor:
    """Return the sum of the distances from each row to all rows: (rows,) float64.

    In float64, since |a - b|² as |a|² + |b|² - 2ab loses half of the digits where two rows are near, as they are
    where it matters here.
    """
    groups = groups.double()
    rows = max(_ENTRIES // max(len(groups), 1), 1)
    return torch.cat([torch.cdist(some, groups).sum(1) for some in groups.split(rows)])
