"""Tails against a plain sort of all values."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probe.toys import batches, site
from prunescope.errors import PrunescopeError
from prunescope.probe import tails as room
from prunescope.probe.tails import Tails, rank

HEIGHT, WIDTH, UNITS = 5, 4, 3
KINDS = ("normal", "relu", "constant", "rounded", "rising", "falling")


def drawn(kind: str, images: int, seed: int = 0) -> torch.Tensor:
    """Return maps (images, units, height, width) that are hard in one way or another."""
    maps = torch.randn(images, UNITS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))
    return {
        "normal": maps,
        "relu": torch.relu(maps - 2.3),  # 99 % zeros
        "constant": torch.full_like(maps, -1.5),
        "rounded": maps.round(),
        "rising": maps.flatten().sort().values.view(maps.shape),  # the bound never helps
        "falling": maps.flatten().sort(descending=True).values.view(maps.shape),
    }[kind]


def sorted_threshold(maps: torch.Tensor, share: float) -> torch.Tensor:
    """Return the (floor(share m) + 1)-th largest of the m values of each unit, (units,)."""
    values = maps.transpose(0, 1).flatten(1).numpy()
    place = math.floor(share * values.shape[1] + 1e-9)
    return torch.from_numpy(np.sort(values, axis=1)[:, ::-1][:, place].copy())


def seen(maps: torch.Tensor, tails: Tails, sizes: list[int]) -> Tails:
    for images in batches(len(maps), sizes):
        tails.see(0, maps[images], images)
    return tails


@given(
    st.sampled_from(KINDS),
    st.integers(1, 30),
    st.sampled_from([0.005, 0.05, 0.29, 0.5, 0.95]),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.lists(st.integers(0, 30), max_size=3),
    st.sampled_from([1, 7, 1024]),
)
def test_thresholds_are_those_of_a_sort_whatever_the_batches_and_shards(
    kind: str, images: int, share: float, sizes: list[int], cuts: list[int], spare: int
) -> None:
    maps = drawn(kind, images, seed=images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_LEAST_SPARE", spare)  # few spare places, so that rows fill up all the time
        patch.setattr(room, "_BLOCK", 200)
        edges = [0, *sorted(min(cut, images) for cut in cuts), images]
        parts = [maps[a:b] for a, b in pairwise(edges)]
        first, *rest = [seen(part, Tails([site()], images, share), sizes) for part in parts]
        for shard in rest:
            first.merge(shard)

    assert torch.equal(first.thresholds()["conv"], sorted_threshold(maps, share))
    assert torch.equal(first.highest()["conv"], maps.amax((0, 2, 3)))


@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_many_values_in_both_orders_of_memory_and_in_half_precision(
    order: torch.memory_format, dtype: torch.dtype
) -> None:
    maps = torch.randn(400, 6, 20, 20, generator=torch.Generator().manual_seed(1))
    maps = (maps + torch.linspace(-3, 3, 400).view(-1, 1, 1, 1)).to(dtype)  # later images are brighter
    tails = Tails([site(units=6, height=20, width=20)], 400)

    for images in batches(400, [32]):
        tails.see(0, maps[images].to(memory_format=order), images)

    assert torch.equal(tails.thresholds()["conv"], sorted_threshold(maps.float(), 0.005))
    assert int((maps.float() > tails.thresholds()["conv"].view(-1, 1, 1)).sum((0, 2, 3)).max()) <= 800


def test_more_units_than_a_short_number_counts() -> None:
    units = 70_000
    maps = torch.randn(3, units, 1, 1, generator=torch.Generator().manual_seed(0))
    tails = Tails([site(units=units, height=1, width=1)], 3, share=0.4)

    tails.see(0, maps, np.arange(3))

    assert torch.equal(tails.thresholds()["conv"], maps.flatten(1).sort(0).values[1])


def test_by_hand() -> None:
    maps = torch.arange(1.0, 21.0).view(1, 1, 5, 4)  # 1 … 20; a tenth of them lies above 18
    tails = Tails([site(units=1)], 1, share=0.1)

    tails.see(0, maps, np.arange(1))

    assert tails.thresholds()["conv"].tolist() == [18]
    assert tails.highest()["conv"].tolist() == [20]


@pytest.mark.parametrize(
    ("share", "values", "expected"), [(0.005, 1400, 8), (0.29, 100, 30), (0.005, 199, 1)]
)
def test_the_rank_is_that_of_the_written_share(share: float, values: int, expected: int) -> None:
    """.29 * 100 is 28.999… in binary."""
    assert rank(share, values) == expected


def test_rows_beyond_the_memory_lie_in_a_file(tmp_path: Path) -> None:
    maps = drawn("normal", 30)
    spilled = seen(maps, Tails([site()], 30, 0.05, memory=100, folder=tmp_path), [4])
    inside = seen(maps, Tails([site()], 30, 0.05, folder=tmp_path / "unused"), [4])

    assert torch.equal(spilled.thresholds()["conv"], inside.thresholds()["conv"])
    assert not (tmp_path / "unused").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(PrunescopeError, match="writing activations"):
        Tails([site()], 30, 0.05, memory=100, folder=tmp_path / "file")


def test_several_layers_have_rows_of_their_own() -> None:
    a, b = drawn("normal", 10), drawn("rounded", 10, seed=1)
    tails = Tails([site("a"), site("b", units=2, height=4, width=5)], 10, 0.05)

    tails.see(0, a, np.arange(10))
    tails.see(1, b[:, :2].reshape(10, 2, 4, 5), np.arange(10))

    found = tails.thresholds()
    assert torch.equal(found["a"], sorted_threshold(a, 0.05))
    assert torch.equal(found["b"], sorted_threshold(b[:, :2], 0.05))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_no_numbers_are_refused_with_the_layer(bad: float) -> None:
    maps = drawn("normal", 2)
    maps[1, 2, 4, 3] = bad

    with pytest.raises(PrunescopeError, match=r"^conv puts out NaN or infinite values"):
        Tails([site()], 2).see(0, maps, np.arange(2))


def test_too_few_and_too_many_images_are_said() -> None:
    tails = seen(drawn("normal", 4), Tails([site()], 5), [2])

    with pytest.raises(PrunescopeError, match=r"^conv was seen for 4 of 5 images"):
        tails.thresholds()
    with pytest.raises(PrunescopeError, match=r"^conv was seen for 6 images, but its tail was made for 5"):
        seen(drawn("normal", 2), tails, [2])


def test_tails_of_other_settings_do_not_merge() -> None:
    with pytest.raises(PrunescopeError, match=r"0\.005 of 5 images cannot be merged with one of 0\.005 of 6"):
        Tails([site()], 5).merge(Tails([site()], 6))
    with pytest.raises(PrunescopeError, match="different layers"):
        Tails([site("a")], 5).merge(Tails([site("b")], 5))
