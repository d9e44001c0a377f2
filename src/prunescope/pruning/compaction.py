"""`compact`: removed channels leave the tensors, so that a pruned network is smaller and faster, and the same."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn.utils import parametrize

from prunescope.errors import PrunescopeError
from prunescope.networks.channels import map_channels
from prunescope.networks.layers import Layer, find_layers, refuse_attached_masks
from prunescope.networks.network import Origin, device_of, example_input
from prunescope.networks.shapes import (
    GatheredConv2d,
    GatheredLinear,
    can_gather,
    gather,
    resize,
    ungather,
    units_of,
)
from prunescope.pruning.equality import (
    OtherOutputs,
    in_double,
    outputs_of,
    random_image,
    refuse_other_outputs,
)
from prunescope.pruning.granularity import CONNECTION, FILTER, GRANULARITIES
from prunescope.pruning.leaving import Leaving, find_leaving
from prunescope.pruning.masks import Mask
from prunescope.pruning.unremoved import refuse_unremoved

Gathering = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Cut:
    """What a layer keeps.

    Attributes:
        filters: (kept,) int64, of the layer's own channels.
        inputs: (kept,) int64, of its inputs.
        gathered: (kept,) int64, where these inputs are among the channels that arrive; None if they are all.
    """

    filters: torch.Tensor
    inputs: torch.Tensor
    gathered: torch.Tensor | None


def compact(network: nn.Module, mask: Mask | None = None, example: torch.Tensor | None = None) -> nn.Module:
    """Return a smaller copy of a pruned network that computes the same; the network itself is not changed.

    Filters that are always 0, or that nothing reads, leave the tensors, with the channels of batch norms behind
    them and the inputs that read them; each layer keeps at least one. Where connections were removed, a layer
    gathers the inputs that it still reads, and has no weights for the others; where the network's code counts on
    numbers of channels (ShuffleNet), that is all that is done for connections. Before it is returned, the copy is
    compared with the masked network in float64 on a random image, auxiliary heads included.

    The copy is in the same mode, on the same device, of the same type, trained or frozen as the network was. It
    knows which channel of the dense network each of its own is: `dense_units`.

    Args:
        mask: what was removed; None: whatever is exactly 0 in the network.
        example: (images, channels, height, width), of which only the shape matters; needed where the network
            carries no `preprocess`.

    Raises:
        PrunescopeError: something that was removed cannot be taken out exactly (the layers are named, with the
            reason), the mask is by weight, kernel or n:m, or for another network, the network does not take the
            example.
    """
    if mask is not None and not GRANULARITIES[mask.granularity].shrinks:
        raise PrunescopeError(
            f"a mask by {mask.granularity} leaves no channel to take out, so nothing can get faster: save the "
            "masked network packed instead, ps.save_network(network, path, pack=True)"
        )
    if mask is not None:
        _refuse_other_groups(network, mask)
    refuse_attached_masks(network)
    _refuse_nan(network)
    example = example_input(network) if example is None else example
    try:
        return _smaller(network, mask, example)
    except OtherOutputs:  # code that counts on numbers of channels
        if mask is None or mask.granularity != CONNECTION.name:
            raise
        return _smaller(network, mask, example, filters_leave=False)


def _smaller(
    network: nn.Module, mask: Mask | None, example: torch.Tensor, filters_leave: bool = True
) -> nn.Module:
    """Return the smaller copy; with `filters_leave` false, layers gather what they read, and no channel leaves."""
    smaller = _masked(network, mask)
    gathering = _stop_gathering(smaller, example)
    layers = find_layers(smaller, example, auxiliary=True)
    leaving = find_leaving(smaller, layers, map_channels(smaller, layers, example=example))
    leaving.leaves &= filters_leave
    may_gather = gathering if mask and mask.granularity == FILTER.name else layers
    cuts = {name: _cut_of(leaving, layer, name in may_gather) for name, layer in layers.items()}
    refuse_unremoved(leaving, {name: cut.inputs for name, cut in cuts.items()}, mask, gathering)
    if gathering or any(_cuts_off(layers[name], cut) for name, cut in cuts.items()):
        with in_double(smaller):
            image = random_image(example, smaller)
            expected = outputs_of(smaller, image, heads=any(layer.auxiliary for layer in layers.values()))
            _shrink(smaller, leaving, cuts)
            filters = {name: cut.filters for name, cut in cuts.items()}
            refuse_other_outputs(smaller, lambda: _masked(network, mask), expected, image, filters)
        _carry_units(smaller, cuts)
    return smaller


def _refuse_other_groups(network: nn.Module, mask: Mask) -> None:
    """Raise if the mask of a weight is not by the granularity that it says."""
    together = GRANULARITIES[mask.granularity].together
    for name, (weight, keep) in zip(mask.keep, mask.pairs(network), strict=True):
        expected = tuple(1 if dim in together else size for dim, size in enumerate(weight.shape))
        if weight.ndim > 1 and keep.shape != expected:
            raise PrunescopeError(
                f"the mask of {name} is {tuple(keep.shape)}, expected {expected} of one by {mask.granularity}"
            )


def _refuse_nan(network: nn.Module) -> None:
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise PrunescopeError(
                f"{name} holds NaN or infinite values: the weights are unusable, before and after compaction"
            )


def _masked(network: nn.Module, mask: Mask | None) -> nn.Module:
    masked = copy.deepcopy(network)
    if mask is not None:
        mask.apply(masked)
    return masked


def _stop_gathering(network: nn.Module, example: torch.Tensor) -> Gathering:
    """Let layers that gather read all that arrives, with zeros; return which of these inputs they had gathered."""
    gathering = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, GatheredConv2d | GatheredLinear)
    }
    if not gathering:
        return {}
    arriving: dict[nn.Module, int] = {}

    def note(module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        arriving[module] = arguments[0].shape[1 if isinstance(module, nn.Conv2d) else -1]

    hooks = [module.register_forward_pre_hook(note) for module in gathering.values()]
    try:
        find_layers(network, example, auxiliary=True)
    finally:
        for hook in hooks:
            hook.remove()
    found = {name: module.inputs for name, module in gathering.items() if module in arriving}
    for name, inputs in found.items():
        _scatter(gathering[name], inputs, arriving[gathering[name]])
    return found


def _scatter(module: nn.Module, inputs: torch.Tensor, arriving: int) -> None:
    """Put zeros between the inputs that a layer had gathered."""
    ungather(module)

    def widen(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if name != "weight":
            return tensor
        wide = tensor.new_zeros(len(tensor), arriving, *tensor.shape[2:])
        return wide.index_copy_(1, inputs, tensor)

    resize(module, widen)


def _cut_of(leaving: Leaving, layer: Layer, may_gather: bool) -> Cut:
    arriving = leaving.inputs(layer.name)
    read = arriving
    if may_gather and layer.groups == 1 and can_gather(layer.module):
        read = arriving & leaving.read(layer.name)
        if not read.any():  # of which nothing is left but its bias
            read = arriving & (arriving.cumsum(0) == 1)
    return Cut(
        leaving.filters(layer.name).nonzero().squeeze(1),
        read.nonzero().squeeze(1),
        None if torch.equal(read, arriving) else read[arriving].nonzero().squeeze(1),
    )


def _cuts_off(layer: Layer, cut: Cut) -> bool:
    outputs, inputs = layer.weight_shape[0], layer.weight_shape[1] * layer.groups
    return len(cut.filters) < outputs or len(cut.inputs) < inputs


def _shrink(network: nn.Module, leaving: Leaving, cuts: Mapping[str, Cut]) -> None:
    """Take what leaves out of the tensors, in place."""
    sharing = _sharing(network)
    for name, cut in cuts.items():
        layer = leaving.layers[name]
        if _cuts_off(layer, cut):
            _refuse_unusual(name, layer.module, sharing)
            _cut(layer, cut)
    channels = leaving.channels
    for name, numbers in {**channels.norms, **channels.slopes}.items():
        stays = leaving.arriving(numbers)
        if not stays.all():
            module = network.get_submodule(name)
            _refuse_unusual(name, module, sharing)
            resize(module, partial(_only, stays.nonzero().squeeze(1).to(device_of(network))))


def _only(kept: torch.Tensor, _: str, vector: torch.Tensor) -> torch.Tensor:
    return vector.index_select(0, kept)


def _cut(layer: Layer, cut: Cut) -> None:
    filters, inputs = (kept.to(layer.module.weight.device) for kept in (cut.filters, cut.inputs))
    if layer.groups > 1:
        _refuse_torn_groups(layer, cut)

    def take(name: str, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.index_select(0, filters)
        return tensor.index_select(1, inputs) if name == "weight" and layer.groups == 1 else tensor

    resize(layer.module, take)
    if cut.gathered is not None:
        gather(layer.module, cut.gathered.to(filters.device))


def _refuse_torn_groups(layer: Layer, cut: Cut) -> None:
    """Raise unless whole groups of a grouped convolution leave: their inputs together with their filters."""
    kept = []
    sizes = (layer.weight_shape[0], layer.weight_shape[1] * layer.groups)
    for indices, size in zip((cut.filters, cut.inputs), sizes, strict=True):
        stays = torch.zeros(size, dtype=torch.bool)
        stays[indices] = True
        kept.append(stays.view(layer.groups, -1))
    filters, inputs = kept
    if not ((filters == filters[:, :1]).all() and (inputs == filters[:, :1]).all()):
        raise PrunescopeError(
            f"{layer.name} is a grouped convolution, of which single channels cannot be taken out: spare it and "
            "the layers that it reads"
        )


def _sharing(network: nn.Module) -> dict[int, list[str]]:
    """Return which modules hold each parameter."""
    holders: dict[int, list[str]] = defaultdict(list)
    for name, module in network.named_modules():
        for parameter in module.parameters(recurse=False):
            holders[id(parameter)].append(name)
    return holders


def _refuse_unusual(name: str, module: nn.Module, sharing: Mapping[int, list[str]]) -> None:
    """Raise if a module's tensors cannot be made smaller on their own."""
    if parametrize.is_parametrized(module) or "weight" not in module._parameters:
        raise PrunescopeError(
            f"{name}: its weight is computed from others (a parametrization), and cannot be made smaller: make it "
            "permanent first, with torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')"
        )
    others = {other for parameter in module.parameters(recurse=False) for other in sharing[id(parameter)]}
    if others - {name}:
        raise PrunescopeError(
            f"{name} shares its weight with {', '.join(sorted(others - {name}))}, and cannot be made smaller "
            "alone: spare both"
        )


def _carry_units(network: nn.Module, cuts: Mapping[str, Cut]) -> None:
    """Let a compact network know which channels of the dense one its own are."""
    before = units_of(network)
    units = {
        name: [before[name][c] for c in cut.filters.tolist()] if name in before else cut.filters.tolist()
        for name, cut in cuts.items()
    }
    origin = getattr(network, "origin", None)
    if isinstance(origin, Origin):
        network.origin = origin.model_copy(update={"units": units})  # type: ignore[assignment]
    else:
        network.units = units  # type: ignore[assignment]
