"""A CSV file that says which output of either network is which class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.images.concepts.csv_table import Row, read_csv
from prunescope.networks.class_names import class_key, keys_of

if TYPE_CHECKING:
    from prunescope.auditing.classes import Outputs


def read_class_map(
    path: Path, outputs: Mapping[str, Outputs]
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
    """Return the classes that a file names, and which output of each network they are.

    Args:
        path: CSV with the columns class, and one for each network: the name of its output, or else its number from 0.
        outputs: of each network, by the name of its column.

    Returns:
        The classes, and by network (classes,) its outputs.

    Raises:
        PrunescopeError: the file cannot be read, names fewer than two classes, an output that is not there, or
            a class or an output twice.
    """
    rows = read_csv(path, ["class", *outputs])
    names = tuple(row["class"].strip() for row in rows)
    if len(names) < 2:
        raise PrunescopeError(f"{path} names {len(names)} classes, and two or more are compared: one a line")
    _once(rows, "class", names)
    positions = {side: _outputs(rows, side, own) for side, own in outputs.items()}
    return names, positions


def _outputs(rows: Sequence[Row], side: str, own: Outputs) -> NDArray[np.int64]:
    names = own.names or ()
    known = {key: output for output, key in enumerate(keys_of(names)[0])}
    known |= {name: output for output, name in enumerate(names)}
    found = []
    for row in rows:
        text = row[side].strip()
        output = known.get(text, known.get(class_key(text)))
        if output is None and re.fullmatch(r"[0-9]{1,9}", text) and int(text) < own.count:
            output = int(text)
        if output is None:
            raise row.wrong(_no_output(text, side, own))
        found.append(output)
    _once(rows, side, found)
    return np.array(found)


def _no_output(text: str, side: str, own: Outputs) -> str:
    if own.names:
        expected = f"a name{did_you_mean(text, own.names)}, or a number from 0 to {own.count - 1}"
    else:
        expected = f"a number from 0 to {own.count - 1}, or --{side}-classes with the names of its outputs"
    return f"{text!r} is no output of the {side} network: expected {expected}"


def _once(rows: Sequence[Row], column: str, found: Sequence[object]) -> None:
    lines: dict[object, int] = {}
    for row, value in zip(rows, found, strict=True):
        if value == "":
            raise row.wrong(f"{column} is empty")
        if value in lines:
            raise row.wrong(
                f"{column} {row[column]!r} is there already, in line {lines[value]}, and two classes of one output "
                "could never be told apart"
            )
        lines[value] = row.line
