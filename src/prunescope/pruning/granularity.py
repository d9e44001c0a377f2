"""What is removed as one: a weight, a filter, a connection. Each is a choice of the dimensions that go together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from prunescope.networks.layers import Layer
from prunescope.registry import Registry


@dataclass(frozen=True)
class Granularity:
    """The groups of weights that are kept or removed together.

    Attributes:
        together: the dimensions of a convolution's weight (out, in, height, width) that one group spans.
        removes_channels: whether removing a group removes an output channel of the layer.
        grouped: whether grouped and depthwise convolutions can be pruned so.
    """

    name: str
    together: tuple[int, ...]
    removes_channels: bool = False
    grouped: bool = True

    def reduce(self, elements: torch.Tensor) -> torch.Tensor:
        """Sum over each group: (out, in, h, w) to the same shape with 1 in the dimensions that go together."""
        dims = [dim for dim in self.together if dim < elements.ndim]
        return elements.sum(dims, keepdim=True) if dims else elements

    def shape(self, layer: Layer) -> tuple[int, ...]:
        """Return the shape of a layer's groups, which broadcasts to that of its weight."""
        return tuple(1 if dim in self.together else size for dim, size in enumerate(layer.weight_shape))

    def why_not(self, layer: Layer) -> str | None:
        """Return why `layer` cannot be pruned so, if it cannot."""
        if layer.groups > 1 and not self.grouped:
            return "a grouped convolution, whose inputs belong to different outputs"
        return None


GRANULARITIES: Registry[Granularity] = Registry("granularity")

_define: Callable[[Granularity], Granularity] = lambda g: GRANULARITIES.register(g.name)(g)  # noqa: E731
WEIGHT = _define(Granularity("weight", together=()))
FILTER = _define(Granularity("filter", together=(1, 2, 3), removes_channels=True))
CONNECTION = _define(Granularity("connection", together=(0, 2, 3), grouped=False))
