"""Heat maps and explanation maps: what is shown of an image, and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colormaps

from explain.drawn_maps import grad_cams, named
from prunescope.explain.stimuli import (
    BACKGROUNDS,
    DIM,
    OPACITY,
    Background,
    draw_stimuli,
    explanation_map,
    heat_map,
)
from prunescope.explain.top import top

SIDE = 24


def photographs(count: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def slow_heat_map(pixels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mix colour and grey pixel by pixel, as the docstring says."""
    positive = np.where(values > 0, values, 0).astype(np.float64)
    full = np.percentile(positive, 99.5) or positive.max() or 1
    painted = np.empty(pixels.shape)
    for row, column in np.ndindex(values.shape):
        level = min(positive[row, column] / full, 1.0)
        red, green, blue = (float(part) for part in pixels[row, column])
        grey = DIM * (0.2989 * red + 0.587 * green + 0.114 * blue)
        colour = colormaps["plasma"](round(255 * level))[:3]
        for channel in range(3):
            mixed = OPACITY * level * 255 * colour[channel] + (1 - OPACITY * level) * grey
            painted[row, column, channel] = mixed
    return painted


@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
def test_a_heat_map_mixes_colour_and_photograph(scale: float) -> None:
    for pixels, values in zip(photographs(), grad_cams(4, SIDE) - np.float32(0.1), strict=True):
        drawn = heat_map(pixels, values * np.float32(scale))
        assert drawn.dtype == np.uint8
        # One step of the scale of colours where rounding falls to the other side.
        assert np.abs(drawn - slow_heat_map(pixels, values * np.float32(scale))).max() < 4


def test_a_heat_map_gets_brighter_and_clearer_of_the_photograph_as_values_rise() -> None:
    values = np.linspace(0, 1, 256, dtype=np.float32)[None]
    dark, bright = (heat_map(np.full((1, 256, 3), grey, np.uint8), values) for grey in (0, 255))
    luminance = dark[0] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance[:254:4]) > 0).all()
    left = bright[0].astype(int) - dark[0]  # what can be seen of the photograph
    assert left[0].tolist() == [178] * 3  # 0.7 * 255, rounded
    assert (np.diff(left[:254:8, 0]) < 0).all()
    assert left[-1, 0] == pytest.approx(0.3 * 178, abs=1)


@pytest.mark.parametrize("values", [0.0, -1.0])
def test_an_empty_map_leaves_the_photograph_without_colour(values: float) -> None:
    (pixels,) = photographs(1)
    drawn = heat_map(pixels, np.full((SIDE, SIDE), values, np.float32))
    assert (drawn == drawn[..., :1]).all()
    assert np.corrcoef(drawn[..., 0].ravel(), (pixels @ [0.2989, 0.587, 0.114]).ravel())[0, 1] > 0.999


def test_a_single_position_is_coloured_though_it_is_no_hundredth_of_the_map() -> None:
    pixels, values = np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE), np.float32)
    values[3, 5] = 1e-3
    drawn = heat_map(pixels, values)
    assert drawn[3, 5].tolist() == np.rint(OPACITY * 255 * np.array(colormaps["plasma"](255)[:3])).tolist()
    assert drawn.any(-1).sum() == 1


@pytest.mark.parametrize("background", list(BACKGROUNDS))
def test_an_explanation_map_shows_the_chosen_pixels_and_nothing_else(background: Background) -> None:
    (pixels,) = photographs(1)
    (shown,) = top(grad_cams(1, SIDE), named(1))
    drawn = explanation_map(pixels, shown, background)
    for row, column in np.ndindex(shown.shape):
        expected = pixels[row, column].tolist() if shown[row, column] else [BACKGROUNDS[background]] * 3
        assert drawn[row, column].tolist() == expected


def test_stimuli_are_drawn_of_maps_at_their_own_resolution_and_of_an_empty_one_nothing_is_shown() -> None:
    pictures, maps = photographs(3), np.random.default_rng(1).random((3, 4, 4), dtype=np.float32)
    maps[1] = 0
    drawn = draw_stimuli(pictures, maps, named(3), share=0.2, background="white")
    shown = (drawn.map != 255).any(-1).sum((1, 2))
    assert shown.tolist() == [116, 0, 116]  # ceil(0.2 * 24 * 24); no random pixel is white
    assert (drawn.heat[1] == drawn.heat[1][..., :1]).all()
    alone = draw_stimuli(pictures[2:], maps[2:], named(3)[2:], share=0.2, background="white")
    assert np.array_equal(alone.map[0], drawn.map[2])
    assert np.array_equal(alone.heat[0], drawn.heat[2])
