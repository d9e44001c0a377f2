"""A section about simulated participants, which says so in every part that may be taken from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from matplotlib.figure import Figure

from prunescope.report.blocks import Plot, Section
from prunescope.report.theme import QUIET

WARNING = (
    "These participants are simulated: their answers were drawn by a program, for power analysis or a test of load. "
    "Nothing here says anything about people, not even where it speaks of them."
)
MARK = "Simulated participants"


def marked(section: Section) -> Section:
    """Return the section with a warning, and with a mark on every figure and every caption."""
    return replace(
        section,
        title=f"{section.title} (simulated)",
        warnings=[WARNING, *section.warnings],
        plots=[_marked(plot) for plot in section.plots],
        tables=[replace(table, caption=f"{MARK}. {table.caption}") for table in section.tables],
    )


def _marked(plot: Plot) -> Plot:
    return replace(
        plot,
        draw=partial(_draw, plot.draw),
        caption=f"{MARK}. {plot.caption}",
        alt=f"{MARK}. {plot.alt}",
    )


def _draw(draw: Callable[[], Figure]) -> Figure:
    figure = draw()
    figure.suptitle(MARK, color=QUIET, fontsize=7, fontweight="normal")
    return figure
