"""Pointing game and share of relevance inside the object: closed forms, plain Python, chance."""

from __future__ import annotations

import numpy as np
import pytest

from explain.drawn_maps import grad_cams, signed
from oracles import slow_maps as oracle
from prunescope.explain.localisation import inside, pointing
from prunescope.explain.maps import Maps, Masks


def objects(count: int, height: int, width: int, share: float = 0.3) -> Masks:
    return np.random.default_rng(9).random((count, height, width)) < share


@pytest.mark.parametrize("maps", [grad_cams(6, 9), signed(6)])
def test_both_are_those_of_plain_python(maps: Maps) -> None:
    masks = objects(*maps.shape)
    pairs = list(zip(maps.tolist(), masks.tolist(), strict=True))
    np.testing.assert_allclose(pointing(maps, masks), [oracle.pointing(*pair) for pair in pairs])
    np.testing.assert_allclose(inside(maps, masks), [oracle.inside(*pair) for pair in pairs], atol=1e-6)


def test_a_single_position_is_on_the_object_or_beside_it() -> None:
    maps, masks = np.zeros((2, 6, 6), np.float32), np.zeros((2, 6, 6), np.bool_)
    maps[0, 2, 3] = maps[1, 5, 5] = 4
    masks[:, 1:4, 2:5] = True
    np.testing.assert_array_equal(pointing(maps, masks), [1, 0])
    np.testing.assert_array_equal(inside(maps, masks), [1, 0])


def test_of_several_highest_positions_the_share_on_the_object_counts() -> None:
    maps, masks = np.zeros((1, 4, 4), np.float32), np.zeros((1, 4, 4), np.bool_)
    maps[0, 0] = 2  # as of an occluding window: a whole row
    masks[0, :, 0] = True
    np.testing.assert_array_equal(pointing(maps, masks), [0.25])


def test_what_lies_below_0_does_not_count() -> None:
    maps = np.array([[[3, 1], [-8, -2]]], np.float32)
    masks = np.array([[[True, False], [True, False]]])
    np.testing.assert_array_equal(inside(maps, masks), [0.75])


@pytest.mark.parametrize("score", [pointing, inside])
def test_no_relevance_or_no_object_gives_no_score(score) -> None:  # type: ignore[no-untyped-def]
    maps, masks = grad_cams(4), objects(4, 24, 24)
    maps[0], maps[1], masks[2] = 0, -1, False
    assert np.isnan(score(maps, masks)).tolist() == [True, True, True, False]


def test_maps_that_know_nothing_score_the_area_of_the_object() -> None:
    maps = np.random.default_rng(0).random((4000, 8, 8), np.float32)
    masks = objects(4000, 8, 8, share=0.35)
    area = masks.mean()
    assert abs(pointing(maps, masks).mean() - area) < 5 * np.sqrt(area * (1 - area) / 4000)
    assert abs(inside(maps, masks).mean() - area) < 0.005
