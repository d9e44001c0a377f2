"""LRP against explicit matrices, against networks with their batch norms folded by torch, and by conservation."""

from __future__ import annotations

import pytest
import torch
from gradient_toys import images, scores_of, toy
from torch import nn

import prunescope as ps
from oracles.channels import TOYS, carry
from oracles.slow_relevance import Paths, fused, relevance_of
from prunescope.errors import PrunescopeError
from prunescope.pruning.calibration import Calibration
from prunescope.pruning.granularity import GRANULARITIES

SIDE = 6


@pytest.fixture(scope="module")
def by_hand() -> dict[str, torch.Tensor]:
    """The relevance of every weight of `Paths`, added up over the images."""
    network, calibration = toy(Paths()), images(2, 4, SIDE)
    of_each = [
        relevance_of(network, image, label)
        for image, label in zip(calibration.inputs, calibration.labels.tolist(), strict=True)
    ]
    return {name: sum((found[name] for found in of_each[1:]), of_each[0][name]) for name in of_each[0]}


@pytest.mark.parametrize("granularity", ["filter", "connection"])
def test_it_is_the_relevance_of_explicit_matrices(by_hand: dict[str, torch.Tensor], granularity: str) -> None:
    scores = scores_of(toy(Paths()), "lrp", granularity, images(2, 4, SIDE, batch=1))

    assert scores.keys() == by_hand.keys()
    for name, expected in by_hand.items():
        summed = GRANULARITIES[granularity].reduce(expected)
        assert summed.abs().max() > 1e-3
        torch.testing.assert_close(scores[name], summed, rtol=1e-8, atol=1e-9 * summed.abs().max().item())


@pytest.mark.parametrize(
    "activation",
    [
        nn.ReLU(inplace=True), nn.ReLU6(inplace=True), nn.LeakyReLU(0.2, inplace=True), nn.PReLU(6), nn.SiLU(),
        nn.Hardswish(inplace=True), nn.GELU(), nn.Tanh(),
    ],
    ids=lambda module: type(module).__name__,
)  # fmt: skip
def test_without_biases_every_layer_has_all_the_relevance(activation: nn.Module) -> None:
    network = toy(
        nn.Sequential(
            nn.Conv2d(3, 6, 3, bias=False), activation, nn.MaxPool2d(2), nn.Conv2d(6, 6, 2, bias=False), activation,
            nn.AdaptiveAvgPool2d(1), activation, nn.Flatten(), nn.Linear(6, 3, bias=False),
        )
    )  # fmt: skip
    calibration = images(4)
    scores = scores_of(network, "lrp", "filter", calibration)

    total = network(calibration.inputs).gather(1, calibration.labels[:, None]).sum().item()
    assert abs(total) > 0.01
    for name in ("3", "8"):
        assert scores[name].sum().item() == pytest.approx(total, rel=1e-3)
    if isinstance(activation, nn.ReLU):
        assert scores["0"].sum().item() == pytest.approx(total, rel=1e-3)


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "densenet121"])
def test_folded_by_torch_the_relevance_is_the_same(name: str) -> None:
    network = real(name).double()
    calibration = images(2, 10, 32)
    folded = carry(fused(network), 32)

    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in each.modules()) for each in (network, folded)]
    assert norms[1] < 0.6 * norms[0]
    ours, theirs = (scores_of(each, "lrp", "filter", calibration) for each in (network, folded))
    assert ours.keys() == theirs.keys()
    for layer, expected in theirs.items():
        torch.testing.assert_close(ours[layer], expected, rtol=1e-6, atol=1e-9 * expected.abs().max().item())


def test_a_batch_norm_that_holds_its_activation_is_a_batch_norm_and_an_activation() -> None:
    class NormAct(nn.BatchNorm2d):
        """As timm has it."""

        def __init__(self) -> None:
            super().__init__(4)
            self.act = nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            held: torch.Tensor = self.act(super().forward(x))
            return held

    def scores(*norm: nn.Module) -> list[torch.Tensor]:
        layers = (nn.Conv2d(3, 4, 3), *norm, nn.Conv2d(4, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return list(scores_of(toy(nn.Sequential(*layers)), "lrp", calibration=images()).values())

    for held, apart in zip(scores(NormAct()), scores(nn.BatchNorm2d(4), nn.ReLU()), strict=True):
        assert torch.equal(held, apart)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_frozen_networks_of_torchvision(name: str) -> None:
    network = real(name).requires_grad_(False)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    calibration = images(2, 10, 32, batch=1)

    with torch.no_grad():
        mask = ps.prune(network, "filter", by="lrp", rate=0.5, calibration=calibration)

    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())
    assert mask.rates


def real(name: str) -> nn.Module:
    """A network with random weights and random statistics of its batch norms."""
    quick = {"init_weights": False} if name == "googlenet" else {}
    network = ps.open_network(
        f"torchvision/{name}", classes=10, options=quick, preprocess=ps.Preprocess(resize=None, crop=32)
    )
    draw = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=draw)
            module.running_var.uniform_(0.5, 2, generator=draw)
            with torch.no_grad():
                module.bias.normal_(0, 0.2, generator=draw)
    return network


def test_filters_that_excite_the_true_class_come_last() -> None:
    """Two filters that see red and green, two classes that read one each: to the red images red is relevant."""
    network = carry(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 8), nn.Flatten()))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0]])[:, :, None, None])
        network[2].weight.copy_(torch.eye(2)[:, :, None, None].expand(2, 2, 8, 8))
        for layer in (network[0], network[2]):
            layer.bias.zero_()
    colours = torch.tensor([0.6, 0.3, 0.9])[None, :, None, None].expand(1, 3, 8, 8)

    scores = scores_of(network, "lrp", "filter", Calibration(colours, torch.tensor([0])))

    assert scores["0"].flatten().tolist() == pytest.approx([64 * 0.6, 0], rel=1e-4)
    assert scores["2"].flatten().tolist() == pytest.approx([64 * 0.6, 0], rel=1e-4)


def test_gates_are_taken_as_constants() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 4, 3, bias=False)
            self.gate = nn.Conv2d(4, 4, 1)
            self.sigmoid = nn.Sigmoid()
            self.fc = nn.Linear(4, 3, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.a(x).relu()
            return self.fc((x * self.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))).mean((2, 3)))

    network, calibration = toy(Gated()), images()
    scores = scores_of(network, "lrp", "filter", calibration)
    total = network(calibration.inputs).gather(1, calibration.labels[:, None]).sum().item()

    assert not scores["gate"].any()
    assert scores["a"].sum().item() == pytest.approx(total, rel=1e-3)


def test_a_dead_network_is_refused() -> None:
    network = toy(Paths())
    nn.init.zeros_(network.hidden.weight)
    nn.init.constant_(network.hidden.bias, -1)

    with pytest.raises(PrunescopeError, match="lrp"):
        scores_of(network, "lrp", calibration=images(2, 4, SIDE))


def test_networks_without_a_rule_are_refused() -> None:
    for name in ("layer norm", "group norm"):
        with pytest.raises(PrunescopeError, match="lrp has no rule for between"):
            scores_of(TOYS[name].network(), "lrp", calibration=images())

    class Standardised(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self._conv_forward(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)

    network = toy(nn.Sequential(Standardised(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 6), nn.Flatten()))
    forwards = [module.forward for module in network]
    with pytest.raises(PrunescopeError, match="cannot follow this network"):
        scores_of(network, "lrp", calibration=images())
    assert [module.forward for module in network] == forwards


def test_what_was_removed_has_no_relevance() -> None:
    network = toy(Paths())
    mask = ps.prune(network, "connection", rate=0.5, spare=["depth"])
    mask.apply(network)
    scores = scores_of(network, "lrp", "connection", images(2, 4, SIDE))

    for name in mask.rates:
        assert not scores[name][mask.removed(name)].any()
        assert scores[name][~mask.removed(name)].any()
        assert scores[name].isfinite().all()


@pytest.mark.parametrize("granularity", ["weight", "kernel", "n:m"])
def test_what_inhibits_would_go_first(granularity: str) -> None:
    with pytest.raises(PrunescopeError, match=f"lrp cannot score by {granularity}: its z"):
        scores_of(toy(Paths()), "lrp", granularity, images(2, 4, SIDE))


def test_a_convolution_with_two_batch_norms_is_not_folded() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 3, 3, padding=1)
            self.one, self.other = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
            self.fc = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.other(self.a(self.one(self.a(x)).relu())).relu().mean((2, 3)))

    scores = scores_of(toy(Twice()), "lrp", calibration=images())

    assert all(values.any() and values.isfinite().all() for values in scores.values())
