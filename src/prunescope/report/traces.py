"""What a figure shows, read back from it: the points of each series with their intervals, by panel.

The page says what is under the pointer, hides a series, and offers the numbers of a figure with this. A series is
what drawn things have as their label; what has none (grids, lines of reference) belongs to no series.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle, StepPatch
from matplotlib.transforms import Transform

ONE_SEED = ", one seed"  # ends the label of points that stand for one seed each
NO_LABEL = re.compile(r"_child\d+|_nolegend_|_container\d+|")
_POINTS: WeakKeyDictionary[Artist, list[str]] = WeakKeyDictionary()
_VALUES: WeakKeyDictionary[Artist, tuple[Any, list[str]]] = WeakKeyDictionary()
COLOUR_BAR = "<colorbar>"  # matplotlib's label of the axes that explain colours
NOWHERE = (math.nan, math.nan)


@dataclass(frozen=True)
class Mark:
    """One value that a figure shows.

    Attributes:
        panel: its place in `Figure.axes`.
        x, y: in data; NaN where the mark is a line across all of them.
        x_ends, y_ends: its intervals, NaN where there are none.
        value: what the colour of a cell stands for, NaN elsewhere.
        at: its place on the canvas, in pixels from the lower left corner.
        name: what it is, among those of its series, such as a class.
        one_seed: whether it stands for one seed, where its series is the mean of several.
    """

    panel: int
    series: str
    x: float
    y: float
    at: tuple[float, float]
    x_ends: tuple[float, float] = NOWHERE
    y_ends: tuple[float, float] = NOWHERE
    value: float = math.nan
    name: str = ""
    one_seed: bool = False


def name_points(artist: Artist, names: Sequence[str]) -> None:
    """Say what each point is that something drawn consists of, such as the classes of a scatter."""
    _POINTS[artist] = list(names)


def stand_for(artist: Artist, points: Any, names: Sequence[str]) -> None:
    """Say which values a shape stands for, in data, a row each; without this its corners would be taken for values."""
    _VALUES[artist] = points, list(names)


def label_of(artist: Artist | BarContainer) -> str:
    """Return the series that something drawn belongs to; empty for none."""
    label = str(artist.get_label() or "")
    return "" if NO_LABEL.fullmatch(label) else label


def marks_of(figure: Figure) -> list[Mark]:
    """Return all values that a figure shows; its layout must be known."""
    panels = [(place, ax) for place, ax in enumerate(figure.axes) if ax.get_label() != COLOUR_BAR]
    marks = [mark for place, ax in panels for mark in _marks_of_panel(ax, place)]
    # What lies on another of its series is told once, such as a line and its markers; seeds may be alike.
    keys = [
        (m.panel, m.series, repr(m.x), repr(m.y), place if m.one_seed else -1)
        for place, m in enumerate(marks)
    ]
    found: dict[tuple[Any, ...], Mark] = {}
    for key, mark in zip(keys, marks, strict=True):
        if key not in found or (mark.name and not found[key].name):
            found[key] = mark
    return list(found.values())


def _marks_of_panel(ax: Axes, panel: int) -> Iterator[Mark]:
    ends = {(series, which, _place(at)): (low, high) for series, which, at, low, high in _intervals(ax)}
    for mark in _bare_marks(ax, panel):
        if mark.one_seed:
            yield mark
            continue
        x_ends = ends.get((mark.series, "x", _place(mark.y)), NOWHERE)
        y_ends = ends.get((mark.series, "y", _place(mark.x)), NOWHERE)
        yield replace(mark, x_ends=x_ends, y_ends=y_ends)


def _place(value: float) -> str:
    """Return what is alike for the place of a value and that of its interval, and for all that lies nowhere."""
    return f"{value + 0.0:.9g}"


def _bare_marks(ax: Axes, panel: int) -> Iterator[Mark]:
    """Yield the values of a panel without their intervals."""
    for container in ax.containers:
        if isinstance(container, BarContainer) and label_of(container):
            yield from _bars(ax, panel, container)
    for artist in (*ax.lines, *ax.collections, *ax.patches):
        label = label_of(artist)
        if isinstance(artist, QuadMesh):
            yield from _cells(ax, panel, artist)
        elif not label:
            continue
        elif artist in _VALUES:
            values, names = _VALUES[artist]
            yield from _points(panel, label, values, ax.transData, names)
        elif isinstance(artist, Line2D):
            yield from _line(ax, panel, artist, label)
        elif isinstance(artist, PathCollection):
            points: Any = np.ma.filled(np.ma.asarray(artist.get_offsets(), dtype=float), np.nan)
            yield from _points(panel, label, points, artist.get_offset_transform(), _POINTS.get(artist))
        elif isinstance(artist, StepPatch):
            yield from _stairs(ax, panel, artist, label)


def _points(
    panel: int, label: str, points: Any, transform: Transform, names: Sequence[str] | None = None
) -> Iterator[Mark]:
    series = label.removesuffix(ONE_SEED)
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    places = transform.transform(points)
    for (x, y), at, name in zip(points, places, names or [""] * len(points), strict=True):
        if math.isfinite(x + y):
            where = float(at[0]), float(at[1])
            yield Mark(panel, series, float(x), float(y), where, name=name, one_seed=series != label)


def _line(ax: Axes, panel: int, line: Line2D, label: str) -> Iterator[Mark]:
    """Yield the corners of a line; one mark of a line across the panel, or of a short level line."""
    data = np.asarray(line.get_xydata(), dtype=float)
    in_x, in_y = line.get_transform().contains_branch_seperately(ax.transData)
    middle = line.get_transform().transform(data).mean(0) if len(data) else NOWHERE
    at = (float(middle[0]), float(middle[1]))
    if in_x != in_y and len(data):
        x, y = data[0]
        yield Mark(panel, label, float(x) if in_x else math.nan, float(y) if in_y else math.nan, at)
    elif _is_dash(line, data):
        yield Mark(panel, label, float(data[:, 0].mean()), float(data[0, 1]), at)
    else:  # in data, or in data moved aside by some points, of which matplotlib says neither
        yield from _points(panel, label, data, line.get_transform(), _POINTS.get(line))


def _is_dash(line: Line2D, data: Any) -> bool:
    """Whether a line is a dash at one height, such as a median, instead of points that follow each other."""
    bare = line.get_marker() in {None, "None", "none", "", " "}
    return bool(bare and len(data) == 2 and data[0, 1] == data[1, 1])


def _bars(ax: Axes, panel: int, container: BarContainer) -> Iterator[Mark]:
    label, upright = label_of(container), container.orientation != "horizontal"
    values: Any = np.ma.filled(np.ma.asarray(container.datavalues, dtype=float), np.nan)
    for bar, value in zip(container.patches, values, strict=True):
        middle = (bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height() / 2)
        if math.isfinite(value):
            at = tuple(map(float, ax.transData.transform(middle)))
            x, y = (middle[0], value) if upright else (value, middle[1])
            yield Mark(panel, label, float(x), float(y), at)  # type: ignore[arg-type]


def _stairs(ax: Axes, panel: int, patch: StepPatch, label: str) -> Iterator[Mark]:
    values, edges, _ = patch.get_data()
    middles = (np.asarray(edges)[1:] + np.asarray(edges)[:-1]) / 2
    yield from _points(panel, label, np.column_stack([middles, values]), ax.transData)


def _cells(ax: Axes, panel: int, mesh: QuadMesh) -> Iterator[Mark]:
    values: Any = np.ma.filled(np.ma.asarray(mesh.get_array(), dtype=float), np.nan)
    corners = np.asarray(mesh.get_coordinates())  # (rows + 1, columns + 1, 2)
    middles = (corners[1:, 1:] + corners[:-1, :-1]) / 2
    label = label_of(mesh)
    for (row, column), value in np.ndenumerate(values.reshape(middles.shape[:2])):
        x, y = map(float, middles[row, column])
        at = tuple(map(float, ax.transData.transform((x, y))))
        if math.isfinite(value):
            yield Mark(panel, label, x, y, at, value=float(value))  # type: ignore[arg-type]


def _intervals(ax: Axes) -> list[tuple[str, str, float, float, float]]:
    """Return the intervals of a panel: series, whether along x or y, where on the other axis, low and high."""
    found: list[tuple[str, str, float, float, float]] = []
    for artist in (*ax.collections, *ax.patches):
        label = label_of(artist)
        if not label or artist in _VALUES:
            continue
        if isinstance(artist, LineCollection):
            found += [(label, *end) for end in map(_segment, artist.get_segments()) if end is not None]
        elif isinstance(artist, PolyCollection) and len(artist.get_paths()):
            corners = np.concatenate([path.vertices for path in artist.get_paths()])
            for x in np.unique(corners[:, 0]):
                y = corners[corners[:, 0] == x, 1]
                found.append((label, "y", float(x), float(y.min()), float(y.max())))
        elif type(artist) in {Rectangle, Polygon}:
            found += [(label, *span) for span in _span(ax, artist)]
    return [each for each in found if math.isfinite(each[3] + each[4])]


def _segment(segment: Any) -> tuple[str, float, float, float] | None:
    if len(segment) != 2:
        return None
    (x0, y0), (x1, y1) = map(tuple, np.asarray(segment, dtype=float))
    if x0 == x1:
        return "y", float(x0), float(min(y0, y1)), float(max(y0, y1))
    return ("x", float(y0), float(min(x0, x1)), float(max(x0, x1))) if y0 == y1 else None


def _span(ax: Axes, patch: Any) -> Iterator[tuple[str, float, float, float]]:
    """Yield the interval of a line across the panel, which is drawn as a band."""
    box = patch.get_path().get_extents() if isinstance(patch, Polygon) else patch.get_bbox()
    in_x, in_y = patch.get_transform().contains_branch_seperately(ax.transData)
    if in_y and not in_x:
        yield "y", math.nan, float(box.y0), float(box.y1)
    elif in_x and not in_y:
        yield "x", math.nan, float(box.x0), float(box.x1)
