"""Gradual pruning: the rate rises along a cubic while the network trains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from prunescope.errors import PrunescopeError
from prunescope.pruning.allocation import given_rates
from prunescope.pruning.masks import Held, Mask
from prunescope.pruning.prune import Pruning, Rate
from prunescope.training.settings import Settings
from prunescope.training.state import TrainingState


class GradualSettings(Settings):
    """When gradual pruning prunes."""

    begin: float = Field(0, ge=0, description="Epochs of training before the rate begins to rise.")
    end: float | None = Field(
        None, gt=0, description="Epochs after which all is removed; null: two thirds of the training."
    )
    every: int = Field(100, ge=1, description="Steps from one pruning to the next.")

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.end is not None and self.end <= self.begin:
            raise ValueError(
                f"gradual pruning ends at epoch {self.end:g}, before it begins at {self.begin:g}"
            )
        return self


class Ramp:
    """Prunes before the steps of a training that are due, each time a little more, and holds what is left.

    The rate rises from what `held` has lost to `rate`: after t of n prunings it is
    s_f + (s_0 - s_f) (1 - t / n)³. Give it to `train` as `before_step`.

    *Source:* Zhu & Gupta 2017 (arXiv 1710.01878), equation 1.
    *Differs:* the last pruning is at the end asked for, also where `every` does not divide the time until then.

    Attributes:
        begin: step from which the rate rises.
        end: step before which the last pruning takes place.
        due: the steps before which there is one, ascending.
    """

    def __init__(
        self,
        pruning: Pruning,
        held: Held,
        rate: Rate,
        settings: GradualSettings,
        *,
        per_epoch: int,
        steps: int,
    ) -> None:
        """Plan the prunings of a training of `steps` steps, `per_epoch` an epoch.

        Raises:
            PrunescopeError: the training ends before the ramp does, or the granularity has steps of its own (n:m).
        """
        if pruning.granularity.name == "n:m":
            raise PrunescopeError(
                "n:m removes multiples of 1/m, and cannot rise gradually: prune in rounds instead"
            )
        self.pruning, self.held = pruning, held
        self.begin, self.end = span(settings, per_epoch, steps)
        self.due = [*range(self.begin + settings.every, self.end, settings.every), self.end]
        self.goal = given_rates(rate, pruning.layers) if isinstance(rate, Mapping) else {"": rate}
        self.origin = {
            layer: self._share_gone([layer] if layer else list(pruning.layers)) for layer in self.goal
        }
        self._done = -1  # the last step that it was told of

    def __call__(self, step: int) -> None:
        """Prune, if that is due before the step after `step` steps."""
        if any(self._done < due <= step for due in self.due):
            self.held.change(self.pruning.at(self.rate_at(step), previous=self.held.mask))
        self._done = step

    @property
    def settled(self) -> int:
        """The steps after which all is removed: the first at which early stopping may choose (`choose_from`)."""
        return self.end + 1

    def rate_at(self, step: int) -> Rate:
        """Return the rate that holds in the step after `step` steps, or that of each layer."""
        last = max((due for due in self.due if due <= step), default=self.begin)
        left = (1 - (last - self.begin) / (self.end - self.begin)) ** 3 if last < self.end else 0.0
        rates = {layer: goal + (self.origin[layer] - goal) * left for layer, goal in self.goal.items()}
        return rates.get("", rates)

    def resume(self, state: TrainingState) -> None:
        """Go on from a state that was kept with its mask."""
        if state.mask is not None:
            self.held.change(state.mask)
        self._done = state.step - 1

    def _share_gone(self, layers: list[str]) -> float:
        """Return the fraction of the groups of some layers that the mask before the training removed."""
        mask = self.held.mask or Mask({}, self.pruning.granularity.name)
        gone = {layer: mask.removed(layer) for layer in layers if f"{layer}.weight" in mask.keep}
        groups = sum(
            math.prod(self.pruning.granularity.shape(self.pruning.layers[layer])) for layer in layers
        )
        return sum(int(removed.sum()) for removed in gone.values()) / groups


def span(settings: GradualSettings, per_epoch: int, steps: int) -> tuple[int, int]:
    """Return the first and the last step of the ramp in a training; one step at least follows it.

    Raises:
        PrunescopeError: the training ends before the ramp does.
    """
    end = steps / per_epoch * 2 / 3 if settings.end is None else settings.end
    if not settings.begin < end <= steps / per_epoch:
        raise PrunescopeError(
            f"gradual pruning from epoch {settings.begin:g} to {end:g} does not fit into a training of "
            f"{steps / per_epoch:g} epochs"
        )
    last = min(round(end * per_epoch), steps - 1)
    return min(round(settings.begin * per_epoch), last), last
