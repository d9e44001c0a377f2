"""The section that compares scores: series that differ in nothing else, before and after retraining."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from prunescope.analysis.results import Estimate, Results, over_seeds, targets_of
from prunescope.report import figures
from prunescope.report.blocks import Cell, Plot, Section, Table, number_cell, table_of
from prunescope.report.formats import (
    NO_VALUE,
    count,
    interval,
    listing,
    name_target,
    percent,
    points,
    shorten,
)
from prunescope.report.theme import INK, QUIET, looks, page_width

ALIKE = ["granularity", "scope", "norm", "hold", "schedule", "retraining", "control"]  # in all but the score
FEWEST = 3  # series that make a comparison
MOST_DRAWN = 4  # targets of one comparison; of more, some are drawn and all are in tables
ABSENT = Estimate("", "", math.nan, math.nan, math.nan, math.nan, 0)


class Entry(NamedTuple):
    """One score at one target: top-1 just pruned and in the end, and what is left."""

    series: str
    score: str
    pruned: Estimate
    final: Estimate
    change: Estimate
    gone: float
    macs_left: float


class Comparison(NamedTuple):
    """Scores at one target, the one of highest top-1 first."""

    target: str
    name: str
    entries: list[Entry]


def scores_compared(results: Results) -> Section | None:
    """Show for scores that differ in nothing else what they keep, before and after retraining."""
    text, plots, tables = [], [], []
    for number, series in enumerate(_groups(results), start=1):
        compared = _compare(results, series)
        if not compared:
            continue
        drawn = _drawn(compared)
        name = "scores-compared" if number == 1 else f"scores-compared-{number}"
        draw = partial(_draw, results, drawn)
        plots.append(Plot(name, draw, _caption(results, drawn, compared), _alt(drawn)))
        text += [_finding(each) for each in drawn]
        tables += [_table(results, each, folded=each not in drawn) for each in compared]
    if not plots:
        return None
    text.append(
        "Where intervals overlap, the order of two scores may be chance. These series differ in nothing but the "
        "score; another way to prune or to retrain may order them differently."
    )
    return Section("scores", "Scores compared", text=text, plots=plots, tables=tables)


def _groups(results: Results) -> list[list[str]]:
    """Return the series that differ in their score alone, three scores or more together."""
    ways = results.sparse.drop_duplicates("series")[["series", "score", *ALIKE]].fillna(
        dict.fromkeys(ALIKE, "")
    )
    groups = [own for _, own in ways.groupby(ALIKE, sort=False) if own["score"].nunique() >= FEWEST]
    return [list(map(str, own["series"])) for own in groups]


def _compare(results: Results, series: Sequence[str]) -> list[Comparison]:
    """Compare series at each target that three of them or more have; nothing where accuracy is not known."""
    own = results.sparse[results.sparse["series"].isin(series)]
    scores = {str(name): str(score) for name, score in zip(own["series"], own["score"], strict=True)}
    if len(set(scores.values())) < len(scores):
        scores = {name: name for name in scores}  # twice the same score: the series say what differs
    pruned, changes = _by_key(results.pruned, "top1"), _by_key(_changes(results), "change")
    final, gone, macs = (_by_key(results.final, metric) for metric in ("top1", "gone", "macs_left"))
    compared = []
    for target, rate in targets_of(own).items():
        keys = [(name, target) for name in scores if (name, target) in final]
        entries = [
            Entry(
                key[0],
                scores[key[0]],
                pruned.get(key, ABSENT),
                final[key],
                changes.get(key, ABSENT),
                gone.get(key, ABSENT).value,
                macs.get(key, ABSENT).value,
            )
            for key in keys
        ]
        entries.sort(key=lambda entry: -entry.final.value)
        if len(entries) >= FEWEST:
            compared.append(Comparison(target, name_target(target, rate), entries))
    return compared


def _by_key(networks: pd.DataFrame, metric: str) -> dict[tuple[str, str], Estimate]:
    return {estimate[:2]: estimate for estimate in over_seeds(networks, metric)}


def _changes(results: Results) -> pd.DataFrame:
    """Return the networks in the end with `change`: what retraining changed in top-1, seed by seed."""
    before = results.pruned.set_index("network")["top1"]
    return results.retrained.assign(
        change=results.retrained["top1"] - results.retrained["before"].map(before)
    )


def _drawn(compared: list[Comparison]) -> list[Comparison]:
    """Return the comparisons that are drawn: all, or some of them evenly, the last among them."""
    if len(compared) <= MOST_DRAWN:
        return compared
    places = np.linspace(0, len(compared) - 1, MOST_DRAWN).round().astype(int)
    return [compared[place] for place in places]


def _finding(compared: Comparison) -> str:
    """Name the best score, and those that are not shown to be worse, nor better than chance."""
    best, *others = compared.entries
    text = f"At {compared.name}, {best.score} ends highest, with {percent(best.final.value)}"
    if not math.isfinite(sum(entry.final.low for entry in compared.entries)):
        return f"{text}; there are no intervals to say whether that is more than chance."
    near = [entry.score for entry in others if entry.final.high >= best.final.low]
    if len(near) == len(others):
        text += "; no other is shown to be worse."
    elif near:
        text += f"; not shown to be worse: {listing(near)}."
    else:
        text += ", above all others."
    random = next((entry for entry in compared.entries if entry.score == "random"), None)
    if random is not None:
        unshown = [
            entry.score
            for entry in compared.entries
            if entry is not random and entry.final.low <= random.final.high
        ]
        if len(unshown) == len(others):
            text += " None is shown to be better than random."
        elif unshown:
            text += f" Not shown to be better than random: {listing(unshown)}."
        else:
            text += " All others are better than random."
    return text


def _caption(results: Results, drawn: list[Comparison], compared: list[Comparison]) -> str:
    retrained = any(entry.change.seeds for each in drawn for entry in each.entries)
    caption = "Top-1 of the same network pruned by different scores, the highest in the end on top. "
    if retrained:
        caption += (
            "Left: from just pruned (hollow) to retrained (filled); right: retrained, on a scale of its own. "
        )
    if len(drawn) < len(compared):
        caption += f"Of {len(compared)} {results.target_label.lower()}s, {len(drawn)} are drawn. "
    caption += "Black: the dense network. "
    if results.seeds > 1:
        return f"{caption}Means of {results.seeds} seeds, bars: their 95 % t-intervals."
    return f"{caption}Bars: 95 % intervals over the test images."


def _alt(drawn: list[Comparison]) -> str:
    return (
        f"Top-1 before and after retraining of {count(len(drawn[0].entries), 'score')}, at "
        f"{listing([each.name for each in drawn])}. The numbers are in the tables of this section."
    )


def _draw(results: Results, drawn: list[Comparison]) -> Figure:
    """Draw a row per target: before → after, and after alone; a line per score."""
    retrained = any(entry.change.seeds for each in drawn for entry in each.entries)
    heights = [len(each.entries) for each in drawn]
    size = (page_width() if retrained else page_width() * 0.7, 0.7 + 0.17 * sum(heights) + 0.45 * len(drawn))
    figure = Figure(figsize=size, layout="constrained")
    columns = 2 if retrained else 1
    grid = figure.subplots(
        len(drawn), columns, sharey="row", sharex="col", squeeze=False, height_ratios=heights
    )
    for (whole, *zoomed), each in zip(grid, drawn, strict=True):
        _draw_rows(whole, results, each, before=True)
        for ax in zoomed:
            _draw_rows(ax, results, each, before=False)
            ax.tick_params("y", labelleft=False, length=0)
        whole.set_title(each.name)
        names = [shorten(entry.score, 22) for entry in each.entries]
        whole.set_yticks(range(len(names)), names, fontsize=7)
        whole.set_ylim(len(names) - 0.4, -0.6)
    for ax, label in zip(grid[-1], ("Top-1, just pruned and retrained", "Top-1, retrained"), strict=False):
        ax.set_xlabel(label if retrained else "Top-1")
    entries: list[tuple[str, Artist]] = [("dense", Line2D([], [], color=INK, linewidth=1))]
    if retrained:
        entries += [
            (name, Line2D([], [], color=QUIET, marker="o", markerfacecolor=face, linestyle="none"))
            for name, face in (("just pruned", "white"), ("retrained", QUIET))
        ]
        figures.legend_below(figure, entries)
    return figure


def _draw_rows(ax: Axes, results: Results, compared: Comparison, *, before: bool) -> None:
    styles = looks(results.series, results.controls)
    for dense in over_seeds(results.dense, "top1"):
        ax.axvline(dense.value, color=INK, linewidth=1, zorder=1.5, label="dense")
        if math.isfinite(dense.low):
            ax.axvspan(dense.low, dense.high, color=INK, alpha=0.06, linewidth=0, zorder=1, label="dense")
    for place, entry in enumerate(compared.entries):
        colour, marker = styles[entry.series][:2]
        ends = [entry.pruned, entry.final] if before and entry.change.seeds else [entry.final]
        for start, end in itertools.pairwise(ends):
            ax.plot([start.value, end.value], [place] * 2, color=colour, linewidth=1.2, alpha=0.4)
        for estimate, face in zip(reversed(ends), (colour, "white"), strict=False):
            label = "retrained" if face == colour else "just pruned"
            alone = (
                len(ends) == 1 or estimate is not entry.final
            )  # the retrained one has its bars at the right
            if alone and math.isfinite(estimate.low):
                ax.hlines(
                    place, max(estimate.low, 0), min(estimate.high, 1), colour, linewidth=0.9, label=label
                )
            (mark,) = ax.plot([estimate.value], [place], marker, color=colour, markerfacecolor=face)
            mark.set(markersize=4.5, label=label)
    ax.xaxis.set_major_formatter(figures.PERCENT)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    ax.grid(axis="y", visible=False)


def _table(results: Results, compared: Comparison, *, folded: bool) -> Table:
    best = compared.entries[0]
    rows = []
    for entry in compared.entries:
        behind = entry.final.value - best.final.value
        alike = entry is not best and entry.final.high >= best.final.low
        rows.append(
            {
                "Score": Cell(entry.score),
                "Series": Cell(entry.series if entry.series != entry.score else NO_VALUE),
                "Weights gone": number_cell(entry.gone, percent),
                "MACs left": number_cell(entry.macs_left, percent),
                "Top-1, pruned": _top1(entry.pruned)
                if entry.change.seeds
                else Cell(NO_VALUE, number=math.nan),
                "Top-1": _top1(entry.final),
                "Change": _change(entry.change),
                "Against the best": Cell(points(behind), "intervals overlap" if alike else "", behind),
            }
        )
    filters = (results.sparse.loc[results.sparse["series"] == best.series, "granularity"] == "filter").all()
    gone = "Weights gone: unreachable ones too" if filters else "Weights gone: zeros"
    caption = f"Scores at {compared.name}, by top-1 in the end. {gone}, of the prunable weights."
    table = table_of(rows, caption)
    return Table(table.columns, table.rows, caption, sortable=True, folded=folded)


def _top1(estimate: Estimate) -> Cell:
    return Cell(percent(estimate.value), interval(estimate.low, estimate.high), estimate.value)


def _change(estimate: Estimate) -> Cell:
    if not estimate.seeds:
        return Cell(NO_VALUE, number=math.nan)
    within = f"{points(estimate.low)} to {points(estimate.high)}" if estimate.seeds > 1 else ""
    return Cell(points(estimate.value), within, estimate.value)
