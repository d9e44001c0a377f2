"""What is written beside the panels of a figure, made to fit: in several lines, or upright where ticks would touch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

LONGEST_WORD = 12  # letters; longer ones are broken, where that is all that will do
LEAST_SIZE = 5.0  # points
BETWEEN = 4.0  # pixels that texts keep apart at least


def fit_text(figure: Figure) -> bool:
    """Break titles and labels that reach into their neighbours, turn ticks that touch; say whether anything changed.

    The figure must have been drawn: places are counted on the canvas. It is not laid out anew.
    """
    changed = _break(figure, [_title(ax) for ax in figure.axes])
    changed |= _break(figure, [ax.xaxis.label for ax in figure.axes])
    for ax in figure.axes:
        changed |= _turn(ax)
    return changed


def _title(ax: Axes) -> Text:
    """Return the title that an axes has: at the left, where this project's titles stand, or in the middle."""
    left: Text = getattr(ax, "_left_title")  # noqa: B009 - matplotlib tells its text, but not where it lies
    return left if left.get_text() else ax.title


def _break(figure: Figure, texts: Sequence[Text]) -> bool:
    """Break those of some texts of the same kind that are wider than their room."""
    written = [(text, text.get_window_extent()) for text in texts if text.get_text() and text.get_visible()]
    changed = False
    for text, box in written:
        # Others of the same height, by where they are tied to their axes.
        row = [other for other, its in written if other is not text and its.y0 < box.y1 and box.y0 < its.y1]
        at = _anchor(text)
        edges = (
            (at, figure.bbox.width - at)
            if text.get_horizontalalignment() == "center"
            else (figure.bbox.width - at,)
        )
        near = [abs(_anchor(other) - at) for other in row]
        room = (
            min(
                [*(2 * edge if text.get_horizontalalignment() == "center" else edge for edge in edges), *near]
            )
            - BETWEEN
        )
        if box.width > room > 0:
            changed |= _wrap(text, room / box.width) or _shrink(text, room / box.width)
    return changed


def _anchor(text: Text) -> float:
    return float(text.get_transform().transform(text.get_position())[0])


def _wrap(text: Text, share: float) -> bool:
    """Break a text so that its longest line takes at most a share of its width, by words where that will do."""
    lines = text.get_text().split("\n")
    words = text.get_text().split()
    letters = max(int(share * max(map(len, lines))), min(LONGEST_WORD, max(map(len, words))))
    broken = "\n".join(itertools.chain.from_iterable(wrap(line, letters) for line in lines))
    if broken == text.get_text():
        return False
    text.set_text(broken)
    return True


def _shrink(text: Text, share: float) -> bool:
    """Let a text that cannot be broken take a share of its width, with letters that can still be read."""
    size = max(LEAST_SIZE, math.floor(10 * share * float(text.get_fontsize())) / 10)
    if size >= float(text.get_fontsize()):
        return False
    text.set_fontsize(size)
    return True


def _turn(ax: Axes) -> bool:
    """Let the numbers of a horizontal axis stand upright if they touch."""
    shown = [tick for tick in ax.get_xticklabels() if tick.get_visible() and tick.get_text()]
    low, high = sorted(ax.get_xlim())
    shown = [tick for tick in shown if low <= tick.get_position()[0] <= high]
    if len(shown) < 2 or any(tick.get_rotation() for tick in shown):
        return False
    boxes = sorted((tick.get_window_extent() for tick in shown), key=lambda box: box.x0)
    if all(one.x1 + BETWEEN <= other.x0 for one, other in itertools.pairwise(boxes)):
        return False
    ax.tick_params("x", labelrotation=90)
    return True
