"""`prunescope/sprig`: a small Inception-style network with batch norm for 64-pixel images (about 200 000 weights).

Small enough to train on two cores in minutes, and of the same kind as the networks of the studies: branches
that are concatenated, 1x1 reductions, batch norm after every convolution, one linear layer at the end.
`scripts/train_sprig.py` makes the weights that ship with the package.
"""

from __future__ import annotations

import torch
from torch import nn

from prunescope.networks.preprocess import Preprocess

INPUT = Preprocess(resize=64, crop=64, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


class ConvUnit(nn.Module):
    """A convolution without bias, its batch norm, and ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(images, inputs, h, w) to (images, outputs, h / stride, w / stride)."""
        return torch.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four branches side by side: 1x1; 1x1 then 3x3; 1x1 then twice 3x3; pooling then 1x1."""

    def __init__(self, inputs: int, single: int, triple: tuple[int, int], double: tuple[int, int], pool: int):
        super().__init__()
        self.branch1 = ConvUnit(inputs, single, 1)
        self.branch2 = nn.Sequential(ConvUnit(inputs, triple[0], 1), ConvUnit(triple[0], triple[1], 3))
        self.branch3 = nn.Sequential(
            ConvUnit(inputs, double[0], 1),
            ConvUnit(double[0], double[1], 3),
            ConvUnit(double[1], double[1], 3),
        )
        self.branch4 = nn.Sequential(nn.AvgPool2d(3, 1, 1), ConvUnit(inputs, pool, 1))
        self.outputs = single + triple[1] + double[1] + pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(images, inputs, h, w) to (images, outputs, h, w)."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class Sprig(nn.Module):
    """The embedded network: two convolutions, five inception modules, global average, one linear layer."""

    def __init__(self, num_classes: int = 12) -> None:
        super().__init__()
        self.conv1 = ConvUnit(3, 16, 3, stride=2)  # 64 -> 32 pixels, then pooled to 16
        self.conv2 = ConvUnit(16, 48, 3)
        self.inception3a = Inception(48, 32, (16, 32), (16, 16), 16)  # 16 pixels
        self.inception3b = Inception(96, 32, (32, 48), (16, 32), 16)
        self.inception4a = Inception(128, 48, (32, 64), (16, 32), 32)  # 8 pixels
        self.inception4b = Inception(176, 48, (32, 64), (16, 48), 32)
        self.inception5a = Inception(192, 64, (48, 80), (16, 48), 32)  # 4 pixels
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.dropout = nn.Dropout(0.1)
        self.fc = nn.Linear(self.inception5a.outputs, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(images, 3, 64, 64) to logits (images, classes)."""
        x = self.conv2(self.pool(self.conv1(x)))
        x = self.pool(self.inception3b(self.inception3a(x)))
        x = self.pool(self.inception4b(self.inception4a(x)))
        x = self.inception5a(x).mean(dim=(2, 3))
        logits: torch.Tensor = self.fc(self.dropout(x))
        return logits
