"""Curves of deletion and insertion of small networks on noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from prunescope.explain.faithfulness import Faithfulness, faithfulness
from prunescope.training.evaluation import LabelledPixels
from training.small import tiny

SIDE = 16


def sure() -> nn.Module:
    """A network whose probabilities differ much."""
    network = tiny()
    with torch.no_grad():
        network.fc.weight.mul_(40)
    return network


def untied(count: int, seed: int = 0, side: int = SIDE) -> NDArray[np.float32]:
    """Return positive maps that hold no value twice."""
    generator = np.random.default_rng(seed)
    orders = generator.permuted(np.tile(np.arange(side * side), (count, 1)), axis=1)
    return (orders + 1).reshape(count, side, side).astype(np.float32)


def normalised(network: nn.Module, images: LabelledPixels) -> torch.Tensor:
    pixels = np.stack([images.pixels[index] for index in images.indices])
    return network.preprocess.normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2))


def follow(
    network: nn.Module, images: LabelledPixels, maps: NDArray[np.float32], **given: Any
) -> Faithfulness:
    names = [f"image {index}" for index in images.indices]
    return faithfulness(
        network, images, maps, given.pop("targets", images.targets.numpy()), names=names, **given
    )
