"""Images of noise in which neighbouring pixels are alike, as in photographs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunescope.images import ImageSet
from prunescope.images.decode import resize_short_side


def toy_pixels(index: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(index).integers(0, 256, (9 + index % 3, 12, 3), dtype=np.uint8)
    return resize_short_side(coarse, 70, "bicubic")


def toy_images(count: int) -> ImageSet:
    names = tuple(map(str, range(count)))
    return ImageSet("toy", ("thing",), np.zeros(count, np.int64), names, f"toy-{count}", toy_pixels)
