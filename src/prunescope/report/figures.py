"""The figures with curves: each function draws one, on a canvas of its own (no state of pyplot's)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation, Transform

from prunescope.analysis.results import Estimate, Results, over_seeds
from prunescope.report.formats import LONGEST_IN_LEGEND, count, short_percent, shorten
from prunescope.report.theme import INK, QUIET, Look, looks, page_width
from prunescope.report.traces import ONE_SEED

DODGE = 2.5  # points between the intervals of neighbouring series at one rate
MOST_ASIDE = 12.0  # points between the first series and the last, however many there are
ROOM_FOR_TICK = 0.15  # of the width of the smallest panel
LEFT_TICKS = (*(digit * 10.0**power for power in range(-5, 0) for digit in (1, 2, 5)), 1.0)
MOST_LEFT_TICKS = 6
LETTERS_PER_INCH = 14  # of a legend
LINE, MOST_LINES = 0.17, 4  # of a legend: inches each; from more of them, the figure grows
DENSE: Sequence[Any] = ("-", (0, (8, 2)), (0, (8, 2, 2, 2)))  # where runs differ in their dense networks
PUBLISHED_DENSE: Any = (0, (6, 2, 1, 2))
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
    figure = Figure(figsize=(width_of(stages), 3.3), layout="constrained")
    panels = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
    for ax, (title, networks, hollow) in zip(panels, stages, strict=True):
        ax.set_title(title)
        draw_series(ax, results, networks, TOP1, hollow=hollow)
        label_rates(ax, results)
    keep_to_fractions(panels)
    for ax in panels:
        if results.chance >= ax.get_ylim()[0]:
            ax.axhline(results.chance, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)), label="chance")
    panels[0].set_ylabel(TOP1.label)
    legend(figure, results)
    return figure


def accuracy_by_cost(results: Results) -> Figure:
    """Draw top-1 of the final networks against what is really gone, and against the MACs left if measured."""
    axes = [("gone", "Weights really gone")]
    if results.measured("macs_left"):
        axes.append(("macs_left", "MACs left"))
    figure = Figure(figsize=(width_of(axes), 3.3), layout="constrained")
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


def width_of(panels: Sequence[object]) -> float:
    """Return the width of a figure whose panels stand side by side: a single one needs less."""
    return page_width() * (1 if len(panels) > 1 else 0.7)


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
    figure = Figure(figsize=(page_width(), 0.6 + 2.0 * len(rows)), layout="constrained")
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
    figure = Figure(figsize=(width_of(measures), 3.0), layout="constrained")
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
    lines, paint = dense_lines(results), dict[str, Any]()
    for dense in over_seeds(pd.concat([results.dense, results.published_dense]), measure.metric):
        ax.axhline(dense.value, **lines[dense.series], zorder=1.5, label=dense.series)
        if math.isfinite(dense.low):
            paint = {"color": INK, "alpha": 0.06, "linewidth": 0, "zorder": 1}
            ax.axhspan(dense.low, dense.high, **paint, label=dense.series)
    styles = looks(results.series, results.controls, results.published)
    for place, (series, look) in enumerate(styles.items()):
        own = networks[networks["series"] == series]
        at = {estimate.target: estimate.value for estimate in over_seeds(own, x)}
        estimates = [estimate for estimate in over_seeds(own, measure.metric) if estimate.target in at]
        aside = min(DODGE, MOST_ASIDE / len(styles)) * (place - (len(styles) - 1) / 2)
        moved = ax.transData + ScaledTranslation(aside / 72, 0, ax.figure.dpi_scale_trans)
        if any(estimate.seeds > 1 for estimate in estimates):
            seeds = own[[x, measure.metric]].dropna().to_numpy()
            paint = {"color": look.colour, "alpha": 0.3, "markersize": 2.5, "label": f"{series}{ONE_SEED}"}
            ax.plot(*seeds.T, look.marker, **paint, transform=moved)
            ax.update_datalim(seeds)
        draw_estimates(
            ax,
            [at[estimate.target] for estimate in estimates],
            estimates,
            look,
            hollow=hollow,
            moved=moved,
        )
    if measure.fraction:
        ax.yaxis.set_major_formatter(PERCENT)
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def draw_estimates(
    ax: Axes,
    x: list[float],
    estimates: list[Estimate],
    look: Look,
    *,
    hollow: bool,
    moved: Transform,
    label: str = "",
) -> None:
    """Draw one series, or what is called `label`, as a line with markers and intervals, where `moved` puts it."""
    if not estimates:
        return
    values, name = [estimate.value for estimate in estimates], label or estimates[0].series
    lows, highs = [estimate.low for estimate in estimates], [estimate.high for estimate in estimates]
    ax.vlines(x, lows, highs, look.colour, linewidth=0.9, alpha=0.8, transform=moved, label=name)
    line = handle(look, hollow=hollow)
    line.set(xdata=x, ydata=values, transform=moved, label=name)
    ax.add_line(line)
    # What is drawn aside does not itself widen the axes.
    seen = np.column_stack([x * 3, values + lows + highs])
    ax.update_datalim(seen[np.isfinite(seen).all(axis=1)])
    ax.autoscale_view()


def handle(look: Look, *, hollow: bool = False) -> Line2D:
    """Return the line of a series without points, as a legend shows it; hollow and dashed before retraining."""
    face = "white" if hollow or look.hollow else look.colour
    line = Line2D([], [], color=look.colour, linewidth=look.width, marker=look.marker, markerfacecolor=face)
    line.set_linestyle("--" if hollow else look.line)
    return line


def of_top1(results: Results) -> str:
    """Say, for a caption, over what the intervals of accuracy are, or that there are none."""
    if results.own.seeds > 1:
        return f"Means of {results.own.seeds} seeds, bars: their 95 % t-intervals."
    return (
        "Bars: 95 % intervals over the test images."
        if results.measured("top1_low")
        else "One seed, no intervals."
    )


def missing(networks: pd.DataFrame, metric: str, what: str) -> str:
    """Say, for a caption, of how many networks a metric is not known, so that they are not drawn."""
    number = int(networks[metric].isna().sum())
    return f" Not drawn: {count(number, 'network')} without {what}." if number else ""


def series_with(results: Results, networks: pd.DataFrame, metric: str) -> list[str]:
    """Return the series of which any of these networks has the metric."""
    known = set(networks.loc[networks[metric].notna(), "series"])
    return [name for name in results.series if name in known]


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
    drawn = {artist.get_label() for ax in figure.axes for artist in ax.get_children()}
    lines = [
        (name, handle(look))
        for name, look in looks(results.series, results.controls, results.published).items()
        if name in drawn
    ]
    published = set(results.published_dense["series"])
    dense = [
        (name, Line2D([], [], **line))
        for name, line in dense_lines(results).items()
        if name in drawn or (name not in published and "dense" in drawn)
    ]
    legend_below(figure, [*dense, *lines, *also])


def dense_lines(results: Results) -> dict[str, dict[str, Any]]:
    """Return how the lines of dense networks are drawn, by name: black, those of published studies grey."""
    own: dict[str, Any] = {"color": INK, "linewidth": 1}
    published = {"color": QUIET, "linewidth": 0.8, "linestyle": PUBLISHED_DENSE}
    styles = zip(results.dense["series"].unique(), cycle(DENSE), strict=False)
    lines = {str(name): own | {"linestyle": style} for name, style in styles}
    return lines | dict.fromkeys(results.published_dense["series"].unique(), published)


def legend_below(figure: Figure, entries: Sequence[tuple[str, Artist]]) -> None:
    """Put a legend below all panels, in as many columns as fit."""
    names = [shorten(name, LONGEST_IN_LEGEND) for name, _ in entries]
    room = int(LETTERS_PER_INCH * figure.get_figwidth())
    columns = max(1, min(len(names), room // (max(map(len, names)) + 6)))
    figure.set_figheight(figure.get_figheight() + LINE * max(0, math.ceil(len(names) / columns) - MOST_LINES))
    # Handed over at once, names that begin with "_" are names as any other.
    figure.legend([handle for _, handle in entries], names, loc="outside lower center", ncols=columns)
