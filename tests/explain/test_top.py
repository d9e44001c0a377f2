"""The highest positions of maps: how many, which, and what decides among equal ones."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explain.drawn_maps import grad_cams, named, signed
from prunescope.errors import PrunescopeError
from prunescope.explain.maps import Maps
from prunescope.explain.order import ascending
from prunescope.explain.top import places, ranking, top

FEW_VALUES = st.sampled_from([-1.5, -0.0, 0.0, 0.25, 1e-40, 3.0])
ANY_FLOAT = st.floats(width=32, allow_nan=False, allow_subnormal=True)


@given(arrays(np.float32, st.integers(0, 200), elements=st.one_of(FEW_VALUES, ANY_FLOAT)))
@settings(max_examples=100, deadline=None)
def test_the_order_is_that_of_a_stable_sort(values: Maps) -> None:
    assert ascending(values).tolist() == sorted(range(len(values)), key=lambda place: values[place])


@pytest.mark.parametrize("share", [0.01, 0.1, 1 / 3, 0.5, 0.999, 1])
@pytest.mark.parametrize("maps", [grad_cams(6), signed(6), np.zeros((6, 10, 5), np.float32)])
def test_the_top_has_exactly_its_share_of_the_highest_values(maps: Maps, share: float) -> None:
    count = math.ceil(share * maps[0].size)
    chosen = top(maps, named(6), share)
    assert chosen.sum(axis=(1, 2)).tolist() == [count] * 6
    for values, mask in zip(maps, chosen, strict=True):
        assert sorted(values[mask], reverse=True) == sorted(values.ravel(), reverse=True)[:count]


def test_a_share_that_no_float_can_hold_is_that_share_all_the_same() -> None:
    for positions in range(1, 2000):
        for share in ("0.1", "0.05", "0.15", "0.07", "0.3"):
            assert places(float(share), positions) == math.ceil(Fraction(share) * positions)


@pytest.mark.parametrize("maps", [grad_cams(5), signed(5)])
def test_the_top_is_the_beginning_of_the_ranking(maps: Maps) -> None:
    ranked = ranking(maps, named(5), seed=3)
    assert (np.sort(ranked, axis=1) == np.arange(maps[0].size)).all()
    for share in (0.02, 0.1, 0.4, 0.9):
        chosen = top(maps, named(5), share, seed=3).reshape(5, -1)
        for row, mask in zip(ranked, chosen, strict=True):
            assert set(row[: mask.sum()]) == set(np.flatnonzero(mask))


def test_the_ranking_descends() -> None:
    maps = signed(4)
    values = np.take_along_axis(maps.reshape(4, -1), ranking(maps, named(4)), axis=1)
    assert (np.diff(values) <= 0).all()


def test_equal_values_are_chosen_anywhere_alike() -> None:
    flat = np.zeros((4000, 4, 5), np.float32)
    often = top(flat, named(4000), 0.1).mean(axis=0)  # 2 of 20 positions
    assert np.abs(often - 0.1).max() < 5 * math.sqrt(0.1 * 0.9 / 4000)
    pairs = {tuple(np.flatnonzero(mask)) for mask in top(flat, named(4000), 0.1)}
    assert len(pairs) == 190  # every pair


def test_name_and_seed_decide_among_equal_values_and_nothing_else() -> None:
    maps, names = grad_cams(30), named(30)
    chosen, ranked = top(maps, names, 0.8), ranking(maps, names)
    some = [7, 3, 20]
    own = [names[i] for i in some]
    np.testing.assert_array_equal(top(maps[some], own, 0.8), chosen[some])
    np.testing.assert_array_equal(ranking(maps[some], own), ranked[some])
    assert (top(maps, names, 0.8, seed=1) != chosen).any()
    assert (top(maps, names[::-1], 0.8) != chosen).any()


def test_the_scale_of_a_map_makes_no_difference() -> None:
    maps = grad_cams(5)
    np.testing.assert_array_equal(ranking(maps * 4, named(5)), ranking(maps, named(5)))


def test_no_maps_have_no_top() -> None:
    none = np.zeros((0, 4, 4), np.float32)
    assert top(none, []).shape == (0, 4, 4)
    assert len(ranking(none, [])) == 0


@pytest.mark.parametrize("share", [0, -0.1, 1.1, math.nan])
def test_a_share_is_a_fraction(share: float) -> None:
    with pytest.raises(PrunescopeError, match=r"above 0 and at most 1, and .* was given"):
        top(grad_cams(1), named(1), share)
