"""The tables of explanations: by network, against compression, over seeds."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from prunescope.analysis.results import Estimate, Network, Results, over_seeds, records
from prunescope.report.blocks import Cell, Table, number_cell, table_of
from prunescope.report.explanation_results import name_method, only
from prunescope.report.explanation_words import signed_3
from prunescope.report.formats import NO_VALUE, interval, percent, times
from prunescope.report.units import network_cells

RATIOS = {"compression_prunable": "CR, prunable", "compression_all": "CR, all"}
SHARES = (
    "top1",
    "confidence",
    "pointing",
    "inside",
    "object_share",
    "empty",
    "proxy_top1",
)  # written in percent
MAIN = {  # the columns of the table against compression
    "spearman": "ρ with dense",
    "confidence": "Confidence",
    "faithfulness": "Insertion − deletion",
    "faithfulness_change": "Change from dense",
    "proxy_top1": "Proxy, top-1",
}
REST = {  # those of the table with all else
    "ssim": "SSIM with dense",
    "iou": "IoU with dense",
    "deletion": "Deletion",
    "insertion": "Insertion",
    "confidence_change": "Change of confidence",
    "pointing": "Pointing game",
    "inside": "Inside the object",
    "object_share": "The object’s share",
    "gini": "Gini",
    "entropy": "Entropy",
    "spearman_chance": "ρ, other images",
    "ssim_chance": "SSIM, other images",
    "iou_chance": "IoU, other images",
    "empty": "Empty maps",
}
NOTHING = Cell(NO_VALUE, number=math.nan)


class Key(NamedTuple):
    """What networks of all seeds share that are one row."""

    stage: str
    series: str
    target: str


def tables(results: Results, method: str, *, folded: bool) -> list[Table]:
    """Return a method's table against compression, and a folded one of what else was measured."""
    own = results.networks[results.networks[f"{method}/confidence"].notna()]
    left = own["compression_prunable"].fillna(1 / (1 - own["zeros"]))  # where sizes were not measured
    own = own.assign(compression_prunable=left)
    seeds = " Means over seeds with their t-intervals." if results.seeds > 1 else ""
    proxy = (
        " The proxy is an independent network that sees the explanation maps; it is not people."
        if own[f"{method}/proxy_top1"].notna().any()
        else ""
    )
    caption = (
        f"{name_method(method)}, against the compression ratio (CR), total over left: of the prunable weights, which "
        "are those of the convolutions where nothing else is pruned, and of all weights. Top-1 is of all test "
        "images; all else is of the images explained, and changes are from the dense network on the same "
        f"ones.{proxy}{seeds}"
    )
    rest = (
        f"{name_method(method)}: likeness by SSIM, by IoU and by chance, areas, localisation, concentration "
        f"and empty maps of every network.{seeds}"
    )
    return [
        _table(results, method, own, MAIN, caption, folded=folded),
        _table(results, method, own, REST, rest, folded=True),
    ]


def _table(
    results: Results, method: str, own: pd.DataFrame, columns: dict[str, str], caption: str, *, folded: bool
) -> Table:
    sizes = {name: _by_key(own, size) for size, name in RATIOS.items()}
    top1 = _by_key(own, "top1")
    found = {what: _by_key(own, f"{method}/{what}") for what in columns}
    several = own.loc[own["stage"] != "dense", "stage"].nunique() > 1
    rows = []
    for network in _rows(own):
        key = Key(network["stage"], network["series"], network["target"])
        named = network_cells(network, results)
        rows.append(
            {
                **{name: cell for name, cell in named.items() if several or name != "Retrained"},
                **{
                    name: number_cell(of[key].value, times) if key in of else NOTHING
                    for name, of in sizes.items()
                },
                "Top-1": _cell("top1", top1.get(key)),
                **{name: _cell(what, found[what].get(key)) for what, name in columns.items()},
            }
        )
    table = table_of(rows, caption)
    return Table(table.columns, table.rows, caption, sortable=True, folded=folded)


def _by_key(networks: pd.DataFrame, metric: str) -> dict[Key, Estimate]:
    return {
        Key(str(stage), estimate.series, estimate.target): estimate
        for stage, own in only(networks, metric).groupby("stage", sort=False)
        for estimate in over_seeds(own, metric)
    }


def _rows(networks: pd.DataFrame) -> list[Network]:
    """Return one row for those of all seeds, by series, rate and stage; its rate is their mean."""
    order = {series: place for place, series in enumerate(networks["series"].unique())}
    alike = networks.groupby(["stage", "series", "target"], sort=False).agg(
        {"rate": "mean", "asked": "first"}
    )
    rows = [{**row, "seed": math.nan} for row in records(alike.reset_index())]
    return sorted(
        rows, key=lambda row: (row["stage"] != "dense", order[row["series"]], row["rate"], row["stage"])
    )


def _cell(what: str, estimate: Estimate | None) -> Cell:
    if estimate is None:
        return NOTHING
    low, high = estimate.low, estimate.high
    if what in SHARES:
        return Cell(percent(estimate.value), interval(low, high), estimate.value)
    if math.isnan(low) or math.isnan(high):
        return Cell(signed_3(estimate.value), number=estimate.value)
    to = "–" if low >= 0 else " to "
    return Cell(signed_3(estimate.value), f"{signed_3(low)}{to}{signed_3(high)}", estimate.value)
