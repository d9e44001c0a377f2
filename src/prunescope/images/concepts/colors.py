"""`colors`: the eleven basic colour names of every pixel, computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError
from prunescope.images.concepts.concept_set import (
    COMPUTED_CONCEPTS,
    Annotation,
    Compute,
    Concept,
    ConceptSet,
    hash_of,
)
from prunescope.images.digests import digest_of
from prunescope.images.scenes.concepts import COLORS

CATEGORY = "color"
CELLS = 32  # of a table along each of red, green and blue; a cell is 8 values wide

Table = NDArray[np.uint8]
"""(CELLS, CELLS, CELLS): red, green, blue in steps of 8 to an index into COLORS."""


@COMPUTED_CONCEPTS.register("colors")
def open_colors(argument: str, data: Path | None) -> Compute:
    """Name the colours of all images: `colors` by a rule of our own, `colors:FILE.npy` by a table.

    A table is (32, 32, 32) whole numbers: red, green, blue in steps of 8 to black, blue, brown, grey, green,
    orange, pink, purple, red, white, yellow, from 0.

    Raises:
        PrunescopeError: the file cannot be read, or is no such table.
    """
    file = (data or Path.cwd()) / Path(argument).expanduser()
    table = _read_table(file) if argument else named_by_hue()
    return lambda concepts: with_colors(concepts, table)


def with_colors(concepts: ConceptSet, table: Table) -> ConceptSet:
    """Return the set with a mask of colours for each image; one whose source names colours keeps those.

    The original pixels are named, not the resized ones: resizing blends the colours along every edge to
    others that are in neither surface.
    """
    everything = tuple(dict.fromkeys((*concepts.concepts, *(Concept(CATEGORY, name) for name in COLORS))))
    numbers = np.array([everything.index(Concept(CATEGORY, name)) + 1 for name in COLORS], dtype=np.uint16)

    def annotation(index: int) -> Annotation:
        found = concepts.annotation(index)
        if CATEGORY in found.categories:
            return found
        pixels = concepts.images.decode(index)
        for mask in found.masks.values():  # all of one size, perhaps not the image's
            pixels = _nearest(pixels, mask.shape[1:])
        red, green, blue = np.moveaxis(pixels >> 3, -1, 0)
        return replace(found, masks={**found.masks, CATEGORY: numbers[table[red, green, blue]][None]})

    return replace(
        concepts,
        source=f"{concepts.source} + colors",
        concepts=everything,
        annotation=annotation,
        fingerprint=hash_of(concepts.fingerprint, digest_of(table.tobytes())),
    )


def named_by_hue() -> Table:
    """Return the table that names colours by hue (degrees), saturation and value of the middle of each cell.

    The bounds were set so that most cells bear the name that people give them (van de Weijer et al. 2009,
    Learning Color Names for Real-World Applications): 86 % of the cells do.
    """
    middle = (np.arange(CELLS) * 8 + 4) / 255
    red, green, blue = np.meshgrid(middle, middle, middle, indexing="ij")
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    saturation = chroma / value
    with np.errstate(divide="ignore", invalid="ignore"):  # of greys, whose hue is not looked at
        hue = 60 * np.select(
            [value == red, value == green],
            [(green - blue) / chroma % 6, (blue - red) / chroma + 2],
            (red - green) / chroma + 4,
        )
    pale = saturation < 0.45
    rules = (  # the first that holds
        ((value < 0.15) | ((value < 0.3) & pale), "black"),
        ((saturation < 0.18) & (value > 0.75), "white"),
        (saturation < 0.18, "grey"),
        ((hue >= 10) & (hue < 38) & (pale | (value < 0.45)), "brown"),
        ((hue < 50) & (value < 0.55) & (pale | (hue >= 10)), "brown"),
        (((hue < 10) | (hue >= 322)) & pale, "pink"),
        (hue < 10, "red"),
        (hue < 38, "orange"),
        (hue < 73, "yellow"),
        (hue < 175, "green"),
        (hue < 250, "blue"),
        (hue < 322, "purple"),
        (hue < 347, "pink"),
        (hue >= 347, "red"),
    )
    return np.select([where for where, _ in rules], [COLORS.index(name) for _, name in rules]).astype(
        np.uint8
    )


def _read_table(path: Path) -> Table:
    try:
        table: NDArray[np.integer] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise PrunescopeError(f"cannot read the colour table {path}: {error}") from error
    if not (
        isinstance(table, np.ndarray)
        and table.shape == (CELLS,) * 3
        and np.issubdtype(table.dtype, np.integer)
        and table.min() >= 0
        and table.max() < len(COLORS)
    ):
        raise PrunescopeError(
            f"{path} is no colour table: expected {CELLS} x {CELLS} x {CELLS} whole numbers from 0 to "
            f"{len(COLORS) - 1}, red, green and blue in steps of 8 to {', '.join(COLORS)}"
        )
    return table.astype(np.uint8)


def _nearest(pixels: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the pixels at the centres of a grid of another size that covers the same image."""
    if pixels.shape[:2] == size:
        return pixels
    rows, columns = (
        ((np.arange(n) + 0.5) * old / n).astype(np.int64) for n, old in zip(size, pixels.shape, strict=False)
    )
    sampled: NDArray[np.uint8] = pixels[rows[:, None], columns]
    return sampled
