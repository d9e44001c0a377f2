"""The figures of Network Dissection: detectors and concepts by weights left, by layer, of controls, and kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from prunescope.analysis.results import Estimate, Results, over_seeds, targets_of
from prunescope.report import figures, heat_maps
from prunescope.report.formats import decimal, name_target, shorten, whole
from prunescope.report.theme import INK, QUIET, Look, category_looks, page_width

TOTAL = Look(INK, "o")
CONTROLS = {"": "dense network", "rotated": "its basis rotated at random", "untrained": "untrained"}
CONTROL_COLOURS = {"": INK, "rotated": "#8a96a3", "untrained": "#cdd4dc"}
WIDE = 100  # from here on, a number is wider than its bar, and stands upright
MOST_UPRIGHT = 6  # bars of a panel, whose labels have room side by side
FATES = {  # what became of the detectors of the dense network, and new ones: the same in every figure
    "kept": "#0b4f8a",
    "changed": "#6aaed6",
    "gained": "#c7e0f1",
    "lost": "#e3a35c",
}


def by_weights_left(results: Results, networks: pd.DataFrame, categories: Sequence[str]) -> Figure:
    """Draw top-1 (if measured), detectors and unique detectors against the weights left; panels per series.

    Args:
        networks: the dense and final networks, with `left`, and for `detectors` and `unique_detectors` a
            column `<metric>/<category>` for each category.
    """
    styles = category_looks(categories)
    drawn = figures.series_with(results, results.final, "detectors")
    columns = min(3, len(drawn))
    blocks = -(-len(drawn) // columns)
    rows = [("detectors", "Detectors"), ("unique_detectors", "Unique detectors")]
    if networks["top1"].notna().any():
        rows.insert(0, ("top1", "Top-1"))
    heights = [1.3 if metric == "top1" else 1.65 for metric, _ in rows] * blocks
    width = page_width() * (0.6, 1, 1)[columns - 1]
    figure = Figure(figsize=(width, 0.6 + sum(heights)), layout="constrained")
    grid = figure.subplots(
        len(rows) * blocks,
        columns,
        sharex=True,
        sharey=False,
        squeeze=False,
        height_ratios=heights,
    )
    for i, series in enumerate(drawn):
        block = grid[len(rows) * (i // columns) :, i % columns]
        own = networks[(networks["series"] == series) | (networks["stage"] == "dense")]
        block[0].set_title(shorten(series))
        for ax, (metric, _) in zip(block, rows, strict=False):
            if metric != "top1":
                for category, look in styles.items():
                    _draw_curve(ax, own, f"{metric}/{category}", look, category)
            _draw_curve(ax, own, metric, TOTAL, "all")
    for i, (metric, label) in enumerate(rows):
        _finish_row(list(grid[i :: len(rows)].flat), metric)
        for ax in grid[i :: len(rows), 0]:
            ax.set_ylabel(label)
        for ax in grid[i :: len(rows), 1:].flat:
            ax.tick_params(labelleft=False)
    for ax in grid.flat:
        if not ax.has_data():
            ax.set_axis_off()
    for ax in grid.flat:
        figures.weights_left_axis(ax, float(networks.loc[networks["left"] > 0, "left"].min()))
    for ax in grid[-1]:
        ax.set_xlabel("Weights left")
    names: list[tuple[str, Artist]] = [
        (name, Line2D([], [], color=look.colour, marker=look.marker, linewidth=1.2))
        for name, look in styles.items()
    ]
    figures.legend_below(figure, [("all", Line2D([], [], color=INK, marker="o")), *names])
    return figure


def _draw_curve(ax: Axes, networks: pd.DataFrame, metric: str, look: Look, label: str) -> None:
    """Draw a metric from the dense network on to ever fewer weights, with its intervals over seeds."""
    at = {estimate[:2]: estimate.value for estimate in over_seeds(networks, "left") if estimate.value > 0}
    estimates: list[Estimate] = [e for e in over_seeds(networks, metric) if e[:2] in at]
    estimates.sort(key=lambda estimate: -at[estimate[:2]])
    if estimates:
        x = [at[estimate[:2]] for estimate in estimates]
        figures.draw_estimates(ax, x, estimates, look, hollow=False, moved=ax.transData, label=label)


def _finish_row(panels: Sequence[Axes], metric: str) -> None:
    """Give a row of panels one scale: a fraction of 1, or counts from 0."""
    drawn = [ax for ax in panels if ax.has_data()]
    bottom, top = min(ax.get_ylim()[0] for ax in drawn), max(ax.get_ylim()[1] for ax in drawn)
    for ax in drawn:
        if metric == "top1":
            ax.set_ylim(max(bottom, -0.02), min(top, 1.02))
            ax.yaxis.set_major_formatter(figures.PERCENT)
            ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        else:
            ax.set_ylim(0, max(top, 1))
            ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))


def unique_by_layer(results: Results, counts: pd.DataFrame) -> Figure:
    """Draw the unique detectors of each layer: a panel per series, a row per target.

    Args:
        counts: `series`, `stage`, `target`, `rate`, `layer`, `unique_detectors`; averaged over seeds here.
    """
    order = [str(name) for name in counts["layer"].unique()]
    dense = counts[counts["stage"] == "dense"]
    panels = {}
    for series in (name for name in results.series if (counts["series"] == name).any()):
        own = pd.concat([dense.assign(rate=-1.0, target="dense"), counts[counts["series"] == series]])
        panels[series] = heat_maps.by_target(own, "unique_detectors").reindex(columns=order)
    most = max(1.0, float(np.nanmax(pd.concat(panels.values()).to_numpy())))
    scale = heat_maps.Scale("Unique detectors", "YlGnBu", 0, most, lambda number: f"{number:g}")
    return heat_maps.by_layer(panels, scale, results.target_label, rasterized=True)


def controls(detectors: pd.DataFrame, categories: Sequence[str]) -> Figure:
    """Draw detectors and unique detectors of the dense network beside those of its controls.

    Args:
        detectors: `control`, `category` ("" for all), `detectors`, `unique_detectors`; averaged over seeds here.
    """
    names = ["", *category_looks(categories)]
    found = [control for control in CONTROLS if control in set(detectors["control"])]
    figure = Figure(figsize=(page_width(), 2.6), layout="constrained")
    width = 0.8 / len(found)
    wide = detectors["detectors"].max() >= WIDE
    for ax, (metric, label) in zip(
        figure.subplots(1, 2),
        (("detectors", "Detectors"), ("unique_detectors", "Unique detectors")),
        strict=True,
    ):
        table = detectors.pivot_table(index="category", columns="control", values=metric).reindex(names)
        for i, control in enumerate(found):
            x = np.arange(len(names)) + width * (i - (len(found) - 1) / 2)
            bars = ax.bar(x, table[control].fillna(0), width, color=CONTROL_COLOURS[control])
            bars.set_label(CONTROLS[control])
            ax.bar_label(
                bars,
                [f"{value:g}" for value in table[control].fillna(0).round(1)],
                fontsize=6,
                padding=2 if wide else 1,
                rotation=90 if wide else 0,
            )
        ax.set_title(label)
        ax.set_xticks(range(len(names)), ["all", *map(shorten, names[1:])])
        ax.grid(axis="x", visible=False)
        ax.margins(y=0.16 if wide else 0.12)
    entries: list[tuple[str, Artist]] = [
        (CONTROLS[name], Patch(color=CONTROL_COLOURS[name])) for name in found
    ]
    figures.legend_below(figure, entries)
    return figure


def persistence(results: Results) -> Figure:
    """Draw what became of the dense network's detectors: a panel per series, a bar per target."""
    drawn = figures.series_with(results, results.final, "concepts_kept")
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = Figure(figsize=(page_width() * (0.6, 1, 1)[columns - 1], 0.6 + 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for ax, series in zip(grid.flat, drawn, strict=False):
        final = results.final[results.final["series"] == series]
        targets = targets_of(final)
        counts = [*(f"concepts_{fate}" for fate in FATES), "concept_jaccard"]
        means = final.groupby("target")[counts].mean().reindex(list(targets)).dropna()
        ax.set_title(shorten(series))
        _draw_fates(ax, means)
        for dense in over_seeds(results.dense_beside(series), "detectors"):
            ax.axhline(dense.value, color=INK, linewidth=0.8, label="detectors of the dense network")
        names = [name_target(target, rate) for target, rate in targets.items() if target in means.index]
        ax.set_xticks(range(len(means)), names, rotation=90 if len(means) > MOST_UPRIGHT else 0)
        ax.set_xlabel(results.target_label)
        ax.grid(axis="x", visible=False)
    for ax in grid.flat[len(drawn) :]:
        ax.set_axis_off()
    for ax in grid[:, 0]:
        ax.set_ylabel("Units")
        ax.yaxis.set_major_formatter(lambda value, _: whole(abs(value)))
        ax.margins(y=0.1)
    entries: list[tuple[str, Artist]] = [(name, Patch(color=colour)) for name, colour in FATES.items()]
    figures.legend_below(
        figure, [*entries, ("detectors of the dense network", Line2D([], [], color=INK, linewidth=0.8))]
    )
    return figure


def _draw_fates(ax: Axes, means: pd.DataFrame) -> None:
    """Stack what the network has above the line and what it lost below, and there the Jaccard index."""
    place = np.arange(len(means))
    bottom = np.zeros(len(means))
    for fate in ("kept", "changed", "gained"):
        heights = means[f"concepts_{fate}"].to_numpy()
        ax.bar(place, heights, 0.7, bottom, color=FATES[fate], label=fate)
        bottom += heights
    ax.bar(place, -means["concepts_lost"], 0.7, color=FATES["lost"], label="lost")
    ax.axhline(0, color=QUIET, linewidth=0.7)
    crowded = len(means) > MOST_UPRIGHT  # then the index stands upright, inside its bar
    for x, lost, jaccard in zip(place, means["concepts_lost"], means["concept_jaccard"], strict=True):
        if math.isfinite(jaccard):
            ax.annotate(
                decimal(jaccard, 2),
                (x, -lost),
                (0, 2 if crowded else -3),
                textcoords="offset points",
                ha="center",
                va="bottom" if crowded else "top",
                fontsize=6,
                rotation=90 if crowded else 0,
            )
