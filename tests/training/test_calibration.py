from __future__ import annotations

import numpy as np
import pytest
import torch

from prunescope.errors import PrunescopeError
from prunescope.images.cache import Pixels
from prunescope.networks.preprocess import Preprocess
from prunescope.training.calibration import draw
from prunescope.training.evaluation import LabelledPixels

SIDE, CROP = 12, 8
PREPROCESS = Preprocess(resize=SIDE, crop=CROP, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2))


@pytest.fixture(scope="module")
def images() -> LabelledPixels:
    """60 images of 12 pixels, of which the last 50 take part: 10, 15 and 25 of three classes."""
    flat = np.random.default_rng(0).integers(0, 256, 60 * SIDE * SIDE * 3, dtype=np.uint8)
    index = np.array([(SIDE, SIDE, i * SIDE * SIDE * 3) for i in range(60)])
    labels = np.repeat([0, 1, 2], [20, 15, 25])
    return LabelledPixels(Pixels(flat, index), labels, np.arange(10, 60))


def which(images: LabelledPixels, inputs: torch.Tensor) -> list[int]:
    """Find the images by the middle of them, computed one number at a time."""
    middle = slice((SIDE - CROP) // 2, (SIDE + CROP) // 2)
    known = {}
    for i in range(60):
        pixels = images.pixels[i][middle, middle].astype(np.float64)
        pixels = (pixels / 255 - np.array(PREPROCESS.mean)) / np.array(PREPROCESS.std)
        known[i] = torch.from_numpy(pixels.transpose(2, 0, 1)).float()
    return [next(i for i, image in known.items() if torch.allclose(image, x, atol=1e-5)) for x in inputs]


def test_classes_are_even_and_images_are_as_the_network_takes_them(images: LabelledPixels) -> None:
    drawn = draw(images, PREPROCESS, 12, seed=1)

    assert drawn.inputs.shape == (12, 3, CROP, CROP)
    assert drawn.inputs.dtype == torch.float32
    found = which(images, drawn.inputs)
    assert len(set(found)) == 12
    assert min(found) >= 10  # of those that take part
    assert drawn.labels.tolist() == images.labels[found].tolist()
    assert drawn.labels.bincount().tolist() == [4, 4, 4]


def test_the_seed_decides_and_more_images_are_these_and_others(images: LabelledPixels) -> None:
    few, again, other = (set(which(images, draw(images, PREPROCESS, 9, seed).inputs)) for seed in (1, 1, 2))
    assert few == again != other
    assert few < set(which(images, draw(images, PREPROCESS, 20, 1).inputs))
    assert set(which(images, draw(images, PREPROCESS, 50, 1).inputs)) == set(range(10, 60))


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (51, "a calibration set of 51 images cannot be drawn from 50: ask for at most 50"),
        (0, "must be at least 1, and is 0"),
    ],
)
def test_numbers_of_images_that_cannot_be_drawn(images: LabelledPixels, count: int, expected: str) -> None:
    with pytest.raises(PrunescopeError, match=expected):
        draw(images, PREPROCESS, count, 0)
