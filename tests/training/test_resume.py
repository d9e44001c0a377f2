"""A training goes on from any of its steps to the same bits, and from a step that it is rewound to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from places import REPOSITORY
from prunescope.errors import PrunescopeError
from prunescope.images.augment import Augment
from prunescope.pruning.masks import Mask, hold
from prunescope.training import course
from prunescope.training.course import steps_in
from prunescope.training.loop import train
from prunescope.training.settings import TrainSettings
from prunescope.training.state import Epoch, TrainingState
from training.small import images, same_bits, settings, timeless, tiny

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"name": "sgd", "lr": 0.05},
    "adam": {"name": "adam", "lr": 0.01},
    "adamw": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
}
EVERYTHING = {
    "epochs": 3,
    "schedule": {"name": "cosine", "warmup": 0.5},
    "augment": Augment(crop="random", pad=2),
}


def states_of(
    network: nn.Module, chosen: TrainSettings, count: int = 20, **more: Any
) -> tuple[list[TrainingState], list[Epoch]]:
    """Train to the end and return the state at every step."""
    states: list[TrainingState] = []
    history = train(network, images(count), chosen, keep=lambda _: True, on_state=states.append, **more)
    return states, history


def in_a_file(state: TrainingState, folder: Path) -> TrainingState:
    state.save(folder / "state.safetensors")
    return TrainingState.load(folder / "state.safetensors")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_from_any_step_a_training_goes_on_to_the_same_bits(optimizer: str, tmp_path: Path) -> None:
    chosen = settings(**EVERYTHING, optimizer=OPTIMIZERS[optimizer])
    network = tiny(dropout=0.5)
    states, history = states_of(network, chosen)  # 3 batches of 8, 8, 4
    assert [state.step for state in states] == list(range(10))
    for state in states:
        other = tiny(seed=7, dropout=0.5)
        loaded = in_a_file(state, tmp_path)
        again = train(other, images(20), chosen, resume=loaded)
        assert same_bits(network.state_dict(), other.state_dict()), state.step
        assert timeless(again) == timeless(history), state.step
        assert not other.training


def test_a_training_that_keeps_its_states_is_the_one_that_does_not(tmp_path: Path) -> None:
    one, other, chosen = tiny(dropout=0.5), tiny(dropout=0.5), settings(**EVERYTHING)
    states_of(one, chosen)
    train(other, images(20), chosen)
    assert same_bits(one.state_dict(), other.state_dict())


def test_a_training_that_goes_on_leaves_the_state_it_came_from_alone() -> None:
    chosen = settings(**EVERYTHING, optimizer=OPTIMIZERS["adam"])
    states, _ = states_of(tiny(), chosen)
    before = states[4].network["conv1.weight"].clone(), states[4].optimizer["state"][0]["exp_avg"].clone()
    for _ in range(2):
        network = tiny()
        train(network, images(20), chosen, resume=states[4])
        assert torch.equal(states[4].network["conv1.weight"], before[0])
        assert torch.equal(states[4].optimizer["state"][0]["exp_avg"], before[1])
        assert same_bits(network.state_dict(), states[-1].network)


def test_the_buffers_are_in_the_memory_order_of_their_parameters(tmp_path: Path) -> None:
    chosen = settings(epochs=1)
    states, _ = states_of(tiny(), chosen)
    orders: list[tuple[int, ...]] = []

    def look(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for parameter, of in optimizer.state.items():
            assert of["momentum_buffer"].stride() == parameter.stride()
            orders.append(parameter.stride())

    handle = register_optimizer_step_pre_hook(look)
    train(tiny(), images(20), chosen, resume=in_a_file(states[2], tmp_path))
    handle.remove()
    assert tiny().conv2.weight.contiguous(memory_format=torch.channels_last).stride() in orders  # type: ignore[operator, union-attr]


def test_seconds_and_waiting_add_up_over_both_processes() -> None:
    chosen = settings(epochs=1)
    states, _ = states_of(tiny(), chosen)
    assert 0 < states[1].part.seconds < states[2].part.seconds
    assert states[0].part.seen == states[3].part.seen == 0
    assert [state.part.seen for state in states[1:3]] == [8, 16]
    (epoch,) = train(tiny(), images(20), chosen, resume=states[2])
    assert epoch.seconds > states[2].part.seconds
    assert epoch.waited >= states[2].part.waited


@pytest.mark.parametrize("seed", range(2))
def test_early_stopping_goes_on_where_it_stood(
    seed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def top1(network: nn.Module, *_: Any) -> float:  # as good as random, but the same for the same weights
        return float(network.fc.weight.detach().double().sum() * 1e5) % 1  # type: ignore[operator, union-attr]

    monkeypatch.setattr(course, "_top1", top1)
    chosen, network = settings(epochs=30, patience=2), tiny(seed)
    told: list[Epoch] = []
    states, history = states_of(network, chosen, 16, validate=images(3), on_epoch=told.append)
    scores = [epoch.validate_top1 or 0 for epoch in history]
    assert len(scores) < 30
    assert scores.index(max(scores)) == len(scores) - 3
    assert states[-1].step == 2 * len(scores)
    for state in states:
        other = tiny(seed=9)
        again = train(other, images(16), chosen, validate=images(3), resume=in_a_file(state, tmp_path))
        assert timeless(again) == timeless(history) == timeless(told)
        assert same_bits(other.state_dict(), network.state_dict())
    assert same_bits(network.state_dict(), states[2 * (len(scores) - 2)].network)
    assert not same_bits(network.state_dict(), states[-1].network)


def test_early_stopping_chooses_among_late_epochs_if_told(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.9, 0.5, 0.4, 0.3])
    monkeypatch.setattr(course, "_top1", lambda *_: next(scores))
    network, chosen = tiny(), settings(epochs=9, patience=1)
    states, history = states_of(network, chosen, 16, validate=images(3), choose_from=5)
    assert [epoch.validate_top1 for epoch in history] == [None, None, 0.9, 0.5]
    assert same_bits(network.state_dict(), states[6].network)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_held_weights_stay_zero_and_the_bits_the_same(optimizer: str, tmp_path: Path) -> None:
    keep = torch.rand(8, 8, 3, 3, generator=torch.Generator().manual_seed(0)) > 0.5
    mask = Mask({"conv2.weight": keep}, "weight")
    chosen = settings(**EVERYTHING, optimizer=OPTIMIZERS[optimizer])
    one, other = tiny(), tiny(seed=3)
    with hold(one, mask):
        states, _ = states_of(one, chosen)
    with hold(other, mask):
        train(other, images(20), chosen, resume=in_a_file(states[4], tmp_path))
    assert same_bits(one.state_dict(), other.state_dict())
    assert torch.equal(other.conv2.weight == 0, ~keep)


# Rewinding: an earlier step, with a fresh optimizer


@contextmanager
def rates_used() -> Iterator[list[float]]:
    rates: list[float] = []
    handle = register_optimizer_step_pre_hook(lambda of, *_: rates.append(of.param_groups[0]["lr"]))
    yield rates
    handle.remove()


def rewound(state: TrainingState, chosen: TrainSettings, **more: Any) -> tuple[nn.Module, list[Epoch]]:
    network = tiny(dropout=0.5)
    network.load_state_dict(state.network)
    return network, train(network, images(20), chosen, start=state.step, random=state.random, **more)


def test_rewound_without_momentum_and_mask_a_training_ends_as_it_did() -> None:
    chosen = settings(**EVERYTHING, optimizer={"lr": 0.05, "momentum": 0})
    network = tiny(dropout=0.5)
    with rates_used() as rates:
        states, history = states_of(network, chosen)
    for k, state in enumerate(states):
        with rates_used() as used:
            again, epochs = rewound(state, chosen)
        assert same_bits(network.state_dict(), again.state_dict()), k
        assert used == rates[k:]
        assert [epoch.epoch for epoch in epochs] == list(range(k // 3, 3))
        assert timeless(epochs)[1:] == timeless(history)[k // 3 + 1 :]
        if k in {2, 4}:  # in the middle of an epoch: its mean is that of the images that are left
            part, whole = state.part, history[k // 3].loss * 20
            assert epochs[0].loss == pytest.approx((whole - part.losses) / (20 - part.seen), rel=1e-4)


def test_rewound_the_momentum_is_zero() -> None:
    chosen = settings(**EVERYTHING, optimizer={"lr": 0.05, "momentum": 0.9})
    states, _ = states_of(tiny(dropout=0.5), chosen)
    assert not same_bits(rewound(states[4], chosen)[0].state_dict(), states[-1].network)


def test_without_their_states_the_generators_are_drawn_from_the_seed() -> None:
    chosen = settings(**EVERYTHING, optimizer={"lr": 0.05, "momentum": 0})
    states, _ = states_of(tiny(dropout=0.5), chosen)
    network = tiny(dropout=0.5)
    network.load_state_dict(states[4].network)
    train(network, images(20), chosen, start=4)
    assert not same_bits(network.state_dict(), states[-1].network)


def test_the_steps_that_are_told_kept_and_counted_are_those_of_the_whole_schedule() -> None:
    chosen, steps, kept, before = settings(epochs=2), [], [], []  # type: ignore[var-annotated]
    train(
        tiny(), images(20), chosen, start=2,
        keep=lambda k: k % 2 == 0, on_state=lambda state: kept.append((state.step, len(state.history))),
        before_step=before.append, on_step=lambda *at: steps.append(at),
    )  # fmt: skip
    assert before == [2, 3, 4, 5]
    assert steps == [(3, 6), (4, 6), (5, 6), (6, 6)]
    assert kept == [(2, 0), (4, 1), (6, 2)]


def test_how_many_steps() -> None:
    assert steps_in(20, settings(epochs=3)) == (3, 9)
    assert steps_in(17, settings(epochs=3)) == (2, 6)  # a last batch of one image is left out
    assert steps_in(16, settings(epochs=1)) == (2, 2)
    assert steps_in(1, settings(epochs=1)) == (1, 1)


def test_at_the_last_step_nothing_is_left_to_do() -> None:
    network = tiny()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert train(network.train(), images(20), settings(epochs=3), start=9) == []
    assert same_bits(network.state_dict(), before)
    assert not network.training


@pytest.mark.parametrize("start", [-1, 10])
def test_a_step_that_is_not_in_the_training(start: int) -> None:
    with pytest.raises(PrunescopeError, match=rf"has no step {start}: it has 9, 3 in each of its 3 epochs"):
        train(tiny(), images(20), settings(epochs=3), start=start)


def test_states_of_other_trainings() -> None:
    states, _ = states_of(tiny(), settings(epochs=3))
    with pytest.raises(PrunescopeError, match="no step 9: it has 6"):
        train(tiny(), images(20), settings(epochs=2), resume=states[9])
    with pytest.raises(PrunescopeError, match=r"another optimizer: .*momentum"):
        train(tiny(), images(20), settings(epochs=3, optimizer={"name": "adam"}), resume=states[4])
    with pytest.raises(PrunescopeError, match="the training state belongs to another architecture"):
        train(tiny(dropout=0.5), images(20), settings(epochs=3), resume=states[4])


# A real process

CHILD = """
import sys, time
from pathlib import Path
import torch
from training.small import images, tiny
from training.test_resume import KILLED
from prunescope.training.loop import train

torch.set_num_threads(1)
folder = Path(sys.argv[1])

def keep(state):
    state.save(folder / "state.safetensors")
    print(state.step, flush=True)

train(
    tiny(dropout=0.5), images(20), KILLED, keep=lambda k: k % 4 == 0, on_state=keep,
    before_step=lambda k: time.sleep(0.01),
)
"""
KILLED = settings(**{**EVERYTHING, "epochs": 15}, optimizer=OPTIMIZERS["adam"])


def test_killed_in_the_middle_a_training_goes_on_from_its_last_state(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "tests"), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) == 20:
                child.send_signal(signal.SIGKILL)
                break
        assert child.wait() == -signal.SIGKILL
    state = TrainingState.load(tmp_path / "state.safetensors")
    assert 20 <= state.step < 45
    gone_on, undisturbed = tiny(seed=5, dropout=0.5), tiny(dropout=0.5)
    train(gone_on, images(20), KILLED, resume=state)
    train(undisturbed, images(20), KILLED)
    assert same_bits(gone_on.state_dict(), undisturbed.state_dict())
