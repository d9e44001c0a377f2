"""Maps: how much each position of an image speaks for a class, float32 (images, height, width).

They may be signed. A map without any value above 0 is empty: it names no position, so it has no likeness, no
concentration and no localisation. It is counted, never averaged in.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Maps = NDArray[np.float32]
Masks = NDArray[np.bool_]
PerImage = NDArray[np.float64]

_POSITIONS = 1 << 16  # of maps that are worked on together; what is computed from them then stays near


def upsample(maps: Maps, side: int) -> Maps:
    """Make maps (n, h, w) as large as the network's square input, (n, side, side): bilinear, half-pixel centres."""
    if maps.shape[1:] == (side, side):
        return maps
    larger = functional.interpolate(
        torch.tensor(maps)[:, None], size=(side, side), mode="bilinear", align_corners=False
    )
    upsampled: Maps = larger[:, 0].numpy()
    return upsampled


def empty(maps: Maps) -> NDArray[np.bool_]:
    """Return which maps (n, h, w) have no value above 0, (n,)."""
    return np.asarray(~(maps > 0).any(axis=(1, 2)))


def blocks(maps: Maps) -> list[slice]:
    """Return slices over the images that are few enough to be worked on together."""
    together = max(1, _POSITIONS // max(1, maps[:1].size))
    return [slice(first, first + together) for first in range(0, len(maps), together)]
