from __future__ import annotations

import pytest
import torch
import torch_pruning
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from oracles.channels import TOYS
from oracles.slow_weight_scores import distances, groups_of
from prunescope.errors import PrunescopeError
from prunescope.networks.layers import find_layers
from prunescope.pruning.granularity import FILTER, GRANULARITIES
from prunescope.pruning.scores import all_scores, geometric_median
from prunescope.pruning.scores.score import ScoreRequest

FPGM = all_scores()["fpgm"]


def request_for(network: nn.Module, granularity: str = "filter", **more: object) -> ScoreRequest:
    layers = {name: layer for name, layer in find_layers(network).items() if layer.groups == 1}
    return ScoreRequest(network, layers, GRANULARITIES[granularity], torch.Generator(), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("granularity", ["filter", "connection"])
@pytest.mark.parametrize("toy", ["concat", "residual", "flatten"])
def test_against_distances_one_by_one(toy: str, granularity: str) -> None:
    network = TOYS[toy].network()

    scores = FPGM(request_for(network, granularity))

    for name, layer in find_layers(network).items():
        groups = groups_of(layer.module.weight.detach(), granularity)
        assert scores[name].shape == GRANULARITIES[granularity].shape(layer)
        assert scores[name].flatten().tolist() == pytest.approx(distances(groups, [False] * len(groups)))


@pytest.mark.parametrize("granularity", ["filter", "connection"])
def test_what_was_removed_takes_no_part(granularity: str) -> None:
    """Two groups are gone, one of them not yet 0; and all but one, and all."""
    network = TOYS["concat"].network()
    d = find_layers(network)["d"]
    shape = GRANULARITIES[granularity].shape(d)
    groups = groups_of(d.module.weight.detach(), granularity)
    for gone in ({0, 2}, set(range(1, len(groups))), set(range(len(groups)))):
        removed = torch.tensor([i in gone for i in range(len(groups))])
        if 2 in gone:
            d.module.weight.data[
                2 if granularity == "filter" else slice(None), *[2] * (granularity != "filter")
            ] = 0

        scores = FPGM(request_for(network, granularity, removed={"d": removed.view(shape)}))["d"]

        expected = distances(groups_of(d.module.weight.detach(), granularity), removed.tolist())
        assert scores.flatten().tolist() == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 3))
def test_the_order_of_the_others_does_not_matter(order: list[int], seed: int) -> None:
    network = nn.Conv2d(2, 6, 3)
    weight = torch.randn(network.weight.shape, generator=torch.Generator().manual_seed(seed))

    def scores(weight: torch.Tensor) -> torch.Tensor:
        network.weight.data = weight
        layers = find_layers(network, torch.zeros(1, 2, 4, 4))
        return FPGM(ScoreRequest(network, layers, FILTER, torch.Generator()))[""]

    torch.testing.assert_close(scores(weight[order]), scores(weight)[order])


def test_filters_that_are_nearly_equal_are_told_apart() -> None:
    """40 filters 1e-6 apart, where |a|² + |b|² - 2ab is noise in float32; the middle one goes first."""
    network = nn.Conv2d(1, 41, 3)
    network.weight.data = torch.ones(41, 1, 3, 3)
    network.weight.data[:, 0, 0, 0] += torch.arange(41) * 2e-6
    layers = find_layers(network, torch.zeros(1, 1, 4, 4))

    scores = FPGM(ScoreRequest(network, layers, FILTER, torch.Generator()))[""].flatten()

    expected = distances(groups_of(network.weight.detach(), "filter"), [False] * 41)
    assert scores.tolist() == pytest.approx(expected, rel=1e-4)
    assert int(scores.argmin()) == 20


def test_few_distances_at_once_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network = TOYS["concat"].network()
    whole = FPGM(request_for(network))

    monkeypatch.setattr(geometric_median, "_ENTRIES", 7)

    for name, scores in FPGM(request_for(network)).items():
        torch.testing.assert_close(scores, whole[name])


def test_as_torch_pruning_does() -> None:
    """Its distances are between |w|^p, ours between w: alike for p = 1 and weights that are not negative.

    Of a group it takes the mean over all layers that write or read the channels: "first" is the layer alone.
    """
    network = TOYS["concat"].network()
    for parameter in network.parameters():
        parameter.data.abs_()
    graph = torch_pruning.DependencyGraph().build_dependency(network, torch.zeros(1, 3, 8, 8))
    theirs = torch_pruning.importance.FPGMImportance(p=1, group_reduction="first", normalizer=None)

    scores = FPGM(request_for(network))

    for name in "abcd":
        layer = getattr(network, name)
        group = graph.get_pruning_group(
            layer, torch_pruning.prune_conv_out_channels, list(range(len(layer.weight)))
        )
        torch.testing.assert_close(scores[name].flatten(), theirs(group))


@pytest.mark.parametrize("granularity", ["weight", "kernel"])
def test_what_it_cannot_score(granularity: str) -> None:
    with pytest.raises(
        PrunescopeError, match=f"fpgm cannot score by {granularity}: it is a distance between whole"
    ):
        FPGM(request_for(TOYS["concat"].network(), granularity))
