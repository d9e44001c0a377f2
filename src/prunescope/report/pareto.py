"""What accuracy costs: every network by top-1 and cost, and the front of those that no other beats in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from prunescope.analysis.results import Estimate, Results, over_seeds
from prunescope.report import figures
from prunescope.report.blocks import Plot
from prunescope.report.figures import TOP1
from prunescope.report.formats import listing, name_target
from prunescope.report.placed_labels import Point, place_labels
from prunescope.report.speed_figures import is_ready
from prunescope.report.speed_findings import name_of
from prunescope.report.speed_times import times_of
from prunescope.report.theme import INK, QUIET, looks
from prunescope.report.traces import name_points

DEEP = 0.2  # of the weights: an axis that goes below it is logarithmic


class Spot(NamedTuple):
    """Networks pruned alike by what they cost and their top-1; the dense ones have no series of their own."""

    cost: float
    top1: Estimate
    dense: bool


class Cost(NamedTuple):
    """One cost as a panel: what its axis is called, whether it is a share of the dense network's, and the networks."""

    label: str
    share: bool
    words: str
    spots: list[Spot]


def pareto_plots(results: Results) -> list[Plot]:
    """Return the figure of the fronts, if the accuracy of any final network and a cost are known."""
    costs = _costs(results)
    if not costs:
        return []
    fronts = []
    for cost in costs:
        on = sum(on_front([(spot.cost, spot.top1.value) for spot in cost.spots]))
        fronts.append(f"{on} of {len(cost.spots)} by {cost.words}")
    return [
        Plot(
            "pareto",
            partial(draw_pareto, results),
            "Top-1 accuracy in the end against what a network costs, cheaper to the right. Grey line: the front of the "
            "networks than which no other is both cheaper and better; labelled where there is room. On it: "
            f"{listing(fronts)}, counting the dense network. {figures.of_top1(results)} Which of two "
            "near ones is better may be chance: "
            "the front has no intervals.",
            f"Top-1 accuracy against {listing([cost.words for cost in costs])}, for {listing(results.series)}, and the "
            "front. The numbers are in the tables of this page.",
        )
    ]


def draw_pareto(results: Results) -> Figure:
    """Draw a panel per cost, on one scale of accuracy."""
    costs = _costs(results)
    figure = Figure(figsize=(figures.width_of(costs), 3.4), layout="constrained")
    panels = list(figure.subplots(1, len(costs), sharey=True, squeeze=False)[0])
    for ax, cost in zip(panels, costs, strict=True):
        _draw(ax, results, cost.spots)
        _finish_axis(ax, cost)
        ax.yaxis.set_major_formatter(figures.PERCENT)
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    figures.keep_to_fractions(panels[:1])  # the others share its scale
    panels[0].set_ylabel(TOP1.label)
    _legend(figure, results, costs)
    figure.draw_without_rendering()  # labels are placed on the canvas
    styles = looks(results.series, results.controls, results.published)
    for ax, cost in zip(panels, costs, strict=True):
        on = on_front([(spot.cost, spot.top1.value) for spot in cost.spots])
        points = []
        for spot, best in zip(cost.spots, on, strict=True):
            text = "" if spot.dense or not best else name_target(spot.top1.target, spot.top1.rate)
            colour = INK if spot.dense else styles[spot.top1.series].colour
            here = (spot.cost, spot.cost, spot.top1.value, spot.top1.value)
            points.append(Point(spot.cost, spot.top1.value, here, text, colour, spot.top1.series))
        place_labels(ax, points)
    return figure


def on_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Mark the points (cost, value) than which no other is at least as good in both, and better in one."""
    best = (math.inf, -math.inf)
    front = [False] * len(points)
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[i][1] > best[1] or points[i] == best:
            best, front[i] = points[i], True
    return front


def _costs(results: Results) -> list[Cost]:
    """Return the costs that final networks of known accuracy have: weights, MACs, time in the first runtime."""
    dense = over_seeds(results.dense, "top1")
    costs = []
    for column, label, words in (
        ("left", "Weights left", "weights left"),
        ("macs_left", "MACs left", "MACs left"),
    ):
        known = results.final[results.final["gone"].notna()]
        spots = _spots(over_seeds(known, column), over_seeds(known, "top1"))
        if spots:
            costs.append(Cost(label, True, words, [*(Spot(1.0, each, dense=True) for each in dense), *spots]))
    times = times_of(results)
    if len(times.measured):
        runtime, batch = times.runtimes[0], times.batches[0]
        rows = times.measured[(times.measured["runtime"] == runtime) & (times.measured["batch"] == batch)]
        ready = rows[is_ready(rows)]
        spots = _spots(over_seeds(ready, "latency"), over_seeds(ready, "top1"))
        at = float(rows.loc[rows["variant"] == "dense", "latency"].median())
        if spots:
            own = [Spot(at, each, dense=True) for each in dense if math.isfinite(at)]
            label = f"Latency at batch {batch}, ms\n{name_of(runtime)}"
            costs.append(Cost(label, False, f"latency in {name_of(runtime)}", [*own, *spots]))
    return costs


def _spots(costs: Sequence[Estimate], top1: Sequence[Estimate]) -> list[Spot]:
    at = {each[:2]: each.value for each in costs}
    return [Spot(at[each[:2]], each, dense=False) for each in top1 if at.get(each[:2], 0.0) > 0]


def _draw(ax: Axes, results: Results, spots: Sequence[Spot]) -> None:
    """Draw every network, and the front as steps: the best top-1 that a cost buys."""
    on = on_front([(spot.cost, spot.top1.value) for spot in spots])
    front = sorted((spot.cost, spot.top1.value) for spot, best in zip(spots, on, strict=True) if best)
    corners = [(max(spot.cost for spot in spots), front[-1][1])]
    for cost, value in reversed(front):  # labels keep clear of lines, which they know by their corners
        corners += [(corners[-1][0], value), (cost, value)]
    ax.plot(*np.transpose(corners), color=QUIET, linewidth=1, zorder=1.6)
    for series, look in looks(results.series, results.controls, results.published).items():
        own = [spot for spot in spots if not spot.dense and spot.top1.series == series]
        x = [spot.cost for spot in own]
        lows, highs = [spot.top1.low for spot in own], [spot.top1.high for spot in own]
        if own:
            ax.vlines(x, lows, highs, look.colour, linewidth=0.9, alpha=0.8, label=series)
            line = figures.handle(look)
            line.set(xdata=x, ydata=[spot.top1.value for spot in own], linestyle="none", label=series)
            ax.add_line(line)
            name_points(line, [name_target(spot.top1.target, spot.top1.rate) for spot in own])
    for spot in (spot for spot in spots if spot.dense):
        ax.plot([spot.cost], [spot.top1.value], "o", color=INK, zorder=3, label=spot.top1.series)
    ax.autoscale_view()


def _finish_axis(ax: Axes, cost: Cost) -> None:
    """Let the axis get cheaper to the right; shares of few weights on a logarithmic one."""
    least = min(spot.cost for spot in cost.spots)
    if cost.share and least < DEEP:
        figures.weights_left_axis(ax, least)
    else:
        ax.invert_xaxis()
        ax.xaxis.set_major_locator(MaxNLocator(5))
        if cost.share:
            right = min(ax.get_xlim()[1], 0.9)
            ax.set_xlim(1 + 0.05 * (1 - right), right)
            ax.xaxis.set_major_formatter(figures.PERCENT)
    ax.set_xlabel(cost.label)


def _legend(figure: Figure, results: Results, costs: Sequence[Cost]) -> None:
    drawn = {spot.top1.series for cost in costs for spot in cost.spots}
    styles = looks(results.series, results.controls, results.published)
    entries: list[tuple[str, Artist]] = [
        (str(name), Line2D([], [], color=INK, marker="o", linestyle="none"))
        for name in results.dense["series"].unique()
        if name in drawn
    ]
    for name in (name for name in styles if name in drawn):
        line = figures.handle(styles[name])
        line.set_linestyle("none")
        entries.append((name, line))
    figures.legend_below(figure, [*entries, ("front", Line2D([], [], color=QUIET, linewidth=1))])
