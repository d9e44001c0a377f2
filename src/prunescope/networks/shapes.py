"""Networks whose tensors are smaller than their architecture says: layers that gather, and shapes taken on again.

A compact network has the modules and the forward pass of its dense one; only the sizes of its tensors differ, so
a state dict is all that is needed to build it again. Where a layer reads some channels of a tensor that holds
more, it gathers them first: its state has one tensor more, `<layer>.inputs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn

from prunescope.errors import PrunescopeError, did_you_mean

Shaped = nn.Conv2d | nn.Linear | nn.PReLU | nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm


class GatheredConv2d(nn.Conv2d):
    """A convolution that reads the channels `inputs`, (in_channels,) int64, of what it is given."""

    inputs: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(images, channels, h, w) to (images, out_channels, h', w')."""
        return super().forward(_channels(x, self.inputs))


class GatheredLinear(nn.Linear):
    """A linear layer that reads the entries `inputs`, (in_features,) int64, of what it is given."""

    inputs: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, entries) to (…, out_features)."""
        return super().forward(x.index_select(-1, self.inputs))


def _channels(x: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Return the channels `inputs` of (images, channels, h, w), in its memory format.

    In channels-last order, `index_select` takes three to eight times as long as a gather from every pixel.
    """
    if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        return x.index_select(1, inputs)
    pixels = x.permute(0, 2, 3, 1)
    return pixels.gather(-1, inputs.expand(*pixels.shape[:-1], -1)).permute(0, 3, 1, 2)


def gathered(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return `x` as the weight of `module` sees it: the inputs that it gathers, or all of them."""
    if isinstance(module, GatheredConv2d):
        return x.index_select(1, module.inputs)
    if isinstance(module, GatheredLinear):
        return x.index_select(-1, module.inputs)
    return x


def gather(module: nn.Module, inputs: torch.Tensor) -> None:
    """Let a convolution or linear layer read `inputs` of what it is given; its weight has to fit them already.

    The module stays the same object, so that what refers to it, and its hooks, go on.
    """
    if not isinstance(module, GatheredConv2d | GatheredLinear):
        module.__class__ = _GATHERED[type(module)]
    module.register_buffer("inputs", inputs)


def ungather(module: nn.Module) -> None:
    """Let a layer that gathers read all that it is given."""
    del module.inputs
    module.__class__ = _PLAIN[type(module)]


def can_gather(module: nn.Module) -> bool:
    """Say whether `gather` is possible: a class of one's own may compute something else than its parent."""
    return type(module) in {*_GATHERED, *_PLAIN}


_GATHERED: dict[type[nn.Module], type[nn.Module]] = {nn.Conv2d: GatheredConv2d, nn.Linear: GatheredLinear}
_PLAIN = {gathering: plain for plain, gathering in _GATHERED.items()}


def resize(module: nn.Module, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    """Replace each parameter and buffer of one module by what `change(name, tensor)` makes of it.

    The sizes that the module notes of itself follow. Parameters stay trained or frozen, and keep their memory
    format.
    """
    outputs_per_group = module.out_channels // module.groups if isinstance(module, nn.Conv2d) else 0
    for name, parameter in module.named_parameters(recurse=False):
        changed = _in_format_of(parameter, change(name, parameter.detach()))
        setattr(module, name, nn.Parameter(changed, parameter.requires_grad))
    for name, buffer in module.named_buffers(recurse=False):
        if buffer.ndim:  # all but the number of batches that a batch norm has seen
            setattr(module, name, change(name, buffer))
    if isinstance(module, nn.Conv2d):
        module.out_channels = len(module.weight)
        module.groups = module.out_channels // outputs_per_group if module.groups > 1 else 1
        module.in_channels = module.groups * module.weight.shape[1]
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, Shaped):
        vector = module.running_mean if module.weight is None else module.weight
        module.num_features = module.num_features if vector is None else vector.numel()


def _in_format_of(other: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """Return `tensor` in the memory format of `other`."""
    last = other.ndim == 4 and not other.is_contiguous()
    return tensor.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def reshape(network: nn.Module, state: Mapping[str, torch.Tensor], source: str = "the state") -> None:
    """Give a dense network the shapes that `state` has, in place, so that it can be loaded; values are lost.

    Args:
        network: the dense architecture.
        state: what `state_dict()` of a compact form of it returned.
        source: what errors call the state.

    Raises:
        PrunescopeError: these are not the shapes of a smaller form of this network.
    """
    for name, module in network.named_modules():
        if isinstance(module, Shaped):
            own = {
                **dict(module.named_parameters(recurse=False)),
                **dict(module.named_buffers(recurse=False)),
            }
            wanted = {key: state[f"{name}.{key}"].shape for key in own if f"{name}.{key}" in state}
            inputs = state.get(f"{name}.inputs")
            for key, shape in wanted.items():
                if not _is_part(module, shape, own[key].shape):
                    raise PrunescopeError(
                        f"{source} holds no smaller form of this network: {name}.{key} is {tuple(shape)} there, "
                        f"{tuple(own[key].shape)} in the dense network"
                    )
            if inputs is not None and not _is_choice(module, inputs, wanted, own["weight"].shape):
                raise PrunescopeError(
                    f"{source} holds no smaller form of this network: {name}.inputs does not fit its weight"
                )
            if any(shape != own[key].shape for key, shape in wanted.items()):
                resize(module, partial(_emptied, wanted))
            if inputs is not None:
                gather(module, torch.empty_like(inputs, device=own["weight"].device))


def _emptied(shapes: Mapping[str, torch.Size], name: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor.new_empty(shapes.get(name, tensor.shape))


def _is_part(module: nn.Module, shape: torch.Size, dense: torch.Size) -> bool:
    """Say whether a tensor of a layer can have become `shape` by losing channels."""
    if len(shape) != len(dense) or any(
        not 0 < part <= whole for part, whole in zip(shape, dense, strict=True)
    ):
        return False
    if isinstance(module, nn.Conv2d) and module.groups > 1:  # which whole groups leave
        return shape[1:] == dense[1:] and shape[0] % (module.out_channels // module.groups) == 0
    return shape[2:] == dense[2:]


def _is_choice(
    module: nn.Module, inputs: torch.Tensor, wanted: Mapping[str, torch.Size], dense: torch.Size
) -> bool:
    """Say whether a layer whose dense weight has the shape `dense` can gather these inputs."""
    return (
        can_gather(module)
        and inputs.dtype == torch.int64
        and inputs.shape == wanted.get("weight", dense)[1:2]
        and bool((inputs >= 0).all() and (inputs < dense[1]).all())
    )


def dense_units(network: nn.Module, layer: str) -> list[int]:
    """Return which channels of the dense network those of a layer are: channel c is channel `dense_units(…)[c]` there.

    In a network that is not compact, every channel is itself.

    Raises:
        PrunescopeError: the network has no such layer.
    """
    modules = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    if layer not in modules:
        raise PrunescopeError(
            f"no layer {layer!r} in the network{did_you_mean(layer, modules)}; list them with `prunescope layers`"
        )
    return units_of(network).get(layer) or list(range(len(modules[layer].weight)))


def units_of(network: nn.Module) -> dict[str, list[int]]:
    """Return the dense numbers of the channels of every layer of a compact network; empty for another."""
    carried = getattr(network, "origin", network)  # a network that prunescope did not open has no origin
    units: dict[str, list[int]] = getattr(carried, "units", {})
    return units
