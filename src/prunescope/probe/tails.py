"""The largest values of every unit over all positions of all images, and the thresholds of dissection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError
from prunescope.probe.means import check_finite, same_sites
from prunescope.probe.sites import Site
from prunescope.probe.storage import Closing, temporary_array

_BLOCK = 2**19  # values looked at together: bounds what is copied
_LEAST_SPARE = 1024  # places of a unit's row beyond the tail, so that short rows are not emptied all the time


class Tails(Closing):
    """Observes the largest values of every unit; exact, in one pass.

    Each unit keeps a row of candidates. Once a row holds as many as the tail has, no value up to the smallest
    of the tail can change the threshold any more, so only larger ones are added; a full row is cut back to the
    tail. Rows that together exceed `memory` lie in a temporary file.

    Attributes:
        sites: what is observed.
        images: how many images all shards together have.
        share: which share of a unit's values lies above its threshold.
    """

    def __init__(
        self,
        sites: Sequence[Site],
        images: int,
        share: float = 0.005,
        memory: int = 2**30,
        folder: Path | None = None,
    ) -> None:
        self.sites, self.images, self.share = tuple(sites), images, share
        shapes = [_shape(site, images, share) for site in self.sites]
        size = sum(units * places for units, places in shapes)
        flat = np.empty(size, np.float32) if 4 * size <= memory else temporary_array((size,), folder)
        self._tails = []
        for site, (units, places) in zip(self.sites, shapes, strict=True):
            rows, flat = flat[: units * places].reshape(units, places), flat[units * places :]
            self._tails.append(_Tail(site, rows, rank(share, images * site.height * site.width), images))

    def see(self, site: int, maps: torch.Tensor, images: NDArray[np.int64]) -> None:
        """Take in the maps of a site; see `Observer`."""
        tail = self._tails[site]
        tail.count(len(images))
        for part in maps.split(max(_BLOCK // maps[0].numel(), 1)):
            values = part.movedim(1, -1).reshape(-1, part.shape[1])  # no copy where channels are last
            tail.add(values.float())

    def merge(self, other: Tails) -> None:
        """Add what another shard of the same images observed."""
        same_sites(self.sites, other.sites)
        if (self.images, self.share) != (other.images, other.share):
            raise PrunescopeError(
                f"a tail of {self.share} of {self.images} images cannot be merged with one of {other.share} of "
                f"{other.images}: give all shards the same share, and the number of images of all shards"
            )
        both = self._tails[0].seen + other._tails[0].seen
        if both > self.images:
            raise PrunescopeError(
                f"the shards have seen {both} images, and their tails were made for {self.images}: give each the "
                "number of images of all shards (total)"
            )
        for tail, more in zip(self._tails, other._tails, strict=True):
            tail.merge(more)

    def thresholds(self) -> dict[str, torch.Tensor]:
        """Return T of each unit, (units,) float32: the value that the share of its values exceeds.

        Of the m values of a unit, the (floor(share * m) + 1)-th largest.

        *Source:* Bau et al., Network Dissection, 2017, section 2.2, P(a > T) = .005.

        Raises:
            PrunescopeError: some of the images have not been seen yet.
        """
        return {tail.site.layer: torch.from_numpy(tail.threshold()) for tail in self._tails}

    def highest(self) -> dict[str, torch.Tensor]:
        """Return the largest value of each unit, (units,) float32."""
        return {tail.site.layer: torch.from_numpy(tail.highest()) for tail in self._tails}

    def close(self) -> None:
        """Let go of the rows; their file goes with them."""
        self._tails.clear()


def rank(share: float, values: int) -> int:
    """Return which of so many values, counted from the largest as 1, has the share of them above it."""
    return math.floor(Fraction(str(share)) * values) + 1


def _shape(site: Site, images: int, share: float) -> tuple[int, int]:
    """Return (units, places): a third more places than the tail needs, and never more than values."""
    values = images * site.height * site.width
    length = rank(share, values)
    return site.units, min(values, length + max(length // 3, _LEAST_SPARE))


class _Tail:
    """The candidates of one site: `rows[u, :filled[u]]`, of which the `length` largest are the tail."""

    def __init__(self, site: Site, rows: NDArray[np.float32], length: int, images: int) -> None:
        self.site, self.rows, self.length, self.images = site, rows, min(length, rows.shape[1]), images
        self.filled = np.zeros(len(rows), np.int64)
        self.bound = np.full(len(rows), -np.inf, np.float32)  # no value up to it is needed
        self.seen = 0

    def count(self, images: int) -> None:
        self.seen += images
        if self.seen > self.images:
            raise PrunescopeError(
                f"{self.site.layer} was seen for {self.seen} images, but its tail was made for {self.images}"
            )

    def add(self, values: torch.Tensor) -> None:
        """Add what is above the bound of its unit.

        Args:
            values: (positions, units) float32.
        """
        check_finite(self.site, values.sum(0))
        above = values > torch.from_numpy(self.bound).to(values.device)
        chosen = above.cpu().numpy().reshape(-1).nonzero()[0]  # numpy's is six times as fast as torch's
        new = values.reshape(-1)[torch.from_numpy(chosen).to(values.device)].cpu().numpy()
        self._append(chosen % len(self.rows), new)

    def _append(self, units: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Append each value to the row of its unit; rows that fill up on the way are cut back."""
        short = np.min_scalar_type(len(self.rows))  # of which numpy sorts 8 and 16 bits five times as fast
        order = np.argsort(units.astype(short), kind="stable")
        units, values = units[order], values[order]
        places = self.rows.shape[1]
        while len(values):
            counts = np.bincount(units, minlength=len(self.rows))
            place = np.arange(len(units)) + (self.filled - np.cumsum(counts) + counts)[units]
            fits = place < places
            self.rows.reshape(-1)[(units * places + place)[fits]] = values[fits]
            self.filled = np.minimum(self.filled + counts, places)
            if fits.all():
                return
            for unit in np.unique(units[~fits]):
                self._cut(unit)
            needed = ~fits & (values > self.bound[units])
            units, values = units[needed], values[needed]

    def _cut(self, unit: int) -> None:
        """Cut a row back to its tail, and raise the bound to the smallest value of it."""
        row = self.rows[unit, : self.filled[unit]]
        spare = len(row) - self.length
        row.partition(spare)
        self.bound[unit] = row[spare]
        row[: self.length] = row[spare:].copy()
        self.filled[unit] = self.length

    def merge(self, other: _Tail) -> None:
        self.count(other.seen)
        for unit, (row, filled) in enumerate(zip(other.rows, other.filled, strict=True)):
            values = row[:filled]
            values = values[values > self.bound[unit]]
            self._append(np.full(len(values), unit), values)

    def threshold(self) -> NDArray[np.float32]:
        if self.seen != self.images:
            raise PrunescopeError(
                f"{self.site.layer} was seen for {self.seen} of {self.images} images: show it the rest, or "
                "merge the other shards, before asking for thresholds"
            )
        for unit in range(len(self.rows)):
            self._cut(unit)
        return self.bound.copy()

    def highest(self) -> NDArray[np.float32]:
        held = zip(self.rows, self.filled, strict=True)
        return np.array([row[:filled].max(initial=-np.inf) for row, filled in held], np.float32)
