"""How training went: accuracy on the validation images, or the loss, after every epoch."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from prunescope.analysis.results import Results, targets_of
from prunescope.measures.intervals import t_interval
from prunescope.report import figures
from prunescope.report.blocks import Plot
from prunescope.report.drawn_along import drawn_along
from prunescope.report.explanation_figures import drawn_targets
from prunescope.report.formats import count, listing, name_target, shorten
from prunescope.report.theme import INK, page_width

LONGEST_TITLE = 60  # letters, in several lines
FEW_EPOCHS = 15  # of which each has a marker


class Course(NamedTuple):
    """What is drawn: the column of the table `curves`, what it is called, and its rows beside their networks."""

    column: str
    label: str
    rows: pd.DataFrame


def epoch_plots(results: Results) -> list[Plot]:
    """Return the figure of accuracy, or else loss, by epoch, if any network was trained for two epochs or more."""
    course = _course(results)
    if course is None:
        return []
    trained = results.networks["network"].isin(course.rows["network"])
    asked = results.networks["network"].isin(results.curves["network"])
    missing = int((asked & ~trained).sum())
    how = (
        "Accuracy on the validation images"
        if course.column == "validate_top1"
        else "Loss on the training images"
    )
    why = (
        ""
        if course.column == "validate_top1"
        else " (accuracy by epoch is kept where training can stop early)"
    )
    several = results.own.seeds > 1
    over = (
        f" Means of {results.own.seeds} seeds, bands: their 95 % t-intervals."
        if several
        else " One seed, no intervals."
    )
    return [
        Plot(
            "top1-by-epoch",
            partial(draw_by_epoch, results),
            f"{how} after every epoch of retraining{why}; darker is sparser.{over}{drawn_along(results, course.rows)}"
            + (f" Not drawn: {count(missing, 'network')} without this number." if missing else ""),
            f"{course.label} by epoch, for {listing(_panels(results, course))}.",
        )
    ]


def draw_by_epoch(results: Results) -> Figure:
    """Draw a panel per series, a curve per target; the training of the dense network, if it was trained, first."""
    course = _course(results)
    if course is None:
        raise ValueError("no network was trained for two epochs: `epoch_plots` has no figure then")
    panels = _panels(results, course)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    size = (page_width() * (0.7, 1, 1)[columns - 1], 0.7 + 2.3 * rows)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    shown = drawn_targets(course.rows)
    for ax, name in zip(grid.flat, panels, strict=False):
        own = course.rows[course.rows["series"] == name]
        dense = own["stage"].eq("dense").all()
        ax.set_title(shorten(name, LONGEST_TITLE))
        ax.set_xlabel("Epoch" if dense else "Epoch of retraining")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        for target, colour in {"": INK}.items() if dense else shown.items():
            _draw_curve(ax, own if dense else own[own["target"] == target], course, colour)
    for ax in grid.flat[len(panels) :]:
        ax.set_axis_off()
    for ax in grid[:, 0]:
        ax.set_ylabel(course.label)
        if course.column == "validate_top1":
            ax.yaxis.set_major_formatter(figures.PERCENT)
    names = targets_of(course.rows[course.rows["stage"] != "dense"])
    entries: list[tuple[str, Artist]] = [
        (name_target(key, names[key]), Line2D([], [], color=colour, marker="o", markersize=3))
        for key, colour in shown.items()
    ]
    if course.rows["stage"].eq("dense").any():
        entries.insert(0, ("dense", Line2D([], [], color=INK, marker="o", markersize=3)))
    figures.legend_below(figure, entries)
    return figure


def _course(results: Results) -> Course | None:
    """Return the accuracy by epoch of retraining, where that is not known the loss; None for fewer than two epochs."""
    known = results.networks[["network", "run", "series", "stage", "target", "rate", "seed"]]
    rows = results.curves.merge(known, on="network")
    for column, label in (("validate_top1", "Validation top-1"), ("loss", "Training loss")):
        own = rows[rows[column].notna()]
        retrained = own[own["stage"] != "dense"]
        if len(retrained) and retrained["epoch"].max() > retrained["epoch"].min():
            return Course(column, label, own)
    return None


def _panels(results: Results, course: Course) -> list[str]:
    """Return what has a panel: the dense networks that were trained, and each series."""
    known = set(course.rows["series"])
    dense = [str(name) for name in results.dense["series"].unique()]
    return [name for name in [*dense, *results.series] if name in known]


def _draw_curve(ax: Axes, own: pd.DataFrame, course: Course, colour: str) -> None:
    """Draw the mean over seeds, and over them the band, if there are several."""
    if own.empty:
        return
    points = []
    for place in sorted(own["epoch"].unique().tolist()):
        values = own.loc[own["epoch"] == place, course.column].tolist()
        ends = t_interval(values) if len(values) > 1 else (math.nan, math.nan)
        points.append((place + 1, sum(values) / len(values), *ends))
    x, y, low, high = np.array(points).T
    first = own.iloc[0]
    label = "dense" if first["stage"] == "dense" else name_target(first["target"], first["rate"])
    marker = "o" if len(x) <= FEW_EPOCHS else ""
    ax.plot(x, y, color=colour, marker=marker, markersize=3, linewidth=1.2, label=label)
    if np.isfinite(low).any():
        if course.column == "validate_top1":
            low, high = np.maximum(low, 0), np.minimum(high, 1)
        ax.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0, label=label)
