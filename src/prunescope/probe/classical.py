"""`classical`: a descriptor of colour, oriented energy and layout that needs no weights.

Each image is described by three vectors of length one, and the cosine of two images is the weighted mean of
the three cosines. All of it happens in an opponent space of gamma-encoded sRGB: lightness, red against green,
yellow against blue.

- *colour*: how much of each of 27 colours (a lattice in RGB) there is in each of 4 x 4 regions. Pixels share
  themselves out softly; square roots make the cosine one of distributions (Hellinger).
- *energy*: how strong each orientation is in each region, at four scales an octave apart, of lightness and of
  both colour differences: amplitudes of quadrature pairs of Gabor filters, divided by what all scales and
  orientations of the channel have in the region, much as cells of the primary visual cortex do.
- *layout*: the mean colour in each of 8 x 8 squares.

What is typical is subtracted before, so that cosines spread around 0 instead of staying near 1. It was
measured once, on the first 120 training pictures of `scenes`, and is fixed: a description never depends on
the other images of a set.

*Source:* the parts are classical: Swain & Ballard, Color Indexing, 1991; Oliva & Torralba, Modeling the Shape
of the Scene, 2001; Heeger, Normalization of Cell Responses in Cat Striate Cortex, 1992. *Differs:* how they
are put together is our own.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from prunescope.errors import PrunescopeError
from prunescope.images.augment import Images
from prunescope.images.cache import Progress
from prunescope.images.source import ImageSet
from prunescope.networks.network import Device
from prunescope.probe.similarity import SIMILARITIES, Likeness, Similarity, squares

SIDE = 64  # pixels: short side and centre crop of what is described
REGIONS = 4  # along each side, for colour and energy
SQUARES = 8  # along each side, for layout
SCALES = 4
ORIENTATIONS = 8
KERNEL = 9  # pixels; the filters have a wavelength of 4.5 and a Gaussian of 2 pixels
FLOOR = 0.05  # amplitude below which differences of lightness or colour are hardly seen
SPREAD = 0.25  # of the soft shares of a pixel, in opponent space
WEIGHTS = {"colour": 0.25, "energy": 0.5, "layout": 0.25}
BATCH = 16  # keeps the filtered images in the cache of the processor

# lightness, red - green, yellow - blue: orthonormal, so that distances are those of RGB
OPPONENT = functional.normalize(torch.tensor([[1.0, 1, 1], [1, -1, 0], [1, 1, -2]]))
CHROMA = torch.tensor([1.0, 2, 2])  # hues count double: drawn and photographed colours are mostly pale
COLOURS = torch.tensor(list(itertools.product((0, 0.5, 1), repeat=3))) @ OPPONENT.T * CHROMA  # (27, 3)

# fmt: off
TYPICAL_COLOUR = torch.tensor([  # mean square root of the share of each colour, in the order of the lattice
    .142, .100, .001, .042, .166, .025, .000, .002, .003,
    .070, .050, .001, .130, .552, .141, .005, .077, .124,
    .007, .005, .000, .032, .188, .049, .007, .160, .309,
])
TYPICAL_ENERGY = torch.tensor([  # of each channel and scale, as `energy` orders them
    .688, .796, .895, 1.045, .629, .714, .890, .672, .784, .955,
])
ENERGY_SPREAD = torch.tensor([  # standard deviation, likewise
    .338, .363, .405, .564, .340, .371, .480, .350, .378, .506,
])
TYPICAL_LAYOUT = torch.tensor([.991, -.016, .006])  # mean lightness and colour differences, these doubled
# fmt: on


class Classical(Similarity):
    """Cosine of a fixed descriptor; see the module."""

    name = "classical"
    version = 1

    def identity(self) -> dict[str, Any]:
        """Return the name and the version: nothing else decides the descriptor."""
        return {"name": self.name, "version": self.version}

    def compute(self, images: ImageSet, progress: Progress) -> Likeness:
        """Describe each image."""
        return Likeness(describe(squares(images, SIDE), progress), None, "cosine", self.slope)


@SIMILARITIES.register("classical")
def _open(weights: Path | None, device: Device) -> Classical:
    if weights is not None:
        raise PrunescopeError("the similarity classical has no weights: leave weights out")
    return Classical()


def describe(images: Images, progress: Progress = lambda done, total: None) -> NDArray[np.float32]:
    """Return the descriptors of square images.

    Args:
        images: (images, 64, 64, 3) uint8 RGB.
        progress: called with (images done, images in all).

    Returns:
        (images, 1904) float32, of length one.
    """
    described = []
    for start in range(0, len(images), BATCH):
        taken = images[start : start + BATCH]
        # always full, since the last bits of the arithmetic may vary with the size
        batch = np.zeros((BATCH, *images.shape[1:]), np.uint8)
        batch[: len(taken)] = taken
        described.append(_describe(torch.from_numpy(batch))[: len(taken)].numpy())
        progress(start + len(taken), len(images))
    return np.concatenate(described)


def _describe(pixels: torch.Tensor) -> torch.Tensor:
    opponent = (pixels / 255.0 @ OPPONENT.T).permute(0, 3, 1, 2).contiguous()  # (images, 3, side, side)
    parts = {
        "colour": colour(opponent) - TYPICAL_COLOUR[:, None, None],
        "energy": (energy(opponent) - _each(TYPICAL_ENERGY)) / _each(ENERGY_SPREAD),
        "layout": layout(opponent) - TYPICAL_LAYOUT[:, None, None],
    }
    weighted = [
        functional.normalize(part.flatten(1)) * math.sqrt(WEIGHTS[name]) for name, part in parts.items()
    ]
    return torch.cat(weighted, 1)


def _each(by_scale: torch.Tensor) -> torch.Tensor:
    return by_scale[:, None, None, None]  # for all orientations and regions


def colour(opponent: torch.Tensor) -> torch.Tensor:
    """Return square roots of the share of each colour in each region, (images, 27, 4, 4)."""
    seen = functional.avg_pool2d(opponent, 2).permute(0, 2, 3, 1) * CHROMA  # (images, h, w, 3)
    # exp(-|x - c|² / 2 s²), normalised over the colours c, without the |x|² that cancels
    near = torch.softmax((seen @ COLOURS.T - COLOURS.square().sum(1) / 2) / SPREAD**2, dim=-1)
    return functional.adaptive_avg_pool2d(near.permute(0, 3, 1, 2), REGIONS).sqrt()


def energy(opponent: torch.Tensor) -> torch.Tensor:
    """Return normalised amplitudes of each orientation in each region, (images, 10, 8, 4, 4).

    The ten are four scales of lightness, then three of red - green and three of yellow - blue, which start an
    octave coarser, as in human vision.
    """
    lightness, differences = opponent[:, :1], functional.avg_pool2d(opponent[:, 1:], 2)
    parts = [_power(lightness, SCALES), _power(differences, SCALES - 1)]  # each (images, c, scales, 8, 4, 4)
    amplitudes = [(part / (part.mean((2, 3), keepdim=True) + FLOOR**2)).sqrt() for part in parts]
    return torch.cat([amplitude.flatten(1, 2) for amplitude in amplitudes], 1)


def _power(channels: torch.Tensor, scales: int) -> torch.Tensor:
    """Return the mean power of each filter in each region, (images, c, scales, 8, 4, 4)."""
    scaled = channels.flatten(0, 1)[:, None]  # (images * c, 1, h, w)
    pooled = []
    for _ in range(scales):
        edged = functional.pad(scaled, [KERNEL // 2] * 4, mode="reflect")
        pairs = functional.conv2d(edged, GABORS).unflatten(1, (ORIENTATIONS, 2))
        pooled.append(functional.adaptive_avg_pool2d(pairs.square().sum(2), REGIONS))
        scaled = functional.avg_pool2d(scaled, 2)
    return torch.stack(pooled, 1).view(*channels.shape[:2], scales, ORIENTATIONS, REGIONS, REGIONS)


def layout(opponent: torch.Tensor) -> torch.Tensor:
    """Return mean lightness and colour differences of coarse squares, (images, 3, 8, 8)."""
    return functional.adaptive_avg_pool2d(opponent, SQUARES) * CHROMA[:, None, None]


def gabors() -> torch.Tensor:
    """Return even and odd filters of each orientation, without mean, of length one: (16, 1, 9, 9)."""
    place = torch.arange(KERNEL) - KERNEL // 2
    window = torch.exp(-(place[:, None] ** 2 + place**2) / (2 * 2.0**2))
    filters = []
    for orientation in range(ORIENTATIONS):
        angle = math.pi * orientation / ORIENTATIONS
        phase = 2 * math.pi / 4.5 * (place * math.cos(angle) + place[:, None] * math.sin(angle))
        for wave in (torch.cos(phase), torch.sin(phase)):
            centred = window * (wave - (window * wave).sum() / window.sum())
            filters.append(centred / centred.norm())
    return torch.stack(filters)[:, None]


GABORS = gabors()
