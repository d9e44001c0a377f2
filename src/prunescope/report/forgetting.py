"""The section on forgetting: in what pruned networks differ from the dense ones that they come from."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from prunescope.analysis.results import Results
from prunescope.report import forgetting_figures
from prunescope.report.blocks import Cell, Fact, Plot, Section, Table, change_cell, table_of
from prunescope.report.figures import Measure
from prunescope.report.forgetting_classes import class_plots, class_tables, most_unlike
from prunescope.report.forgetting_groups import group_plots, group_tables, what_attributes_say
from prunescope.report.forgetting_words import in_words, what_it_is, what_seeds_allow
from prunescope.report.forgotten_images import galleries
from prunescope.report.formats import interval, listing, percent
from prunescope.report.prunings import MOST_SERIES, Pruning, by_series, over_what, prunings

AGREEMENT = Measure("agreement", "Agreement with dense", True)
EXEMPLARS = Measure("exemplars", "Exemplars", True)
LOST = Measure("lost", "Right when dense, wrong now", True)  # where one seed can tell no exemplars
CALIBRATION = Measure("calibration_change", "Calibration error: change (points)", False)


def forgetting(results: Results) -> Section | None:
    """Show which classes, images and groups pruned networks get wrong that the dense ones get right."""
    found = prunings(results)
    if not found:
        return None
    return Section(
        "forgetting",
        "Forgetting",
        text=[what_it_is(results, found), *what_attributes_say(results)],
        numbers=_numbers(results, found),
        warnings=what_seeds_allow(results, found),
        facts=[
            fact for own in list(by_series(found).values())[:MOST_SERIES] for fact in in_words(results, own)
        ],
        plots=[*_plots(results, found), *class_plots(results, found), *group_plots(results, found)],
        tables=[*_tables(results, found), *class_tables(results, found), *group_tables(results, found)],
        galleries=galleries(results, found),
    )


def _numbers(results: Results, found: list[Pruning]) -> list[Fact]:
    final = [each for each in found if each.final]
    numbers = []
    several = any(each.seeds > 1 for each in final)
    ends: tuple[tuple[str, str, Callable[..., Pruning]], ...] = (
        ("Least agreement with dense", "agreement", min),
        ("Most exemplars", "exemplars", max) if several else ("Most lost", "lost", max),
    )
    for term, metric, extreme in ends:
        known = {each: each.number(results, metric)["value"] for each in final}
        known = {each: value for each, value in known.items() if math.isfinite(value)}
        if not known:
            continue
        at = extreme(known, key=lambda each: known[each])
        numbers.append(Fact(term, percent(known[at]), f"of the images: {at.series} at {at.name}"))
        dense, others = (
            at.number(results, f"{those}_dense_top1")["value"] for those in ("exemplars", "others")
        )
        if metric == "exemplars" and math.isfinite(dense):
            numbers.append(
                Fact("Dense top-1 on these", percent(dense), f"{percent(others)} on the other images")
            )
    return [*numbers, *most_unlike(results, final)]


def _plots(results: Results, found: list[Pruning]) -> list[Plot]:
    several = any(each.seeds > 1 for each in found)
    measures = [AGREEMENT, EXEMPLARS if several else LOST, CALIBRATION]
    known = set(results.forgetting.loc[results.forgetting["value"].notna(), "metric"])
    measures = [measure for measure in measures if measure.metric in known]
    if not measures:
        return []
    rate, drawn = results.rate_label.lower(), ""
    if any(each.stage == "retrained" for each in found):
        drawn = " Dashed, hollow: right after pruning; solid: after retraining."
    over = over_what(found)
    if several:
        over += ", for exemplars over images"
        drawn += " Black line: how much dense networks of two seeds agree. Dotted: exemplars if swapped"
        drawn += ", with the band of 95 % of the ways to swap." if _has_band(results) else "."
    labels = listing([measure.label.removesuffix(" (points)") for measure in measures])
    return [
        Plot(
            "forgetting-by-rate",
            partial(forgetting_figures.by_rate, results, found, measures),
            f"Pruned networks against the dense ones of the same seeds, by {rate}.{drawn} Bars: 95 % intervals "
            f"{over}, where there are any.",
            f"{labels}, against the {rate}, for {listing(results.series)}. The numbers are in the tables of this "
            "section.",
        )
    ]


def _has_band(results: Results) -> bool:
    """Whether exemplars if swapped are known with the ends of their band, which takes some seeds."""
    swapped = results.forgetting["metric"] == "exemplars_by_chance"
    return bool(results.forgetting.loc[swapped, "low"].notna().any())


def _tables(results: Results, found: list[Pruning]) -> list[Table]:
    """List agreement and exemplars, and the changes of accuracy and calibration."""
    which = "Pruned networks against the dense ones of their seeds. 95 % intervals, where there are any:"
    same = f"{which} {over_what(found)}"
    if any(each.seeds > 1 for each in found):
        same += (
            ", those of exemplars over images. Two seeds of dense: how much dense networks agree with each other. "
            "If swapped: exemplars if dense and pruned networks change places in some of the seeds"
            f"{', with the band of 95 % of the ways to do so' if _has_band(results) else ''}"
        )
    changed = (
        f"{which} {over_what(found)}. Lost: right when dense, wrong when pruned; won: the other way round. "
        "Overconfidence is mean confidence less top-1."
    )
    return [
        table_of([_agreement_row(results, each) for each in found], f"{same}."),
        table_of([_change_row(results, each) for each in found], changed),
    ]


def _agreement_row(results: Results, pruning: Pruning) -> dict[str, Cell]:
    columns = {
        "Agreement": "agreement",
        "Where dense is right": "agreement_right",
        "Where it is wrong": "agreement_wrong",
        "Two seeds of dense": "agreement_of_seeds",
        "Exemplars": "exemplars",
        "If swapped": "exemplars_by_chance",
        "Dense top-1 on exemplars": "exemplars_dense_top1",
        "On the others": "others_dense_top1",
    }
    shares = {name: _share(results, pruning, metric) for name, metric in columns.items()}
    return pruning.cells(results) | shares


def _change_row(results: Results, pruning: Pruning) -> dict[str, Cell]:
    columns = {
        "Top-1": "top1_change",
        "Calibration error": "calibration_change",
        "Overconfidence": "overconfidence_change",
    }
    shares = {name: _share(results, pruning, name.lower()) for name in ("Lost", "Won")}
    changes = {name: change_cell(**pruning.number(results, metric)) for name, metric in columns.items()}
    return pruning.cells(results) | shares | changes


def _share(results: Results, pruning: Pruning, metric: str) -> Cell:
    """Write a share with its interval, cut to 0 … 1: an interval by Student's t may reach beyond."""
    value, low, high = pruning.number(results, metric).values()
    within = interval(max(low, 0.0), min(high, 1.0)) if math.isfinite(low + high) else ""
    return Cell(percent(value), within, value)
