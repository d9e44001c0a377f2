from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune
from torch.utils.flop_counter import FlopCounterMode

from oracles.channels import TOYS, Concat, Twice, carry
from prunescope.errors import PrunescopeError
from prunescope.networks.layers import find_layers, matching
from prunescope.networks.network import example_input, open_network
from prunescope.networks.preprocess import Preprocess

TINY = Preprocess(crop=64)
GOOGLENET = {"init_weights": False}


def test_a_toy_network_by_hand() -> None:
    """8 pixels: `a`, `b`, `c` keep them; pooled to 4; `d` (3x3, stride 2, no padding) leaves 1."""
    found = find_layers(TOYS["concat"].network())

    assert list(found) == ["a", "b", "c", "d", "fc"]  # in the order of the forward pass
    assert [layer.weights for layer in found.values()] == [4 * 3 * 9, 2 * 4, 3 * 4 * 9, 3 * 5 * 9, 4 * 3]
    assert [layer.positions for layer in found.values()] == [64, 64, 64, 1, 1]
    assert [layer.macs for layer in found.values()] == [64 * 108, 64 * 8, 64 * 108, 135, 12]
    assert [layer.kind for layer in found.values()] == ["conv"] * 4 + ["linear"]
    assert [layer.kernel for layer in found.values()] == ["3x3", "1x1", "3x3", "3x3", "1x1"]
    assert found["d"].weight_shape == (3, 5, 3, 3)


def test_a_layer_used_twice_computes_twice() -> None:
    shared = find_layers(carry(Twice()))["shared"]

    assert shared.positions == 64 + 16
    assert shared.macs == (64 + 16) * 2 * 4 * 9


def test_grouped_convolutions_multiply_within_their_group() -> None:
    found = find_layers(TOYS["depthwise"].network())

    assert (found["depth"].groups, found["depth"].weights, found["depth"].macs) == (4, 36, 64 * 36)
    assert (found["grouped"].groups, found["grouped"].weight_shape) == (2, (6, 2, 3, 3))
    assert found["grouped"].macs == 36 * 6 * 2 * 9


@pytest.mark.parametrize("name", ["googlenet", "resnet18", "mobilenet_v2"])
def test_multiply_accumulates_are_half_of_what_torch_counts(name: str) -> None:
    network = open_network(
        f"torchvision/{name}", options=GOOGLENET if name == "googlenet" else {}, preprocess=TINY
    )
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(example_input(network))

    macs = sum(layer.macs for layer in find_layers(network).values())

    assert 2 * macs == counter.get_total_flops()


def test_auxiliary_heads_are_not_listed() -> None:
    network = open_network("torchvision/googlenet", options=GOOGLENET, preprocess=TINY).train()
    assert any(name.startswith("aux") for name, _ in network.named_parameters())

    found = find_layers(network)

    assert len(found) == 58
    assert not any(name.startswith("aux") for name in found)


def test_globs_select_in_the_order_of_the_network() -> None:
    names = ["conv1", "inception3a.branch1.conv", "inception3b.branch1.conv", "fc"]

    assert matching(["fc", "inception3?.*"], names) == names[1:]
    assert matching(["conv1"], names) == ["conv1"]
    with pytest.raises(PrunescopeError, match=r"no layer 'conv2' in the network.*'conv1'.*prunescope layers"):
        matching(["fc", "conv2"], names)


def test_attached_masks_of_torch_are_refused_by_name() -> None:
    network = carry(Concat())
    torch_prune.l1_unstructured(network.b, "weight", 0.5)

    with pytest.raises(PrunescopeError, match=r"^b carries a mask.*prune\.remove"):
        find_layers(network)

    torch_prune.remove(network.b, "weight")
    assert "b" in find_layers(network)


def test_a_network_without_layers_is_refused() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)) * self.scale

    with pytest.raises(PrunescopeError, match="no convolution or linear layer"):
        find_layers(carry(Mean()))


def test_hooks_and_modes_are_restored_also_after_an_exception() -> None:
    network = carry(Concat()).train()
    network.norm.eval()
    modes = [module.training for module in network.modules()]

    find_layers(network)
    with pytest.raises(PrunescopeError, match=r"does not take an image of shape \(1, 5, 8, 8\).*3 channels"):
        find_layers(network, torch.zeros(1, 5, 8, 8))

    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_hooks for module in network.modules())


def test_a_network_that_puts_out_no_logits() -> None:
    class Named(nn.Sequential):
        def forward(self, x: torch.Tensor) -> Any:
            return {"out": super().forward(x)}

    with pytest.raises(PrunescopeError, match="puts out a dict, expected its logits"):
        find_layers(Named(nn.Linear(4, 2)), torch.zeros(1, 3, 4, 4))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, on importing its compiler
@pytest.mark.parametrize("compiled", [torch.compile, lambda network: network.compile() or network])
def test_a_compiled_network(compiled: Callable[[nn.Module], nn.Module]) -> None:
    with pytest.raises(
        PrunescopeError, match=r"is compiled: give the network as it was before torch\.compile"
    ):
        find_layers(compiled(nn.Linear(4, 2)), torch.zeros(1, 3, 4, 4))


def test_a_module_that_stands_in_the_network_twice_keeps_its_weights() -> None:
    slopes, again = nn.PReLU(4), nn.Conv2d(4, 4, 1)
    network = carry(nn.Sequential(nn.Conv2d(3, 4, 1), slopes, again, slopes, again, nn.Flatten()))
    before = {name: (parameter, parameter.clone()) for name, parameter in network.named_parameters()}

    find_layers(network)

    for name, parameter in network.named_parameters():
        assert parameter is before[name][0]
        assert torch.equal(parameter, before[name][1])
