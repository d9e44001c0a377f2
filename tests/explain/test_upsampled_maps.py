"""Maps made larger, against exact fractions."""

from __future__ import annotations

import numpy as np
import pytest

from explain.drawn_maps import signed
from oracles.slow_dissection import value
from prunescope.explain.maps import blocks, empty, upsample


@pytest.mark.parametrize("side", [12, 31])
def test_each_pixel_is_interpolated_between_the_centres_of_positions(side: int) -> None:
    maps = signed(2, 4, 7)
    expected = [
        [[float(value(own, row, column, side, side)) for column in range(side)] for row in range(side)]
        for own in maps.tolist()
    ]
    np.testing.assert_allclose(upsample(maps, side), expected, atol=1e-5)


def test_maps_of_the_right_size_stay_as_they_are() -> None:
    maps = signed(3, 9, 9)
    assert upsample(maps, 9) is maps


def test_read_only_maps_are_taken() -> None:
    maps = signed(3, 4, 4)
    maps.flags.writeable = False
    assert upsample(maps, 8).shape == (3, 8, 8)


def test_a_map_without_a_value_above_0_is_empty() -> None:
    maps = np.zeros((4, 3, 3), np.float32)
    maps[1] = -1
    maps[2, 2, 2] = 1e-30
    maps[3] = 1
    assert empty(maps).tolist() == [True, True, False, False]


def test_blocks_are_all_images_once() -> None:
    for shape in ((0, 4, 4), (5, 300, 300), (70, 32, 32), (1000, 32, 32)):
        maps = np.zeros(shape, np.float32)
        rows = [row for some in blocks(maps) for row in range(len(maps))[some]]
        assert rows == list(range(len(maps)))
