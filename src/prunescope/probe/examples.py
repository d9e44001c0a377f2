"""The images that excite each unit most and least, with the maps of the former."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from prunescope.errors import PrunescopeError
from prunescope.probe.means import same_sites, spatial_means
from prunescope.probe.sites import Site
from prunescope.probe.storage import temporary_array

MAP_SIDE = 28  # rows and columns of kept maps at most, whatever the network

FetchMaps = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]  # of units and columns


class Examples:
    """Observes for each unit the images of highest and of lowest mean, in one pass.

    Equal means are ordered by the images' keys, so that neither the order of the images nor the size of a batch
    decides. Larger maps are max-pooled to 28 x 28: what is above a threshold somewhere stays above it. They lie
    in a temporary file that goes with them.

    Attributes:
        sites: what is observed.
        keep: how many images are kept on each side; where there are fewer, the rest is image -1.
        keys: (images,) uint64.
    """

    def __init__(
        self, sites: Sequence[Site], keep: int, keys: NDArray[np.uint64], folder: Path | None = None
    ) -> None:
        self.sites, self.keep, self.keys = tuple(sites), keep, keys
        shapes = [(s.units, keep, min(s.height, MAP_SIDE), min(s.width, MAP_SIDE)) for s in self.sites]
        ends = np.cumsum([np.prod(shape) for shape in shapes])
        parts = np.split(temporary_array((int(ends[-1]),), folder), ends[:-1])
        self._maps = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        self._highest = [_Extremes(1, shape[:2]) for shape in shapes]
        self._lowest = [_Extremes(-1, shape[:2]) for shape in shapes]

    def see(self, site: int, maps: torch.Tensor, images: NDArray[np.int64]) -> None:
        """Take in the maps of a site; see `Observer`."""
        means = spatial_means(self.sites[site], maps).T  # (units, images)
        candidates = (
            means,
            np.broadcast_to(images, means.shape),
            np.broadcast_to(self.keys[images], means.shape),
        )

        def pooled(units: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
            chosen = maps[torch.from_numpy(columns), torch.from_numpy(units)].float()
            small: NDArray[np.float32] = (
                functional.adaptive_max_pool2d(chosen, self._maps[site].shape[2:]).cpu().numpy()
            )
            return small

        self._lowest[site].offer(*candidates)
        self._move_maps(site, *self._highest[site].offer(*candidates), pooled)

    def merge(self, other: Examples) -> None:
        """Add what was observed of other images: they are numbered after those of this one."""
        same_sites(self.sites, other.sites)
        if self.keep != other.keep:
            raise PrunescopeError(f"{self.keep} and {other.keep} examples a unit cannot be merged")
        for site, maps in enumerate(other._maps):
            self._lowest[site].offer(*other._lowest[site].candidates(len(self.keys)))
            units, order = self._highest[site].offer(*other._highest[site].candidates(len(self.keys)))
            self._move_maps(site, units, order, lambda *chosen, maps=maps: maps[chosen])
        self.keys = np.concatenate([self.keys, other.keys])

    def _move_maps(
        self, site: int, units: NDArray[np.int64], order: NDArray[np.int64], fetch: FetchMaps
    ) -> None:
        """Bring the maps of some units into a new order, as `_Extremes.offer` returns it."""
        new = order >= self.keep
        moved = self._maps[site][units[:, None], np.where(new, 0, order)]
        rows, columns = new.nonzero()
        moved[rows, columns] = fetch(units[rows], order[rows, columns] - self.keep)
        self._maps[site][units] = moved

    def highest(self, layer: str) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Return images (units, keep), their means (units, keep), maps (units, keep, h, w); highest first."""
        site = self._index(layer)
        return self._highest[site].images, self._highest[site].means, self._maps[site]

    def lowest(self, layer: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return images (units, keep) and their means (units, keep), lowest first."""
        site = self._index(layer)
        return self._lowest[site].images, self._lowest[site].means

    def _index(self, layer: str) -> int:
        return [site.layer for site in self.sites].index(layer)


class _Extremes:
    """The images of largest `sign * mean` of each unit of one site, best first."""

    def __init__(self, sign: int, shape: tuple[int, int]) -> None:
        self.sign = sign
        self.means = np.full(shape, -sign * np.inf, np.float32)
        self.images = np.full(shape, -1, np.int64)
        self.keys = np.full(shape, np.iinfo(np.uint64).max)

    def candidates(self, first: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.uint64]]:
        """Return means, images and keys, with images numbered from `first`."""
        return self.means, np.where(self.images < 0, -1, self.images + first), self.keys

    def offer(
        self, means: NDArray[np.float32], images: NDArray[np.int64], keys: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Keep what is better than what is kept.

        Args:
            means: (units, images), as are `images` and `keys`.

        Returns:
            The units where something may have changed, and where each of their kept images came from,
            (units, keep): its place before, or `keep` plus its column in `means`.
        """
        units = np.flatnonzero((self.sign * means >= self.sign * self.means[:, -1:]).any(1))
        means = np.concatenate([self.means[units], means[units]], axis=1)
        images = np.concatenate([self.images[units], images[units]], axis=1)
        keys = np.concatenate([self.keys[units], keys[units]], axis=1)
        order = np.lexsort((keys, -self.sign * means))[:, : self.images.shape[1]]
        self.means[units] = np.take_along_axis(means, order, 1)
        self.images[units] = np.take_along_axis(images, order, 1)
        self.keys[units] = np.take_along_axis(keys, order, 1)
        return units, order
