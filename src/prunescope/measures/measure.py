"""What a measure is: settings, an integer version, and a function from a network and images to tidy tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from prunescope.registry import Registry

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from prunescope.pruning.masks import Mask
    from prunescope.training.evaluation import LabelledPixels

Tables = dict[str, "pd.DataFrame"]
Progress = Callable[[int, int], None]


class MeasureSettings(BaseModel):
    """Base of every measure's settings: frozen, unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Subject:
    """What a measure looks at.

    Attributes:
        images: the test images, decoded for this network's preprocessing.
        classes: their names, in the order of the network's outputs.
        names: the identity of each image.
        mask: what was pruned; None for a dense network.
    """

    network: nn.Module
    images: LabelledPixels
    classes: tuple[str, ...]
    names: tuple[str, ...]
    mask: Mask | None
    progress: Progress = lambda done, total: None


@dataclass(frozen=True)
class Measure:
    """One measure. A change that changes its numbers raises `version`, so that old results are not re-used.

    Attributes:
        run: returns tables by name (`scores`, `layers`, …), without the columns that name the network.
        looks_at_images: if not, no image is decoded for it, and other images are no reason to do it again.
    """

    name: str
    version: int
    settings: type[MeasureSettings]
    run: Callable[[Subject, Any], Mapping[str, pd.DataFrame]]
    looks_at_images: bool = True


MEASURES: Registry[Measure] = Registry("measure")
