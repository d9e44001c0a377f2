"""Networks of study C: VGG-16 with ten classes, and a VGG-16 of a quarter of its width for small images.

Study files name them `studies.small_vgg:vgg`, from the repository's root.
"""

from __future__ import annotations

import torch
from torch import nn

import prunescope as ps

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # VGG-16's widths
QUARTER = 4


class SmallVgg(nn.Module):
    """VGG-16's 13 convolutions, a quarter as wide, each with batch norm; one linear layer on the mean of the maps.

    There is no pooling after the last block: at 64 pixels its maps have 4 x 4 positions, which is little enough to
    explain a decision by.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        inputs = 3
        for number, widths in enumerate(BLOCKS):
            if number:
                modules.append(nn.MaxPool2d(2))
            for width in widths:
                outputs = width // QUARTER
                conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                modules += [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
                inputs = outputs
        self.features = nn.Sequential(*modules)
        self.classifier = nn.Linear(inputs, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(images, 3, h, w) to logits (images, classes)."""
        logits: torch.Tensor = self.classifier(self.features(x).mean(dim=(2, 3)))
        return logits


def vgg(num_classes: int = 10) -> nn.Module:
    """Return a VGG-16 of a quarter of its width: 0.92 M weights in its convolutions."""
    return SmallVgg(num_classes)


def vgg16(num_classes: int = 10) -> nn.Module:
    """Return torchvision's VGG-16 with its ImageNet weights and a fresh last layer for other classes."""
    network = ps.open_network("torchvision/vgg16", "IMAGENET1K_V1")
    network.classifier[6] = nn.Linear(network.classifier[6].in_features, num_classes)
    return network
