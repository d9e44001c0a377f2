from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probe.toys import Plain, batches, build, pixels, site
from prunescope.errors import NoRoomError, PrunescopeError
from prunescope.probe.look import look
from prunescope.probe.means import Means, spatial_means
from prunescope.probe.sites import find_sites
from prunescope.probe.storage import temporary_array


@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", [(3, 70, 61, 53), (40, 130, 7, 7), (2, 5, 1, 1), (1, 3, 112, 112)])
def test_float32_means_are_those_of_float64(shape: tuple[int, ...], order: torch.memory_format) -> None:
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0)).add_(0.1).to(memory_format=order)

    found = spatial_means(site(units=shape[1], height=shape[2], width=shape[3]), maps)

    exact, scale = maps.double().mean((2, 3)), maps.double().abs().mean((2, 3))
    assert ((torch.from_numpy(found).double() - exact).abs() <= 1e-6 * scale).all()


@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", [(3, 70, 61, 53), (40, 130, 7, 7), (2, 5, 1, 1), (1, 3, 112, 112)])
def test_means_of_half_precision_maps_are_not_rounded_to_it(
    shape: tuple[int, ...], order: torch.memory_format
) -> None:
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0)).add_(0.1).bfloat16()
    maps = maps.to(memory_format=order)

    found = spatial_means(site(units=shape[1], height=shape[2], width=shape[3]), maps)

    exact, scale = maps.double().mean((2, 3)), maps.double().abs().mean((2, 3))
    assert found.dtype == np.float32
    assert ((torch.from_numpy(found).double() - exact).abs() <= 1e-6 * scale).all()


def test_a_pass_fills_the_columns_of_every_layer() -> None:
    network, images = build(Plain), pixels(9)
    sites = find_sites(network)
    outputs: dict[str, torch.Tensor] = {}
    with Means(sites, 9) as means:
        look(network, images, [means], batch=4)
        hooks = [
            s.module.register_forward_hook(lambda _, __, y, name=s.layer: outputs.update({name: y.clone()}))
            for s in sites
        ]
        look(network, images, [], batch=9)

        assert means.columns == {
            "conv": slice(0, 4),
            "norm": slice(4, 8),
            "last": slice(8, 13),
            "fc": slice(13, 15),
        }
        for name, columns in means.columns.items():
            expected = outputs[name].double()
            expected = expected.mean((2, 3)) if expected.ndim == 4 else expected
            np.testing.assert_allclose(means.array[:, columns], expected, rtol=1e-5, atol=1e-6)
    for hook in hooks:
        hook.remove()


@given(st.integers(1, 12), st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 12))
def test_shards_merge_into_the_whole(images: int, sizes: list[int], cut: int) -> None:
    maps = torch.randn(images, 3, 5, 4, generator=torch.Generator().manual_seed(images))
    cut = 1 + cut % images if images > 1 else 0

    def means(part: torch.Tensor) -> Means:
        seen = Means([site()], len(part))
        for numbers in batches(len(part), sizes):
            seen.see(0, part[numbers], numbers)
        return seen

    whole = means(maps)
    if 0 < cut < images:
        first, second = means(maps[:cut]), means(maps[cut:])
        first.merge(second)
        np.testing.assert_array_equal(first.array, whole.array)
    np.testing.assert_array_equal(whole.array, spatial_means(site(), maps))


def test_different_layers_do_not_merge() -> None:
    with pytest.raises(PrunescopeError, match="different layers"):
        Means([site("a")], 2).merge(Means([site("b")], 2))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_that_are_no_numbers_are_refused_with_the_layer(bad: float, dtype: torch.dtype) -> None:
    maps = torch.zeros(2, 3, 5, 4, dtype=dtype)
    maps[1, 2, 4, 3] = bad

    with pytest.raises(PrunescopeError, match=r"^layer1\.conv puts out NaN or infinite values"):
        Means([site("layer1.conv")], 2).see(0, maps, np.arange(2))


def test_the_file_has_no_name_and_goes_with_the_array(tmp_path: Path) -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir())) if descriptors.exists() else 0
    with Means([site()], 5, tmp_path) as means:
        assert isinstance(means.array, np.memmap)
        means.array[:] = 1
        assert not list(tmp_path.iterdir())
    assert means.array.size == 0
    assert not descriptors.exists() or len(list(descriptors.iterdir())) == before


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # a real refusal, by the system
    try:
        with pytest.raises(
            NoRoomError, match=f"no room left on the disk while writing activations to {tmp_path}"
        ):
            temporary_array((100, 100), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_room_is_taken_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)

    with pytest.raises(NoRoomError):
        Means([site()], 5, tmp_path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(PrunescopeError, match="writing activations to"):
        Means([site()], 5, tmp_path / "file")
