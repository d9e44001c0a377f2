"""The figures of MIS: means by rate, distributions of units, medians by layer, logits against classes."""

from __future__ import annotations

import math
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from prunescope.analysis.results import Results, targets_of
from prunescope.report import figures, heat_maps
from prunescope.report.figures import Measure
from prunescope.report.formats import decimal, name_target, short_percent, shorten
from prunescope.report.theme import INK, QUIET, looks, page_width
from prunescope.report.traces import name_points, stand_for

PUBLISHED = Measure("mis_published", "As published: dead units scored", False)
CORRECTED = Measure("mis", "Corrected: live units only", False)
BINS = np.linspace(0, 1, 41)
CHANCE = "chance, 95 % of units"
AS_PUBLISHED, LIVE = "left: as published, dead units scored", "right: live units"
HALF = 0.45  # of the room of a rate: the widest that one half of a violin is drawn
SHARE: Any = {"textcoords": "offset points", "ha": "center", "fontsize": 5.5}
MOST_CLASSES = (
    20  # whose logits are drawn at every rate; of more, only the dense network's and the last rate's
)
MOST_POINTS = 500  # of a scatter that are drawn as shapes; more are drawn as one picture


def mis_by_rate(results: Results) -> Figure:
    """Draw the mean MIS as published beside the corrected one; a row before retraining, one after it."""
    measures = [measure for measure in (PUBLISHED, CORRECTED) if results.measured(measure.metric)]
    stages = [
        (name, networks, hollow)
        for name, networks, hollow in (
            ("before retraining", results.pruned, True),
            ("after retraining", results.retrained, False),
        )
        if networks["mis"].notna().any()
    ]
    width = page_width() if len(measures) > 1 else page_width() * 0.7
    figure = Figure(figsize=(width, 0.7 + 2.6 * len(stages)), layout="constrained")
    grid = figure.subplots(len(stages), len(measures), sharex=True, sharey=True, squeeze=False)
    for ax, measure in zip(grid[0], measures, strict=True):
        ax.set_title(measure.label)
    for panels, (name, networks, hollow) in zip(grid, stages, strict=True):
        for ax, measure in zip(panels, measures, strict=True):
            _draw_chance(ax, results)
            figures.draw_series(ax, results, networks, measure, hollow=hollow)
        panels[0].set_ylabel(f"Mean MIS, {name}")
    figures.keep_to_fractions(list(grid.flat))
    for ax in grid[-1]:
        figures.label_rates(ax, results)
    chance: list[tuple[str, Artist]] = [(CHANCE, Patch(color=QUIET, alpha=0.15, linewidth=0))]
    figures.legend(figure, results, chance if results.measured("mis_chance") else [])
    return figure


def _draw_chance(ax: Axes, results: Results) -> None:
    """Draw what units score whose activations say nothing: their mean, and the band of 95 % of them."""
    chance = results.networks[["mis_chance", "mis_chance_low", "mis_chance_high"]].mean()
    value, low, high = (float(level) for level in chance)
    if math.isfinite(low + high):
        ax.axhspan(low, high, color=QUIET, alpha=0.15, linewidth=0, zorder=0.5, label=CHANCE)
    if math.isfinite(value):
        ax.axhline(value, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)), label=CHANCE)


def score_distributions(results: Results, units: pd.DataFrame) -> Figure:
    """Draw the scores of all units of each network: left half as published, right half corrected.

    Args:
        units: the convolution units that MIS looked at, of the dense and the final networks.
    """
    drawn = figures.series_with(results, results.final, "mis")
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = Figure(figsize=(page_width() * (0.7, 1, 1)[columns - 1], 0.5 + 2.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    ends = {series: _ends(results, series, units) for series in drawn}
    live = [_shares(own["mis"].where(own["alive"]), len(own)) for end in ends.values() for _, own in end]
    widest = max((float(shares.max()) for shares in live), default=0) or 1.0
    styles = looks(results.series, results.controls)
    for ax, (series, own) in zip(grid.flat, ends.items(), strict=False):
        ax.set_title(shorten(series))
        for place, (_, scored) in enumerate(own):
            _draw_published(ax, place, scored["mis_published"], widest)
            _draw_live(ax, place, scored["mis"].where(scored["alive"]), widest, styles[series].colour)
        labels = [f"{name}\n{int((~scored['alive']).sum()):,}" for name, scored in own]
        ax.set_xticks(range(len(own)), labels, fontsize=6.5 if len(own) < 7 else 5.5)
        ax.set_xlim(-0.6, len(own) - 0.4)
        ax.grid(axis="x", visible=False)
    for ax in grid.flat[len(ends) :]:
        ax.set_axis_off()
    for ax in grid[:, 0]:
        ax.set_ylabel("MIS of a unit")
    grid[-1, columns // 2].set_xlabel(f"{results.target_label}, and below it how many units are dead")
    halves: list[tuple[str, Artist]] = [
        (AS_PUBLISHED, Patch(facecolor="none", edgecolor=INK, linewidth=0.7)),
        (LIVE, Patch(facecolor=QUIET, alpha=0.6)),
        ("median", Line2D([], [], color=INK, linewidth=1.4)),
    ]
    figures.legend_below(figure, halves)
    return figure


def _ends(results: Results, series: str, units: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the units of the dense network, and of each target of a series, by name; all seeds together."""
    final = results.final[results.final["series"] == series]
    ends = [("dense", results.dense["network"])]
    for target, rate in targets_of(final).items():
        ends.append((name_target(target, rate), final.loc[final["target"] == target, "network"]))
    found = [(name, units[units["network"].isin(networks)]) for name, networks in ends]
    return [(name, own) for name, own in found if len(own)]


def _shares(scores: pd.Series[Any], units: int) -> NDArray[np.float64]:
    """Return the share of all units in each bin: units without a score are in none."""
    return np.histogram(scores.dropna(), BINS)[0] / max(units, 1)


def _draw_live(ax: Axes, place: int, scores: pd.Series[Any], widest: float, colour: str) -> None:
    shares = _shares(scores, len(scores))
    if shares.any():
        reach, heights = _outline(shares / widest)
        half = ax.fill_betweenx(
            heights, place, place + HALF * reach, color=colour, alpha=0.6, linewidth=0, label=LIVE
        )
        _tell_shares(half, place, shares, HALF / 2 * shares / widest)
        (median,) = ax.plot(
            [place, place + 0.36], [scores.median()] * 2, color=INK, linewidth=1.4, label=LIVE
        )
        stand_for(median, [(place + 0.18, scores.median())], ["median"])


def _draw_published(ax: Axes, place: int, scores: pd.Series[Any], widest: float) -> None:
    """Draw the outline; where a bin would be wider than its room, it is cut and its share written."""
    shares = _shares(scores, len(scores))
    if not shares.any():
        return
    reach, heights = _outline(np.minimum(shares / widest, 1))
    (half,) = ax.plot(place - HALF * reach, heights, color=INK, linewidth=0.7, label=AS_PUBLISHED)
    _tell_shares(half, place, shares, -HALF / 2 * np.minimum(shares / widest, 1))
    (median,) = ax.plot(
        [place - 0.36, place], [scores.median()] * 2, color=INK, linewidth=0.7, label=AS_PUBLISHED
    )
    stand_for(median, [(place - 0.18, scores.median())], ["median"])
    for i in np.flatnonzero(shares > widest):
        at = (place - HALF / 2, BINS[i + 1])
        ax.annotate(short_percent(round(shares[i], 2)), at, (0, 2), **SHARE)


def _tell_shares(half: Artist, place: int, shares: NDArray[np.float64], aside: NDArray[np.float64]) -> None:
    """Let a half stand for the share of the units in each bin that holds any, told in the middle of the bin."""
    used = np.flatnonzero(shares)
    middles = (BINS[1:] + BINS[:-1]) / 2
    names = [f"{100 * shares[i]:.4g} % of units from {BINS[i]:.3f} to {BINS[i + 1]:.3f}" for i in used]
    stand_for(half, np.column_stack([place + aside[used], middles[used]]), names)


def _outline(reach: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the width and the height of each corner, from the lowest bin that holds units to the highest."""
    used = np.flatnonzero(reach)
    first, last = used[0], used[-1] + 1
    return np.concatenate([[0], np.repeat(reach[first:last], 2), [0]]), np.repeat(BINS[first : last + 1], 2)


def mis_by_layer(results: Results, units: pd.DataFrame) -> Figure:
    """Draw the median MIS of the live units of each layer: a panel per series, a row per target."""
    order = [str(name) for name in units["layer"].unique()]
    panels = {}
    for series in figures.series_with(results, results.final, "mis"):
        ends = _ends(results, series, units)
        medians = [
            own.loc[own["alive"]].groupby("layer", observed=True)["mis"].median().reindex(order)
            for _, own in ends
        ]
        panels[series] = pd.DataFrame(np.array(medians), [name for name, _ in ends], order)
    values = pd.concat(panels.values()).to_numpy()
    low, high = math.floor(20 * np.nanmin(values)) / 20, math.ceil(20 * np.nanmax(values)) / 20
    scale = heat_maps.Scale("Median MIS", "YlGnBu", low, max(high, low + 0.05), lambda mis: decimal(mis, 2))
    return heat_maps.by_layer(panels, scale, results.target_label, rasterized=True)


def mis_by_class(results: Results, logits: pd.DataFrame) -> Figure:
    """Draw the MIS of each logit against the top-1 of its class: a panel per series, a colour per target.

    Args:
        logits: one row per network and class, with `series`, `stage`, `target`, `rate`, `mis` and `top1`.
    """
    drawn = [name for name in results.series if (logits["series"] == name).any()]
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = Figure(figsize=(page_width() * (0.7, 1, 1)[columns - 1], 0.5 + 2.4 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    dense = logits[logits["stage"] == "dense"]
    targets = list(targets_of(logits[logits["stage"] != "dense"]).items())
    colours = matplotlib.colormaps["viridis_r"](np.linspace(0.12, 1, max(len(targets), 2)))
    if logits["class"].nunique() > MOST_CLASSES:
        targets = targets[-1:]
    many = len(logits) > MOST_POINTS
    points: Any = {"marker": "o", "linestyle": "none", "markersize": 2.5 if many else 4, "rasterized": many}
    shown = dict(zip(targets, colours[len(colours) - len(targets) :], strict=True))
    for ax, series in zip(grid.flat, drawn, strict=False):
        ax.set_title(shorten(series))
        (dots,) = ax.plot(
            dense["top1"], dense["mis"], color=INK, markerfacecolor="none", label="dense", **points
        )
        name_points(dots, dense["class"].astype(str).tolist())
        for (target, rate), colour in shown.items():
            own = logits[(logits["series"] == series) & (logits["target"] == target)]
            paint: Any = {"color": colour, "alpha": 0.8, "markeredgewidth": 0}
            (dots,) = ax.plot(own["top1"], own["mis"], label=name_target(target, rate), **paint, **points)
            name_points(dots, own["class"].astype(str).tolist())
        ax.xaxis.set_major_formatter(figures.PERCENT)
    for ax in grid.flat[len(drawn) :]:
        ax.set_axis_off()
    for ax in grid[-1]:
        ax.set_xlabel("Top-1 of the class")
    for ax in grid[:, 0]:
        ax.set_ylabel("MIS of its logit")
    entries: list[tuple[str, Artist]] = [
        ("dense", Line2D([], [], color=INK, marker="o", markerfacecolor="none", linestyle="none"))
    ]
    for known, colour in shown.items():
        entries.append((name_target(*known), Line2D([], [], color=colour, marker="o", linestyle="none")))
    figures.legend_below(figure, entries)
    return figure
