"""The figures of an audit: one network beside the other, dense black and round, pruned blue and square."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from prunescope.report import figures
from prunescope.report.formats import shorten, whole
from prunescope.report.scales import name_places
from prunescope.report.theme import COLOURS, INK, QUIET, Look, page_width

DENSE, PRUNED = Look(INK, "o"), Look(COLOURS[0], "s")
LOOKS = {"dense": DENSE, "pruned": PRUNED}
FORMS = {"pruned": PRUNED, "compact": Look(COLOURS[1], "D")}  # that are timed beside the dense network
DEAF, ZERO_IN_DENSE = "not zero, but can no longer act", "zero in the dense network"
PALE = 0.35  # opacity of what can no longer act, behind the zeros
MOST_NAMED = 100  # layers along an axis; of more, every second or third has its name


def page_wide(height: float) -> Figure:
    """Return a figure as wide as the page, with margins: letters are wider on paper than where they are laid out."""
    figure = Figure(figsize=(page_width(), height))
    figure.set_layout_engine("constrained", w_pad=0.08)
    return figure


class Row(NamedTuple):
    """One line of a figure, with a value of each network."""

    name: str
    dense: float
    pruned: float


def zeros_by_layer(networks: Mapping[str, pd.DataFrame], marks: Mapping[str, float] | None = None) -> Figure:
    """Draw the share of zeros of each layer, and behind it what can no longer act: a panel a network.

    Args:
        networks: title to rows with `layer`, `share` and `unreachable` (NaN where not known), in the order of the
            network.
        marks: the dense network's share of zeros by layer, if the one panel there is has the same layers.
    """
    room = max(map(_room_of, ([str(name) for name in rows["layer"]] for rows in networks.values())))
    figure = page_wide(0.6 + (1.7 + room) * len(networks))
    panels = figure.subplots(len(networks), 1, squeeze=False)[:, 0]
    for ax, (title, rows) in zip(panels, networks.items(), strict=True):
        places = np.arange(len(rows))
        ax.bar(places, rows["unreachable"], 0.8, color=PRUNED.colour, alpha=PALE, linewidth=0, label=DEAF)
        ax.bar(places, rows["share"], 0.8, color=PRUNED.colour, linewidth=0, label="zero")
        if marks:
            heights = [marks[name] for name in rows["layer"]]
            ax.hlines(heights, places - 0.4, places + 0.4, INK, linewidth=1.2, label=ZERO_IN_DENSE)
        if len(networks) > 1:
            ax.set_title(title)
        ax.set_ylim(0, 1)
        ax.yaxis.set_major_formatter(figures.PERCENT)
        ax.set_ylabel("Weights")
        layer_axis(ax, [str(name) for name in rows["layer"]])
    entries: list[tuple[str, Artist]] = [("zero", Patch(color=PRUNED.colour))]
    if any((rows["unreachable"] > rows["share"]).any() for rows in networks.values()):
        entries.append((DEAF, Patch(color=PRUNED.colour, alpha=PALE)))
    if marks:
        entries.append((ZERO_IN_DENSE, Line2D([], [], color=INK, linewidth=1.2)))
    figures.legend_below(figure, entries)
    return figure


def layer_axis(ax: Axes, names: Sequence[str]) -> None:
    """Name layers below an axis on which they stand at 0, 1, 2, …"""
    step = -(-len(names) // MOST_NAMED)
    labels = [shorten(name) for name in names[::step]]
    name_places(ax.xaxis, names)
    ax.set_xticks(range(0, len(names), step), labels, fontsize=_size_of(names))
    ax.tick_params("x", rotation=90)
    ax.set_xlim(-0.7, len(names) - 0.3)
    ax.grid(axis="x", visible=False)


def _size_of(names: Sequence[str]) -> float:
    """Return the size of the letters in which layers are named side by side, in points."""
    return min(6.5, max(4.0, 420 / max(len(names), 1)))


def _room_of(names: Sequence[str]) -> float:
    """Return how high the names of layers are that stand upright, in inches."""
    return max((len(shorten(name)) for name in names), default=0) * 0.6 * _size_of(names) / 72


def dumbbells(panels: Mapping[str, Sequence[Row]]) -> Figure:
    """Draw for each row the dense count and the pruned one, joined by a line; panels share their rows.

    Args:
        panels: title to the rows, of the same names in every panel.
    """
    names = [row.name for row in next(iter(panels.values()))]
    figure = page_wide(0.9 + 0.24 * len(names))
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (title, rows) in zip(axes, panels.items(), strict=True):
        places = np.arange(len(rows))
        dense, pruned = (np.array([getattr(row, name) for row in rows], dtype=float) for name in LOOKS)
        ax.hlines(places, dense, pruned, QUIET, linewidth=1.2)
        for name, values, face in (("dense", dense, "white"), ("pruned", pruned, PRUNED.colour)):
            paint: Any = {"color": LOOKS[name].colour, "markerfacecolor": face, "markersize": 5}
            ax.plot(values, places, LOOKS[name].marker, **paint, label=name)
        ax.set_title(title)
        ax.grid(axis="y", visible=False)
        ax.set_xlim(0, 1.08 * max([1.0, *dense[np.isfinite(dense)], *pruned[np.isfinite(pruned)]]))
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axes[0].set_yticks(range(len(names)), [shorten(name) for name in names], fontsize=7.5)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    figures.legend_below(figure, _ends())
    return figure


def _ends() -> list[tuple[str, Artist]]:
    style: dict[str, Any] = {"linestyle": "none"}
    return [
        ("dense", Line2D([], [], color=INK, marker=DENSE.marker, markerfacecolor="white", **style)),
        ("pruned", Line2D([], [], color=PRUNED.colour, marker=PRUNED.marker, **style)),
    ]


def by_layer(panels: Sequence[Mapping[str, pd.Series[float]]], label: str, *, counts: bool = False) -> Figure:
    """Draw a value of each layer of both networks: in one panel if they have the same layers, else one panel each.

    Args:
        panels: of each, network to values by layer, in the order of the network.
        label: what the values are.
        counts: whether they are counted, from 0 on.
    """
    layers = ([str(name) for name in values.index] for own in panels for values in own.values())
    figure = page_wide(0.6 + (1.6 + max(map(_room_of, layers))) * len(panels))
    axes = figure.subplots(len(panels), 1, sharey=True, squeeze=False)[:, 0]
    for ax, networks in zip(axes, panels, strict=True):
        names = [str(name) for name in next(iter(networks.values())).index]
        places = np.arange(len(names))
        if len(networks) > 1:
            dense, pruned = (networks[name].to_numpy(dtype=float) for name in LOOKS)
            ax.vlines(places, dense, pruned, QUIET, linewidth=1)
        for name, values in networks.items():
            look = LOOKS[name]
            face = "white" if name == "dense" else look.colour
            paint: Any = {"color": look.colour, "markerfacecolor": face, "markersize": 4}
            ax.plot(places, values, look.marker, **paint, label=name)
        layer_axis(ax, names)
        ax.set_ylabel(label)
        if counts:
            ax.set_ylim(bottom=0)
            ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
        if len(panels) > 1:
            ax.set_title(f"The {next(iter(networks))} network")
    figures.legend_below(figure, _ends())
    return figure


def fates(rows: Sequence[tuple[str, Mapping[str, int]]], colours: Mapping[str, str]) -> Figure:
    """Draw what became of detectors, a bar a category: to the left those lost, to the right those there are now."""
    figure = page_wide(0.8 + 0.26 * len(rows))
    ax = figure.subplots()
    places, right = np.arange(len(rows)), np.zeros(len(rows))
    for fate, colour in colours.items():
        widths = np.array([counts.get(fate, 0) for _, counts in rows], dtype=float)
        if fate == "lost":
            ax.barh(places, -widths, 0.7, color=colour, label=fate)
        else:
            ax.barh(places, widths, 0.7, right, color=colour, label=fate)
            right += widths
    ax.axvline(0, color=QUIET, linewidth=0.7)
    ax.set_yticks(places, [shorten(name) for name, _ in rows], fontsize=7.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel("Units")
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))
    ax.xaxis.set_major_formatter(lambda value, _: whole(abs(value)))
    figures.legend_below(figure, [(fate, Patch(color=colour)) for fate, colour in colours.items()])
    return figure


def speedups(rows: Sequence[tuple[str, Mapping[str, tuple[float, float, float]]]]) -> Figure:
    """Draw how much faster than the dense network each form is, with intervals: a line a runtime and batch.

    Args:
        rows: name, and for "pruned" and "compact" the speed-up and the ends of its interval (NaN where none).
    """
    forms = [form for form in FORMS if any(form in found for _, found in rows)]
    figure = page_wide(0.9 + 0.26 * len(rows))
    ax = figure.subplots()
    ax.axvline(1, color=INK, linewidth=1, zorder=1.5, label="dense")
    for form in forms:
        look, aside = FORMS[form], 0.14 * (1 if form == "compact" else -1) * (len(forms) > 1)
        for place, (_, found) in enumerate(rows):
            if form in found:
                value, low, high = found[form]
                if math.isfinite(low + high):
                    ax.hlines(place + aside, low, high, look.colour, linewidth=1, label=form)
                (mark,) = ax.plot([value], [place + aside], look.marker, color=look.colour)
                mark.set(markersize=5, label=form)
    ax.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=7.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, 0.8), max(high, 1.25))
    ax.set_xlabel("Speed-up over the dense network (×)")
    ax.grid(axis="y", visible=False)
    entries: list[tuple[str, Artist]] = [
        (form, Line2D([], [], color=FORMS[form].colour, marker=FORMS[form].marker, linestyle="none"))
        for form in forms
    ]
    figures.legend_below(figure, [("dense", Line2D([], [], color=INK, linewidth=1)), *entries])
    return figure
