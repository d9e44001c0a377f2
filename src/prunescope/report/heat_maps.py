"""The figures that are heat maps: what is left of each layer, what changed in each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from prunescope.analysis.results import Results, targets_of
from prunescope.report.formats import name_target, short_percent, shorten
from prunescope.report.scales import name_places
from prunescope.report.theme import FAINT, page_width

LEFT_COLOURS = "YlGnBu"  # light is little
LONGEST_TITLE = 80  # characters above a panel as wide as the page
UPRIGHT = 16  # columns whose names fit side by side; of more, they stand upright
LETTERS_PER_INCH = 13.5  # bold ones
LEAST_LETTERS = 8  # of a name above its columns; with room for fewer it stands upright
BESIDE = 1.8  # inches: the names of classes and the bar of colours
ON_LIGHT = "#1b1f25"  # not INK, which turns light on a dark page
CHANGE_COLOURS = "PuOr"  # orange below, purple above: told apart with every common colour blindness
SPARED: dict[str, Any] = {"facecolor": "none", "edgecolor": "white", "hatch": "////", "linewidth": 0}


class Scale(NamedTuple):
    """What the colours of a heat map stand for."""

    label: str
    colours: str
    low: float
    high: float
    write: Callable[[float], str]
    gamma: float = 1.0  # below 1, colours tell small values apart better than large ones


class Heading(NamedTuple):
    """What stands above columns, and the inches that it takes beyond a line."""

    text: str
    upright: bool
    room: float


def density_by_layer(results: Results) -> Figure:
    """Draw the weights left in each layer: a panel per series, a row per target, layers from the input on."""
    final = results.final[["network", "series", "target", "rate"]]
    layers = results.layers.merge(final, on="network")
    order = [str(name) for name in layers["layer"].unique()]
    left = {
        series: by_target(own, "left").reindex(columns=order)
        for series in results.series
        if series not in results.controls  # which have the densities of the series that they belong to
        if len(own := layers[layers["series"] == series])
    }
    figure = by_layer(left, Scale("Weights left", LEFT_COLOURS, 0, 1, short_percent), results.target_label)
    for ax, series in zip(figure.axes, left, strict=False):
        spared = set(layers.loc[(layers["series"] == series) & layers["spared"].astype(bool), "layer"])
        for column in (i for i, layer in enumerate(order) if layer in spared):
            ax.axvspan(column, column + 1, **SPARED)
    hatched = Patch(**(SPARED | {"facecolor": "#41b6c4"}))
    figure.legend([hatched], ["spared: never pruned"], loc="outside upper right", fontsize=7)
    return figure


def by_target(rows: pd.DataFrame, values: str) -> pd.DataFrame:
    """Average over seeds: a row per target, by name, the rates rising; a column per layer.

    Args:
        rows: `target`, `rate`, `layer` and the values.
    """
    targets = targets_of(rows)
    table = rows.pivot_table(index="target", columns="layer", values=values, observed=True)
    return table.reindex(list(targets)).set_axis([name_target(*target) for target in targets.items()])


def by_layer(
    panels: Mapping[str, pd.DataFrame], scale: Scale, label: str, *, rasterized: bool = False
) -> Figure:
    """Draw a panel per series on one scale, a row per target, a column per layer.

    Args:
        panels: from the name of a series to (targets, layers), labelled, with the same layers for all.
        label: what the rows are called.
        rasterized: keeps many cells small in the page; lines and letters stay sharp.
    """
    order = [str(name) for name in next(iter(panels.values())).columns]
    heights = [len(rows) for rows in panels.values()]
    # A row is .2 inch high; titles, the layers' names and the bar take the rest.
    height = 1.7 + 0.2 * sum(heights) + 0.35 * len(panels)
    figure = Figure(figsize=(page_width(), height), layout="constrained")
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    axes: list[Axes] = list(grid[:, 0])
    for ax, (series, rows) in zip(axes, panels.items(), strict=True):
        norm = PowerNorm(scale.gamma, scale.low, scale.high)
        mesh = _heat_map(ax, rows.to_numpy(), scale.colours, norm)
        mesh.set_rasterized(rasterized)
        ax.set_title(shorten(series, LONGEST_TITLE))
        ax.invert_yaxis()  # more is pruned further down
        _ticks(ax.yaxis, [str(name) for name in rows.index], 7)
    axes[len(axes) // 2].set_ylabel(label)
    # As large as fits side by side; of more than 100 layers, every second or third is named.
    room = 58 * page_width()  # points
    size = min(6.5, max(4.0, room / len(order)))
    _ticks(axes[-1].xaxis, [shorten(name) for name in order], size, most=int(room / 4.2))
    axes[-1].tick_params("x", rotation=90)
    slim = max(30, 7 * figure.get_figheight())
    bar = figure.colorbar(mesh, ax=axes, location="right", aspect=slim, pad=0.015)
    _finish_bar(bar, scale.label, scale.write)
    return figure


def change_by_class(results: Results, change: pd.DataFrame) -> Figure:
    """Draw the change of top-1 of each class against the dense network.

    Args:
        results: the study, whose series give the order.
        change: (classes, networks) in fractions; its columns are pairs of a series and the name of a target.
    """
    values = change.to_numpy()
    columns: list[Any] = change.columns.to_list()
    names = [str(name) for name, _ in columns]
    headings = {name: _heading(name, names.count(name) / len(names)) for name in names}
    room = max(heading.room for heading in headings.values())
    figure = Figure(figsize=(page_width(), 1.0 + 0.17 * len(change) + room), layout="constrained")
    ax = figure.subplots()
    largest = max(float(np.nanmax(np.abs(values))), 0.01)
    mesh = _heat_map(ax, values, CHANGE_COLOURS, Normalize(-largest, largest))
    ax.invert_yaxis()  # the first class on top
    _ticks(ax.yaxis, [shorten(str(name)) for name in change.index], 7)
    _ticks(ax.xaxis, [target for _, target in columns], 6.5 if len(columns) <= UPRIGHT else 6, most=80)
    name_places(ax.xaxis, [f"{series}, {target}" for series, target in columns], 0.5)
    if len(columns) > UPRIGHT:
        ax.tick_params("x", rotation=90)
    if len(columns) <= UPRIGHT:
        _write_values(ax, values, largest)
    for name in (name for name in results.series if name in headings):
        start, heading = names.index(name), headings[name]
        ax.axvline(start, color="white", linewidth=3)
        ax.annotate(
            heading.text,
            (start + names.count(name) / 2, 1),
            (0, 5),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="bottom",
            rotation=90 if heading.upright else 0,
            fontweight="bold",
        )
    ax.set_xlabel(results.target_label)
    bar = figure.colorbar(mesh, ax=ax, location="right", aspect=30, pad=0.015)
    _finish_bar(bar, "Change of top-1 (points)", _whole_points)
    return figure


def _heading(name: str, share: float) -> Heading:
    """Write a name above its columns, which take a share of all: in two lines, or upright where they are few."""
    letters = int(LETTERS_PER_INCH * share * (page_width() - BESIDE))
    if letters < LEAST_LETTERS:
        text = shorten(name)
        return Heading(text, upright=True, room=len(text) / LETTERS_PER_INCH)
    lines = wrap(shorten(name, 2 * letters), letters)
    return Heading("\n".join(lines), upright=False, room=0.13 * (len(lines) - 1))


def _heat_map(ax: Axes, values: NDArray[Any], colours: str, norm: Normalize) -> Any:
    """Draw (rows, columns) as cells with white lines between; grey where there is no value."""
    ax.set_facecolor(FAINT)
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    masked = np.ma.masked_invalid(values)
    return ax.pcolormesh(masked, cmap=colours, norm=norm, edgecolors="white", linewidth=0.4)


def _write_values(ax: Axes, values: NDArray[Any], largest: float) -> None:
    """Write each change, in points, into its cell."""
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.65 * largest else ON_LIGHT
            at = (column + 0.5, row + 0.5)
            ax.text(*at, _whole_points(value), ha="center", va="center_baseline", fontsize=6, color=colour)


def _whole_points(change: float) -> str:
    return f"{100 * change:+.0f}".replace("-", "−") if round(100 * change) else "0"


def _ticks(axis: Any, names: list[str], size: float, most: int = 200) -> None:
    """Label the cells along an axis of a heat map, at most `most` of them."""
    step = -(-len(names) // most)
    axis.set_ticks(np.arange(0, len(names), step) + 0.5, names[::step], fontsize=size)
    name_places(axis, names, 0.5)


def _finish_bar(bar: Any, label: str, write: Callable[[float], str]) -> None:
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=7)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    bar.set_label(label, fontsize=7.5)
