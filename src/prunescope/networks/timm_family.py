"""The networks of timm, `timm/<name>`. Its package is imported when one of them is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.networks import operators  # noqa: F401  # torchvision, which timm imports
from prunescope.networks.network import Family
from prunescope.networks.preprocess import Preprocess

_WRONG_OPTIONS = (TypeError, ValueError, RuntimeError, KeyError, AttributeError, AssertionError)


class Timm(Family):
    """`timm/<any of its networks>`: weights are named by timm's tags, `a1_in1k`.

    *Differs:* timm's tags may say that images are squashed to a square, or padded; here they are always cropped.
    """

    def available(self) -> bool:
        """Say whether timm is installed, without importing it."""
        try:
            return find_spec("timm") is not None
        except ValueError:  # sys.modules holds None for it
            return False

    def names(self) -> list[str]:
        """Return the networks of the installed timm."""
        return list(self._timm().list_models())

    def build(self, name: str, classes: int | None, options: Mapping[str, Any], trained: bool) -> nn.Module:
        """Build the architecture; `options` are arguments of `timm.create_model`."""
        options = dict(options)
        if classes is not None:
            options["num_classes"] = classes
        try:
            network: nn.Module = self._timm().create_model(name, pretrained=False, **options)
        except _WRONG_OPTIONS as error:
            raise PrunescopeError(f"timm/{name} cannot be built with {options}: {error}") from error
        return network

    def weights(self, name: str, weights: str) -> Path:
        """Return the weights of a tag, or of the `DEFAULT` one: torch hub's copy, or the Hugging Face hub's."""
        known = {tag: config.hf_hub_id for tag, config in self._configs(name).items() if config.hf_hub_id}
        tag = next(iter(self._configs(name)), "") if weights == "DEFAULT" else weights
        if tag not in known:
            offered = f"known: DEFAULT, {', '.join(known)}" if known else "timm publishes none on the hub"
            raise PrunescopeError(
                f"no weights {weights!r} for timm/{name}{did_you_mean(weights, known)}; {offered}; or give a "
                "checkpoint file"
            )
        path = Path(torch.hub.get_dir(), "checkpoints", f"{name}.{tag}.safetensors")
        return path if path.exists() else _fetched(f"timm/{name}", known[tag], path)

    def published(self, name: str, file: str) -> tuple[Preprocess, dict[str, Any]]:
        """Return the preprocessing of the weights in `file`, by its name or that of its folder on the hub."""
        places = {Path(file).stem, *Path(file).parts}
        for tag, config in self._configs(name).items():
            folder = f"models--{config.hf_hub_id}".replace("/", "--")
            if file and not places.isdisjoint({f"{name}.{tag}", folder}):
                return _preprocess(name, config), {}
        return self.preprocess(name), {}

    def preprocess(self, name: str) -> Preprocess:
        """Return the preprocessing of the architecture's default weights."""
        configs = self._configs(name)
        return _preprocess(name, next(iter(configs.values()))) if configs else Preprocess()

    def _configs(self, name: str) -> dict[str, Any]:
        """Return what timm says of each of a network's weights, by tag, the default first."""
        found = self._timm().models.get_arch_pretrained_cfgs(name)
        return {full_name.partition(".")[2]: config for full_name, config in found.items()}

    def _timm(self) -> Any:
        if not self.available():
            raise PrunescopeError('timm is not installed: pip install "prunescope[timm]"')
        return importlib.import_module("timm")


def _fetched(network: str, repository: str, path: Path) -> Path:
    """Return the hub's copy of published weights, downloaded if it is not there yet."""
    hub = importlib.import_module("huggingface_hub")  # which timm needs
    try:
        return Path(hub.hf_hub_download(repository, "model.safetensors"))
    except OSError as error:
        raise PrunescopeError(
            f"the weights of {network} could not be downloaded from https://huggingface.co/{repository} "
            f"({str(error).splitlines()[0]}): fetch its model.safetensors elsewhere and put it at {path}, or give its "
            "path as weights"
        ) from error


def _preprocess(name: str, config: Any) -> Preprocess:
    channels, height, width = config.input_size
    if channels != 3 or height != width:
        raise PrunescopeError(
            f"timm/{name} expects images of {height} x {width} pixels and {channels} channels: only squares of 3 "
            "channels can be given"
        )
    return Preprocess(
        resize=int(height / config.crop_pct),  # rounded down, as in timm
        crop=height,
        interpolation=config.interpolation,
        mean=tuple(config.mean),
        std=tuple(config.std),
    )
