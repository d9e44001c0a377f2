from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from prunescope.images.augment import Augment, augmented, centre_crops, random_boxes, recoloured
from prunescope.networks.operators import torchvision

STILL = Augment(crop="centre", flip=0)


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def channels_first(images: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(images).movedim(-1, -3)


@settings(deadline=None)
@given(height=st.integers(1, 12), width=st.integers(1, 12), crop=st.integers(1, 12))
def test_centre_crop_is_that_of_torchvision(height: int, width: int, crop: int) -> None:
    image = noise(height, width, 3)
    expected = torchvision.transforms.CenterCrop(crop)(channels_first(image))
    assert torch.equal(channels_first(centre_crops([image], crop)[0]), expected)


def test_random_boxes_are_spread_like_those_of_torchvision() -> None:
    size, scale, ratio, draws = (90, 120), (0.35, 1.0), (3 / 4, 4 / 3), 4000
    image = torch.empty(3, *size)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draw = torchvision.transforms.RandomResizedCrop.get_params
        theirs = np.array([draw(image, list(scale), list(ratio)) for _ in range(draws)])
    ours = random_boxes(np.tile(size, (draws, 1)), scale, ratio, np.random.default_rng(0))

    for one, other in zip(ours.T, theirs.T, strict=True):  # top, left, height, width
        values = np.arange(121)
        spread = [np.searchsorted(np.sort(column), values, side="right") / draws for column in (one, other)]
        assert abs(spread[0] - spread[1]).max() < 1.95 * np.sqrt(2 / draws)  # Kolmogorov-Smirnov at .001


@pytest.mark.parametrize("size", [(10, 200), (200, 10), (1, 1)])
def test_where_no_box_fits_it_is_the_central_one_of_torchvision(size: tuple[int, int]) -> None:
    scale = (1.0, 1.0)
    expected = torchvision.transforms.RandomResizedCrop.get_params(
        torch.empty(3, *size), [*scale], [0.75, 4 / 3]
    )
    boxes = random_boxes(np.array([size]), scale, (0.75, 4 / 3), np.random.default_rng(0))
    assert boxes.tolist() == [list(expected)]


@given(
    sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=8),
    seed=st.integers(0, 1000),
)
def test_boxes_lie_within_their_images(sizes: list[tuple[int, int]], seed: int) -> None:
    boxes = random_boxes(np.array(sizes), (0.08, 1), (0.5, 2), np.random.default_rng(seed))
    for (top, left, height, width), (full_height, full_width) in zip(boxes, sizes, strict=True):
        assert 0 <= top < top + height <= full_height
        assert 0 <= left < left + width <= full_width


def test_random_resized_pixels_are_those_of_pillow() -> None:
    images = [noise(30 + i, 40 - i, 3, seed=i) for i in range(6)]
    batch = augmented(images, 16, Augment(flip=0), np.random.default_rng(5))

    sizes = np.array([image.shape[:2] for image in images])
    boxes = random_boxes(sizes, (0.35, 1.0), (3 / 4, 4 / 3), np.random.default_rng(5)).tolist()
    for made, image, box in zip(batch, images, boxes, strict=True):
        crop = torchvision.transforms.functional.resized_crop
        np.testing.assert_array_equal(made, np.asarray(crop(Image.fromarray(image), *box, [16, 16])))


def test_random_crop_is_a_window_of_the_padded_image() -> None:
    image = noise(8, 8, 3)
    wide = np.pad(image, ((3, 3), (3, 3), (0, 0)), mode="reflect")
    windows = {wide[top : top + 8, left : left + 8].tobytes() for top in range(7) for left in range(7)}
    batch = augmented([image] * 400, 8, Augment(crop="random", pad=3, flip=0), np.random.default_rng(0))
    assert {crop.tobytes() for crop in batch} == windows


def test_random_crop_fills_images_that_are_too_small() -> None:
    batch = augmented([noise(2, 5, 3)], 9, Augment(crop="random", pad=0, flip=0), np.random.default_rng(0))
    assert batch.shape == (1, 9, 9, 3)
    assert set(batch.reshape(-1, 3)[:, 0]) <= set(noise(2, 5, 3).reshape(-1, 3)[:, 0])


def test_flips_mirror_about_the_share_that_is_asked_for() -> None:
    images = noise(500, 4, 5, 3)
    batch = augmented(images, 4, Augment(crop="centre", flip=0.3), np.random.default_rng(0))
    still = centre_crops(images, 4)
    flipped = (batch == still[:, :, ::-1]).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(batch[~flipped], still[~flipped])
    assert abs(flipped.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 500)


@pytest.mark.parametrize("which", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.7])
def test_recolouring_is_that_of_torchvision(which: str, factor: float) -> None:
    images = noise(4, 9, 7, 3)
    ones = np.ones(4)
    factors = {"brightness": ones, "contrast": ones, "saturation": ones, which: ones * factor}
    adjust = getattr(torchvision.transforms.functional, f"adjust_{which}")
    expected = torch.stack([adjust(image, factor) for image in channels_first(images)])
    difference = channels_first(recoloured(images, **factors)).int() - expected.int()
    assert difference.abs().max() <= 1  # torchvision cuts the grey values to integers on the way


def test_recolouring_draws_a_factor_per_image() -> None:
    images = np.full((300, 2, 2, 3), 100, dtype=np.uint8)
    settings = STILL.model_copy(update={"brightness": 0.4})
    batch = augmented(images, 2, settings, np.random.default_rng(0))
    values = batch[:, 0, 0, 0]
    assert (batch == values[:, None, None, None]).all()
    assert 60 <= values.min() < 65
    assert 135 < values.max() <= 140


def test_erasing_paints_a_rectangle_with_the_mean() -> None:
    images = noise(200, 20, 20, 3)
    settings = STILL.model_copy(update={"erase": 0.5})
    batch = augmented(images, 20, settings, np.random.default_rng(0))
    changed = (batch != images).any(axis=3)

    touched = changed.any(axis=(1, 2))
    assert abs(touched.mean() - 0.5) < 4 * np.sqrt(0.25 / 200)
    for image, made, where in zip(images[touched], batch[touched], changed[touched], strict=True):
        rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
        part = made[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (part == image.mean(axis=(0, 1)).astype(np.uint8)).all()
        assert 0.01 < part.size / made.size < 0.36


def test_nothing_asked_for_changes_nothing() -> None:
    images = noise(5, 6, 6, 3)
    np.testing.assert_array_equal(augmented(images, 6, STILL, np.random.default_rng(0)), images)


@pytest.mark.parametrize(
    "wrong", [{"scale": (0.5, 0.2)}, {"scale": (0, 1)}, {"ratio": (2, 1)}, {"flip": 1.5}, {"pad": -1}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Augment(**wrong)
