"""Which pixels a unit lights: where its map, upsampled to the grid of the annotation, exceeds its threshold.

Upsampling is bilinear with half-pixel centres, as `torch.nn.functional.interpolate` does it. A pixel lies in a cell
between four neighbouring positions of the map and is a weighted mean of their values, so it exceeds no threshold that
none of the four exceeds. Units are lit almost nowhere: nearly all cells can be left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

_VALUES = 1 << 20  # values of maps that are looked at together, and
_PATCHES = 1 << 17  # pixels that are interpolated together, so that what they need stays in the cache


@dataclass(frozen=True)
class Lit:
    """Some lit pixels.

    Attributes:
        images: (lit,) int64.
        units: (lit,) int64.
        pixels: (lit,) int64, places in the grid, row by row.
    """

    images: torch.Tensor
    units: torch.Tensor
    pixels: torch.Tensor


def lit_pixels(maps: torch.Tensor, thresholds: torch.Tensor, grid: tuple[int, int]) -> Iterator[Lit]:
    """Yield every lit pixel once, block by block.

    *Differs* from upsampling everything and comparing: rounding can lift a mean of equal values above them, so
    that a constant unit exceeds its own value; here, cells without a corner above the threshold are dark.

    Args:
        maps: (images, units, h, w), floating; fastest where channels come last in memory. Half precision is
            compared as it is, and interpolated in float32.
        thresholds: (units,) in a type that holds the maps' values.
        grid: height and width of the annotation in pixels.
    """
    images, units, height, width = maps.shape
    rows, columns = _axis(height, grid[0], maps), _axis(width, grid[1], maps)
    together = max(1, _VALUES // (units * height * width))
    for first in range(0, images, together):
        values = maps[first : first + together].permute(0, 2, 3, 1).contiguous()  # (images, h, w, units)
        touched = _touched(values > thresholds)
        for some in _places(touched).split(max(1, _PATCHES // (rows.most * columns.most))):
            image, row, column, unit = torch.unravel_index(some, touched.shape)
            patches = _interpolated(values, image, rows, row, columns, column, unit)
            found = _places(patches > thresholds.index_select(0, unit))
            slot, cell = found // len(some), found % len(some)
            pixels = _first_pixels(rows, row, columns, column).index_select(0, cell)
            pixels += _steps(rows, columns).index_select(0, slot)
            yield Lit(image.index_select(0, cell) + first, unit.index_select(0, cell), pixels)


@dataclass(frozen=True)
class _Axis:
    """How the pixels along one side of the grid fall into the n + 1 cells along one side of a map.

    Cell c lies between the positions c - 1 and c, where position -1 stands for 0, and n for n - 1.

    Attributes:
        below, above: (n + 1,) int64, the positions on both sides of each cell.
        first: (n + 1,) int64, the first of each cell's pixels, which are neighbours.
        weights: (most, n + 1), what the position above weighs for each of them; NaN, which exceeds nothing,
            where a cell has fewer than `most`.
        pixels: in all cells together.
    """

    below: torch.Tensor
    above: torch.Tensor
    first: torch.Tensor
    weights: torch.Tensor
    pixels: int

    @property
    def most(self) -> int:
        """Pixels in the cell that has most of them."""
        return len(self.weights)


def _axis(positions: int, pixels: int, maps: torch.Tensor) -> _Axis:
    pixel = np.arange(pixels)
    # The centre of pixel p lies at (p + 1/2) positions / pixels - 1/2. In whole numbers no pixel gets into the
    # wrong cell, and weights are exactly 0 where a pixel has the same centre as a position.
    cell, rest = np.divmod((2 * pixel + 1) * positions + pixels, 2 * pixels)
    first = np.searchsorted(cell, np.arange(positions + 1))
    within = pixel - first[cell]
    weights = np.full((within.max() + 1, positions + 1), np.nan)
    weights[within, cell] = rest / (2 * pixels)
    between = torch.arange(positions + 1, device=maps.device)
    return _Axis(
        below=(between - 1).clamp(min=0),
        above=between.clamp(max=positions - 1),
        first=torch.from_numpy(first).to(maps.device),
        weights=torch.from_numpy(weights).to(torch.promote_types(maps.dtype, torch.float32)).to(maps.device),
        pixels=pixels,
    )


def _touched(above: torch.Tensor) -> torch.Tensor:
    """Return which cells have a corner above: from (images, h, w, units) to (images, h + 1, w + 1, units)."""
    images, height, width, units = above.shape
    touched = above.new_zeros(images, height + 1, width + 1, units)
    for row in (slice(None, -1), slice(1, None)):
        for column in (slice(None, -1), slice(1, None)):
            touched[:, row, column] |= above
    return touched


def _places(where: torch.Tensor) -> torch.Tensor:
    """Return the flat indices at which a bool tensor is true; numpy's search is the faster one on the CPU."""
    flat = where.flatten()
    return torch.from_numpy(np.flatnonzero(flat.numpy())) if flat.is_cpu else flat.nonzero().squeeze(1)


def _interpolated(
    values: torch.Tensor,
    image: torch.Tensor,
    rows: _Axis,
    row: torch.Tensor,
    columns: _Axis,
    column: torch.Tensor,
    unit: torch.Tensor,
) -> torch.Tensor:
    """Return the pixels of some cells, (rows.most, columns.most, cells).

    Args:
        values: (images, h, w, units), contiguous.
        image: (cells,), where each cell is; likewise `row`, `column` and `unit`.
    """
    _, height, width, units = values.shape
    flat = values.view(-1)
    left, right = (side.index_select(0, column) * units + unit for side in (columns.below, columns.above))
    across, down = columns.weights.index_select(1, column), rows.weights.index_select(1, row)

    def edge(positions: torch.Tensor) -> torch.Tensor:  # the upper or the lower one: (columns.most, cells)
        line = (image * height + positions.index_select(0, row)) * (width * units)
        start, end = (flat.index_select(0, line + side).to(across.dtype) for side in (left, right))
        return torch.addcmul(start, across, end - start)

    top, bottom = edge(rows.below), edge(rows.above)
    return torch.addcmul(top, down[:, None], bottom - top)


def _first_pixels(rows: _Axis, row: torch.Tensor, columns: _Axis, column: torch.Tensor) -> torch.Tensor:
    """Return where in the grid the first pixel of each cell is, (cells,)."""
    return rows.first.index_select(0, row) * columns.pixels + columns.first.index_select(0, column)


def _steps(rows: _Axis, columns: _Axis) -> torch.Tensor:
    """Return how far from the first pixel of a cell each of its pixels is, (rows.most * columns.most,)."""
    down, across = (torch.arange(side.most, device=side.first.device) for side in (rows, columns))
    return (down[:, None] * columns.pixels + across).flatten()
