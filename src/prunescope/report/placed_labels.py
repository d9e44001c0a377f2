"""Short labels beside points, so placed that none covers another, a point or a bar; what has no room is left out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

SIZE = 6.0  # of the letters, in points
DISTANCES = (5.0, 9.0, 13.0)  # points from the middle of a point to the nearest edge of its label
FOREIGN = 1.3  # a label of another colour is taken for a point's only where it is this much nearer
MARKER = 3.0  # half the width of a point, in points
# In the order in which they are tried: where the label lies, seen from its point.
SIDES = ((1, 1), (1, 0), (-1, 1), (0, 1), (1, -1), (-1, 0), (0, -1), (-1, -1))
ALIGN = {-1: "right", 0: "center", 1: "left"}
LEVEL = {-1: "top", 0: "center", 1: "bottom"}


class Point(NamedTuple):
    """A point with its label, in the coordinates of the axes' data.

    Attributes:
        bars: the ends of its error bars: x from, x to, y from, y to; the point's own where it has none.
        series: what the label goes with, when that is hidden.
    """

    x: float
    y: float
    bars: tuple[float, float, float, float]
    text: str
    colour: str
    series: str = ""


class Place(NamedTuple):
    """A place for a label: on which side of its point, how many points away, and what it covers on the canvas."""

    across: int
    up: int
    away: float
    box: Bbox


def place_labels(ax: Axes, points: Sequence[Point]) -> None:
    """Write each point's label in the first free place around it.

    Free is what no other label, point, bar or line covers, and what one would not take for the label of another
    point. The figure must be laid out and its limits set: places are counted on the canvas.
    """
    scale = ax.get_figure(root=True).dpi / 72  # type: ignore[union-attr]
    taken = [box for point in points for box in _boxes(ax, point, scale)]
    taken += [box for line in ax.lines for box in _along(line, scale)]
    sizes = {text: _size(ax, text) for text in {point.text for point in points}}
    for point in points:
        rivals = [other for other in points if other is not point]
        place = _place(ax, point, sizes[point.text], scale, taken, rivals)
        if place is not None:
            taken.append(place.box)
            _write(ax, point, place)


def _size(ax: Axes, text: str) -> tuple[float, float]:
    """Return the width and the height of a text on the canvas."""
    label = ax.text(0, 0, text, fontsize=SIZE)
    box = label.get_window_extent()
    label.remove()
    return box.width, box.height


def _place(
    ax: Axes,
    point: Point,
    size: tuple[float, float],
    scale: float,
    taken: Sequence[Bbox],
    rivals: Sequence[Point],
) -> Place | None:
    """Return the first free place; None if there is none."""
    room = ax.get_window_extent()
    x, y = ax.transData.transform((point.x, point.y))
    for distance, (across, up) in itertools.product(DISTANCES, SIDES):
        away = distance * (0.7 if across and up else 1.0)
        left = x + away * scale * across - size[0] * (1 - across) / 2
        bottom = y + away * scale * up - size[1] * (1 - up) / 2
        place = Place(across, up, away, Bbox.from_bounds(left, bottom, *size))
        if not _inside(place.box, room) or place.box.count_overlaps(taken):
            continue
        if _distance(ax, point, place.box) <= min(
            (
                _distance(ax, other, place.box) * (1 if other.colour == point.colour else FOREIGN)
                for other in rivals
            ),
            default=math.inf,
        ):
            return place
    return None


def _distance(ax: Axes, point: Point, box: Bbox) -> float:
    """Return how far a point is from the middle of a label."""
    x, y = ax.transData.transform((point.x, point.y))
    return math.hypot((box.x0 + box.x1) / 2 - x, (box.y0 + box.y1) / 2 - y)


def _write(ax: Axes, point: Point, place: Place) -> None:
    label = ax.annotate(
        point.text,
        (point.x, point.y),
        (place.away * place.across, place.away * place.up),
        textcoords="offset points",
        ha=ALIGN[place.across],
        va=LEVEL[place.up],
        fontsize=SIZE,
        color=point.colour,
    )
    label.set_in_layout(False)
    label.set_label(point.series)


def _along(line: Line2D, scale: float) -> list[Bbox]:
    """Return small boxes along a line on the canvas, so close that no label slips between them."""
    corners = line.get_transform().transform(line.get_xydata())
    boxes = []
    for start, end in itertools.pairwise(corners):
        steps = max(2, int(np.hypot(*(end - start)) / (2 * scale)))
        for x, y in np.linspace(start, end, steps):
            boxes.append(Bbox.from_extents(x - scale, y - scale, x + scale, y + scale))
    return boxes


def _boxes(ax: Axes, point: Point, scale: float) -> list[Bbox]:
    """Return what a point and its bars cover on the canvas."""
    x, y = ax.transData.transform((point.x, point.y))
    left, bottom = ax.transData.transform((point.bars[0], point.bars[2]))
    right, top = ax.transData.transform((point.bars[1], point.bars[3]))
    half, thin = MARKER * scale, 0.5 * scale
    return [
        Bbox.from_extents(x - half, y - half, x + half, y + half),
        Bbox.from_extents(left, y - thin, right, y + thin),
        Bbox.from_extents(x - thin, bottom, x + thin, top),
    ]


def _inside(box: Bbox, room: Bbox) -> bool:
    return bool(box.x0 >= room.x0 and box.x1 <= room.x1 and box.y0 >= room.y0 and box.y1 <= room.y1)
