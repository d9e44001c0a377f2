from __future__ import annotations

import pytest
import torch
from torch import nn

from oracles.channels import TOYS, Channel, Residual, Toy, carry
from prunescope.networks.channels import ChannelMap, map_channels, replaced_forward
from prunescope.networks.layers import find_layers
from prunescope.networks.network import open_network
from prunescope.networks.preprocess import Preprocess


def named(channels: ChannelMap, numbers: torch.Tensor) -> list[Channel]:
    """Turn numbers of channels back into (layer, channel)."""
    starts = sorted(channels.first.items(), key=lambda item: -item[1])
    return [
        None if n < 0 else next((name, n - first) for name, first in starts if n >= first)
        for n in numbers.tolist()
    ]


@pytest.mark.parametrize("toy", TOYS.values(), ids=list(TOYS))
def test_channels_are_found_where_the_code_sends_them(toy: Toy) -> None:
    found = map_channels(toy.network())

    assert {name: named(found, numbers) for name, numbers in found.reads.items()} == toy.reads
    assert {name: named(found, numbers) for name, numbers in found.norms.items()} == toy.norms
    assert set(found.tied) == set(toy.tied)
    assert all(word in found.tied[name] for name, word in toy.tied.items())
    assert found.logits == {toy.logits}


def test_the_layers_of_resnet18_that_additions_tie() -> None:
    """Each stage is one sum: what enters it (the stem, or the shortcut), and the end of each block."""
    network = open_network("torchvision/resnet18", preprocess=Preprocess(crop=64))
    tied = {"conv1", "layer1.0.conv2", "layer1.1.conv2"}
    for stage in (2, 3, 4):
        tied |= {f"layer{stage}.{end}" for end in ("0.downsample.0", "0.conv2", "1.conv2")}

    found = map_channels(network)

    assert set(found.tied) == tied
    assert found.logits == {"fc"}


def test_only_the_shuffled_end_of_shufflenet_can_lose_channels() -> None:
    """Every 1x1 convolution of ShuffleNet stands before a depthwise one, or ends up before that of a next unit."""
    network = open_network("torchvision/shufflenet_v2_x0_5", preprocess=Preprocess(crop=64))

    found = map_channels(network)

    firsts = {f"stage{stage}.0.branch{branch}.0" for stage in (2, 3, 4) for branch in (1,)}
    assert firsts <= set(found.tied)
    assert "conv5.0" not in found.tied
    assert named(found, found.reads["fc"]) == [("conv5.0", c) for c in range(1024)]


def test_a_network_that_cannot_be_followed_ties_every_layer_and_says_so() -> None:
    class OwnArithmetic(Residual):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(nn.functional.conv2d(x, self.stem.weight[:3, :, 1:2, 1:2]))

    found = map_channels(carry(OwnArithmetic()))

    assert set(found.tied) == {"stem", "a", "b", "after", "fc"}
    assert all("cannot be followed" in reason for reason in found.tied.values())
    assert found.logits == {"fc"}


def state(network: nn.Module) -> list[tuple[bool, bool, int]]:
    return [
        ("forward" in module.__dict__, module.training, len(module._forward_hooks))
        for module in network.modules()
    ]


def test_the_network_is_given_back_as_it_was() -> None:
    network = TOYS["concat"].network().train()
    network.norm.eval()
    before, weights = state(network), {k: v.clone() for k, v in network.state_dict().items()}
    random = torch.get_rng_state()

    map_channels(network)

    assert state(network) == before
    assert all(torch.equal(weights[k], v) for k, v in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_the_network_is_given_back_when_its_forward_fails() -> None:
    class Fails(Residual):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.a(self.stem(x))
            raise OSError("no more")

    network = carry(Residual()).train()
    layers = find_layers(network)
    network.__class__ = Fails
    before = state(network)

    with pytest.raises(OSError, match="no more"):
        map_channels(network, layers)

    assert state(network) == before


def test_a_forward_that_the_user_put_on_a_module_survives() -> None:
    module = nn.Linear(2, 2)
    mine = module.forward = lambda x: x + 1  # type: ignore[method-assign]

    with replaced_forward({module: lambda x: x - 1}):
        assert module(torch.zeros(1)) == -1

    assert module.forward is mine
