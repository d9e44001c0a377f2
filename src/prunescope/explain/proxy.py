"""A proxy for people in study C's second experiment: an independent network names what a picture shows.

People who see only an explanation map say which of the classes it is. A network that had no part in making
the map can be asked the same. What it answers says what can be recognised by that network, not by people.

*Source:* Merkle et al., arXiv 2302.08878, experiment 2, which asked people.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.explain.top import places
from prunescope.images.augment import Images, centre_crops
from prunescope.images.decode import resize_short_side
from prunescope.networks.identity import source_digest, weights_digest
from prunescope.networks.network import (
    device_of,
    evaluating,
    example_input,
    is_file_name,
    logits_of,
    open_network,
    origin_of,
    preprocess_of,
)
from prunescope.networks.preprocess import Preprocess
from prunescope.probe.tie_keys import tie_keys
from prunescope.training.evaluation import memory_order

VERSION = 1  # raise it when pictures are brought to the proxy in another way


class ProxySettings(BaseModel):
    """An independent network that names the class of pictures, in place of people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str = Field(
        description="torchvision/<network>, timm/<network>, package.module:function, or a saved file."
    )
    weights: str | None = Field(None, description="A checkpoint file or published weights (IMAGENET1K_V1).")
    options: dict[str, Any] = Field(
        {}, description="Keyword arguments for the function that builds the network."
    )
    preprocess: Preprocess | None = Field(
        None,
        description="What differs from the preprocessing that the network brings along. Unless resize is given, the "
        "whole picture is scaled to its input: nothing is cut off.",
    )
    outputs: tuple[int, ...] | None = Field(
        None, description="Which output of the network is each class; null: its outputs are the classes."
    )
    batch: int = Field(64, ge=1, description="Pictures that it names at once.")


class Proxy:
    """An opened proxy. Its weights are those of its settings, whatever is pruned.

    Args:
        network: in eval mode; carries its `preprocess`.
        outputs: (classes,) the network's output that stands for each class.
        batch: pictures named at once.
    """

    def __init__(self, network: nn.Module, outputs: Sequence[int], batch: int = 64) -> None:
        self.network, self.outputs, self.batch = network, tuple(outputs), batch

    def identity(self) -> dict[str, Any]:
        """Return what decides its answers, as JSON: architecture, weights, preprocessing, outputs."""
        origin = origin_of(self.network)
        identity = {
            "version": VERSION,
            **origin.model_dump(mode="json"),
            "weights": weights_digest(self.network),
            "preprocess": preprocess_of(self.network).model_dump(mode="json"),
            "outputs": list(self.outputs),
        }
        return identity | ({"source": source_digest(origin.name)} if ":" in origin.name else {})

    def name_classes(self, pictures: Images) -> NDArray[np.int64]:
        """Return the class that the proxy names for each picture: the largest of the outputs that are classes.

        Args:
            pictures: (pictures, height, width, 3) uint8 RGB; of any size, they are scaled and cut to the proxy's.

        Returns:
            (pictures,) int64, index into the study's classes.

        Raises:
            PrunescopeError: an output is not finite.
        """
        network, preprocess = self.network, preprocess_of(self.network)
        outputs, named = list(self.outputs), []
        with evaluating(network), memory_order(network, channels_last=True):
            for start in range(0, len(pictures), self.batch):
                some = [_fitted(picture, preprocess) for picture in pictures[start : start + self.batch]]
                pixels = torch.from_numpy(centre_crops(some, preprocess.crop)).permute(0, 3, 1, 2)
                logits = logits_of(network(preprocess.normalise(pixels.to(device_of(network)))))[:, outputs]
                if not logits.isfinite().all():
                    raise PrunescopeError(
                        f"the proxy {origin_of(network).name} puts out values that are not finite: "
                        "choose other weights, or another network"
                    )
                named.append(logits.argmax(1).cpu())
        return torch.cat(named).numpy() if named else np.empty(0, np.int64)


def open_proxy(settings: ProxySettings, classes: Sequence[str], data: Path | None = None) -> Proxy:
    """Open a proxy for a study's classes.

    Args:
        settings: which network, and which of its outputs are the classes.
        classes: names of the study's classes.
        data: the folder that relative paths of weights start from.

    Raises:
        PrunescopeError: an unknown network, weights that are missing or do not fit, outputs that do not fit.
    """
    name = settings.network
    if settings.weights is None and not is_file_name(name) and ":" not in name:
        raise PrunescopeError(
            f"the proxy {name} has no weights, and an untrained network recognises nothing: give proxy.weights"
        )
    network = open_network(name, settings.weights, options=settings.options, data=data)
    network.preprocess = _preprocess(settings, network)  # type: ignore[assignment]
    with evaluating(network):
        width = logits_of(network(example_input(network))).shape[1]
    return Proxy(network, _outputs(settings, width, classes), settings.batch)


def random_tops(
    n: int, height: int, width: int, share: float, names: Sequence[str], seed: int
) -> NDArray[np.bool_]:
    """Choose pixels at random, as many as an explanation map shows: what a proxy knows without explanation.

    Args:
        n: images.
        height: in pixels.
        width: in pixels.
        share: of the pixels of each image, rounded up.
        names: (n,) identity of each image, which decides its pixels together with `seed`.
        seed: what the draw depends on.

    Returns:
        (n, height, width) bool, the same number of pixels in each image.
    """
    chosen = np.zeros((n, height * width), dtype=np.bool_)
    count = places(share, height * width)
    for pixels, key in zip(chosen, tie_keys(names, seed).tolist(), strict=True):
        order = np.random.default_rng((key, 1))  # not the order in which `top` takes equal values
        pixels[order.permutation(height * width)[:count]] = True
    return chosen.reshape(n, height, width)


def _preprocess(settings: ProxySettings, network: nn.Module) -> Preprocess:
    own, given = preprocess_of(network), settings.preprocess
    changes = {} if given is None else given.model_dump(include=given.model_fields_set)
    chosen = own.model_copy(update=changes)
    return chosen if "resize" in changes else chosen.model_copy(update={"resize": chosen.crop})


def _outputs(settings: ProxySettings, width: int, classes: Sequence[str]) -> Sequence[int]:
    """Return which output stands for each class, checked."""
    name, given = settings.network, settings.outputs
    if given is None:
        if width != len(classes):
            raise PrunescopeError(
                f"the proxy {name} has {width} outputs, the images {len(classes)} classes: say with proxy.outputs "
                "which output is each class, in the order of the classes"
            )
        return range(width)
    if len(given) != len(classes):
        raise PrunescopeError(
            f"proxy.outputs names {len(given)} outputs, and there are {len(classes)} classes: give one for each "
            f"class, in their order: {', '.join(classes)}"
        )
    if wrong := [output for output in given if not 0 <= output < width]:
        raise PrunescopeError(
            f"the proxy {name} has no output {wrong[0]}: proxy.outputs must lie between 0 and {width - 1}"
        )
    if twice := [output for number, output in enumerate(given) if output in given[:number]]:
        raise PrunescopeError(
            f"proxy.outputs names {twice[0]} twice, so that two classes could never be told apart: "
            "give each class an output of its own"
        )
    return given


def _fitted(picture: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.uint8]:
    """Scale a picture to the short side that the proxy expects."""
    if preprocess.resize is None:
        return picture
    return resize_short_side(picture, preprocess.resize, preprocess.interpolation)
