"""The section on sensitivity: what each layer tolerates when it alone is pruned."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prunescope.analysis.results import Results
from prunescope.report import heat_maps
from prunescope.report.blocks import Cell, Plot, Section, Table, number_cell
from prunescope.report.formats import NO_VALUE, count, listing, percent, short_percent, shorten, whole
from prunescope.report.theme import INK

NAMED = 3  # layers that the text names at either end
LOST_COLOURS = "Oranges"  # light: nothing is lost
LOST = heat_maps.Scale("Top-1 lost (points)", LOST_COLOURS, 0, 1, lambda lost: whole(100 * lost), gamma=0.5)


class Sweep(NamedTuple):
    """One sweep, averaged over seeds; layers that only go together are one column, by the name of the first.

    Attributes:
        series: those that it was made for.
        lost: (rates, layers), top-1 of the dense network minus that with this layer pruned.
        top1: the same in top-1.
        tolerated: by layer, the largest rate that is tolerated with every seed; NaN where that was not asked.
        together: by layer, how many go together.
    """

    series: list[str]
    lost: pd.DataFrame
    top1: pd.DataFrame
    tolerated: pd.Series[float]
    together: pd.Series[int]


def sensitivity(results: Results) -> Section | None:
    """Show the accuracy that is lost as each layer alone is pruned, and the rates that it tolerates."""
    sweeps = _sweeps(results)
    if not sweeps:
        return None
    caption = (
        "Top-1 that is lost as one layer alone is pruned, nothing being retrained; layers in the order of the "
        "network. A mark lies below the largest rate that the layer tolerates; on the upper edge, the layer "
        "tolerates none that was tested. Colours tell small losses apart better than large ones."
        + (" Means over seeds; tolerated is what every seed tolerates." if results.seeds > 1 else "")
    )
    if any((sweep.together > 1).any() for sweep in sweeps):
        caption += (
            " A name followed by +1: one more layer can only be pruned together with this one, and so on."
        )
    alt = (
        f"Heat map of the top-1 lost by rate in {count(sweeps[0].lost.shape[1], 'layer')}. The numbers are in "
        "the table of this section."
    )
    return Section(
        "sensitivity",
        "Sensitivity",
        text=[_how(results), *map(_extremes, sweeps)],
        plots=[Plot("sensitivity-by-layer", partial(_draw, sweeps, results), caption, alt)],
        tables=[_table(sweep) for sweep in sweeps],
    )


def _sweeps(results: Results) -> list[Sweep]:
    """Return the sweeps of the study; series that share one have it once."""
    order = {str(layer): place for place, layer in enumerate(results.layers["layer"].unique())}
    sweeps: list[Sweep] = []
    for series, rows in results.sensitivity.groupby("series", sort=False):
        sweep = _sweep(str(series), rows, order)
        same = next((other for other in sweeps if other.top1.equals(sweep.top1)), None)
        if same is None:
            sweeps.append(sweep)
        else:
            same.series.append(str(series))
    return sweeps


def _sweep(series: str, rows: pd.DataFrame, order: dict[str, int]) -> Sweep:
    rows = rows.assign(layers=rows["layers"].fillna(rows["layer"]))
    rows = rows.drop_duplicates(["seed", "layers", "rate"])  # one test of layers that go together
    rows = rows.assign(lost=rows["dense_top1"] - rows["top1"])
    layers = sorted(rows["layer"].unique(), key=lambda layer: order.get(str(layer), len(order)))
    lost, top1 = (
        rows.pivot_table(index="rate", columns="layer", values=values, dropna=False)[layers]
        for values in ("lost", "top1")
    )
    by_layer = rows.groupby("layer")
    together = by_layer["layers"].first().map(lambda names: len(str(names).split(", ")))
    return Sweep([series], lost, top1, by_layer["tolerated"].min()[layers], together[layers])


def _how(results: Results) -> str:
    """Say how the sweep was made, on which images, and when a rate is tolerated."""
    rows = results.sensitivity
    rates = [short_percent(rate) for rate in sorted(rows["rate"].unique())]
    images = [f"{number:,.0f}" for number in sorted(rows["n"].dropna().unique())]
    of = f"{listing(images)} images" if images else "images"
    chosen_on = ((results.study.get("settings") or {}).get("images") or {}).get("select_on", "validate")
    if chosen_on == "test":
        where = f"{of} of the test set, as the study asks (select_on: test): the choice saw what is reported"
    else:
        where = f"{of} of “validate”: these choices never saw the test images"
    text = f"Each layer was pruned alone, at {listing(rates)}, and measured without retraining on {where}."
    least, dense = rows["least"].mean(), rows["dense_top1"].mean()
    if math.isfinite(least + dense):
        text += (
            f" A layer tolerates a rate if top-1 stays at {percent(least)} or more, there and at every smaller "
            f"rate that was tested; the dense network is right on {percent(dense)} of these images."
        )
    return text


def _extremes(sweep: Sweep) -> str:
    """Name the layers that tolerate least and most."""
    if sweep.tolerated.isna().all():
        return ""
    ranks = pd.DataFrame({"tolerated": sweep.tolerated, "lost": -sweep.lost.mean()})
    order = [str(layer) for layer in ranks.sort_values(["tolerated", "lost"], kind="stable").index]
    ends = [listing([_tolerance(sweep, layer) for layer in end[:NAMED]]) for end in (order, order[::-1])]
    highest = sweep.lost.index.max()
    every, none = int((sweep.tolerated == highest).sum()), int((sweep.tolerated == 0).sum())
    layers = count(len(order), "layer") + (" or groups of layers" if (sweep.together > 1).any() else "")
    lowest = f"{none} not even the lowest" if none else "all of them the lowest"
    return (
        f"{listing(sweep.series)}: the most sensitive layers are {ends[0]}; the least sensitive {ends[1]}. Of "
        f"{layers}, {every} tolerate the highest rate, {short_percent(highest)}, and {lowest}."
    )


def _tolerance(sweep: Sweep, layer: str) -> str:
    rate = sweep.tolerated[layer]
    return f"{_name(sweep, layer)} ({'none' if rate == 0 else short_percent(rate)})"


def _name(sweep: Sweep, layer: str) -> str:
    more = int(sweep.together[layer]) - 1
    return f"{layer} +{more}" if more else layer


def _draw(sweeps: list[Sweep], results: Results) -> Figure:
    """Draw a heat map per sweep, (rates, layers), with a line below what each layer tolerates."""
    known = pd.Index(list(dict.fromkeys(str(layer) for sweep in sweeps for layer in sweep.lost.columns)))
    order = [layer for layer in results.layers["layer"].unique() if layer in known]
    order += [layer for layer in known if layer not in order]
    names = {layer: _name(sweep, layer) for sweep in reversed(sweeps) for layer in sweep.lost.columns}
    panels = {
        listing(sweep.series): sweep.lost.reindex(columns=order)
        .clip(lower=0)
        .rename(index=short_percent, columns=lambda layer: shorten(names[layer]))
        for sweep in sweeps
    }
    most = max(float(np.nanmax(panel.to_numpy())) for panel in panels.values())
    figure = heat_maps.by_layer(panels, LOST._replace(high=max(most, 0.01)), "Rate")
    for ax, sweep in zip(figure.axes, sweeps, strict=False):
        _draw_tolerated(ax, sweep, order)
    line = Line2D([], [], color=INK, linewidth=1.8)
    figure.legend([line], ["tolerated: the rates above the mark"], loc="outside upper right", fontsize=7)
    return figure


def _draw_tolerated(ax: Axes, sweep: Sweep, order: list[str]) -> None:
    tolerated = sweep.tolerated.reindex(order).to_numpy()
    rates = sweep.lost.index.to_numpy()
    depth = np.where(np.isnan(tolerated), np.nan, np.searchsorted(rates, tolerated + 1e-9))
    left = np.arange(len(order))
    ax.hlines(depth, left + 0.1, left + 0.9, INK, linewidth=1.8, clip_on=False)


def _table(sweep: Sweep) -> Table:
    rates = list(sweep.top1.index)
    columns = ["Layer", "Tolerated", *(f"Top-1 at {short_percent(rate)}" for rate in rates)]
    rows = []
    for layer in map(str, sweep.top1.columns):
        tolerated = Cell(
            "none" if sweep.tolerated[layer] == 0 else short_percent(sweep.tolerated[layer]),
            number=sweep.tolerated[layer],
        )
        if math.isnan(sweep.tolerated[layer]):
            tolerated = Cell(NO_VALUE, number=math.nan)
        values = [number_cell(float(top1), percent) for top1 in sweep.top1[layer]]
        rows.append([Cell(_name(sweep, layer)), tolerated, *values])
    caption = f"Top-1 on “validate” with one layer pruned, for {listing(sweep.series)}"
    return Table(columns, rows, caption, sortable=True, folded=True)
