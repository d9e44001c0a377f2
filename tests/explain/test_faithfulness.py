"""Deletion and insertion: against pictures made one by one, closed forms, and what must hold for any network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from scipy.ndimage import gaussian_filter
from torch import nn

from explain.followed import SIDE, follow, normalised, sure, untied
from oracles.slow_faithfulness import slow_curves
from prunescope.errors import PrunescopeError
from prunescope.explain.baselines import Baseline, baseline_of
from prunescope.explain.faithfulness import areas
from prunescope.networks.preprocess import Preprocess
from prunescope.training.evaluation import LabelledPixels
from training.small import images as noise


class Bright(nn.Module):
    """Two logits: the sum of all inputs by `scale`, and 0."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.preprocess = Preprocess(resize=None, crop=SIDE, mean=(0, 0, 0), std=(1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = x.sum((1, 2, 3)) * self.scale
        return torch.stack([total, torch.zeros_like(total)], 1)


class Watched(nn.Module):
    """Puts out its logits first of two outputs, and notes how many pictures it saw."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.preprocess = network, network.preprocess
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen.append(len(x))
        return self.network(x), x


@pytest.mark.parametrize("baseline", ["mean", "blur", "black"])
@pytest.mark.parametrize("steps", [1, 7, 40])
def test_curves_equal_those_of_pictures_made_one_by_one(baseline: Baseline, steps: int) -> None:
    network, images, maps = sure(), noise(3), untied(3)
    whole, targets = normalised(network, images), np.array([2, 0, 1])

    found = follow(network, images, maps, targets=targets, steps=steps, baseline=baseline)

    bare = baseline_of(whole, baseline, network.preprocess)
    deletion, insertion = slow_curves(network, whole, bare, maps, targets, steps)
    np.testing.assert_allclose(found.deletion, deletion, atol=1e-5)
    np.testing.assert_allclose(found.insertion, insertion, atol=1e-5)
    np.testing.assert_array_equal(found.fractions, np.arange(steps + 1) / steps)
    assert np.ptp(deletion) > 0.1  # else agreeing would be easy


def test_curves_of_a_sum_are_sums() -> None:
    network, images = Bright(0.01), noise(4)
    light = normalised(network, images).sum(1).double().flatten(1)  # (images, pixels)
    maps = light.view(-1, SIDE, SIDE).float().numpy()

    found = follow(network, images, maps, targets=np.zeros(4, np.int64), steps=8)

    gone = torch.cat([torch.zeros(4, 1), light.sort(1, descending=True).values.cumsum(1)[:, 31::32]], 1)
    total = gone[:, -1:]
    np.testing.assert_allclose(found.deletion, (0.01 * (total - gone)).sigmoid(), atol=1e-5)
    np.testing.assert_allclose(found.insertion, (0.01 * gone).sigmoid(), atol=1e-5)
    assert (areas(found.insertion) > areas(found.deletion)).all()


@pytest.mark.parametrize("baseline", ["mean", "blur", "black"])
def test_insertion_is_deletion_of_the_map_turned_round(baseline: Baseline) -> None:
    network, images, maps = sure(), noise(5), untied(5)
    one, other = (follow(network, images, each, baseline=baseline) for each in (maps, maps.max() + 1 - maps))

    np.testing.assert_allclose(one.insertion, other.deletion[:, ::-1], atol=1e-6)
    np.testing.assert_allclose(one.deletion, other.insertion[:, ::-1], atol=1e-6)


def test_a_random_order_is_neither_faithful_nor_unfaithful_with_one_baseline_only() -> None:
    network, images = sure(), noise(1)
    many = LabelledPixels(images.pixels, images.labels, np.zeros(400, np.int64))  # one image, 400 orders
    maps = untied(400)
    found = {baseline: follow(network, many, maps, baseline=baseline) for baseline in ("mean", "blur")}

    def in_errors(insertion: Baseline, deletion: Baseline) -> float:
        """Return the mean of insertion - deletion, in standard errors."""
        differences = areas(found[insertion].insertion) - areas(found[deletion].deletion)
        return float(abs(differences.mean()) / differences.std() * np.sqrt(len(differences)))

    assert in_errors("mean", "mean") < 3
    assert in_errors("blur", "blur") < 3
    assert in_errors("blur", "mean") > 10


@pytest.mark.parametrize("batch", [1, 5, 32, 33, 1000])
def test_the_batch_changes_nothing_and_bounds_what_is_shown_at_once(batch: int) -> None:
    images, maps = noise(5), untied(5)
    network = Watched(sure())
    expected = follow(sure(), images, maps, steps=16)

    found = follow(network, images, maps, steps=16, batch=batch)

    np.testing.assert_allclose(found.deletion, expected.deletion, atol=1e-6)
    np.testing.assert_allclose(found.insertion, expected.insertion, atol=1e-6)
    assert max(network.seen) <= batch
    assert sum(network.seen) == 2 * 16 * 5  # the limit: both curves share their ends


def test_an_image_has_its_curves_whatever_stands_beside_it() -> None:
    images, maps = noise(6), np.round(untied(6) / 64)  # many ties, which the name decides
    everything = follow(sure(), images, maps)
    chosen = np.array([4, 1])

    some = follow(sure(), LabelledPixels(images.pixels, images.labels, chosen), maps[chosen])

    np.testing.assert_allclose(some.deletion, everything.deletion[chosen], atol=1e-6)
    np.testing.assert_allclose(some.insertion, everything.insertion[chosen], atol=1e-6)


def test_equal_values_have_no_order_by_place() -> None:
    network, images, flat = sure(), noise(1), np.ones((1, SIDE, SIDE), np.float32)
    by_place = SIDE * SIDE - np.arange(SIDE * SIDE, dtype=np.float32).reshape(1, SIDE, SIDE)
    one, again, other = (follow(network, images, flat, seed=seed).deletion for seed in (0, 0, 1))

    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other, atol=1e-4)
    assert not np.allclose(one, follow(network, images, by_place).deletion, atol=1e-4)


def test_empty_maps_have_no_curves_and_cost_nothing() -> None:
    images, maps, network = noise(3), untied(3), Watched(sure())
    expected = follow(sure(), images, maps)
    maps[1] = np.minimum(-maps[1], 0)
    done: list[tuple[int, int]] = []

    found = follow(network, images, maps, progress=lambda *counts: done.append(counts))

    for curves, whole in zip(found[:2], expected[:2], strict=True):
        assert np.isnan(curves[1]).all()
        np.testing.assert_allclose(curves[[0, 2]], whole[[0, 2]], atol=1e-6)
    assert sum(network.seen) == 2 * 16 * 2
    assert done[-1] == (3, 3)
    assert np.isnan(follow(network, images, np.zeros_like(maps)).insertion).all()


def test_the_network_is_left_as_it_was() -> None:
    network = sure().train()
    network.bn1.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}

    follow(network, noise(2), untied(2))

    assert network.training
    assert not network.bn1.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.requires_grad and not weight.is_inference() for weight in network.parameters())


def test_bf16_is_near() -> None:
    one, other = (follow(sure(), noise(4), untied(4), precision=precision) for precision in ("fp32", "bf16"))
    differences = np.abs(one.deletion - other.deletion)

    assert 0 < differences.max() < 0.1


def test_the_baselines_are_what_they_are_called() -> None:
    preprocess = Preprocess(crop=90)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 90, 90), dtype=np.uint8))
    whole = preprocess.normalise(pixels)

    assert not baseline_of(whole, "mean", preprocess).any()
    black = baseline_of(whole, "black", preprocess)
    assert torch.equal(black, preprocess.normalise(torch.zeros_like(pixels)))
    sigma = 5 * 90 / 224
    expected = gaussian_filter(whole.double().numpy(), (0, 0, sigma, sigma), mode="mirror", truncate=3)
    np.testing.assert_allclose(baseline_of(whole, "blur", preprocess), expected, atol=1e-5)


def test_areas_are_those_of_trapezoids() -> None:
    curves = np.random.default_rng(0).random((5, 9))

    np.testing.assert_allclose(areas(curves), trapezoid(curves, dx=1 / 8))
    np.testing.assert_allclose(areas(np.array([[1.0, 1, 1], [0, 0.5, 1], [1, 0, 0]])), [1, 0.5, 0.25])


def test_what_does_not_fit_is_refused() -> None:
    network, images, maps = sure(), noise(3), untied(3)
    targets = images.targets.numpy()

    with pytest.raises(PrunescopeError, match=r"shape \(3, 4, 4\), expected \(3, 16, 16\).*upsample"):
        follow(network, images, maps[:, ::4, ::4])
    with pytest.raises(PrunescopeError, match="2 targets and 3 names for 3 images"):
        follow(network, images, maps, targets=targets[:2])
    with pytest.raises(PrunescopeError, match="no class 3: the network puts out 3"):
        follow(network, images, maps, targets=np.array([0, 3, 1]))
    with pytest.raises(PrunescopeError, match="257 steps, expected at least 1 and at most the 256 pixels"):
        follow(network, images, maps, steps=257)
    maps[1, 2, 3] = np.nan
    with pytest.raises(PrunescopeError, match=r"maps of 1 of 3 images .* \(image 1\)"):
        follow(network, images, maps)


def test_a_broken_network_is_named_as_such() -> None:
    network = sure()
    with torch.no_grad():
        network.fc.bias[0] = torch.nan

    with pytest.raises(PrunescopeError, match="not finite for parts of 3 of 3 images"):
        follow(network, noise(3), untied(3))
