"""Masks as image files: the label of a pixel is its palette index or grey value, or red + 256 * green."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.images.concepts.concept_set import first_ten

VALUES = 2**16  # that red + 256 * green can have
UNKNOWN = -1
DIRECT = {"P", "L", "1", "I;16", "I;16B"}  # modes of Pillow whose value is the label

Coding = NDArray[np.int32]
"""(VALUES,) from the label in a file to the number in an annotation (0 or c + 1), or UNKNOWN."""


def coding(numbers: Mapping[int, int]) -> Coding:
    """Return the table that takes each label to its number, and all others to UNKNOWN."""
    table = np.full(VALUES, UNKNOWN, dtype=np.int32)
    table[list(numbers)] = list(numbers.values())
    return table


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width of an image file, from its header."""
    with _opened(path) as image:
        return image.height, image.width


def read_mask(path: Path) -> NDArray[np.int64]:
    """Return the labels in a mask, (height, width), from 0 to 65535.

    Raises:
        PrunescopeError: the file cannot be read, is damaged, or its pixels are no labels.
    """
    with _opened(path) as image:
        if image.mode not in DIRECT | {"RGB", "RGBA"}:
            raise PrunescopeError(
                f"{path} has pixels of the kind {image.mode!r}; a mask is a PNG with a palette, grey, or RGB "
                "(label = red + 256 * green)"
            )
        pixels = _decoded(image, path).astype(np.int64)
    return pixels if pixels.ndim == 2 else pixels[..., 0] + 256 * pixels[..., 1]


def read_marked(path: Path) -> NDArray[np.bool_]:
    """Return where the pixels of a mask are not 0, (height, width): not black, or not index 0 of a palette.

    Raises:
        PrunescopeError: the file cannot be read, or is damaged.
    """
    with _opened(path) as image:
        marked = np.asarray(_decoded(image, path) != 0)
        colours = len(image.getbands()) - image.mode.endswith("A")  # how opaque a pixel is marks nothing
    return marked if marked.ndim == 2 else np.asarray(marked[..., :colours].any(axis=2))


def translated(labels: NDArray[np.int64], table: Coding, path: Path, listed: str) -> NDArray[np.uint16]:
    """Return the labels of the mask in `path` as numbers of an annotation, of the same shape.

    Raises:
        PrunescopeError: there is a label that the table does not know; `listed` says where those it knows are.
    """
    numbers = table[labels]
    if (numbers == UNKNOWN).any():
        strange = np.unique(labels[numbers == UNKNOWN]).tolist()
        raise PrunescopeError(
            f"{path} holds labels that {listed} does not list: {first_ten(strange)}; "
            "add them to the list, or mend the mask"
        )
    return numbers.astype(np.uint16)


def write_mask(path: Path, labels: NDArray[np.integer]) -> None:
    """Write labels, (height, width), as red + 256 * green of a PNG that must not exist yet."""
    pixels = np.stack([labels % 256, labels // 256, np.zeros_like(labels)], axis=2).astype(np.uint8)
    with path.open("xb") as file:
        Image.fromarray(pixels).save(file, "PNG")


def _decoded(image: Image.Image, path: Path) -> NDArray[np.generic]:
    try:
        return np.asarray(image)
    except Exception as error:  # a damaged file makes Pillow raise almost anything
        raise PrunescopeError(f"cannot decode {path}: {error}; replace it") from error


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except UnidentifiedImageError as error:
        raise PrunescopeError(f"{path} is not an image that Pillow can read; replace it") from error
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
    except Exception as error:
        raise PrunescopeError(f"cannot read {path}: {error}; replace it") from error
