"""How figures look: one colour and one marker for each series, the same on every figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple

from matplotlib.colors import to_hex, to_rgb

# Okabe & Ito (2008), told apart with every common colour blindness; black is the dense network's.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # 7 against 6 colours: no pair returns before 42 series
PUBLISHED_MARKERS = ("*", ">", "p", "d", "<", "h")  # of series that are only drawn along
PUBLISHED_COLOURS = ("#5f6b7a", "#8b95a3")  # the second after all markers
CONTROL_MARKERS = {"random mask": "d", "re-initialised": "<"}
PALER = 0.45  # a control has the colour of its series, mixed with so much white
# Kinds of concepts, by Paul Tol's muted scheme: as safe, and not taken for series.
CATEGORY_COLOURS = {
    "object": "#332288",
    "part": "#88CCEE",
    "scene": "#117733",
    "material": "#DDCC77",
    "texture": "#CC6677",
    "color": "#AA4499",
}
OTHER_CATEGORIES = ("#44AA99", "#999933", "#882255")
INK, QUIET, FAINT = "#1b1f24", "#5f6b7a", "#e3e7ec"

WIDTH = 7.2  # inches: two columns of a journal
WIDTH_ASKED = ContextVar("WIDTH_ASKED", default=WIDTH)

RC: Any = {  # matplotlib's type for it lists every key there is
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same layout on every machine
    "font.size": 8,
    "text.hinting": "none",  # as wide as a browser draws it, at any resolution: room is left for all of it
    "text.color": INK,
    "text.parse_math": False,  # a name with dollar signs is a name
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.6,
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # text stays text: found by a search, read aloud, small
    "svg.hashsalt": "prunescope",  # the same figure gives the same bytes
    "pdf.fonttype": 42,  # journals refuse Type 3 fonts
}


def page_width() -> float:
    """Return the width in inches of a figure that is as wide as a page."""
    return WIDTH_ASKED.get()


class Look(NamedTuple):
    """The colour, the marker and the line of one series.

    Attributes:
        hollow: whether its markers are open; `width`: of its line, in points.
    """

    colour: str
    marker: str
    line: Literal["-", "--"] = "-"
    hollow: bool = False
    width: float = 1.5


def looks(series: list[str], controls: Mapping[str, str], published: Sequence[str] = ()) -> dict[str, Look]:
    """Give each series its look, in the order of the study; a control has a paler colour of its series'.

    Args:
        controls: from the name of a series that is a control to which one it is; it is called `<series>, <control>`.
        published: those of published studies, all grey: thin dashes and open markers.
    """
    own = [name for name in series if name not in controls and name not in published]
    styles = {name: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(own)}
    for name, control in controls.items():
        colour = styles.get(series_of(name, control), Look(QUIET, "")).colour
        styles[name] = Look(_paler(colour), CONTROL_MARKERS.get(control, "<"))
    for i, name in enumerate(published):
        colour = PUBLISHED_COLOURS[i // len(PUBLISHED_MARKERS) % len(PUBLISHED_COLOURS)]
        marker = PUBLISHED_MARKERS[i % len(PUBLISHED_MARKERS)]
        styles[name] = Look(colour, marker, "--", hollow=True, width=0.8)
    return {name: styles[name] for name in series}


def series_of(name: str, control: str) -> str:
    """Return the series that a control belongs to."""
    return name.removesuffix(f", {control}")


def _paler(colour: str) -> str:
    red, green, blue = (PALER + (1 - PALER) * part for part in to_rgb(colour))
    return to_hex((red, green, blue))


def category_looks(categories: Iterable[str]) -> dict[str, Look]:
    """Give each category of concepts its look: the same in every study where it is one of Broden's."""
    names = set(categories)
    others = sorted(names - CATEGORY_COLOURS.keys())
    order = [name for name in CATEGORY_COLOURS if name in names] + others
    spare = {name: OTHER_CATEGORIES[i % len(OTHER_CATEGORIES)] for i, name in enumerate(others)}
    colours = CATEGORY_COLOURS | spare
    return {name: Look(colours[name], MARKERS[i % len(MARKERS)]) for i, name in enumerate(order)}
