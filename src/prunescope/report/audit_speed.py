"""How fast both networks run, each form in turn with the others, and what that bought."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pandas as pd

from prunescope.analysis.audits import Audit
from prunescope.analysis.results import records
from prunescope.report import audit_figures
from prunescope.report.blocks import Cell, Fact, Plot, Section, Table, number_cell, table_of
from prunescope.report.formats import (
    count,
    listing,
    milliseconds,
    per_second,
    quantity,
    speedup,
    times,
)
from prunescope.report.speed import CLOCKS
from prunescope.report.speed_findings import name_of, within
from prunescope.report.speed_words import speed_words


def speed(audit: Audit) -> Section | None:
    """Show the times of both networks, and of the pruned one with its removed channels taken out."""
    table = audit.results.speed
    if table.empty:
        return None
    measured = table[table["milliseconds"].notna()]
    return Section(
        "speed",
        "Speed",
        text=speed_words(table),
        facts=_conditions(measured),
        plots=_plots(measured),
        tables=_tables(table) if len(measured) else [],
    )


def speed_in_words(audit: Audit) -> str:
    """Say what was bought at the smallest batch."""
    table = audit.results.speed
    return " ".join(speed_words(table[table["why"].isna() & (table["batch"] == table["batch"].min())]))


def _conditions(measured: pd.DataFrame) -> list[Fact]:
    rounds, threads = (sorted({int(n) for n in measured[name].dropna()}) for name in ("rounds", "threads"))
    how = ["all forms in turn, in one run"]
    how += [f"medians of {listing([str(n) for n in rounds])} rounds"] if rounds else []
    how += [count(n, "thread") for n in threads]
    how += [f"speed-ups {CLOCKS.get(str(name), str(name))}" for name in measured["clock"].dropna().unique()]
    how += [str(name) for name in measured["device"].dropna().unique()]
    return [Fact("Timed", ", ".join(how))] if len(measured) else []


def _plots(measured: pd.DataFrame) -> list[Plot]:
    rows = []
    for (runtime, batch), own in measured.groupby(["runtime", "batch"], sort=False):
        found = {
            str(row["variant"]): (row["speedup"], row["low"], row["high"])
            for row in records(own[own["variant"].isin(audit_figures.FORMS) & own["speedup"].notna()])
        }
        if found:
            rows.append((f"{name_of(str(runtime))}, batch {batch}", found))
    if not rows:
        return []
    caption = (
        "Speed-up over the dense network, by runtime and batch; right of the line is faster. Bars: 95 % intervals over "
        "rounds."
    )
    alt = f"Speed-ups in {count(len(rows), 'place')}. The numbers are in the table of this section."
    return [Plot("speedups", partial(audit_figures.speedups, rows), caption, alt)]


def _tables(table: pd.DataFrame) -> list[Table]:
    rows = [
        {
            "Runtime": Cell(name_of(row["runtime"])),
            "Batch": number_cell(row["batch"], "{:.0f}".format),
            "Network": Cell("compact" if row["variant"] == "compact" else str(row["variant"])),
            "Time": number_cell(row["milliseconds"], milliseconds),
            "Images": number_cell(row["images_per_second"], per_second),
            "Speed-up": Cell(speedup(row["speedup"]), within(row["low"], row["high"]), row["speedup"]),
            "Promised by MACs": number_cell(_promised(table, row), times),
            "Peak memory": number_cell(row["peak_bytes"], lambda size: quantity(size, "B")),
        }
        for row in records(table[table["milliseconds"].notna()])
    ]
    caption = (
        "Median time of a batch, images per second, and the speed-up over the dense network in the same run with its "
        "95 % interval over rounds. Promised: multiply-accumulates of the dense network over those that are left."
    )
    return [table_of(rows, caption)]


def _promised(table: pd.DataFrame, row: dict[str, Any]) -> float:
    same = (table["runtime"] == row["runtime"]) & (table["batch"] == row["batch"])
    dense = table.loc[same & (table["variant"] == "dense"), "macs"]
    if row["variant"] == "dense" or dense.empty or not row["macs"] > 0:
        return math.nan
    return float(dense.iloc[0]) / float(row["macs"])
