"""Deletion and insertion as they are told: one picture at a time, pixel by pixel."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Curves = tuple[NDArray[np.float64], NDArray[np.float64]]


def slow_curves(
    network: nn.Module,
    images: torch.Tensor,
    bare: torch.Tensor,
    maps: NDArray[np.float32],
    targets: NDArray[np.int64],
    steps: int,
) -> Curves:
    """Return both curves, (images, steps + 1) each, of normalised images (n, 3, h, w) and maps without ties."""
    deletion, insertion = [], []
    for image, base, values, target in zip(images, bare, maps, targets.tolist(), strict=True):
        height, width = values.shape
        pixels = [(float(values[y, x]), y, x) for y in range(height) for x in range(width)]
        pixels.sort(reverse=True)
        for curve, start, end in ((deletion, image, base), (insertion, base, image)):
            curve.append([])
            for step in range(steps + 1):
                picture = start.clone()
                for _, y, x in pixels[: round(step * len(pixels) / steps)]:
                    picture[:, y, x] = end[:, y, x]
                curve[-1].append(probability(network, picture, target))
    return np.array(deletion), np.array(insertion)


def probability(network: nn.Module, picture: torch.Tensor, target: int) -> float:
    with torch.no_grad():
        logits = network(picture[None])[0].double()
    return float(logits[target].exp() / logits.exp().sum())
