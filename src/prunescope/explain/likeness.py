"""How alike the maps of two networks are, image by image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional

from prunescope.explain.maps import Maps, Masks, PerImage, blocks, empty
from prunescope.explain.order import ascending
from prunescope.explain.top import SHARE, top
from prunescope.probe.tie_keys import tie_keys

COLUMNS = ("spearman", "ssim", "iou")
WINDOW, SIGMA = 11, 1.5  # positions, of SSIM's Gaussian
STABILISERS = 0.01**2, 0.03**2  # of SSIM, for values from 0 to 1


def likeness(
    maps: Maps, reference: Maps, names: Sequence[str], share: float = SHARE, seed: int = 0
) -> pd.DataFrame:
    """Compare each map with another network's map of the same image.

    Likeness is no goodness: a network may well explain better than the one it is compared with.

    Args:
        maps: (n, h, w), as large as the input of the network.
        reference: (n, h, w), the maps of the network to compare with, usually the dense one.
        names: (n,), the identities of the images.
        share: of the positions whose overlap is `iou`. Those that are not above 0 are left out of it: as all that
            is 0 is alike, the order of ties would make them overlap.
        seed: of the order of ties.

    Returns:
        One row an image: `spearman, ssim, iou`, NaN where either map is empty or the same everywhere.

    Raises:
        PrunescopeError: `share` is not above 0 and at most 1.
    """
    tops = (top(each, names, share, seed) & (each > 0) for each in (maps, reference))
    scores = spearman(maps, reference), ssim(maps, reference), iou(*tops)
    table = pd.DataFrame(dict(zip(COLUMNS, scores, strict=True)))
    table.loc[_flat(maps) | _flat(reference)] = np.nan
    return table


def others(names: Sequence[str], seed: int = 0) -> NDArray[np.int64]:
    """Return for each image the index of another one, (n,); each is the other of one. A single image gets itself.

    Objects lie in the middle of most images, and so do maps: likeness to the map of another image is what they have in
    common whatever they explain, and likeness says something as far as it exceeds that.

    The images follow each other in an order that their names and the seed decide, the first after the last.
    """
    order = np.argsort(tie_keys(names, seed), kind="stable")
    following = np.empty(len(order), np.int64)
    following[order] = np.roll(order, -1)
    return following


def spearman(a: Maps, b: Maps) -> PerImage:
    """Return Spearman's rank correlation of each map of `a` (n, h, w) with that of `b`, (n,); NaN if one is constant.

    Equal values share their mean rank.
    """
    scores = np.full(len(a), np.nan)
    for image, pair in enumerate(zip(a, b, strict=True)):
        one, other = (_centred_ranks(values.ravel()) for values in pair)
        scale = np.sqrt((one @ one) * (other @ other))
        if scale > 0:
            scores[image] = one @ other / scale
    return scores


def ssim(a: Maps, b: Maps) -> PerImage:
    """Return the structural similarity of each map of `a` (n, h, w) with that of `b`, (n,).

    Negative relevance is cut to 0 and each map scaled to its maximum first, so values go from 0 to 1. NaN if one is
    empty, or a side has fewer than 6 positions, in which no window fits.

    *Source:* Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004, with its
    Gaussian window (11 positions, sigma 1.5) and constants.

    *Differs:* windows around positions near the edge see the map reflected there, as in torchmetrics; the source
    leaves them out, which for an input of 32 pixels is half of it.
    """
    scores = np.full(len(a), np.nan)
    if min(a.shape[1:]) <= WINDOW // 2:
        return scores
    for some in blocks(a):
        scores[some] = _ssim(_scaled(a[some]), _scaled(b[some])).numpy()
    scores[empty(a) | empty(b)] = np.nan
    return scores


def iou(one: Masks, other: Masks) -> PerImage:
    """Return intersection over union of each pair of masks (n, h, w), (n,); NaN if both have no position."""
    union = (one | other).sum(axis=(1, 2))
    scores: PerImage = np.divide(
        (one & other).sum(axis=(1, 2)), union, out=np.full(len(one), np.nan), where=union > 0
    )
    return scores


def _flat(maps: Maps) -> NDArray[np.bool_]:
    """Return which maps are empty or the same everywhere, (n,)."""
    same: NDArray[np.bool_] = maps.max(axis=(1, 2)) == maps.min(axis=(1, 2))
    return empty(maps) | same


def _centred_ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean rank of each of `values`, less the mean of all ranks."""
    order = ascending(values)
    ordered = values[order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))  # of each run of equal values
    after = np.append(first[1:], len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((first + after - len(values)) / 2, after - first)
    return ranks


def _scaled(maps: Maps) -> torch.Tensor:
    positive = torch.tensor(maps).clamp_(min=0)
    highest = positive.amax((1, 2), keepdim=True)
    return positive.div_(torch.where(highest > 0, highest, 1))


def _ssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the structural similarity of maps (n, h, w) with values from 0 to 1, (n,)."""
    small, large = STABILISERS
    mean_a, mean_b = _blurred(a), _blurred(b)
    both = mean_a * mean_b
    squares = mean_a.square() + mean_b.square()
    variances = _blurred(a.square() + b.square()) - squares
    covariance = _blurred(a * b) - both
    alike = (2 * both + small) * (2 * covariance + large) / ((squares + small) * (variances + large))
    return alike.double().mean((1, 2))


def _blurred(maps: torch.Tensor) -> torch.Tensor:
    """Return the Gaussian mean around each position, (n, h, w) to (n, h, w)."""
    weights, (_, height, width) = _gauss(), maps.shape
    maps = functional.pad(maps, [WINDOW // 2] * 4, mode="reflect")
    for dim, length in ((1, height), (2, width)):
        mean = weights[0] * maps.narrow(dim, 0, length)
        for start in range(1, WINDOW):  # sums of shifted maps: for one channel, conv2d takes 15 x as long
            mean.add_(maps.narrow(dim, start, length), alpha=weights[start])
        maps = mean
    return maps


def _gauss() -> list[float]:
    """Return the weights of the window along one side, (11,), of sum 1."""
    weights = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    listed: list[float] = (weights / weights.sum()).tolist()
    return listed
