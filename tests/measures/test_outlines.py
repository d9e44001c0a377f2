"""Outlines against areas that are known."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from prunescope.measures.outlines import SIDE, outlines


def area(path: str) -> float:
    """Return the area inside a path, by the shoelace formula; holes run the other way round."""
    total = 0.0
    for start, steps in re.findall(r"M(\d+ \d+)l([^z]+)z", path):
        moves = [start.split(), *np.array(re.findall(r"-?\d+", steps)).reshape(-1, 2)]
        x, y = np.array(moves, dtype=float).cumsum(axis=0).T
        total += (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
    return abs(total)


def outline(values: NDArray[np.float32], level: float) -> str:
    (path,) = outlines(values[None], np.array([level], dtype=np.float32))
    return path


def lit(values: NDArray[np.float32], level: float) -> float:
    """Return the area above a level when the map is interpolated at many points of the square."""
    fine = functional.interpolate(
        torch.from_numpy(values)[None, None], size=(4 * SIDE, 4 * SIDE), mode="bilinear"
    )
    return float((fine > level).float().mean()) * SIDE**2


@given(st.integers(2, 20), st.integers(2, 20), st.floats(0, 1), st.floats(0, 1), st.floats(0.15, 0.6))
def test_the_area_inside_is_the_area_above_the_level(
    height: int, width: int, top: float, left: float, radius: float
) -> None:
    rows = (np.arange(height) + 0.5)[:, None] / height - top
    columns = (np.arange(width) + 0.5)[None] / width - left
    values = (1 - np.hypot(rows, columns)).astype(np.float32)
    expected = lit(values, 1 - radius)
    # Contours are linear within a cell, interpolation is bilinear, and points are rounded to whole numbers.
    assert area(outline(values, 1 - radius)) == pytest.approx(expected, abs=0.03 * SIDE**2)


def test_two_blobs_and_a_hole() -> None:
    values = np.zeros((24, 24), dtype=np.float32)
    values[2:6, 2:6] = values[10:22, 10:22] = 1
    values[14:18, 14:18] = 0
    path = outline(values, 0.5)
    assert path.count("M") == path.count("z") == 3
    assert area(path) == pytest.approx((16 + 144 - 16) * 16, rel=0.03)


def test_all_of_the_image() -> None:
    assert area(outline(np.ones((3, 5), dtype=np.float32), 0.5)) == SIDE**2


@pytest.mark.parametrize("level", [1.0, 2.0])
def test_nothing_above_the_level(level: float) -> None:
    assert outline(np.ones((4, 4), dtype=np.float32), level) == ""


def test_each_map_has_its_own_level_and_path() -> None:
    for shape in ((600, 5, 7), (300, 28, 28)):  # many: a blob at an edge touches the rim between two maps
        values = np.random.default_rng(0).random(shape, dtype=np.float32)
        levels = np.linspace(0.2, 1.1, len(values), dtype=np.float32)
        together = outlines(values, levels)
        alone = [outline(*one) for one in zip(values, levels, strict=True)]
        # A line may begin at another of its points; what it encloses is the same.
        assert [area(path) for path in together] == pytest.approx([area(path) for path in alone], abs=1)
        assert [bool(path) for path in together] == [bool(path) for path in alone]
        assert not any(together[-5:])
        assert len(set(together)) > 0.8 * len(values)
