"""The figures of people's answers: what they prefer, by class, what they recognise, and how far they agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from prunescope.analysis.agreement import OVER, Agreement
from prunescope.analysis.recognitions import Recognition
from prunescope.analysis.results import Results
from prunescope.analysis.votes import Preference, name_of
from prunescope.report import figures
from prunescope.report.formats import shorten
from prunescope.report.theme import COLOURS, INK, MARKERS, QUIET, page_width

EVEN = "#cdd4dc"
SIDES = {  # what people answered of two networks, and its colour
    "prefer the less pruned": COLOURS[0],
    "call them equal": EVEN,
    "prefer the more pruned": COLOURS[1],
}
NAMED = {"right class": COLOURS[0], "don't know": EVEN, "wrong class": COLOURS[1]}
OVER_BOTH, INDEPENDENT = "over participants and items", "as if answers were independent"
ROW = 0.42  # inches
LONGEST = 24  # characters of a name
MOST_COLUMNS = 3


def draw_votes(results: Results, pairs: Sequence[Preference]) -> Figure:
    """Draw what people answered of each pair, and the share of those who prefer one with both intervals."""
    figure = Figure(figsize=(page_width(), 1.1 + ROW * len(pairs)), layout="constrained")
    bars, forest = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.1))
    totals = np.array([max(sum(pair.counts), 1) for pair in pairs])
    one, other, equal = (np.array([pair.counts[i] for pair in pairs]) / totals for i in range(3))
    _stack(bars, dict(zip(SIDES, (one, equal, other), strict=True)), SIDES)
    bars.set_xlabel("Share of all answers")
    forest.axvline(0.5, color=INK, linewidth=0.8)
    for y, pair in enumerate(pairs):
        _interval(forest, y + 0.16, pair.share, pair.as_if_independent, INDEPENDENT)
        _interval(forest, y - 0.1, pair.share, (pair.crossed.low, pair.crossed.high), OVER_BOTH)
    forest.xaxis.set_major_formatter(figures.PERCENT)
    forest.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    forest.set_xlabel("Prefer the more pruned, if one")
    _name_rows(bars, [f"{shorten(pair.stimulus, LONGEST)}\n{_compared(results, pair)}" for pair in pairs])
    entries: list[tuple[str, Artist]] = [(name, Patch(color=colour)) for name, colour in SIDES.items()]
    figures.legend_below(
        figure, [*entries, (OVER_BOTH, _handle(OVER_BOTH)), (INDEPENDENT, _handle(INDEPENDENT))]
    )
    return figure


def draw_by_class(results: Results, pairs: Sequence[Preference], by_class: Sequence[Preference]) -> Figure:
    """Draw the share that prefers the more pruned network for each class, a panel for each pair."""
    classes = list(dict.fromkeys(pair.of_class for pair in by_class))
    columns = min(MOST_COLUMNS, len(pairs))
    rows = -(-len(pairs) // columns)
    height = rows * (0.7 + 0.17 * len(classes)) + 0.4
    figure = Figure(figsize=(page_width(), height), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax, pair in zip(grid.flat, pairs, strict=False):
        title = f"{shorten(pair.stimulus, LONGEST)}: {_compared(results, pair)}"
        ax.set_title(title, fontsize=7, fontweight="normal")
        ax.axvline(0.5, color=INK, linewidth=0.8)
        for own in (each for each in by_class if _same_pair(each, pair)):
            y = classes.index(own.of_class)
            _interval(ax, y, own.share, (own.crossed.low, own.crossed.high), OVER_BOTH)
        ax.xaxis.set_major_formatter(figures.PERCENT)
        ax.set_xlim(-0.02, 1.02)
    for ax in grid.flat[len(pairs) :]:
        ax.set_axis_off()
    for ax in grid.flat[max(len(pairs) - columns, 0) : len(pairs)]:
        ax.tick_params(labelbottom=True)
        ax.set_xlabel("Prefer the more pruned")
    _name_rows(grid[0, 0], [shorten(name, LONGEST) for name in classes])
    figures.legend_below(figure, [(OVER_BOTH, _handle(OVER_BOTH))])
    return figure


def draw_identification(results: Results, found: Sequence[Recognition]) -> Figure:
    """Draw how many answers name the right class, a wrong one, or none."""
    figure = Figure(figsize=(page_width() * 0.7, 1.1 + ROW * len(found)), layout="constrained")
    ax = figure.subplots()
    totals = np.array([max(each.counts[2], 1) for each in found])
    right, unsure = (np.array([each.counts[i] for each in found]) / totals for i in (0, 1))
    _stack(ax, dict(zip(NAMED, (right, unsure, 1 - right - unsure), strict=True)), NAMED)
    ax.set_xlabel("Share of all answers")
    _name_rows(ax, [shorten(name_of(each.network, results), LONGEST) for each in found])
    figures.legend_below(figure, [(name, Patch(color=colour)) for name, colour in NAMED.items()])
    return figure


def draw_agreement(found: Sequence[Agreement]) -> Figure:
    """Draw Krippendorff's α of each stimulus with its interval, of answers as shown and over networks."""
    stimuli = list(dict.fromkeys(each.stimulus for each in found))
    figure = Figure(figsize=(page_width() * 0.7, 1.1 + ROW * len(stimuli)), layout="constrained")
    ax = figure.subplots()
    ax.axvline(0, color=INK, linewidth=0.8)
    named = {over: words for over, words in OVER.items() if any(each.over == over for each in found)}
    for place, (over, words) in enumerate(named.items()):
        for each in (each for each in found if each.over == over and each.busiest):
            y = stimuli.index(each.stimulus) + 0.24 * place - 0.12
            ends = (each.alpha.low, each.alpha.high)
            _interval(ax, y, each.alpha.estimate, ends, words, COLOURS[place], MARKERS[place])
    ax.set_xlabel("Krippendorff's α: 0 is chance, 1 is perfect agreement")
    _name_rows(ax, [shorten(name, LONGEST) for name in stimuli])
    handles: list[tuple[str, Artist]] = [
        (words, Line2D([], [], color=COLOURS[i], marker=MARKERS[i])) for i, words in enumerate(named.values())
    ]
    figures.legend_below(figure, handles)
    return figure


def _stack(ax: Axes, shares: dict[str, Any], colours: dict[str, str]) -> None:
    start: Any = 0.0
    for name, widths in shares.items():
        ax.barh(range(len(widths)), widths, 0.6, left=start, color=colours[name], linewidth=0, label=name)
        start = start + widths
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(figures.PERCENT)


def _interval(
    ax: Axes,
    y: float,
    value: float,
    ends: tuple[float, float],
    label: str,
    colour: str | None = None,
    marker: str | None = None,
) -> None:
    """Draw a value with its interval; the one to trust is solid."""
    if math.isnan(value):
        return
    trusted = label != INDEPENDENT
    colour, marker = colour or (INK if trusted else QUIET), marker or ("o" if trusted else "s")
    if math.isfinite(ends[0]):
        ax.hlines(y, *ends, colour, linewidth=1.4 if trusted else 0.9, label=label)
    ax.plot(
        [value],
        [y],
        marker,
        color=colour,
        markersize=4,
        markerfacecolor=colour if trusted else "white",
        label=label,
    )


def _handle(label: str) -> Line2D:
    if label == INDEPENDENT:
        return Line2D([], [], color=QUIET, marker="s", markerfacecolor="white", linewidth=0.9, markersize=4)
    return Line2D([], [], color=INK, marker="o", linewidth=1.4, markersize=4)


def _name_rows(ax: Axes, names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)


def _compared(results: Results, pair: Preference) -> str:
    one, other = (shorten(name_of(network, results), LONGEST) for network in (pair.one, pair.other))
    return f"{one} or {other}"


def _same_pair(each: Preference, pair: Preference) -> bool:
    keys = ("experiment", "stimulus", "one", "other")
    return all(getattr(each, key) == getattr(pair, key) for key in keys)
