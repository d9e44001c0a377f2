from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from oracles.channels import TOYS, Concat, carry
from oracles.slow_accuracy_drop import greedy, without
from prunescope.errors import PrunescopeError
from prunescope.networks.layers import find_layers
from prunescope.pruning.masks import Mask
from prunescope.pruning.prune import Pruning, prune
from prunescope.pruning.scores import accuracy_drop, all_scores
from prunescope.pruning.scores.score import ScoreRequest

CAR = all_scores()["car"]
IMAGES = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(11))


def agreement(network: nn.Module) -> Callable[[nn.Module], float]:
    """Return the accuracy on labels that are the network's own answers, which every filter takes part in."""
    labels = network(IMAGES).argmax(1)
    return lambda other: float((other(IMAGES).argmax(1) == labels).float().mean())


def closeness(network: nn.Module) -> Callable[[nn.Module], float]:
    """Return something like an accuracy that has no ties: minus the cross-entropy with the network's answers."""
    answers = network(IMAGES).detach().softmax(1).double()
    return lambda other: -float(functional.cross_entropy(other(IMAGES).detach().double(), answers))


def request_by(pruning: Pruning, evaluate: Callable[[nn.Module], float], **more: Any) -> ScoreRequest:
    without_one = {"without": pruning.without, **more}
    return ScoreRequest(
        pruning.network,
        pruning.layers,
        pruning.granularity,
        torch.Generator(),
        evaluate=evaluate,
        **without_one,
    )


def bits(network: nn.Module) -> dict[str, bytes]:
    return {name: tensor.detach().numpy().tobytes() for name, tensor in network.state_dict().items()}


class Chain(nn.Module):
    """Two convolutions, each with its batch norm, and classes that are equally frequent among `IMAGES`."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm_a = nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5)
        self.b, self.norm_b = nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm_b(self.b(torch.relu(self.norm_a(self.a(x))))))
        return self.fc(x.mean((2, 3)))


NORMS = {"a": "norm_a", "b": "norm_b"}


@pytest.fixture
def chain() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = Chain()
        for norm in (network.norm_a, network.norm_b):
            nn.init.normal_(norm.weight, 1, 0.5)
            nn.init.normal_(norm.bias, 0, 0.5)
        network.eval().fc.bias.data -= network(IMAGES).detach().mean(0)
    return carry(network)


def test_the_drop_without_each_filter(chain: nn.Module) -> None:
    evaluate = agreement(chain)

    scores = CAR(request_by(Pruning(chain, "filter"), evaluate))

    assert {name: tuple(found.shape) for name, found in scores.items()} == {
        "a": (5, 1, 1, 1),
        "b": (4, 1, 1, 1),
    }
    for name, found in scores.items():
        expected = [1 - evaluate(without(chain, [(name, i)], NORMS)) for i in range(found.numel())]
        assert found.flatten().tolist() == pytest.approx(expected)
    assert len(torch.cat([found.flatten() for found in scores.values()]).unique()) > 3


@pytest.mark.parametrize("granularity", ["weight", "connection", "kernel"])
def test_the_drop_without_each_group_of_another_kind(granularity: str) -> None:
    network = TOYS["concat"].network()
    evaluate = closeness(network)
    whole, weight = evaluate(network), network.d.weight.data

    scores = CAR(request_by(Pruning(network, granularity, layers=["d"]), evaluate))["d"]

    for place in torch.ones_like(scores).nonzero()[::5].tolist():
        copied = copy.deepcopy(network)
        group = [slice(None) if scores.shape[d] < weight.shape[d] else i for d, i in enumerate(place)]
        copied.d.weight.data[tuple(group)] = 0
        assert float(scores[tuple(place)]) == pytest.approx(whole - evaluate(copied), abs=1e-6)


@pytest.mark.parametrize("count", [1, 3, 6])
def test_a_step_for_each_group_is_the_greedy_algorithm(chain: nn.Module, count: int) -> None:
    evaluate = closeness(chain)
    expected = greedy(chain, {"a": 5, "b": 4}, evaluate, count, NORMS)

    previous: Mask | None = None
    network = copy.deepcopy(chain)
    for done in range(1, count + 1):
        previous = prune(
            network, "filter", by="car", scope="global", rate=done / 9, previous=previous, evaluate=evaluate
        )
        previous.apply(network)

    assert previous is not None
    found = {(name, i) for name in "ab" for i in (~previous.keep[f"{name}.weight"]).nonzero()[:, 0].tolist()}
    assert found == expected


def test_score_steps_are_the_greedy_algorithm(chain: nn.Module) -> None:
    """Three filters on three rungs; each rung keeps a fraction of the one before: 9, 8, 7, 6."""
    evaluate = closeness(chain)
    expected = greedy(chain, {"a": 5, "b": 4}, evaluate, 3, NORMS)

    mask = prune(chain, "filter", by="car", scope="global", rate=3 / 9, score_steps=3, evaluate=evaluate)

    assert {
        (name, i) for name in "ab" for i in (~mask.keep[f"{name}.weight"]).nonzero()[:, 0].tolist()
    } == expected


def test_what_is_removed_already_is_not_tried(chain: nn.Module) -> None:
    before = prune(chain, "filter", rate=0.5)
    before.apply(chain)
    seen: list[tuple[str, int]] = []
    pruning = Pruning(chain, "filter")

    def noting(layer: str, number: int) -> Mask:
        seen.append((layer, number))
        return pruning.without(layer, number)

    removed = {name: before.removed(name) for name in "ab"}
    scores = CAR(request_by(pruning, agreement(chain), removed=removed, without=noting))

    assert seen == [(name, i) for name in "ab" for i in (~removed[name]).nonzero()[:, 0].tolist()]
    assert all((scores[name][removed[name]] == 0).all() for name in "ab")


def test_tied_filters_are_tried_once_and_count_once() -> None:
    network = TOYS["residual"].network()
    calls, evaluate = 0, closeness(network)

    def counting(other: nn.Module) -> float:
        nonlocal calls
        calls += 1
        return evaluate(other)

    scores = {
        name: found.flatten() for name, found in CAR(request_by(Pruning(network, "filter"), counting)).items()
    }

    assert calls == 1 + 4 + 5 + 3  # the whole, stem with b, a, after
    assert not scores["b"].any()
    for i in range(4):
        expected = evaluate(network) - evaluate(without(network, [("stem", i), ("b", i)], {}))
        assert float(scores["stem"][i] + scores["b"][i]) == pytest.approx(expected, abs=1e-6)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("stopped", [Interrupted, KeyboardInterrupt, None])
def test_the_network_is_left_as_it_was(stopped: type[BaseException] | None) -> None:
    """To the bit, with weights that no sum brings back, and each module's own mode."""
    network = TOYS["residual"].network()
    network.a.weight.data[0, 0] = -0.0
    network.a.weight.data[1, 1] = 1e-42
    network.stem.weight.data[2, 0, 0, 0] = float("inf")
    network.train()
    network.norm.eval()
    before, modes = bits(network), [module.training for module in network.modules()]
    pointers = [parameter.data_ptr() for parameter in network.parameters()]
    calls = 0

    def evaluate(other: nn.Module) -> float:
        nonlocal calls
        calls += 1
        assert not other.training
        if stopped and calls == 4:
            assert bits(other) != before
            raise stopped
        return 1 / calls

    request = request_by(Pruning(network, "filter"), evaluate)
    if stopped:
        with pytest.raises(stopped):
            CAR(request)
    else:
        CAR(request)

    assert bits(network) == before
    assert [module.training for module in network.modules()] == modes
    assert [parameter.data_ptr() for parameter in network.parameters()] == pointers
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())


def test_more_groups_than_can_be_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    network = carry(Concat(a=4, b=2, c=3, d=3).eval())
    monkeypatch.setattr(accuracy_drop, "MOST_GROUPS", 11)
    pruning = Pruning(network, "filter")

    with pytest.raises(
        PrunescopeError, match=r"once for each group, and there are 12 of them, more than 11: choose"
    ):
        CAR(request_by(pruning, lambda _: pytest.fail("was tried")))

    one = {"a": torch.tensor([True, False, False, False]).view(4, 1, 1, 1)}
    assert len(CAR(request_by(pruning, lambda _: 0.5, removed=one))) == 4


def test_what_it_needs(chain: nn.Module) -> None:
    with pytest.raises(PrunescopeError, match="car asks for the accuracy without each group: give evaluate"):
        prune(chain, "filter", by="car", rate=0.5)
    request = ScoreRequest(
        chain,
        find_layers(chain),
        Pruning(chain, "filter").granularity,
        torch.Generator(),
        evaluate=lambda _: 0.0,
    )
    with pytest.raises(PrunescopeError, match="car removes one group at a time: give without"):
        CAR(request)


def test_an_accuracy_that_is_no_number(chain: nn.Module) -> None:
    with pytest.raises(PrunescopeError, match="the scores of a hold NaN"):
        prune(chain, "filter", by="car", rate=0.5, evaluate=lambda _: float("nan"))
