"""Accuracy against interpretability, a point for each network; and how many of its units are alive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from prunescope.analysis.results import Estimate, Results, over_seeds
from prunescope.report import figures
from prunescope.report.blocks import Plot
from prunescope.report.drawn_along import drawn_along
from prunescope.report.figures import TOP1, Measure
from prunescope.report.formats import listing, name_target
from prunescope.report.placed_labels import Point, place_labels
from prunescope.report.theme import INK, QUIET, looks
from prunescope.report.traces import name_points
from prunescope.report.unit_figures import CORRECTED, PUBLISHED

ALIVE = Measure("units_alive", "Units alive", False)


class Spot(NamedTuple):
    """Networks pruned alike: their mean MIS and top-1, and whether they were not retrained yet."""

    mis: Estimate
    top1: Estimate
    hollow: bool


def mis_accuracy_plots(results: Results) -> list[Plot]:
    """Return the figure of accuracy against MIS, if any pruned network has both."""
    measures = _measures(results)
    if not measures:
        return []
    known = results.own.sparse.dropna(subset=["top1"])
    over = (
        f" Means of {results.seeds} seeds, bars: their 95 % t-intervals."
        if results.seeds > 1
        else _bars(results)
    )
    pruned = results.own.sparse[~results.own.sparse["final"].astype(bool)]
    hollow = (
        "; hollow, where it was not retrained" if pruned[["mis", "top1"]].notna().all(axis=1).any() else ""
    )
    left = (
        " Left: dead units scored too, as in published studies; right: live units only."
        if len(measures) > 1
        else ""
    )
    return [
        Plot(
            "top1-by-mis",
            partial(draw_top1_by_mis, results),
            f"Top-1 accuracy against the mean MIS of the convolution units, one point a network{hollow}."
            f"{left}{over} Labels: the {results.target_label.lower()}, where there is room."
            + drawn_along(results, results.sparse.dropna(subset=["mis", "top1"]))
            + figures.missing(known, "mis", "MIS"),
            f"Top-1 accuracy against the mean MIS, for {listing(results.series)}. The numbers are in the tables of "
            "this page.",
        )
    ]


def _bars(results: Results) -> str:
    over = {"mis_low": "of MIS over units", "top1_low": "of accuracy over the test images"}
    said = ", ".join(words for metric, words in over.items() if results.measured(metric))
    return f" Bars: 95 % intervals, {said}." if said else ""


def alive_plots(results: Results) -> list[Plot]:
    """Return the figure of live units by rate, if they were counted."""
    if results.own.sparse["units_alive"].isna().all():
        return []
    rate = results.rate_label.lower()
    several = results.own.seeds > 1
    over = (
        f" Means of {results.own.seeds} seeds, their 95 % t-intervals."
        if several
        else " One seed, no intervals."
    )
    return [
        Plot(
            "units-alive",
            partial(draw_units_alive, results),
            f"Convolution units that are alive against the {rate}: they give some image another value than others. "
            f"{'Black: the dense network.' if results.dense['units_alive'].notna().any() else ''}{over}"
            + drawn_along(results, results.sparse.dropna(subset=["units_alive"]))
            + figures.missing(results.own.sparse, "units_alive", "their units looked at"),
            f"Units alive against the {rate}, for {listing(results.series)}. The numbers are in the table of this "
            "section.",
        )
    ]


def draw_top1_by_mis(results: Results) -> Figure:
    """Draw a point per series and target, as published beside corrected, on one scale of accuracy."""
    measures = _measures(results)
    figure = Figure(figsize=(figures.width_of(measures), 3.5), layout="constrained")
    panels = list(figure.subplots(1, len(measures), sharex=True, sharey=True, squeeze=False)[0])
    drawn = [(ax, _spots(results, measure)) for ax, measure in zip(panels, measures, strict=True)]
    for (ax, spots), measure in zip(drawn, measures, strict=True):
        if len(measures) > 1:
            ax.set_title(measure.label)
        _draw_dense(ax, results, measure)
        _draw(ax, results, spots)
        ax.set_xlabel("Mean MIS of convolution units")
        ax.yaxis.set_major_formatter(figures.PERCENT)
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    figures.keep_to_fractions(panels[:1])  # the other shares its scale
    panels[0].set_ylabel(TOP1.label)
    hollow = any(spot.hollow for _, spots in drawn for spot in spots)
    mark = Line2D([], [], color=QUIET, marker="o", markerfacecolor="white", linestyle="none")
    figures.legend(figure, results, [("hollow: not retrained", mark)] if hollow else [])
    figure.draw_without_rendering()  # labels are placed on the canvas
    styles = looks(results.series, results.controls, results.published)
    for ax, spots in drawn:
        place_labels(ax, [_labelled(spot, styles[spot.mis.series].colour) for spot in spots])
    return figure


def draw_units_alive(results: Results) -> Figure:
    """Draw how many convolution units are alive: right after pruning and in the end, if both were counted."""
    stages = [
        (title, networks, hollow)
        for title, networks, hollow in (
            ("Pruned, before any retraining", results.pruned, True),
            ("After retraining", results.retrained, False),
        )
        if networks["units_alive"].notna().any()
    ]
    figure = Figure(figsize=(figures.width_of(stages), 3.0), layout="constrained")
    panels = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
    for ax, (title, networks, hollow) in zip(panels, stages, strict=True):
        ax.set_title(title)
        figures.draw_series(ax, results, networks, ALIVE, hollow=hollow)
        figures.label_rates(ax, results)
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        ax.yaxis.set_major_formatter("{x:,.0f}")
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("Convolution units alive")
    figures.legend(figure, results)
    return figure


def _measures(results: Results) -> list[Measure]:
    """Return the means that a pruned network of known accuracy has: as published only where they differ."""
    known = results.sparse.dropna(subset=["top1"])
    found = [measure for measure in (PUBLISHED, CORRECTED) if known[measure.metric].notna().any()]
    same = (known["mis_published"] - known["mis"]).abs().max() < 1e-9
    return found[-1:] if same else found


def _spots(results: Results, measure: Measure) -> list[Spot]:
    spots = []
    for networks, hollow in ((results.pruned, True), (results.retrained, False)):
        both = networks.dropna(subset=["top1", measure.metric])
        across = {each[:2]: each for each in over_seeds(both, measure.metric)}
        spots += [
            Spot(
                across[each[:2]], each, hollow and not both.loc[both["series"] == each.series, "final"].all()
            )
            for each in over_seeds(both, "top1")
        ]
    return spots


def _draw(ax: Axes, results: Results, spots: Sequence[Spot]) -> None:
    for series, look in looks(results.series, results.controls, results.published).items():
        for spot in (spot for spot in spots if spot.mis.series == series):
            x, y = spot.mis, spot.top1
            ax.hlines(y.value, x.low, x.high, look.colour, linewidth=0.9, alpha=0.8, label=series)
            ax.vlines(x.value, y.low, y.high, look.colour, linewidth=0.9, alpha=0.8, label=series)
            face = "white" if spot.hollow or look.hollow else look.colour
            (mark,) = ax.plot([x.value], [y.value], look.marker, color=look.colour, markerfacecolor=face)
            mark.set_label(series)
            stage = ", not retrained" if spot.hollow else ""
            name_points(mark, [name_target(x.target, x.rate) + stage])


def _draw_dense(ax: Axes, results: Results, measure: Measure) -> None:
    """Draw the dense network as a point, with lines to compare with."""
    across = {each[:2]: each for each in over_seeds(results.dense, measure.metric)}
    lines = figures.dense_lines(results)
    for y in over_seeds(results.dense, "top1"):
        if (x := across.get(y[:2])) is not None:
            ax.axhline(y.value, **lines[y.series], zorder=1.5)
            ax.axvline(x.value, color=INK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1.5)
            ax.plot([x.value], [y.value], "o", color=INK, zorder=3, label=y.series)


def _labelled(spot: Spot, colour: str) -> Point:
    def ends(estimate: Estimate) -> tuple[float, float]:
        known = math.isfinite(estimate.low) and math.isfinite(estimate.high)
        return (estimate.low, estimate.high) if known else (estimate.value, estimate.value)

    bars = (*ends(spot.mis), *ends(spot.top1))
    text = name_target(spot.mis.target, spot.mis.rate)
    return Point(spot.mis.value, spot.top1.value, bars, text, colour, spot.mis.series)
