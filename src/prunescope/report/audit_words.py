"""How an audit writes its numbers: a quantity of both networks, its change, and what of it is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from prunescope.analysis.audits import Audit, Number
from prunescope.report.blocks import Cell, Table
from prunescope.report.formats import NO_VALUE, SPACE, percent, points

CHANGES = {
    "change": 1,
    "rise": 1,
    "drop": -1,
}  # endings of metrics: pruned less dense, or the other way round
Write = Callable[[float], str]


class Pair(NamedTuple):
    """A quantity of the dense network, of the pruned one, and the change from the one to the other."""

    dense: Number
    pruned: Number
    change: Number

    @property
    def known(self) -> bool:
        """Whether it was measured of either."""
        return self.dense.known or self.pruned.known


class Quantity(NamedTuple):
    """A row of a table of pairs: the name of its metrics, its title, how it is written, and how its change is."""

    name: str
    title: str
    write: Write
    write_change: Write


def pair_of(audit: Audit, name: str) -> Pair:
    """Return the metrics `<name>_dense` and `_pruned`, and `_change`, `_rise` or `_drop` as pruned − dense."""
    dense, pruned = audit.number(f"{name}_dense"), audit.number(f"{name}_pruned")
    for ending, sign in CHANGES.items():
        if (found := audit.number(f"{name}_{ending}")).known:
            return Pair(dense, pruned, found if sign > 0 else negative(found))
    return Pair(dense, pruned, Number(pruned.value - dense.value, math.nan, math.nan))


def negative(number: Number) -> Number:
    """Return what a number is the other way round."""
    return Number(-number.value, -number.high, -number.low)


def in_points(difference: float) -> str:
    """Write a difference of two fractions in points without its sign: 1.8 points."""
    return points(abs(difference)).removeprefix("+")


def share(fraction: float) -> str:
    """Write a fraction that may be negative as −3.7 %."""
    return percent(fraction).replace("-", "−")


def plain(decimals: int) -> Write:
    """Return a way to write numbers with so many decimals, and a proper minus."""
    return lambda value: NO_VALUE if math.isnan(value) else f"{value:.{decimals}f}".replace("-", "−")


def signed_with(write: Write) -> Write:
    """Return a way to write a difference with its sign, given one to write its size."""

    def written(value: float) -> str:
        text = write(abs(value))
        return ("" if not _digits(text) else "−" if value < 0 else "+") + text

    return written


def _digits(text: str) -> bool:
    """Whether a written number is other than 0."""
    return any(digit in text for digit in "123456789")


def between(number: Number, write: Write) -> str:
    """Write an interval as 0.5 to 3.1 points; nothing where there is none."""
    if not number.bounded:
        return ""
    low, high = write(number.low), write(number.high)
    unit = f"{SPACE}{high.rpartition(SPACE)[2]}" if SPACE in high else ""
    return f"{low.removesuffix(unit)} to {high}"


def changed(change: Number, write: Write) -> str:
    """Say what became of a quantity: falls by 1.8 points (0.5 to 3.1 points); no more than its interval shows.

    Args:
        change: pruned less dense.
        write: writes the size of a difference.
    """
    if not change.bounded:
        way = "rises" if change.value > 0 else "falls"
        return f"{way} by {write(abs(change.value))}" if change.value else "is the same"
    if change.value == change.low == change.high == 0:
        return "is the same"
    if not any(_digits(write(abs(end))) for end in change):
        return "is the same to the digits written"
    if change.shown:
        own = change if change.value > 0 else negative(change)
        way = "rises" if change.value > 0 else "falls"
        return f"{way} by {write(own.value)} ({between(own, write)})"
    sign = signed_with(write)
    return f"is not shown to change ({sign(change.value)}, {between(change, sign)})"


def number_of(number: Number, write: Write) -> Cell:
    """Make a cell of a number, its interval below it."""
    return Cell(write(number.value), between(number, write), number.value)


def change_of(change: Number, write: Write) -> Cell:
    """Make a cell of a change with its sign, its interval below it.

    Args:
        change: pruned less dense.
        write: writes the size of a difference.
    """
    if not change.known:
        return Cell(NO_VALUE, number=math.nan)
    sign = signed_with(write)
    within = between(change, sign).removesuffix(f"{SPACE}points")  # which stands above it
    return Cell(sign(change.value), within, change.value)


def pair_table(audit: Audit, quantities: Sequence[Quantity], caption: str) -> list[Table]:
    """Return a table of those quantities that were measured, dense and pruned; nothing where none was."""
    rows: list[list[Cell | str]] = []
    for name, title, write, write_change in quantities:
        pair = pair_of(audit, name)
        if pair.known:
            cells = [number_of(number, write) for number in (pair.dense, pair.pruned)]
            rows.append([title, *cells, change_of(pair.change, write_change)])
    return [Table(["", "Dense", "Pruned", "Change"], rows, caption, narrow=True)] if rows else []
