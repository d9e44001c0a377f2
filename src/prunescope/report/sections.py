"""The sections of the page. To add one, write a function from `Results` to `Section` into `SECTIONS`.

A function returns None where the study has nothing for its section; the page then leaves it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial

import pandas as pd

from prunescope.analysis.findings import Margins, find, is_survey
from prunescope.analysis.results import METRICS, Network, Results, records, targets_of
from prunescope.report import figures, heat_maps
from prunescope.report.blocks import Cell, Link, Plot, Section, number_cell, table_of
from prunescope.report.concepts import concepts
from prunescope.report.drawn_along import drawn_along
from prunescope.report.epoch_figures import epoch_plots
from prunescope.report.explanations import explanations
from prunescope.report.explorer import explorer
from prunescope.report.figures import Measure
from prunescope.report.findings import conclusions, findings_section
from prunescope.report.forgetting import forgetting
from prunescope.report.formats import (
    NO_VALUE,
    count,
    decimal,
    interval,
    listing,
    name_target,
    percent,
    quantity,
    times,
)
from prunescope.report.network_cells import name_cells
from prunescope.report.pareto import pareto_plots
from prunescope.report.provenance import method, reproduce, steps
from prunescope.report.published import published
from prunescope.report.saw_tooth import saw_tooth_plots
from prunescope.report.scores_compared import scores_compared
from prunescope.report.sensitivity import sensitivity
from prunescope.report.speed import speed
from prunescope.report.summary import summary
from prunescope.report.units import units
from prunescope.report.votes import votes
from prunescope.report.weights_left import weights_left

MOST_CLASSES = 50  # that a figure shows; of more, it shows the `FEW_CLASSES` that change most
FEW_CLASSES = 20
OTHER_MEASURES = (
    Measure("top5", "Top-5 accuracy", True),
    Measure("cross_entropy", "Cross-entropy", False),
    Measure("calibration_error", "Calibration error", False),
)
SMALLER = "Compact or packed"
SIZES = (Measure("macs_left", "MACs left", True), Measure("file_left", "Compressed file left", True))


def accuracy(results: Results) -> Section | None:
    """Show accuracy against the rate, and against what is really gone."""
    if results.own.sparse["top1"].isna().all():
        return None
    retrains, rate = not results.retrained.empty, results.rate_label.lower()
    both = retrains and results.pruned["top1"].notna().any()
    styles = "Dashed, hollow: right after pruning; solid: after retraining. " if both else ""
    chance = (
        "; dotted, where it is in sight: always naming the most frequent class" if results.chance > 0 else ""
    )
    plots = [
        Plot(
            "top1-by-rate",
            partial(figures.accuracy_by_rate, results),
            f"Top-1 accuracy against the {rate}. {styles}Black: the dense network"
            f"{chance}. {_intervals(results, 'top1')}",
            _alt(f"Top-1 accuracy against the {rate}", results),
        )
    ]
    if (results.final["top1"] + results.final["gone"]).notna().any():
        plots.append(
            Plot(
                "top1-by-cost",
                partial(figures.accuracy_by_cost, results),
                "Top-1 accuracy in the end, against the share of the prunable weights that is really gone "
                "(zeros; for filters, also what reads or feeds only removed ones) and against the "
                f"multiply-accumulates left. {_intervals(results, 'top1', 'gone')}",
                _alt("Top-1 accuracy against the weights really gone and the MACs left", results),
            )
        )
        plots += pareto_plots(results.own)
    plots += [*saw_tooth_plots(results), *epoch_plots(results)]
    others = [measure for measure in OTHER_MEASURES if results.sparse[measure.metric].notna().any()]
    if others:
        plots.append(
            Plot(
                "other-measures-by-rate",
                partial(figures.small_multiples, results, others),
                "Other measures of the same networks; each panel has its own scale. "
                f"{_intervals(results, *(measure.metric for measure in others))}",
                _alt(f"{listing([measure.label for measure in others])} against the {rate}", results),
            )
        )
    return Section("accuracy", "Accuracy", plots=plots)


def layers(results: Results) -> Section | None:
    """Show what is left of each layer."""
    shown = results.final[~results.final["series"].isin(results.controls)]
    if not results.layers["network"].isin(shown["network"]).any():
        return None
    plot = Plot(
        "density-by-layer",
        partial(heat_maps.density_by_layer, results),
        "Share of each layer's weights that is left; layers in the order of the network, one row per rate "
        "or budget. For filters, weights that read or feed only removed ones count as gone."
        + (
            " Controls are as dense in every layer as the series that they belong to."
            if results.controls
            else ""
        ),
        _alt(f"Heat map of the weights left in {count(results.layers['layer'].nunique(), 'layer')}", results),
    )
    return Section("layers", "Density by layer", plots=[plot])


def size(results: Results) -> Section | None:
    """Show how large the networks are."""
    every_end = pd.concat([results.dense, results.final])
    ends = (
        every_end.groupby(["series", "target", "asked"], sort=False)[["rate", *METRICS]].mean().reset_index()
    )
    if ends["nonzero"].isna().all():
        return None
    plots = []
    if measures := [measure for measure in SIZES if results.final[measure.metric].notna().any()]:
        plots.append(
            Plot(
                "size-by-rate",
                partial(figures.size_by_rate, results, measures),
                "What is left of the dense network's multiply-accumulates, counting only live inputs and "
                "outputs and nonzero weights, and of its saved file after zstd compression. Neither is a "
                "measured speed. A dense network whose weights were stored in half precision compresses better "
                "than one retrained in float32, so that little pruning can make the file larger.",
                _alt(
                    f"{listing([measure.label for measure in measures])} against the {results.rate_label.lower()}",
                    results,
                ),
            )
        )
    caption = (
        "Size of the dense network and of those in which each series ends. Compression is total over left: "
        "of the prunable weights, of all weights, and of all with the unreachable ones counted as gone."
    )
    rows = [_size_row(network, results) for network in records(ends)]
    if any(row[SMALLER].text != NO_VALUE for row in rows):
        caption += (
            " Compact: the file once the removed channels have left the tensors, and the MACs that it then takes. "
            "Packed, where no channel leaves: one bit for each weight, and the values that are not zero. Neither is "
            "under zstd."
        )
    if results.seeds > 1:
        caption += " Means over seeds."
    return Section("size", "Size", plots=plots, tables=[table_of(rows, caption)])


def classes(results: Results) -> Section | None:
    """Show which classes lost or gained."""
    change = _change_by_class(results)
    if change.empty:
        return None
    text = []
    if len(change) > MOST_CLASSES:
        text.append(f"Of {len(change):,} classes, the {FEW_CLASSES} whose top-1 changes most on average.")
        largest = change.abs().mean(axis=1).sort_values(ascending=False, kind="stable")
        change = change.loc[largest.index[:FEW_CLASSES]]
    sizes = results.classes["n"]
    fewest = int(sizes[sizes > 0].min())
    text.append(
        f"The smallest class has {count(fewest, 'test image')}; there, one image is {percent(1 / fewest)}."
    )
    plot = Plot(
        "change-by-class",
        partial(heat_maps.change_by_class, results, change),
        "Change of each class's top-1 against the dense network, in points: orange lost, purple gained"
        + ("; mean over seeds." if results.seeds > 1 else "."),
        _alt(f"Heat map of the change of top-1 by class, {len(change)} rows", results),
    )
    return Section("classes", "Classes", text=text, plots=[plot])


def networks(results: Results) -> Section | None:
    """List every network: a row per pruning, which holds its retraining too."""
    if results.networks.empty:
        return None
    nothing = dict.fromkeys(results.networks.columns, math.nan)
    retrained = {network["before"]: network for network in records(results.retrained)}
    rows = [_network_row(dense, nothing, dense, results) for dense in records(results.dense)]
    for network in records(results.prunings):
        if network["final"]:
            rows.append(_network_row(network, nothing, network, results))
        else:
            end = retrained.get(network["network"], nothing)
            rows.append(_network_row(network, network, end, results))
    caption = (
        "Every network, with 95 % intervals over the test images where there are any. “Pruned” is before the "
        "retraining that follows; all else is in the end. Zeros, unreachable and compression are of the "
        "prunable weights; ECE is the expected calibration error. Click a heading to sort."
    )
    text = "The full tables lie beside this page as Parquet files; “prunescope tables” gives them as CSV."
    links = [Link(name, f"../tables/{name}") for name in results.files]
    return Section("networks", "Every network", text=[text], tables=[table_of(rows, caption)], links=links)


SECTIONS: tuple[Callable[[Results], Section | None], ...] = (
    accuracy,
    weights_left,
    scores_compared,
    sensitivity,
    layers,
    size,
    speed,
    units,
    explorer,
    concepts,
    explanations,
    classes,
    forgetting,
    votes,
    published,
)
RECORD = (method, networks, steps, reproduce)  # how it came about
OF_SURVEYS = (votes, *RECORD)  # a sample of units says little of the networks
ALONG = (accuracy, weights_left, units, method)  # which show published studies that are drawn along


def study_sections(results: Results, margins: Margins | None = None) -> list[Section]:
    """Return the sections of a study's page: what came out, what it is seen from, and how it came about.

    Args:
        margins: by metric, the difference that counts as none; the default ones for others.
    """
    own = results.own
    found = find(own, margins)
    shown = make_sections(SECTIONS, results)
    figures_there = {plot.name for section in shown for plot in section.plots}
    first = summary(own, conclusions(found, figures_there))
    whole = findings_section(found)
    return [first, *shown, *([whole] if whole else []), *make_sections(RECORD, results)]


def make_sections(sections: Iterable[Callable[[Results], Section | None]], results: Results) -> list[Section]:
    """Make those sections that there is something for."""
    own = results.own
    asked = [make for make in sections if make in OF_SURVEYS or not is_survey(own)]
    made = (make(results if make in ALONG else own) for make in asked)
    return [section for section in made if section is not None]


def _size_row(network: Network, results: Results) -> dict[str, Cell]:
    return {
        **name_cells(network, results),
        "Nonzero weights": _of(network, "nonzero", "weights"),
        "Unreachable": number_cell(network["unreachable_all"], percent),
        "Compression, prunable": number_cell(network["compression_prunable"], times),
        "Compression, all": number_cell(network["compression_all"], times),
        "Compression, reachable": number_cell(network["compression_reachable"], times),
        "MACs, effective": _of(network, "macs_effective", "macs_dense"),
        "File, zstd": _of(network, "file_bytes_zstd", "file_bytes", "B"),
        SMALLER: _smaller(network),
    }


def _smaller(network: Network) -> Cell:
    """Write the compact file with the MACs that are left, or the packed one where no channel leaves."""
    compact, packed = network["file_bytes_compact"], network["file_bytes_packed"]
    if network["macs_compact"] < network["macs_dense"]:
        return Cell(quantity(compact, "B"), f"{quantity(network['macs_compact'])} MACs", compact)
    if packed < network["file_bytes"]:
        return Cell(quantity(packed, "B"), "packed", packed)
    return Cell(NO_VALUE, number=math.nan)


def _network_row(network: Network, pruned: Network, end: Network, results: Results) -> dict[str, Cell]:
    """Describe a network before retraining and in the end, either all NaN where it does not exist."""
    return {
        **name_cells(network, results),
        "Seed": number_cell(network["seed"] if results.seeds > 1 else math.nan, "{:.0f}".format),
        "Zeros, pruned": number_cell(pruned["zeros"], percent),
        "Zeros": number_cell(end["zeros"], percent),
        "Unreachable": number_cell(end["unreachable"], percent),
        "Compression": number_cell(end["compression_prunable"], times),
        "Top-1, pruned": _top1(pruned),
        "Top-1": _top1(end),
        "Top-5": number_cell(end["top5"], percent),
        "Cross-entropy": number_cell(end["cross_entropy"], decimal),
        "ECE": number_cell(end["calibration_error"], decimal),
    }


def _top1(network: Network) -> Cell:
    within = interval(network["top1_low"], network["top1_high"])
    return Cell(percent(network["top1"]), within, network["top1"])


def _of(network: Network, part: str, whole: str, unit: str = "") -> Cell:
    """Write an amount, and below it what it is a part of."""
    return Cell(quantity(network[part], unit), f"of {quantity(network[whole], unit)}", network[part])


def _change_by_class(results: Results) -> pd.DataFrame:
    """Compare each class with the dense network of the same seed; the mean over seeds.

    Returns:
        (classes, networks): a row per class, a column per pair of a series and the name of a target.
    """
    known = results.networks[["network", "series", "target", "run", "seed", "stage", "final"]]
    rows = results.classes.merge(known, on="network")
    keys = ["run", "seed", "index"]
    dense = rows.loc[rows["stage"] == "dense", [*keys, "top1"]]
    pairs = rows[rows["final"]].merge(dense, on=keys, suffixes=("", "_dense"))
    pairs["change"] = pairs["top1"] - pairs["top1_dense"]
    change = pairs.pivot_table(index=["index", "class"], columns=["series", "target"], values="change")
    names = {
        (series, target): (series, name_target(target, rate))
        for series in results.series
        for target, rate in targets_of(results.final[results.final["series"] == series]).items()
        if (series, target) in change.columns
    }
    return (
        change[list(names)]
        .droplevel("index")
        .set_axis(pd.Index(list(names.values()), tupleize_cols=False), axis=1)
    )


def _intervals(results: Results, *metrics: str) -> str:
    """Say what the intervals are over, and of the networks that have these metrics, which are published."""
    said = "Bars and band: 95 % intervals over the test images." if results.measured("top1_low") else ""
    if results.seeds > 1:
        said = f"Means of {results.seeds} seeds, their 95 % t-intervals; light dots: each seed."
    return said + drawn_along(results, results.sparse.dropna(subset=list(metrics)))


def _alt(what: str, results: Results) -> str:
    return f"{what}, for {listing(results.series)}. The numbers are in the tables of this page."
