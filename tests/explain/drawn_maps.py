"""Maps as they come: smooth, with flat parts, signed, empty, the same everywhere."""

from __future__ import annotations

import numpy as np

from prunescope.explain.maps import Maps, upsample


def grad_cams(count: int, side: int = 24, seed: int = 0) -> Maps:
    """Return maps that are 0 in large parts, as those of Grad-CAM are."""
    coarse = np.random.default_rng(seed).normal(-0.5, 1, size=(count, 4, 4)).astype(np.float32)
    coarse[:, 1, 2] = np.abs(coarse[:, 1, 2])  # none is empty
    return upsample(np.maximum(coarse, 0), side)


def signed(count: int, height: int = 13, width: int = 17, seed: int = 0) -> Maps:
    """Return noise of either sign with many equal values."""
    noise = np.random.default_rng(seed).normal(size=(count, height, width))
    return noise.round(1).astype(np.float32)


def named(count: int) -> list[str]:
    return [f"image/{number}" for number in range(count)]
