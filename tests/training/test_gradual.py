"""Gradual pruning: the rate follows its cubic, nothing comes back, and what is held stays 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

import prunescope as ps
from prunescope.errors import PrunescopeError
from prunescope.pruning.masks import Held
from prunescope.pruning.prune import Pruning
from prunescope.training.gradual import GradualSettings, Ramp
from prunescope.training.loop import train
from prunescope.training.state import TrainingState
from training.small import images, same_bits, settings, tiny

GRADUAL = GradualSettings(begin=1, end=3, every=2)
PER_EPOCH, STEPS = 4, 16


def ramp(
    network: nn.Module, held: Held, rate: Any = 0.8, chosen: GradualSettings = GRADUAL, **how: Any
) -> Ramp:
    pruning = Pruning(network, **{"granularity": "weight", **how})
    return Ramp(pruning, held, rate, chosen, per_epoch=PER_EPOCH, steps=STEPS)


def test_the_rate_is_the_formula() -> None:
    network = tiny()
    with Held(network) as held:
        found = ramp(network, held)
    assert found.due == [6, 8, 10, 12]
    rates = [found.rate_at(step) for step in range(STEPS)]
    expected = [0] * 6 + [0.8 * (1 - 0.75**3)] * 2 + [0.7] * 2 + [0.8 * (1 - 0.25**3)] * 2 + [0.8] * 4
    assert rates == pytest.approx(expected, abs=1e-12)
    assert rates[12:] == [0.8] * 4  # exactly


@pytest.mark.parametrize(
    ("chosen", "due"),
    [
        (GradualSettings(begin=0, end=2, every=3), [3, 6, 8]),
        (GradualSettings(every=4), [4, 8, 11]),  # two thirds of 16 steps
        (GradualSettings(begin=3.5, end=4, every=100), [15]),  # one step follows
        (GradualSettings(begin=0.5, end=1, every=1), [3, 4]),
    ],
)
def test_when_it_prunes(chosen: GradualSettings, due: list[int]) -> None:
    network = tiny()
    with Held(network) as held:
        found = ramp(network, held, chosen=chosen)
    assert found.due == due
    assert found.settled == due[-1] + 1


def gradually(
    network: nn.Module, resume: TrainingState | None = None, **how: Any
) -> tuple[list[ps.Mask | None], list[TrainingState]]:
    """Train with a ramp; return the mask that held in each step, and the state at each."""
    masks: list[ps.Mask | None] = []
    states: list[TrainingState] = []
    with Held(network, how.pop("previous", None)) as held:
        rising = ramp(network, held, **how)
        if resume:
            rising.resume(resume)

        def before(step: int) -> None:
            rising(step)
            masks.append(held.mask)
            if held.mask:
                assert held.mask.held(network) == 1

        def on_state(state: TrainingState) -> None:
            if held.mask:
                assert held.mask.held(network) == 1
            states.append(state.with_mask(held.mask))

        train(
            network, images(32), settings(epochs=4, optimizer={"lr": 0.05, "weight_decay": 0.01}),
            before_step=before, keep=lambda _: True, on_state=on_state, resume=resume,
        )  # fmt: skip
    return masks, states


def zeros(network: nn.Module) -> dict[str, int]:
    return {name: int((p == 0).sum()) for name, p in network.named_parameters() if p.ndim > 1}


@pytest.mark.parametrize(
    "how",
    [{}, {"scope": "global"}, {"scope": "erk"}, {"by": "random"}, {"by": "training.small:largest_first"}],
    ids=str,
)
def test_masks_only_lose_weights_at_the_rate_of_their_time(how: dict[str, Any]) -> None:
    network = tiny()
    masks, _ = gradually(network, **how)
    assert masks[:6] == [None] * 6
    assert len({id(mask) for mask in masks}) == 5
    total = sum(p.numel() for p in network.parameters() if p.ndim > 1)
    last = {name: torch.ones((), dtype=torch.bool) for name in (masks[-1] or ps.Mask({}, "")).keep}
    for step, mask in enumerate(masks[6:], 6):
        assert mask is not None
        assert not any((keep & ~last[name]).any() for name, keep in mask.keep.items())
        last = mask.keep
        removed = sum(int((~keep).sum()) for keep in last.values())
        rate = 0.8 * (1 - (1 - min(step - step % 2 - 4, 8) / 8) ** 3)
        assert removed == pytest.approx(rate * total, abs=2), step
    assert sum(zeros(network).values()) == sum(int((~keep).sum()) for keep in last.values())


def test_at_the_end_each_layer_has_lost_exactly_the_rate() -> None:
    network = tiny()
    gradually(network)
    sizes = {name: p.numel() for name, p in network.named_parameters() if p.ndim > 1}
    assert zeros(network) == {name: round(0.8 * size) for name, size in sizes.items()}


def test_filters_and_a_rate_for_each_layer() -> None:
    network = tiny()
    masks, _ = gradually(network, granularity="filter", scope="specific", rate={"conv1": 0.25, "conv3": 0.5})
    counts = [[int(m.removed(n).sum()) for n in ("conv1", "conv2", "conv3")] for m in masks if m]
    assert counts[0] == [1, 0, 5]  # 8 and 16 filters, of .25 and .5 at .578 of the way
    assert counts[-1] == [2, 0, 8]
    assert torch.equal(network.bn3.weight == 0, network.conv3.weight.flatten(1).eq(0).all(1))  # type: ignore[operator, union-attr]


def test_it_rises_from_what_is_gone_already() -> None:
    network = tiny()
    previous = ps.prune(network, "weight", rate=0.5, by="random")
    with Held(network, previous) as held:
        rising = ramp(network, held)
        expected = 0.8 + (rising.origin[""] - 0.8) * 0.5**3
        assert rising.rate_at(8) == expected
    assert rising.origin[""] == pytest.approx(0.5, abs=1e-3)
    masks, _ = gradually(network, previous=previous)
    assert masks[0] is previous
    assert masks[-1] is not None
    assert not any((masks[-1].keep[name] & ~keep).any() for name, keep in previous.keep.items())
    assert masks[-1].rates["conv1"] == 0.8


def test_from_any_step_it_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    network = tiny()
    masks, states = gradually(network)
    for state in states[::3]:
        state.save(tmp_path / "state.safetensors")
        other = tiny(seed=2)
        again, _ = gradually(other, resume=TrainingState.load(tmp_path / "state.safetensors"))
        assert same_bits(other.state_dict(), network.state_dict()), state.step
        assert len(again) == STEPS - state.step
        if again:
            assert again[-1] is not None
            assert masks[-1] is not None
            assert same_bits(again[-1].keep, masks[-1].keep)


def test_what_cannot_be() -> None:
    with pytest.raises(ValidationError, match="ends at epoch 1, before it begins at 2"):
        GradualSettings(begin=2, end=1)
    network = tiny()
    with Held(network) as held:
        for chosen in (GradualSettings(end=5), GradualSettings(begin=3)):
            with pytest.raises(PrunescopeError, match=r"does not fit into a training of 4 epochs"):
                ramp(network, held, chosen=chosen)
        with pytest.raises(PrunescopeError, match="n:m removes multiples of 1/m"):
            ramp(network, held, granularity="n:m", rate=0.5)
