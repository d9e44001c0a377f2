"""Who loses accuracy: classes, groups of images, and what being lost goes with."""

from __future__ import annotations

from functools import partial

import pandas as pd

from prunescope.analysis.audits import Audit
from prunescope.analysis.results import records
from prunescope.report import forgetting_figures
from prunescope.report.audit_figures import PRUNED
from prunescope.report.blocks import Cell, Plot, Section, Table, change_cell, number_cell
from prunescope.report.forgetting_classes import DRAWN, FEW_CLASSES, MOST_CLASSES, NOT_SHOWN
from prunescope.report.forgetting_groups import (
    association_in_words,
    group_plots,
    group_tables,
)
from prunescope.report.formats import count, listing, p_value, percent, points, whole
from prunescope.report.prunings import prunings

ENOUGH = 5  # images of a class, for its change to be drawn
NAMED = 4
ON_ATTRIBUTES = (
    "An image is lost if the dense network is right on it and the pruned one is not. Numbers that images have are set "
    "against it by Spearman’s ρ (above 0: images with more of it are lost more), kinds by the share of the variance of "
    "ranks they explain (0 to 1); both also among images of one class alone. p by permutation of the images, with "
    "Holm’s correction over the attributes. What goes together need not be the cause."
)


def classes(audit: Audit) -> Section | None:
    """Show which classes and groups of images lose."""
    results, rows = audit.results, audit.results.forgetting_classes
    groups = prunings(results)
    if rows.empty and results.forgetting_attributes.empty and results.forgetting_groups.empty:
        return None
    text = [said for said in (classes_in_words(audit),) if said]
    text += [said for own in groups if (said := association_in_words(results, own))]
    if len(results.forgetting_attributes):
        text.append(ON_ATTRIBUTES)
    return Section(
        "classes",
        "Who loses it",
        text=text,
        plots=[*_plots(audit), *group_plots(results, groups, PRUNED)],
        tables=[*_tables(audit), *group_tables(results, groups, alone=True)],
    )


def classes_in_words(audit: Audit) -> str:
    """Name the classes that are shown to change; nothing where that was not measured."""
    rows = audit.results.forgetting_classes
    if rows.empty:
        return ""
    few = int(rows["n"].max())
    if few < ENOUGH:
        return f"No class has more than {count(few, 'image')}, so nothing can be said of single classes."
    said = []
    shown = rows[rows["says"] != NOT_SHOWN].sort_values("change", kind="stable")
    for word, side in (("lose", shown[shown["change"] < 0]), ("gain", shown[shown["change"] > 0].iloc[::-1])):
        if len(side):
            named = [f"{row['class']} ({points(row['change'])})" for row in records(side.head(NAMED))]
            most = f", most of all {listing(named)}" if len(side) > NAMED else f": {listing(named)}"
            said.append(f"{len(side):,} of {count(len(rows), 'class')} are shown to {word}{most}.")
    return " ".join(said) or f"None of the {len(rows):,} classes is shown to change."


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the classes that are drawn, the one that falls most on top."""
    if len(rows) > MOST_CLASSES:
        rows = rows.loc[rows["change"].abs().sort_values(ascending=False, kind="stable").index[:FEW_CLASSES]]
    return rows.sort_values("change", kind="stable").reset_index(drop=True)


def _plots(audit: Audit) -> list[Plot]:
    rows = audit.results.forgetting_classes
    if rows.empty or rows["n"].max() < ENOUGH:
        return []
    shown = _shown(rows)
    columns, label = DRAWN["change"]
    few = f"Of {len(rows):,} classes, the {len(shown)} of largest change. " if len(shown) < len(rows) else ""
    caption = (
        f"{few}Change of each class’s top-1, the one that falls most on top. Filled: shown at 5 % "
        f"({_tests(rows)}, Holm’s correction over the classes). Bars: 95 % intervals over images, of each class alone, "
        "without correction."
    )
    draw = partial(forgetting_figures.by_class, {"": shown}, columns, label, PRUNED)
    alt = f"{label}: {count(len(shown), 'class')}. The numbers are in the table of this section."
    return [Plot("change-by-class", draw, caption, alt)]


def _tests(rows: pd.DataFrame) -> str:
    return listing([str(test) for test in rows["test"].dropna().unique()]) or "test not named"


def _tables(audit: Audit) -> list[Table]:
    rows = audit.results.forgetting_classes
    if rows.empty or rows["n"].max() < ENOUGH:
        return []
    cells = [
        [
            Cell(str(row["class"])),
            number_cell(row["n"], whole),
            number_cell(row["dense"], percent),
            number_cell(row["pruned"], percent),
            change_cell(row["change"], row["change_low"], row["change_high"]),
            number_cell(row["p"], p_value),
            number_cell(row["p_holm"], p_value),
            Cell(str(row["says"])),
        ]
        for row in records(rows.sort_values("change", kind="stable"))
    ]
    columns = ["Class", "Images", "Dense", "Pruned", "Change", "p", "p, Holm", "Shown"]
    caption = f"Top-1 of all {len(rows):,} classes, with 95 % intervals over images; p: {_tests(rows)}."
    return [Table(columns, cells, caption, sortable=True, folded=True)]
