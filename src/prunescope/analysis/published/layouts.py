"""The layouts of published tables: a CSV is recognised by its columns, whatever it is called."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from prunescope.errors import PrunescopeError, describe_os_error

ENDINGS = (".csv", ".csv.gz")
Family = Literal["methods", "one network", "dissection", "compressions"]  # layouts that make up one study
NO_CSV = (
    UnicodeError,
    pd.errors.ParserError,
    pd.errors.EmptyDataError,
    gzip.BadGzipFile,
    EOFError,
    zlib.error,
)


@dataclass(frozen=True)
class Layout:
    """One kind of table.

    Attributes:
        words: what a table of it holds.
        texts: the columns of names that it must have.
        numbers: the columns of numbers that it must have, with a number in every row.
        also: columns of numbers or notes that it may have.
    """

    name: str
    family: Family
    words: str
    texts: tuple[str, ...]
    numbers: tuple[str, ...]
    also: tuple[str, ...] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        """All columns without which a table is not of this layout."""
        return (*self.texts, *self.numbers)


LAYOUTS = (
    Layout(
        "accuracies", "methods", "accuracy by method of pruning and rate",
        ("method", "optimizer"), ("epochs", "rate", "top1"), ("learning_rate", "note"),
    ),
    Layout(
        "units by method", "methods", "MIS of units by method of pruning and rate",
        ("method", "optimizer", "layer", "kind"), ("epochs", "rate", "unit", "mis", "hit_rate"),
    ),
    Layout("units", "one network", "MIS of the units of one network", ("layer",), ("unit", "mis", "hit_rate")),
    Layout(
        "dissection", "dissection", "the concept of each unit of a layer",
        ("category", "label"), ("unit", "score"),
    ),
    Layout(
        "compressions", "compressions", "accuracy by compression",
        (), ("compression_of_convolutions", "top1"), ("top5", "whole_model_compression"),
    ),
    Layout(
        "answers", "compressions", "answers of people to pairs of networks, one row an answer",
        ("experiment", "stimulus", "participant", "image", "class", "left", "right", "answer"), (),
    ),
    Layout(
        "totals", "compressions", "totals of answers to pairs of networks",
        ("experiment", "stimulus", "left", "right"), ("n", "left_wins", "right_wins", "ties"), ("chi2", "p"),
    ),
    Layout(
        "identification", "compressions", "totals of answers that name a class",
        ("compression",), ("n", "correct", "dont_know"),
    ),
)  # fmt: skip
MAY_BE_EMPTY = ("optimizer",)  # texts: of a network that was not retrained
TEXTS_AT_WILL = ("note",)
FRACTIONS = ("rate", "top1", "top5", "mis", "hit_rate", "score", "p")
WHOLE = ("epochs", "unit", "n", "left_wins", "right_wins", "ties", "correct", "dont_know")
AT_LEAST_ONE = ("compression_of_convolutions", "whole_model_compression")


@dataclass(frozen=True)
class PublishedTable:
    """A file that was recognised, with the columns of its layout."""

    path: Path
    layout: Layout
    rows: pd.DataFrame


def layout_of(columns: Iterable[str]) -> Layout | None:
    """Return the layout whose columns are all there, the one with most of them; None if there is none."""
    known = set(columns)
    fitting = [layout for layout in LAYOUTS if known.issuperset(layout.needed)]
    return max(fitting, key=lambda layout: len(layout.needed), default=None)


def why_unknown(columns: Iterable[str]) -> str:
    """Say which layout a table comes nearest to, and what it lacks of it."""
    known = set(columns)
    nearest = max(LAYOUTS, key=lambda layout: len(known.intersection(layout.needed)) / len(layout.needed))
    missing = [column for column in nearest.needed if column not in known]
    if len(missing) == len(nearest.needed):
        return f"none of its columns is known ({', '.join(sorted(known)[:5])})"
    return f"nearest is the layout of {nearest.words}, of which it lacks {', '.join(missing)}"


def columns_of(path: Path) -> list[str] | None:
    """Return the columns of a CSV file; None if it is no CSV.

    Raises:
        PrunescopeError: it cannot be read.
    """
    try:
        names = pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns
    except OSError as error:
        if isinstance(error, NO_CSV):
            return None
        raise describe_os_error(error, f"reading {path}") from error
    except NO_CSV:
        return None
    return [str(name).strip() for name in names]


def read_table(path: Path, layout: Layout) -> PublishedTable:
    """Read the columns of a layout, numbers as numbers, names as texts.

    Raises:
        PrunescopeError: it is damaged, empty, or a cell is not what its column holds; says the line.
    """
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (*NO_CSV, ValueError) as error:
        raise PrunescopeError(f"{path} is damaged ({error}): get it again") from error
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
    raw = raw.rename(columns=lambda name: str(name).strip())
    if raw.empty:
        raise PrunescopeError(f"{path} has no rows: expected {layout.words}")
    rows = pd.DataFrame({name: raw[name].str.strip() for name in layout.needed})
    for column in layout.texts:
        if column not in MAY_BE_EMPTY:
            _refuse(path, rows, column, rows[column] == "", "a name")
    for column in layout.numbers:
        rows[column] = _numbers(path, rows, column, needed=True)
    for column in (name for name in layout.also if name in raw):
        rows[column] = raw[column].str.strip()
        if column not in TEXTS_AT_WILL:
            rows[column] = _numbers(path, rows, column, needed=False)
    return PublishedTable(path, layout, rows)


def _numbers(path: Path, rows: pd.DataFrame, column: str, *, needed: bool) -> pd.Series[float]:
    values = pd.to_numeric(rows[column], errors="coerce").astype(float)
    empty = (rows[column] == "") & (not needed)
    right, expected = _expected(column, values)
    _refuse(path, rows, column, ~(right & np.isfinite(values)) & ~empty, expected)
    return values


def _expected(column: str, values: pd.Series[float]) -> tuple[pd.Series[bool], str]:
    """Return which values a column may hold, and what these are."""
    if column == "rate":
        return values.between(0, 1, inclusive="left"), "a fraction from 0 to below 1"
    if column in FRACTIONS:
        return values.between(0, 1), "a number from 0 to 1"
    if column in WHOLE:
        return values.ge(0) & (values % 1 == 0), "a whole number"
    if column in AT_LEAST_ONE:
        return values.ge(1), "total over left, at least 1"
    return values.notna(), "a number"


def _refuse(path: Path, rows: pd.DataFrame, column: str, wrong: pd.Series[bool], expected: str) -> None:
    if wrong.any():
        place = int(wrong.to_numpy().argmax())
        raise PrunescopeError(
            f"{path}, line {place + 2}: {column} is {rows[column].iloc[place]!r}, expected {expected}"
        )
