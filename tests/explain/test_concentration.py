"""Gini and entropy of maps: closed forms, plain Python, and what changes neither."""

from __future__ import annotations

import math

import numpy as np
import pytest

from explain.drawn_maps import grad_cams, signed
from oracles import slow_maps as oracle
from prunescope.explain.concentration import entropy, gini
from prunescope.explain.maps import Maps


@pytest.mark.parametrize("equal", [1, 2, 7, 40])
def test_relevance_that_some_positions_share_equally(equal: int) -> None:
    maps = np.zeros((1, 5, 8), np.float32)
    maps.reshape(-1)[np.random.default_rng(0).permutation(40)[:equal]] = 0.3
    np.testing.assert_allclose(gini(maps), 1 - equal / 40, atol=1e-7)
    np.testing.assert_allclose(entropy(maps), math.log(equal) / math.log(40), atol=1e-7)


@pytest.mark.parametrize("maps", [grad_cams(4, 9), signed(4, 6, 5)])
def test_both_are_those_of_plain_python(maps: Maps) -> None:
    np.testing.assert_allclose(gini(maps), [oracle.gini(own) for own in maps.tolist()], atol=1e-6)
    np.testing.assert_allclose(entropy(maps), [oracle.entropy(own) for own in maps.tolist()], atol=1e-6)


@pytest.mark.parametrize("score", [gini, entropy])
def test_scale_order_and_what_lies_below_0_make_no_difference(score) -> None:  # type: ignore[no-untyped-def]
    maps = signed(5)
    shuffled = np.random.default_rng(0).permuted(maps.reshape(5, -1), axis=1).reshape(maps.shape)
    for same in (maps * 16, shuffled, np.maximum(maps, 0), np.where(maps < 0, -7, maps).astype(np.float32)):
        np.testing.assert_allclose(score(same), score(maps), rtol=1e-6)


@pytest.mark.parametrize("score", [gini, entropy])
def test_an_empty_map_has_none(score) -> None:  # type: ignore[no-untyped-def]
    maps = np.stack([np.zeros((3, 3)), np.full((3, 3), -1), np.eye(3)]).astype(np.float32)
    assert np.isnan(score(maps)).tolist() == [True, True, False]
    assert score(maps[:0]).shape == (0,)


def test_more_concentrated_is_higher_in_one_and_lower_in_the_other() -> None:
    maps = grad_cams(20)
    sharper = maps**2
    assert (gini(sharper) > gini(maps)).all()
    assert (entropy(sharper) < entropy(maps)).all()


def test_a_single_position_has_all() -> None:
    single = np.ones((1, 1, 1), np.float32)
    assert (gini(single), entropy(single)) == ([0], [0])


def test_tiny_relevance_is_relevance() -> None:
    maps = grad_cams(3) * np.float32(1e-30)
    np.testing.assert_allclose(gini(maps), gini(grad_cams(3)), rtol=1e-5)
    np.testing.assert_allclose(entropy(maps), entropy(grad_cams(3)), rtol=1e-5)
