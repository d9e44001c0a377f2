"""The spatial mean of every unit for every image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError
from prunescope.probe.sites import Site
from prunescope.probe.storage import Closing, temporary_array

_IN_CACHE = 2**18  # float32 elements that stay in a processor's cache: 1 MiB


class Means(Closing):
    """Observes the mean of every unit over its positions, for every image: exact input of any ranking.

    Attributes:
        sites: what is observed.
        array: (images, all units) float32, in a temporary file that is mapped into memory.
        columns: layer to the columns that are its units.
    """

    def __init__(self, sites: Sequence[Site], images: int, folder: Path | None = None) -> None:
        self.sites = tuple(sites)
        ends = list(accumulate(site.units for site in self.sites))
        self.columns = {
            site.layer: slice(end - site.units, end) for site, end in zip(self.sites, ends, strict=True)
        }
        self.array = temporary_array((images, ends[-1]), folder)
        self._folder = folder

    def see(self, site: int, maps: torch.Tensor, images: NDArray[np.int64]) -> None:
        """Take in the maps of a site; see `Observer`."""
        self.array[images, self.columns[self.sites[site].layer]] = spatial_means(self.sites[site], maps)

    def merge(self, other: Means) -> None:
        """Add what was observed of other images: they follow those of this one."""
        same_sites(self.sites, other.sites)
        mine = len(self.array)
        both = temporary_array((mine + len(other.array), self.array.shape[1]), self._folder)
        both[:mine], both[mine:] = self.array, other.array
        self.array = both

    def close(self) -> None:
        """Let go of the array; its file goes with the last view of it."""
        self.array = np.empty((0, self.array.shape[1]), np.float32)


def spatial_means(site: Site, maps: torch.Tensor) -> NDArray[np.float32]:
    """Return the mean over positions, (images, units), summed in float32 whatever the type of the maps.

    Args:
        maps: (images, units, height, width).

    Raises:
        PrunescopeError: a value is NaN or infinite.
    """
    sums = _sums(maps)
    check_finite(site, sums)
    means: NDArray[np.float32] = (sums / (site.height * site.width)).cpu().numpy()
    return means


def _sums(maps: torch.Tensor) -> torch.Tensor:
    """Return the float32 sums over positions, (images, units)."""
    if maps.dtype == torch.float32 or maps.device.type != "cpu":
        return maps.sum((2, 3), dtype=torch.float32)
    # Half precision has to be copied to float32 first; in parts, so that the copy never leaves the cache.
    images = max(_IN_CACHE // maps[0].numel(), 1)
    copy = torch.empty_like(maps[:images], dtype=torch.float32)
    return torch.cat([copy[: len(part)].copy_(part).sum((2, 3)) for part in maps.split(images)])


def check_finite(site: Site, sums: torch.Tensor) -> None:
    """Check sums over positions, which are finite only if all summands are.

    Raises:
        PrunescopeError: they are not; names the layer.
    """
    if not torch.isfinite(sums).all():
        raise PrunescopeError(
            f"{site.layer} puts out NaN or infinite values: its weights are damaged, or too large for the "
            "precision (try fp32)"
        )


def same_sites(mine: Sequence[Site], others: Sequence[Site]) -> None:
    """Check that two shards observed the same layers.

    Raises:
        PrunescopeError: they did not.
    """
    if [(site.layer, site.units) for site in mine] != [(site.layer, site.units) for site in others]:
        raise PrunescopeError("what was seen of different layers cannot be merged: look at the same layers")
