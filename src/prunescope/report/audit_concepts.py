"""Concepts then and now: which units detect something that people have words for, and what became of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import pandas as pd

from prunescope.analysis.audits import DENSE, PRUNED, Audit
from prunescope.analysis.results import records
from prunescope.report import audit_figures, concept_figures
from prunescope.report.audit_figures import Row
from prunescope.report.audit_units import NETWORKS, panels_of
from prunescope.report.audit_words import pair_of
from prunescope.report.blocks import Cell, Fact, Plot, Section, Table, number_cell
from prunescope.report.concept_figures import FATES
from prunescope.report.concepts import what_it_is
from prunescope.report.formats import decimal, listing, whole

MOST_NAMED = 12  # concepts in a sentence


def concepts(audit: Audit) -> Section | None:
    """Show detectors of both networks by category and layer, and what became of each."""
    if not pair_of(audit, "detectors").known:
        return None
    return Section(
        "concepts",
        "Concepts: Network Dissection",
        text=what_it_is(audit.results),
        facts=_sets(audit),
        plots=_plots(audit),
        tables=_tables(audit),
    )


def concepts_in_words(audit: Audit) -> str:
    """Say how many detectors and concepts there are in each network, and how many units kept theirs."""
    units, unique = pair_of(audit, "detectors"), pair_of(audit, "unique_detectors")
    if not (units.dense.known and units.pruned.known):
        return ""
    of_dense, of_pruned = (whole(number.value) for number in (units.dense, units.pruned))
    said = f"{of_dense} units of the dense network detect a concept, {of_pruned} of the pruned one"
    if unique.dense.known and unique.pruned.known:
        said += f"; different concepts are {whole(unique.dense.value)} and {whole(unique.pruned.value)}"
    jaccard = audit.number("concept_jaccard")
    if jaccard.known:
        said += f" (Jaccard index of the two sets {decimal(jaccard.value, 2)})"
    fates = {fate: audit.number(f"concepts_{fate}") for fate in FATES}
    if audit.record.comparable and all(number.known for number in fates.values()):
        kept, changed, lost, gained = (
            whole(fates[fate].value) for fate in ("kept", "changed", "lost", "gained")
        )
        said += (
            f". Of the dense network’s detectors, {kept} kept their concept, {changed} changed it and {lost} lost it; "
            f"{gained} other units gained one"
        )
    return f"{said}."


def _sets(audit: Audit) -> list[Fact]:
    """Name the concepts that only one of the networks has a detector of."""
    units = audit.results.units
    found = {}
    for name in NETWORKS:
        own = units[(units["network"] == name) & units["detector"].fillna(False).astype(bool)]
        found[name] = set(zip(own["concept"].astype(str), own["category"].astype(str), strict=True))
    only = {
        "Concepts lost": sorted(found[DENSE] - found[PRUNED]),
        "Concepts gained": sorted(found[PRUNED] - found[DENSE]),
    }
    return [
        Fact(term, listing([f"{concept} ({category})" for concept, category in names], MOST_NAMED))
        for term, names in only.items()
        if names
    ]


def _counts(audit: Audit) -> pd.DataFrame:
    """Return the counts of the networks themselves, not of controls."""
    detectors = audit.results.detectors
    return detectors[detectors["control"] == ""]


def _categories(audit: Audit) -> list[str]:
    counts = _counts(audit)
    found = counts[(counts["layer"] == "") & (counts["category"] != "") & (counts["detectors"] > 0)]
    return [str(name) for name in found["category"].unique()]


def _by_category(audit: Audit, metric: str) -> dict[str, dict[str, float]]:
    """Return category ("" for all) to the counts of both networks."""
    own = _counts(audit).query("layer == ''")
    found: dict[str, dict[str, float]] = {}
    for row in records(own):
        found.setdefault(str(row["category"]), {})[str(row["network"])] = float(row[metric])
    return found


def _plots(audit: Audit) -> list[Plot]:
    names = ["", *_categories(audit)]
    panels = {}
    for metric, title in (
        ("detectors", "Detectors (units)"),
        ("unique_detectors", "Unique detectors (concepts)"),
    ):
        counts = _by_category(audit, metric)
        panels[title] = [
            Row(
                name or "all",
                counts.get(name, {}).get(DENSE, math.nan),
                counts.get(name, {}).get(PRUNED, math.nan),
            )
            for name in names
        ]
    numbers = "The numbers are in the table of this section."
    plots = [
        Plot(
            "concepts-by-category",
            partial(audit_figures.dumbbells, panels),
            "Units that detect a concept, and different concepts among them, in both networks by category.",
            f"Detectors and unique detectors by category, dense and pruned. {numbers}",
        )
    ]
    if audit.record.comparable and (rows := _fates(audit)):
        plots.append(
            Plot(
                "concepts-kept",
                partial(audit_figures.fates, rows, FATES),
                "What became of the detectors of the dense network, by the category of their concept: kept it, changed "
                "to another, or lost it; gained: units that were no detectors, by the category they have now.",
                f"Bars of units that kept, changed, gained or lost their concept, by category. {numbers}",
            )
        )
    return [*plots, *_by_layer(audit), *_controls(audit)]


def _by_layer(audit: Audit) -> list[Plot]:
    counts = _counts(audit).query("layer != '' and category == ''")
    values = {
        name: own.set_index(own["layer"].astype(str))["unique_detectors"]
        for name, own in counts.groupby("network", sort=False)
        if name in NETWORKS
    }
    ordered = {name: values[name] for name in NETWORKS if name in values}
    if not ordered or max(len(own) for own in ordered.values()) < 2:
        return []
    draw = partial(audit_figures.by_layer, panels_of(audit, ordered), "Unique detectors", counts=True)
    caption = "Unique detectors of each layer. A concept that two layers detect counts in both."
    return [Plot("concepts-by-layer", draw, caption, "Unique detectors of each layer, dense and pruned.")]


def _controls(audit: Audit) -> list[Plot]:
    own = audit.results.detectors.query("layer == ''")
    own = own[own["network"] == DENSE]
    if own["control"].nunique() < 2:
        return []
    caption = (
        "Detectors of the dense network beside controls that keep everything but what was learned. What a control "
        "reaches is what this set of concepts gives away."
    )
    alt = "Bars of detectors by category, for the dense network and its controls."
    categories = [str(name) for name in own["category"].unique() if name]
    return [Plot("concept-controls", partial(concept_figures.controls, own, categories), caption, alt)]


def _fates(audit: Audit) -> list[tuple[str, Mapping[str, int]]]:
    """Count what became of each unit by the category of its concept: the dense one, of gained ones the pruned."""
    units = audit.results.units.astype({"network": str, "layer": str})
    both = pd.concat(
        [
            units[(units["network"] == name) & units["detector"].notna()]
            .set_index(["layer", "unit"])[["detector", "concept", "category"]]
            .add_suffix(f"_{name}")
            for name in NETWORKS
        ],
        axis=1,
    )
    was, now = (both[f"detector_{name}"].fillna(False).astype(bool) for name in NETWORKS)
    same = (both["concept_dense"] == both["concept_pruned"]) & (
        both["category_dense"] == both["category_pruned"]
    )
    fates = {"kept": was & now & same, "changed": was & now & ~same, "lost": was & ~now, "gained": ~was & now}
    counted: dict[str, dict[str, int]] = {}
    for fate, chosen in fates.items():
        category = both.loc[chosen, "category_pruned" if fate == "gained" else "category_dense"]
        for name, number in category.astype(str).value_counts(sort=False).items():
            counted.setdefault(str(name), {})[fate] = int(number)
    order = [name for name in _categories(audit) if name in counted]
    return [(name, counted[name]) for name in order]


def _tables(audit: Audit) -> list[Table]:
    names = ["", *_categories(audit)]
    detectors, unique = (_by_category(audit, metric) for metric in ("detectors", "unique_detectors"))
    fates = dict(_fates(audit)) if audit.record.comparable else {}
    rows = []
    for name in names:
        row: list[Cell | str] = [name or "all"]
        for counts in (detectors, unique):
            row += [number_cell(counts.get(name, {}).get(network, math.nan), whole) for network in NETWORKS]
        if fates:
            own = fates.get(name, {}) if name else _sums(fates)
            row += [number_cell(own.get(fate, 0), whole) for fate in FATES]
        rows.append(row)
    columns = ["Category", "Detectors, dense", "Pruned", "Unique, dense", "Pruned"]
    if fates:
        columns += [fate.capitalize() for fate in FATES]
    caption = "Detectors and unique detectors of both networks"
    caption += ", and what became of the dense network’s detectors, unit by unit." if fates else "."
    return [Table(columns, rows, caption, narrow=not fates)]


def _sums(fates: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {fate: sum(counts.get(fate, 0) for counts in fates.values()) for fate in FATES}
