"""The section on Network Dissection: which units detect concepts that people have words for."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd

from prunescope.analysis.results import Network, Results, records
from prunescope.report import concept_figures, figures
from prunescope.report.blocks import Cell, Plot, Section, Table, number_cell, table_of
from prunescope.report.formats import count, decimal, listing, whole
from prunescope.report.units import network_cells

COUNTS = ("detectors", "unique_detectors")


def concepts(results: Results) -> Section | None:
    """Show detectors and unique detectors by what is left of the network, and what became of each."""
    if not results.measured("detectors"):
        return None
    return Section(
        "concepts",
        "Concepts: Network Dissection",
        text=what_it_is(results),
        plots=_plots(results, _beside_networks(results)),
        tables=_tables(results),
    )


def what_it_is(results: Results) -> list[str]:
    """Say what a detector is, and how its counts are to be read."""
    iou = results.settings_of("dissection").get("iou", 0.04)
    return [
        f"Network Dissection compares where a unit is active, above {_threshold(results)}, with where people "
        "marked concepts. The concept of a unit is the one of highest IoU (intersection over union, over all "
        f"images); above {iou} the unit is a detector of it. Unique detectors count "
        "concepts, not units.",
        "The counts depend on the images, on the concepts marked in them and on the two thresholds, which are "
        "conventions: they compare only within one set of concepts. A dead unit detects nothing. A concept of "
        "highest IoU is the best word in the list, not proof that the unit means it.",
    ]


def _threshold(results: Results) -> str:
    share = results.settings_of("dissection").get("share", 0.005)
    return f"the value that {100 * share:g} % of its values exceed"


def _categories(results: Results) -> list[str]:
    return [name for name in results.detectors["category"].unique() if name]


def _beside_networks(results: Results) -> pd.DataFrame:
    """Return the dense and final networks with `left` and the counts by category."""
    networks = results.networks[results.networks["final"] | (results.networks["stage"] == "dense")]
    whole_network = results.detectors.query("control == '' and layer == '' and category != ''")
    for metric in COUNTS:
        wide = whole_network.pivot_table(index="network", columns="category", values=metric)
        networks = networks.join(wide.add_prefix(f"{metric}/"), on="network")
    return networks


def _plots(results: Results, networks: pd.DataFrame) -> list[Plot]:
    plots = []
    series = f"for {listing(results.series)}. The numbers are in the table of this section."
    categories = _categories(results)
    if results.final["detectors"].notna().any():
        plots += [_by_weights_left(results, networks, series), *_by_layer(results, series)]
    of_dense = results.detectors.query("layer == ''").merge(results.dense[["network"]], on="network")
    if of_dense["control"].nunique() > 1:
        caption = (
            "Detectors of the dense network beside two controls that keep everything but what was learned: the same "
            "maps in a basis rotated at random, which carry the same information, and a network that was not "
            "trained. What a control reaches is what this set of concepts gives away."
        )
        alt = "Bars of detectors by category, for the dense network and its controls."
        draw = partial(concept_figures.controls, of_dense, categories)
        plots.append(Plot("concept-controls", draw, caption, alt))
    if results.final["concepts_kept"].notna().any():
        caption = (
            "What became of each detector of the dense network (black line): kept its concept, changed to another, "
            "or lost it (below zero); gained: units that were no detectors. Above the line: all detectors of the "
            "pruned network. Numbers: Jaccard index of its concepts and the dense network's, 1 if the same."
            + (" Means over seeds." if results.seeds > 1 else "")
            + _without(results)
        )
        alt = f"Bars of units that kept, changed, lost or gained their concept, {series}"
        plots.append(Plot("concepts-kept", partial(concept_figures.persistence, results), caption, alt))
    return plots


def _by_weights_left(results: Results, networks: pd.DataFrame, series: str) -> Plot:
    what = (
        "the share of the prunable weights that is left (for filters, what reads or feeds only removed ones is gone)"
        if results.final["gone"].notna().any()
        else "the share of the weights that the rate asked leaves"
    )
    top1 = "Top-1, d" if results.measured("top1") else "D"
    over = f"Means of {results.seeds} seeds, their 95 % t-intervals." if results.seeds > 1 else "One seed."
    return Plot(
        "concepts-by-weights-left",
        partial(concept_figures.by_weights_left, results, networks, _categories(results)),
        f"{top1}etectors (units) and unique detectors (concepts) against {what}, on a logarithmic axis, from the "
        f"dense network at the left to the sparsest. {over}{_without(results)}",
        f"{top1}etectors and unique detectors by category against the weights left, {series}",
    )


def _by_layer(results: Results, series: str) -> list[Plot]:
    known = results.networks.loc[
        results.networks["final"] | (results.networks["stage"] == "dense"),
        ["network", "series", "stage", "target", "rate"],
    ]
    counts = results.detectors.query("control == '' and layer != '' and category == ''").merge(
        known, on="network"
    )
    if counts.empty:
        return []
    caption = (
        "Unique detectors of each layer; layers in the order of the network. A concept that two layers detect "
        "counts in both" + ("; means over seeds." if results.seeds > 1 else ".")
    ) + _without(results)
    alt = f"Heat map of the unique detectors of {count(counts['layer'].nunique(), 'layer')}, {series}"
    draw = partial(concept_figures.unique_by_layer, results, counts)
    return [Plot("concepts-by-layer", draw, caption, alt)]


def _without(results: Results) -> str:
    """Say how many of the networks in which a series ends were not dissected."""
    return figures.missing(results.final, "detectors", "dissection")


def _tables(results: Results) -> list[Table]:
    measured = records(results.networks.dropna(subset=["detectors"]))
    caption = (
        "Every network that was dissected. Kept, changed, lost and gained count units, against the dense network of "
        "the same seed; Jaccard compares the sets of concepts."
    )
    tables = [table_of([_row(network, results) for network in measured], caption)]
    if names := _categories(results):
        unique = {
            (str(row["network"]), str(row["category"])): float(row["unique_detectors"])
            for row in records(results.detectors.query("control == '' and layer == ''"))
        }
        rows = [
            [
                *network_cells(network, results).values(),
                *(number_cell(unique.get((network["network"], name), math.nan), whole) for name in names),
            ]
            for network in measured
        ]
        columns = [*network_cells(measured[0], results), *names]
        tables.append(Table(columns, rows, "Unique detectors of every network by category", folded=True))
    return tables


def _row(network: Network, results: Results) -> dict[str, Cell]:
    fates = {fate: network[f"concepts_{fate}"] for fate in ("kept", "changed", "lost", "gained")}
    return {
        **network_cells(network, results),
        "Detectors": number_cell(network["detectors"], whole),
        "Unique detectors": number_cell(network["unique_detectors"], whole),
        **{fate.capitalize(): number_cell(units, whole) for fate, units in fates.items()},
        "Jaccard": number_cell(network["concept_jaccard"], lambda index: decimal(index, 2)),
    }
