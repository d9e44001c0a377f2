"""What a measure is: settings, an integer version, and a function from a network and images to tidy tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from prunescope.registry import Registry

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from prunescope.images.source import ImageSet
    from prunescope.pruning.masks import Mask
    from prunescope.training.evaluation import LabelledPixels

Tables = dict[str, "pd.DataFrame"]
Progress = Callable[[int, int], None]


class MeasureSettings(BaseModel):
    """Base of every measure's settings: frozen, unknown fields are errors.

    Attributes:
        places: fields that say where something lies. They are no part of what decides a result: what lies
            there is (`Measure.inputs`).
    """

    places: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Subject:
    """What a measure looks at.

    Attributes:
        images: the test images, decoded for this network's preprocessing.
        test: the same images as their source gives them: names, classes, fingerprint.
        mask: what was pruned; None for a dense network.
        data: the folder that relative paths in settings start from.
    """

    network: nn.Module
    images: LabelledPixels
    test: ImageSet
    mask: Mask | None = None
    data: Path | None = None
    progress: Progress = lambda done, total: None


@dataclass(frozen=True)
class Measure:
    """One measure. A change that changes its numbers raises `version`, so that old results are not re-used.

    Attributes:
        run: from a subject and settings to tables by name (`scores`, `layers`, …), without the columns that
            name the network.
        looks_at_images: if not, no image is decoded for it, and other images are no reason to do it again.
        inputs: from settings, test images and data folder to what else decides the result, as JSON: weights
            of a similarity, images of its own. It is called when a study is planned, so what is missing or
            does not fit is said before any work.
        compare: from the tables of all networks of a study to further tables, which need more than one network.
        pictures: from settings, test images and data folder to the images that the table `examples` names.
    """

    name: str
    version: int
    settings: type[MeasureSettings]
    run: Callable[[Subject, Any], Mapping[str, pd.DataFrame]]
    looks_at_images: bool = True
    inputs: Callable[[Any, ImageSet, Path | None], dict[str, Any]] = lambda settings, test, data: {}
    compare: Callable[[Mapping[str, pd.DataFrame]], Mapping[str, pd.DataFrame]] = lambda tables: {}
    pictures: Callable[[Any, ImageSet, Path | None], ImageSet] | None = None


MEASURES: Registry[Measure] = Registry("measure")
