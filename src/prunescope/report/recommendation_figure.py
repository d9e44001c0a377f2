"""The figure of a recommendation: every kept quantity against what is to be least, and the front of the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from prunescope.analysis.recommendation import Recommendation
from prunescope.analysis.results import records
from prunescope.analysis.wishes import Wish
from prunescope.report.figures import LEFT_TICKS, MOST_LEFT_TICKS, PERCENT, legend_below
from prunescope.report.formats import name_target, shorten
from prunescope.report.placed_labels import Point, place_labels
from prunescope.report.theme import INK, QUIET, Look, looks, page_width
from prunescope.report.traces import ONE_SEED, name_points

WIDE = 6.0  # a cost this many times another: the axis is logarithmic
ROOM = 1.15  # of a logarithmic axis beyond the last point, as a factor
PANELS = {1: 1, 2: 2, 4: 2}  # columns for so many panels; else 3
LONGEST_TITLE = 100  # characters of the wishes above all panels of a row
RING: Any = {
    "marker": "o",
    "markersize": 9.5,
    "markerfacecolor": "none",
    "markeredgewidth": 1.4,
    "linestyle": "none",
}
DASHES = (0, (4, 2))
FRONT = "best for its cost"
DENSE_WIDTH, BOUND_WIDTH = 0.6, 1.4  # of lines, so that one is seen on the other


def front(found: Recommendation) -> Figure:
    """Draw a panel for each quantity that is to be kept, the cheapest networks at the right."""
    panels = _panels(found.wishes)
    columns = PANELS.get(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    width = page_width() * 0.75 if len(panels) == 1 else page_width()
    figure = Figure(figsize=(width, 0.7 + 2.7 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    styles = looks(list(found.series), {})
    for ax, wishes in zip(axes, panels, strict=False):
        _draw_panel(ax, found, wishes, styles, LONGEST_TITLE // columns)
    for ax in axes[len(panels) :]:
        ax.remove()
    legend_below(figure, _legend(found, styles))
    figure.draw_without_rendering()  # labels are placed on a finished layout
    for ax, wishes in zip(axes, panels, strict=False):
        place_labels(ax, _labels(found, wishes[0], styles))
    return figure


def _panels(wishes: Sequence[Wish]) -> list[list[Wish]]:
    """Put wishes that ask for more, or for less, of one metric together."""
    panels: dict[tuple[str, bool], list[Wish]] = {}
    for wish in wishes:
        panels.setdefault((wish.metric, wish.at_least), []).append(wish)
    return list(panels.values())


def _draw_panel(
    ax: Axes, found: Recommendation, wishes: Sequence[Wish], styles: Mapping[str, Look], longest: int
) -> None:
    wish = wishes[0]
    table = _placed(found, wish)
    ax.set_title(shorten("; ".join(each.text for each in wishes), longest), fontsize=7.5)
    ax.set_ylabel(shorten(wish.metric))
    _draw_dense(ax, found, wish)
    best = table[table["front"]].sort_values("cost", kind="stable")
    corners = best["cost"].repeat(2)[1:], best["value"].repeat(2)[:-1]
    ax.plot(*corners, color=QUIET, linewidth=1, zorder=1.6, label=FRONT)
    for series, own in table.groupby("series", sort=False):
        _draw_series(ax, found, wish, own, styles[str(series)])
    if found.shown is not None:
        own = table[(table["series"] == found.shown.series) & (table["target"] == found.shown.target)]
        edge = INK if found.best else QUIET
        ax.plot(own["cost"], own["value"], **RING, markeredgecolor=edge, zorder=4, label=_ringed(found))
    _cost_axis(ax, found, [*table["cost"], found.dense["cost"]])
    for each in wishes:
        _draw_bound(ax, each, found)
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _placed(found: Recommendation, wish: Wish) -> pd.DataFrame:
    """Return the networks whose value can be drawn, each with its cost and its interval about it, as rates rise."""
    own = found.answers[(found.answers["wish"] == wish.text) & found.answers["value"].map(math.isfinite)]
    known = found.networks[["series", "target", "rate", "cost", "kept", "shown"]]
    table = own.drop(columns=["kept", "shown"]).merge(known, on=["series", "target"])
    table = table.sort_values("rate", kind="stable")
    ends = ("low", "high") if wish.at_least else ("high", "low")
    sign = 1 if wish.at_least else -1
    return table.assign(**{f"bar_{i}": table["bound"] + sign * table[end] for i, end in enumerate(ends)})


def _draw_series(ax: Axes, found: Recommendation, wish: Wish, own: pd.DataFrame, look: Look) -> None:
    series = str(own["series"].iloc[0])
    ax.plot(own["cost"], own["value"], color=look.colour, linewidth=0.8, alpha=0.4, zorder=1.8, label=series)
    for row in records(own):
        keeps = row["shown" if found.sure else "kept"]
        face = look.colour if keeps else "white"
        (mark,) = ax.plot(row["cost"], row["value"], look.marker, color=look.colour, markerfacecolor=face)
        mark.set(zorder=3, label=series)
        name_points(mark, [name_target(row["target"], row["rate"])])
    wide = own[own["over"] != "counted"]
    bars = ax.vlines(wide["cost"], wide["bar_0"], wide["bar_1"], look.colour, linewidth=0.9, alpha=0.8)
    bars.set(zorder=2, label=series)
    if found.seeds > 1 and len(found.points):
        seeds = found.points[
            (found.points["series"] == series) & (found.points["metric"] == wish.metric)
        ].dropna(subset=["value"])
        paint: Any = {"color": look.colour, "alpha": 0.3, "markersize": 2.5, "label": f"{series}{ONE_SEED}"}
        ax.plot(seeds["cost"], seeds["value"], look.marker, **paint)


def _draw_dense(ax: Axes, found: Recommendation, wish: Wish) -> None:
    value = found.dense[wish.metric]
    if math.isfinite(value):
        ax.axhline(value, color=INK, linewidth=DENSE_WIDTH, zorder=1.5, label="dense")
        ax.plot(found.dense["cost"], value, "o", color=INK, markersize=4, zorder=3, label="dense")


def _draw_bound(ax: Axes, wish: Wish, found: Recommendation) -> None:
    """Draw where a wish just holds, with what does not keep it in grey."""
    bound = float(found.answers.loc[found.answers["wish"] == wish.text, "bound"].mean())
    if not math.isfinite(bound):
        return
    bottom, top = ax.get_ylim()
    room = 0.08 * (top - bottom)
    bottom, top = min(bottom, bound - room), max(top, bound + room)
    ax.set_ylim(bottom, top)
    ax.axhline(bound, color=INK, linewidth=BOUND_WIDTH, linestyle=DASHES, zorder=1.7, label="bound")
    ax.axhspan(*((bottom, bound) if wish.at_least else (bound, top)), color=QUIET, alpha=0.09, linewidth=0)


def _cost_axis(ax: Axes, found: Recommendation, costs: Sequence[float]) -> None:
    """Turn the axis of costs: the dense network at the left; logarithmic where they are far apart."""
    known = [cost for cost in costs if math.isfinite(cost)]
    least, most = min(known), max(known)
    if least > 0 and most > WIDE * least:
        ax.set_xscale("log")
        ax.set_xlim(most * ROOM, least / ROOM)
        ax.xaxis.set_major_locator(FixedLocator(_ticks(least, most, found.by.share)))
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        room = 0.06 * (most - least or most or 1.0)
        ax.set_xlim(most + room, least - room)
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter(PERCENT if found.by.share else FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel(found.by.axis)


def _ticks(least: float, most: float, share: bool) -> list[float]:
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    every = LEFT_TICKS if share else [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    ticks = [tick for tick in every if least / ROOM <= tick <= most * ROOM]
    return [tick for tick in ticks if f"{tick:.0e}"[0] == "1"] if len(ticks) > MOST_LEFT_TICKS else ticks


def _labels(found: Recommendation, wish: Wish, styles: Mapping[str, Look]) -> list[Point]:
    """Name the target of each network on the front."""
    labels = []
    for row in records(_placed(found, wish)):
        text = name_target(row["target"], row["rate"]) if row["front"] else ""
        ends = [row[end] if math.isfinite(row[end]) else row["value"] for end in ("bar_0", "bar_1")]
        bars = (row["cost"], row["cost"], *ends)
        labels.append(
            Point(row["cost"], row["value"], bars, text, styles[row["series"]].colour, str(row["series"]))
        )
    return labels


def _ringed(found: Recommendation) -> str:
    return "recommended" if found.best else "nearest"


def _legend(found: Recommendation, styles: Mapping[str, Look]) -> list[tuple[str, Artist]]:
    entries: list[tuple[str, Artist]] = [
        ("dense", Line2D([], [], color=INK, linewidth=DENSE_WIDTH, marker="o", markersize=4))
    ]
    for name, look in styles.items():
        entries.append((name, Line2D([], [], color=look.colour, marker=look.marker, linestyle="none")))
    entries.append((FRONT, Line2D([], [], color=QUIET, linewidth=1)))
    entries.append(("bound", Line2D([], [], color=INK, linewidth=BOUND_WIDTH, linestyle=DASHES)))
    hollow = Line2D([], [], color=QUIET, marker="o", markerfacecolor="white", linestyle="none")
    entries.append(("hollow: misses a wish", hollow))
    if found.shown is not None:
        colour = INK if found.best else QUIET
        entries.append((_ringed(found), Line2D([], [], markeredgecolor=colour, **RING)))
    return entries
