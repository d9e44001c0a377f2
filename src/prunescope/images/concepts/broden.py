"""`broden:DIR`: the folder format of Network Dissection (Bau et al. 2017).

`index.csv` has a line per image: its path below `images`, its size, the size of its masks, and a cell for each
category with, between semicolons, paths of masks (one a layer) or numbers of labels of the whole image. An
empty cell means that the image is not annotated with the category. A label has one number in all categories:
`label.csv` names it, `c_<category>.csv` lists those of a category, `category.csv` lists the categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError
from prunescope.images.concepts.arguments import existing_folder, path_and_settings
from prunescope.images.concepts.concept_set import (
    CONCEPT_SOURCES,
    Annotation,
    Concept,
    ConceptSet,
    first_ten,
    hash_of,
    images_below,
    named,
)
from prunescope.images.concepts.csv_table import Row, label_number, read_csv
from prunescope.images.concepts.mask_image import coding, image_size, read_mask, translated
from prunescope.images.digests import file_digests
from prunescope.images.source import ImageSet

IMAGE_COLUMNS = ("image", "split", "ih", "iw", "sh", "sw")

Numbers = dict[str, dict[int, int]]  # category to label number to c + 1, and 0 to 0


@dataclass(frozen=True)
class Entry:
    """A line of index.csv: sizes are (height, width), paths relative to `images`."""

    image: str
    size: tuple[int, int]
    mask_size: tuple[int, int]
    masks: dict[str, list[str]]
    labels: dict[str, tuple[int, ...]]


@CONCEPT_SOURCES.register("broden")
def open_broden(argument: str, data: Path | None) -> ConceptSet:
    """Open a folder in the format of Broden; all its lines count, whatever their split.

    Raises:
        PrunescopeError: a file is missing or contradicts another, or a path leads outside the folder; on asking
            for an annotation: an image or mask has another size than index.csv says, or an unlisted label.
    """
    root = existing_folder(path_and_settings("broden", argument, ())[0], data)
    concepts, numbers = _concepts(root)
    entries = _entries(root, numbers)
    mask_files = [file for entry in entries for files in entry.masks.values() for file in files]
    images = _images(f"broden:{argument}", root / "images", entries, mask_files)
    tables = {category: coding(known) for category, known in numbers.items()}

    def layers(entry: Entry, category: str) -> NDArray[np.uint16]:
        read = []
        for path in (root / "images" / file for file in entry.masks[category]):
            labels = read_mask(path)
            _check_size(path, labels.shape, entry.mask_size, "sh x sw")
            read.append(translated(labels, tables[category], path, f"c_{category}.csv"))
        return np.stack(read)

    def annotation(index: int) -> Annotation:
        entry = entries[index]
        path = root / "images" / entry.image
        _check_size(path, image_size(path), entry.size, "ih x iw")
        masks = {category: layers(entry, category) for category in entry.masks}
        return Annotation(masks, entry.labels, None if entry.size == entry.mask_size else entry.size)

    text = ["index.csv", "label.csv", *(f"c_{category}.csv" for category in numbers)]
    digests = file_digests(root, text) + file_digests(root / "images", mask_files)
    return ConceptSet(
        source=f"broden:{argument}",
        concepts=concepts,
        images=images,
        annotation=annotation,
        fingerprint=hash_of(images.fingerprint, digests, named(concepts)),
        strata=_by_origin(entries),
    )


def _concepts(root: Path) -> tuple[tuple[Concept, ...], Numbers]:
    """Return the concepts of all categories, and how each category's labels number them."""
    names = _names(root / "label.csv")
    concepts: list[Concept] = []
    numbers: Numbers = {}
    for line in read_csv(root / "category.csv", ("name",)):
        category = line["name"]
        if category in numbers or category in IMAGE_COLUMNS:
            raise line.wrong(f"{category!r} is listed twice, or is the name of another column of index.csv")
        line.concept(category, "any")  # refuses what cannot be part of a file's name
        numbers[category] = {0: 0}
        for row in read_csv(root / f"c_{category}.csv", ("number",)):
            number = row.number("number")
            if number in numbers[category] or number not in names:
                raise row.wrong(f"label {number} is listed twice, is 0, or is not in label.csv")
            concepts.append(row.concept(category, names[number]))
            numbers[category][number] = len(concepts)
    if not concepts:
        raise PrunescopeError(f"{root / 'category.csv'} lists no categories with labels")
    return tuple(concepts), numbers


def _names(path: Path) -> dict[int, str]:
    """Return the name of each label number."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    for row in read_csv(path, ("number", "name")):
        number, name = row.number("number"), row["name"]
        if number in names or name in taken:
            raise row.wrong(f"number {number} or name {name!r} is listed twice")
        names[number] = name
        taken.add(name)
    return names


def _entries(root: Path, numbers: Numbers) -> list[Entry]:
    entries: dict[str, Entry] = {}
    for row in read_csv(root / "index.csv", (*IMAGE_COLUMNS, *numbers)):
        image = _inside(row, row["image"])
        if image in entries:
            raise row.wrong(f"image {image!r} is listed twice")
        ih, iw, sh, sw = (row.number(column) for column in IMAGE_COLUMNS[2:])
        masks: dict[str, list[str]] = {}
        labels: dict[str, tuple[int, ...]] = {}
        for category, known in numbers.items():
            cell = [part.strip() for part in row[category].split(";") if part.strip()]
            whole = [part for part in cell if part.isdecimal()]
            if paths := [_inside(row, part) for part in cell if not part.isdecimal()]:
                masks[category] = paths
            if whole:
                labels[category] = _labels(row, category, whole, known)
        entries[image] = Entry(image, (ih, iw), (sh, sw), masks, labels)
    if not entries:
        raise PrunescopeError(f"{root / 'index.csv'} lists no images")
    return list(entries.values())


def _labels(row: Row, category: str, given: Sequence[str], known: dict[int, int]) -> tuple[int, ...]:
    """Return the concepts of the labels of a whole image; 0 says that it has none of the category."""
    found = [label_number(text) for text in given]
    unknown = [text for text, number in zip(given, found, strict=True) if number not in known]
    if unknown:
        raise row.wrong(f"{category} has labels that c_{category}.csv does not list: {first_ten(unknown)}")
    return tuple(known[number] - 1 for number in found if number)


def _inside(row: Row, text: str) -> str:
    """Return a relative path that stays inside its folder, on any system."""
    path = PureWindowsPath(text)  # which knows both kinds of slashes, and drives
    if path.anchor or ".." in path.parts or not path.name or "\0" in text:
        raise row.wrong(f"{text!r} is no path of a file inside the folder images")
    return text


def _images(source: str, folder: Path, entries: Sequence[Entry], masks: Sequence[str]) -> ImageSet:
    names = tuple(entry.image for entry in entries)
    missing = [file for file in (*names, *masks) if not (folder / file).is_file()]
    if missing:
        raise PrunescopeError(
            f"{len(missing)} files that index.csv lists are not in {folder}: {first_ten(missing)}; "
            "the folder is incomplete, so copy or unpack it again"
        )
    return images_below(source, folder, names)


def _by_origin(entries: Sequence[Entry]) -> NDArray[np.int64]:
    """Return the group of each image, (images,): the data set that it came from, its folder."""
    folders = [str(Path(entry.image).parent) for entry in entries]
    return np.unique(folders, return_inverse=True)[1].astype(np.int64)


def _check_size(path: Path, found: tuple[int, ...], expected: tuple[int, int], columns: str) -> None:
    if found != expected:
        raise PrunescopeError(
            f"{path} is {found[0]} high and {found[1]} wide; index.csv says {expected[0]} x {expected[1]} "
            f"({columns})"
        )
