"""Where a unit is active in an image, as an outline to draw over its thumbnail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
from contourpy import contour_generator
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from prunescope.probe.examples import Examples

SIDE = 96  # of the square that outlines are drawn in, and of the thumbnails below them
STEP = 2.0 * SIDE  # from one map to the next, where many are drawn at once


def outlines(maps: NDArray[np.float32], levels: NDArray[np.float32]) -> list[str]:
    """Return the border of where each map is above its level, as SVG path data in a square of 96 x 96.

    A map is taken as linear between the centres of its cells, and as constant from the outer ones to the edge.

    Args:
        maps: (maps, h, w), each spread over a square.
        levels: (maps,).
    """
    drawn = [""] * len(maps)
    lit = np.flatnonzero((maps > levels[:, None, None]).any(axis=(1, 2)))
    if len(lit):
        strip = _strip(maps[lit] - levels[lit, None, None])
        for line in _borders(strip, maps.shape[1:], len(lit)):
            place = round((line[:, 1].mean() - SIDE / 2) / STEP)
            drawn[lit[place]] += _path(line - (0, place * STEP))
    return drawn


def _strip(heights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put maps below each other, each with its edges doubled and a deep rim around, which closes all lines."""
    edged = np.pad(heights, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rimmed = np.pad(edged, ((0, 0), (1, 1), (1, 1)), constant_values=-1e3 * np.abs(heights).max() - 1)
    return rimmed.reshape(-1, rimmed.shape[2])


def _borders(strip: NDArray[np.float32], shape: tuple[int, ...], maps: int) -> list[NDArray[np.float64]]:
    """Return all lines at height 0: (points, 2), x and y, the maps `STEP` apart."""
    down = (np.arange(maps)[:, None] * STEP + _places(shape[0])).ravel()
    lines = contour_generator(_places(shape[1]), down, strip, line_type="Separate").lines(0.0)
    return cast("list[NDArray[np.float64]]", lines)


def _places(cells: int) -> NDArray[np.float64]:
    """Return where the cells lie along the square, with its ends and their rims."""
    inner = (np.arange(cells) + 0.5) * SIDE / cells
    return np.concatenate([[-1e-6, 0], inner, [SIDE, SIDE + 1e-6]])


def _path(line: NDArray[np.float64]) -> str:
    """Return a closed line in whole numbers and relative steps, which is short."""
    points = _corners(np.rint(line).astype(int))
    if len(points) < 4:  # covers no area
        return ""
    (x, y), steps = points[0], np.diff(points[:-1], axis=0).ravel().tolist()
    return f"M{x} {y}l" + "".join(f"{step:+d}" for step in steps).replace("+", " ").strip() + "z"


def _corners(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Leave out points that repeat the one before, or lie on the way from it to the one after."""
    moves = np.diff(points, axis=0).any(axis=1)
    points = points[np.concatenate([[True], moves])]
    steps = np.diff(points, axis=0)
    before, after = steps[:-1], steps[1:]
    straight = before[:, 0] * after[:, 1] == before[:, 1] * after[:, 0]
    onward = (before * after).sum(axis=1) > 0
    kept = np.ones(len(points), dtype=bool)
    kept[1:-1] = ~(straight & onward)
    return points[kept]


def example_rows(
    examples: Examples,
    layers: Mapping[str, str],
    thresholds: Mapping[str, torch.Tensor],
    names: Sequence[str],
) -> pd.DataFrame:
    """Return the table `examples`: the images that each unit answers to most and least.

    Args:
        layers: from the name that a layer has in tables to the layer whose output was looked at.
        thresholds: by the latter, (units,): above them, an image of the highest is outlined.
        names: (images,) of all images of the pass.
    """
    known = np.array(names, dtype=object)
    parts = []
    for layer, seen in layers.items():
        images, means, maps = examples.highest(seen)
        levels = thresholds[seen].numpy(force=True).repeat(maps.shape[1])
        drawn = outlines(maps.reshape(-1, *maps.shape[2:]), levels)
        parts.append(_rows(layer, "highest", known[images], means, drawn))
        images, means = examples.lowest(seen)
        parts.append(_rows(layer, "lowest", known[images], means, ""))
    return pd.concat(parts, ignore_index=True)


def _rows(
    layer: str, side: str, names: NDArray[np.object_], means: NDArray[np.float32], outlines: list[str] | str
) -> pd.DataFrame:
    units, keep = means.shape
    rows = pd.DataFrame(
        {
            "layer": layer,
            "unit": np.repeat(np.arange(units), keep),
            "side": side,
            "rank": np.tile(np.arange(keep), units),
            "image": names.ravel(),
            "activation": means.ravel(),
            "outline": outlines,
        }
    )
    return rows.loc[np.isfinite(means.ravel())]  # of fewer images than are kept, the rest is infinite
