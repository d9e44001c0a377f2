"""Thumbnails of the images that a study's table `examples` names, for the cards of units."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from prunescope.images.augment import centre_crops
from prunescope.images.cache import cached
from prunescope.images.source import ImageSet
from prunescope.measures import all_measures
from prunescope.networks.preprocess import Preprocess
from prunescope.study.settings import MeasureChoice

FILE = Path("pictures", "thumbnails.parquet")
SIDE = 96  # pixels
QUALITY = 80


def thumbnails(images: ImageSet, names: set[str], preprocess: Preprocess) -> Iterator[tuple[str, bytes]]:
    """Yield the name and a JPEG of each of the named images: the part of it that the network sees."""
    pixels = cached(images, preprocess.resize, preprocess.interpolation)
    for index, name in enumerate(images.names):
        if name in names:
            (crop,) = centre_crops([pixels[index]], preprocess.crop)
            yield name, _jpeg(crop)


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def write_pictures(
    folder: Path,
    examples: pd.DataFrame | None,
    choices: Sequence[MeasureChoice],
    test: ImageSet,
    preprocess: Preprocess,
    data: Path | None,
) -> None:
    """Write one thumbnail of every image that is an example of a unit into `pictures/` of a study's folder.

    Args:
        examples: the study's table of that name, if it has one.
        choices: what the study measures; says which images each measure looked at.
        preprocess: what the networks see of an image.
    """
    path = folder / FILE
    if examples is None:
        path.unlink(missing_ok=True)
        return
    rows = []
    for choice in choices:
        names = set(examples.loc[examples["measure"] == choice.name, "image"])
        if names and (images_of := all_measures()[choice.name].pictures):
            images = images_of(choice.resolved(), test, data)
            rows += [(choice.name, *found) for found in thumbnails(images, names, preprocess)]
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f".{path.name}")
    pd.DataFrame(rows, columns=["measure", "image", "jpeg"]).to_parquet(draft, index=False)
    draft.replace(path)
