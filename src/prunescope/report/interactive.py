"""What the page needs of a figure besides its picture: the script that brings it to life, its legend, its numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pandas as pd
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from prunescope.analysis.csv_text import csv_text
from prunescope.report.formats import LONGEST_IN_LEGEND, shorten
from prunescope.report.live_svg import CELLS, middle_of, page_svg, sample
from prunescope.report.panels import Panel, panels_of
from prunescope.report.scales import Scale
from prunescope.report.traces import COLOUR_BAR, ONE_SEED, Mark, label_of, marks_of

MOST_MARKS = 6000  # of a figure that are told one by one; the file of its numbers has all
LEGEND, HALF_A_LINE = "legend", 8.0  # its id, and points from the middle of its first line to its upper edge
POINT = 72.0  # an SVG's unit is a point, 1/72 inch


@dataclass(frozen=True)
class Entry:
    """A line of a legend: its name, and a sample of what is drawn so."""

    name: str
    sample: Markup
    series: str = ""  # what it names, if that can be hidden


@dataclass(frozen=True)
class Live:
    """A figure as the page shows it.

    Attributes:
        width, height: of what is shown, in points: without the legend, which the page writes itself.
        script: what brings it to life.
        csv: its numbers; empty where it has none.
    """

    width: float
    height: float
    script: str
    csv: str
    legend: Sequence[Entry]


def name_parts(figure: Figure) -> None:
    """Give all that is drawn an id that its SVG keeps; the figure must be laid out."""
    for place, ax in enumerate(figure.axes):
        ax.set_gid(f"panel{place}")
        for number, artist in enumerate(_drawn(ax)):
            kind = "dots" if isinstance(artist, PathCollection) else "part"
            artist.set_gid(f"{kind}{place}-{number}{CELLS if isinstance(artist, QuadMesh) else ''}")
    for legend in _legends_below(figure):
        legend.set_gid(LEGEND)
        for number, handle in enumerate(legend.legend_handles):
            if handle is not None:
                handle.set_gid(f"sample{number}")


def _drawn(ax: Axes) -> list[Artist]:
    """Return what moves with the data of a panel."""
    return [
        artist
        for artist in (*ax.lines, *ax.collections, *ax.patches, *ax.images, *ax.texts)
        if getattr(artist, "xycoords", "data") == "data"
    ]


def _legends_below(figure: Figure) -> list[Legend]:
    """Return the legend that lies below all panels, if there is one."""
    lowest = min((ax.get_window_extent().y0 for ax in figure.axes), default=0)
    return [legend for legend in figure.legends[:1] if legend.get_window_extent().y1 <= lowest]


def bring_to_life(figure: Figure, name: str, svg: str) -> Live:
    """Read from a figure, whose parts are named, and from its SVG what the page shows of it."""
    width, height = (float(side) * POINT for side in figure.get_size_inches())
    marks, series, panels = marks_of(figure), _series(figure), panels_of(figure)
    root = fromstring(svg)
    lines = [middle_of(root, f"sample{number}")[1] for number in range(_lines_of_legend(figure))]
    shown = min([height, *(line - HALF_A_LINE for line in lines if math.isfinite(line))])
    entries = _entries(figure, root, list(series))
    told = marks if len(marks) <= MOST_MARKS else []
    data = {
        "name": name,
        "svg": page_svg(root, name, (width, shown)),
        "panels": [
            {"box": _box(figure, ax, height), "cells": panel.cells, "bar": ax.get_label() == COLOUR_BAR}
            for ax, panel in zip(figure.axes, panels, strict=True)
        ],
        "series": [[label, [f"{name}-{part}" for part in parts]] for label, parts in series.items()],
        "marks": [_told(figure, panels[mark.panel], mark, list(series), height) for mark in told],
        "untold": len(marks) - len(told),
    }
    script = f"prunescope.figure({json.dumps(data, ensure_ascii=False, separators=(',', ':'))});\n"
    csv = csv_text(table_of_marks(panels, marks)) if marks else ""
    return Live(width, shown, script, csv, entries)


def _series(figure: Figure) -> dict[str, list[str]]:
    """Return for each series the ids of what is drawn of it."""
    found: dict[str, list[str]] = {}
    for ax in figure.axes:
        if ax.get_label() == COLOUR_BAR:
            continue
        bars = [container for container in ax.containers if isinstance(container, BarContainer)]
        of_bars = {id(bar): label_of(container) for container in bars for bar in container.patches}
        for artist in _drawn(ax):
            label = (of_bars.get(id(artist)) or label_of(artist)).removesuffix(ONE_SEED)
            if label:
                found.setdefault(label, []).append(str(artist.get_gid()))
    return found


def _box(figure: Figure, ax: Axes, height: float) -> list[float]:
    """Return where a panel lies in the picture: left, top, right and bottom, in points."""
    box, scale = ax.get_window_extent(), POINT / figure.dpi
    corners = (box.x0 * scale, height - box.y1 * scale, box.x1 * scale, height - box.y0 * scale)
    return [round(float(corner), 2) for corner in corners]


def _told(figure: Figure, panel: Panel, mark: Mark, series: list[str], height: float) -> list[Any]:
    """Return a mark as the page tells it: panel, series, place in the picture, which way it goes across, and lines."""
    nowhere = (math.nan, math.nan)
    lines = [
        mark.name,
        _line(panel.x, panel.x_scale, mark.x, mark.x_ends),
        _line(panel.y, panel.y_scale, mark.y, mark.y_ends),
        _line(panel.colour, panel.colour_scale, mark.value, nowhere),
        "one seed" if mark.one_seed else "",
    ]
    scale = POINT / figure.dpi
    at = [round(mark.at[0] * scale, 2), round(height - mark.at[1] * scale, 2)]
    across = "x" if math.isnan(mark.x) else "y" if math.isnan(mark.y) else ""
    place = series.index(mark.series) if mark.series in series else -1
    return [mark.panel, place, *at, across, [line for line in lines if line]]


def _line(name: str, scale: Scale, value: float, ends: tuple[float, float]) -> str:
    if not math.isfinite(value):
        return ""
    low, high = ends
    within = f" ({scale.write(low)} to {scale.write(high)})" if math.isfinite(low + high) else ""
    return ": ".join(filter(None, [name, f"{scale.write(value)}{within}"]))


def table_of_marks(panels: Sequence[Panel], marks: Sequence[Mark]) -> pd.DataFrame:
    """Return the numbers of a figure, a row a value; columns in which nothing stands are left out."""
    table = pd.DataFrame(
        {
            "panel": panels[mark.panel].title,
            "series": mark.series,
            "name": mark.name,
            "of": "one seed" if mark.one_seed else "",
            "x axis": panels[mark.panel].x,
            "x": _exact(panels[mark.panel].x_scale, mark.x),
            "x low": mark.x_ends[0],
            "x high": mark.x_ends[1],
            "y axis": panels[mark.panel].y,
            "y": _exact(panels[mark.panel].y_scale, mark.y),
            "y low": mark.y_ends[0],
            "y high": mark.y_ends[1],
            "colour": panels[mark.panel].colour if math.isfinite(mark.value) else "",
            "value": mark.value,
        }
        for mark in marks
    )
    return table.loc[
        :, [column for column in table if not (table[column].isna() | (table[column] == "")).all()]
    ]


def _exact(scale: Scale, value: float) -> float | str:
    """Return a value in full, a place among names as the name."""
    return scale.write(value) if scale.named and math.isfinite(value) else value


def _lines_of_legend(figure: Figure) -> int:
    return sum(len(legend.get_texts()) for legend in figure.legends if legend.get_gid() == LEGEND)


def _entries(figure: Figure, root: Element, series: Sequence[str]) -> list[Entry]:
    """Return the lines of the legend below the panels, each with a sample cut from the picture."""
    entries = []
    for legend in (legend for legend in figure.legends if legend.get_gid() == LEGEND):
        for number, name in enumerate(text.get_text() for text in legend.get_texts()):
            hides = next(
                (each for each in series if name in {each, shorten(each), shorten(each, LONGEST_IN_LEGEND)}),
                "",
            )
            entries.append(Entry(name, sample(root, f"sample{number}"), hides))
    return entries
