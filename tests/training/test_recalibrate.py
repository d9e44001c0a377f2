"""Batch-norm statistics measured anew: closed forms, and nothing else moves."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.networks.network import preprocess_of
from prunescope.training.evaluation import LabelledPixels, predict
from prunescope.training.recalibrate import recalibrate
from training.small import INPUT, images, same_bits, tiny


def trained() -> Any:
    """Return a network whose running statistics are those of no images, with dropout."""
    network: Any = tiny(dropout=0.5)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)  # type: ignore[union-attr]
            module.num_batches_tracked.fill_(77)  # type: ignore[union-attr]
    return network


def first_maps(network: Any, data: LabelledPixels, indices: Any) -> torch.Tensor:
    """Return what the first batch norm is given, (channels, images * positions), in float64."""
    pixels = np.stack([data.pixels[int(index)] for index in indices])
    x = preprocess_of(network).normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2)).double()
    maps = nn.functional.conv2d(x, network.conv1.weight.detach().double(), stride=2, padding=1)
    return maps.transpose(0, 1).flatten(1)


def test_one_batch_of_all_images_is_their_mean_and_variance() -> None:
    network, data = trained(), images(24)
    recalibrate(network, data, 24)
    maps = first_maps(network, data, range(24))
    torch.testing.assert_close(network.bn1.running_mean.double(), maps.mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network.bn1.running_var.double(), maps.var(1), rtol=1e-5, atol=1e-6)
    inner = network.bn3[0]  # behind two others: seen with their new statistics of the same batch
    assert inner.num_batches_tracked == 1
    assert not torch.equal(inner.running_mean, trained().bn3[0].running_mean)


@pytest.mark.parametrize(("count", "batch", "sizes"), [(24, 8, [8] * 3), (10, 4, [4, 3, 3]), (5, 2, [3, 2])])
def test_several_batches_are_averaged_plainly(count: int, batch: int, sizes: list[int]) -> None:
    network, data = trained(), images(24)
    seen: list[torch.Tensor] = []
    network.conv1.register_forward_hook(lambda _, __, maps: seen.append(maps.detach()))
    recalibrate(network, data, count, batch=batch)
    assert [len(maps) for maps in seen] == sizes
    parts = [maps.double().transpose(0, 1).flatten(1) for maps in seen]
    mean, variance = (
        torch.stack(values).mean(0) for values in ([p.mean(1) for p in parts], [p.var(1) for p in parts])
    )
    torch.testing.assert_close(network.bn1.running_mean.double(), mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network.bn1.running_var.double(), variance, rtol=1e-5, atol=1e-6)
    assert network.bn1.num_batches_tracked == len(sizes)


def test_the_images_are_a_seeded_draw_balanced_over_the_classes_and_shuffled() -> None:
    full = images(30)
    few = np.flatnonzero((full.labels != 0) | (np.arange(30) < 12))  # 4, 10 and 10 of the classes
    few = few[np.argsort(full.labels[few], kind="stable")]  # one class after the other
    data = LabelledPixels(full.pixels, full.labels, few)
    whose = {round(float(first_maps(tiny(), data, [i]).sum()), 3): i for i in few}

    def drawn(seed: int) -> list[int]:
        network: Any = tiny()
        given: list[torch.Tensor] = []
        network.conv1.register_forward_hook(lambda _, __, maps: given.append(maps.double().sum((1, 2, 3))))
        recalibrate(network, data, 12, seed=seed, batch=5)
        return [
            whose[min(whose, key=lambda known: abs(known - total))] for total in torch.cat(given).tolist()
        ]

    assert drawn(1) == drawn(1)
    assert set(drawn(1)) != set(drawn(2))
    assert np.bincount(full.labels[drawn(1)]).tolist() == [4, 4, 4]
    assert len(set(drawn(1))) == 12
    assert (np.diff(full.labels[drawn(1)]) < 0).any()  # else each batch would be of one class


def test_everything_else_stays_as_it_was() -> None:
    network, data = trained(), images(12)
    network.train()
    network.bn2.eval()
    network.bn2.momentum = 0.3
    network.conv1.weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(4)
    random = torch.get_rng_state()
    recalibrate(network, data, 12)
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    norms = ("bn1.", "bn2.", "bn3.0.")
    assert moved == {n + s for n in norms for s in ("running_mean", "running_var", "num_batches_tracked")}
    assert [m.training for m in (network, network.bn1, network.bn2, network.bn3[1])] == [
        True,
        True,
        False,
        True,
    ]
    assert (network.bn1.momentum, network.bn2.momentum) == (0.1, 0.3)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.conv1.weight.requires_grad
    assert network.conv2.weight.is_contiguous()
    assert torch.equal(torch.get_rng_state(), random)


def test_after_an_exception_the_statistics_are_the_old_ones() -> None:
    network, before = trained().train(), trained()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    handle = network.bn3[0].register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        recalibrate(network, images(12), 12)
    handle.remove()
    assert same_bits(network.state_dict(), before.state_dict())
    assert [module.momentum for module in (network.bn1, network.bn2)] == [0.1, 0.1]
    assert network.bn1.training


def test_dropout_is_off_and_twice_is_once() -> None:
    one = trained()
    recalibrate(one, images(24), 24)
    twice = copy.deepcopy(one)
    torch.manual_seed(1)
    recalibrate(twice, images(24), 24)
    assert same_bits(one.state_dict(), twice.state_dict())


class WithHead(nn.Module):
    """A batch norm in an auxiliary head, which runs in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.side = nn.BatchNorm2d(4)
        self.untracked = nn.BatchNorm2d(4, track_running_stats=False)
        self.preprocess = INPUT
        nn.init.constant_(self.side.running_mean, 3.0)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.untracked(self.norm(self.conv(x)))
        if self.training:
            x = self.side(x)
        return x.mean((2, 3))


def test_a_batch_norm_that_no_image_reaches_keeps_its_statistics() -> None:
    network = WithHead()
    recalibrate(network, images(8), 8)
    assert network.norm.num_batches_tracked == 1
    assert (network.side.running_mean == 3).all()  # type: ignore[union-attr]
    assert network.side.num_batches_tracked == 0


def test_it_undoes_what_a_scale_of_the_weights_did() -> None:
    network, scaled, unseen = tiny(), tiny(), images(12, seed=9)
    with torch.no_grad():
        scaled.conv2.weight.mul_(20)  # type: ignore[operator, union-attr]
    recalibrate(network, images(24), 24)
    assert not torch.allclose(predict(network, unseen), predict(scaled, unseen), rtol=0.1)
    recalibrate(scaled, images(24), 24)
    torch.testing.assert_close(predict(network, unseen), predict(scaled, unseen), rtol=1e-2, atol=1e-3)


def test_what_cannot_be_recalibrated() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten())
    plain.preprocess = INPUT  # type: ignore[assignment]
    with pytest.raises(
        PrunescopeError, match="needs batch norms with running statistics: this network has none"
    ):
        recalibrate(plain, images(8), 8)
    for count in (9, 1, 0):
        with pytest.raises(
            PrunescopeError, match=rf"cannot recalibrate on {count} images: choose from 2 up to 8"
        ):
            recalibrate(tiny(), images(8), count)
