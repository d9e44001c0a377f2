"""The families of networks that `open_network` knows: torchvision's, timm's, and the embedded one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.networks import sprig
from prunescope.networks.network import FAMILIES, Family
from prunescope.networks.operators import torchvision
from prunescope.networks.preprocess import Preprocess
from prunescope.networks.timm_family import Timm

_TRANSFORMING = {"googlenet", "inception_v3"}  # trained with other values of mean and std than they are given


class Torchvision(Family):
    """`torchvision/<any classification network>`."""

    def names(self) -> list[str]:
        """Return the classification networks of the installed torchvision."""
        return list(torchvision.models.list_models(module=torchvision.models))

    def build(self, name: str, classes: int | None, options: Mapping[str, Any], trained: bool) -> nn.Module:
        """Build the architecture; GoogLeNet and Inception skip their slow initialisation if `trained`."""
        options = dict(options)
        if classes is not None:
            options["num_classes"] = classes
        if name in _TRANSFORMING:
            options.setdefault("init_weights", not trained)
        try:
            network: nn.Module = torchvision.models.get_model(name, weights=None, **options)
        except TypeError as error:
            raise PrunescopeError(f"torchvision/{name} cannot be built with {options}: {error}") from error
        return network

    def weights(self, name: str, weights: str) -> Path:
        """Return torch hub's copy of published weights, downloaded if it is not there yet."""
        known = torchvision.models.get_model_weights(name)
        if weights not in known.__members__:
            raise PrunescopeError(
                f"no weights {weights!r} for torchvision/{name}{did_you_mean(weights, known.__members__)}; "
                f"known: {', '.join(known.__members__)}, or a checkpoint file"
            )
        entry = known[weights]
        path = Path(torch.hub.get_dir(), "checkpoints", _file_name(entry))
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                torch.hub.download_url_to_file(entry.url, str(path), progress=False)
            except OSError as error:
                raise PrunescopeError(
                    f"the weights of torchvision/{name} could not be downloaded from {entry.url} ({error}): fetch "
                    f"that file elsewhere and put it at {path}, or give its path as weights"
                ) from error
        return path

    def published(self, name: str, file: str) -> tuple[Preprocess, dict[str, Any]]:
        """Return what torchvision's own function would set for these weights."""
        for entry in torchvision.models.get_model_weights(name):
            if _file_name(entry) == Path(file).name:
                options = {"transform_input": True} if name in _TRANSFORMING else {}
                return _from_transforms(entry.transforms()), options
        return self.preprocess(name), {}

    def preprocess(self, name: str) -> Preprocess:
        """Return the preprocessing of the architecture's default weights."""
        return _from_transforms(torchvision.models.get_model_weights(name).DEFAULT.transforms())


def _file_name(entry: Any) -> str:
    return Path(urlparse(entry.url).path).name


def _from_transforms(transforms: Any) -> Preprocess:
    return Preprocess(
        resize=transforms.resize_size[0],
        crop=transforms.crop_size[0],
        interpolation=transforms.interpolation.value,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )


class Embedded(Family):
    """`prunescope/sprig`, with its weights `SCENES_V1`."""

    def names(self) -> list[str]:
        """Return the embedded networks."""
        return ["sprig"]

    def build(self, name: str, classes: int | None, options: Mapping[str, Any], trained: bool) -> nn.Module:
        """Build the network; it takes no options."""
        if options:
            raise PrunescopeError(f"prunescope/{name} takes no options, got {dict(options)}")
        return sprig.Sprig(classes or 12)

    def weights(self, name: str, weights: str) -> Path:
        """Return the embedded weights, trained on `scenes`."""
        if weights not in {"SCENES_V1", "DEFAULT"}:
            raise PrunescopeError(f"no weights {weights!r} for prunescope/{name}; known: SCENES_V1")
        with resources.as_file(resources.files("prunescope.networks") / "sprig_scenes.safetensors") as path:
            return path

    def preprocess(self, name: str) -> Preprocess:
        """Return what the embedded network expects."""
        return sprig.INPUT


FAMILIES.register("torchvision")(Torchvision())
FAMILIES.register("timm")(Timm())
FAMILIES.register("prunescope")(Embedded())
