"""A network's twin, which Captum may change as it likes: modules of its own, the same weights."""

from __future__ import annotations

import copy

import torch
from torch import nn

from prunescope.networks.layers import refuse_attached_masks, refuse_compiled
from prunescope.networks.network import logits_of


class Twin(nn.Module):
    """The network in eval mode, with modules of its own around tensors that it shares, and with its logits kept.

    Hooks, modes, attributes and gradients that are set on it are not set on the network, and are gone with it. Its
    weights need no gradient, so that none is computed for them, and nothing is kept for one.

    Attributes:
        first: the logits, (images, classes), of the first pass since it was emptied.
        predicted: whether to put out, instead of all logits, each image's largest.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        refuse_attached_masks(network)
        refuse_compiled(network)
        self.network = _twin(network).eval()
        self.first: list[torch.Tensor] = []
        self.predicted = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) to logits (n, classes), or (n,)."""
        logits = logits_of(self.network(x))
        if not self.first:
            self.first.append(logits.detach())
        return logits.gather(1, logits.argmax(1, keepdim=True))[:, 0] if self.predicted else logits


def _twin(network: nn.Module) -> nn.Module:
    """Return a copy of all modules, with parameters of its own that lie where those of the network do."""
    shared: dict[int, object] = {}
    for parameter in network.parameters():
        shared[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
    for buffer in network.buffers():
        shared[id(buffer)] = buffer.detach()
    twin = copy.deepcopy(network, shared)
    return twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
