"""A training that takes milliseconds: noise in three classes, a network of three convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from prunescope.images.augment import Augment
from prunescope.images.cache import Pixels
from prunescope.networks.preprocess import Preprocess
from prunescope.pruning.scores.score import ScoreRequest
from prunescope.training.evaluation import LabelledPixels
from prunescope.training.settings import TrainSettings
from prunescope.training.state import Epoch
from study.tiny import Tiny

INPUT = Preprocess(resize=None, crop=16, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
STILL = Augment(crop="centre", flip=0)


def images(count: int, classes: int = 3, seed: int = 0, size: int = 16) -> LabelledPixels:
    """Noise, a little brighter in the channel that is the class's own."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    pixels = generator.normal(100, 40, (count, size, size, 3))
    for channel in range(classes):
        pixels[labels == channel, :, :, channel % 3] += 50
    flat = np.clip(pixels, 0, 255).astype(np.uint8)
    index = np.array([(size, size, i * size * size * 3) for i in range(count)])
    return LabelledPixels(Pixels(flat.reshape(-1), index), labels, np.arange(count))


def tiny(seed: int = 0, dropout: float = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Tiny()
    if dropout:
        network.bn3 = nn.Sequential(network.bn3, nn.Dropout(dropout))  # type: ignore[assignment]
    network.preprocess = INPUT  # type: ignore[assignment]
    return network.eval()


def settings(**chosen: Any) -> TrainSettings:
    quiet = {"epochs": 1, "batch": 8, "augment": STILL, "precision": "fp32"}
    return TrainSettings.model_validate({**quiet, **chosen})


def largest_first(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """Say of what is removed already that it is worth most."""
    return request.over_weights(lambda weight: -weight.abs())


def same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def timeless(history: list[Epoch]) -> list[tuple[int, float, float, float | None]]:
    """Return what epochs say, without how long they took."""
    return [(epoch.epoch, epoch.loss, epoch.lr, epoch.validate_top1) for epoch in history]
