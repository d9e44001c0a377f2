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
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from torch import nn

    from prunescope.images.source import ImageSet
    from prunescope.pruning.masks import Mask
    from prunescope.training.evaluation import LabelledPixels

Tables = dict[str, "pd.DataFrame"]
Compare = Callable[
    [Mapping[str, "pd.DataFrame"], Any, "ImageSet", "Path | None"], Mapping[str, "pd.DataFrame"]
]
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
        chosen: (images,) positions among the test images, for a measure that looks at networks `Together`.
        reference: for such a measure, the folder of its result for the dense network of the same seed; None for
            that network itself.
        folder: where such a measure keeps files beside its tables.
    """

    network: nn.Module
    images: LabelledPixels
    test: ImageSet
    mask: Mask | None = None
    data: Path | None = None
    progress: Progress = lambda done, total: None
    dense: Callable[[], nn.Module] | None = None
    chosen: NDArray[np.int64] | None = None
    reference: Path | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class Together:
    """How a measure looks at the same images with all networks of a study, chosen once the networks are there.

    Attributes:
        covers: from settings and a network's columns in the table `networks`, with `final` (whether its series
            ends in it), to whether it is looked at. Dense networks always are.
        asks_networks: from settings to whether the choice depends on what the networks say of the images.
        choose: from settings, test images and, if asked, (images,) predictions by network, to (chosen,) positions
            among the test images.
    """

    covers: Callable[[Any, Mapping[str, Any]], bool]
    asks_networks: Callable[[Any], bool]
    choose: Callable[[Any, ImageSet, Mapping[str, NDArray[np.int64]]], NDArray[np.int64]]


@dataclass(frozen=True)
class Measure:
    """One measure. A change that changes its numbers raises `version`, so that old results are not re-used.

    Attributes:
        run: from a subject and settings to tables by name (`scores`, `layers`, …), without the columns that
            name the network; None where all is said by `compare`.
        looks_at_images: if not, no image is decoded for it, and other images are no reason to do it again.
        inputs: from settings, test images and data folder to what else decides the result, as JSON: weights
            of a similarity, images of its own. It is called when a study is planned, so what is missing or
            does not fit is said before any work.
        check: raises PrunescopeError if the settings do not fit the network; called when a study is planned.
        compare: from the tables of all networks of a study, settings, test images and data folder to further
            tables, which need more than one network.
        needs: measures whose tables it reads; a study that does not name them does them with their defaults.
        together: if it looks at the same images with all networks, how those are chosen.
        pictures: from settings, test images and data folder to the images that the table `examples` names.
    """

    name: str
    version: int
    settings: type[MeasureSettings]
    run: Callable[[Subject, Any], Mapping[str, pd.DataFrame]] | None
    looks_at_images: bool = True
    inputs: Callable[[Any, ImageSet, Path | None], dict[str, Any]] = lambda settings, test, data: {}
    check: Callable[[Any, nn.Module], object] = lambda settings, network: None
    compare: Compare = lambda tables, settings, test, data: {}
    needs: tuple[str, ...] = ()
    together: Together | None = None
    pictures: Callable[[Any, ImageSet, Path | None], ImageSet] | None = None


def refuse(settings: Mapping[str, Any], *names: str) -> None:
    """Refuse settings that only a study can follow.

    Raises:
        PrunescopeError: one of the names is given.
    """
    if given := [name for name in names if name in settings]:
        raise PrunescopeError(f"{given[0]} is a setting of studies only: leave it out here")


MEASURES: Registry[Measure] = Registry("measure")
