"""Accuracy as pruning goes on: it falls with every round of pruning and comes back with every retraining."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from prunescope.analysis.results import Estimate, Results, over_seeds, records
from prunescope.report import figures
from prunescope.report.blocks import Plot
from prunescope.report.drawn_along import drawn_along
from prunescope.report.figures import TOP1
from prunescope.report.formats import count, listing, name_target
from prunescope.report.scales import name_places
from prunescope.report.theme import QUIET, Look, looks, page_width

MOST_NAMED = 8  # rounds under which their targets have room
STEPS = 2  # of a round: it is pruned, then retrained


def saw_tooth_plots(results: Results) -> list[Plot]:
    """Return the saw-tooth of the series that prune and retrain several times, if there are any."""
    rounds = _rounds(results)
    if rounds.empty:
        return []
    series = list(rounds["series"].unique())
    left_out = len(set(results.own.series) - set(series))
    most = int(rounds["round"].max())
    return [
        Plot(
            "saw-tooth",
            partial(draw_saw_tooth, results),
            "Top-1 accuracy over the rounds of iterative pruning. Hollow: just pruned; filled: retrained, which the "
            f"next round prunes further. Black: the dense network. {figures.of_top1(results)}"
            f"{drawn_along(results, rounds)}"
            + (f" Not drawn: {count(left_out, 'series')} without rounds of both." if left_out else ""),
            f"Top-1 accuracy over {count(most, 'round')} of pruning and retraining, for {listing(series)}. The "
            "numbers are in the tables of this page.",
        )
    ]


def draw_saw_tooth(results: Results) -> Figure:
    """Draw top-1 of every network of the iterative series, in the order in which they were made."""
    rounds = _rounds(results)
    most = int(rounds["round"].max())
    figure = Figure(figsize=(page_width() * (0.7 if most < 4 else 1), 3.3), layout="constrained")
    ax = figure.subplots()
    lines = figures.dense_lines(results)
    for dense in over_seeds(results.dense, "top1"):
        ax.axhline(dense.value, **lines[dense.series], zorder=1.5, label=dense.series)
    styles = looks(results.series, results.controls, results.published)
    for series, own in rounds.groupby("series", sort=False):
        start = results.dense[results.dense["run"].isin(own["run"])]
        _draw_teeth(ax, str(series), own, over_seeds(start, "top1"), styles[str(series)])
    figures.keep_to_fractions([ax])
    ax.yaxis.set_major_formatter(figures.PERCENT)
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.set_ylabel(TOP1.label)
    _label_rounds(ax, rounds, results)
    entries: list[tuple[str, Artist]] = [
        (name, Line2D([], [], **lines[name])) for name in results.dense["series"].unique()
    ]
    entries += [(name, figures.handle(styles[name])) for name in rounds["series"].unique()]
    for name, face in (("just pruned", "white"), ("retrained", QUIET)):
        entries.append(
            (name, Line2D([], [], color=QUIET, marker="o", markerfacecolor=face, linestyle="none"))
        )
    figures.legend_below(figure, entries)
    return figure


def _rounds(results: Results) -> pd.DataFrame:
    """Return the pruned and retrained networks of the series of several rounds whose accuracies are known."""
    known = results.sparse[results.sparse["top1"].notna() & results.sparse["round"].ge(1)]
    both = known.groupby("series")["stage"].nunique() > 1
    several = known.groupby("series")["round"].max() > 1
    return known[known["series"].map(both & several).astype(bool)]


def _draw_teeth(ax: Axes, series: str, own: pd.DataFrame, dense: list[Estimate], look: Look) -> None:
    points = [(0.0, each, True) for each in dense[:1]]
    for stage, before in (("pruned", 1), ("retrained", 0)):
        # Networks of one round are averaged, whatever was asked of each.
        at_round = own[own["stage"] == stage].assign(rate=own["round"], target=own["round"].astype(str))
        points += [(STEPS * each.rate - before, each, before == 0) for each in over_seeds(at_round, "top1")]
    points.sort(key=lambda point: point[0])
    x = np.array([place for place, _, _ in points])
    y = np.array([each.value for _, each, _ in points])
    filled = np.array([full for _, _, full in points])
    ax.plot(x, y, look.line, color=look.colour, linewidth=look.width, label=series)
    for which, face in ((~filled, "white"), (filled & (x > 0), look.colour)):
        ax.plot(x[which], y[which], look.marker, color=look.colour, markerfacecolor=face, label=series)
    later = [each for each in points if each[0] > 0]
    lows, highs = [each.low for _, each, _ in later], [each.high for _, each, _ in later]
    ax.vlines([at for at, _, _ in later], lows, highs, look.colour, linewidth=0.9, alpha=0.8, label=series)


def _label_rounds(ax: Axes, rounds: pd.DataFrame, results: Results) -> None:
    """Number the rounds, and name below what was asked for in each where it was the same for all series."""
    most = int(rounds["round"].max())
    asked: dict[int, set[str]] = {number: set() for number in range(1, most + 1)}
    for row in records(rounds):
        asked[int(row["round"])].add(name_target(row["target"], row["rate"]))
    named = most <= MOST_NAMED and all(len(targets) <= 1 for targets in asked.values())
    names = ["\n".join([str(number), *(targets if named else [])]) for number, targets in asked.items()]
    some = 1 + most // 14
    middles = [STEPS * number - 0.5 for number in asked]
    ax.set_xticks([0, *middles[::some]], ["dense", *names[::some]])
    ax.set_xlabel(f"Round, and below it the {results.target_label.lower()}" if named else "Round")
    ax.set_xlim(-0.5, STEPS * most + 0.5)
    ax.grid(axis="x", visible=False)
    steps = [f"round {number}, {step}" for number in asked for step in ("just pruned", "retrained")]
    name_places(ax.xaxis, ["dense", *steps])
