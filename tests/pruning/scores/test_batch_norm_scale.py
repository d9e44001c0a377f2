from __future__ import annotations

import pytest
import torch
import torch_pruning
from torch import nn

import prunescope as ps
from oracles.channels import TOYS, Concat, carry
from prunescope.errors import PrunescopeError
from prunescope.networks.layers import find_layers
from prunescope.pruning.granularity import FILTER, WEIGHT
from prunescope.pruning.scores import all_scores
from prunescope.pruning.scores.score import ScoreRequest

SCALE = all_scores()["batch-norm-scale"]
TINY = ps.Preprocess(crop=64)


def scores_of(network: nn.Module, *names: str, **more: object) -> dict[str, torch.Tensor]:
    layers = find_layers(network)
    chosen = {name: layers[name] for name in names or layers}
    return SCALE(ScoreRequest(network, chosen, FILTER, torch.Generator(), **more))  # type: ignore[arg-type]


def with_random_scales(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data = torch.randn(len(module.weight), generator=generator)  # of both signs
    return network


def test_the_norm_behind_each_filter() -> None:
    """One batch norm of its own, and a part of one that stands behind a concatenation."""
    network = with_random_scales(TOYS["concat"].network())

    scores = scores_of(network, "a", "b", "c")

    behind = {"a": network.norm_a.weight, "b": network.norm.weight[:2], "c": network.norm.weight[2:]}
    for name, scale in behind.items():
        torch.testing.assert_close(scores[name], scale.detach().abs().view(-1, 1, 1, 1))


def test_on_a_network_whose_batch_norms_bear_their_names() -> None:
    network = with_random_scales(ps.open_network("torchvision/resnet18", preprocess=TINY))
    names = [name for name in find_layers(network) if name != "fc"]

    scores = scores_of(network, *names)

    for name in names:  # layer1.0.conv1 and layer1.0.bn1; layer2.0.downsample.0 and .1
        norm = network.get_submodule(name.replace("conv", "bn").replace("downsample.0", "downsample.1"))
        torch.testing.assert_close(scores[name].flatten(), norm.weight.detach().abs())


class Dense(nn.Module):
    """DenseNet in small: what `a` makes is read through three batch norms, what `b` makes through two."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 3, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(3)
        self.b = nn.Conv2d(3, 2, 1)
        self.norm2 = nn.BatchNorm2d(5)
        self.c = nn.Conv2d(5, 2, 1)
        self.norm3 = nn.BatchNorm2d(7)
        self.fc = nn.Linear(7, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.a(x)
        b = self.b(torch.relu(self.norm1(a)))
        c = self.c(torch.relu(self.norm2(torch.cat([a, b], 1))))
        return self.fc(torch.relu(self.norm3(torch.cat([a, b, c], 1))).mean((2, 3)))


def test_several_norms_count_by_their_mean() -> None:
    network = with_random_scales(carry(Dense().eval()))
    one, two, three = (getattr(network, f"norm{i}").weight.detach().abs() for i in (1, 2, 3))

    scores = {name: found.flatten() for name, found in scores_of(network, "a", "b", "c").items()}

    torch.testing.assert_close(scores["a"], (one + two[:3] + three[:3]) / 3)
    torch.testing.assert_close(scores["b"], (two[3:] + three[3:5]) / 2)
    torch.testing.assert_close(scores["c"], three[5:])


class PreActivation(nn.Module):
    """The sums of a residual stream are normalised, not what is added to them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(4)
        self.a = nn.Conv2d(4, 4, 1)
        self.norm2 = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x + self.a(torch.relu(self.norm1(x)))
        return self.fc(torch.relu(self.norm2(x)).mean((2, 3)))


def test_what_is_only_added_takes_the_norms_of_the_sum() -> None:
    network = with_random_scales(carry(PreActivation().eval()))
    mean = (network.norm1.weight.detach().abs() + network.norm2.weight.detach().abs()) / 2

    scores = scores_of(network, "stem", "a")

    torch.testing.assert_close(scores["stem"].flatten(), mean)
    torch.testing.assert_close(scores["a"].flatten(), mean)


def test_what_was_removed_scores_zero() -> None:
    network = TOYS["concat"].network()
    removed = torch.tensor([False, True, False, False]).view(4, 1, 1, 1)

    scores = scores_of(network, "a", removed={"a": removed})["a"]

    assert ((scores == 0) == removed).all()


def test_layers_without_a_batch_norm_are_named() -> None:
    network = TOYS["concat"].network()

    with pytest.raises(PrunescopeError) as error:
        scores_of(network)

    assert str(error.value) == (
        "batch-norm-scale cannot score these layers:\n"
        "  d: 3 of its 3 filters have no batch norm with a scale behind them\n"
        "  fc: 4 of its 4 filters have no batch norm with a scale behind them\n"
        "spare them: --spare 'd,fc' (in a study, spare: [d, fc]), or choose another score"
    )


def test_a_norm_without_a_scale_is_none() -> None:
    network = Concat()
    network.norm_a = nn.BatchNorm2d(4, affine=False)

    with pytest.raises(
        PrunescopeError, match="a: 4 of its 4 filters have no batch norm with a scale behind them"
    ):
        scores_of(carry(network.eval()), "a")


def test_other_groups_than_filters_have_none() -> None:
    network = TOYS["concat"].network()

    with pytest.raises(
        PrunescopeError, match="batch-norm-scale cannot score by weight: a batch norm has one scale"
    ):
        SCALE(ScoreRequest(network, find_layers(network), WEIGHT, torch.Generator()))


@pytest.mark.parametrize("name", ["concat", "dense"])
def test_as_torch_pruning_does(name: str) -> None:
    """Both take the mean over the batch norms behind a filter; without ties its group is those alone."""
    network = with_random_scales(TOYS["concat"].network() if name == "concat" else carry(Dense().eval()))
    graph = torch_pruning.DependencyGraph().build_dependency(network, torch.zeros(1, 3, 8, 8))
    theirs = torch_pruning.importance.BNScaleImportance(group_reduction="mean", normalizer=None)

    scores = scores_of(network, "a", "b", "c")

    for layer, found in scores.items():
        module = network.get_submodule(layer)
        group = graph.get_pruning_group(
            module, torch_pruning.prune_conv_out_channels, list(range(len(module.weight)))
        )
        torch.testing.assert_close(found.flatten(), theirs(group))
