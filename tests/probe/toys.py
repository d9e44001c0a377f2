"""Images and networks of the tests: numbers that a person can follow."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from oracles.channels import carry
from prunescope.images.cache import Pixels
from prunescope.networks.preprocess import Preprocess
from prunescope.probe.sites import Site

SIDE = 8


def pixels(images: int, seed: int = 0, side: int = SIDE) -> Pixels:
    """Return random images of `side` pixels."""
    flat = np.random.default_rng(seed).integers(0, 256, images * side * side * 3).astype(np.uint8)
    return Pixels(flat, np.array([(side, side, i * side * side * 3) for i in range(images)]))


def inputs(network: nn.Module, images: Pixels) -> torch.Tensor:
    """Return what a network is given for these images, (images, 3, side, side)."""
    preprocess = network.preprocess
    assert isinstance(preprocess, Preprocess)
    stacked = torch.from_numpy(np.stack([images[i] for i in range(len(images))])).permute(0, 3, 1, 2)
    return preprocess.normalise(stacked)


def site(layer: str = "conv", units: int = 3, height: int = 5, width: int = 4) -> Site:
    """Return a site of no network, for observers that are shown maps by hand."""
    return Site(layer, nn.Identity(), 0, "conv", units, height, width, is_map=True)


def batches(images: int, sizes: list[int]) -> list[NDArray[np.int64]]:
    """Cut the numbers of the images into batches of these sizes in turn."""
    cuts = np.cumsum(np.resize(sizes, images))
    return [part for part in np.split(np.arange(images), cuts[cuts < images]) if len(part)]


class Plain(nn.Module):
    """Convolution, batch norm, in-place ReLU, convolution, average, linear layer; 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(4, 5, 3, stride=2)
        self.fc = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.last(self.act(self.norm(self.conv(x))))
        return self.fc(x.mean((2, 3)))


class Twice(nn.Module):
    """One convolution used twice, each time with a batch norm of its own; the second at half the size."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Conv2d(3, 3, 3, padding=1)
        self.norm1, self.norm2 = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm1(self.shared(x)))
        return self.norm2(self.shared(nn.functional.avg_pool2d(x, 2))).mean((2, 3))


def build(module: type[nn.Module], seed: int = 0) -> nn.Module:
    """Return the network with random weights and batch-norm statistics, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = module()
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.normal_(norm.running_mean, 0, 0.3)
                nn.init.uniform_(norm.running_var, 0.5, 1.5)
                nn.init.normal_(norm.bias, 0, 0.2)
    return carry(network)
