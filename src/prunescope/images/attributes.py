"""Attributes of images, of a CSV file of the user's or known to their source, and the groups that they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError, did_you_mean, some
from prunescope.images.concepts.csv_table import Row, read_csv
from prunescope.images.kept import kept, place_of
from prunescope.images.source import ImageSet

OWN = "own"
NOT_KNOWN = "not known"
FEW = 8  # values of a number that are groups as they are; more are cut into quantiles
MOST_KINDS = 50  # of a text; more are names or remarks, not groups
_MISSING = {"", "na", "n/a", "nan", "null"}
_NO_NUMBER = {*_MISSING, "none", NOT_KNOWN}  # among texts, "none" is a kind: none, some, many
_FILE = "attributes.parquet"

Key = Callable[[str], str]
KEYS: dict[str, Key] = {  # how a name of the CSV can be that of an image, the strictest first
    "the whole path": lambda name: name,
    "the last folder and the file's name": lambda name: "/".join(name.split("/")[-2:]),
    "the file's name": lambda name: name.split("/")[-1],
    "the file's name without its ending": lambda name: PurePosixPath(name).stem,
}


@dataclass(frozen=True)
class Grouping:
    """The groups that one attribute divides images into.

    Attributes:
        codes: (images,) index into `groups`.
        groups: their names, in an order that makes sense; the last may be `NOT_KNOWN`.
    """

    attribute: str
    codes: NDArray[np.int64]
    groups: tuple[str, ...]


def own_attributes(images: ImageSet, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return what the source of the images knows of each, one row an image; computed once and kept.

    An attribute that is the same for all images is left out, unless `columns` names it, which is an error.

    Raises:
        PrunescopeError: the source knows nothing of its images, or not what `columns` names.
    """
    describe = images.attributes
    if describe is None:
        raise PrunescopeError(
            f"{images.source!r} knows no attributes of its images: give the path of a CSV file with one row an image"
        )

    def write(folder: Path) -> None:
        rows = [dict(describe(index)) for index in range(len(images))]
        pd.DataFrame(rows).to_parquet(folder / _FILE, index=False)

    table = kept(place_of("attributes", {"images": images.fingerprint}), _load, write)
    if columns is None:
        columns = [str(name) for name in table if table[name].nunique() > 1]
    return _chosen(table, columns, f"what {images.source!r} knows of its images")


def _load(place: Path) -> pd.DataFrame | None:
    try:
        return pd.read_parquet(place / _FILE)
    except (OSError, ValueError):  # not there, or damaged
        return None


def read_attributes(
    path: Path,
    images: Sequence[str],
    columns: Sequence[str] | None = None,
    image_column: str | None = None,
) -> pd.DataFrame:
    """Return the attributes of images from a CSV file with a header, one row an image in the order of `images`.

    A row is of the image that it names by its path (relative to the source's folder) or less, in the first way of
    `KEYS` by which every image has a row and no two images share a name. Their folders must not contradict each
    other, as those of dog/1.png and cat/1.png do. Rows of other images are left aside.
    A column whose known cells are all finite numbers holds numbers. Empty cells, NA, NaN and null are not known;
    None is not among numbers, and a kind like others among texts.

    Args:
        images: their names.
        columns: the attributes wanted (default: all columns but that of the images).
        image_column: names the image (default: the first).

    Returns:
        One column an attribute: numbers, or text; NaN or None where not known.

    Raises:
        PrunescopeError: the file cannot be read, has no rows or an unknown column; an image has no row, two, or
            one of another folder; a column with a single value, or a text with too many to be groups.
    """
    rows = read_csv(path, [image_column] if image_column else [])
    if not rows:
        raise PrunescopeError(f"{path} has no rows: it needs a header and one row an image")
    header = list(rows[0].fields)
    if len(header) < 2:
        raise PrunescopeError(
            f"{path} has only the column {header[0]!r}: expected one that names the image and one or more attributes, "
            "separated by commas"
        )
    named_by = image_column or header[0]
    found = _match(path, rows, named_by, images)
    wanted = [name for name in header if name != named_by] if columns is None else columns
    if named_by != "image" and "image" in wanted:
        raise PrunescopeError(
            f"{path} names the images in {named_by!r} and has another column 'image', which is what the tables call "
            "their names: set image_column to 'image' if it names them, else rename it or leave it out of the columns"
        )
    table = pd.DataFrame({name: _values([row[name] for row in found]) for name in header if name != named_by})
    return _chosen(table, wanted, str(path))


def _match(path: Path, rows: Sequence[Row], column: str, images: Sequence[str]) -> list[Row]:
    """Return the row of each image."""
    given = [_plain(row[column]) for row in rows]
    wanted = [_plain(name) for name in images]
    missing: dict[str, list[str]] = {}
    for how, key in KEYS.items():
        if how != "the whole path" and len({key(name) for name in wanted}) < len(wanted):
            continue  # two images of one name
        keys = [key(name) for name in given]
        place = {key: number for number, key in enumerate(keys)}
        lacking = [name for name in wanted if key(name) not in place]
        if not lacking:
            _no_image_twice(path, rows, keys, {key(name) for name in wanted})
            found = [place[key(name)] for name in wanted]
            _same_folders(path, [(rows[at].line, given[at]) for at in found], wanted)
            return [rows[at] for at in found]
        missing[how] = lacking
    fewest = min(missing.values(), key=len)
    raise PrunescopeError(
        f"{len(fewest)} of {len(wanted)} images have no row in {path}: {some(fewest)}; its column {column!r} names "
        f"{some([repr(name) for name in given])}. Give each image by its path below the source's folder, or by its "
        "file's name where that is unique; another column can be named with image_column"
    )


def _plain(name: str) -> str:
    return name.strip().replace("\\", "/").removeprefix("./")


def _same_folders(path: Path, found: Sequence[tuple[int, str]], wanted: Sequence[str]) -> None:
    """Refuse rows and images whose folders contradict each other: the shorter path must end the longer one."""
    for (line, row), image in zip(found, wanted, strict=True):
        one, other = (PurePosixPath(name).parent.parts[::-1] for name in (row, image))
        if any(mine != its for mine, its in zip(one, other, strict=False)):
            raise PrunescopeError(
                f"{path}, line {line}: {row!r} has the file name of the image {image!r}, and another folder: "
                "give each image by its path below the source's folder, or by its file's name without any folder"
            )


def _no_image_twice(path: Path, rows: Sequence[Row], keys: Sequence[str], wanted: set[str]) -> None:
    twice = [key for key, count in Counter(keys).items() if count > 1 and key in wanted]
    if twice:
        first, second, *_ = (row.line for row, key in zip(rows, keys, strict=True) if key == twice[0])
        raise PrunescopeError(
            f"{path} has {len(twice)} images more than once, first {twice[0]!r} in lines {first} and {second}: "
            "keep one row of each"
        )


def _values(cells: Sequence[str]) -> pd.Series:
    """Return cells as numbers if all that are known are, else as text."""
    plain = [cell.strip() for cell in cells]
    try:
        numbers = [np.nan if cell.lower() in _NO_NUMBER else _number(cell) for cell in plain]
    except ValueError:
        numbers = [np.nan]
    if not np.isnan(numbers).all():
        return pd.Series(numbers, dtype=float)
    return pd.Series(
        [None if cell.lower() in {*_MISSING, NOT_KNOWN} else cell for cell in plain], dtype=object
    )


def _number(cell: str) -> float:
    """Return a finite number; Python would take inf and 1_0 as well."""
    number = float(cell)
    if "_" in cell or not np.isfinite(number):
        raise ValueError(cell)
    return number


def _chosen(table: pd.DataFrame, columns: Sequence[str], where: str) -> pd.DataFrame:
    """Return the named columns, each of which must be able to divide the images."""
    columns, known = list(dict.fromkeys(columns)), [str(name) for name in table]
    for name in columns:
        if name not in table:
            raise PrunescopeError(
                f"no attribute {name!r} in {where}{did_you_mean(name, known)}; known: {', '.join(known)}"
            )
        _divides(table[name], where)
    if not columns:
        raise PrunescopeError(f"{where} has no attribute in which the images differ")
    return table[columns]


def _divides(values: pd.Series, where: str) -> None:
    kinds = values.nunique()
    if kinds < 2:
        only = "no value" if kinds == 0 else f"one value, {values.dropna().iloc[0]!r},"
        raise PrunescopeError(
            f"attribute {values.name!r} in {where} has {only} for all images, so it makes no groups: "
            "leave it out of the columns"
        )
    if not pd.api.types.is_numeric_dtype(values) and kinds > MOST_KINDS:
        raise PrunescopeError(
            f"attribute {values.name!r} in {where} has {kinds} different texts, too many for groups (at most "
            f"{MOST_KINDS}): name the attributes that are wanted with columns"
        )


def group(values: pd.Series, bins: int) -> Grouping:
    """Divide images by one attribute.

    Args:
        values: (images,) numbers or text. Up to 8 different numbers, and all texts, are groups as they are; more
            numbers are cut at the quantiles into at most `bins` groups, a value on an edge falling below it.

    Returns:
        Numbers ascending, texts by the alphabet, those not known last.
    """
    known = values.notna().to_numpy()
    if not pd.api.types.is_numeric_dtype(values):
        names, codes = np.unique(values[known].astype(str), return_inverse=True)
        groups = [str(name) for name in names]
    elif values.nunique() <= FEW:
        numbers, codes = np.unique(values[known].to_numpy(float), return_inverse=True)
        groups = [f"{number:g}" for number in numbers]
    else:
        groups, codes = _quantiles(values[known].to_numpy(float), bins)
    found = np.full(len(values), len(groups))
    found[known] = codes
    return Grouping(str(values.name), found, (*groups, *([] if known.all() else [NOT_KNOWN])))


def _quantiles(numbers: NDArray[np.float64], bins: int) -> tuple[list[str], NDArray[np.int64]]:
    inner = np.quantile(numbers, np.arange(1, bins) / bins, method="higher")
    edges = np.unique(inner[inner < numbers.max()])  # many equal values make fewer groups
    if not len(edges):  # nearly all have the highest value: these, and the others
        edges = np.unique(numbers)[-2:-1]
    codes = np.searchsorted(edges, numbers, side="left")
    members = [numbers[codes == code] for code in range(len(edges) + 1)]
    names: list[str] = []
    for digits in range(3, 18):  # as few as tell them apart
        names = [_span(own.min(), own.max(), digits) for own in members]
        if len(set(names)) == len(names):
            break
    return names, codes


def _span(low: float, high: float, digits: int) -> str:
    return f"{low:.{digits}g}" if low == high else f"{low:.{digits}g} to {high:.{digits}g}"
