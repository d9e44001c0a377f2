"""The section on weights left: how sparse a network can get, and what its controls say of why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from prunescope.analysis.results import Estimate, Results, over_seeds, records
from prunescope.report import figures
from prunescope.report.blocks import Cell, Plot, Section, Table, number_cell, table_of
from prunescope.report.drawn_along import drawn_along
from prunescope.report.figures import Measure
from prunescope.report.formats import (
    NO_VALUE,
    count,
    decimal,
    interval,
    listing,
    percent,
    short_percent,
)
from prunescope.report.network_cells import name_cells
from prunescope.report.theme import INK, Look, looks, page_width, series_of

DEEP = 0.895  # of the weights gone: 90 %, as rounding leaves it
MEASURES = (
    figures.TOP1,
    Measure("detectors", "Detectors", False),
    Measure("unique_detectors", "Unique detectors", False),
)
STYLES = {
    "random mask": (0, (4, 1.5)),
    "re-initialised": (0, (1, 1.2)),
}  # other controls: dash-dotted
Curves = Mapping[str, Mapping[str, Estimate]]  # by series, then by target, the weights left falling


def weights_left(results: Results) -> Section | None:
    """Show accuracy and detectors against the weights left, each series beside its controls."""
    own = results.own
    measures = [measure for measure in MEASURES if own.final[measure.metric].notna().any()]
    deep = own.final["left"].min() <= 1 - DEEP
    if not measures or not (deep or own.controls):
        return None
    drawn, curves = ({each.metric: _curves(of, each.metric) for each in measures} for of in (results, own))
    plot = Plot(
        "weights-left",
        partial(_draw, results, measures, drawn),
        _caption(own) + drawn_along(results, results.final.dropna(subset=list(drawn), how="all")),
        f"{listing([measure.label for measure in measures])} against the weights left, for "
        f"{listing(results.series)}. The numbers are in the table of this section.",
    )
    text = _findings(own, curves["top1"]) if "top1" in curves else []
    return Section("weights-left", "Weights left", text=text, plots=[plot], tables=[_table(own, curves)])


def _curves(results: Results, metric: str) -> Curves:
    estimates = over_seeds(results.final, metric)
    return {
        series: {estimate.target: estimate for estimate in estimates if estimate.series == series}
        for series in results.series
    }


def _left(results: Results) -> dict[tuple[str, str], float]:
    """Return the share of the weights that is left, by series and target."""
    return {(str(each.series), each.target): each.value for each in over_seeds(results.final, "left")}


def _arms(results: Results) -> dict[str, dict[str, str]]:
    """Return for each series itself, as "", and its controls: from which control to the name of the series."""
    arms = {series: {"": series} for series in results.series if series not in results.controls}
    for name, control in results.controls.items():
        arms.setdefault(series_of(name, control), {})[control] = name
    return arms


def _caption(results: Results) -> str:
    caption = (
        "In the end of each series, against the share of the prunable weights that is left (for filters, without "
        "what reads or feeds only removed ones), on a logarithmic axis. Black: the dense network."
    )
    if "random mask" in results.controls.values():
        caption += " Random mask: as many weights left in every layer, chosen at random."
    if "re-initialised" in results.controls.values():
        caption += " Re-initialised: the same masks, fresh weights."
    if results.seeds > 1:
        return f"{caption} Means of {results.seeds} seeds, bands: their 95 % t-intervals."
    return f"{caption} One seed; bands: 95 % intervals, where there are any."


def _draw(results: Results, measures: list[Measure], curves: Mapping[str, Curves]) -> Figure:
    """Draw a panel per measure, the sparsest networks at the right."""
    width = page_width() * (0.7, 1, 1)[len(measures) - 1]
    figure = Figure(figsize=(width, 3.0 if len(measures) > 1 else 3.3), layout="constrained")
    styles = looks(results.series, results.controls, results.published)
    left = _left(results)
    panels = list(figure.subplots(1, len(measures), squeeze=False)[0])
    for ax, measure in zip(panels, measures, strict=True):
        ax.set_title(measure.label)
        _draw_dense(ax, results, measure)
        for series, own in curves[measure.metric].items():
            _draw_curve(ax, list(own.values()), left, styles[series], results.controls.get(series), series)
        if measure.fraction:
            ax.yaxis.set_major_formatter(figures.PERCENT)
            ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
            figures.keep_to_fractions([ax])
        else:
            ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
            ax.set_ylim(bottom=0)
        figures.weights_left_axis(ax, min(left.values()))
        ax.set_xlabel("Weights left")
    entries: list[tuple[str, Artist]] = [("dense", Line2D([], [], color=INK, linewidth=1))]
    for name in (name for name in styles if any(own[name] for own in curves.values())):
        entries.append((name, _line(styles[name], results.controls.get(name))))
    figures.legend_below(figure, entries)
    return figure


def _line(look: Look, control: str | None) -> Line2D:
    line = figures.handle(look)
    line.set(markersize=4)
    if control is not None:
        line.set(linestyle=STYLES.get(control, "-."), markerfacecolor="white")
    return line


def _draw_dense(ax: Axes, results: Results, measure: Measure) -> None:
    for dense in over_seeds(results.dense, measure.metric):
        ax.axhline(dense.value, color=INK, linewidth=1, zorder=1.5, label="dense")
        ax.plot([1], [dense.value], "o", color=INK, markersize=4, zorder=3, label="dense")
        if math.isfinite(dense.low):
            ax.axhspan(dense.low, dense.high, color=INK, alpha=0.06, linewidth=0, zorder=1, label="dense")


def _draw_curve(
    ax: Axes,
    estimates: list[Estimate],
    left: Mapping[tuple[str, str], float],
    look: Look,
    control: str | None,
    label: str,
) -> None:
    drawn = [estimate for estimate in estimates if left[estimate[:2]] > 0]
    drawn.sort(key=lambda estimate: -left[estimate[:2]])
    x = [left[estimate[:2]] for estimate in drawn]
    line = _line(look, control)
    line.set_label(label)
    line.set_data(x, [estimate.value for estimate in drawn])
    ax.add_line(line)
    lows, highs = np.array([[estimate.low, estimate.high] for estimate in drawn]).reshape(-1, 2).T
    ax.fill_between(x, lows, highs, color=look.colour, alpha=0.15, linewidth=0, label=label)
    if len(drawn) == 1:  # of one point there is no band
        ax.vlines(x, lows, highs, look.colour, linewidth=0.9, label=label)


def _findings(results: Results, curves: Curves) -> list[str]:
    """Say how sparse each series gets before it differs from the dense network, and where it beats its controls."""
    left, text = _left(results), []
    for series, arms in _arms(results).items():
        own = list(curves.get(series, {}).values())
        said = [_as_dense(results, own, left)]
        for control, name in arms.items():
            if control and own:
                said.append(_against(own, curves.get(name, {}), control, left))
        if any(said):
            text.append(f"{series}: {'; '.join(filter(None, said))}.")
    if text:
        text.append(
            "Where intervals overlap, a difference is not shown; that is not to say that there is none."
        )
    return text


def _as_dense(results: Results, own: list[Estimate], left: Mapping[tuple[str, str], float]) -> str:
    beside = results.dense_beside(own[0].series) if own else results.dense
    dense = next(iter(over_seeds(beside, "top1")), None)
    if dense is None or not math.isfinite(dense.low + sum(estimate.low for estimate in own)):
        return ""
    alike = [estimate for estimate in own if estimate.high >= dense.low]
    if not alike:
        return "no network has an interval that reaches the dense network's"
    sparsest = min(alike, key=lambda estimate: left[estimate[:2]])
    return (
        f"the sparsest network whose 95 % interval of top-1 reaches the dense network's has "
        f"{short_percent(left[sparsest[:2]])} of the weights left ({percent(sparsest.value)})"
    )


def _against(
    own: list[Estimate], other: Mapping[str, Estimate], control: str, left: Mapping[tuple[str, str], float]
) -> str:
    pairs = [(estimate, other[estimate.target]) for estimate in own if estimate.target in other]
    above = [left[mine[:2]] for mine, its in pairs if mine.low > its.high]
    if not pairs or not all(math.isfinite(mine.low + its.low) for mine, its in pairs):
        return ""
    if not above:
        return f"it is nowhere shown to be above its control ({control})"
    least, most = short_percent(min(above)), short_percent(max(above))
    where = least if len(above) == 1 else f"{most} to {least}"
    return f"it is above its control ({control}) at {len(above)} of {count(len(pairs), 'level')}, with {where} left"


def _table(results: Results, curves: Mapping[str, Curves]) -> Table:
    left, rows = _left(results), []
    means = results.final.groupby(["series", "target", "asked"], sort=False)["rate"].mean().reset_index()
    known = {(row["series"], row["target"]): row for row in records(means)}
    controls = list(dict.fromkeys(results.controls.values()))
    for series, arms in _arms(results).items():
        of_series = sorted((key for key in left if key[0] == series), key=lambda key: -left[key])
        for key in of_series:
            row = name_cells(known[key], results)
            row["Control"] = Cell(NO_VALUE)
            row["Weights left"] = number_cell(left[key], percent)
            for measure in MEASURES:
                for control in ("", *controls):
                    name = measure.label.removesuffix(" accuracy") + (f", {control}" if control else "")
                    of_arm = curves.get(measure.metric, {}).get(arms.get(control, ""), {})
                    row[name] = _cell(of_arm.get(key[1]), measure)
            rows.append(row)
    caption = (
        "The same in numbers, with 95 % intervals. Top-1 in the end of each series; a control has as many weights "
        "left as the series that it belongs to, in the same row."
        if controls
        else "The same in numbers, with 95 % intervals. Top-1 in the end of each series."
    )
    return table_of(rows, caption)


def _cell(estimate: Estimate | None, measure: Measure) -> Cell:
    if estimate is None:
        return Cell(NO_VALUE, number=math.nan)
    value, low, high = estimate.value, estimate.low, estimate.high
    if measure.fraction:
        return Cell(percent(value), interval(low, high), value)
    within = f"{decimal(low, 1)}–{decimal(high, 1)}" if math.isfinite(low + high) else ""
    return Cell(f"{value:g}" if value == round(value) else decimal(value, 1), within, value)
