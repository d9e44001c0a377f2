"""The forms of one network whose speed is compared: dense, masked, compact."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.measures.runtimes import Candidate
from prunescope.measures.stand_in import as_before_compaction, as_if_dense
from prunescope.networks.layers import find_layers
from prunescope.networks.shapes import units_of
from prunescope.pruning.compaction import compact
from prunescope.pruning.counting import count
from prunescope.pruning.granularity import GRANULARITIES, WEIGHT
from prunescope.pruning.masks import Mask

GREW_BACK = "what was removed grew back, so that no channel is all 0"
FEW_ZEROS = 1e-3  # of the weights: those that were once saved in half precision have a few


@dataclass(frozen=True)
class Variant:
    """One form of a network: what is timed, or why it is not, and its multiply-accumulates for one image."""

    candidate: Candidate | None
    macs: float
    why: str | None = None


def variants_of(
    network: nn.Module, mask: Mask | None, dense: Callable[[], nn.Module] | None, images: torch.Tensor
) -> dict[str, Variant]:
    """Return the forms of a network by name: "dense", "masked", "compact".

    A network without mask and zeros is dense, and has no other form; unless it is compact already, or of other
    shapes than `dense`: then it is the compact form, beside the dense network where that is known.

    Args:
        network: its removed weights are 0, unless they grew back.
        dense: opens the network before pruning; None: a copy of `network` whose removed weights are drawn anew,
            or, of a compact one, its architecture with random weights.
        images: two or more, for what stands in for the dense network.

    Raises:
        PrunescopeError: the mask is for another network.
    """
    if mask is None and not has_zeros(network):
        return _unmasked(network, dense, images)
    opened = dense() if dense else as_if_dense(network, mask, images)
    return {"dense": whole(opened), "masked": masked(network), "compact": compacted(network, mask)}


def _unmasked(
    network: nn.Module, dense: Callable[[], nn.Module] | None, images: torch.Tensor
) -> dict[str, Variant]:
    if dense:
        opened: nn.Module | None = dense()
    else:
        opened = as_before_compaction(network, images) if units_of(network) else network
    if opened is None:
        return {"compact": whole(network)}
    if _shapes(opened) == _shapes(network):
        return {"dense": whole(network)}
    return {"dense": whole(opened), "compact": whole(network)}


def has_zeros(network: nn.Module) -> bool:
    """Say whether more of a network's weights are 0 than half precision makes."""
    weights = [layer.module.weight for layer in find_layers(network).values()]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    return zeros > FEW_ZEROS * sum(weight.numel() for weight in weights)


def whole(network: nn.Module) -> Variant:
    """Return a network as it is, with all its multiply-accumulates."""
    return Variant(Candidate(network), sum(layer.macs for layer in find_layers(network).values()))


def masked(network: nn.Module) -> Variant:
    """Return a network as it is, with the multiply-accumulates that its zeros leave."""
    return Variant(Candidate(network), sum(part.macs_effective for part in count(network).layers.values()))


def compacted(network: nn.Module, mask: Mask | None) -> Variant:
    """Return a network without the channels that are 0, or why there are none to take out."""
    granularity = GRANULARITIES[mask.granularity] if mask is not None else None
    if granularity and not granularity.shrinks:
        return Variant(None, math.nan, granularity.nothing_leaves())
    grew_back = mask is not None and mask.held(network) < 1
    try:
        small = compact(network, None if grew_back else mask)
    except PrunescopeError as error:
        return Variant(None, math.nan, _one_line(str(error)))
    if (mask is None or grew_back) and _shapes(small) == _shapes(network):
        return Variant(None, math.nan, GREW_BACK if grew_back else WEIGHT.nothing_leaves())
    return whole(small)


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def _one_line(text: str, longest: int = 300) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = "; ".join(lines).replace(":;", ":")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
