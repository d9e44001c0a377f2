"""Small CSV files with a header, read strictly: a line that does not fit is named."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.images.concepts.concept_set import Concept


@dataclass(frozen=True)
class Row:
    """One line of a table: where it stands, and its fields by column."""

    path: Path
    line: int
    fields: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.fields[column]

    def number(self, column: str) -> int:
        """Return a field that holds a whole number from 0 to 65535."""
        number = label_number(self.fields[column])
        if number is None:
            raise self.wrong(f"{column} is a whole number from 0 to 65535, not {self.fields[column]!r}")
        return number

    def concept(self, category: str, name: str) -> Concept:
        """Return a concept that this line names."""
        try:
            return Concept(category, name)
        except PrunescopeError as error:
            raise self.wrong(str(error)) from error

    def wrong(self, what: str) -> PrunescopeError:
        """Return the error that says what is wrong with this line."""
        return PrunescopeError(f"{self.path}, line {self.line}: {what}")


def label_number(text: str) -> int | None:
    """Return the whole number from 0 to 65535 that `text` is, or None."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10 and int(digits) < 2**16):
        return None
    return int(digits)


def read_csv(path: Path, columns: Sequence[str]) -> list[Row]:
    """Return the rows of a CSV file that has at least the given columns.

    Raises:
        PrunescopeError: it cannot be read, lacks a column, or a line has more or fewer fields than the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(_rows(path, csv.reader(file, strict=True), columns))
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
    except (csv.Error, ValueError) as error:
        raise PrunescopeError(f"{path} is not a CSV file in UTF-8: {error}") from error


def _rows(path: Path, lines: Iterator[list[str]], columns: Sequence[str]) -> Iterator[Row]:
    header = next(lines, [])
    missing = [column for column in columns if column not in header]
    if missing or len(set(header)) < len(header):
        raise PrunescopeError(
            f"{path} needs a first line with the columns {', '.join(columns) or 'of your choice'}, each once, "
            f"and has {','.join(header) or 'none'}"
        )
    for number, fields in enumerate(lines, start=2):
        if not fields:  # a blank line, as at the end of many files
            continue
        row = Row(path, number, dict(zip(header, fields, strict=False)))
        if len(fields) != len(header):
            raise row.wrong(f"{len(fields)} fields, and the header has {len(header)}")
        yield row
