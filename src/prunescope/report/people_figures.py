"""The figures of answers that are right or wrong: by network, layer and confidence, and against MIS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator

from prunescope.analysis.confidence import Confidence
from prunescope.analysis.crossed import Crossed
from prunescope.analysis.people_and_mis import PeopleAndMis
from prunescope.analysis.people_mis_findings import about_of
from prunescope.analysis.people_slope import PeopleSlope
from prunescope.analysis.results import Results
from prunescope.analysis.right_answers import RightAnswers, networks_of
from prunescope.analysis.votes import name_of
from prunescope.report import figures
from prunescope.report.formats import shorten
from prunescope.report.theme import COLOURS, INK, MARKERS, QUIET, page_width
from prunescope.report.traces import name_points

ROW, LONGEST, MOST_COLUMNS = 0.34, 24, 3
GUESSING: Any = {"color": INK, "linewidth": 0.8, "linestyle": (0, (1, 2))}
CEILING = COLOURS[4]
OVER_BOTH = "over participants and units"
DENSE = "dense, or the least pruned"


def draw_right(results: Results, found: Sequence[RightAnswers]) -> Figure:
    """Draw the share of right answers of each network with its interval, and what guessing gives."""
    figure = Figure(figsize=(page_width() * 0.7, 1.0 + ROW * len(found)), layout="constrained")
    ax = figure.subplots()
    ax.axvline(found[0].chance, **GUESSING)
    for y, each in enumerate(found):
        _across(ax, y, each.crossed)
    ax.xaxis.set_major_formatter(figures.PERCENT)
    ax.set_xlabel("Share of right answers; dotted: guessing")
    _name_rows(ax, [name_of(each.network, results) for each in found])
    figures.legend_below(figure, [(OVER_BOTH, _handle(INK, "o"))])
    return figure


def draw_by_layer(results: Results, found: Sequence[RightAnswers]) -> Figure:
    """Draw the same by layer, a panel for each network, with the network that it is compared with beside it."""
    layers = list(dict.fromkeys(each.layer for each in found))
    networks = list(dict.fromkeys(each.network for each in found))
    columns = min(MOST_COLUMNS, len(networks))
    rows = -(-len(networks) // columns)
    figure = Figure(figsize=(page_width(), rows * (0.75 + 0.2 * len(layers)) + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    place = {(each.network, each.layer): each for each in found}
    for ax, network in zip(grid.flat, networks, strict=False):
        ax.set_title(_in_lines(name_of(network, results)), fontsize=7, fontweight="normal")
        ax.axvline(found[0].chance, **GUESSING)
        for y, layer in enumerate(layers):
            if (own := place.get((network, layer))) is None:
                continue
            if (other := place.get((own.other, layer))) is not None:
                ax.plot(
                    [other.share], [y], "s", color=QUIET, markerfacecolor="white", markersize=4, label=DENSE
                )
            _across(ax, y, own.crossed)
        ax.xaxis.set_major_formatter(figures.PERCENT)
        ax.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
        ax.set_xlim(-0.03, 1.03)
    for ax in grid.flat[len(networks) :]:
        ax.set_axis_off()
    for ax in grid.flat[max(len(networks) - columns, 0) : len(networks)]:
        ax.tick_params(labelbottom=True)
        ax.set_xlabel("Right answers")
    _name_rows(grid[0, 0], layers, lines=1)
    beside = Line2D([], [], color=QUIET, marker="s", markerfacecolor="white", linewidth=0, markersize=4)
    figures.legend_below(figure, [(OVER_BOTH, _handle(INK, "o")), (DENSE, beside)][: 1 + (len(networks) > 1)])
    return figure


def draw_confidence(found: Sequence[Confidence], guessing: float) -> Figure:
    """Draw the share of right answers by the confidence that people state."""
    figure = Figure(figsize=(page_width() * 0.5, 2.6), layout="constrained")
    ax = figure.subplots()
    ax.axhline(guessing, **GUESSING)
    for place, each in enumerate(found):
        levels = np.array(each.levels) + 0.08 * (place - (len(found) - 1) / 2)
        for level, share in zip(levels, each.shares, strict=True):
            _upright(ax, float(level), share, COLOURS[place], MARKERS[place], each.experiment)
    ax.yaxis.set_major_formatter(figures.PERCENT)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("Confidence stated")
    ax.set_ylabel("Right answers")
    named: list[tuple[str, Artist]] = [
        (each.experiment, _handle(COLOURS[i], MARKERS[i])) for i, each in enumerate(found)
    ]
    if len(found) > 1:
        figures.legend_below(figure, named)
    return figure


def draw_people_and_mis(results: Results, units: pd.DataFrame, found: Sequence[PeopleAndMis]) -> Figure:
    """Draw each unit's share of right answers against its MIS, and the correlations below their noise ceilings."""
    figure = Figure(figsize=(page_width(), max(3.4, 1.4 + ROW * len(found))), layout="constrained")
    scatter, forest = figure.subplots(1, 2, width_ratios=(1, 1))
    order = [network for network, _ in networks_of(units, results)]
    few = len(order) <= len(COLOURS)
    for place, network in enumerate(order):
        own = units[units["network"] == network]
        colour, marker = (COLOURS[place], MARKERS[place]) if few else (COLOURS[0], "o")
        sizes = 6 + 26 * own["answers"] / units["answers"].max()
        drawn = scatter.scatter(
            own["mis"],
            own["right"] / own["answers"],
            s=sizes,
            c=colour,
            marker=marker,
            alpha=0.55,
            linewidths=0,
            label=name_of(network, results),
        )
        name_points(
            drawn, [f"{layer}, unit {unit}" for layer, unit in zip(own["layer"], own["unit"], strict=True)]
        )
    scatter.axhline(0.5, **GUESSING)
    scatter.yaxis.set_major_formatter(figures.PERCENT)
    scatter.set_ylim(-0.04, 1.04)
    scatter.set_xlabel("MIS of the unit")
    scatter.set_ylabel("Right answers")
    for y, each in enumerate(found):
        if math.isfinite(each.ceiling.most):
            ends = (each.ceiling.low, each.ceiling.high)
            forest.barh(y, ends[1] - ends[0], 0.55, left=ends[0], color=CEILING, alpha=0.4, linewidth=0)
            forest.vlines(
                each.ceiling.most, y - 0.27, y + 0.27, CEILING, linewidth=1.8, label="noise ceiling"
            )
        _across(forest, y, each.spearman)
    forest.axvline(0, color=INK, linewidth=0.8)
    forest.set_xlim(min(-0.1, forest.get_xlim()[0]), 1.03)
    forest.set_xlabel("Spearman’s correlation of MIS and right answers")
    rows = [name_of(each.network, results) if each.network else about_of(each, results) for each in found]
    _name_rows(forest, rows)
    networks: list[tuple[str, Artist]] = [
        (
            name_of(network, results),
            Line2D([], [], color=COLOURS[i], marker=MARKERS[i], linewidth=0, markersize=4),
        )
        for i, network in enumerate(order if few else [])
    ]
    ceiling = ("noise ceiling", Patch(color=CEILING, alpha=0.6))
    figures.legend_below(figure, [*networks, (OVER_BOTH, _handle(INK, "o")), ceiling])
    return figure


def draw_slope(found: PeopleSlope) -> Figure:
    """Draw how often people are right by the margin of the task, and what MIS says at the slopes."""
    figure = Figure(figsize=(page_width() * 0.7, 3.2), layout="constrained")
    ax = figure.subplots()
    ax.axhline(0.5, **GUESSING)
    ends = [margin for margin, _ in found.bins]
    room = 0.08 * (max(ends) - min(ends)) or 0.01
    x = np.linspace(min(*ends, 0.0) - room, max(ends) + room, 200)
    drawn: list[tuple[str, Artist]] = []
    for label, slope, lapse, style in _curves(found):
        (line,) = ax.plot(x, lapse / 2 + (1 - lapse) / (1 + np.exp(-slope * x)), label=label, **style)
        drawn.append((label, line))
    for margin, share in found.bins:
        _upright(ax, margin, share, INK, "o", OVER_BOTH)
    ax.yaxis.set_major_formatter(figures.PERCENT)
    ax.set_xlabel("Margin of the task")
    ax.set_ylabel("Right answers")
    figures.legend_below(figure, [(OVER_BOTH, _handle(INK, "o")), *drawn])
    return figure


def _curves(found: PeopleSlope) -> list[tuple[str, float, float, dict[str, Any]]]:
    fit, lapses = found.fit, found.with_lapses
    curves: list[tuple[str, float, float, dict[str, Any]]] = []
    if math.isfinite(fit.slope):
        curves.append((f"slope {fit.slope:.1f}, which fits best", fit.slope, 0.0, {"color": COLOURS[0]}))
    if lapses.lapse > 0 and math.isfinite(lapses.slope):
        label = f"slope {lapses.slope:.1f} with {100 * lapses.lapse:.1f} % guessed"
        curves.append((label, lapses.slope, lapses.lapse, {"color": COLOURS[1], "linestyle": (0, (5, 2))}))
    default: dict[str, Any] = {"color": QUIET, "linestyle": (0, (2, 2))}
    return [*curves, (f"slope {fit.default:g}, which MIS was scored with", fit.default, 0.0, default)]


def _across(ax: Axes, y: float, found: Crossed) -> None:
    if math.isnan(found.estimate):
        return
    if math.isfinite(found.low):
        ax.hlines(y, found.low, found.high, INK, linewidth=1.4, label=OVER_BOTH)
    ax.plot([found.estimate], [y], "o", color=INK, markersize=4, label=OVER_BOTH)


def _upright(ax: Axes, x: float, found: Crossed, colour: str, marker: str, label: str) -> None:
    if math.isfinite(found.low):
        ax.vlines(x, found.low, found.high, colour, linewidth=1.4, label=label)
    ax.plot([x], [found.estimate], marker, color=colour, markersize=4, label=label)


def _handle(colour: str, marker: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, linewidth=1.4, markersize=4)


def _in_lines(name: str, lines: int = 2) -> str:
    """Break a name into lines that fit beside an axis; one that is longer still loses its middle."""
    return "\n".join(wrap(shorten(name, lines * LONGEST), LONGEST))


def _name_rows(ax: Axes, names: Sequence[str], lines: int = 2) -> None:
    ax.set_yticks(range(len(names)), [_in_lines(name, lines) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
