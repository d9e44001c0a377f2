"""Explanations of what a network says about images: maps, and what it predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from prunescope.errors import PrunescopeError, some
from prunescope.explain.attribution import Attributor
from prunescope.explain.maps import Maps
from prunescope.images.batches import Batches
from prunescope.images.cache import cached
from prunescope.images.source import ImageSet, open_images, require_labels
from prunescope.images.split import limited
from prunescope.networks.network import device_of, preprocess_of
from prunescope.training.evaluation import LabelledPixels

Progress = Callable[[int, int], None]


class Explained(NamedTuple):
    """What a network says about images, and where in them it is said.

    Attributes:
        maps: (n, h', w') float32, how much each position speaks for the target.
        targets: (n,) int64, the class that is explained of each.
        predictions: (n,) int64, the class of the largest logit.
        confidence: (n,) float64, the softmax probability of the target.
        layer: the layer that the maps are of; None: the pixels.
    """

    maps: Maps
    targets: NDArray[np.int64]
    predictions: NDArray[np.int64]
    confidence: NDArray[np.float64]
    layer: str | None


def attribute(
    network: nn.Module,
    images: ImageSet | str,
    method: str = "grad-cam",
    *,
    target: Literal["prediction", "label"] = "prediction",
    layer: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    batch: int = 32,
    data: Path | str | None = None,
    progress: Progress = lambda done, total: None,
    **options: Any,
) -> Explained:
    """Return maps of how much each position of the images speaks for a class.

    Args:
        network: carries its `preprocess`.
        images: a set, or a source such as `folder:imagenette/val`.
        method: `grad-cam`, `gradient`, `integrated-gradients`, `guided-grad-cam`, `occlusion`, `lrp`, or the name of
            another class of Captum.
        target: the class that is explained: the network's prediction, or the image's label.
        layer: of methods that attribute to a layer, such as grad-cam; None: the last one with positions.
        limit: at most so many images, balanced over the classes.
        seed: of the limit.
        batch: images explained at once.
        data: the folder that relative paths start from.
        options: of the method: `n_steps=20`, `window=32`, …

    Returns:
        The maps at the method's own resolution: `upsample` of `prunescope.explain.maps` makes them as large as the
        network's input.

    Raises:
        PrunescopeError: the method is not known or does not fit the network, Captum is not installed, a layer
            without positions, maps that are not finite.
    """
    if target not in ("prediction", "label"):
        raise PrunescopeError(f"target is {target!r}, expected 'prediction' or 'label'")
    opened = (
        open_images(images, "test", None if data is None else Path(data))
        if isinstance(images, str)
        else images
    )
    if target == "label":
        require_labels(opened, "target 'label'")
    opened = limited(opened, limit, seed)
    preprocess = preprocess_of(network)
    pixels = cached(opened, preprocess.resize, preprocess.interpolation)
    return explain_pixels(
        network,
        LabelledPixels(pixels, opened.labels, np.arange(len(opened))),
        opened.labels if target == "label" else "prediction",
        method,
        layer=layer,
        options=options,
        batch=batch,
        names=opened.names,
        progress=progress,
    )


def explain_pixels(
    network: nn.Module,
    images: LabelledPixels,
    targets: NDArray[np.int64] | Literal["prediction"],
    method: str = "grad-cam",
    *,
    layer: str | None = None,
    options: Mapping[str, Any] = {},
    batch: int = 32,
    names: Sequence[str] = (),
    progress: Progress = lambda done, total: None,
) -> Explained:
    """Explain decoded images in one pass, in float32.

    Args:
        images: decoded for the network's preprocessing.
        targets: (n,) the class to explain of each image that takes part; or each one's prediction.
        method: as for `attribute`, with `layer` and `options`.
        batch: images at a time.
        names: (n,) of the images that take part, for errors; by default their indices.
        progress: called with (images done, images in all).

    Raises:
        PrunescopeError: as for `attribute`, or a target that is no class of the network.
    """
    attributor = Attributor(network, method, layer=layer, options=options)
    preprocess, device = preprocess_of(network), device_of(network)
    batches = Batches(images.pixels, images.labels, images.indices, crop=preprocess.crop, size=batch)
    wanted = None if isinstance(targets, str) else _wanted(targets, len(images))
    maps, logits, done = [], [], 0
    for taken in batches:
        inputs = preprocess.normalise(taken.images.to(device, non_blocking=True))
        part = slice(done, done + len(inputs))
        found, answered = attributor.explain(inputs, None if wanted is None else wanted[part])
        maps.append(found)
        logits.append(answered)
        done = part.stop
        progress(done, len(images))
    return _explained(attributor, torch.cat(maps), torch.cat(logits), wanted, names or images.indices)


def _wanted(targets: NDArray[np.int64], images: int) -> torch.Tensor:
    if len(targets) != images:
        raise PrunescopeError(f"{len(targets)} targets for {images} images: give one class for each")
    return torch.from_numpy(np.asarray(targets, np.int64))


def _explained(
    attributor: Attributor,
    maps: torch.Tensor,
    logits: torch.Tensor,
    wanted: torch.Tensor | None,
    names: Sequence[Any] | NDArray[np.int64],
) -> Explained:
    wrong = ~torch.isfinite(maps).flatten(1).all(1)
    if wrong.any():
        first = [str(names[i]) for i in wrong.nonzero()[:, 0].tolist()]
        raise PrunescopeError(
            f"{attributor.method.name} gives NaN or infinite values for {len(first)} of {len(maps)} images "
            f"({some(first)}): the network's weights are damaged, or the method does not suit it; choose another"
        )
    if not torch.isfinite(logits).all():  # maps do not tell: of a bias, no gradient does
        raise PrunescopeError("the network's logits hold NaN or infinite values: its weights are damaged")
    predictions = logits.argmax(1)
    targets = predictions if wanted is None else wanted
    confidence = logits.double().softmax(1).gather(1, targets[:, None])[:, 0]
    return Explained(maps.numpy(), targets.numpy(), predictions.numpy(), confidence.numpy(), attributor.layer)
