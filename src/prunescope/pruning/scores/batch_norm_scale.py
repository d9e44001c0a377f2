"""Score by the scale of the batch norm behind a filter: training shrinks it where the channel is not needed."""

from __future__ import annotations

import torch
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.networks.channels import ChannelMap
from prunescope.pruning.scores.score import ScoreRequest, score


@score(
    "batch-norm-scale",
    granularities=("filter",),
    because="a batch norm has one scale for each channel",
)
def batch_norm_scale(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """|γ| of the batch norm behind each filter.

    A filter that goes through several batch norms (DenseNet, where each later layer has its own for it) gets the
    mean of their |γ|: the number of its readers then does not count. A filter that none reads on its own (before
    an addition, as in a pre-activation ResNet, or in a gate) gets the mean over those that read the filters
    that it is removed together with, among them the batch norms of the sum.

    Raises:
        PrunescopeError: a layer has filters without a batch norm behind them, or one that has no scale.

    *Source:* Liu et al., Learning Efficient Convolutional Networks through Network Slimming, 2017.
    *Differs:* their L1 penalty on γ belongs to training, and is not asked for.
    """
    channels = request.channels
    scales, known = _mean_scales(request.network, channels)
    scores, refused = {}, {}
    for name, layer in request.layers.items():
        numbers = channels.numbers(name)
        unknown = int((~known[numbers]).sum())
        if unknown:
            refused[name] = (
                f"{unknown} of its {len(numbers)} filters have no batch norm with a scale behind them"
            )
        own = scales[numbers].view(request.granularity.shape(layer))
        if name in request.removed:
            own = own.masked_fill(request.removed[name].cpu(), 0)
        scores[name] = own.to(layer.module.weight.device)
    if refused:
        raise PrunescopeError(
            "batch-norm-scale cannot score these layers:\n"
            + "\n".join(f"  {name}: {why}" for name, why in refused.items())
            + f"\nspare them: --spare '{','.join(refused)}' (in a study, spare: [{', '.join(refused)}]), or choose "
            "another score"
        )
    return scores


def _mean_scales(network: nn.Module, channels: ChannelMap) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean |γ| behind each channel of the network, (channels,), and where there is any, bool."""
    total, count = torch.zeros(2, channels.count)
    for name, numbers in channels.norms.items():
        scale = getattr(network.get_submodule(name), "weight", None)
        if scale is not None:
            read = numbers.cpu() >= 0
            behind, sizes = numbers.cpu()[read], scale.detach().abs().float().cpu()[read]
            total.index_add_(0, behind, sizes)
            count.index_add_(0, behind, torch.ones_like(sizes))
    tied_total, tied_count = (
        torch.zeros_like(total).index_add(0, channels.together, own)[channels.together]
        for own in (total, count)
    )
    alone = count > 0
    total, count = torch.where(alone, total, tied_total), torch.where(alone, count, tied_count)
    return total / count.clamp(min=1), count > 0
