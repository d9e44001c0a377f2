"""Networks of the tests of attribution: small enough to work out, and each with one thing that is easily got wrong."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from oracles.channels import carry

SIDE = 8
Act = Callable[[torch.Tensor], torch.Tensor]


class Averaged(nn.Module):
    """Convolution, ReLU, pooling to 4 x 4, average over positions, linear layer: Grad-CAM is CAM here."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.average(self.pool(self.act(self.conv(x)))).flatten(1))


class Functional(nn.Module):
    """Two convolutions that are rectified by a function, which may be another one."""

    def __init__(self, act: Act = torch.relu) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 5, 3, stride=2, padding=1)
        self.fc = nn.Linear(5 * 16, 4)
        self.act = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.act(self.conv2(self.act(self.conv1(x)))).flatten(1))


class Residual(nn.Module):
    """As ResNet's blocks: one in-place ReLU that is used three times, and an addition."""

    def __init__(self, separate: bool = False) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ModuleList(nn.ReLU() for _ in range(3)) if separate else nn.ReLU(inplace=True)
        self.average = nn.AvgPool2d(SIDE)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second, third = self.relu if isinstance(self.relu, nn.ModuleList) else (self.relu,) * 3
        x = first(self.conv1(x))
        x = third(x + second(self.norm(self.conv2(x))))
        return self.fc(self.average(x).flatten(1))


class Chain(nn.Sequential):
    """Modules alone, with biases: relevance by the ε rule can be written out."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, 6),
            nn.ReLU(),
            nn.Linear(6, 4),
        )


class Tokens(nn.Module):
    """Patches that become tokens, as a vision transformer's."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 2, stride=2)
        self.block = nn.Linear(6, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


class Auxiliary(Averaged):
    """Puts out a tuple, as networks with auxiliary heads do."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        logits = super().forward(x)
        return logits, -logits


def build(network: Callable[[], nn.Module], seed: int = 0, double: bool = False) -> nn.Module:
    """Return the network with random weights, biases and statistics, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = network()
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, 0, 0.3)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.3)
    carry(made.double() if double else made)
    return made.eval()


def noise(count: int = 3, seed: int = 1, double: bool = False) -> torch.Tensor:
    """Return images of noise, (count, 3, SIDE, SIDE)."""
    drawn = torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    return drawn.double() if double else drawn


TARGETS = torch.tensor([2, 0, 3])
