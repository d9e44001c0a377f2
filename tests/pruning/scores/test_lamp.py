from __future__ import annotations

import pytest
import torch
import torch_pruning
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from oracles.channels import TOYS
from oracles.slow_weight_scores import groups_of, lamp
from prunescope.networks.layers import find_layers
from prunescope.pruning.granularity import GRANULARITIES, WEIGHT
from prunescope.pruning.scores import all_scores
from prunescope.pruning.scores.score import ScoreRequest
from prunescope.pruning.selection import select

LAMP = all_scores()["lamp"]


def scores_of(network: nn.Module, granularity: str = "weight", seed: int = 0) -> dict[str, torch.Tensor]:
    layers = {name: layer for name, layer in find_layers(network).items() if layer.kind == "conv"}
    generator = torch.Generator().manual_seed(seed)
    return LAMP(ScoreRequest(network, layers, GRANULARITIES[granularity], generator))


@pytest.mark.parametrize("granularity", ["weight", "filter", "connection", "kernel"])
@pytest.mark.parametrize("toy", ["concat", "residual"])
def test_against_sums_one_by_one(toy: str, granularity: str) -> None:
    network = TOYS[toy].network()

    for name, scores in scores_of(network, granularity).items():
        expected = lamp(groups_of(getattr(network, name).weight.detach(), granularity))
        assert scores.flatten().tolist() == pytest.approx(expected)
        assert scores.max() == 1


def as_network(*layers: list[float]) -> nn.Module:
    """A chain of 1 x 1 convolutions with one filter each, of which each reads the same image: weights as given."""

    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Conv2d(len(weights), 1, 1, bias=False) for weights in layers)
            for layer, weights in zip(self.layers, layers, strict=True):
                layer.weight.data = torch.tensor(weights).view(1, -1, 1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([layer(x[:, : layer.in_channels]).mean((1, 2, 3)) for layer in self.layers], 1)

    return Beside()


def scored(*layers: list[float], seed: int = 0) -> dict[str, torch.Tensor]:
    network = as_network(*layers)
    found = find_layers(network, torch.zeros(1, max(map(len, layers)), 2, 2))
    return LAMP(ScoreRequest(network, found, WEIGHT, torch.Generator().manual_seed(seed)))


def test_by_hand() -> None:
    scores = scored([1.0, -3.0, 2.0, 0.0], [30.0, 10.0])

    assert scores["layers.0"].flatten().tolist() == pytest.approx([1 / 14, 1, 4 / 13, 0])
    assert scores["layers.1"].flatten().tolist() == pytest.approx([1, 0.1])


def test_equal_weights_stand_in_a_seeded_order() -> None:
    """Four 1s and a 2: 4 / 4, then 1 / 5, 1 / 6, 1 / 7, 1 / 8, whichever comes first."""
    drawn = [
        scored([1.0, -1.0, 2.0, 1.0, 1.0], seed=seed)["layers.0"].flatten().tolist()
        for seed in (0, 0, 1, 2, 3)
    ]

    for values in drawn:
        assert sorted(values) == pytest.approx([1 / 8, 1 / 7, 1 / 6, 1 / 5, 1])
    assert drawn[0] == drawn[1]
    assert len({tuple(values) for values in drawn}) > 1


def test_a_layer_of_zeros_scores_zero() -> None:
    assert scored([0.0, -0.0], [0.0, 1e-30])["layers.0"].flatten().tolist() == [0, 0]


weights = st.lists(
    st.sampled_from([0.0, 1.0, -1.0, 0.5])
    | st.floats(-100, 100, width=32).filter(lambda w: w == 0 or abs(w) > 1e-6),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(weights)
def test_the_order_within_a_layer_is_that_of_magnitude(values: list[float]) -> None:
    scores = scored(values)["layers.0"].flatten()
    sizes = torch.tensor(values).abs()

    smaller = sizes[:, None] < sizes
    assert (scores[:, None] < scores)[smaller].all()
    assert ((scores > 0) == (sizes > 0)).all()
    assert scores.max() == (1 if sizes.any() else 0)


@settings(max_examples=100, deadline=None)
@given(st.lists(weights.filter(any), min_size=1, max_size=4), st.floats(0, 1), st.integers(0, 3))
def test_one_threshold_leaves_every_layer_at_least_one_weight(
    layers: list[list[float]], share: float, seed: int
) -> None:
    """Also without `min_left`, as long as there is one for each: the largest of each layer scores 1."""
    scores = scored(*layers, seed=seed)
    total = sum(map(len, layers))
    rate = share * (total - len(layers)) / total

    keeps = select(scores, rate, "global", torch.Generator().manual_seed(seed), min_left=0, rounding="floor")

    assert all(keep.any() for keep in keeps.values())


def test_what_was_removed_is_as_if_it_were_not_there() -> None:
    network = TOYS["concat"].network()
    keep = torch.rand(network.d.weight.shape, generator=torch.Generator().manual_seed(5)) > 0.5
    network.d.weight.data *= keep

    scores = scores_of(network)["d"]

    assert not scores[~keep].any()
    expected = lamp([[w] for w in network.d.weight.detach()[keep].tolist()])
    assert scores[keep].tolist() == pytest.approx(expected)


def test_as_torch_pruning_does() -> None:
    """It sums squares over the layers of a group before it divides ("first": the layer alone)."""
    network = TOYS["concat"].network()
    graph = torch_pruning.DependencyGraph().build_dependency(network, torch.zeros(1, 3, 8, 8))
    theirs = torch_pruning.importance.LAMPImportance(p=2, group_reduction="first")

    scores = scores_of(network, "filter")

    for name in "abcd":
        layer = getattr(network, name)
        group = graph.get_pruning_group(
            layer, torch_pruning.prune_conv_out_channels, list(range(len(layer.weight)))
        )
        torch.testing.assert_close(scores[name].flatten(), theirs(group))


def test_networks_of_other_types_and_without_gradients() -> None:
    network = TOYS["concat"].network()
    exact = scores_of(network.double())
    assert exact["a"].dtype == torch.float64
    coarse = scores_of(network.bfloat16())

    for name, scores in coarse.items():
        assert scores.dtype == torch.float32
        assert not scores.requires_grad
        torch.testing.assert_close(scores.sort().values.max(), torch.tensor(1.0))
        assert (scores.flatten()[exact[name].argmax()] > 0).all()
