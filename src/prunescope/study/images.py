"""The images of one study: which of them train, validate and test, and their decoded pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prunescope.errors import PrunescopeError
from prunescope.images.cache import Pixels, cached
from prunescope.images.source import ImageSet, open_images, require_labels, same_classes
from prunescope.images.split import Indices, limited, split
from prunescope.networks.preprocess import Preprocess
from prunescope.study.document import about
from prunescope.study.settings import ImagesSettings
from prunescope.training.evaluation import LabelledPixels

Part = Literal["train", "validate", "test"]


class StudyImages:
    """Opens the sources of a study once; decodes when pixels are first asked for."""

    def __init__(
        self,
        settings: ImagesSettings,
        data: Path | None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.settings, self.progress = settings, progress
        self._decoded: dict[tuple[str, int | None, str], Pixels] = {}
        with about("images", "test"):
            self.test = self._open(settings.test, "test", settings.limit.test, data)
        self.train: ImageSet | None = None
        self.own_validate: ImageSet | None = None
        if settings.train is not None:
            with about("images", "train"):
                self.train = self._open(settings.train, "train", settings.limit.train, data)
                same_classes(self.train, self.test)
        if isinstance(settings.validate_, str):
            with about("images", "validate"):
                self.own_validate = self._open(settings.validate_, "train", None, data)
                same_classes(self.own_validate, self.test)

    @cached_property
    def fingerprint(self) -> dict[Part, Any]:
        """What decides the images of each part, as JSON."""
        part = {"fraction": self.settings.validate_, "seed": self.settings.split_seed}
        whole = self.train.fingerprint if self.train else None
        train = {"images": whole} if self.own_validate else {"images": whole, "without": part}
        validate = (
            {"images": self.own_validate.fingerprint}
            if self.own_validate
            else {"images": whole, "only": part}
        )
        test = {"images": self.test.fingerprint}
        return {
            "train": train,
            "validate": test if self.settings.select_on == "test" else validate,
            "test": test,
        }

    @cached_property
    def counts(self) -> dict[Part, int]:
        """How many images each part has."""
        train, validate = self._indices
        own = len(self.own_validate) if self.own_validate else len(validate)
        return {"train": len(train), "validate": own, "test": len(self.test)}

    def available(self, part: Part) -> int:
        """Return how many images there are for what looks at a part; with `select_on: test`, validate is test."""
        return len(self._part(part)[1])

    def labelled(self, part: Part, preprocess: Preprocess) -> LabelledPixels:
        """Return the pixels of a part at the size that a network's preprocessing asks for."""
        chosen, indices = self._part(part)
        return LabelledPixels(self._pixels(chosen, preprocess), chosen.labels, indices)

    @cached_property
    def _indices(self) -> tuple[Indices, Indices]:
        if self.train is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        everything = np.arange(len(self.train))
        if isinstance(self.settings.validate_, str):
            return everything, np.empty(0, np.int64)
        return split(self.train.labels, self.settings.validate_, self.settings.split_seed)

    def _part(self, part: Part) -> tuple[ImageSet, Indices]:
        if part == "test" or (part == "validate" and self.settings.select_on == "test"):
            return self.test, np.arange(len(self.test))
        if part == "validate" and self.own_validate:
            return self.own_validate, np.arange(len(self.own_validate))
        if self.train is None:
            raise PrunescopeError(f"images of {part} are needed, and the study has none: give images.train")
        return self.train, self._indices[0 if part == "train" else 1]

    def _pixels(self, images: ImageSet, preprocess: Preprocess) -> Pixels:
        key = images.fingerprint, preprocess.resize, preprocess.interpolation
        if key not in self._decoded:
            self._decoded[key] = cached(
                images, preprocess.resize, preprocess.interpolation, progress=self.progress
            )
        return self._decoded[key]

    def _open(
        self, source: str, role: Literal["train", "test"], limit: int | None, data: Path | None
    ) -> ImageSet:
        images = open_images(source, role, data)
        require_labels(images, "a study")
        return limited(images, limit, self.settings.split_seed)
