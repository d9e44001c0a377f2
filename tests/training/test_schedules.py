"""The learning rate over time: against closed forms and against torch's own schedulers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.optim import SGD, Optimizer
from torch.optim import lr_scheduler as schedulers

from prunescope.training.schedules import factor
from prunescope.training.settings import ScheduleSettings

EPOCHS = 9
TORCH: dict[str, tuple[ScheduleSettings, Callable[[Optimizer], schedulers.LRScheduler]]] = {
    "constant": (ScheduleSettings(), lambda o: schedulers.ConstantLR(o, factor=1)),
    "step": (
        ScheduleSettings(name="step", gamma=0.3, milestones=(2, 5)),
        lambda o: schedulers.MultiStepLR(o, [2, 5], gamma=0.3),
    ),
    "exponential": (
        ScheduleSettings(name="exponential", gamma=0.9),
        lambda o: schedulers.ExponentialLR(o, gamma=0.9),
    ),
    "cosine": (
        ScheduleSettings(name="cosine"),
        lambda o: schedulers.CosineAnnealingLR(o, T_max=EPOCHS),
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_agrees_with_torch_at_the_start_of_every_epoch(name: str) -> None:
    settings, make = TORCH[name]
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    for epoch in range(EPOCHS):
        assert factor(settings, epoch, EPOCHS) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9), epoch
        optimizer.step()
        scheduler.step()


def test_step_and_exponential_change_only_between_epochs() -> None:
    for name in ("step", "exponential"):
        settings = TORCH[name][0]
        for epoch in range(EPOCHS):
            assert factor(settings, epoch + 0.999, EPOCHS) == factor(settings, epoch, EPOCHS)


def test_cosine_falls_within_an_epoch_and_ends_at_zero() -> None:
    settings = ScheduleSettings(name="cosine")
    assert factor(settings, 2.25, 10) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.225)))
    assert factor(settings, 10, 10) == pytest.approx(0, abs=1e-15)


def test_warm_up_rises_in_a_line_and_hands_over_at_full_rate() -> None:
    settings = ScheduleSettings(name="cosine", warmup=2)
    assert [factor(settings, epoch, 10) for epoch in (0.5, 1, 1.5)] == [0.25, 0.5, 0.75]
    assert 0 < factor(settings, 0, 10) < 0.01  # not nothing, or the first step would be wasted
    assert factor(settings, 2, 10) == 1
    assert factor(settings, 6, 10) == pytest.approx(0.5)  # half-way through what follows the warm-up


@given(
    st.sampled_from(["constant", "step", "exponential", "cosine", "one-cycle"]),
    st.floats(0, 5),
    st.floats(0.01, 1),
    st.integers(1, 20),
    st.floats(0, 1),
)
def test_never_raises_the_rate_above_what_was_asked_nor_turns_it_round(
    name: str, warmup: float, gamma: float, epochs: int, moment: float
) -> None:
    settings = ScheduleSettings.model_validate(
        {"name": name, "warmup": 0 if name == "one-cycle" else warmup, "gamma": gamma, "milestones": (1, 3)}
    )
    assert 0 <= factor(settings, moment * epochs, epochs) <= 1


@pytest.mark.parametrize(("per_epoch", "epochs"), [(10, 1), (7, 9), (100, 3), (1, 30)])
def test_one_cycle_is_that_of_torch_at_every_step(per_epoch: int, epochs: int) -> None:
    settings, steps = ScheduleSettings(name="one-cycle"), per_epoch * epochs
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    scheduler = schedulers.OneCycleLR(
        optimizer, max_lr=0.4, total_steps=steps, pct_start=0.3, div_factor=25, final_div_factor=1e4,
        anneal_strategy="cos", cycle_momentum=False,
    )  # fmt: skip
    for step in range(steps):
        epoch = step // per_epoch + step % per_epoch / per_epoch
        expected = scheduler.get_last_lr()[0]
        assert 0.4 * factor(settings, epoch, epochs, per_epoch) == pytest.approx(expected, rel=1e-9), step
        optimizer.step()
        if step < steps - 1:
            scheduler.step()


@pytest.mark.parametrize("steps", range(1, 6))
def test_one_cycle_of_very_few_steps(steps: int) -> None:
    rates = [factor(ScheduleSettings(name="one-cycle"), step, steps) for step in range(steps)]
    assert rates[0] == pytest.approx(1 / 25 if steps > 3 else 1)
    assert rates[-1] == pytest.approx(1 / 25e4 if steps > 1 else 1)


def test_one_cycle_has_its_own_warm_up() -> None:
    with pytest.raises(ValidationError, match="one-cycle rises by itself: leave warmup out"):
        ScheduleSettings(name="one-cycle", warmup=1)
