"""SNIP against gates moved by hand, and by filter against torch-pruning."""

from __future__ import annotations

import pytest
import torch
import torch_pruning
from gradient_toys import images, scores_of, toy
from torch import nn
from torch.nn import functional

from oracles.channels import carry
from oracles.slow_gradients import snip_by_gates
from prunescope.errors import PrunescopeError
from prunescope.pruning.calibration import Calibration
from prunescope.pruning.granularity import GRANULARITIES


@pytest.fixture(scope="module")
def gates() -> dict[str, torch.Tensor]:
    calibration = images()
    return snip_by_gates(toy(), calibration.inputs, calibration.labels)


@pytest.mark.parametrize("granularity", ["weight", "filter", "connection", "kernel", "n:m"])
def test_snip_is_the_derivative_by_a_gate_on_every_weight(
    gates: dict[str, torch.Tensor], granularity: str
) -> None:
    scores = scores_of(toy(), "snip", granularity, images(batch=2))

    assert scores.keys() == gates.keys()
    for name, expected in gates.items():
        summed = GRANULARITIES[granularity].reduce(expected)
        assert summed.max() > 1e-4
        torch.testing.assert_close(scores[name], summed, rtol=1e-6, atol=1e-10)


def test_by_filter_as_torch_pruning_has_it() -> None:
    """Of its group only the filters themselves: it also adds batch norms and the layers that read the channel."""
    network = toy(
        nn.Sequential(
            nn.Conv2d(3, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 4, 3),
            nn.Flatten(),
            nn.Linear(64, 3),
        )
    )
    calibration = images()
    functional.cross_entropy(network(calibration.inputs), calibration.labels).backward()
    graph = torch_pruning.DependencyGraph().build_dependency(network, calibration.inputs[:1])
    theirs = torch_pruning.importance.TaylorImportance(normalizer=None, group_reduction="sum")
    scores = scores_of(network, "snip", "filter", calibration)
    for name in ("0", "3"):
        layer = network.get_submodule(name)
        group = graph.get_pruning_group(
            layer, torch_pruning.prune_conv_out_channels, idxs=list(range(layer.out_channels))
        )
        only = torch_pruning.Group()
        only._group = [item for item in group if item.dep.target.module is layer]
        expected = theirs(only)

        assert len(only._group) == 1
        torch.testing.assert_close(scores[name].flatten().float(), expected, rtol=1e-5, atol=0)


def test_what_was_removed_has_no_score() -> None:
    network = toy()
    network.stem.weight.data[1] = 0

    scores = scores_of(network, "snip", "weight", images())["stem"]

    assert not scores[1].any()
    assert scores[[0, 2]].any()


@pytest.mark.parametrize("score", ["snip", "grasp", "taylor", "lrp"])
def test_labels_that_the_network_has_no_class_for(score: str) -> None:
    calibration = Calibration(images().inputs, torch.tensor([0, 1, 2, 3, 0]))

    with pytest.raises(PrunescopeError, match="labels from 0 to 3, but the network has 3 classes"):
        scores_of(toy(), score, calibration=calibration)


@pytest.mark.parametrize("score", ["snip", "grasp", "taylor"])
def test_without_images(score: str) -> None:
    with pytest.raises(PrunescopeError, match=f"{score} looks at labelled images"):
        scores_of(toy(), score)


@pytest.mark.parametrize("score", ["snip", "grasp", "taylor", "synflow"])
@pytest.mark.parametrize("dead", ["zero weights", "cut off"])
def test_a_dead_network_is_named(score: str, dead: str) -> None:
    """Zeros behind the chosen layers, or an output that takes nothing from them."""

    class CutOff(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).mean((2, 3)).detach() * 0

    network = (
        CutOff() if dead == "cut off" else nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten(), nn.Linear(3, 3))
    )
    network = carry(network.double())
    if dead == "zero weights":
        for parameter in network.parameters():
            nn.init.zeros_(parameter)
    calibration = Calibration(torch.zeros(4, 3, 8, 8).double(), torch.tensor([0, 1, 2, 0]))

    with pytest.raises(PrunescopeError, match=f"{score} finds that all gradients are 0"):
        scores_of(network, score, calibration=calibration)
