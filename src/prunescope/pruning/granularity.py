"""What goes as one: a weight, a filter, a connection, a kernel. Each is a choice of dimensions that go together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from prunescope.networks.layers import Layer
from prunescope.registry import Registry


@dataclass(frozen=True)
class Granularity:
    """The groups of weights that are kept or removed together.

    A group is W[o, c, y, x] for "weight", W[o] for "filter", W[:, c] for "connection", W[o, c] for "kernel". For "n:m"
    it is one weight too, but of every m consecutive inputs the same number goes (`pruning.blocks`).

    Attributes:
        several: what several groups are called.
        together: the dimensions of a convolution's weight (out, in, height, width) that one group spans.
        shrinks: whether what is removed can be taken out of the tensors, as whole channels or inputs.
        removes_channels: whether removing a group removes an output channel of the layer.
        grouped: whether grouped and depthwise convolutions can be pruned so.
    """

    name: str
    several: str
    together: tuple[int, ...]
    shrinks: bool = False
    removes_channels: bool = False
    grouped: bool = True

    def reduce(self, elements: torch.Tensor) -> torch.Tensor:
        """Sum over each group: (out, in, h, w) to the same shape with 1 in the dimensions that go together."""
        dims = [dim for dim in self.together if dim < elements.ndim]
        return elements.sum(dims, keepdim=True) if dims else elements

    def shape(self, layer: Layer) -> tuple[int, ...]:
        """Return the shape of a layer's groups, which broadcasts to that of its weight."""
        return tuple(1 if dim in self.together else size for dim, size in enumerate(layer.weight_shape))

    def nothing_leaves(self) -> str:
        """Return why what is removed so cannot be taken out of the tensors, for groups that do not shrink them."""
        return f"{self.several} leave no channel to take out"

    def why_not(self, layer: Layer) -> str | None:
        """Return why `layer` cannot be pruned so, if it cannot."""
        if layer.groups > 1 and not self.grouped:
            return "a grouped convolution, whose inputs belong to different outputs"
        if not self.removes_channels and layer.standardises:
            return "its weights are standardised before they are used, so that one set to 0 is not 0 there"
        return None


GRANULARITIES: Registry[Granularity] = Registry("granularity")

_define: Callable[[Granularity], Granularity] = lambda g: GRANULARITIES.register(g.name)(g)  # noqa: E731
WEIGHT = _define(Granularity("weight", "single weights", together=()))
FILTER = _define(Granularity("filter", "filters", together=(1, 2, 3), shrinks=True, removes_channels=True))
CONNECTION = _define(
    Granularity("connection", "connections", together=(0, 2, 3), shrinks=True, grouped=False)
)
KERNEL = _define(Granularity("kernel", "kernels", together=(2, 3)))
N_OF_M = _define(Granularity("n:m", "single weights", together=(), grouped=False))
