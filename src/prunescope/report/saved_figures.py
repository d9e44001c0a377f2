"""Figures as files: laid out once, and alike in every format and whenever they are made again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from prunescope.report.fitted_text import fit_text
from prunescope.report.interactive import name_parts
from prunescope.report.theme import RC, WIDTH, WIDTH_ASKED

FORMATS = ("svg", "pdf", "png")
MOST_FITTINGS = 3  # of what is written: when some of it changes, panels do, and the rest may fit no more
# The date and the maker's version would differ where the tables do not.
NO_METADATA: dict[str, dict[str, None]] = {
    "svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
    "pdf": dict.fromkeys(("CreationDate", "Creator", "Producer")),
    "png": {"Software": None},
}


@contextmanager
def project_looks(width: float = WIDTH) -> Iterator[None]:
    """Draw with this project's looks; what was set before returns on leaving.

    Args:
        width: inches of a figure that is as wide as a page; the others keep their share of it.
    """
    before = WIDTH_ASKED.set(width)
    try:
        with matplotlib.rc_context(RC), warnings.catch_warnings():
            # The page shows any script; a PDF shows a box for a letter that the font lacks.
            warnings.filterwarnings("ignore", r"Glyph .* missing from font")
            yield
    finally:
        WIDTH_ASKED.reset(before)


def lay_out(draw: Callable[[], Figure]) -> Figure:
    """Make a figure, and fix the places of its parts, so that they are the same in every format."""
    figure = draw()
    figure.draw_without_rendering()
    for _ in range(MOST_FITTINGS):
        if not fit_text(figure):
            break
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    name_parts(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure that is laid out, in the format of the file's ending; the same figure gives the same bytes."""
    form = path.suffix[1:].lower()
    figure.savefig(path, format=form, metadata=NO_METADATA[form])
