"""First-order Taylor of activations against gates on channels moved by hand."""

from __future__ import annotations

import pytest
import torch
from gradient_toys import images, scores_of, toy
from torch import nn

from oracles.slow_gradients import taylor_by_gates
from prunescope.errors import PrunescopeError
from prunescope.pruning.calibration import Calibration

POSITIONS = {"stem": 16, "one": 4, "fc": 1}  # of 8 x 8 pixels, halved


@pytest.mark.parametrize("layer", POSITIONS)
def test_taylor_is_the_derivative_by_a_gate_on_every_channel(layer: str) -> None:
    """`one` shares its weight with `other`, so that both go together."""
    calibration = images(batch=2)

    scores = scores_of(toy(), "taylor", calibration=calibration)[layer]

    expected = taylor_by_gates(toy(), layer, POSITIONS[layer], calibration.inputs, calibration.labels)
    assert scores.shape == (len(expected), *[1] * (1 if layer == "fc" else 3))
    assert scores.flatten().tolist() == pytest.approx(expected, rel=1e-6)


def test_calls_of_one_layer_add_up() -> None:
    """Once it puts out 16 positions and once 4: each call counts by its mean over them."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.fc = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first = self.conv(x[:, :, ::2, ::2])
            return self.fc(first.square().mean((2, 3)) - 2 * self.conv(x[:, :, ::4, ::4]).tanh().sum((2, 3)))

    network, calibration = toy(Twice()), images()
    first, second = [], []
    inputs = calibration.inputs
    for i in range(len(inputs)):
        one = network.conv(inputs[i : i + 1, :, ::2, ::2]).detach().requires_grad_()
        two = network.conv(inputs[i : i + 1, :, ::4, ::4]).detach().requires_grad_()
        logits = network.fc(one.square().mean((2, 3)) - 2 * two.tanh().sum((2, 3)))
        nn.functional.cross_entropy(logits, calibration.labels[i : i + 1]).backward()
        first.append((one * one.grad).mean((0, 2, 3)))
        second.append((two * two.grad).mean((0, 2, 3)))

    scores = scores_of(network, "taylor", calibration=calibration)["conv"].flatten()

    expected = (torch.stack(first) + torch.stack(second)).abs().mean(0)
    assert not torch.allclose(torch.stack(first).abs().mean(0), expected, rtol=0.01)
    torch.testing.assert_close(scores, expected)


def test_before_and_behind_a_relu_the_product_is_the_same() -> None:
    network = toy(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 3)))
    calibration = images()
    behind = network[:2](calibration.inputs).detach().requires_grad_()
    calibration.loss(network[2:], behind, calibration.labels).backward()
    expected = (behind * behind.grad).mean((2, 3)).abs().sum(0)

    scores = scores_of(network, "taylor", calibration=calibration)["0"]

    torch.testing.assert_close(scores.flatten(), expected)


def test_windows_of_an_image_are_one_image() -> None:
    """A linear layer that is given (images * windows, tokens, features), as in Swin."""

    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(3, 4)
            self.fc = nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = x.flatten(2).transpose(1, 2)  # (images, 64, 3)
            mixed = self.mix(tokens.reshape(-1, 16, 3)).relu()  # (images * 4, 16, 4)
            return self.fc(mixed.view(len(x), 64, 4).mean(1))

    calibration = images()

    scores = scores_of(toy(Windows()), "taylor", calibration=calibration)["mix"]

    expected = taylor_by_gates(toy(Windows()), "mix", 64, calibration.inputs, calibration.labels)
    assert scores.flatten().tolist() == pytest.approx(expected, rel=1e-6)


def test_a_layer_whose_results_do_not_belong_to_images_is_named() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Linear(2, 3)
            self.conv = nn.Conv2d(3, 3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).mean((2, 3)) * self.table(torch.ones(1, 2, dtype=x.dtype, device=x.device))

    with pytest.raises(
        PrunescopeError, match="taylor cannot score table: for 5 images it puts out 1 results"
    ):
        scores_of(toy(Table()), "taylor", calibration=images())


@pytest.mark.parametrize("granularity", ["weight", "connection", "kernel", "n:m"])
def test_taylor_scores_filters_only(granularity: str) -> None:
    with pytest.raises(
        PrunescopeError, match=f"taylor cannot score by {granularity}: .* it scores by filter"
    ):
        scores_of(toy(), "taylor", granularity, images())


def test_a_removed_filter_has_no_score() -> None:
    network = toy()
    for parameter in network.stem.parameters():
        parameter.data[1] = 0

    scores = scores_of(network, "taylor", calibration=images())["stem"].flatten()

    assert scores[1] == 0
    assert scores[0] > 0


def test_images_as_network_inputs_stay_as_they_are() -> None:
    """Also where the network's first act is to change them in place."""
    network = toy(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 3, 8), nn.Flatten()))
    calibration = images()
    before = calibration.inputs.clone()

    scores_of(network, "taylor", calibration=Calibration(calibration.inputs, calibration.labels))

    assert torch.equal(calibration.inputs, before)
