"""GraSP against differences of the squared gradient, and its sign against removing weights one by one."""

from __future__ import annotations

import pytest
import torch
from gradient_toys import images, scores_of, toy
from torch import nn
from torch.nn import functional

from oracles.slow_gradients import grasp_by_differences, squared_gradient, without_each
from prunescope.errors import PrunescopeError
from prunescope.networks.layers import find_layers
from prunescope.pruning.granularity import GRANULARITIES, WEIGHT
from prunescope.pruning.scores.grasp import TEMPERATURE, grasp
from prunescope.pruning.scores.score import ScoreRequest


class Small(nn.Module):
    """Smooth, so that differences are exact; with batch norm, pooling and a layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 2, 3, stride=2)
        self.norm = nn.BatchNorm2d(2)
        self.b = nn.Conv2d(2, 2, 3, padding=1)
        self.fc = nn.Linear(2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.silu(self.norm(self.a(x)), inplace=True)
        x = functional.hardswish(self.b(functional.max_pool2d(x, 2, 1)), inplace=True)
        return self.fc(torch.tanh(self.b(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def differences() -> dict[str, torch.Tensor]:
    calibration = images()
    return grasp_by_differences(toy(Small()), calibration.inputs, calibration.labels, TEMPERATURE)


@pytest.mark.parametrize("granularity", ["weight", "filter", "connection", "kernel", "n:m"])
def test_grasp_is_the_slope_of_the_squared_gradient(
    differences: dict[str, torch.Tensor], granularity: str
) -> None:
    scores = scores_of(toy(Small()), "grasp", granularity, images(batch=2))

    assert scores.keys() == differences.keys()
    scale = max(expected.abs().max() for expected in differences.values())
    for name, expected in differences.items():
        summed = GRANULARITIES[granularity].reduce(expected)
        torch.testing.assert_close(scores[name] / scale, summed / scale, rtol=1e-5, atol=1e-6)


class Wide(nn.Module):
    """So many weights that each is small beside all others, and the first order is enough."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, stride=2)
        self.b = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.tanh(self.b(functional.silu(self.a(x)))).mean((2, 3)))


@pytest.mark.parametrize("seed", [1, 2])
def test_without_the_lowest_most_gradient_flows(seed: int) -> None:
    """The sign: each weight is removed in turn. The lowest score raises the flow most, the highest takes most of it."""
    network, calibration = toy(Wide(), seed), images()

    def flow(network: nn.Module) -> float:
        return squared_gradient(network, calibration.inputs, calibration.labels, TEMPERATURE)

    without = without_each(network, flow)
    scores = scores_of(network, "grasp", "weight", calibration)

    order = sorted(without, key=lambda place: scores[place[0]].flatten()[place[1]].item())
    assert without[order[0]] == max(without.values()) > flow(network)
    assert without[order[-1]] == min(without.values()) < flow(network)
    by_flow = sorted(without, key=without.__getitem__, reverse=True)
    ranks = torch.tensor([order.index(place) for place in by_flow])
    assert torch.corrcoef(torch.stack([ranks, torch.arange(len(ranks))]).double())[0, 1] > 0.9  # Spearman


def test_layers_that_are_not_chosen_count_as_flow() -> None:
    """So a layer's scores do not depend on which others are chosen."""
    network, calibration = toy(Small()), images()
    only = {"a": find_layers(network)["a"]}
    scores = grasp(ScoreRequest(network, only, WEIGHT, torch.Generator(), calibration))

    assert list(scores) == ["a"]
    torch.testing.assert_close(scores["a"], scores_of(network, "grasp", "weight", calibration)["a"])


def test_attention_can_be_differentiated_twice() -> None:
    class Attentive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 4, stride=4)
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
            self.fc = nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = self.stem(x).flatten(2).transpose(1, 2)
            return self.fc(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))

    scores = scores_of(toy(Attentive()), "grasp", "weight", images())

    assert all(values.isfinite().all() and values.any() for values in scores.values())


def test_what_has_no_second_derivative_is_named() -> None:
    """The function, unlike the module `nn.Hardsigmoid`, cannot be replaced."""

    class Hard(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.hardsigmoid(self.conv(x).flatten(1))

    with pytest.raises(PrunescopeError, match=r"no.* of something that the network computes \(.*hardsigmoid"):
        scores_of(toy(Hard()), "grasp", calibration=images())

    network = toy(nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten(), nn.Hardsigmoid(), nn.Linear(3, 3)))
    expected = grasp_by_differences(network, images().inputs, images().labels, TEMPERATURE)["0"]
    scores = scores_of(network, "grasp", "weight", images())["0"]
    scale = expected.abs().max()
    torch.testing.assert_close(scores / scale, expected / scale, rtol=0, atol=1e-4)
