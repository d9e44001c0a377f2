from __future__ import annotations

import pytest
import torch
from torch import nn

from explain.explained_toys import Averaged, Residual, build
from prunescope import open_network
from prunescope.errors import PrunescopeError
from prunescope.explain.map_layers import find_map_layer
from prunescope.networks.preprocess import Preprocess


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("prunescope/sprig", "inception5a"),
        ("torchvision/googlenet", "inception5b"),
        ("torchvision/resnet18", "layer4"),
        ("torchvision/squeezenet1_1", "classifier.2"),
        ("torchvision/mobilenet_v3_small", "features"),
    ],
)
def test_the_default_is_the_last_layer_with_positions(name: str, layer: str) -> None:
    assert find_map_layer(open_network(name, classes=3, preprocess=Preprocess(resize=96, crop=96))) == layer


def test_it_is_a_vggs_last_pooling() -> None:
    features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    vgg = build(lambda: nn.Sequential(features, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 4)))
    outputs = {}
    for name in ("0", "0.2"):
        vgg.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: outputs.update({name: out})
        )
    vgg(torch.randn(1, 3, 8, 8))
    assert torch.equal(outputs["0"], outputs["0.2"])
    assert find_map_layer(vgg) == "0"


def test_a_layer_that_is_used_several_times_has_no_one_map() -> None:
    with pytest.raises(
        PrunescopeError, match=r"relu is used 3 times for an image.*layers that have positions: conv1"
    ):
        find_map_layer(build(Residual), "relu")


def test_a_layer_that_is_not_used_is_told_from_one_that_is_not_there() -> None:
    network = build(Averaged)
    network.spare = nn.Conv2d(3, 3, 1)
    with pytest.raises(PrunescopeError, match="spare is not used when the network looks at an image"):
        find_map_layer(network, "spare")


def test_modes_and_hooks_are_as_before() -> None:
    network = build(Averaged).train()
    find_map_layer(network)
    assert all(module.training and not module._forward_hooks for module in network.modules())
