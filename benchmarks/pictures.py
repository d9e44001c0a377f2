"""The images that benchmarks use: Imagenette at 128 pixels where it is found, otherwise generated ones."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from prunescope.images.source import ImageSet, open_images

SIDE, CLASSES = 128, 10
GENERATED = 768


@contextmanager
def some_images() -> Iterator[tuple[ImageSet, Path]]:
    """Yield a set of images with the folder it lies in, and a cache folder of its own for the time being.

    Imagenette is looked for in `imagenette128` below $PRUNESCOPE_TEST_DATA or ../shared/data.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    found = Path(os.environ.get("PRUNESCOPE_TEST_DATA") or beside) / "imagenette128" / "train"
    before = os.environ.get("PRUNESCOPE_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PRUNESCOPE_CACHE"] = f"{folder}/cache"
        try:
            root = found if found.is_dir() else generated(Path(folder) / "images", GENERATED, SIDE, CLASSES)
            yield open_images(f"folder:{root}"), root
        finally:
            os.environ.pop("PRUNESCOPE_CACHE")
            if before is not None:
                os.environ["PRUNESCOPE_CACHE"] = before


def generated(root: Path, count: int, side: int, classes: int) -> Path:
    """Write `count` smooth random images, `<root>/<class>/<number>.jpg`."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = root / f"{number % classes:02d}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(path, quality=90)
    return root
