"""Whether a map points at the object, where its pixels are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunescope.explain.maps import Maps, Masks, PerImage, empty


def pointing(maps: Maps, masks: Masks) -> PerImage:
    """Play the pointing game: whether the highest position of each map lies on the object, (n,) 1 or 0.

    Of several highest positions, the share of those that lie on it, which is what a random one of them would score.
    NaN for empty maps, and where the mask has no pixel. A map that points anywhere would score the share of the
    image that the object covers.

    Args:
        maps: (n, h, w).
        masks: (n, h, w), where the object is.

    *Source:* Zhang et al., Top-down Neural Attention by Excitation Backprop, 2016.

    *Differs:* they also count a hit within 15 pixels of the object.
    """
    highest = maps == maps.max(axis=(1, 2), keepdims=True)
    hits: PerImage = (highest & masks).sum(axis=(1, 2)) / highest.sum(axis=(1, 2))
    return np.where(_askable(maps, masks), hits, np.nan)


def inside(maps: Maps, masks: Masks) -> PerImage:
    """Return the share of the positive relevance of each map that lies on the object, (n,).

    NaN for empty maps, and where the mask has no pixel. Relevance spread evenly would score the share of the image
    that the object covers.

    Args:
        maps: (n, h, w).
        masks: (n, h, w), where the object is.

    *Source:* Arras, Osman & Samek, CLEVR-XAI: A benchmark dataset for the ground truth evaluation of neural network
    explanations, 2022 ("relevance mass accuracy").

    *Differs:* negative relevance counts as none.
    """
    relevance = np.maximum(maps, 0)
    total = relevance.sum(axis=(1, 2), dtype=np.float64)
    within = relevance.sum(axis=(1, 2), dtype=np.float64, where=masks)
    shares: PerImage = np.divide(within, total, out=np.full(len(maps), np.nan), where=_askable(maps, masks))
    return shares


def _askable(maps: Maps, masks: Masks) -> NDArray[np.bool_]:
    """Return for which images there are both relevance and an object, (n,)."""
    return ~empty(maps) & np.asarray(masks.any(axis=(1, 2)))
