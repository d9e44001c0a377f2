"""A study that takes a second: three convolutions on images of 16 pixels, in class folders that the test makes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from torch import nn

COLOURS = {"blue": (40, 60, 200), "green": (50, 190, 60), "red": (200, 50, 40), "white": (230, 230, 230)}


class Tiny(nn.Module):
    """Three convolutions with batch norm, and a linear layer: 16 pixels in, 4 after the last convolution."""

    def __init__(self, num_classes: int = 3, width: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 8, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.conv3 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(images, 3, 16, 16) to logits (images, classes)."""
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        x = torch.relu(self.bn3(self.conv3(x)))
        logits: torch.Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


def tiny(num_classes: int = 3) -> Tiny:
    return Tiny(num_classes)


def wide(num_classes: int = 3, width: int = 8) -> Tiny:
    return Tiny(num_classes, width)


def bare(num_classes: int = 3) -> nn.Module:
    """The same without batch norms."""
    network = Tiny(num_classes)
    network.bn1 = network.bn2 = network.bn3 = nn.Identity()  # type: ignore[assignment]
    return network


def write_images(
    root: Path, per_class: int = 8, classes: Sequence[str] = ("blue", "green", "red"), seed: int = 0
) -> Path:
    """Write noisy images of 16 pixels, each class in a colour of its own; `<root>/<class>/<number>.png`."""
    generator = np.random.default_rng(seed)
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            noise = generator.normal(0, 60, (16, 16, 3))
            pixels = np.clip(noise + COLOURS[name], 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


TRAINING: dict[str, Any] = {
    "batch": 8,
    "optimizer": {"lr": 0.05},
    "augment": {"crop": "centre"},
    "precision": "fp32",
}
BASE: dict[str, Any] = {
    "study": "tiny",
    "threads": 1,
    "network": {"name": "study.tiny:tiny", "preprocess": {"resize": None, "crop": 16}},
    "images": {"train": "folder:train", "test": "folder:test", "validate": 0.2},
    "train": {"epochs": 4, **TRAINING},
    "retrain": {"epochs": 2, **TRAINING},
    "prune": [
        {"series": "weights", "granularity": "weight", "rates": [0.5]},
        {"series": "filters", "granularity": "filter", "rates": [0.25]},
    ],
}


def document(**changes: Any) -> dict[str, Any]:
    """Return the tiny study as a mapping, with some of its top-level fields replaced."""
    return {**copy.deepcopy(BASE), **changes}


def write_data(root: Path) -> Path:
    """Write the images of the tiny study, `<root>/{train,test}`."""
    write_images(root / "train", per_class=10, seed=1)
    write_images(root / "test", per_class=6, seed=2)
    return root


def write_study(folder: Path, study: dict[str, Any] | None = None, name: str = "study.yaml") -> Path:
    """Write a study file and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(yaml.safe_dump(study or document(), sort_keys=False))
    return path
