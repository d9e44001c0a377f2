"""Which groups of images are forgotten: errors by group, dense against pruned, and what being lost goes with."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pandas as pd

from prunescope.analysis.results import Results, records
from prunescope.images.attributes import NOT_KNOWN
from prunescope.report import forgetting_figures
from prunescope.report.blocks import Cell, Plot, Table, change_cell, number_cell
from prunescope.report.figures import Measure
from prunescope.report.formats import count, listing, p_value, percent, points, signed, whole
from prunescope.report.prunings import MOST_SERIES, Pruning, by_name, by_series, drawn, over_what
from prunescope.report.theme import Look

MOST_GROUPS = 40  # that a figure shows
FEWEST = 10  # images of a group that is drawn, or named as an extreme
MOST_ROWS = 12  # of a table that is open from the start
SHOWN = 0.05
NAMES = ("Series", "Target")  # columns that name a network among several
SPEARMAN = "Spearman"  # the kind of a statistic that is a correlation
ERRORS = (
    Measure("fnr", "Change of the false negative rate (points)", False),
    Measure("fpr", "Change of the false positive rate (points)", False),
)


def what_attributes_say(results: Results) -> list[str]:
    """Say how being lost is set against attributes, where there are any."""
    if results.forgetting_attributes.empty:
        return []
    return [
        "How far an image is lost: the share of seeds that are right on it when dense, less that when pruned. Numbers "
        "are set against it by Spearman's ρ (above 0: images with more of it are lost more), kinds by the share of the "
        "variance of ranks they explain (0 to 1); both also among images of one class alone, and for being wrong "
        "before any pruning and for being called otherwise at all. p by permutation of the images, with Holm's "
        "correction over the attributes. What goes together need not be the cause."
    ]


def attributes_in_words(results: Results, pruning: Pruning) -> str:
    """Say which attributes being lost is shown to go with, and in which networks."""
    said = association_in_words(results, pruning)
    return f"At {pruning.name}, {said[0].lower()}{said[1:]}" if said else ""


def association_in_words(results: Results, pruning: Pruning) -> str:
    """Say which attributes being lost is shown to go with."""
    rows = records(pruning.of(results.forgetting_attributes))
    if not rows:
        return ""
    groups = pruning.of(results.forgetting_groups)
    goes = [
        _association(row, groups[groups["attribute"] == row["attribute"]])
        for row in rows
        if row["p_holm"] < SHOWN
    ]
    rest = [str(row["attribute"]) for row in rows if not row["p_holm"] < SHOWN]
    lost = "Being won less" if pruning.number(results, "top1_change")["value"] > 0 else "Being lost"
    if not goes:
        return f"{lost} is not shown to go with any attribute ({listing(rest)})."
    unshown = f" Not shown for {listing(rest)}." if rest else ""
    return f"{lost} goes with {'; with '.join(goes)}.{unshown}"


def _association(row: dict[str, Any], groups: pd.DataFrame) -> str:
    """Write one attribute, with its correlation or extremes, and whether it is also seen among images of one class."""
    text, sizes = str(row["attribute"]), _extremes(groups)
    if row["kind"] == SPEARMAN:
        text = f"{'more' if row['statistic'] > 0 else 'less'} {text}"
        sizes = f"ρ {signed(row['statistic'])}"
    if not math.isfinite(row["p_within_holm"]):
        return f"{text} ({sizes})" if sizes else text
    inside = (
        "among images of one class too"
        if row["p_within_holm"] < SHOWN
        else "not shown among images of one class"
    )
    return f"{text} ({f'{sizes}; ' if sizes else ''}{inside})"


def _extremes(groups: pd.DataFrame) -> str:
    """Name the kinds whose top-1 changes most for the worse and for the better, nothing where there are not two."""
    known = groups[(groups["class"].fillna("") != "") & (groups["group"] != NOT_KNOWN)]
    images = known.groupby("group", sort=False)["n"].sum()
    newly_wrong = (known["fnr_change"] * known["n"]).groupby(known["group"], sort=False).sum()
    change = (-newly_wrong / images)[images >= FEWEST]
    if len(change) < 2:
        return ""
    ends = (f"{points(float(change[end]))} for {end}" for end in (str(change.idxmin()), str(change.idxmax())))
    return f"change of top-1 from {' to '.join(ends)}"


def _of_all_classes(results: Results) -> pd.DataFrame:
    """Return the rows that average over classes."""
    table = results.forgetting_groups
    return table[table["class"].fillna("") == ""]


def group_plots(results: Results, found: list[Pruning], alone: Look | None = None) -> list[Plot]:
    """Draw the change of errors of each group, a figure per series.

    Args:
        alone: the look of the one network that there is, which needs no name.
    """
    plots = []
    table = _of_all_classes(results)
    for number, (series, own) in enumerate(list(by_series(found).items())[:MOST_SERIES], start=1):
        targets = {name: rows for name, each in by_name(drawn(own)).items() if len(rows := each.of(table))}
        enough = {name: rows[rows["n"] >= FEWEST] for name, rows in targets.items()}
        panels = _panels(enough)
        if not panels:
            continue
        few = _few(targets)
        caption = (
            f"{'H' if alone else f'{series}: h'}ow much more often images of a group are missed (false negatives) and "
            "other images are taken for one of its classes (false positives), pruned against dense, mean over classes. "
            f"Bars: 95 % intervals {over_what(own)}, without correction for the number of groups.{few}"
        )
        alt = (
            f"Change of false negative and false positive rates by {listing(list(panels))}, for {series} at "
            f"{listing(list(targets))}. The numbers are in the tables of this section."
        )
        name = "forgetting-groups" if number == 1 else f"forgetting-groups-{number}"
        draw = partial(forgetting_figures.by_group, panels, ERRORS, alone)
        plots.append(Plot(name, draw, caption, alt))
    return plots


def _few(targets: dict[str, pd.DataFrame]) -> str:
    """Say how many groups have too few images to be drawn."""
    rows = pd.concat(targets.values())
    left_out = len(rows.loc[rows["n"] < FEWEST, ["attribute", "group"]].drop_duplicates())
    if not left_out:
        return ""
    return f" Left out: {count(left_out, 'group')} of fewer than {FEWEST} images, which the tables have."


def _panels(targets: dict[str, pd.DataFrame]) -> dict[str, dict[str, pd.DataFrame]]:
    """Return by attribute, then target, one row for each group, as many attributes as a figure holds."""
    panels: dict[str, dict[str, pd.DataFrame]] = {}
    room = MOST_GROUPS
    for attribute in dict.fromkeys(str(name) for rows in targets.values() for name in rows["attribute"]):
        own = {
            target: rows[rows["attribute"] == attribute].set_index("group")
            for target, rows in targets.items()
        }
        groups = list(dict.fromkeys(group for rows in own.values() for group in rows.index))
        room -= len(groups)
        if room < 0 and panels:
            break
        kept = groups[:MOST_GROUPS]
        panels[attribute] = {target: rows.reindex(kept).reset_index() for target, rows in own.items()}
    return panels


def group_tables(results: Results, found: list[Pruning], *, alone: bool = False) -> list[Table]:
    """List the errors by group of each series, and what being lost goes with; one that is `alone` needs no name."""
    tables = []
    attributes = [
        _attribute_row(results, each, row)
        for each in found
        if each.final
        for row in records(each.of(results.forgetting_attributes))
    ]
    if attributes:
        caption = (
            "What being lost goes with: attributes of the images. p by permutation over images. Above 0, images with "
            "more of a number are lost more; a share of rank variance has no direction, the errors by group have one."
        )
        tables.append(_table(attributes, caption, folded=len(attributes) > MOST_ROWS, named=not alone))
    table = _of_all_classes(results)
    for series, own in by_series(found).items():
        rows = [_group_row(each, row) for each in own for row in records(each.of(table))]
        if rows:
            caption = (
                f"Errors by group{'' if alone else f': {series}'}. Means over classes; the file of the table has each "
                f"class. 95 % intervals {over_what(own)}."
            )
            tables.append(_table(rows, caption, folded=True, named=not alone))
    return tables


def _table(rows: list[dict[str, Cell]], caption: str, *, folded: bool, named: bool) -> Table:
    columns = [name for name in rows[0] if named or name not in NAMES]
    return Table(
        columns, [[row[name] for name in columns] for row in rows], caption, sortable=True, folded=folded
    )


def _attribute_row(results: Results, pruning: Pruning, row: dict[str, Any]) -> dict[str, Cell]:
    return {
        "Series": Cell(pruning.series),
        results.target_label: Cell(pruning.name, number=pruning.rate),
        "Attribute": Cell(str(row["attribute"])),
        "Statistic": Cell(str(row["kind"])),
        "Lost": number_cell(row["statistic"], signed),
        "p, Holm": number_cell(row["p_holm"], p_value),
        "Within classes": number_cell(row["within"], signed),
        "p, Holm, within": number_cell(row["p_within_holm"], p_value),
        "Dense wrong": number_cell(row["dense"], signed),
        "Changed": number_cell(row["changed"], signed),
        "Images": number_cell(row["n"], whole),
    }


def _group_row(pruning: Pruning, row: dict[str, Any]) -> dict[str, Cell]:
    return {
        "Target": Cell(pruning.name, number=pruning.rate),
        "Attribute": Cell(str(row["attribute"])),
        "Group": Cell(str(row["group"])),
        "Images": number_cell(row["n"], whole),
        "Missed, dense": number_cell(row["fnr_dense"], percent),
        "Missed, pruned": number_cell(row["fnr_pruned"], percent),
        "Missed: change": change_cell(row["fnr_change"], row["fnr_low"], row["fnr_high"]),
        "Wrongly taken, dense": number_cell(row["fpr_dense"], percent),
        "Wrongly taken, pruned": number_cell(row["fpr_pruned"], percent),
        "Wrongly taken: change": change_cell(row["fpr_change"], row["fpr_low"], row["fpr_high"]),
    }
