from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks as hooks

import prunescope as ps
from oracles.channels import TOYS, Concat, carry
from prunescope.errors import PrunescopeError
from prunescope.pruning.masks import Held

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-2),
    "nesterov": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, foreach=False),
    "adam": lambda p: torch.optim.Adam(p, 0.01, weight_decay=1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.9),
    "lbfgs": lambda p: torch.optim.LBFGS(p, 0.1, max_iter=3),
}


def step(network: nn.Module, optimizer: Optimizer, seed: int = 0) -> None:
    draw = torch.Generator().manual_seed(seed)
    images, labels = torch.randn(8, 3, 8, 8, generator=draw), torch.randint(4, (8,), generator=draw)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        return loss

    optimizer.step(closure)


def revived(network: nn.Module, mask: ps.Mask) -> int:
    """Count the removed weights that are not 0."""
    parameters = dict(network.named_parameters())
    return sum(int((parameters[name] * ~keep).count_nonzero()) for name, keep in mask.keep.items())


@contextmanager
def applied_once(network: nn.Module, mask: ps.Mask) -> Iterator[None]:
    mask.apply(network)
    yield


@pytest.mark.parametrize("granularity", ["weight", "filter", "connection"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_removed_weights_are_0_after_every_step(optimizer: str, granularity: str) -> None:
    """Momentum, too: the optimizer has gathered some before the mask comes."""

    def count(holding: Callable[[nn.Module, ps.Mask], Any]) -> list[int]:
        network = TOYS["concat"].network().train()
        steps = OPTIMIZERS[optimizer](network.parameters())
        step(network, steps, seed=9)
        mask = ps.prune(network, granularity, rate=0.6)
        counts = []
        with holding(network, mask):
            for seed in range(4):
                step(network, steps, seed)
                counts.append(revived(network, mask))
        return counts

    assert count(ps.hold) == [0, 0, 0, 0]
    assert all(count > 0 for count in count(applied_once))  # what happens without


def test_what_is_kept_is_trained_as_if_nothing_were_held() -> None:
    """Holding does what multiplying by the mask after each step does, and nothing else."""
    held, by_hand = TOYS["concat"].network(), TOYS["concat"].network()
    mask = ps.prune(held, "weight", rate=0.5)
    one, other = (OPTIMIZERS["sgd"](network.parameters()) for network in (held, by_hand))
    mask.apply(by_hand)

    with ps.hold(held, mask):
        for seed in range(3):
            step(held, one, seed)
    for seed in range(3):
        step(by_hand, other, seed)
        mask.apply(by_hand)

    assert all(torch.equal(a, b) for a, b in zip(held.parameters(), by_hand.parameters(), strict=True))


def test_networks_side_by_side_do_not_touch_each_other() -> None:
    networks = [TOYS["concat"].network(seed).train() for seed in range(3)]
    masks = [ps.prune(networks[0], "weight", rate=0.8), ps.prune(networks[1], "filter", rate=0.5)]
    steps = [OPTIMIZERS["adam"](network.parameters()) for network in networks]
    alone = TOYS["concat"].network(2).train()
    its_steps = OPTIMIZERS["adam"](alone.parameters())

    with ps.hold(networks[0], masks[0]), ps.hold(networks[1], masks[1]):
        for seed in range(3):
            for network, optimizer in zip(networks, steps, strict=True):
                step(network, optimizer, seed)
            step(alone, its_steps, seed)
        networks[0].a.weight.data += 1  # by hand: only a step of its own optimizer is to undo this
        step(networks[1], steps[1])
        assert revived(networks[0], masks[0]) > 0
        step(networks[0], steps[0])
        zeros = [sum(int((p == 0).sum()) for p in network.parameters()) for network in networks]

    assert revived(networks[0], masks[0]) == revived(networks[1], masks[1]) == 0
    assert zeros == [removed(masks[0], networks[0]), removed(masks[1], networks[1]), 0]
    assert all(torch.equal(a, b) for a, b in zip(networks[2].parameters(), alone.parameters(), strict=True))


def removed(mask: ps.Mask, network: nn.Module) -> int:
    parameters = dict(network.named_parameters())
    return sum(int((~keep).expand_as(parameters[name]).sum()) for name, keep in mask.keep.items())


def test_a_hold_ends_and_the_zeros_stay_also_after_an_exception() -> None:
    network = TOYS["concat"].network().train()
    mask = ps.prune(network, "weight", rate=0.5)
    optimizer = OPTIMIZERS["sgd"](network.parameters())
    before = len(hooks)

    def fail() -> None:
        with ps.hold(network, mask):
            assert len(hooks) == before + 1
            step(network, optimizer)
            network.a.weight.data.add_(1)  # by hand, behind the optimizer's back
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert len(hooks) == before
    assert revived(network, mask) == 0
    step(network, optimizer)
    assert revived(network, mask) > 0  # no longer held


def test_holding_nothing() -> None:
    before = len(hooks)
    with ps.hold(nn.Linear(2, 2), None) as network:
        assert isinstance(network, nn.Linear)
        assert len(hooks) == before


def test_what_is_saved_inside_has_the_zeros() -> None:
    network = TOYS["concat"].network().train()
    mask = ps.prune(network, "filter", rate=0.5)
    optimizer = OPTIMIZERS["sgd"](network.parameters())

    with ps.hold(network, mask):
        step(network, optimizer)
        saved = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    assert all(not (saved[name] * ~keep).any() for name, keep in mask.keep.items())
    assert set(saved) == set(TOYS["concat"].network().state_dict())  # no parameter more, none renamed


def test_channels_last_and_moved_parameters_are_held() -> None:
    network = TOYS["concat"].network().train()
    mask = ps.prune(network, "weight", rate=0.5)

    with ps.hold(network, mask):
        network.to(memory_format=torch.channels_last)
        step(network, OPTIMIZERS["sgd"](network.parameters()))
        assert revived(network, mask) == 0
        assert network.a.weight.is_contiguous(memory_format=torch.channels_last)
        network.double()
        optimizer = OPTIMIZERS["sgd"](network.parameters())
        network(torch.randn(2, 3, 8, 8, dtype=torch.float64)).sum().backward()
        optimizer.step()
        assert revived(network, mask) == 0


def test_an_optimizer_of_some_parameters_is_enough() -> None:
    network = TOYS["concat"].network().train()
    mask = ps.prune(network, "weight", rate=0.5)
    optimizer = OPTIMIZERS["sgd"]([network.d.weight])

    with ps.hold(network, mask):
        step(network, optimizer)
        assert revived(network, mask) == 0


def test_biases_and_batch_norms_of_removed_filters_are_held_at_0() -> None:
    network = TOYS["concat"].network().train()
    remove = ps.prune(network, "filter", rate=0.5)
    keep = ps.prune(network, "filter", rate=0.5, norm="keep")
    optimizer = OPTIMIZERS["adamw"](network.parameters())

    with ps.hold(network, keep):
        step(network, optimizer)
    gone = {name: remove.removed(name).flatten() for name in "abcd"}
    assert network.b.bias[gone["b"]].all()
    assert network.norm.bias[torch.cat([gone["b"], gone["c"]])].all()
    assert not network.b.weight[gone["b"]].any()

    with ps.hold(network, remove):
        step(network, optimizer)
    assert not network.b.bias[gone["b"]].any()
    assert not network.d.bias[gone["d"]].any()
    for norm, channels in ((network.norm_a, gone["a"]), (network.norm, torch.cat([gone["b"], gone["c"]]))):
        assert not norm.weight[channels].any()
        assert not norm.bias[channels].any()
        assert norm.weight[~channels].all()


shapes = st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,5}(\.[0-9a-z]{1,3}){0,2}\.weight", fullmatch=True), shapes),
    st.data(),
)
def test_saved_and_loaded_it_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, parameters: dict[str, tuple[int, ...]], data: st.DataObject
) -> None:
    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    mask = ps.Mask(
        {name: torch.rand(shape, generator=draw) < 0.5 for name, shape in parameters.items()},
        data.draw(st.sampled_from(["weight", "filter", "connection"])),
        {name: data.draw(st.floats(0, 0.99)) for name in parameters},
    )
    path = tmp_path_factory.getbasetemp() / "mask.safetensors"

    mask.save(path)
    loaded = ps.Mask.load(path)

    assert (loaded.granularity, loaded.rates) == (mask.granularity, mask.rates)
    assert loaded.keep.keys() == mask.keep.keys()
    assert all(torch.equal(loaded.keep[name], mask.keep[name]) for name in mask.keep)


def test_a_mask_weighs_one_bit_a_weight(tmp_path: Path) -> None:
    mask = ps.Mask({"a.weight": torch.rand(64, 64, 3, 3) < 0.5}, "weight")

    mask.save(tmp_path / "mask.safetensors")

    assert (tmp_path / "mask.safetensors").stat().st_size < 64 * 64 * 9 / 8 + 500


def test_files_that_are_no_masks(tmp_path: Path) -> None:
    ps.save_network(ps.open_network("prunescope/sprig"), tmp_path / "network.safetensors")
    (tmp_path / "text.safetensors").write_text("no mask")

    for name in ("network", "text", "absent"):
        with pytest.raises(PrunescopeError, match=rf"{name}\.safetensors: not a mask that prunescope saved"):
            ps.Mask.load(tmp_path / f"{name}.safetensors")
    with pytest.raises(PrunescopeError, match="No such file or directory while writing"):
        ps.Mask({"a": torch.ones(1, dtype=torch.bool)}, "weight").save(
            tmp_path / "absent" / "mask.safetensors"
        )


def test_a_mask_for_another_network() -> None:
    network = carry(Concat())
    mask = ps.prune(network, "weight", rate=0.5)

    with pytest.raises(
        PrunescopeError, match=r"the mask is for another network: this one has no 'c\.weight'"
    ):
        mask.apply(carry(nn.ModuleDict({"a": network.a, "b": network.b})))
    wider = carry(Concat(a=5))
    before = wider.a.weight.clone()
    with (
        pytest.raises(PrunescopeError, match=r"'a\.weight' is \(5, 3, 3, 3\) here, its mask \(4, 3, 3, 3\)"),
        ps.hold(wider, mask),
    ):
        pytest.fail("a mask of another network was held")
    assert torch.equal(wider.a.weight, before)


# A mask that changes while it is held


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_changed_mask_is_applied_at_once_and_held(optimizer: str) -> None:
    network = TOYS["concat"].network().train()
    first = ps.prune(network, "weight", rate=0.3)
    steps = OPTIMIZERS[optimizer](network.parameters())

    with Held(network, first) as held:
        for seed in range(3):
            step(network, steps, seed)  # which gives every weight that is left some momentum
        second = ps.prune(network, "weight", rate=0.8, previous=first)
        held.change(second)
        assert held.mask is second
        assert revived(network, second) == 0
        for seed in range(3):
            step(network, steps, seed)
            assert revived(network, second) == 0
        zeros = sum(int((p == 0).sum()) for p in network.parameters())

    assert zeros == removed(second, network)
    step(network, steps)
    assert revived(network, second) > 0


def test_what_is_held_can_begin_with_nothing_and_change_parameters() -> None:
    network = TOYS["concat"].network().train()
    by_weight, by_filter = ps.prune(network, "weight", rate=0.5), ps.prune(network, "filter", rate=0.5)
    steps, before = OPTIMIZERS["sgd"](network.parameters()), len(hooks)

    with Held(network) as held:
        step(network, steps)
        assert not any((p == 0).any() for p in network.parameters())
        held.change(by_weight)
        step(network, steps)
        held.change(by_filter)
        step(network, steps)
        assert revived(network, by_filter) == 0
        assert revived(network, by_weight) > 0  # no longer held
        network.a.weight.data.add_(1)
    assert revived(network, by_filter) == 0  # also what was changed by hand
    assert len(hooks) == before


def test_a_mask_of_another_network_does_not_replace_the_one_that_is_held() -> None:
    network = TOYS["concat"].network().train()
    mask = ps.prune(network, "weight", rate=0.5)
    steps = OPTIMIZERS["sgd"](network.parameters())

    with Held(network, mask) as held:
        with pytest.raises(PrunescopeError, match="the mask is for another network"):
            held.change(ps.Mask({"z.weight": torch.ones(1, dtype=torch.bool)}, "weight"))
        assert held.mask is mask
        step(network, steps)
        assert revived(network, mask) == 0
