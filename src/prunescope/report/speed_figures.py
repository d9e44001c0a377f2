"""The figures of speed: accuracy against measured time, and measured against promised speed-up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from prunescope.analysis.results import Estimate, Results, over_seeds
from prunescope.report import figures
from prunescope.report.formats import name_target
from prunescope.report.placed_labels import Point, place_labels
from prunescope.report.speed_findings import name_of
from prunescope.report.speed_times import Times
from prunescope.report.theme import INK, QUIET, looks, page_width
from prunescope.report.traces import name_points

WIDE = 3.0  # an axis whose values span a larger factor is logarithmic
LEAST_SPAN = 1.8  # factor that an axis spans at least: scatter is not to look like an effect
LONGEST_BAR = 1.5  # factor of a value that an interval may add to an axis; the rest of it is cut
DIGITS = ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5), (1, 1.5, 2, 3, 4, 5, 6, 8))  # of the ticks of a decade
AS_PROMISED = (0, (4, 2))
DOTTED = (0, (1, 2))


class Panel(NamedTuple):
    """The axes of one runtime at one batch."""

    ax: Axes
    runtime: str
    batch: int

    def rows(self, times: pd.DataFrame) -> pd.DataFrame:
        """Return the times that the panel is about."""
        return times[(times["runtime"] == self.runtime) & (times["batch"] == self.batch)]


class Spot(NamedTuple):
    """One series at one target in a panel."""

    x: Estimate
    y: Estimate
    hollow: bool


def shown_batches(times: Times) -> list[int]:
    """Return the batches that figures show: the smallest, and the largest if there are several."""
    return sorted({times.batches[0], times.batches[-1]})


def accuracy_by_time(results: Results, times: Times) -> Figure:
    """Draw top-1 against latency at the smallest batch and throughput at the largest, a panel per runtime."""
    figure, blocks = _panels(times)
    ready = times.measured[is_ready(times.measured)]
    drawn = []
    for column, block in zip(("latency", "throughput"), blocks, strict=False):
        spots = [_spots(results, panel.rows(ready), column, "top1") for panel in block]
        dense = [_dense(panel.rows(times.measured), column) for panel in block]
        reach = [value for own in spots for spot in own for value in _reach(spot.x)]
        _scale([panel.ax for panel in block], "x", [*reach, *filter(math.isfinite, dense)])
        for panel, own, at in zip(block, spots, dense, strict=True):
            panel.ax.set_xlabel(_time_label(column, panel.batch))
            _draw_dense(panel.ax, results, at)
            _draw(panel.ax, results, own, "-")
            drawn.append((panel.ax, own))
    _finish_accuracy([ax for ax, _ in drawn])
    masked = any(spot.hollow for _, own in drawn for spot in own)
    figures.legend(figure, results, [("hollow: masked only", _hollow())] if masked else [])
    _label(figure, results, drawn)
    return figure


def speedup_by_promise(results: Results, times: Times) -> Figure:
    """Draw the speed-up measured against the one that the multiply-accumulates promise, a panel per runtime."""
    figure, blocks = _panels(times)
    panels = [panel for block in blocks for panel in block]
    variants = {name: times.measured[times.measured["variant"] == name] for name in ("compact", "masked")}
    spots = {
        name: [_spots(results, panel.rows(rows), "promised", "speedup") for panel in panels]
        for name, rows in variants.items()
    }
    every = [spot for each in spots.values() for own in each for spot in own]
    reach = [1.0, *(value for spot in every for end in (spot.x, spot.y) for value in _reach(end))]
    for which in "xy":
        low, high = _scale([panel.ax for panel in panels], which, reach, "×")
    drawn = []
    for i, panel in enumerate(panels):
        panel.ax.plot([low, high], [low, high], color=QUIET, linewidth=0.9, linestyle=AS_PROMISED, zorder=1)
        panel.ax.axhline(1, color=INK, linewidth=1, zorder=1.5, label="dense")
        masked, compact = spots["masked"][i], spots["compact"][i]
        _draw(panel.ax, results, masked, "--")
        _draw(panel.ax, results, compact, "-")
        panel.ax.set_xlabel(f"Promised by the MACs, batch {panel.batch}")
        made = {spot.x.series for spot in compact}
        drawn.append((panel.ax, [*compact, *(spot for spot in masked if spot.x.series not in made)]))
    _name_rows([panel.ax for panel in panels], "Speed-up measured")
    promise = Line2D([], [], color=QUIET, linewidth=0.9, linestyle=AS_PROMISED)
    figures.legend(figure, results, [("hollow: masked", _hollow()), ("as promised", promise)])
    _label(figure, results, drawn)
    return figure


def _panels(times: Times) -> tuple[Figure, list[list[Panel]]]:
    """Make the panels of all runtimes, a block of rows for each batch that is shown."""
    runtimes, batches = times.runtimes, shown_batches(times)
    columns = {1: len(batches), 4: 2}.get(len(runtimes), min(3, len(runtimes)))
    rows = -(-len(runtimes) // columns) * len(batches) if len(runtimes) > 1 else 1
    size = (page_width() * (0.6, 0.9, 1)[columns - 1], 0.7 + rows * (2.75 if rows == 1 else 2.1))
    figure = Figure(figsize=size, layout="constrained")
    grid = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    deep = len(grid) // len(batches)
    blocks = []
    for place, batch in enumerate(batches):
        block = grid[deep * place : deep * (place + 1)]
        for ax, runtime in zip(block, runtimes, strict=False):
            ax.set_title(name_of(runtime))
            ax.tick_params(labelbottom=True)
        for ax in block[len(runtimes) :]:
            ax.set_axis_off()
        blocks.append([Panel(ax, runtime, batch) for ax, runtime in zip(block, runtimes, strict=False)])
    return figure, blocks


def is_ready(measured: pd.DataFrame) -> pd.Series[bool]:
    """Mark what one would use of each network: the compact form, the masked one where there is none."""
    compact = measured["variant"] == "compact"
    key = pd.MultiIndex.from_frame(measured[["series", "target", "runtime", "batch"]])
    return compact | ((measured["variant"] == "masked") & ~key.isin(key[compact]))


def _spots(results: Results, rows: pd.DataFrame, x: str, y: str) -> list[Spot]:
    """Average both over seeds, for every series and target that has both."""
    hollow = {
        (str(row["series"]), str(row["target"])) for _, row in rows[rows["variant"] == "masked"].iterrows()
    }
    across = {estimate[:2]: estimate for estimate in over_seeds(rows, x)}
    up = {estimate[:2]: estimate for estimate in over_seeds(rows, y)}
    spots = [Spot(across[key], up[key], key in hollow) for key in across if key in up]
    return sorted(spots, key=lambda spot: (results.series.index(spot.x.series), spot.x.rate))


def _dense(rows: pd.DataFrame, column: str) -> float:
    """Return where the dense network lies: the same in all its runs."""
    return float(rows.loc[rows["variant"] == "dense", column].median())


def _reach(estimate: Estimate) -> list[float]:
    """Return what of an estimate an axis has to show: its value, and its interval unless it is very long."""
    low, high = _bar(estimate)
    return [max(low, estimate.value / LONGEST_BAR), estimate.value, min(high, estimate.value * LONGEST_BAR)]


def _bar(estimate: Estimate) -> tuple[float, float]:
    """Return the ends of an interval: the value itself where there is none."""
    known = math.isfinite(estimate.low) and math.isfinite(estimate.high)
    return (estimate.low, estimate.high) if known else (estimate.value, estimate.value)


def _scale(axes: Sequence[Axes], which: str, values: Sequence[float], unit: str = "") -> tuple[float, float]:
    """Give the x or y of several axes one scale for positive values: logarithmic where they span a wide range."""
    low, high = min(values), max(values)
    widen = max(1.0, math.sqrt(LEAST_SPAN / (high / low)))
    low, high = low / widen, high * widen
    wide = high / low > WIDE
    if wide:
        margin = (high / low) ** 0.08
        low, high = low / margin, high * margin
    else:
        low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    for ax in axes:
        ax.set(**{f"{which}scale": "log" if wide else "linear", f"{which}lim": (low, high)})
        axis = ax.xaxis if which == "x" else ax.yaxis
        axis.set_major_locator(FixedLocator(_ticks(low, high)) if wide else MaxNLocator(5))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 6):,g}{unit}"))
    return low, high


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two positive ones, as few as will do on a logarithmic axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    for digits in DIGITS:
        ticks = [digit * 10.0**decade for decade in decades for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 4:
            break
    return ticks


def _time_label(column: str, batch: int) -> str:
    if column == "latency":
        return f"Latency at batch {batch}, ms (← faster)"
    return f"Images/s at batch {batch} (faster →)"


def _draw_dense(ax: Axes, results: Results, at: float) -> None:
    """Draw the dense network: its accuracy across the panel, its time down, and a point where they meet."""
    ax.axvline(at, color=INK, linewidth=0.8, linestyle=DOTTED, zorder=1.5, label="dense")
    for dense in over_seeds(results.dense, "top1"):
        ax.axhline(dense.value, color=INK, linewidth=1, zorder=1.5, label="dense")
        if math.isfinite(dense.low):
            ax.axhspan(dense.low, dense.high, color=INK, alpha=0.06, linewidth=0, zorder=1, label="dense")
        ax.plot([at], [dense.value], "o", color=INK, zorder=3, label="dense")


def _draw(ax: Axes, results: Results, spots: Sequence[Spot], style: str) -> None:
    """Draw every series: a line along its rates, a marker for each, and the intervals both ways."""
    for series, look in looks(results.series, results.controls).items():
        own = [spot for spot in spots if spot.x.series == series]
        (line,) = ax.plot([s.x.value for s in own], [s.y.value for s in own], style, color=look.colour)
        line.set(linewidth=1.1, label=series)
        for x, y, hollow in own:
            ax.hlines(y.value, *_bar(x), look.colour, linewidth=0.9, alpha=0.8, label=series)
            ax.vlines(x.value, *_bar(y), look.colour, linewidth=0.9, alpha=0.8, label=series)
            face = "white" if hollow else look.colour
            (mark,) = ax.plot([x.value], [y.value], look.marker, color=look.colour, markerfacecolor=face)
            mark.set_label(series)
            name_points(mark, [name_target(x.target, x.rate)])


def _finish_accuracy(panels: Sequence[Axes]) -> None:
    """Keep top-1 within 0 … 1, and name it at the left of each row."""
    figures.keep_to_fractions(panels[:1])  # the others share its scale
    for ax in panels:
        ax.yaxis.set_major_formatter(figures.PERCENT)
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    _name_rows(panels, "Top-1 accuracy")


def _name_rows(panels: Sequence[Axes], label: str) -> None:
    for ax in panels:
        place = ax.get_subplotspec()
        if place is not None and place.is_first_col():
            ax.set_ylabel(label)


def _hollow() -> Line2D:
    return Line2D([], [], color=QUIET, marker="o", markerfacecolor="white", linestyle="none")


def _label(figure: Figure, results: Results, drawn: Sequence[tuple[Axes, Sequence[Spot]]]) -> None:
    """Write the rate beside every point that has room for it: first the whole layout must be known."""
    figure.draw_without_rendering()
    styles = looks(results.series, results.controls)
    for ax, spots in drawn:
        points = [
            Point(
                spot.x.value,
                spot.y.value,
                (*_bar(spot.x), *_bar(spot.y)),
                name_target(spot.x.target, spot.x.rate),
                styles[spot.x.series].colour,
                str(spot.x.series),
            )
            for spot in spots
        ]
        place_labels(ax, points)
