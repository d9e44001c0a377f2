"""Whether a map points at little or at much of the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunescope.explain.maps import Maps, PerImage


def gini(maps: Maps) -> PerImage:
    """Return how unequally the positive relevance is spread over the positions of each map (n, h, w), (n,).

    0 if all positions have the same, 1 - 1 / (h * w) if one has all; NaN for empty maps. Negative relevance counts
    as none.

    *Source:* Gini's coefficient; Chalasani et al., Concise Explanations of Neural Networks using Adversarial
    Training, 2020.
    """
    scores = np.full(len(maps), np.nan)
    for image, relevance in enumerate(_positive(maps)):
        positions, total = relevance.size, relevance.sum(dtype=np.float64)
        if total > 0:
            weights = np.arange(1 - positions, positions, 2.0)  # 2 i - positions - 1, i from 1
            scores[image] = weights @ np.sort(relevance) / (positions * total)
    return scores


def entropy(maps: Maps) -> PerImage:
    """Return the entropy of the positive relevance of each map (n, h, w) as a share of the highest possible, (n,).

    The relevance is scaled to sum 1; its entropy in bits is divided by log2(h * w). So 0 if one position has all, 1 if
    all have the same, whatever the size of the map; NaN for empty maps. Negative relevance counts as none.

    *Source:* Bhatt, Weller & Moura, Evaluating and Aggregating Feature-based Model Explanations, 2020.

    *Differs:* they do not divide, so that their number grows with the size of the map.
    """
    scores = np.full(len(maps), np.nan)
    for image, relevance in enumerate(_positive(maps)):
        total = relevance.sum(dtype=np.float64)
        if total > 0:
            share = relevance[relevance > 0] / total
            bits = -(share * np.log2(share)).sum()
            scores[image] = bits / np.log2(relevance.size) if relevance.size > 1 else 0.0
    return scores


def _positive(maps: Maps) -> NDArray[np.float32]:
    """Return the positive part of each map, (n, h * w)."""
    return np.maximum(maps.reshape(len(maps), maps.shape[1] * maps.shape[2]), 0)
