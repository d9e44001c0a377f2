from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from probe.toys import Plain, Twice, build, inputs, pixels
from prunescope.errors import PrunescopeError
from prunescope.probe.look import look
from prunescope.probe.sites import Site, find_sites, rotated


class Keeps:
    """Keeps copies of all that it sees."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = sites
        self.seen: list[tuple[int, torch.Tensor, NDArray[np.int64]]] = []

    def see(self, site: int, maps: torch.Tensor, images: NDArray[np.int64]) -> None:
        self.seen.append((site, maps.clone(), images.copy()))

    def maps(self, site: int) -> torch.Tensor:
        return torch.cat([maps for index, maps, _ in self.seen if index == site])

    def images(self, site: int) -> list[int]:
        return [int(i) for index, _, images in self.seen if index == site for i in images]


class Fails(Keeps):
    def __init__(self, sites: Sequence[Site], error: BaseException) -> None:
        super().__init__(sites)
        self.error = error

    def see(self, site: int, maps: torch.Tensor, images: NDArray[np.int64]) -> None:
        raise self.error


def test_maps_are_what_the_layers_put_out_before_an_operation_in_place() -> None:
    network, images = build(Plain), pixels(7)
    keeps = Keeps(find_sites(network))

    look(network, images, [keeps], batch=3)

    with torch.no_grad():
        x = inputs(network, images)
        conv = network.conv(x)
        norm = network.norm(conv)
        last = network.last(torch.relu(norm))
        expected = [conv, norm, last, network.fc(last.mean((2, 3)))[:, :, None, None]]
    for site, maps in enumerate(expected):
        torch.testing.assert_close(keeps.maps(site), maps)
        assert keeps.images(site) == list(range(7))
    assert (norm < 0).any()  # so that a map after the in-place ReLU would differ


def test_a_module_used_twice_is_seen_twice_in_each_batch() -> None:
    network, images = build(Twice), pixels(5)
    keeps = Keeps(find_sites(network, ["shared"]))

    look(network, images, [keeps], batch=2)

    with torch.no_grad():
        first = network.shared(inputs(network, images))
        second = network.shared(nn.functional.avg_pool2d(torch.relu(network.norm1(first)), 2))
    torch.testing.assert_close(keeps.maps(0), first)
    torch.testing.assert_close(keeps.maps(1), second)


def test_only_the_second_call_may_be_looked_at() -> None:
    network = build(Twice)
    keeps = Keeps(find_sites(network, ["shared"])[1:])

    look(network, pixels(4), [keeps], batch=2)

    assert keeps.maps(0).shape == (4, 3, 4, 4)


def test_several_observers_share_one_pass() -> None:
    network = build(Plain)
    sites = find_sites(network)
    one, two = Keeps(sites[:2]), Keeps([sites[1], rotated(sites[1], 0)])
    passes = []
    hook = network.register_forward_hook(lambda *_: passes.append(1))

    look(network, pixels(6), [one, two], batch=2)
    hook.remove()

    assert len(passes) == 3
    assert torch.equal(one.maps(1), two.maps(0))
    torch.testing.assert_close(two.maps(1), torch.einsum("uv,nvhw->nuhw", two.sites[1].rotation, two.maps(0)))


def test_a_layer_that_nobody_looks_at_has_no_hook() -> None:
    network = build(Plain)
    hooked: list[str] = []

    class Looks(Keeps):
        def see(self, site: int, maps: torch.Tensor, images: NDArray[np.int64]) -> None:
            hooked.extend(name for name, module in network.named_modules() if module._forward_hooks)

    look(network, pixels(2), [Looks(find_sites(network, ["last"]))])

    assert hooked == ["last"]


def test_images_are_numbered_by_their_place_in_the_pass() -> None:
    network = build(Plain)
    some, every = Keeps(find_sites(network, ["last"])), Keeps(find_sites(network, ["last"]))
    chosen = np.array([4, 0, 3])

    look(network, pixels(5), [some], indices=chosen, batch=2)
    look(network, pixels(5), [every])

    assert some.images(0) == [0, 1, 2]
    torch.testing.assert_close(some.maps(0), every.maps(0)[torch.from_numpy(chosen)])


def test_progress_counts_images() -> None:
    network, calls = build(Plain), []

    look(network, pixels(5), [], batch=2, progress=lambda done, total: calls.append((done, total)))

    assert calls == [(2, 5), (4, 5), (5, 5)]


def test_half_precision_shows_half_precision_maps_and_leaves_observers_alone() -> None:
    network, types = build(Plain), []

    class Multiplies(Keeps):
        def see(self, site: int, maps: torch.Tensor, images: NDArray[np.int64]) -> None:
            types.append((maps.dtype, (torch.ones(2, 2) @ torch.ones(2, 2)).dtype, torch.is_grad_enabled()))

    look(network, pixels(2), [Multiplies(find_sites(network, ["last"]))], precision="bf16")

    assert types == [(torch.bfloat16, torch.float32, False)]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["observer", "forward pass", "progress"])
def test_everything_is_restored_after_an_exception(error: BaseException, where: str) -> None:
    network = build(Plain).train()
    network.norm.eval()
    modes = [module.training for module in network.modules()]
    sites = find_sites(network)

    def stop(*_: object) -> None:
        raise error

    observer = Fails(sites, error) if where == "observer" else Keeps(sites)
    own = network.act.register_forward_hook(stop) if where == "forward pass" else None
    with pytest.raises(type(error)):
        look(network, pixels(4), [observer], progress=stop if where == "progress" else lambda *_: None)
    if own is not None:
        own.remove()

    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_hooks for module in network.modules())
    assert network.conv.weight.is_contiguous()
    assert torch.is_grad_enabled()
    assert all(parameter.requires_grad for parameter in network.parameters())


class Sometimes(nn.Module):
    """Leaves a layer out for bright images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.extra = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x) if x.max() > 0 else self.extra(self.conv(x))
        return x.mean((2, 3))


def test_a_layer_that_some_images_leave_out_is_refused_by_name() -> None:
    network = build(Sometimes)  # the example image is black

    with pytest.raises(PrunescopeError, match=r"^extra was not used for the images 0 to 1"):
        look(network, pixels(4), [Keeps(find_sites(network))], batch=2)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_size_of_a_batch_decides_nothing(batch: int) -> None:
    network, images = build(Plain), pixels(8)
    whole, parts = Keeps(find_sites(network)), Keeps(find_sites(network))

    look(network, images, [whole], batch=8)
    look(network, images, [parts], batch=batch)

    for site in range(4):
        torch.testing.assert_close(whole.maps(site), parts.maps(site))
