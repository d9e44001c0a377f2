"""Which images pruned networks forget: those whose most frequent label changes, and how often they go wrong."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.measures.forgetting_pairs import Pairs, Said

MOST_SWAPS = 128  # all those of eight seeds; of more, so many are drawn
FEWEST_SWAPS = 40  # below, the band of chance has no ends
_SEED = 0


def most_frequent(said: Said) -> NDArray[np.int64]:
    """Return the label that most networks give each image, (images,).

    Ties go to the label of the larger summed confidence, then to the lower index.
    """
    best: NDArray[np.int64] = said.predictions[0].copy()
    votes, support = np.full(len(best), -1), np.zeros(len(best))
    for own in said.predictions:
        same = said.predictions == own
        count, trust = same.sum(0), np.where(same, said.confidence, 0).sum(0, dtype=np.float64)
        closer = (trust > support) | ((trust == support) & (own < best))
        better = (count > votes) | ((count == votes) & closer)
        best = np.where(better, own, best)
        votes = np.where(better, count, votes)
        support = np.where(better, trust, support)
    return best


def forgotten_images(pairs: Pairs) -> pd.DataFrame:
    """Return what became of each image, one row an image.

    Returns:
        `image, label`; `dense_label, pruned_label`: the most frequent over seeds; `flip`: whether they differ;
        `exemplar`: the same where there are two seeds or more, NA for one, which cannot tell an image that pruned
        networks forget from one that any two networks may differ on; `dense_right, pruned_right`: shares of the
        seeds; `lost`: dense_right - pruned_right; `changed`: share of the seeds whose prediction changed.

    *Source:* Hooker et al., What Do Compressed Deep Neural Networks Forget?, 2019, section 2.2: an image is a
    pruning-identified exemplar if the most frequent labels of dense and of pruned networks differ.
    """
    dense_label, pruned_label = most_frequent(pairs.dense), most_frequent(pairs.pruned)
    flip = pd.Series(dense_label != pruned_label)
    right = pairs.dense.right.mean(0), pairs.pruned.right.mean(0)
    return pd.DataFrame(
        {
            "image": pairs.images,
            "label": pairs.labels,
            "dense_label": dense_label,
            "pruned_label": pruned_label,
            "flip": flip,
            "exemplar": flip.astype("boolean")
            if len(pairs) > 1
            else pd.array([pd.NA] * len(flip), "boolean"),
            "dense_right": right[0],
            "pruned_right": right[1],
            "lost": -pairs.changes.mean(0),
            "changed": (pairs.dense.predictions != pairs.pruned.predictions).mean(0),
            "seeds": len(pairs),
        }
    )


def exemplars_by_chance(pairs: Pairs) -> NDArray[np.float64]:
    """Return the share of exemplars if it were chance which network of a seed is the pruned one, one value a swap.

    The dense and the pruned network change places in some of the seeds, in all ways (in 128 drawn ways, if there are
    more), and the images are counted whose most frequent labels differ then. Networks that differ as much from each
    other, but in no direction, have as many exemplars. None for one seed, and where the dense networks, or the pruned
    ones, are one network, which no swap leaves them.
    """
    seeds = len(pairs)
    if seeds < 2 or pairs.dense.alike or pairs.pruned.alike:
        return np.empty(0)
    shares = []
    for swapped in _swaps(seeds):
        one, other = _swap(pairs, swapped)
        shares.append((most_frequent(one) != most_frequent(other)).mean())
    return np.array(shares)


def _swaps(seeds: int) -> NDArray[np.bool_]:
    """Return in which seeds the networks change places, (ways, seeds); never in the first, which would be the same."""
    if 2 ** (seeds - 1) <= MOST_SWAPS:
        return np.array([(False, *way) for way in itertools.product((False, True), repeat=seeds - 1)])
    drawn = np.random.default_rng(_SEED).random((MOST_SWAPS, seeds)) < 0.5
    drawn[:, 0] = False
    return drawn


def _swap(pairs: Pairs, swapped: NDArray[np.bool_]) -> tuple[Said, Said]:
    there = swapped[:, None]
    columns = [
        (np.where(there, pruned, dense), np.where(there, dense, pruned))
        for dense, pruned in zip(
            (pairs.dense.predictions, pairs.dense.confidence, pairs.dense.right),
            (pairs.pruned.predictions, pairs.pruned.confidence, pairs.pruned.right),
            strict=True,
        )
    ]
    one, other = zip(*columns, strict=True)
    return Said(*one), Said(*other)
