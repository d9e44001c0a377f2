"""What a measure is: settings, an integer version, and a function from a network and images to tidy tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from prunescope.errors import PrunescopeError, did_you_mean
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

    @classmethod
    def chosen(cls, **given: Any) -> Self:
        """Return the settings that a caller in Python gave, with defaults.

        Raises:
            PrunescopeError: an unknown field, or a value that it does not take.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            near = did_you_mean(name, cls.model_fields)
            raise PrunescopeError(
                f"{name}: {first['msg']}{near}; known: {', '.join(cls.model_fields)}"
            ) from error


@dataclass(frozen=True)
class Subject:
    """What a measure looks at.

    Attributes:
        images: the test images, decoded for this network's preprocessing.
        test: the same images as their source gives them: names, classes, fingerprint.
        mask: what was pruned; None for a dense network.
        dense: opens the dense network that it was pruned from, where that is at hand.
        data: the folder that relative paths in settings start from.
    """

    network: nn.Module
    images: LabelledPixels
    test: ImageSet
    mask: Mask | None = None
    data: Path | None = None
    progress: Progress = lambda done, total: None
    dense: Callable[[], nn.Module] | None = None


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
        check: raises PrunescopeError if the settings do not fit the network; called when a study is planned.
        compare: from the tables of all networks of a study to further tables, which need more than one network.
        pictures: from settings, test images and data folder to the images that the table `examples` names.
    """

    name: str
    version: int
    settings: type[MeasureSettings]
    run: Callable[[Subject, Any], Mapping[str, pd.DataFrame]]
    looks_at_images: bool = True
    inputs: Callable[[Any, ImageSet, Path | None], dict[str, Any]] = lambda settings, test, data: {}
    check: Callable[[Any, nn.Module], object] = lambda settings, network: None
    compare: Callable[[Mapping[str, pd.DataFrame]], Mapping[str, pd.DataFrame]] = lambda tables: {}
    pictures: Callable[[Any, ImageSet, Path | None], ImageSet] | None = None


def refuse(settings: Mapping[str, Any], *names: str) -> None:
    """Refuse settings that only a study can follow.

    Raises:
        PrunescopeError: one of the names is given.
    """
    if given := [name for name in names if name in settings]:
        raise PrunescopeError(f"{given[0]} is a setting of studies only: leave it out here")


MEASURES: Registry[Measure] = Registry("measure")
