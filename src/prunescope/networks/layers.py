"""The layers of a network: every convolution and linear layer that the forward pass in eval mode uses."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.networks.network import evaluating, example_input, logits_of
from prunescope.networks.shapes import can_gather

Prunable = nn.Conv2d | nn.Linear


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer.

    Attributes:
        name: dotted name of the module.
        weight_shape: (out, in / groups, kernel height, kernel width), or (out, in) for a linear layer.
        outputs: the shape of what each call put out for one image, in the order of the calls.
        auxiliary: whether it belongs to a head that only training uses.
    """

    name: str
    module: Prunable
    weight_shape: tuple[int, ...]
    groups: int
    outputs: tuple[torch.Size, ...]
    auxiliary: bool = False

    @property
    def kind(self) -> str:
        """ "conv" or "linear"."""
        return "conv" if isinstance(self.module, nn.Conv2d) else "linear"

    @property
    def weights(self) -> int:
        """Number of elements of the weight."""
        return torch.Size(self.weight_shape).numel()

    @property
    def kernel(self) -> str:
        """Kernel size as text, `3x3`; `1x1` for a linear layer."""
        return "x".join(str(side) for side in self.weight_shape[2:]) or "1x1"

    @property
    def positions(self) -> int:
        """How often each weight is used for one image, over all calls."""
        return sum(shape.numel() for shape in self.outputs) // self.weight_shape[0]

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, without the bias."""
        return self.positions * self.weights

    @property
    def standardises(self) -> bool:
        """Whether it brings its weights to one scale before it uses them, as timm's StdConv2d: a 0 is none there."""
        if can_gather(self.module):  # of torch's own types, or ours
            return False
        draw = torch.Generator().manual_seed(0)
        height, width = self.module.kernel_size if isinstance(self.module, nn.Conv2d) else (1, 1)
        shape = (
            1,
            self.weight_shape[1] * self.groups,
            *(2 * height, 2 * width)[: len(self.weight_shape) - 2],
        )
        weight, x = torch.rand(self.weight_shape, generator=draw), torch.rand(shape, generator=draw)
        try:
            once, twice = (_without_bias(self.module, factor * weight, x) for factor in (1, 2))
        except (RuntimeError, TypeError, ValueError):  # takes something else than an image
            return False
        return not torch.allclose(2 * once, twice, rtol=1e-3)


def _without_bias(module: Prunable, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return what a layer would put out with another weight, no bias, and gains of its own (at first 0) at 1."""
    tensors = {name: torch.ones(tensor.shape) for name, tensor in module.state_dict().items()}
    tensors |= {"weight": weight} | ({} if module.bias is None else {"bias": torch.zeros(len(weight))})
    with torch.no_grad():
        output: torch.Tensor = functional_call(module, tensors, x)
    return output


def find_layers(
    network: nn.Module, example: torch.Tensor | None = None, *, auxiliary: bool = False
) -> dict[str, Layer]:
    """Return the layers of a network by name, in the order in which the forward pass meets them.

    Args:
        example: (1, 3, height, width); by default one image of the network's own size.
        auxiliary: whether layers of auxiliary heads, which only training uses, are among them.

    Raises:
        PrunescopeError: the network does not take the example, has no layer, or carries attached masks.
    """
    refuse_attached_masks(network)
    refuse_compiled(network)
    example = example_input(network) if example is None else example[:1]
    names = {module: name for name, module in network.named_modules() if isinstance(module, Prunable)}
    shapes = used = _shapes_put_out(network, list(names), example, training=False)
    if auxiliary and len(used) < len(names):
        shapes = _shapes_put_out(network, list(names), example, training=True)
    layers, seen = {}, set()
    for module, outputs in shapes.items():
        if isinstance(module, Prunable) and id(module.weight) not in seen:  # a shared weight is one layer
            seen.add(id(module.weight))
            groups = module.groups if isinstance(module, nn.Conv2d) else 1
            layers[names[module]] = Layer(
                names[module], module, tuple(module.weight.shape), groups, tuple(outputs), module not in used
            )
    if not layers:
        raise PrunescopeError("the network has no convolution or linear layer that its forward pass uses")
    return layers


def _shapes_put_out(
    network: nn.Module, modules: Sequence[nn.Module], example: torch.Tensor, training: bool
) -> dict[nn.Module, list[torch.Size]]:
    """Return the shape of what each call of each module puts out; `training` runs the auxiliary heads as well."""
    shapes: dict[nn.Module, list[torch.Size]] = {}

    def note(module: nn.Module, _: object, output: torch.Tensor) -> None:
        shapes.setdefault(module, []).append(output.shape)

    hooks = [module.register_forward_hook(note) for module in modules]
    try:
        with evaluating(network):
            network.training = training  # of the network alone: dropout and batch norms go on as in eval
            logits_of(run_for_shapes(network, example, shapes.clear))
    except (RuntimeError, ValueError, IndexError) as error:
        what = "the auxiliary heads, which only training uses, do" if training else "the network does"
        raise PrunescopeError(
            f"{what} not take an image of shape {tuple(example.shape)} ({str(error).splitlines()[0]}): give an "
            "example of (1, 3, height, width), of a size that the network was made for"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return shapes


def run_for_shapes(network: nn.Module, example: torch.Tensor, forget: Callable[[], None]) -> Any:
    """Return what the network puts out, run on tensors that have a shape and no values, or else for real.

    Args:
        forget: called before the latter, with hooks having noted part of the former.
    """
    shapes = {name: tensor.to("meta") for name, tensor in held_tensors(network).items()}
    try:
        return functional_call(network, shapes, example.to("meta"), tie_weights=False)
    except Exception:  # a forward pass that looks at values, or makes tensors of its own on the CPU
        forget()
        return network(example)


def held_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return parameters and buffers by name; one that several modules share under the name that each has for it.

    So `functional_call` takes them, with `tie_weights=False`. With ties of its own, it leaves a module that stands in
    the network twice (one PReLU for two convolutions) with what it was lent.
    """
    return {
        f"{path}.{name}" if path else name: tensor
        for path, module in network.named_modules()
        for name, tensor in (
            *module.named_parameters(recurse=False, remove_duplicate=False),
            *module.named_buffers(recurse=False, remove_duplicate=False),
        )
    }


def matching(patterns: Sequence[str], names: Iterable[str], of: str = "the network") -> list[str]:
    """Return the names that any of the globs selects, in the order of `names`.

    Args:
        patterns: the globs; a text is one of them, and not a sequence of letters.

    Raises:
        PrunescopeError: a pattern selects nothing.
    """
    names, patterns = list(names), [patterns] if isinstance(patterns, str) else patterns
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise PrunescopeError(
                f"no layer {pattern!r} in {of}{did_you_mean(pattern, names)}; list them with `prunescope layers`"
            )
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def refuse_compiled(network: nn.Module) -> None:
    """Raise `PrunescopeError` if a module is compiled, so that what runs is no longer what its code says."""
    for name, module in network.named_modules():
        if hasattr(module, "_orig_mod") or module._compiled_call_impl is not None:
            raise PrunescopeError(
                f"{name or 'the network'} is compiled: give the network as it was before torch.compile, and compile "
                "it afterwards"
            )


def refuse_attached_masks(network: nn.Module) -> None:
    """Raise `PrunescopeError` if a layer still carries a mask of `torch.nn.utils.prune`."""
    for name, module in network.named_modules():
        if hasattr(module, "weight_orig") and hasattr(module, "weight_mask"):
            raise PrunescopeError(
                f"{name} carries a mask of torch.nn.utils.prune: make it permanent first with "
                "torch.nn.utils.prune.remove(module, 'weight')"
            )
