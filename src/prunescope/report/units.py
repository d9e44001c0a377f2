"""The section on MIS: how well it can be told what a unit responds to."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd

from prunescope.analysis.results import Network, Results, records
from prunescope.report import figures, unit_figures
from prunescope.report.blocks import Cell, Fact, Plot, Section, Table, number_cell, table_of
from prunescope.report.drawn_along import drawn_along
from prunescope.report.formats import NO_VALUE, count, decimal, listing, percent, signed, whole
from prunescope.report.mis_accuracy import alive_plots, mis_accuracy_plots
from prunescope.report.network_cells import name_cells

WHAT_IT_IS = (
    "The Machine Interpretability Score (MIS) of a unit says how well one can tell, from the images that drive "
    "it most and those that drive it least, which of two further images drives it more. A similarity of "
    "images stands for the person who would judge: near 1 it is clearly right, 0.5 is chance.",
    "A unit that gives every image the same value is dead. It has no score: it is counted, and no average "
    "includes it. Scores compare only under equal conditions: the number of images sets how hard the tasks "
    "are, and the slope of the sigmoid is a convention. The hit rate, the share of tasks solved, has no slope.",
)


def units(results: Results) -> Section | None:
    """Show the Machine Interpretability Score of units, with the living and the dead beside every average."""
    along, results = results, results.own
    if not results.measured("mis") and not results.measured("units_dead"):
        return None
    of_mis = results.units[results.units["alive"].notna()]
    logits = _logits(results, of_mis)
    return Section(
        "units",
        "What units respond to: MIS",
        text=WHAT_IT_IS,
        facts=conditions(of_mis),
        plots=_plots(results, of_mis[of_mis["kind"] == "conv"], logits, along),
        tables=[_table(results, logits)],
    )


def conditions(units: pd.DataFrame) -> list[Fact]:
    """Say under which conditions the scores were taken: all rows share them."""
    given = {name: value for name, value in units.iloc[0].items() if not pd.isna(value)} if len(units) else {}
    words = {
        "similarity": "similarity {}",
        "slope": "slope {:g}",
        "images": "{:,.0f} images",
        "tasks": "{:.0f} tasks per unit",
        "references": "{:.0f} references a side",
        "difficulty": "difficulty {}",
    }
    return [
        Fact(
            "Conditions", ", ".join(form.format(given[name]) for name, form in words.items() if name in given)
        )
    ]


def _plots(results: Results, conv: pd.DataFrame, logits: pd.DataFrame, along: Results) -> list[Plot]:
    """Make the plots.

    Args:
        along: the results with the published studies that some figures draw too.
    """
    plots, rate = [], results.rate_label.lower()
    series = f"for {listing(results.series)}. The numbers are in the table of this section."
    if results.pruned["mis"].notna().any() or results.retrained["mis"].notna().any():
        plots.append(
            Plot(
                "mis-by-rate",
                partial(unit_figures.mis_by_rate, along),
                f"Mean MIS against the {rate}, on one scale. Left: all convolution and linear units, dead ones "
                "scored too and ties broken by the order of images, as in published studies; there, a dead "
                "unit can look perfectly interpretable where images are sorted by class. Right: live convolution "
                f"units.{_lines(results)}{_intervals(results)}"
                + drawn_along(along, along.sparse.dropna(subset=["mis"]))
                + figures.missing(results.sparse, "mis", "MIS"),
                f"Mean MIS against the {rate}, {series}",
            )
        )
    plots += [*mis_accuracy_plots(along), *alive_plots(along)]
    shown = conv[conv["network"].isin([*results.dense["network"], *results.final["network"]])]
    if not results.series or shown["mis"].isna().all():
        return plots
    without = figures.missing(results.final, "mis", "MIS")
    return [
        *plots,
        Plot(
            "mis-of-units",
            partial(unit_figures.score_distributions, results, shown),
            "Scores of single convolution units of the networks in which each series ends; a width is a share "
            "of all units, dead ones included, so the right half shrinks as units die. Where a bin of the left "
            "half does not fit, it is cut, and its share is written beside it. The number below a rate counts the "
            f"dead units{' of all seeds' if results.seeds > 1 else ''}.{without}",
            f"Distributions of the MIS of units by rate, {series}",
        ),
        Plot(
            "mis-by-layer",
            partial(unit_figures.mis_by_layer, results, shown),
            "Median MIS of each convolution's live units; layers in the order of the network. Grey: no unit "
            f"alive.{without}",
            f"Heat map of the median MIS in {count(shown['layer'].nunique(), 'layer')}, {series}",
        ),
        *_class_plot(results, logits, series),
    ]


def _class_plot(results: Results, logits: pd.DataFrame, series: str) -> list[Plot]:
    if logits.empty:
        return []
    shown = logits[logits["final"].astype(bool) | (logits["stage"] == "dense")]
    many = shown["class"].nunique() > unit_figures.MOST_CLASSES
    caption = (
        "MIS of each logit against the top-1 of its class, one point per class and network"
        f"{'; of the rates, only the highest' if many else ''}. The logit of a class "
        "can be easy to read while the network seldom gets the class right, and the other way round."
    )
    alt = f"MIS of {count(logits['class'].nunique(), 'logit')} against the top-1 of their classes, {series}"
    return [Plot("mis-by-class", partial(unit_figures.mis_by_class, results, shown), caption, alt)]


def _logits(results: Results, units: pd.DataFrame) -> pd.DataFrame:
    """Put the top-1 of its class beside every logit of the dense and final networks that has a score."""
    known = results.networks[["network", "series", "stage", "target", "rate", "final"]]
    logits = units.loc[units["class"].notna() & units["mis"].notna(), ["network", "class", "mis"]]
    pairs = logits.astype({"network": object, "class": object}).merge(known, on="network")
    return pairs.merge(results.classes[["network", "class", "top1"]], on=["network", "class"])


def _table(results: Results, logits: pd.DataFrame) -> Table:
    ranked = logits[["mis", "top1"]].groupby(logits["network"]).rank().join(logits["network"])
    agreement = {
        str(name): float(own["mis"].corr(own["top1"]))
        for name, own in ranked.groupby("network")
        if own["mis"].nunique() > 1 and own["top1"].nunique() > 1
    }
    measured = results.networks[results.networks[["mis", "units_dead"]].notna().any(axis=1)]
    rows = [_row(network, results, agreement) for network in records(measured)]
    caption = (
        "MIS of every network, beside the convolution units it is about. Live units: their mean, with the 95 % "
        "interval over units, as if they were independent. Layers alike: the mean of each layer first, so that "
        "wide layers do not outweigh others. Paired: only units alive in every network of the study. "
        "As published: all convolution and linear units, dead ones scored."
    )
    if agreement:
        caption += " ρ: Spearman's correlation over classes between a logit's MIS and the class's top-1."
    return table_of(rows, caption)


def _row(network: Network, results: Results, agreement: dict[str, float]) -> dict[str, Cell]:
    low, high = network["mis_low"], network["mis_high"]
    within = "" if math.isnan(low) or math.isnan(high) else f"{low:.3f}–{high:.3f}"
    return {
        **network_cells(network, results),
        "Alive": number_cell(network["units_alive"], whole),
        "Dead": number_cell(network["units_dead"], whole),
        "MIS, live units": Cell(decimal(network["mis"]), within, network["mis"]),
        "Layers alike": number_cell(network["mis_layers"], decimal),
        "Paired": number_cell(network["mis_paired"], decimal),
        "As published": number_cell(network["mis_published"], decimal),
        "Hit rate": number_cell(network["hit_rate"], percent),
        "ρ with top-1": number_cell(agreement.get(str(network["network"]), math.nan), signed),
    }


def network_cells(network: Network, results: Results) -> dict[str, Cell]:
    """Say which network a row of a table is about; columns that say nothing in this study are empty."""
    retrained = {"pruned": "no", "retrained": "yes"} if len(results.retrained) else {}
    return {
        **name_cells(network, results),
        "Retrained": Cell(retrained.get(network["stage"], NO_VALUE)),
        "Seed": number_cell(network["seed"] if results.seeds > 1 else math.nan, "{:.0f}".format),
    }


def _lines(results: Results) -> str:
    """Say which lines go across the figure."""
    dense = ["Black: the dense network"] if results.dense["mis"].notna().any() else []
    chance = ["dotted: chance"] if results.measured("mis_chance") else []
    said = "; ".join(dense + chance)
    return f" {said[0].upper()}{said[1:]}." if said else ""


def _intervals(results: Results) -> str:
    if results.seeds > 1:
        return f" Means of {results.seeds} seeds, their 95 % t-intervals; light dots: each seed."
    said = " Bars and band: 95 % intervals over units, as if these were independent."
    return said if results.measured("mis_low") else ""
