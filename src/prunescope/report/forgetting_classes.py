"""Which classes are forgotten: those shown to change unlike the average class, and by how much."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from prunescope.analysis.results import Results, records
from prunescope.report import forgetting_figures
from prunescope.report.blocks import Cell, Fact, Plot, Table, change_cell, number_cell
from prunescope.report.formats import listing, p_value, percent, whole
from prunescope.report.prunings import MOST_SERIES, Pruning, by_name, by_series, drawn, over_what
from prunescope.report.theme import looks

MOST_CLASSES = 40  # that a figure or a table shows; of more, it shows the `FEW_CLASSES` of largest change
FEW_CLASSES = 20
NAMED = 4
NOT_SHOWN = "not shown"
DRAWN = {  # by what is tested: the columns of a figure, and what they are called
    "relative": (
        ("relative", "low", "high"),
        "Change of a class's top-1 less that of the whole top-1 (points)",
    ),
    "change": (("change", "change_low", "change_high"), "Change of a class's top-1 (points)"),
}
Panels = dict[Pruning, pd.DataFrame]  # the rows of `forgetting_classes` of each


def classes_in_words(results: Results, own: list[Pruning]) -> str:
    """Name the classes of a series that are shown to change more or less than others, by target."""
    panels = _panels(results, own)
    return "".join(f"{_by_target(shown, _value(shown))}." for shown in panels.values())


def _panels(results: Results, found: list[Pruning]) -> dict[str, Panels]:
    """Return for each series the rows of the prunings in which it ends, where there are any."""
    table = results.forgetting_classes
    panels = {
        series: {each: rows for each in own if len(rows := each.of(table))}
        for series, own in by_series(found).items()
    }
    return {series: own for series, own in panels.items() if own}


def _value(panels: Panels) -> str:
    """Return what is tested: over seeds a change less the mean change, in one seed's images the change itself."""
    return "relative" if all(each.seeds > 1 for each in panels) else "change"


def _by_target(panels: Panels, value: str) -> str:
    parts, none = [], []
    for each, rows in panels.items():
        shown = rows[rows["says"] != NOT_SHOWN].sort_values(value, kind="stable")
        said = [
            f"{word}: {listing([str(name) for name in side['class']], most=NAMED)}"
            for word, side in _sides(shown, value)
            if len(side)
        ]
        if said:
            parts.append(f"At {each.name}, {'; '.join(said)}")
        else:
            none.append(each.name)
    if none:
        unlike = " unlike the average" if value == "relative" else ""
        parts.append(f"No class is shown to change{unlike} at {listing(none)}")
    return ". ".join(parts)


def _sides(shown: pd.DataFrame, value: str) -> list[tuple[str, pd.DataFrame]]:
    """Divide classes by what became of them, in words that are true whether the average falls or rises."""
    down, up = shown[shown[value] < 0], shown[shown[value] > 0].iloc[::-1]
    if value == "change":
        return [("more lost than won", down), ("more won than lost", up)]
    if (shown["change"] - shown["relative"]).mean() > 0:  # each is the change of the average
        falls = down["change"] < 0
        return [
            ("fall, unlike the average", down[falls]),
            ("rise less than the average", down[~falls]),
            ("rise more than the average", up),
        ]
    rises = up["change"] > 0
    return [
        ("fall more than the average", down),
        ("fall less than the average", up[~rises]),
        ("rise, unlike the average", up[rises]),
    ]


def most_unlike(results: Results, found: list[Pruning]) -> list[Fact]:
    """Say where most classes are shown to change unlike the average."""
    panels = {each: rows for own in _panels(results, found).values() for each, rows in own.items()}
    if not panels:
        return []
    shown = {each: int((rows["says"] != NOT_SHOWN).sum()) for each, rows in panels.items()}
    at = max(shown, key=lambda each: shown[each])
    term = "Classes unlike the average" if _value(panels) == "relative" else "Classes shown to change"
    where = f"{at.series} at {at.name}, the most" if shown[at] else "at every target"
    return [Fact(term, whole(shown[at]), f"of {len(panels[at]):,}: {where}")]


def class_plots(results: Results, found: list[Pruning]) -> list[Plot]:
    """Draw the change of every class, a figure per series."""
    plots = []
    styles = looks(results.series, results.controls)
    for number, (series, panels) in enumerate(list(_panels(results, found).items())[:MOST_SERIES], start=1):
        value = _value(panels)
        order = _order(panels, value)
        shown = {name: _ordered(panels[each], order) for name, each in by_name(drawn(list(panels))).items()}
        columns, label = DRAWN[value]
        plots.append(
            Plot(
                "forgetting-classes" if number == 1 else f"forgetting-classes-{number}",
                partial(forgetting_figures.by_class, shown, columns, label, styles[series]),
                _caption(series, panels, order),
                f"{label}: {len(order):,} classes, for {series} at {listing(list(shown))}. The numbers are in the "
                "tables of this section.",
            )
        )
    return plots


def _order(panels: Panels, value: str) -> list[int]:
    """Return the classes that are shown, by index, the one that falls most on top."""
    mean = pd.concat(panels.values()).groupby("index")[value].mean()
    if len(mean) > MOST_CLASSES:
        mean = mean[mean.abs().sort_values(ascending=False, kind="stable").index[:FEW_CLASSES]]
    return [int(index) for index in mean.sort_values(kind="stable").index]


def _ordered(rows: pd.DataFrame, order: list[int]) -> pd.DataFrame:
    return rows.set_index("index").reindex(order).dropna(subset=["class"]).reset_index()


def _caption(series: str, panels: Panels, order: list[int]) -> str:
    whole_table = pd.concat(panels.values())
    classes, few = whole_table["index"].nunique(), len(drawn(list(panels))) < len(panels)
    caption = f"{series}: classes by the mean over its targets, the one that falls most on top. "
    if len(order) < classes:
        caption += f"Of {classes:,} classes, the {len(order)} of largest change. "
    if few:
        caption += f"Of {len(panels)} targets, {len(drawn(list(panels)))} are drawn. "
    return (
        f"{caption}Filled: shown at 5 % ({_tests(whole_table)}, Holm's correction over the classes of a target). "
        f"Bars: 95 % intervals {over_what(panels)}, of each class alone, without correction."
    )


def _tests(rows: pd.DataFrame) -> str:
    return listing([str(test) for test in rows["test"].dropna().unique()]) or "test not named"


def class_tables(results: Results, found: list[Pruning]) -> list[Table]:
    """List the classes of each series at every target."""
    tables = []
    for series, panels in _panels(results, found).items():
        order = _order(panels, _value(panels))
        classes = pd.concat(panels.values())["index"].nunique()
        rows = [_row(each, row) for each, own in panels.items() for row in records(_ordered(own, order))]
        few = f", the {len(order)} of {classes:,} classes of largest change" if len(order) < classes else ""
        caption = f"Classes: {series}{few}. {_intervals(panels)}"
        tables.append(
            Table(list(rows[0]), [list(row.values()) for row in rows], caption, sortable=True, folded=True)
        )
    return tables


def _intervals(panels: Panels) -> str:
    text = f"95 % intervals {over_what(panels)}; p: {_tests(pd.concat(panels.values()))}."
    if _value(panels) == "relative":
        text += " Shown: “more than the average” is lost more, or won less; “less” the other way round."
    return text


def _row(pruning: Pruning, row: dict[str, Any]) -> dict[str, Cell]:
    return {
        "Target": Cell(pruning.name, number=pruning.rate),
        "Class": Cell(str(row["class"])),
        "Images": number_cell(row["n"], whole),
        "Dense": number_cell(row["dense"], percent),
        "Pruned": number_cell(row["pruned"], percent),
        "Change": change_cell(row["change"], row["change_low"], row["change_high"]),
        "Less the mean": change_cell(row["relative"], row["low"], row["high"]),
        "p": number_cell(row["p"], p_value),
        "p, Holm": number_cell(row["p_holm"], p_value),
        "Shown": Cell(str(row["says"])),
    }
