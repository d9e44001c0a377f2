"""Nothing that was removed stays in a compact network without a word: what cannot leave is named, and why."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.pruning.granularity import CONNECTION
from prunescope.pruning.leaving import Leaving
from prunescope.pruning.masks import Mask

_LISTED = 5


def refuse_unremoved(
    leaving: Leaving,
    inputs: Mapping[str, torch.Tensor],
    mask: Mask | None,
    gathering: Mapping[str, torch.Tensor],
) -> None:
    """Raise if a removed filter or connection is still there.

    Args:
        inputs: layer to the inputs that it keeps, (kept,) int64.
        mask: what was removed; None: filters without a weight other than 0, but for those of logits and gates.
        gathering: layer to the inputs that it had gathered when the mask was made, where it did.

    Raises:
        PrunescopeError: names the layers, with the reason.
    """
    if mask is None:
        spared = leaving.channels.logits | leaving.channels.gates
        removed = {name: ~p.any(1) for name, p in leaving.patterns.items() if name not in spared}
    else:
        removed = _removed(mask, leaving)
    if mask is not None and mask.granularity == CONNECTION.name:
        problems = _connections(leaving, removed, inputs, gathering)
    else:
        problems = _filters(leaving, removed)
    if problems:
        listed = [f"  {name}: {what}" for name, what in list(problems.items())[:_LISTED]]
        if len(problems) > _LISTED:
            listed.append(f"  and {len(problems) - _LISTED} layers more")
        raise PrunescopeError("what was removed cannot be taken out exactly:\n" + "\n".join(listed))


def _removed(mask: Mask, leaving: Leaving) -> dict[str, torch.Tensor]:
    """Return what a mask removed of each layer, (groups,) bool."""
    removed = {}
    for key, keep in mask.keep.items():
        name = key.removesuffix(".weight")
        if key.endswith(".weight") and name in leaving.layers:
            removed[name] = ~keep.flatten().cpu()
        elif keep.ndim > 1 and not keep.all():
            raise PrunescopeError(
                f"{name} cannot be made smaller: the network's forward pass does not use it"
            )
    return removed


def _connections(
    leaving: Leaving,
    removed: Mapping[str, torch.Tensor],
    inputs: Mapping[str, torch.Tensor],
    gathering: Mapping[str, torch.Tensor],
) -> dict[str, str]:
    problems = {}
    for name, gone in removed.items():
        positions = gone.nonzero().squeeze(1)
        if name in gathering:
            positions = gathering[name].cpu()[positions]
        stuck = int(torch.isin(positions, inputs[name]).sum())
        if stuck and len(inputs[name]) > 1:  # the last one stays
            problems[name] = f"{stuck} inputs: a {_kind(leaving.layers[name].module)} cannot gather"
    return problems


def _kind(module: nn.Module) -> str:
    grouped = isinstance(module, nn.Conv2d) and module.groups > 1
    return "grouped convolution" if grouped else type(module).__name__


def _filters(leaving: Leaving, removed: Mapping[str, torch.Tensor]) -> dict[str, str]:
    problems = {}
    for name, gone in removed.items():
        may_stay = leaving.last[leaving.channels.numbers(name)]
        stuck = (gone & leaving.filters(name) & ~may_stay).nonzero().squeeze(1).tolist()
        if stuck:
            what = f"filter {stuck[0]}" if len(stuck) == 1 else f"{len(stuck)} filters (first: {stuck[0]})"
            problems[name] = f"{what}: {_why(leaving, name, stuck[0])}"
    return problems


def _why(leaving: Leaving, layer: str, filter_: int) -> str:
    """Return the reason why a removed filter stays."""
    channels = leaving.channels
    if layer in channels.logits:
        return "a class of the logits"
    if layer in channels.fixed:
        return channels.fixed[layer]
    number = channels.first[layer] + filter_
    partners = (channels.together == channels.together[number]).nonzero().squeeze(1).tolist()
    for partner in sorted(partners, key=lambda other: other != number):
        owner = min(channels.owners(torch.tensor([partner])))
        channel = partner - channels.first[owner]
        what = _why_not_silent(leaving, owner, channel)
        if what and partner == number:
            return f"it {what}"
        if what:
            return f"it goes together with filter {channel} of {owner}, which {what}"
    return "it is other than 0, and read"


def _why_not_silent(leaving: Leaving, layer: str, filter_: int) -> str | None:
    """Return what makes one channel other than 0, None if nothing does."""
    channels, module = leaving.channels, leaving.layers[layer].module
    number = channels.first[layer] + filter_
    if layer in channels.gates:
        return None
    if leaving.patterns[layer][filter_].any():
        return "is not 0"
    if number in leaving.shifted:
        return (
            f"emits a constant: its batch norm {leaving.shifted[number]} still shifts it (as a mask made with "
            "norm: keep leaves it); prune with norm: remove"
        )
    return None if module.bias is None or module.bias[filter_] == 0 else "emits a constant: its bias is not 0"
