"""The layers of a network that have positions, and the one that explanations are of unless another is named."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.networks.layers import run_for_shapes
from prunescope.networks.network import evaluating, example_input

_POOLED = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


@dataclass(frozen=True)
class _Finished:
    """What one call of a module put out for one image; None: no single tensor."""

    name: str
    module: nn.Module
    shape: torch.Size | None

    @property
    def has_positions(self) -> bool:
        """Whether it put out maps: (1, channels, height, width) of more than one position."""
        return self.shape is not None and len(self.shape) == 4 and tuple(self.shape[2:]) != (1, 1)

    @property
    def is_square(self) -> bool:
        """Whether rows and columns are as many, as for a square image they are; so not where channels come last."""
        return self.shape is not None and len(self.shape) == 4 and self.shape[2] == self.shape[3]

    @property
    def is_tokens(self) -> bool:
        return self.shape is not None and len(self.shape) == 3 and self.shape[1] > 1


def find_map_layer(network: nn.Module, layer: str | None = None) -> str:
    """Return the name of the layer whose positions are explained.

    Args:
        layer: dotted name of a module; None: of the modules that put out maps, and are no adaptive pooling, the one
            that finishes last: the last pooling layer of a VGG, the last block of a ResNet.

    Raises:
        PrunescopeError: there is none, or the one named is not there, has no positions, or is used several times.
    """
    calls = _calls(network)
    return _last(calls) if layer is None else _named(network, layer, calls)


def _calls(network: nn.Module) -> list[_Finished]:
    """Return all calls of modules in a forward pass on one image, in the order in which they finish."""
    names = {module: name for name, module in network.named_modules() if name}
    calls: list[_Finished] = []

    def note(module: nn.Module, _: object, output: object) -> None:
        shape = output.shape if isinstance(output, torch.Tensor) else None
        calls.append(_Finished(names[module], module, shape))

    hooks = [module.register_forward_hook(note) for module in names]
    try:
        with evaluating(network):
            run_for_shapes(network, example_input(network), calls.clear)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _last(calls: list[_Finished]) -> str:
    usable = [i for i, call in enumerate(calls) if _is_usable(call, calls) and call.is_square]
    if not usable:
        raise PrunescopeError(
            "no layer of the network puts out maps, so there is nothing that Grad-CAM could weight: choose a method "
            "for pixels, such as gradient or integrated-gradients"
        )
    last = usable[-1]
    after = calls[last + 1 :]
    goes_on = [call.name for call in after if call.is_tokens or (call.has_positions and not call.is_square)]
    if goes_on:
        raise PrunescopeError(
            f"after {calls[last].name}, the last layer with rows and columns, the network goes on with positions in "
            f"another form ({goes_on[-1]}): name a layer yourself, or choose a method for pixels, such as gradient"
        )
    return calls[last].name


def _is_usable(call: _Finished, calls: list[_Finished]) -> bool:
    once = sum(other.name == call.name for other in calls) == 1
    return call.has_positions and once and not isinstance(call.module, _POOLED)


def _named(network: nn.Module, layer: str, calls: list[_Finished]) -> str:
    with_positions = list(dict.fromkeys(call.name for call in calls if _is_usable(call, calls)))
    known = (
        f"layers that have positions: {_ends(with_positions)}" if with_positions else "no layer has positions"
    )
    of_it = [call for call in calls if call.name == layer]
    if not of_it:
        if layer in dict(network.named_modules()):
            raise PrunescopeError(f"{layer} is not used when the network looks at an image; {known}")
        raise PrunescopeError(
            f"no layer {layer!r} in the network{did_you_mean(layer, with_positions)}; {known}"
        )
    if len(of_it) > 1:
        raise PrunescopeError(
            f"{layer} is used {len(of_it)} times for an image, so that it has no one map; name the module around one "
            f"of these uses, or another; {known}"
        )
    if not of_it[0].has_positions:
        shape = of_it[0].shape
        puts_out = "no single tensor" if shape is None else " x ".join(str(size) for size in shape[1:])
        raise PrunescopeError(
            f"{layer} has no positions, since it puts out {puts_out} for an image, expected channels x height x "
            f"width; {known}"
        )
    return layer


def _ends(names: list[str]) -> str:
    """Return the last few of many names: the ones nearest to the logits."""
    return ("…, " if len(names) > 5 else "") + ", ".join(names[-5:])
