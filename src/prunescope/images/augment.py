"""Crops and random changes of training images, uint8 pixels to uint8 pixels, all chance from a generator.

numpy and Pillow do the work, not torch: its parallel kernels, called from the thread that prepares batches,
would compete with those of the training step for the same processors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

Images = NDArray[np.uint8]  # (images, height, width, 3), RGB

GREY = np.array([0.2989, 0.587, 0.114], dtype=np.float32)  # torchvision's weights of red, green, blue
TRIES = 10  # draws of a random_resized crop before it falls back to the centre; torchvision's number


class Augment(BaseModel):
    """How training images are changed at random. The defaults crop, scale and flip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop: Literal["random_resized", "random", "centre"] = Field(
        "random_resized",
        description="random_resized: a random part, scaled; random: a random place after padding; centre.",
    )
    scale: tuple[float, float] = Field(
        (0.35, 1.0), description="Smallest and largest part of the area (random_resized)."
    )
    ratio: tuple[float, float] = Field(
        (3 / 4, 4 / 3), description="Smallest and largest width / height of the part (random_resized)."
    )
    pad: int = Field(4, ge=0, description="Pixels reflected at every edge before the crop (random).")
    flip: float = Field(0.5, ge=0, le=1, description="Probability of a horizontal flip.")
    brightness: float = Field(0.0, ge=0, description="Brightness is multiplied by 1 ± up to this.")
    contrast: float = Field(0.0, ge=0, description="Contrast is multiplied by 1 ± up to this.")
    saturation: float = Field(0.0, ge=0, description="Saturation is multiplied by 1 ± up to this.")
    erase: float = Field(0.0, ge=0, le=1, description="Probability of painting over a random rectangle.")

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale must be two numbers with 0 < low <= high <= 1, and is {self.scale}")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio must be two numbers with 0 < low <= high, and is {self.ratio}")
        return self


def centre_crops(images: Sequence[NDArray[np.uint8]], crop: int) -> Images:
    """Cut the middle `crop` x `crop` pixels of each image, black where it is smaller, as torchvision does."""
    cut = np.zeros((len(images), crop, crop, 3), dtype=np.uint8)
    for place, image in zip(cut, images, strict=True):
        height, width = image.shape[:2]
        top, left = max(round((height - crop) / 2), 0), max(round((width - crop) / 2), 0)
        down, right = max((crop - height) // 2, 0), max((crop - width) // 2, 0)
        part = image[top : top + crop, left : left + crop]
        place[down : down + part.shape[0], right : right + part.shape[1]] = part
    return cut


def augmented(
    images: Sequence[NDArray[np.uint8]], crop: int, augment: Augment, rng: np.random.Generator
) -> Images:
    """Return the images changed as `augment` says: cropped, flipped, recoloured, erased, in this order."""
    if augment.crop == "random_resized":
        batch = _random_resized(images, crop, augment, rng)
    elif augment.crop == "random":
        batch = _random(images, crop, augment.pad, rng)
    else:
        batch = centre_crops(images, crop)
    _flip(batch, rng.random(len(batch)) < augment.flip)
    if augment.brightness or augment.contrast or augment.saturation:
        strengths = (augment.brightness, augment.contrast, augment.saturation)
        factors = [rng.uniform(max(0.0, 1 - by), 1 + by, len(batch)) for by in strengths]
        batch = recoloured(batch, *factors)
    if augment.erase:
        _erase(batch, augment.erase, rng)
    return batch


def _random_resized(
    images: Sequence[NDArray[np.uint8]], crop: int, augment: Augment, rng: np.random.Generator
) -> Images:
    batch = np.empty((len(images), crop, crop, 3), dtype=np.uint8)
    sizes = np.array([image.shape[:2] for image in images])
    boxes = random_boxes(sizes, augment.scale, augment.ratio, rng).tolist()
    for place, image, (top, left, height, width) in zip(batch, images, boxes, strict=True):
        part = Image.fromarray(image[top : top + height, left : left + width])
        place[:] = np.asarray(part.resize((crop, crop), Image.Resampling.BILINEAR))
    return batch


def random_boxes(
    sizes: NDArray[np.int64],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw a part of each image with a random area and shape, as torchvision's RandomResizedCrop does.

    Args:
        sizes: (images, 2) height and width of each.
        scale: range of the part's share of the area, drawn evenly.
        ratio: range of its width / height, drawn evenly on a logarithmic scale.
        rng: where all chance comes from.

    Returns:
        (images, 4) top, left, height and width. Where no draw fits: the largest central part that does.
    """
    full = sizes[:, None, :]  # (images, 1, 2)
    area = full.prod(axis=2) * rng.uniform(*scale, (len(sizes), TRIES))
    shape = np.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1]), (len(sizes), TRIES)))
    drawn = np.rint(np.stack([np.sqrt(area / shape), np.sqrt(area * shape)], axis=2))  # (images, tries, 2)
    fits = ((drawn > 0) & (drawn <= full)).all(axis=2)
    part = drawn[np.arange(len(sizes)), fits.argmax(axis=1)]
    fallback = np.clip(np.rint(sizes[:, ::-1] * [1 / ratio[0], ratio[1]]), 1, sizes)
    found = fits.any(axis=1, keepdims=True)
    part = np.where(found, part, fallback).astype(np.int64)
    corner = np.where(found, rng.integers(0, sizes - part, endpoint=True), (sizes - part) // 2)
    return np.concatenate([corner, part], axis=1)


def _random(images: Sequence[NDArray[np.uint8]], crop: int, pad: int, rng: np.random.Generator) -> Images:
    batch = np.empty((len(images), crop, crop, 3), dtype=np.uint8)
    for place, image in zip(batch, images, strict=True):
        edges = [max(pad, crop - side) for side in image.shape[:2]]
        wide = np.pad(image, [(edge, edge) for edge in edges] + [(0, 0)], mode="reflect")
        top, left = rng.integers(0, np.array(wide.shape[:2]) - crop, endpoint=True)
        place[:] = wide[top : top + crop, left : left + crop]
    return batch


def _flip(batch: Images, chosen: NDArray[np.bool_]) -> None:
    pixels = batch.view("V3")[..., 0]  # whole pixels are copied twice as fast as their channels
    pixels[chosen] = pixels[chosen][:, :, ::-1]


def recoloured(
    batch: Images,
    brightness: NDArray[np.floating],
    contrast: NDArray[np.floating],
    saturation: NDArray[np.floating],
) -> Images:
    """Multiply the brightness, contrast and saturation of each image by a factor of its own, each (images,).

    Differs: torchvision's ColorJitter shuffles the three; here their order is fixed, so that they are
    computed for the whole batch at once.
    """
    colours: NDArray[np.float32] = batch * _per_image(brightness)  # (images, height, width, 3)
    np.clip(colours, 0, 255, out=colours)
    middle = (colours @ GREY).mean(axis=(1, 2))
    _blend(colours, _per_image(middle), _per_image(contrast))
    _blend(colours, (colours @ GREY)[..., None], _per_image(saturation))
    return colours.astype(np.uint8)


def _per_image(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return values.astype(np.float32)[:, None, None, None]


def _blend(colours: NDArray[np.float32], other: NDArray[np.float32], share: NDArray[np.float32]) -> None:
    """Move `colours` in place to share * colours + (1 - share) * other, within 0 and 255."""
    colours -= other
    colours *= share
    colours += other
    np.clip(colours, 0, 255, out=colours)


def _erase(batch: Images, probability: float, rng: np.random.Generator) -> None:
    """Paint over 2 to 33 % of some images, in place.

    Differs: torchvision's RandomErasing comes after the normalisation and paints with zeros, the mean of the
    data set; here pixels are not normalised yet, and the image's own mean colour is used.
    """
    chosen = np.flatnonzero(rng.random(len(batch)) < probability)
    sizes = np.tile(batch.shape[1:3], (len(chosen), 1))
    boxes = random_boxes(sizes, (0.02, 0.33), (0.3, 3.3), rng).tolist()
    for index, (top, left, height, width) in zip(chosen, boxes, strict=True):
        image = batch[index]
        image[top : top + height, left : left + width] = image.mean(axis=(0, 1))
