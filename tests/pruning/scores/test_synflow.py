"""SynFlow against products of matrices, its conservation laws, and networks that could stop the flow."""

from __future__ import annotations

import pytest
import torch
from gradient_toys import scores_of, toy
from torch import nn

import prunescope as ps
from oracles.channels import SIDE, TOYS, carry
from oracles.slow_gradients import convolution_matrix, synflow_of_matrices
from prunescope.pruning.granularity import GRANULARITIES
from prunescope.pruning.selection import select


def chain(bias: bool = False) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=bias),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 2, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * SIDE**2, 5, bias=bias),
        nn.ReLU(),
        nn.Linear(5, 3, bias=bias),
    )


@pytest.mark.parametrize("granularity", ["weight", "filter", "connection", "kernel", "n:m"])
def test_synflow_is_a_product_of_positive_matrices(granularity: str) -> None:
    """Of a convolution, unrolled into a matrix, each weight stands at many places, whose flows add up."""
    network = toy(chain())
    convolutions = {
        name: convolution_matrix(network.get_submodule(name).weight.data, SIDE, 1) for name in ("0", "2")
    }
    matrices = [*convolutions.values(), network[5].weight.data, network[7].weight.data]
    expected = dict(zip(["0", "2", "5", "7"], synflow_of_matrices(matrices), strict=True))
    for name, matrix in convolutions.items():
        weight = network.get_submodule(name).weight.data
        values = weight.flatten()
        places = convolution_matrix(torch.arange(1.0, len(values) + 1).double().view_as(weight), SIDE, 1)
        assert torch.equal(matrix, torch.cat([torch.zeros(1).double(), values])[places.long()])
        sums = torch.zeros(len(values) + 1).double()
        sums.index_add_(0, places.flatten().long(), expected[name].flatten())
        expected[name] = sums[1:].view_as(weight)

    scores = scores_of(network, "synflow", granularity)

    assert scores.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(scores[name], GRANULARITIES[granularity].reduce(values))


def test_what_flows_through_every_layer_is_the_same() -> None:
    """Each cut through the network carries all of it; so do the filters of a layer and their readers."""
    scores = scores_of(toy(chain(bias=True)), "synflow", "filter")
    totals = [values.sum().item() for values in scores.values()]

    assert totals == pytest.approx([totals[0]] * 4)
    readers = scores_of(toy(chain(bias=True)), "synflow", "connection")["2"]
    torch.testing.assert_close(scores["0"].flatten(), readers.flatten())


def test_branches_share_the_flow() -> None:
    network = TOYS["concat"].network().double()
    for norm in (network.norm_a, network.norm):
        nn.init.ones_(norm.weight)
        norm.running_mean.fill_(1e3)  # which would hold back all flow, if it were subtracted

    totals = {name: values.sum().item() for name, values in scores_of(network, "synflow").items()}

    assert totals["b"] + totals["c"] == pytest.approx(totals["a"])
    assert totals["b"] + totals["c"] == pytest.approx(totals["d"])
    assert totals["fc"] == pytest.approx(totals["d"])


def test_signs_of_weights_statistics_and_biases_do_not_matter() -> None:
    usual = scores_of(toy(), "synflow", "weight")
    network = toy()
    for tensor in [*network.parameters(), network.norm.running_mean]:
        tensor.data.mul_(-1)

    turned = scores_of(network, "synflow", "weight")

    assert all(torch.equal(usual[name], turned[name]) for name in usual)
    assert all(values.min() >= 0 for values in usual.values())


def test_no_layer_collapses() -> None:
    """In 100 steps down to 17 of 835 weights each layer keeps some; all at once, a layer loses all of them."""

    def left(steps: int) -> list[int]:
        network = toy(nn.Sequential(*(layer for layer in chain() if not isinstance(layer, nn.ReLU))))
        for step in range(1, steps + 1):
            scores = scores_of(network, "synflow", "weight")
            keep = select(
                scores, 1 - 0.02 ** (step / steps), "global", torch.Generator().manual_seed(0), min_left=0
            )
            for name, kept in keep.items():
                network.get_submodule(name).weight.data.mul_(kept)
        return [int(kept.sum()) for kept in keep.values()]

    assert min(left(1)) == 0
    assert min(left(100)) > 0


@pytest.mark.parametrize(
    "activation",
    ["ReLU6", "Hardtanh", "Tanh", "Softsign", "Hardswish", "SiLU", "GELU", "ELU", "Mish", "LeakyReLU"],
)
def test_every_activation_lets_the_flow_through(activation: str) -> None:
    """Weights of size 1 bring hundreds, far beyond where ReLU6 or Tanh end."""
    made = getattr(nn, activation)()
    if hasattr(made, "inplace"):
        made.inplace = True
    network = toy(
        nn.Sequential(nn.Conv2d(3, 8, 3), made, nn.Conv2d(8, 8, 3), made, nn.Conv2d(8, 3, 4), nn.Flatten())
    )
    for parameter in network.parameters():
        nn.init.ones_(parameter)
        if parameter.ndim == 1:
            nn.init.zeros_(parameter)

    scores = scores_of(network, "synflow")

    totals = [values.sum().item() for values in scores.values()]
    assert totals == pytest.approx([totals[0]] * 3, rel=1e-6)
    assert "forward" not in made.__dict__


def test_gates_let_the_flow_through_but_have_none_of_their_own() -> None:
    network = TOYS["gate"].network().double()
    for name in ("a", "squeeze", "expand"):
        network.get_submodule(name).weight.data.mul_(50)

    scores = scores_of(network, "synflow")

    assert scores["a"].sum() > 1
    assert scores["expand"].sum() < 1e-6 * scores["a"].sum()


def test_a_deep_network_does_not_overflow() -> None:
    """60 layers of 64 positive inputs, 3e108: beyond float32, whose largest number is 3e38."""
    deep = [layer for _ in range(60) for layer in (nn.Conv2d(64, 64, 1, bias=False), nn.ReLU())]
    network = nn.Sequential(
        nn.Conv2d(3, 64, 1), *deep, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 3)
    )
    for parameter in network.parameters():
        nn.init.ones_(parameter)

    scores = scores_of(carry(network), "synflow")

    assert all(values.isfinite().all() and values.min() > 1e100 for values in scores.values())


def test_transformed_inputs() -> None:
    """GoogLeNet with `transform_input` makes .46 - .03 and the like of the ones: still positive."""
    network = ps.open_network(
        "torchvision/googlenet",
        options={"aux_logits": True, "transform_input": True, "init_weights": False},
        preprocess=ps.Preprocess(crop=64),
    )
    given = []
    network.conv1.register_forward_hook(lambda _, inputs, __: given.append(inputs[0]))

    scores = scores_of(network, "synflow")

    assert given[-1].unique().numel() == 3
    assert given[-1].min() > 0
    assert not any("aux" in name for name in scores)
    assert all(values.min() > 0 for values in scores.values())
