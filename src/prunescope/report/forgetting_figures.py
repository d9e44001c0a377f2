"""The figures of the section on forgetting: curves by rate, changes by class, changes by group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import ScaledTranslation

from prunescope.analysis.results import Estimate, Results, records
from prunescope.report import figures
from prunescope.report.figures import Measure
from prunescope.report.formats import shorten
from prunescope.report.prunings import Pruning
from prunescope.report.theme import INK, QUIET, Look, looks, page_width

POINTS = FuncFormatter(lambda value, _: f"{100 * value:+g}".replace("-", "−") if round(value, 9) else "0")
DOTTED = (0, (1, 2))
SPREAD = 0.5  # of the height of a row, between the first target and the last


def by_rate(results: Results, found: Sequence[Pruning], measures: Sequence[Measure]) -> Figure:
    """Draw a column per measure against the rate: before retraining above, after it below.

    A measure that is no `fraction` is a difference of two, drawn in points around 0.
    """
    stages = {stage: [each for each in found if each.stage == stage] for stage in ("pruned", "retrained")}
    shown = {stage: own for stage, own in stages.items() if own}
    figure = Figure(figsize=(page_width(), 0.7 + 2.0 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), len(measures), squeeze=False, sharex=True)
    for panels, (stage, own) in zip(grid, shown.items(), strict=True):
        for ax, measure in zip(panels, measures, strict=True):
            _draw_measure(ax, results, own, measure)
        panels[0].set_ylabel({"pruned": "Before retraining", "retrained": "After retraining"}[stage])
    if len(shown) == 1:
        grid[0, 0].set_ylabel("")
    for column, measure in zip(grid.T, measures, strict=True):
        column[0].set_title(measure.label, fontsize=7.5)
        if measure.fraction:
            figures.keep_to_fractions(column)
    for ax in grid[-1]:
        figures.label_rates(ax, results)
    styles = looks(results.series, results.controls)
    series = dict.fromkeys(each.series for each in found)
    marks = [Line2D([], [], color=styles[name].colour, marker=styles[name].marker) for name in series]
    figures.legend_below(figure, list(zip(series, marks, strict=True)))
    return figure


def _draw_measure(ax: Axes, results: Results, own: Sequence[Pruning], measure: Measure) -> None:
    """Draw every series with its intervals, and exemplars if swapped, where they are known."""
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(figures.PERCENT if measure.fraction else POINTS)
    if not measure.fraction:
        ax.axhline(0, color=QUIET, linewidth=0.8, linestyle=DOTTED)
    if measure.metric == "agreement":
        for level in {each.number(results, "agreement_of_seeds")["value"] for each in own}:
            if math.isfinite(level):
                ax.axhline(level, color=INK, linewidth=1, zorder=1.5, label="agreement of seeds")
    styles = looks(results.series, results.controls)
    for place, (series, look) in enumerate(styles.items()):
        mine = [each for each in own if each.series == series]
        if measure.metric == "exemplars":
            _draw_swapped(ax, results, mine, look.colour, f"{series}: exemplars swapped")
        estimates = _estimates(results, mine, measure.metric)
        aside = min(figures.DODGE, figures.MOST_ASIDE / len(styles)) * (place - (len(styles) - 1) / 2)
        moved = ax.transData + ScaledTranslation(aside / 72, 0, ax.figure.dpi_scale_trans)
        rates, hollow = [estimate.rate for estimate in estimates], own[0].stage == "pruned"
        figures.draw_estimates(ax, rates, estimates, look, hollow=hollow, moved=moved, label=series)


def _estimates(results: Results, own: Sequence[Pruning], metric: str) -> list[Estimate]:
    """Return what is known of a metric, rates rising."""
    numbers = [(each, each.number(results, metric)) for each in own]
    return [
        Estimate(each.series, each.target, each.rate, **number, seeds=each.seeds)
        for each, number in numbers
        if math.isfinite(number["value"])
    ]


def _draw_swapped(ax: Axes, results: Results, own: Sequence[Pruning], colour: str, label: str) -> None:
    swapped = _estimates(results, own, "exemplars_by_chance")
    rates = [estimate.rate for estimate in swapped]
    values = [estimate.value for estimate in swapped]
    ax.plot(rates, values, color=colour, linewidth=1, linestyle=DOTTED, label=label)
    lows, highs = [estimate.low for estimate in swapped], [estimate.high for estimate in swapped]
    if all(map(math.isfinite, (*lows, *highs))):
        ax.fill_between(rates, lows, highs, color=colour, alpha=0.1, linewidth=0, label=label)


def by_class(
    panels: Mapping[str, pd.DataFrame], columns: tuple[str, str, str], label: str, look: Look
) -> Figure:
    """Draw the change of each class with its interval: a column per target; filled is what is shown.

    Args:
        panels: from the name of a target to its rows of `forgetting_classes`, all of the same classes in one order.
        columns: the change that is drawn, and the ends of its interval.
        label: what it is called.
        look: that of the series.
    """
    value, low, high = columns
    names = [shorten(str(name)) for name in next(iter(panels.values()))["class"]]
    figure = Figure(figsize=(page_width(), 1.0 + 0.16 * len(names)), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
    for ax, (title, rows) in zip(grid, panels.items(), strict=True):
        ax.set_title(title)
        ax.axvline(0, color=INK, linewidth=0.8, zorder=1.5)
        for place, row in enumerate(records(rows)):
            shown = row["says"] != "not shown"
            colour, verdict = (look.colour, "shown") if shown else (QUIET, "not shown")
            if math.isfinite(row[low] + row[high]):
                ax.hlines(place, row[low], row[high], colour, linewidth=0.9, label=verdict)
            face = colour if shown else "white"
            mark: Any = {"color": colour, "markerfacecolor": face, "markersize": 4, "label": verdict}
            ax.plot([row[value]], [place], look.marker, **mark)
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(POINTS)
        ax.grid(axis="y", visible=False)
    grid[0].set_yticks(range(len(names)), names, fontsize=7)
    grid[0].set_ylim(len(names) - 0.4, -0.6)
    grid[(len(grid) - 1) // 2].set_xlabel(label, x=0.5 if len(grid) % 2 else 1.0)
    entries = [("shown", look.colour, look.colour), ("not shown", QUIET, "white")]
    figures.legend_below(figure, [(name, _mark(look.marker, *colours)) for name, *colours in entries])
    return figure


def _mark(marker: str, colour: str, face: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, markerfacecolor=face, linestyle="none", markersize=4)


def by_group(
    panels: Mapping[str, Mapping[str, pd.DataFrame]], measures: Sequence[Measure], alone: Look | None = None
) -> Figure:
    """Draw the change of error rates of each group with its interval: a row per attribute, a column per rate.

    Args:
        panels: from the name of an attribute, then of a target, to rows of `forgetting_groups`, one a group, in the
            same order for every target.
        measures: `fnr` and `fpr`, and what they are called.
        alone: the look of the one target that there is, which needs no name.
    """
    counts = [len(next(iter(targets.values()))) for targets in panels.values()]
    most = max(len(targets) for targets in panels.values())
    row = 0.13 + 0.07 * most  # inches: room for the marks of all targets
    size = (page_width(), 0.8 + row * sum(counts) + 0.35 * len(panels))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(
        len(panels), len(measures), sharey="row", sharex="col", squeeze=False, height_ratios=counts
    )
    targets = list(next(iter(panels.values())))
    shades = matplotlib.colormaps["viridis_r"](np.linspace(0.12, 1, max(len(targets), 2)))
    colours = [to_hex(shade) for shade in shades[-len(targets) :]] if alone is None else [alone.colour]
    for axes, (attribute, own) in zip(grid, panels.items(), strict=True):
        for ax, measure in zip(axes, measures, strict=True):
            _draw_groups(ax, own, measure.metric, colours)
        axes[0].set_title(shorten(attribute, 60))
        names = [shorten(str(name)) for name in next(iter(own.values()))["group"]]
        axes[0].set_yticks(range(len(names)), names, fontsize=7)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
    for ax, measure in zip(grid[-1], measures, strict=True):
        ax.set_xlabel(measure.label)
    marks: list[tuple[str, Artist]] = [
        (target, Line2D([], [], color=colour, marker="o", linestyle="none"))
        for target, colour in zip(targets, colours, strict=True)
    ]
    if alone is None:
        figures.legend_below(figure, marks)
    return figure


def _draw_groups(ax: Axes, own: Mapping[str, pd.DataFrame], metric: str, colours: Sequence[str]) -> None:
    ax.axvline(0, color=INK, linewidth=0.8, zorder=1.5)
    offsets = np.linspace(-SPREAD / 2, SPREAD / 2, len(own)) if len(own) > 1 else [0.0]
    for (target, rows), colour, offset in zip(own.items(), colours, offsets, strict=True):
        at = np.arange(len(rows)) + offset
        ax.hlines(at, rows[f"{metric}_low"], rows[f"{metric}_high"], colour, linewidth=0.9, label=target)
        ax.plot(rows[f"{metric}_change"], at, "o", color=colour, markersize=3.5, label=target)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(POINTS)
    ax.grid(axis="y", visible=False)
