"""Examples against a plain sort."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from probe.toys import batches, site
from prunescope.errors import PrunescopeError
from prunescope.probe.examples import Examples
from prunescope.probe.means import spatial_means
from prunescope.probe.tie_keys import tie_keys


def drawn(images: int, tied: bool) -> tuple[torch.Tensor, NDArray[np.uint64]]:
    generator = torch.Generator().manual_seed(images)
    maps = torch.randn(images, 3, 5, 4, generator=generator)
    if tied:
        maps = maps[:, :, :1, :1].round().expand(-1, -1, 5, 4).clone()  # few different means
    return maps, tie_keys(map(str, range(images)), seed=0)


def ordered(maps: torch.Tensor, keys: NDArray[np.uint64], unit: int, sign: int) -> list[int]:
    """Return the images from the highest mean (sign 1) or the lowest (-1), equal ones by their keys."""
    means = spatial_means(site(), maps)[:, unit]
    return sorted(range(len(maps)), key=lambda i: (-sign * means[i], keys[i]))


def seen(maps: torch.Tensor, keys: NDArray[np.uint64], keep: int, sizes: list[int]) -> Examples:
    examples = Examples([site()], keep, keys)
    for images in batches(len(maps), sizes):
        examples.see(0, maps[images], images)
    return examples


def check(examples: Examples, maps: torch.Tensor, keys: NDArray[np.uint64], keep: int) -> None:
    images, means, kept = examples.highest("conv")
    low, low_means = examples.lowest("conv")
    exact = spatial_means(site(), maps)
    for unit in range(3):
        highest, lowest = (ordered(maps, keys, unit, sign)[:keep] for sign in (1, -1))
        empty = [-1] * (keep - len(highest))
        assert images[unit].tolist() == highest + empty
        assert low[unit].tolist() == lowest + empty
        np.testing.assert_array_equal(means[unit, : len(highest)], exact[highest, unit])
        np.testing.assert_array_equal(low_means[unit, : len(lowest)], exact[lowest, unit])
        np.testing.assert_array_equal(kept[unit, : len(highest)], maps[highest, unit])


@given(
    st.integers(1, 14),
    st.booleans(),
    st.integers(1, 5),
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(0, 14),
)
def test_they_are_those_of_a_sort_whatever_the_batches_and_shards(
    images: int, tied: bool, keep: int, sizes: list[int], cut: int
) -> None:
    maps, keys = drawn(images, tied)
    check(seen(maps, keys, keep, sizes), maps, keys, keep)

    cut = min(cut, images)
    first, second = seen(maps[:cut], keys[:cut], keep, sizes), seen(maps[cut:], keys[cut:], keep, sizes)
    first.merge(second)
    check(first, maps, keys, keep)


def test_the_order_of_images_does_not_decide_between_equal_means() -> None:
    maps, keys = drawn(12, tied=True)
    order = np.random.default_rng(0).permutation(12)
    forward, shuffled = seen(maps, keys, 3, [5]), seen(maps[order], keys[order], 3, [5])

    for one, other in zip(
        (*forward.highest("conv")[:1], *forward.lowest("conv")[:1]),
        (*shuffled.highest("conv")[:1], *shuffled.lowest("conv")[:1]),
        strict=True,
    ):
        np.testing.assert_array_equal(one, order[other])


def test_large_maps_are_max_pooled() -> None:
    maps = torch.randn(6, 2, 56, 30, generator=torch.Generator().manual_seed(0))
    examples = Examples([site(units=2, height=56, width=30)], 2, np.arange(6, dtype=np.uint64))

    examples.see(0, maps.bfloat16(), np.arange(6))

    images, _, kept = examples.highest("conv")
    assert kept.shape == (2, 2, 28, 28)
    chosen = maps.bfloat16().float()[images[1], 1]
    np.testing.assert_array_equal(kept[1], functional.adaptive_max_pool2d(chosen, 28))
    np.testing.assert_array_equal(kept[1].max((1, 2)), chosen.amax((1, 2)))


def test_different_numbers_of_examples_do_not_merge() -> None:
    keys = np.zeros(1, np.uint64)
    with pytest.raises(PrunescopeError, match="2 and 3 examples"):
        Examples([site()], 2, keys).merge(Examples([site()], 3, keys))


def test_keys_depend_on_name_and_seed_alone() -> None:
    names = ["b.png", "a.png", "ü\udcff.png"]

    keys = tie_keys(names, 0)

    assert keys.dtype == np.uint64
    assert len(set(keys.tolist())) == 3
    np.testing.assert_array_equal(tie_keys(names[::-1], 0), keys[::-1])
    assert set(keys.tolist()).isdisjoint(tie_keys(names, 1).tolist())
