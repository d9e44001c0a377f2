"""What a score is: what it has to be given, and a function from that to a number for every group of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import nn

from prunescope.errors import PrunescopeError, some
from prunescope.networks.channels import ChannelMap, map_channels
from prunescope.networks.layers import Layer
from prunescope.pruning.calibration import Calibration
from prunescope.pruning.granularity import Granularity
from prunescope.pruning.masks import Mask
from prunescope.registry import Registry

Needs = Literal["weights", "calibration", "accuracy"]
Evaluate = Callable[[nn.Module], float]


@dataclass(frozen=True)
class ScoreRequest:
    """What a score may look at. It leaves the network as it found it.

    Attributes:
        network: as it stands; what was removed before is 0.
        layers: those to score, by name.
        generator: the only source of randomness, on the CPU.
        calibration: labelled images for scores that need them (`Score.needs`).
        evaluate: from a network to its accuracy on images that choices are made on, likewise.
        removed: layer to the groups, bool, that are gone already; a score need not look at them.
        without: from a layer and the flat number of one of its groups to the mask that removes this group alone,
            with all that goes with it (tied filters, batch norm, bias).
        followed: where the network's channels go, where that is known already.
    """

    network: nn.Module
    layers: Mapping[str, Layer]
    granularity: Granularity
    generator: torch.Generator
    calibration: Calibration | None = None
    evaluate: Evaluate | None = None
    removed: Mapping[str, torch.Tensor] = field(default_factory=dict)
    without: Callable[[str, int], Mask] | None = None
    followed: ChannelMap | None = None

    @cached_property
    def channels(self) -> ChannelMap:
        """Where the network's channels go: as they were followed already, or followed now."""
        return self.followed or map_channels(self.network)

    def over_weights(self, elements: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
        """Apply `elements` to the weight of every layer and sum over each group."""
        return self.summed({name: elements(self.weight(name)) for name in self.layers})

    def summed(self, elements: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Sum over each group what was said of every weight: layer to a tensor of the shape of its weight."""
        return {name: self.granularity.reduce(values) for name, values in elements.items()}

    def weight(self, layer: str) -> torch.Tensor:
        """Return the weight of a layer, not to be changed, without its gradients and in float32 at least."""
        weight = self.layers[layer].module.weight.detach()
        return weight.to(torch.promote_types(weight.dtype, torch.float32)).contiguous()


@dataclass(frozen=True)
class Score:
    """One way to say how important groups are.

    Attributes:
        compute: from a request to layer to scores, of the shape of the layer's groups (`Granularity.shape`).
        needs: "weights" alone, a "calibration" set of labelled images, or "accuracy" on images to choose by.
        granularities: those for which it makes sense; None: all.
        because: why it does not for others, as the end of a sentence.
        comparable: whether scores of different layers are on one scale as they are, so that in global scope
            they are not divided by their layer's mean.
        steps: on how many rungs towards the rate it is computed anew, unless the caller says so.
    """

    name: str
    compute: Callable[[ScoreRequest], dict[str, torch.Tensor]]
    needs: Needs = "weights"
    granularities: frozenset[str] | None = None
    because: str = ""
    comparable: bool = False
    steps: int = 1

    def check(self, granularity: Granularity) -> None:
        """Raise `PrunescopeError` if it makes no sense for groups of this kind."""
        if self.granularities is not None and granularity.name not in self.granularities:
            raise PrunescopeError(
                f"{self.name} cannot score by {granularity.name}: {self.because}; it scores by "
                f"{some(sorted(self.granularities))}"
            )

    def __call__(self, request: ScoreRequest) -> dict[str, torch.Tensor]:
        """Return the scores, layer to a tensor of the shape of its groups that nothing else holds.

        Raises:
            PrunescopeError: what the score needs is not given.
        """
        self.check(request.granularity)
        if self.needs == "calibration" and request.calibration is None:
            raise PrunescopeError(
                f"{self.name} looks at labelled images: give calibration=ps.Calibration(inputs, labels); in a study "
                "they are drawn from images.train"
            )
        if self.needs == "accuracy" and request.evaluate is None:
            raise PrunescopeError(
                f"{self.name} asks for the accuracy without each group: give evaluate, a function from a network to "
                "its accuracy"
            )
        weights = {layer.module.weight.untyped_storage().data_ptr() for layer in request.layers.values()}
        return {  # none the network's own weight, since selection changes scores in place
            name: scores.clone() if scores.untyped_storage().data_ptr() in weights else scores
            for name, scores in self.compute(request).items()
        }


SCORES: Registry[Score] = Registry("score")


def score(
    name: str,
    *,
    needs: Needs = "weights",
    granularities: tuple[str, ...] | None = None,
    because: str = "",
    comparable: bool = False,
    steps: int = 1,
) -> Callable[[Callable[[ScoreRequest], dict[str, torch.Tensor]]], Score]:
    """Return a decorator that makes a function a score and files it under `name`."""

    def register(compute: Callable[[ScoreRequest], dict[str, torch.Tensor]]) -> Score:
        which = None if granularities is None else frozenset(granularities)
        return SCORES.register(name)(Score(name, compute, needs, which, because, comparable, steps))

    return register
