from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from toy_images import toy_images

from prunescope.errors import PrunescopeError
from prunescope.images import open_images
from prunescope.images.augment import Images
from prunescope.images.split import stratified_limit
from prunescope.probe import classical
from prunescope.probe.classical import describe
from prunescope.probe.similarity import likeness, open_similarity, squares


@pytest.fixture(scope="module")
def pictures() -> tuple[Images, NDArray[np.int64]]:
    """The pictures that the descriptor's constants come from."""
    scenes = open_images("scenes", "train").subset(np.arange(120))
    return squares(scenes, 64), scenes.labels


def opponent(images: Images) -> torch.Tensor:
    return torch.from_numpy(images / 255.0 @ classical.OPPONENT.numpy().T).float().permute(0, 3, 1, 2)


def grating(
    degrees: float, wavelength: float, phase: float = 0.0, colour: tuple[int, ...] = (1, 1, 1)
) -> Images:
    """One image of stripes around middle grey, of the given wavelength in pixels."""
    angle, place = math.radians(degrees), np.arange(64)
    across = place * math.cos(angle) + place[:, None] * math.sin(angle)
    wave = np.cos(2 * math.pi * across / wavelength + phase)[..., None] * np.array(colour)
    return np.rint(127.5 + 100 * wave).astype(np.uint8)[None]


def cosine(image: Images, other: Images) -> float:
    one, two = describe(np.concatenate([image, other]))
    return float(one @ two)


def test_descriptors_have_length_one_whatever_the_image() -> None:
    extremes = np.zeros((3, 64, 64, 3), np.uint8)
    extremes[1], extremes[2, :, :, 2] = 255, 255
    described = describe(np.concatenate([extremes, squares(toy_images(9), 64)]))
    assert described.shape == (12, 1904)
    assert described.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(described, axis=1), 1, atol=1e-6)


@settings(max_examples=3, deadline=None)
@given(order=st.permutations(range(20)), size=st.integers(1, 20))
def test_a_descriptor_depends_on_its_own_image_alone(order: list[int], size: int) -> None:
    images = np.stack([np.random.default_rng(i).integers(0, 256, (64, 64, 3), np.uint8) for i in range(20)])
    whole = describe(images)
    parts = [describe(images[order[start : start + size]]) for start in range(0, 20, size)]
    np.testing.assert_array_equal(np.concatenate(parts), whole[order])


def test_colours_are_shared_out_as_stated() -> None:
    image = squares(toy_images(1), 64)
    small = halved(opponent(image)[0].double().numpy()).transpose(1, 2, 0)
    chroma = np.array([1, 2, 2])
    basis = classical.OPPONENT.double().numpy()
    shares = np.zeros((27, 4, 4))
    for row, column in itertools.product(range(32), range(32)):
        near = np.array(
            [
                math.exp(-np.sum(((small[row, column] - basis @ colour) * chroma) ** 2) / (2 * 0.25**2))
                for colour in itertools.product((0, 0.5, 1), repeat=3)
            ]
        )
        shares[:, row // 8, column // 8] += near / near.sum() / 64
    found = classical.colour(opponent(image))[0].numpy()
    np.testing.assert_allclose(found, np.sqrt(shares), atol=1e-5)


def powers(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean power of the eight quadrature pairs in each region of one plane, (8, 4, 4)."""
    place = np.arange(-4, 5)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(plane, 4, mode="reflect"), (9, 9))
    power = np.zeros((8, *plane.shape))
    for orientation, wave in itertools.product(range(8), (np.cos, np.sin)):
        angle = math.pi * orientation / 8
        across = place * math.cos(angle) + place[:, None] * math.sin(angle)
        window = np.exp(-(place[:, None] ** 2 + place**2) / 8)
        kernel = window * wave(2 * math.pi * across / 4.5)
        kernel -= window * kernel.sum() / window.sum()
        power[orientation] += (windows * kernel / np.linalg.norm(kernel)).sum((2, 3)) ** 2
    return halved(power, len(plane) // 4)


def halved(planes: NDArray[np.float64], by: int = 2) -> NDArray[np.float64]:
    *rest, height, width = planes.shape
    return planes.reshape(*rest, height // by, by, width // by, by).mean((-3, -1))


def test_energies_are_normalised_amplitudes_of_gabor_filters() -> None:
    image = squares(toy_images(1), 64)
    planes = opponent(image)[0].double().numpy()
    expected = []
    for plane, scales in ((planes[0], 4), (halved(planes[1]), 3), (halved(planes[2]), 3)):
        found = []
        for scale in range(scales):
            found.append(powers(halved(plane, 2**scale)))
        around = np.mean(found, axis=(0, 1)) + 0.05**2
        expected += [np.sqrt(power / around) for power in found]
    np.testing.assert_allclose(classical.energy(opponent(image))[0], expected, atol=1e-4)


def test_layout_is_the_mean_colour_of_coarse_squares() -> None:
    image = squares(toy_images(1), 64)
    means = image[0].reshape(8, 8, 8, 8, 3).mean((1, 3)) / 255
    expected = (means @ classical.OPPONENT.numpy().T * [1, 2, 2]).transpose(2, 0, 1)
    np.testing.assert_allclose(classical.layout(opponent(image))[0].numpy(), expected, atol=1e-5)


def test_what_is_typical_was_measured_on_scenes(pictures: tuple[Images, NDArray[np.int64]]) -> None:
    seen = opponent(pictures[0])
    found = [classical.colour(seen).mean((0, 2, 3)), classical.layout(seen).mean((0, 2, 3))]
    energies = torch.cat([classical.energy(part) for part in seen.split(16)]).transpose(0, 1).flatten(1)
    found += [energies.mean(1), energies.std(1)]
    stated = [
        classical.TYPICAL_COLOUR,
        classical.TYPICAL_LAYOUT,
        classical.TYPICAL_ENERGY,
        classical.ENERGY_SPREAD,
    ]
    for mean, constant in zip(found, stated, strict=True):
        torch.testing.assert_close(mean, constant, atol=0.001, rtol=0)


def test_stripes_are_told_apart_by_direction_and_width() -> None:
    stripes = grating(0, 6)
    assert cosine(stripes, grating(0, 6, phase=2)) > 0.8
    assert cosine(stripes, grating(90, 6)) < 0.6
    assert cosine(stripes, grating(0, 24)) < 0.8


def test_stripes_of_two_colours_differ_at_equal_lightness() -> None:
    red, blue = grating(0, 12, colour=(1, -1, 0)), grating(0, 12, colour=(-1, -1, 2))
    assert cosine(red, blue) < 0.6


def nearest_of_same_class(described: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    alike = described @ described.T
    np.fill_diagonal(alike, -2)
    return float((labels[alike.argmax(1)] == labels).mean())


def test_it_tells_the_classes_of_scenes_apart(pictures: tuple[Images, NDArray[np.int64]]) -> None:
    images, labels = pictures
    described = describe(images)
    assert nearest_of_same_class(described, labels) > 2 / 12
    others = (described @ described.T)[~np.eye(len(labels), dtype=bool)]
    assert abs(others.mean()) < 0.2
    assert others.std() > 0.15


def test_it_tells_the_classes_of_photographs_apart(real_data: Path) -> None:
    photographs = open_images("folder:imagenette128/val", data=real_data)
    some = photographs.subset(stratified_limit(photographs.labels, 500, 0))
    described = likeness(some, open_similarity("classical")).embeddings
    assert described is not None
    assert nearest_of_same_class(described, some.labels) > 3 / 10
    others = (described @ described.T)[~np.eye(len(some), dtype=bool)]
    assert others.mean() < 0.3


def test_it_has_no_weights(tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match="the similarity classical has no weights"):
        open_similarity("classical", tmp_path)
    assert open_similarity("classical").identity() == {"name": "classical", "version": 1}
