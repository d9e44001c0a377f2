from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from oracles.channels import carry
from probe.toys import Plain, Twice, build, site
from prunescope.errors import PrunescopeError
from prunescope.networks.network import example_input, open_network
from prunescope.networks.preprocess import Preprocess
from prunescope.probe.sites import find_sites, pre_activations, rotated

SMALL = Preprocess(crop=64)
NETWORKS = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "resnet18": {},
    "convnext_tiny": {},
    "squeezenet1_1": {},
    "densenet121": {},
}


def test_the_sites_of_a_toy_network_by_hand() -> None:
    found = [(s.layer, s.kind, s.units, s.height, s.width, s.call) for s in find_sites(build(Plain))]

    assert found == [
        ("conv", "conv", 4, 8, 8, 0),
        ("norm", "batchnorm", 4, 8, 8, 0),
        ("last", "conv", 5, 3, 3, 0),
        ("fc", "linear", 2, 1, 1, 0),
    ]


def test_any_module_by_its_name() -> None:
    found = find_sites(build(Plain), ["a*", "conv"])

    assert [(s.layer, s.kind) for s in found] == [("conv", "conv"), ("act", "other")]


def test_a_module_used_twice_is_two_sites() -> None:
    network = build(Twice)

    assert [(s.layer, s.call, s.height) for s in find_sites(network, ["shared"])] == [
        ("shared#1", 0, 8),
        ("shared#2", 1, 4),
    ]
    before = pre_activations(network)
    assert {name: s.layer for name, s in before.items()} == {"shared#1": "norm1", "shared#2": "norm2"}


@pytest.mark.parametrize("name", NETWORKS)
def test_sites_and_shapes_of_networks_are_those_of_a_real_pass(name: str) -> None:
    network = open_network(f"torchvision/{name}", options=NETWORKS[name], preprocess=SMALL)
    outputs: list[tuple[nn.Module, torch.Size]] = []
    modules = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    hooks = [m.register_forward_hook(lambda m, _, y: outputs.append((m, y.shape))) for m in modules]
    with torch.no_grad():
        network(example_input(network))
    for hook in hooks:
        hook.remove()

    found = find_sites(network)

    assert [s.module for s in found] == [module for module, _ in outputs]
    for s, (module, shape) in zip(found, outputs, strict=True):
        last = isinstance(module, nn.Linear)  # of ConvNeXt: (images, height, width, units)
        assert s.units == shape[-1 if last else 1]
        assert s.height * s.width * s.units == shape.numel()


# What stands before the nonlinearity of a convolution, by (kind of the convolution, kind of its site).
BEFORE = {
    "googlenet": {("conv", "batchnorm"): 57, ("linear", "linear"): 1},
    "resnet18": {("conv", "batchnorm"): 20, ("linear", "linear"): 1},
    "convnext_tiny": {("conv", "conv"): 22, ("linear", "linear"): 37},  # LayerNorm, behind depthwise ones
    "squeezenet1_1": {("conv", "conv"): 26},
    # conv0 and each bottleneck's first convolution; transitions and new features are normed by each later layer
    "densenet121": {("conv", "batchnorm"): 59, ("conv", "conv"): 61, ("linear", "linear"): 1},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_site_before_the_nonlinearity(name: str) -> None:
    network = open_network(f"torchvision/{name}", options=NETWORKS[name], preprocess=SMALL)
    kinds = {s.layer: s.kind for s in find_sites(network)}

    found = pre_activations(network)

    assert Counter((kinds[own], s.kind) for own, s in found.items()) == BEFORE[name]
    assert all(s.kind == "batchnorm" or s.layer == own for own, s in found.items())


def test_the_norms_of_networks_are_those_that_their_code_names() -> None:
    googlenet = open_network("torchvision/googlenet", options=NETWORKS["googlenet"], preprocess=SMALL)
    norms = {own: s.layer for own, s in pre_activations(googlenet, ["*.conv"]).items()}
    assert norms == {own: own.removesuffix("conv") + "bn" for own in norms}

    densenet = open_network("torchvision/densenet121", preprocess=SMALL)
    layer = "features.denseblock2.denselayer3"
    names = [f"{layer}.conv1", f"{layer}.conv2", "features.conv0", "features.transition1.conv"]
    before = {own: s.layer for own, s in pre_activations(densenet, names).items()}
    assert before == {
        f"{layer}.conv1": f"{layer}.norm2",
        f"{layer}.conv2": f"{layer}.conv2",
        "features.conv0": "features.norm0",
        "features.transition1.conv": "features.transition1.conv",
    }


def test_tokens_are_positions() -> None:
    options = {"image_size": 64}
    network = open_network("torchvision/vit_b_16", options=options, preprocess=SMALL)

    found = {s.layer: s for s in find_sites(network)}
    blocks = find_sites(network, ["encoder.layers.encoder_layer_0", "encoder.ln"])

    assert Counter(s.kind for s in found.values()) == {"conv": 1, "linear": 25}
    mlp = found["encoder.layers.encoder_layer_0.mlp.0"]
    assert (mlp.units, mlp.height, mlp.width) == (3072, 1, 17)
    assert (found["heads.head"].units, found["heads.head"].width) == (1000, 1)
    assert [(s.layer, s.units, s.width) for s in blocks] == [
        ("encoder.layers.encoder_layer_0", 768, 17),
        ("encoder.ln", 768, 17),
    ]
    output = torch.randn(2, 17, 3072)
    assert torch.equal(mlp.maps(output)[:, :, 0], output.transpose(1, 2))


class Between(nn.Module):
    """Two convolutions whose batch norm does not read what they put out."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.norm_a, self.norm_b = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm_a(torch.relu_(self.a(x)))  # the very tensor, but behind the nonlinearity
        return self.norm_b(self.b(x) + x)


def test_a_norm_behind_the_nonlinearity_or_a_sum_is_not_the_convolutions() -> None:
    assert {own: s.layer for own, s in pre_activations(build(Between)).items()} == {"a": "a", "b": "b"}


class NormWithNonlinearity(nn.BatchNorm2d):
    """As in libraries that put a ReLU into the norm."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(super().forward(x))


def test_a_norm_that_holds_the_nonlinearity_is_none() -> None:
    network = carry(nn.Sequential(nn.Conv2d(3, 4, 3), NormWithNonlinearity(4)))

    assert [s.layer for s in pre_activations(network).values()] == ["0"]
    assert [s.kind for s in find_sites(network)] == ["conv"]


class Peeks(Plain):
    """Looks at values, which tensors without values cannot bear."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x * 2 if x.sum().item() > 0 else x)


def test_a_network_that_looks_at_values_is_run_for_real() -> None:
    assert [s.layer for s in find_sites(build(Peeks))] == ["conv", "norm", "last", "fc"]


class Odd(nn.Module):
    """Modules whose outputs have no units."""

    def __init__(self) -> None:
        super().__init__()
        self.split, self.total, self.label = Splits(), Totals(), Labels()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total(x), self.label(x)
        return self.fc(self.split(x)[0].mean((2, 3)))


class Splits(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


class Totals(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((0, 2, 3))


class Labels(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).argmax(1, keepdim=True)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("split", "^split puts out a tuple, expected one tensor"),
        ("total", "^total puts out 3 for two images, expected images x units"),
        ("label", "^label puts out a tensor of torch.int64"),
        ("fcc", r"no layer 'fcc' in the forward pass of the network.*'fc'"),
    ],
)
def test_layers_that_cannot_be_looked_at_are_refused_by_name(layer: str, message: str) -> None:
    with pytest.raises(PrunescopeError, match=message):
        find_sites(build(Odd), [layer])


def test_layers_that_only_training_uses_are_not_sites() -> None:
    network = open_network("torchvision/googlenet", options={"init_weights": False}, preprocess=SMALL).train()

    assert not any(s.layer.startswith("aux") for s in find_sites(network))
    with pytest.raises(PrunescopeError, match="no layer 'aux1"):
        find_sites(network, ["aux1.*"])
    assert network.training


def test_hooks_and_modes_are_restored_also_after_an_exception() -> None:
    network = build(Plain).train()
    network.fc = nn.Linear(7, 2)  # does not fit

    with pytest.raises(RuntimeError):
        find_sites(network)

    assert network.training
    assert network.norm.training
    assert not any(module._forward_hooks for module in network.modules())


def test_a_rotation_is_orthogonal_and_keeps_the_norm_at_every_position() -> None:
    turned = rotated(site(units=16), seed=3)
    maps = torch.randn(2, 16, 5, 4)

    assert turned.rotation is not None
    torch.testing.assert_close(turned.rotation @ turned.rotation.T, torch.eye(16))
    expected = torch.einsum("uv,nvhw->nuhw", turned.rotation, maps)
    torch.testing.assert_close(turned.maps(maps), expected)
    torch.testing.assert_close(turned.maps(maps).norm(dim=1), maps.norm(dim=1))


def test_a_rotation_depends_on_seed_and_layer_alone() -> None:
    first, again = rotated(site("a"), 0).rotation, rotated(site("a"), 0).rotation

    assert first is not None
    assert torch.equal(first, again)
    assert not torch.equal(first, rotated(site("a"), 1).rotation)
    assert not torch.equal(first, rotated(site("b"), 0).rotation)


def test_rotations_are_uniform() -> None:
    """Without the signs, QR favours a diagonal of one sign; uniform over 2 x 2, each entry is cos or sin."""
    entries = torch.stack([rotated(site(units=2), seed).rotation for seed in range(2000)]).flatten(1)

    assert entries.mean(0).abs().max() < 0.06  # 3.8 standard errors of cos of a uniform angle
    assert ((entries**2).mean(0) - 0.5).abs().max() < 0.04
