"""Any set of concepts written in the folder format of Network Dissection; see `broden`."""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.images.concepts.broden import IMAGE_COLUMNS
from prunescope.images.concepts.concept_set import Annotation, ConceptSet
from prunescope.images.concepts.mask_image import write_mask


def write_broden(
    concepts: ConceptSet,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write images (as PNG), masks and lists to a new folder, which appears when it is whole.

    Args:
        concepts: what to write; `open_concepts(f"broden:{folder}")` reads the same annotations back.
        folder: where to; it must not exist, or be empty.
        progress: called with (images done, images in all).

    Raises:
        PrunescopeError: the folder is in use, an image or a mask cannot be read, or the folder not written.
    """
    try:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise PrunescopeError(f"{folder} is there already; choose another folder, or remove it")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".prunescope-", dir=folder.parent) as unfinished:
            new = Path(unfinished) / "broden"
            _Writer(concepts, new).write(progress)
            if folder.exists():
                folder.rmdir()
            new.rename(folder)
    except OSError as error:
        raise describe_os_error(error, f"writing {folder}") from error


class _Writer:
    """Writes one folder, counting how often each concept occurs."""

    def __init__(self, concepts: ConceptSet, folder: Path) -> None:
        self.concepts, self.folder = concepts, folder
        words = dict.fromkeys(concept.name for concept in concepts.concepts)
        self.number = {name: number for number, name in enumerate(words, start=1)}
        self.label_of = np.array(  # (concepts + 1,) from c + 1 to the number of its label
            [0, *(self.number[concept.name] for concept in concepts.concepts)], dtype=np.int64
        )
        self.images_with: Counter[int] = Counter()  # by concept
        self.coverage: Counter[int] = Counter()  # by concept: sum over images of the share of their pixels
        self.mentions: Counter[str] = Counter()  # by category: images with any label of it

    def write(self, progress: Callable[[int, int], None]) -> None:
        names = _png_names(self.concepts.images.names)
        rows = []
        for index, name in enumerate(names):
            rows.append(self._image(index, name))
            progress(index + 1, len(names))
        categories = self.concepts.categories
        self._table("index.csv", [*IMAGE_COLUMNS, *categories], rows)
        self._table("category.csv", ["name", "first", "last", "count", "frequency"], self._categories())
        fields = ["number", "name", "category", "frequency", "coverage", "syns"]
        self._table("label.csv", fields, self._labels())
        for category in categories:
            fields = ["code", "number", "name", "frequency", "coverage"]
            self._table(f"c_{category}.csv", fields, self._codes(category))

    def _image(self, index: int, name: str) -> list[object]:
        """Write an image with its masks, and return its line of index.csv."""
        pixels, found = self.concepts.images.decode(index), self.concepts.annotation(index)
        place = self.folder / "images" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            Image.fromarray(pixels).save(file, "PNG")
        self._count(found)
        cells = [self._cell(index, category, found) for category in self.concepts.categories]
        mask_size = next((mask.shape[1:] for mask in found.masks.values()), pixels.shape[:2])
        return [name, "val", *pixels.shape[:2], *mask_size, *cells]

    def _cell(self, index: int, category: str, found: Annotation) -> str:
        parts: list[str] = []
        for layer, mask in enumerate(found.masks.get(category, ())):
            file = f"masks/{index:06d}_{category}_{layer}.png"
            (self.folder / "images" / "masks").mkdir(exist_ok=True)
            write_mask(self.folder / "images" / file, self.label_of[mask])
            parts.append(file)
        if category in found.labels:
            parts += [str(self.label_of[c + 1]) for c in found.labels[category]] or ["0"]
        return ";".join(parts)

    def _count(self, found: Annotation) -> None:
        shares: Counter[int] = Counter({c: 1 for labels in found.labels.values() for c in labels})
        for mask in found.masks.values():
            shares.update(_shares(mask))
        self.images_with.update(shares.keys())
        self.coverage.update(shares)
        self.mentions.update({self.concepts.concepts[c].category for c in shares})

    def _of(self, category: str) -> list[int]:
        """Return the concepts of a category."""
        return [c for c, concept in enumerate(self.concepts.concepts) if concept.category == category]

    def _categories(self) -> Iterable[Sequence[object]]:
        for category in self.concepts.categories:
            numbers = [self.label_of[c + 1] for c in self._of(category)]
            yield [category, min(numbers), max(numbers), len(numbers), self.mentions[category]]

    def _labels(self) -> Iterable[Sequence[object]]:
        for name, number in self.number.items():
            own = [c for c, concept in enumerate(self.concepts.concepts) if concept.name == name]
            counts = [f"{self.concepts.concepts[c].category}({self.images_with[c]})" for c in own]
            frequency, coverage = (sum(of[c] for c in own) for of in (self.images_with, self.coverage))
            yield [number, name, ";".join(counts), frequency, f"{coverage:.6f}", ""]

    def _codes(self, category: str) -> Iterable[Sequence[object]]:
        for code, c in enumerate(self._of(category), start=1):
            frequency, coverage = self.images_with[c], self.coverage[c]
            yield [code, self.label_of[c + 1], self.concepts.concepts[c].name, frequency, f"{coverage:.6f}"]

    def _table(self, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        with (self.folder / name).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(header)
            table.writerows(rows)


def _png_names(names: Sequence[str]) -> list[str]:
    """Return the path of each image as a PNG file; the old ending stays where names would clash."""
    renamed = [Path(name).with_suffix(".png").as_posix() for name in names]
    return renamed if len(set(renamed)) == len(names) else [f"{name}.png" for name in names]


def _shares(mask: NDArray[np.uint16]) -> dict[int, float]:
    """Return the share of the pixels that each concept covers in any layer (layers, height, width)."""
    concepts = np.setdiff1d(mask, 0)
    return {int(c) - 1: float((mask == c).any(axis=0).mean()) for c in concepts}
