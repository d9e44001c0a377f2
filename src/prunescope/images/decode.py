"""One image file to pixels, and its short side to a given length: as torchvision does with Pillow images."""

from __future__ import annotations

import io
import threading
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from prunescope.errors import PrunescopeError, describe_os_error

Interpolation = Literal["bilinear", "bicubic"]
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# Filters for warnings belong to the whole process: two threads that set and restore them would mix them up.
_FILTERING_WARNINGS = threading.Lock()


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode an image file to (height, width, 3), uint8 RGB.

    Greyscale is repeated, palettes are looked up, transparency is dropped (the colour below it stays), CMYK
    is converted, 16 bits are scaled to 8; of several frames the first counts. As in torchvision, the
    orientation in EXIF is not applied.

    Raises:
        PrunescopeError: the file cannot be read, is damaged, too large, or of a kind without a defined scale.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise describe_os_error(error, f"reading image {path}") from error
    try:
        return to_rgb(_open(content))
    except BOMB as error:
        raise PrunescopeError(f"{path} is too large: {error}; scale it down or remove it") from error
    except UnidentifiedImageError as error:
        raise PrunescopeError(f"{path} is not an image that Pillow can read; replace or remove it") from error
    except Exception as error:  # a damaged file makes Pillow raise almost anything
        raise PrunescopeError(f"cannot decode {path}: {error}; replace or remove it") from error


def _open(content: bytes) -> Image.Image:
    with _FILTERING_WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(io.BytesIO(content))


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of `image`, (height, width, 3), uint8 RGB; see `read_image`.

    Raises:
        ValueError: the mode says nothing about which value is white.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in {"PNG", "PPM"}):
        deep = np.asarray(image).astype(np.uint32)
        grey = ((deep * 255 + 32767) // 65535).astype(np.uint8)  # Pillow's own conversion clips at 255
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in {"I", "F"}:
        kind = "32-bit integers" if image.mode == "I" else "floating-point numbers"
        raise ValueError(f"its pixels are {kind}, which have no agreed white; convert it to 8 bits a channel")
    if image.mode == "P":
        image = image.convert("RGBA")  # straight to RGB, Pillow warns about transparency in palettes
    return np.asarray(image.convert("RGB"))


def resize_short_side(
    pixels: NDArray[np.uint8], short: int, interpolation: Interpolation
) -> NDArray[np.uint8]:
    """Scale an image to a short side of `short` pixels, exactly as torchvision's Resize does with Pillow.

    Args:
        pixels: (height, width, 3), uint8.
        short: length of the short side; the long one is cut, not rounded, to whole pixels.
        interpolation: the filter of Pillow, which widens it when it makes images smaller (no aliasing).
    """
    height, width = resized_size(pixels.shape[:2], short)
    if (height, width) == pixels.shape[:2]:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), FILTERS[interpolation]))


def resized_size(size: tuple[int, ...], short: int | None) -> tuple[int, int]:
    """Return the (height, width) of an image that is scaled to a short side; None leaves it as it is."""
    height, width = size
    if short is None or min(height, width) == short:
        return height, width
    return (short, int(short * width / height)) if height < width else (int(short * height / width), short)
