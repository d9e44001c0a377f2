"""The figures of explanations: every measure against the rate, and the curves of deletion and insertion."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from prunescope.analysis.results import Results, over_seeds, targets_of
from prunescope.measures.intervals import t_interval
from prunescope.report import figures
from prunescope.report.explanation_results import LIKENESS, OF_PROXY, Stage, name_method, only, stages
from prunescope.report.figures import Measure
from prunescope.report.formats import name_target, shorten
from prunescope.report.theme import INK, QUIET, looks, page_width

Style = Literal["--"] | tuple[float, Sequence[float]]
DOTS: Style = (0.0, (1.0, 2.0))
DASHES: Style = "--"
MOST_CURVES = 6  # targets of one panel of curves; of more, some are drawn, the last among them
TICK = 0.07  # of the width of a page that the label of a rate takes


class Panel(NamedTuple):
    """One measure of explanations as a column of panels.

    Attributes:
        what: its name after the method's in a metric.
        fraction: whether it is a share of images, written in percent.
        level: a value drawn across, that of a map which says nothing; NaN where there is none.
        chance: the measure of what maps would score by chance; empty where there is none.
    """

    what: str
    title: str
    fraction: bool = False
    level: float = math.nan
    chance: str = ""


LIKENESS_PANELS = tuple(
    Panel(what, title, chance=f"{what}_chance")
    for what, title in zip(LIKENESS, ("Spearman’s ρ", "SSIM", "IoU of the top pixels"), strict=True)
)
FAITHFULNESS_PANELS = (
    Panel("deletion", "Deletion area"),
    Panel("insertion", "Insertion area"),
    Panel("faithfulness", "Insertion − deletion", level=0.0),
    Panel("confidence", "Confidence"),
)
SHAPE_PANELS = (
    Panel("gini", "Gini"),
    Panel("entropy", "Entropy"),
    Panel("pointing", "Pointing game", True, chance="object_share"),
    Panel("inside", "Inside the object", True, chance="object_share"),
)
PROXY_PANELS = (Panel("proxy_top1", "A proxy for people: its top-1", True),)


def measured(results: Results, methods: Sequence[str], panels: Sequence[Panel]) -> list[Panel]:
    """Return the panels that any pruned network has a value for."""
    return [
        panel
        for panel in panels
        if any(results.sparse[f"{method}/{panel.what}"].notna().any() for method in methods)
    ]


def by_rate(results: Results, methods: Sequence[str], panels: Sequence[Panel]) -> Figure:
    """Draw measures against the rate: a column each, a row for each method, and for each stage that was measured."""
    rows = [
        (method, stage)
        for method in methods
        for stage in stages(results, method)
        if _any(stage, method, panels)
    ]
    figure = Figure(figsize=(page_width(), 0.75 + 1.85 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(panels), squeeze=False, sharex=True, sharey="col")
    for i, (method, stage) in enumerate(rows):
        for ax, panel in zip(grid[i], panels, strict=True):
            _draw(ax, results, method, stage, panel)
        grid[i, 0].set_ylabel(name_method(method) + (f",\n{stage.name}" if stage.name else ""))
    for column, panel in zip(grid.T, panels, strict=True):
        column[0].set_title(panel.title, fontsize=7.5)
        if panel.fraction:
            figures.keep_to_fractions(column)
    rate_axis(grid[-1, 0], results, len(panels))
    for ax in grid[-1]:
        ax.set_xlabel(results.rate_label)
    figures.legend_below(figure, _legend(results, methods, panels))
    return figure


def _any(stage: Stage, method: str, panels: Sequence[Panel]) -> bool:
    columns = [f"{method}/{panel.what}" for panel in panels]
    return bool(stage.networks[columns].notna().any(axis=None))


def _draw(ax: Axes, results: Results, method: str, stage: Stage, panel: Panel) -> None:
    ax.margins(x=0.08)
    measure = Measure(f"{method}/{panel.what}", panel.title, panel.fraction)
    results = replace(results, networks=only(results.networks, measure.metric, *OF_PROXY))
    figures.draw_series(ax, results, only(stage.networks, measure.metric), measure, hollow=stage.hollow)
    if panel.chance:
        chance = f"{method}/{panel.chance}"
        _draw_chance(ax, results, only(stage.networks, chance), chance)
    if panel.what == "proxy_top1":
        _draw_controls_of_proxy(ax, results)
    if math.isfinite(panel.level):
        ax.axhline(panel.level, color=QUIET, linewidth=0.8, linestyle=DOTS)
    if not panel.fraction:
        ax.ticklabel_format(axis="y", useOffset=False)
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _draw_chance(ax: Axes, results: Results, networks: pd.DataFrame, metric: str) -> None:
    """Draw for each series what its maps would score by chance."""
    chance = over_seeds(networks, metric)
    for series, look in looks(results.series, results.controls).items():
        own = [estimate for estimate in chance if estimate.series == series]
        rates, values = [each.rate for each in own], [each.value for each in own]
        ax.plot(rates, values, color=look.colour, linewidth=1, linestyle=DOTS, label="chance")


def _draw_controls_of_proxy(ax: Axes, results: Results) -> None:
    for metric, style in zip(OF_PROXY, (DASHES, DOTS), strict=True):
        level = float(results.networks[metric].mean())
        if math.isfinite(level):
            ax.axhline(level, color=QUIET, linewidth=0.9, linestyle=style)


def _legend(results: Results, methods: Sequence[str], panels: Sequence[Panel]) -> list[tuple[str, Artist]]:
    """Name the series and what else is drawn; the dense network only where it has values."""
    whats = {panel.what for panel in panels}
    entries: list[tuple[str, Artist]] = []
    if any(results.dense[f"{method}/{what}"].notna().any() for method in methods for what in whats):
        entries.append(("dense", Line2D([], [], color=INK, linewidth=1)))
    entries += [
        (name, Line2D([], [], color=look.colour, marker=look.marker))
        for name, look in looks(results.series, results.controls).items()
    ]
    dotted = Line2D([], [], color=QUIET, linewidth=1, linestyle=DOTS)
    for of, name in (
        (LIKENESS, "dense maps of other images"),
        (("inside", "pointing"), "the object’s share of the image"),
    ):
        chances = {panel.chance for panel in panels if panel.what in of}
        if any(results.measured(f"{method}/{chance}") for method in methods for chance in chances):
            entries.append((name, dotted))
    if any(math.isfinite(panel.level) for panel in panels):
        entries.append(("pixels in random order", dotted))
    if "proxy_top1" in whats:
        named = (("the proxy on whole images", DASHES), ("the proxy on random pixels", DOTS))
        for metric, (name, style) in zip(OF_PROXY, named, strict=True):
            if results.measured(metric):
                entries.append((name, Line2D([], [], color=QUIET, linewidth=0.9, linestyle=style)))
    return entries


def rate_axis(ax: Axes, results: Results, columns: int) -> None:
    """Label the axis of rates of so many panels; rates that crowd towards 100 % are spread by what they leave."""
    rates = np.array(sorted(results.sparse["rate"].unique()))
    halvings = _halvings(rates)
    crowded = _room(rates) < figures.ROOM_FOR_TICK and _room(halvings) > _room(rates) and rates.max() < 1
    if not crowded or not results.sparse["asked"].all():
        figures.label_rates(ax, results, max(figures.ROOM_FOR_TICK, TICK * columns))
        return
    aside = 0.06 * float(np.ptp(halvings))
    ax.set_xscale("function", functions=(_halvings, _rate))
    ax.set_xlim(*_rate(np.array([halvings[0] - aside, halvings[-1] + aside])))
    step = math.ceil(TICK * columns / max(_room(halvings), TICK / len(rates)))
    ax.xaxis.set_major_locator(FixedLocator(list(rates[::-1][::step][::-1])))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(figures.PERCENT)


def _halvings(rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how often the weights were halved to leave what a rate leaves."""
    return -np.log2(np.maximum(1 - np.asarray(rate), 1e-9))


def _rate(halvings: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 - 2.0 ** -np.asarray(halvings)


def _room(places: NDArray[np.float64]) -> float:
    """Return the smallest step between places, as a share of the way from the first to the last."""
    return float(np.diff(places).min() / np.ptp(places)) if len(places) > 1 else 1.0


def curves(results: Results, methods: Sequence[str], colours: Mapping[str, str] | None = None) -> Figure:
    """Draw deletion beside insertion for each method and series, a colour per target.

    Args:
        colours: target to its colour; None: of all targets as many as fit, the sparser the darker.
    """
    known = results.networks.loc[
        results.networks["final"] | (results.networks["stage"] == "dense"),
        ["network", "series", "stage", "target", "rate"],
    ]
    table = results.explanation_curves.merge(known, on="network")
    drawn = [name for name in results.series if (table["series"] == name).any()]
    pairs = list(itertools.product(methods, drawn))
    columns = min(2, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = Figure(figsize=(page_width(), 0.7 + 2.0 * rows), layout="constrained")
    grid = figure.subplots(rows, 2 * columns, squeeze=False, sharex=True, sharey=True)
    shown = drawn_targets(table) if colours is None else colours
    for i, (method, series) in enumerate(pairs):
        own = table[
            (table["method"] == method) & table["series"].where(table["stage"] != "dense", series).eq(series)
        ]
        panels = grid[i // columns, 2 * (i % columns) :]
        for ax, curve in zip(panels, ("deletion", "insertion"), strict=False):
            _draw_curves(ax, own[own["curve"] == curve], shown)
            of = f"{name_method(method)}, {curve}" if len(methods) > 1 else curve.capitalize()
            ax.set_title(f"{shorten(series, 22)}\n{of}" if len(drawn) > 1 else of, fontsize=7.5)
    for ax in grid.flat:
        if not ax.lines:
            ax.set_axis_off()
        ax.xaxis.set_major_formatter(figures.PERCENT)
        ax.yaxis.set_major_formatter(figures.PERCENT)
    for i, ax in enumerate(grid[-1]):
        ax.set_xlabel("Pixels shown" if i % 2 else "Pixels gone")
    for ax in grid[:, 0]:
        ax.set_ylabel("Probability")
    names = targets_of(table[table["stage"] != "dense"])
    lines = [(name_target(key, names[key]), Line2D([], [], color=colour)) for key, colour in shown.items()]
    figures.legend_below(figure, [("dense", Line2D([], [], color=INK)), *lines])
    return figure


def drawn_targets(table: pd.DataFrame) -> dict[str, str]:
    """Return the targets whose curves are drawn, each with its colour: darker is sparser."""
    targets = list(targets_of(table[table["stage"] != "dense"]))
    places = np.unique(np.linspace(0, len(targets) - 1, min(len(targets), MOST_CURVES)).round().astype(int))
    colours = matplotlib.colormaps["viridis_r"](np.linspace(0.12, 1, max(len(targets), 2)))[-len(targets) :]
    return {targets[place]: to_hex(colours[place]) for place in places}


def _draw_curves(ax: Axes, table: pd.DataFrame, shown: Mapping[str, str]) -> None:
    """Draw the mean over seeds; the band is over seeds, or with one of them over images."""
    names = targets_of(table[table["stage"] != "dense"])
    lines = [(table[table["stage"] == "dense"], INK, "dense")]
    pruned = table[table["stage"] != "dense"]
    lines += [
        (pruned[pruned["target"] == target], shown[target], name_target(target, rate))
        for target, rate in names.items()
        if target in shown
    ]
    for own, colour, label in lines:
        points = [_point(each) for _, each in own.groupby("fraction")]
        if points:
            fraction, value, low, high = np.array(points).T
            ax.plot(fraction, value, color=colour, linewidth=1.2, label=label)
            band = np.maximum(low, 0), np.minimum(high, 1)
            ax.fill_between(fraction, *band, color=colour, alpha=0.12, linewidth=0, label=label)


def _point(rows: pd.DataFrame) -> tuple[float, float, float, float]:
    """Return the share of pixels, the mean of the networks' values there, and its interval."""
    values = rows["value"].tolist()
    first = rows.iloc[0]
    low, high = t_interval(values) if len(values) > 1 else (float(first["low"]), float(first["high"]))
    return float(first["fraction"]), sum(values) / len(values), low, high
