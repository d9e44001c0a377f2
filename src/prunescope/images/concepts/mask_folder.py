"""`masks:DIR`: images in DIR/images, and for each a mask in DIR/masks with the same stem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prunescope.errors import PrunescopeError, describe_os_error
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
from prunescope.images.concepts.csv_table import label_number, read_csv
from prunescope.images.concepts.known_labels import KNOWN_LABELS, VOID
from prunescope.images.concepts.mask_image import Coding, coding, image_size, read_mask, translated
from prunescope.images.digests import file_digests
from prunescope.images.folder import EXTENSIONS
from prunescope.images.source import ImageSet


@dataclass(frozen=True)
class Listed:
    """What mask values mean: value to concept, the value for void if there is one, where that is written."""

    concepts: dict[int, Concept]
    void: int | None
    where: str


@CONCEPT_SOURCES.register("masks")
def open_masks(argument: str, data: Path | None) -> ConceptSet:
    """Open images with one mask each; every image is annotated with every category of the list.

    Args:
        argument: the folder, and settings: `labels` is `voc`, `camvid` or a CSV file with the columns value,
            name and perhaps category (default: DIR/labels.csv, or else names such as "label 7"); `void` is
            the value of pixels without annotation (default: the list's own, or 255); `category` is that of
            labels which say none (default: object). The value 0 is nothing where the list has no name for it.
        data: the folder that relative paths start from.

    Raises:
        PrunescopeError: a folder is missing or empty, an image has no mask, or the list cannot be used; on
            asking for an annotation: the mask has another size than its image, or a value outside the list.
    """
    path, settings = path_and_settings("masks", argument, ("labels", "void", "category"))
    root = existing_folder(path, data)
    images = _images(f"masks:{argument}", root)
    masks = _masks(root, images.names)
    listed = _listed(root, settings, masks, data)
    concepts = tuple(listed.concepts.values())
    numbers = {value: number for number, value in enumerate(listed.concepts, start=1)}
    tables = {category: _coding(listed, numbers, category) for category in {c.category for c in concepts}}

    def annotation(index: int) -> Annotation:
        mask, size = masks[index], image_size(root / "images" / images.names[index])
        labels = read_mask(mask)
        if labels.shape != size:
            raise PrunescopeError(
                f"{mask} is {labels.shape[1]} x {labels.shape[0]} pixels, its image {images.names[index]} "
                f"{size[1]} x {size[0]}; they must have the same size"
            )
        return Annotation(
            masks={
                category: translated(labels, table, mask, listed.where)[None]
                for category, table in tables.items()
            }
        )

    digests = file_digests(root / "masks", [mask.name for mask in masks])
    return ConceptSet(
        source=f"masks:{argument}",
        concepts=concepts,
        images=images,
        annotation=annotation,
        fingerprint=hash_of(
            images.fingerprint, digests, named(concepts), sorted(numbers.items()), listed.void
        ),
        strata=np.zeros(len(images), dtype=np.int64),
    )


def _coding(listed: Listed, numbers: dict[int, int], category: str) -> Coding:
    """Return the table for the masks of one category: labels of the others are nothing there."""
    own = {v: n if listed.concepts[v].category == category else 0 for v, n in numbers.items()}
    return coding({0: 0} | own | ({} if listed.void is None else {listed.void: 0}))


def _images(source: str, root: Path) -> ImageSet:
    """Return the images directly in `root`/images, in the order of their names."""
    folder = existing_folder("images", root)
    try:
        names = sorted(
            file.name
            for file in folder.iterdir()
            if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".")
        )
    except OSError as error:
        raise describe_os_error(error, f"reading {folder}") from error
    if not names:
        raise PrunescopeError(f"{folder} has no images (files that end in {', '.join(sorted(EXTENSIONS))})")
    return images_below(source, folder, names)


def _masks(root: Path, names: Sequence[str]) -> list[Path]:
    """Return the mask of each image."""
    folder = existing_folder("masks", root)
    stems = [Path(name).stem for name in names]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise PrunescopeError(
            f"several images in {root / 'images'} share a name but for the ending: {first_ten(twice)}; "
            "each needs a mask of its own, so rename them"
        )
    masks = [folder / f"{stem}.png" for stem in stems]
    lacking = [name for name, mask in zip(names, masks, strict=True) if not mask.is_file()]
    if lacking:
        raise PrunescopeError(
            f"{len(lacking)} of {len(names)} images in {root / 'images'} have no mask in {folder}: "
            f"{first_ten(lacking)}; a mask is a PNG file with the name of its image"
        )
    return masks


def _listed(root: Path, settings: dict[str, str], masks: Sequence[Path], data: Path | None) -> Listed:
    """Return what the values of the masks mean."""
    category, labels = settings.get("category", "object"), settings.get("labels")
    void = _void(settings)
    if labels in KNOWN_LABELS:
        known = KNOWN_LABELS[labels]
        concepts = {v: Concept(category, name) for v, name in enumerate(known.names, start=known.first)}
        return Listed(concepts, known.void if void is None else void, f"labels={labels}")
    file = root / "labels.csv" if labels is None else (data or Path.cwd()) / Path(labels).expanduser()
    if file.is_file():
        concepts = _read_labels(file, category)
        return Listed(concepts, VOID if void is None and VOID not in concepts else void, str(file))
    if labels is not None:
        raise PrunescopeError(
            f"labels={labels}: expected {' or '.join(KNOWN_LABELS)}, or a CSV file, and {file} is not there"
        )
    void = VOID if void is None else void
    values = sorted(set[int]().union(*(np.unique(read_mask(mask)).tolist() for mask in masks)) - {0, void})
    if not values:
        raise PrunescopeError(f"no mask in {root / 'masks'} has a label: all pixels are 0 or {void} (void)")
    return Listed({value: Concept(category, f"label {value}") for value in values}, void, "the folder")


def _void(settings: dict[str, str]) -> int | None:
    void = settings.get("void")
    if void is None:
        return None
    number = label_number(void)
    if number is None:
        raise PrunescopeError(f"void={void}: expected the value of a mask, a whole number from 0 to 65535")
    return number


def _read_labels(file: Path, category: str) -> dict[int, Concept]:
    concepts: dict[int, Concept] = {}
    seen: set[Concept] = set()
    for row in read_csv(file, ("value", "name")):
        value = row.number("value")
        concept = row.concept(row.fields.get("category") or category, row["name"])
        if value in concepts:
            raise row.wrong(f"the value {value} is listed twice")
        if concept in seen:
            raise row.wrong(f"{concept} is listed twice")
        concepts[value] = concept
        seen.add(concept)
    if not concepts:
        raise PrunescopeError(f"{file} lists no labels; expected lines such as '7,car'")
    return concepts
