"""The figures of an audit that show distributions: of confidences, of scores of units, of likenesses of maps."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from prunescope.report import figures
from prunescope.report.audit_figures import LOOKS, PRUNED, page_wide
from prunescope.report.theme import INK, QUIET

MOST_POINTS = 500  # of a scatter that are drawn as shapes; more are drawn as one picture
BINS = np.linspace(0, 1, 41)
DOTTED = (0, (1, 2))
OF_OTHERS = "mean with dense maps of other images"
CHANCE = "chance, 95 % of units"


def reliability(answers: pd.DataFrame, bins: int) -> Figure:
    """Draw how often answers of each confidence are right, and how many there are of it.

    Args:
        answers: with `label`, and of both networks `<network>`, the class named, and `<network>_confidence`.
        bins: as many as the calibration error has.
    """
    figure = page_wide(2.9)
    ax, below = figure.subplots(1, 2, width_ratios=(1, 1))
    ax.plot([0, 1], [0, 1], color=QUIET, linewidth=0.9, linestyle=DOTTED)
    edges = np.linspace(0, 1, bins + 1)
    for name, look in LOOKS.items():
        confidence = answers[f"{name}_confidence"].to_numpy()
        place = np.clip((confidence * bins).astype(int), 0, bins - 1)
        n = np.bincount(place, minlength=bins)
        used = n > 0
        right = np.bincount(place, weights=answers[name] == answers["label"], minlength=bins)[used] / n[used]
        mean = np.bincount(place, weights=confidence, minlength=bins)[used] / n[used]
        ax.plot(mean, right, color=look.colour, linewidth=1, label=name)
        sizes = 8 + 90 * n[used] / n.sum()
        dots = ax.scatter(mean, right, sizes, look.colour, marker=look.marker, linewidths=0, zorder=2.5)
        dots.set_label(name)
        below.stairs(n / n.sum(), edges, color=look.colour, linewidth=1.3, label=name)
    for panel in (ax, below):
        panel.xaxis.set_major_formatter(figures.PERCENT)
        panel.yaxis.set_major_formatter(figures.PERCENT)
        panel.set_xlabel("Confidence in the answer")
    ax.set(title="How often right", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    below.set(title="Share of the images", xlim=(-0.02, 1.02), ylim=(0, None))
    figures.legend_below(figure, [*network_entries(), ("as sure as right", _dotted())])
    return figure


def confidences(answers: pd.DataFrame) -> Figure:
    """Draw how sure both networks are, and how far their answers are from each other, image by image."""
    figure = page_wide(2.7)
    left, right = figure.subplots(1, 2, sharey=True)
    n = max(len(answers), 1)
    for name, look in LOOKS.items():
        counts, edges = np.histogram(answers[f"{name}_confidence"].dropna(), np.linspace(0, 1, 21))
        left.stairs(counts / n, edges, color=look.colour, linewidth=1.3, label=name)
    counts, edges = np.histogram(answers["divergence"].dropna().clip(0, 1), np.linspace(0, 1, 21))
    right.stairs(counts / n, edges, color=PRUNED.colour, fill=True, alpha=0.6, label="divergence")
    left.set(title="Confidence in the answer", ylabel="Share of the images")
    right.set(title="Divergence of the two answers (bits)")
    left.xaxis.set_major_formatter(figures.PERCENT)
    left.yaxis.set_major_formatter(figures.PERCENT)
    figures.legend_below(figure, network_entries())
    return figure


def network_entries() -> list[tuple[str, Artist]]:
    """Return what names the two networks in a legend."""
    return [(name, Line2D([], [], color=look.colour, marker=look.marker)) for name, look in LOOKS.items()]


def _dotted() -> Line2D:
    return Line2D([], [], color=QUIET, linewidth=0.9, linestyle=DOTTED)


def scores_of_units(
    scores: Mapping[str, tuple[NDArray[np.float64], int]],
    chance: tuple[float, float, float],
    both: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
) -> Figure:
    """Draw the distribution of the MIS of live units of each network; beside it, unit by unit, one against the other.

    Args:
        scores: network to the scores of its live units and the number of all its units, dead ones included.
        chance: what units score whose activations say nothing: the mean, and the ends of 95 % of them; NaN if unknown.
        both: dense and pruned score of the units alive in both, (units,) each, if units can be compared.
    """
    columns = 1 if both is None else 2
    figure = page_wide(3.1 if columns > 1 else 2.6)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    ax = axes[0]
    for name, (values, units) in scores.items():
        shares = np.histogram(values, BINS)[0] / max(units, 1)
        ax.stairs(shares, BINS, color=LOOKS[name].colour, linewidth=1.3, label=_median(name))
        if name == "pruned":
            ax.stairs(shares, BINS, color=PRUNED.colour, fill=True, alpha=0.3)
        if len(values):
            line = ax.axvline(float(np.median(values)), color=LOOKS[name].colour, linewidth=1, linestyle="--")
            line.set_label(_median(name))
    value, low, high = chance
    if math.isfinite(low + high):
        ax.axvspan(low, high, color=QUIET, alpha=0.15, linewidth=0, zorder=0.5, label=CHANCE)
    if math.isfinite(value):
        ax.axvline(value, color=QUIET, linewidth=0.8, linestyle=DOTTED, label=CHANCE)
    used = np.concatenate([values for values, _ in scores.values()])
    ax.set(title="Live units", xlabel="MIS of a unit", ylabel="Share of all units", ylim=(0, None))
    ax.yaxis.set_major_formatter(figures.PERCENT)
    lowest = min(float(used.min(initial=1)), low if math.isfinite(low) else 1)
    ax.set_xlim(max(0, lowest - 0.05), 1.01)
    if both is not None:
        _draw_both(axes[1], *both)
    entries: list[tuple[str, Artist]] = [
        (_median(name), Line2D([], [], color=look.colour)) for name, look in LOOKS.items()
    ]
    if math.isfinite(low + high):
        entries.append((CHANCE, Patch(color=QUIET, alpha=0.15, linewidth=0)))
    figures.legend_below(figure, entries)
    return figure


def _median(name: str) -> str:
    return f"{name} (dashed: median)"


def _draw_both(ax: Axes, dense: NDArray[np.float64], pruned: NDArray[np.float64]) -> None:
    many = len(dense) > MOST_POINTS
    ax.plot(
        dense, pruned, "o", color=PRUNED.colour, alpha=0.25 if many else 0.6, markersize=2 if many else 3.5,
        markeredgewidth=0, rasterized=many, label="units alive in both",
    )  # fmt: skip
    least = max(0.0, min(float(dense.min(initial=1)), float(pruned.min(initial=1))) - 0.03)
    ax.plot([least, 1], [least, 1], color=QUIET, linewidth=0.9, linestyle=DOTTED)
    ax.set(title="Units alive in both", xlabel="MIS, dense", ylabel="MIS, pruned")
    ax.set(xlim=(least, 1.01), ylim=(least, 1.01))


def likeness(rows: Mapping[str, Mapping[str, tuple[NDArray[np.float64], float]]]) -> Figure:
    """Draw how like the two networks' maps of an image are, over images: a row a method, a column a measure.

    Args:
        rows: method, then measure, to a value an image and what maps of different images have in common (NaN if not
            known); each method has the same measures.
    """
    columns = len(next(iter(rows.values())))
    figure = page_wide(0.6 + 1.8 * len(rows))
    grid = figure.subplots(len(rows), columns, sharex="col", squeeze=False)
    for axes, (method, panels) in zip(grid, rows.items(), strict=True):
        for ax, (title, (values, chance)) in zip(axes, panels.items(), strict=True):
            least = min(0.0, float(values.min(initial=0)))
            each = np.full(len(values), 1 / max(len(values), 1))
            ax.hist(
                values,
                np.linspace(math.floor(5 * least) / 5, 1, 25),
                color=PRUNED.colour,
                alpha=0.7,
                weights=each,
                label="images",
            )
            if len(values):
                line = ax.axvline(float(values.mean()), color=PRUNED.colour, linewidth=1.2, linestyle="--")
                line.set_label("mean")
            if math.isfinite(chance):
                ax.axvline(chance, color=INK, linewidth=1.2, linestyle=DOTTED, label=OF_OTHERS)
            ax.set_title(title, fontsize=7.5)
            ax.yaxis.set_major_formatter(figures.PERCENT)
            ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes[0].set_ylabel(f"{method},\nshare of images" if len(rows) > 1 else "Share of the images")
    entries: list[tuple[str, Artist]] = [("mean", Line2D([], [], color=PRUNED.colour, linestyle="--"))]
    if any(math.isfinite(chance) for panels in rows.values() for _, chance in panels.values()):
        entries.append((OF_OTHERS, Line2D([], [], color=INK, linestyle=DOTTED)))
    figures.legend_below(figure, entries)
    return figure
