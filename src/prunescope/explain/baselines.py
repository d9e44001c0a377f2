"""What stands for the pixels that are not there, when parts of an image are shown to a network."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

from prunescope.networks.preprocess import Preprocess

Baseline = Literal["mean", "blur", "black"]

SIGMA, SIDE = 5.0, 224  # pixels of standard deviation, in an image of so many: RISE's
REACH = 3  # standard deviations


def baseline_of(whole: torch.Tensor, baseline: Baseline, preprocess: Preprocess) -> torch.Tensor:
    """Return what stands behind the pixels of images, in the same shape.

    Args:
        whole: (n, 3, h, w), normalised.
        baseline: mean, the colour that the network subtracts, so 0; blur, the image itself without its detail;
            black.
        preprocess: how the images were normalised.
    """
    if baseline == "mean":
        return torch.zeros_like(whole)
    if baseline == "black":
        black = torch.zeros((1, 3, 1, 1), dtype=torch.uint8, device=whole.device)
        return preprocess.normalise(black).expand_as(whole)
    return _blurred(whole)


def _blurred(whole: torch.Tensor) -> torch.Tensor:
    """Blur images (n, 3, h, w) by a Gaussian that fits their side; they are mirrored at their edges.

    *Source:* RISE's code, standard deviation 5 pixels for images of 224.

    *Differs:* they cut the Gaussian at one standard deviation, which is nearly a square of 11 x 11 pixels, and take
    the mean colour beyond the edges.
    """
    side = whole.shape[-1]
    sigma = SIGMA * side / SIDE
    reach = min(max(1, round(REACH * sigma)), side - 1)
    offsets = torch.arange(-reach, reach + 1, dtype=whole.dtype, device=whole.device)
    window = (-(offsets**2) / (2 * sigma**2)).exp()
    window = (window / window.sum()).expand(3, 1, 1, -1)
    blurred = functional.pad(whole, [reach] * 4, mode="reflect")
    blurred = functional.conv2d(functional.conv2d(blurred, window, groups=3), window.mT, groups=3)
    return blurred.contiguous(memory_format=torch.channels_last)
