"""Small networks and images for scores that are gradients."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from oracles.channels import SIDE, carry
from oracles.compaction import unsettle
from prunescope.networks.layers import find_layers
from prunescope.pruning.calibration import Calibration
from prunescope.pruning.granularity import GRANULARITIES
from prunescope.pruning.scores import all_scores
from prunescope.pruning.scores.score import ScoreRequest

GRADIENT_SCORES = ["snip", "grasp", "taylor", "synflow", "lrp"]


class Recurrent(nn.Module):
    """A layer called twice, a weight that two modules share, in-place operations, batch norm, an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace=True)
        self.again = nn.Conv2d(3, 3, 3, padding=1)
        self.one = nn.Conv2d(3, 2, 1)
        self.other = nn.Conv2d(3, 2, 1)
        self.other.weight = self.one.weight
        self.fc = nn.Linear(2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm(self.stem(x)))
        x = functional.silu(self.again(x), inplace=True)
        x = self.relu(self.again(functional.avg_pool2d(x, 2)))
        y = self.one(x)
        y += torch.tanh(self.other(x))
        return self.fc(y.mean((2, 3)))


def toy(network: nn.Module | None = None, seed: int = 0) -> nn.Module:
    """Return a network, by default `Recurrent`, in float64 with random weights, biases and statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = network or Recurrent()
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
    return carry(unsettle(network, seed).double())


def images(count: int = 5, classes: int = 3, side: int = SIDE, batch: int = 64) -> Calibration:
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, 3, side, side, generator=draw, dtype=torch.float64)
    return Calibration(inputs, torch.randint(classes, (count,), generator=draw), batch)


def scores_of(
    network: nn.Module, by: str, granularity: str = "filter", calibration: Calibration | None = None
) -> dict[str, torch.Tensor]:
    layers = find_layers(network)
    generator = torch.Generator().manual_seed(0)
    request = ScoreRequest(network, layers, GRANULARITIES[granularity], generator, calibration)
    return all_scores()[by](request)
