"""Likeness of maps against plain Python, scipy and torchmetrics, and what must hold of it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from pandas.testing import assert_frame_equal
from scipy import stats

from explain.drawn_maps import grad_cams, named, signed
from oracles import slow_maps as oracle
from prunescope.explain.likeness import iou, likeness, others, spearman, ssim
from prunescope.explain.maps import Maps
from prunescope.explain.top import top
from prunescope.networks.operators import torchvision  # noqa: F401 (torchmetrics imports it, and this mends it)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchmetrics.functional.image import structural_similarity_index_measure

PAIRS = [
    (grad_cams(5), grad_cams(5, seed=1)),
    (signed(5), signed(5, seed=1)),
    (signed(5, 11, 11), signed(5, 11, 11, seed=1)),
    (grad_cams(3, 40), grad_cams(3, 40) + np.float32(0.1)),
]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_spearman_is_that_of_scipy(a: Maps, b: Maps) -> None:
    expected = [stats.spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b), expected, atol=1e-12)


def test_spearman_is_that_of_plain_python() -> None:
    a, b = signed(3), signed(3, seed=1)
    expected = [oracle.spearman(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    np.testing.assert_allclose(spearman(a, b), expected, atol=1e-12)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_ssim_is_that_of_torchmetrics(a: Maps, b: Maps) -> None:
    def scaled(maps: Maps) -> torch.Tensor:
        positive = np.maximum(maps, 0)
        return torch.tensor(positive / positive.max(axis=(1, 2), keepdims=True))[:, None].double()

    expected = structural_similarity_index_measure(
        scaled(a), scaled(b), sigma=1.5, kernel_size=11, data_range=1.0, reduction="none"
    )
    np.testing.assert_allclose(ssim(a, b), expected, atol=1e-5)


def test_ssim_is_that_of_plain_python() -> None:
    a, b = signed(2), signed(2, seed=1)
    expected = [oracle.ssim(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    np.testing.assert_allclose(ssim(a, b), expected, atol=1e-5)


def test_ssim_of_many_blocks_is_that_of_each_map() -> None:
    a, b = grad_cams(200), grad_cams(200, seed=1)
    alone = [ssim(a[[i]], b[[i]])[0] for i in range(200)]
    np.testing.assert_array_equal(ssim(a, b), alone)


def test_ssim_needs_room_for_its_window() -> None:
    assert np.isnan(ssim(signed(2, 5, 30), signed(2, 5, 30))).all()
    np.testing.assert_allclose(ssim(signed(2, 6, 30), signed(2, 6, 30)), 1)


def test_iou_counts_positions() -> None:
    one, other = np.zeros((2, 4, 10, 10), np.bool_)
    one[0, :5], other[0, 3:] = True, True
    one[1, :5], other[1, :5] = True, True
    one[2, :5], other[2, 5:] = True, True
    np.testing.assert_array_equal(iou(one, other), [0.2, 1, 0, np.nan])


def test_a_map_is_like_itself_and_its_multiples() -> None:
    maps = grad_cams(6)
    for same in (maps, 8 * maps):
        np.testing.assert_allclose(likeness(maps, same, named(6)), 1, rtol=1e-6)


def test_the_columns_are_the_three_numbers() -> None:
    a, b, names = signed(8), signed(8, seed=1), named(8)
    table = likeness(a, b, names, share=0.2, seed=5)
    np.testing.assert_array_equal(table["spearman"], spearman(a, b))
    np.testing.assert_array_equal(table["ssim"], ssim(a, b))
    np.testing.assert_array_equal(table["iou"], iou(top(a, names, 0.2, 5), top(b, names, 0.2, 5)))


def test_a_reversed_map_is_as_unlike_as_can_be() -> None:
    maps = signed(4)
    table = likeness(maps, -maps, named(4))
    np.testing.assert_allclose(table["spearman"], -1)
    assert (table["ssim"] < 0.1).all()
    assert (table["iou"] == 0).all()


def test_empty_and_constant_maps_have_no_likeness() -> None:
    maps, reference = grad_cams(7), grad_cams(7, seed=1)
    maps[0], maps[1], maps[2], maps[3] = 0, -signed(1, 24, 24)[0].clip(0), 0.5, -0.5
    reference[4], reference[5] = 0, 2.0
    table = likeness(maps, reference, named(7))
    assert table.isna().all(axis=1).tolist() == [True] * 6 + [False]
    assert not table.loc[6].isna().any()


def test_parts_without_relevance_do_not_make_maps_alike() -> None:
    """Their zeros are equal and come in one order: counted, it would be shared by the maps of all networks."""
    maps, reference = np.zeros((2, 1, 20, 20), np.float32)
    maps[0, 0, :3], reference[0, 19, :3] = 1, 1
    shared = iou(top(maps, ["a"]), top(reference, ["a"]))[0]
    assert shared > 0.5
    assert likeness(maps, reference, ["a"])["iou"].tolist() == [0]


def test_likeness_goes_both_ways() -> None:
    a, b = grad_cams(6), grad_cams(6, seed=1)
    assert_frame_equal(likeness(a, b, named(6)), likeness(b, a, named(6)))


def test_likeness_is_the_images_own_in_any_set() -> None:
    a, b, names = grad_cams(9), grad_cams(9, seed=1), named(9)
    table, some = likeness(a, b, names, 0.7), [8, 0, 4]
    own = likeness(a[some], b[some], [names[i] for i in some], 0.7)
    assert_frame_equal(own, table.loc[some].reset_index(drop=True))


@pytest.mark.parametrize("count", [2, 3, 10, 101])
def test_every_image_gets_another_one_and_each_is_the_other_of_one(count: int) -> None:
    other = others(named(count))
    assert (other != np.arange(count)).all()
    assert sorted(other) == list(range(count))


def test_the_other_image_depends_on_names_and_seed_not_on_the_order() -> None:
    names = named(40)
    shuffled = [names[i] for i in np.random.default_rng(0).permutation(40)]
    of = {name: names[i] for name, i in zip(names, others(names), strict=True)}
    assert {name: shuffled[i] for name, i in zip(shuffled, others(shuffled), strict=True)} == of
    assert (others(names, seed=1) != others(names)).any()


def test_images_of_one_name_are_still_different_images() -> None:
    assert others(["a", "a", "a"]).tolist() == [1, 2, 0]


def test_maps_that_are_the_same_for_all_images_are_no_more_alike_than_by_chance() -> None:
    """A network that always looks at the middle is like itself, and that says nothing of what it explains."""
    middle = np.broadcast_to(grad_cams(1), (5, 24, 24)).copy()
    names = named(5)
    np.testing.assert_allclose(
        likeness(middle, middle[others(names)], names)[["spearman", "ssim"]], 1, rtol=1e-6
    )
    maps, names = grad_cams(50), named(50)
    unlike = likeness(maps, maps[others(names)], names)
    assert unlike["spearman"].abs().mean() < 0.5
