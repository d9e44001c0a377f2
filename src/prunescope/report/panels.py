"""The panels of a figure in words: their titles, what their axes are called, and how they write values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from prunescope.report.scales import Scale, scale_of
from prunescope.report.traces import COLOUR_BAR


@dataclass(frozen=True)
class Panel:
    """One panel in words: its title, what its axes are called, and how they write values; `colour` is that of cells."""

    title: str
    x: str
    y: str
    colour: str
    x_scale: Scale
    y_scale: Scale
    colour_scale: Scale
    cells: bool


def panels_of(figure: Figure) -> list[Panel]:
    """Return all panels in words; what panels share is said by the one that bears the label."""
    bars = [mesh.colorbar for ax in figure.axes for mesh in ax.collections if mesh.colorbar is not None]
    colour = _clean(bars[0].ax.get_ylabel()) if bars else ""
    colours = scale_of(bars[0].ax, "y") if bars else Scale(str)
    return [
        Panel(
            _first(
                [ax.get_title(loc="left"), *(each.get_title(loc="left") for each in _others(figure, ax, "x"))]
            ),
            _first([ax.get_xlabel(), *(each.get_xlabel() for each in _others(figure, ax, "x"))]),
            _first([ax.get_ylabel(), *(each.get_ylabel() for each in _others(figure, ax, "y"))]),
            colour,
            scale_of(ax, "x"),
            scale_of(ax, "y"),
            colours,
            any(isinstance(mesh, QuadMesh) for mesh in ax.collections),
        )
        for ax in figure.axes
    ]


def _others(figure: Figure, ax: Axes, which: str) -> list[Axes]:
    """Return the panels of the same column (for x) or row (for y), then those that share the axis."""
    shared = ax.get_shared_x_axes() if which == "x" else ax.get_shared_y_axes()
    own, found = ax.get_subplotspec(), []
    for other in figure.axes if own is not None else ():
        spec = other.get_subplotspec()
        if spec is not None and own is not None and other.get_label() != COLOUR_BAR:
            same = spec.colspan == own.colspan if which == "x" else spec.rowspan == own.rowspan
            found += [other] if same else []
    return [*found, *shared.get_siblings(ax)]


def _first(labels: Sequence[str]) -> str:
    return next(filter(None, map(_clean, labels)), "")


def _clean(label: str) -> str:
    return " ".join(label.split())
