"""The smallest rate that keeps to a budget, against a look at all rates."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from oracles.channels import TOYS, Concat, carry
from oracles.counting import by_gradient
from prunescope import Mask, compact, save_network
from prunescope.errors import PrunescopeError
from prunescope.networks.layers import find_layers
from prunescope.pruning import budget as budgets
from prunescope.pruning.budget import Budget, cost_before, prune_to_budget
from prunescope.pruning.counting import count
from prunescope.pruning.prune import Pruning

RATES = 40  # that are looked at, so that looking at all of them is quick


@pytest.fixture(autouse=True)
def few_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "STEPS", RATES)


def masked(build: Callable[[], nn.Module], mask: Mask) -> nn.Module:
    network = build()
    mask.apply(network)
    return network


def compact_macs(network: nn.Module, mask: Mask) -> int:
    """Multiply-accumulates of the network without its removed channels: of tensors that are really smaller."""
    return sum(layer.macs for layer in find_layers(compact(network, mask)).values())


def reached_weights(network: nn.Module, mask: Mask, side: int = 8) -> int:
    reached = by_gradient(network, side)
    weights = {name: parameter != 0 for name, parameter in network.named_parameters()}
    return sum(int((reached[f"{name}.weight"] & weights[f"{name}.weight"]).sum()) for name in mask.rates)


def bits(mask: Mask) -> tuple[bytes, ...]:
    return tuple(keep.numpy().tobytes() for keep in mask.keep.values())


def smallest(costs: list[float], at_most: float) -> int | None:
    return next((place for place, cost in enumerate(costs) if cost <= at_most), None)


CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("concat", "macs", "filter", {}),
    ("concat", "macs", "filter", {"scope": "global"}),
    ("concat", "macs", "filter", {"round_to": 2}),
    ("concat", "macs", "filter", {"scope": "global", "round_to": 2, "min_share": 0.4}),
    ("concat", "macs", "connection", {"scope": "global"}),
    ("residual", "macs", "filter", {"scope": "global"}),
    ("twice", "macs", "filter", {"scope": "erk"}),
    ("concat", "weights", "weight", {"scope": "global"}),
    ("residual", "weights", "weight", {"scope": "erk"}),
    ("concat", "weights", "filter", {"by": "random", "seed": 3}),
]


@pytest.mark.parametrize(("toy", "of", "granularity", "choices"), CASES)
def test_what_a_look_at_all_rates_finds(toy: str, of: Any, granularity: str, choices: dict[str, Any]) -> None:
    network = TOYS[toy].network()
    pruning = Pruning(network, granularity, **choices)
    masks = [pruning.at(step / RATES) for step in range(RATES)]
    slow = compact_macs if of == "macs" else reached_weights
    slowly: dict[tuple[bytes, ...], float] = {}
    for mask in masks:
        what = bits(mask)
        slowly[what] = slowly.get(what) or slow(masked(TOYS[toy].network, mask), mask)
    costs = [slowly[bits(mask)] for mask in masks]
    assert cost_before(network, pruning, of) == costs[0]
    for share in (1.0, 0.7, 0.4, 0.25, 0.1):
        at_most = share * costs[0]
        expected = smallest(costs, at_most)
        if expected is None:
            with pytest.raises(PrunescopeError, match=f"the least possible is {costs[-1] / costs[0]:.1%}"):
                prune_to_budget(network, pruning, Budget(of, at_most))
            continue

        found = prune_to_budget(network, pruning, Budget(of, at_most))

        assert (found.rate, found.reached) == (expected / RATES, costs[expected])
        assert all(torch.equal(keep, masks[expected].keep[name]) for name, keep in found.mask.keep.items())


def test_the_network_stays_as_it_was() -> None:
    network = TOYS["concat"].network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    prune_to_budget(network, Pruning(network, "filter"), Budget("macs", 4000))

    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_what_was_removed_before_stays_removed() -> None:
    network = TOYS["concat"].network()
    previous = Pruning(network, "filter", by="random").at(0.3)
    previous.apply(network)
    pruning = Pruning(network, "filter", scope="global")
    at_most = 0.5 * cost_before(network, pruning, "macs")

    found = prune_to_budget(network, pruning, Budget("macs", at_most), previous)

    for name in previous.rates:
        assert (found.mask.removed(name) | ~previous.removed(name)).all()
    assert compact_macs(masked(TOYS["concat"].network, found.mask), found.mask) == found.reached <= at_most
    enough = prune_to_budget(network, pruning, Budget("macs", 2 * at_most), previous)
    assert enough.rate == 0  # the network is as small as asked for already


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_blocks_have_few_rates(share: float) -> None:
    network = TOYS["shuffle"].network()
    pruning = Pruning(network, "n:m", layers=["c", "d", "fc"])
    found = prune_to_budget(network, pruning, Budget("weights", share * 32))

    assert found.rate == {0.9: 0.25, 0.5: 0.5}[share]
    assert found.reached == (1 - found.rate) * 32


def test_steps_of_a_score_are_taken_to_each_rate() -> None:
    network = TOYS["concat"].network()
    pruning = Pruning(network, "weight", scope="global", score_steps=3)
    dense = cost_before(network, pruning, "weights")

    found = prune_to_budget(network, pruning, Budget("weights", 0.5 * dense))

    again = pruning.at(found.rate)
    assert all(torch.equal(keep, again.keep[name]) for name, keep in found.mask.keep.items())
    assert found.reached <= 0.5 * dense


class Fussy(Concat):
    """On small images, what `c` puts out does not matter."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] < 100:
            self.c.weight.data.mul_(1)  # runs for real, so that the shape is looked at
            x = torch.relu(self.norm_a(self.a(x)))
            x = self.norm(torch.cat([self.b(x), 0 * self.c(x)], 1))
            return self.fc(self.d(x).mean((2, 3)))
        return super().forward(x)


@pytest.mark.parametrize("build", [Concat, Fussy])
def test_images_are_only_made_smaller_where_that_changes_nothing(build: type[nn.Module]) -> None:
    network = carry(build(), 260)
    pruning = Pruning(network, "filter", scope="global")
    at_most = 0.5 * sum(layer.macs for layer in find_layers(network).values())

    found = prune_to_budget(network, pruning, Budget("macs", at_most))

    def macs(rate: float) -> int:
        smaller = carry(build(), 260)
        smaller.load_state_dict(network.state_dict())
        pruning.at(rate).apply(smaller)
        return sum(part.macs_effective for part in count(smaller).layers.values())

    assert found.reached == macs(found.rate) <= at_most < macs(found.rate - 1 / RATES)


@pytest.mark.parametrize("granularity", ["filter", "connection", "weight", "kernel"])
def test_bytes_are_those_of_the_file(granularity: str, tmp_path: Path) -> None:
    network = carry(Concat(64, 32, 48, 40))
    pruning = Pruning(network, granularity)

    found = prune_to_budget(network, pruning, Budget("bytes", 80_000))

    def saved(mask: Mask) -> int:
        file, pruned = tmp_path / "pruned.safetensors", copy.deepcopy(network)
        mask.apply(pruned)
        shrinks = granularity in ("filter", "connection")
        save_network(compact(pruned, mask) if shrinks else pruned, file, pack=not shrinks)
        return file.stat().st_size

    assert saved(found.mask) == found.reached <= 80_000 < saved(pruning.at(found.rate - 1 / RATES))


def share_kept(network: nn.Module, mask: Mask) -> float:
    keeps = [mask.keep[f"{name}.weight"] for name in mask.rates]
    return sum(int(keep.sum()) for keep in keeps) / sum(keep.numel() for keep in keeps)


def test_costs_that_rise_here_and_there() -> None:
    """What is found keeps to the budget, and the next smaller rate does not."""
    network = TOYS["concat"].network()
    pruning = Pruning(network, "weight", scope="global")

    def jagged(network: nn.Module, mask: Mask) -> float:
        kept = share_kept(network, mask)
        return kept + 0.1 * (round(1000 * kept) % 7 == 0)

    for at_most in (0.9, 0.7, 0.5, 0.3, 0.15):
        found = prune_to_budget(network, pruning, Budget("weights", at_most), cost=jagged)
        assert found.reached == jagged(network, found.mask) <= at_most
        assert jagged(network, pruning.at(found.rate - 1 / RATES)) > at_most


def test_a_measured_cost_is_measured_again() -> None:
    """The clock is lucky the first time that it is asked about a mask: what it said has to be confirmed."""
    network = TOYS["concat"].network()
    pruning = Pruning(network, "weight", scope="global")
    asked: list[float] = []

    def clock(network: nn.Module, mask: Mask) -> float:
        kept = share_kept(network, mask)
        asked.append(kept)
        return 10 * kept * (0.93 if asked.count(kept) == 1 else 1)

    found = prune_to_budget(network, pruning, Budget("milliseconds", 5), cost=clock)

    assert found.rate == pytest.approx(0.5, abs=0.01)
    assert found.reached == 10 * share_kept(network, found.mask) <= 5
    assert len(asked) < 25


def test_the_zeros_are_there_when_costs_are_measured() -> None:
    network = TOYS["concat"].network()
    pruning = Pruning(network, "filter")
    held = []

    def cost(network: nn.Module, mask: Mask) -> float:
        fresh = masked(TOYS["concat"].network, mask).state_dict()
        held.append(all(torch.equal(tensor, fresh[name]) for name, tensor in network.state_dict().items()))
        return share_kept(network, mask)

    prune_to_budget(network, pruning, Budget("milliseconds", 0.6), cost=cost)

    assert len(held) >= 5
    assert all(held)


@pytest.mark.parametrize("at_most", [0, -1, float("nan"), float("inf")])
def test_budgets_that_are_none(at_most: float) -> None:
    with pytest.raises(PrunescopeError, match=f"a budget of {at_most} MACs is impossible"):
        Budget("macs", at_most)


def test_budgets_of_what_is_unknown() -> None:
    with pytest.raises(PrunescopeError, match=r"a budget of 'mac': .* \(did you mean 'macs'\?\)"):
        Budget("mac", 1)  # type: ignore[arg-type]


def test_budgets_out_of_reach_say_why() -> None:
    network = TOYS["concat"].network()
    pruning = Pruning(network, "filter", spare=["a", "b"], min_share=0.5, round_to=2)
    with pytest.raises(PrunescopeError) as caught:
        prune_to_budget(network, pruning, Budget("macs", 100))
    assert str(caught.value).startswith("a budget of 100 MACs cannot be met: the least possible is ")
    assert str(caught.value).endswith(
        "each layer keeps min_left 1, each layer keeps min_share 0.5, numbers of channels are multiples of 2, "
        "3 layers are spared"
    )


def test_blocks_say_that_one_of_each_stays() -> None:
    pruning = Pruning(carry(Concat()), "n:m", m=2, spare=["a", "d", "fc"])
    with pytest.raises(
        PrunescopeError, match=r"at rate 0.5\): every 2 weights keep one, 3 layers are spared$"
    ):
        prune_to_budget(pruning.network, pruning, Budget("weights", 1))


def test_what_a_budget_needs() -> None:
    network = TOYS["concat"].network()
    pruning = Pruning(network, "filter")
    with pytest.raises(PrunescopeError, match="a budget of milliseconds needs cost"):
        prune_to_budget(network, pruning, Budget("milliseconds", 5))
    with pytest.raises(PrunescopeError, match="a budget of milliseconds needs cost"):
        cost_before(network, pruning, "milliseconds")
    with pytest.raises(PrunescopeError, match="choose scope layer, global or erk instead of specific"):
        prune_to_budget(network, Pruning(network, "filter", scope="specific"), Budget("macs", 5000))
