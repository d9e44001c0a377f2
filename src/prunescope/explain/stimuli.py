"""The two pictures of an explanation that study C showed to people: a heat map and an explanation map.

*Source:* Merkle et al., arXiv 2302.08878. *Differs:* the heat map has one perceptually uniform scale of colours
over a grey photograph, in place of a rainbow over a coloured one, whose hues read as steps that are not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunescope.explain.maps import Maps, empty, upsample
from prunescope.explain.top import SHARE, top
from prunescope.images.augment import GREY, Images

Background = Literal["black", "grey", "white"]
BACKGROUNDS: dict[Background, int] = {"black": 0, "grey": 128, "white": 255}

COLOURS = "plasma"  # from dark violet to bright yellow, also for the colour-blind; its end is not white as inferno's
DIM = 0.7  # brightness of the photograph below, so that even the yellow stands out against white
OPACITY = 0.7  # of the highest value; 0 is clear
FULL = 99.5  # percentile that has the last colour: of gradients, single pixels would leave all others dark


class Stimuli(NamedTuple):
    """Pictures of the explanations of some images, each (images, side, side, 3) uint8 RGB."""

    heat: Images
    map: Images


def draw_stimuli(
    pictures: Images,
    maps: Maps,
    names: Sequence[str],
    *,
    share: float = SHARE,
    background: Background = "black",
    seed: int = 0,
) -> Stimuli:
    """Draw both pictures of each explanation. Of an empty map, no pixel is shown, since it names none.

    Args:
        pictures: (images, side, side, 3) uint8 RGB, what the network saw.
        maps: (images, h, w), at their own resolution.
        names: (images,) identities; they decide which of equal values are shown.
        share: of the pixels that an explanation map shows.
        background: the colour of the others.
        seed: of the order of equal values.
    """
    large = upsample(maps, pictures.shape[1])
    shown = top(large, names, share, seed)
    shown[empty(large)] = False
    heat, kept = np.empty_like(pictures), np.empty_like(pictures)
    for index, pixels in enumerate(pictures):
        heat[index] = heat_map(pixels, large[index])
        kept[index] = explanation_map(pixels, shown[index], background)
    return Stimuli(heat, kept)


def heat_map(pixels: NDArray[np.uint8], values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Lay a map over an image: the higher a value, the brighter and the less transparent its colour.

    Values are scaled so that the map's 99.5th percentile (its largest value, should that be 0) gets the last
    colour; what is not above 0 is clear. An empty map leaves the photograph without colour.

    Args:
        pixels: (height, width, 3) uint8 RGB.
        values: (height, width), any scale.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    level = np.maximum(values, 0).astype(np.float32)
    full = np.percentile(level, FULL) or level.max()
    level = np.minimum(level / full, 1) if full > 0 else level
    photograph = DIM * (pixels @ GREY)[..., None]  # (height, width, 1)
    opacity = OPACITY * level[..., None]
    colours = _colours()[np.rint(255 * level).astype(np.uint8)]
    painted: NDArray[np.uint8] = np.rint(opacity * colours + (1 - opacity) * photograph).astype(np.uint8)
    return painted


def explanation_map(
    pixels: NDArray[np.uint8], shown: NDArray[np.bool_], background: Background = "black"
) -> NDArray[np.uint8]:
    """Show the chosen pixels of an image (height, width, 3) as they are, and the background elsewhere.

    Args:
        pixels: (height, width, 3) uint8 RGB.
        shown: (height, width), True where the image is shown; see `top`.
        background: the colour of the rest.
    """
    return np.where(shown[..., None], pixels, np.uint8(BACKGROUNDS[background]))


@cache
def _colours() -> NDArray[np.float32]:
    """Return the scale of colours, (256, 3), from 0 to 255."""
    from matplotlib import colormaps

    scale: NDArray[np.float32] = (255 * colormaps[COLOURS](np.arange(256))[:, :3]).astype(np.float32)
    return scale
