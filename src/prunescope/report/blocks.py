"""What a section of the page is made of. All text here is plain: the template escapes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from prunescope.report.formats import NO_VALUE, points, points_interval


@dataclass(frozen=True)
class Plot:
    """A figure of the page and of a paper.

    Attributes:
        name: the name of its files without ending, and of its place on the page; unique in the report.
        draw: makes the figure, a new one each time.
        alt: what it shows, for those who do not see it.
    """

    name: str
    draw: Callable[[], Figure]
    caption: str
    alt: str


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    detail: str = ""  # smaller, below the text
    number: float | None = None  # what the cell is sorted by; NaN, where there is none, comes last
    good: bool | None = None  # colours the text

    @property
    def key(self) -> str:
        """What the page sorts by; empty where there is no value."""
        if self.number is None:
            return "" if self.text == NO_VALUE else self.text
        return "" if math.isnan(self.number) else repr(float(self.number))


def number_cell(value: float, write: Callable[[float], str]) -> Cell:
    """Make a cell of a number, in the form that `write` gives it."""
    return Cell(write(value) if math.isfinite(value) else NO_VALUE, number=value)


def change_cell(value: float, low: float = math.nan, high: float = math.nan) -> Cell:
    """Make a cell of a difference of two fractions in points, with its interval below, if it has one."""
    return Cell(points(value), points_interval(low, high), value)


@dataclass(frozen=True)
class Table:
    """A table; bare text stands for `Cell(text)`. Columns whose cells have numbers align right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""
    sortable: bool = False
    folded: bool = False  # only its caption shows until it is opened
    narrow: bool = False  # few columns: no wider than they need
    anchors: Sequence[str] = ()  # the address of each row on the page; none without

    @cached_property
    def cells(self) -> list[list[Cell]]:
        """The rows, all of them cells."""
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]

    @cached_property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers."""
        return [any(row[i].number is not None for row in self.cells) for i in range(len(self.columns))]


def table_of(rows: list[dict[str, Cell]], caption: str, sortable: bool = True) -> Table:
    """Make a table of rows that have the same columns; a column without any value is left out."""
    columns = [column for column in rows[0] if any(row[column].text != NO_VALUE for row in rows)]
    return Table(columns, [[row[column] for column in columns] for row in rows], caption, sortable)


@dataclass(frozen=True)
class Verdict:
    """The answer to a question that was asked beforehand, in words, and whether it is the good one."""

    text: str
    good: bool
    note: str = ""


@dataclass(frozen=True)
class Conclusion:
    """A sentence of the first screen: how sure it is, and where on the page its figure and its row are."""

    text: str
    verdict: str
    links: Sequence[Link] = ()


@dataclass(frozen=True)
class Fact:
    """A term and what it is here: the study's machine, or a large number with a note below."""

    term: str
    text: str
    note: str = ""


@dataclass(frozen=True)
class Link:
    """A file beside the page."""

    text: str
    address: str  # relative to the page


@dataclass(frozen=True)
class Picture:
    """A picture in a file beside the page.

    Attributes:
        address: where its file goes, relative to the page; of letters that need no escaping.
        jpeg: the file's bytes.
        alt: what it shows, for those who do not see it.
    """

    address: str
    jpeg: bytes
    alt: str


@dataclass(frozen=True)
class Tile:
    """One place of a gallery: a picture, if there is one, and lines of text below it; `good` colours the last."""

    picture: Picture | None = None
    lines: Sequence[str] = ()
    good: bool | None = None


@dataclass(frozen=True)
class Gallery:
    """Pictures in rows and columns, each row of one thing; seen without scripts.

    Without columns, rows stand side by side, as many as fit.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Tile]]
    caption: str
    folded: bool = False  # only its caption shows until it is opened

    @property
    def pictures(self) -> list[Picture]:
        """All its pictures, by row."""
        return [tile.picture for row in self.rows for tile in row if tile.picture is not None]


@dataclass(frozen=True)
class Browser:
    """A part of the page that reads files beside it as they are asked for.

    Attributes:
        index: what its script must know at once, as JSON.
        write: puts the files into the folder of the page.
    """

    index: Mapping[str, Any]
    write: Callable[[Path], None]


@dataclass(frozen=True)
class Section:
    """One section of the page; its parts appear in the order of the attributes.

    Attributes:
        anchor: its address on the page, unique.
        verdict: what it comes to, before all else.
        conclusions: what follows, each as a sentence.
        numbers: the few numbers to see first, set large.
        warnings: what a reader must know before trusting the numbers.
        facts: terms and their texts, one below the other.
        files: texts to write beside the page, by name.
    """

    anchor: str
    title: str
    verdict: Verdict | None = None
    text: Sequence[str] = ()
    conclusions: Sequence[Conclusion] = ()
    numbers: Sequence[Fact] = ()
    warnings: Sequence[str] = ()
    facts: Sequence[Fact] = ()
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    galleries: Sequence[Gallery] = ()
    links: Sequence[Link] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    browser: Browser | None = None
