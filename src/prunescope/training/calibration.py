"""Drawing the images that data-driven scores look at."""

from __future__ import annotations

import torch

from prunescope.errors import PrunescopeError
from prunescope.images.augment import centre_crops
from prunescope.images.split import stratified_limit
from prunescope.networks.preprocess import Preprocess
from prunescope.pruning.calibration import Calibration
from prunescope.training.evaluation import LabelledPixels


def draw(images: LabelledPixels, preprocess: Preprocess, count: int, seed: int) -> Calibration:
    """Draw images, classes as even as can be, as the network takes them: the middle of each, normalised.

    Args:
        images: of which those that take part are drawn from; decoded at the network's `preprocess.resize`.
        count: how many; a larger number adds to what a smaller one draws from the same seed.
        seed: what the draw depends on, beside the labels.

    Raises:
        PrunescopeError: there are fewer images, or `count` is less than one.
    """
    if count > len(images):
        raise PrunescopeError(
            f"a calibration set of {count} images cannot be drawn from {len(images)}: ask for at most {len(images)}"
        )
    chosen = images.indices[stratified_limit(images.labels[images.indices], count, seed)]
    pixels = torch.from_numpy(centre_crops([images.pixels[index] for index in chosen], preprocess.crop))
    labels = torch.from_numpy(images.labels[chosen])
    return Calibration(preprocess.normalise(pixels.permute(0, 3, 1, 2)).contiguous(), labels)
