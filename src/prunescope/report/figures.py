"""The figures with curves: each function draws one, on a canvas of its own (no state of pyplot's)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation, Transform

from prunescope.analysis.results import Estimate, Results, over_seeds
from prunescope.report.formats import short_percent, shorten
from prunescope.report.theme import INK, QUIET, WIDTH, Look, looks

DODGE = 2.5  # points between the intervals of neighbouring series at one rate
MOST_ASIDE = 12.0  # points between the first series and the last, however many there are
ROOM_FOR_TICK = 0.15  # of the width of the smallest panel
LEFT_TICKS = (*(digit * 10.0**power for power in range(-5, 0) for digit in (1, 2, 5)), 1.0)
MOST_LEFT_TICKS = 6
PERCENT = FuncFormatter(lambda value, _: short_percent(value))


class Measure(NamedTuple):
    """A metric as it is drawn: its label, and whether it is a fraction of 1."""

    metric: str
    label: str
    fraction: bool


TOP1 = Measure("top1", "Top-1 accuracy", True)


def accuracy_by_rate(results: Results) -> Figure:
    """Draw top-1 against the rate asked: one panel before retraining, one after, on one scale."""
    stages = [
        (title, networks, hollow)
        for title, networks, hollow in (
            ("Pruned, before any retraining", results.pruned, True),
            ("After retraining", results.retrained, False),
        )
        if networks["top1"].notna().any()
    ]
    figure = Figure(figsize=(WIDTH if len(stages) > 1 else WIDTH * 0.7, 3.3), layout="constrained")
    panels = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
    for ax, (title, networks, hollow) in zip(panels, stages, strict=True):
        ax.set_title(title)
        draw_series(ax, results, networks, TOP1, hollow=hollow)
        label_rates(ax, results)
    keep_to_fractions(panels)
    for ax in panels:
        if results.chance >= ax.get_ylim()[0]:
            ax.axhline(results.chance, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)))
    panels[0].set_ylabel(TOP1.label)
    legend(figure, results)
    return figure


def accuracy_by_cost(results: Results) -> Figure:
    """Draw top-1 of the final networks against what is really gone, and against the MACs left if measured."""
    axes = [("gone", "Weights really gone")]
    if results.measured("macs_left"):
        axes.append(("macs_left", "MACs left"))
    figure = Figure(figsize=(WIDTH if len(axes) > 1 else WIDTH * 0.7, 3.3), layout="constrained")
    panels = figure.subplots(1, len(axes), sharey=True, squeeze=False)[0]
    for ax, (column, label) in zip(panels, axes, strict=True):
        draw_series(ax, results, results.final, TOP1, x=column)
        ax.set_xlabel(label)
        ax.xaxis.set_major_formatter(PERCENT)
        if column == "macs_left":
            ax.invert_xaxis()  # both panels prune more towards the right
    keep_to_fractions(panels)
    panels[0].set_ylabel(TOP1.label)
    legend(figure, results)
    return figure


def small_multiples(results: Results, measures: Sequence[Measure]) -> Figure:
    """Draw other measures against the rate asked: a column each, before retraining above, after it below."""
    rows = [
        (name, networks, hollow)
        for name, networks, hollow in (
            ("before retraining", results.pruned, True),
            ("after retraining", results.retrained, False),
        )
        if len(networks)
    ]
    figure = Figure(figsize=(WIDTH, 0.6 + 2.0 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(measures), squeeze=False, sharex=True)
    for panels, (name, networks, hollow) in zip(grid, rows, strict=True):
        for ax, measure in zip(panels, measures, strict=True):
            ax.set_title(f"{measure.label}, {name}", fontsize=7, fontweight="normal")
            draw_series(ax, results, networks, measure, hollow=hollow)
    for column, measure in zip(grid.T, measures, strict=True):
        if measure.fraction:
            keep_to_fractions(column)
    for ax in grid[-1]:
        label_rates(ax, results)
    legend(figure, results)
    return figure


def size_by_rate(results: Results, measures: Sequence[Measure]) -> Figure:
    """Draw what is left of the dense network's MACs and file against the rate asked."""
    figure = Figure(figsize=(WIDTH if len(measures) > 1 else WIDTH * 0.7, 3.0), layout="constrained")
    for ax, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        ax.set_title(measure.label)
        draw_series(ax, results, results.final, measure)
        label_rates(ax, results)
        ax.set_ylim(bottom=0)
    legend(figure, results)
    return figure


def draw_series(
    ax: Axes,
    results: Results,
    networks: pd.DataFrame,
    measure: Measure,
    *,
    hollow: bool = False,
    x: str = "rate",
) -> None:
    """Draw one measure of every series with its intervals, and the dense network as a line across."""
    for dense in over_seeds(results.dense, measure.metric):
        ax.axhline(dense.value, color=INK, linewidth=1, zorder=1.5)
        if math.isfinite(dense.low):
            ax.axhspan(dense.low, dense.high, color=INK, alpha=0.06, linewidth=0, zorder=1)
    styles = looks(results.series, results.controls)
    for place, (series, look) in enumerate(styles.items()):
        own = networks[networks["series"] == series]
        at = {estimate.target: estimate.value for estimate in over_seeds(own, x)}
        estimates = [estimate for estimate in over_seeds(own, measure.metric) if estimate.target in at]
        aside = min(DODGE, MOST_ASIDE / len(styles)) * (place - (len(styles) - 1) / 2)
        moved = ax.transData + ScaledTranslation(aside / 72, 0, ax.figure.dpi_scale_trans)
        if any(estimate.seeds > 1 for estimate in estimates):
            seeds = own[[x, measure.metric]].dropna().to_numpy()
            ax.plot(*seeds.T, look.marker, color=look.colour, alpha=0.3, markersize=2.5, transform=moved)
            ax.update_datalim(seeds)
        draw_estimates(
            ax, [at[estimate.target] for estimate in estimates], estimates, look, hollow=hollow, moved=moved
        )
    if measure.fraction:
        ax.yaxis.set_major_formatter(PERCENT)
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def draw_estimates(
    ax: Axes, x: list[float], estimates: list[Estimate], look: Look, *, hollow: bool, moved: Transform
) -> None:
    """Draw one series as a line with markers and intervals, where `moved` puts it."""
    values = [estimate.value for estimate in estimates]
    lows, highs = [estimate.low for estimate in estimates], [estimate.high for estimate in estimates]
    ax.vlines(x, lows, highs, look.colour, linewidth=0.9, alpha=0.8, transform=moved)
    face = "white" if hollow else look.colour
    style = "--" if hollow else "-"
    ax.plot(x, values, style, color=look.colour, marker=look.marker, markerfacecolor=face, transform=moved)
    # What is drawn aside does not itself widen the axes.
    seen = np.column_stack([x * 3, values + lows + highs])
    ax.update_datalim(seen[np.isfinite(seen).all(axis=1)])
    ax.autoscale_view()


def keep_to_fractions(panels: Sequence[Axes]) -> None:
    """Cut the axes to 0 … 1: an interval may reach beyond, a fraction cannot."""
    for ax in panels:
        bottom, top = ax.get_ylim()
        ax.set_ylim(max(bottom, -0.02), min(top, 1.02))


def label_rates(ax: Axes, results: Results, room: float = ROOM_FOR_TICK) -> None:
    """Label the axis of rates, with each rate where all were asked for and there is `room`, a share of its width."""
    rates = sorted(results.sparse["rate"].unique())
    apart = rates and np.diff(rates).min(initial=1.0) > room * (rates[-1] - rates[0])
    if apart and results.sparse["asked"].all():
        ax.set_xticks(rates)
    ax.xaxis.set_major_formatter(PERCENT)
    ax.set_xlabel(results.rate_label)


def weights_left_axis(ax: Axes, least: float) -> None:
    """Turn the axis of weights left, down to `least` above 0: logarithmic, sparser to the right."""
    ax.set_xscale("log")
    ax.set_xlim(1.08, least / 1.08)
    ticks = [tick for tick in LEFT_TICKS if least * 0.99 <= tick]
    if len(ticks) > MOST_LEFT_TICKS:
        ticks = [tick for tick in ticks if f"{tick:.0e}"[0] == "1"]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(PERCENT)


def legend(figure: Figure, results: Results, also: Sequence[tuple[str, Artist]] = ()) -> None:
    """Name every series once, below all panels, and what else is drawn."""
    lines = [
        (shorten(name), Line2D([], [], color=look.colour, marker=look.marker))
        for name, look in looks(results.series, results.controls).items()
    ]
    legend_below(figure, [("dense", Line2D([], [], color=INK, linewidth=1)), *lines, *also])


def legend_below(figure: Figure, entries: Sequence[tuple[str, Artist]]) -> None:
    """Put a legend below all panels, in as many columns as fit."""
    names = [name for name, _ in entries]
    columns = max(1, min(len(names), 100 // (max(map(len, names)) + 6)))
    # Handed over at once, names that begin with "_" are names as any other.
    figure.legend([handle for _, handle in entries], names, loc="outside lower center", ncols=columns)
