"""The images that scores look at, on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.errors import PrunescopeError

if TYPE_CHECKING:
    from torch import nn

    from prunescope.pruning.scores.score import Score


def images_for(
    score: Score, network: nn.Module, source: str | None, count: int, seed: int, data: Path | None
) -> dict[str, Any]:
    """Return what `Pruning` has to be given for a score: `calibration`, `evaluate`, or nothing.

    Only the images that are drawn are decoded.

    Raises:
        PrunescopeError: images are needed and not given, or given and not needed; there are too few of them, or
            their classes are not the network's.
    """
    import numpy as np

    from prunescope.images.cache import cached
    from prunescope.images.source import open_images, require_labels
    from prunescope.images.split import limited
    from prunescope.networks.network import preprocess_of
    from prunescope.training.calibration import draw
    from prunescope.training.evaluation import LabelledPixels, top1

    if (score.needs == "weights") != (source is None):
        looks = (
            "looks at labelled images: give them," if source is None else "looks at weights alone: leave out"
        )
        raise PrunescopeError(f"--by {score.name} {looks} --images {source or 'folder:PATH'}")
    if source is None:
        return {}
    images = open_images(source, "train", data)
    require_labels(images, f"--by {score.name}")
    if count > len(images):
        raise PrunescopeError(
            f"--calibration {count}: {source} has {len(images)} images, so ask for at most {len(images)}"
        )
    _refuse_other_classes(network, len(images.classes), source)
    images, preprocess = limited(images, count, seed), preprocess_of(network)
    pixels = cached(images, preprocess.resize, preprocess.interpolation)
    labelled = LabelledPixels(pixels, images.labels, np.arange(len(images)))
    if score.needs == "accuracy":
        return {"evaluate": lambda network: top1(network, labelled)}
    return {"calibration": draw(labelled, preprocess, count, seed)}


def _refuse_other_classes(network: nn.Module, classes: int, source: str) -> None:
    from prunescope.networks.network import evaluating, example_input, logits_of

    with evaluating(network):
        outputs = logits_of(network(example_input(network))).shape[1]
    if outputs != classes:
        raise PrunescopeError(
            f"the network has {outputs} outputs, the images {classes} classes ({source}): give --classes, other "
            "weights, or other images"
        )
