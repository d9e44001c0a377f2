"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from prunescope.training.course import Course
from prunescope.training.evaluation import LabelledPixels, memory_order
from prunescope.training.settings import TrainSettings
from prunescope.training.state import Epoch, TrainingState


def train(
    network: nn.Module,
    images: LabelledPixels,
    settings: TrainSettings,
    *,
    validate: LabelledPixels | None = None,
    seed: int = 0,
    start: int = 0,
    random: Mapping[str, torch.Tensor] | None = None,
    resume: TrainingState | None = None,
    keep: Callable[[int], bool] | None = None,
    on_state: Callable[[TrainingState], None] = lambda state: None,
    before_step: Callable[[int], None] | None = None,
    choose_from: int = 0,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> list[Epoch]:
    """Train `network` in place; it is left in eval mode, in its usual memory order.

    On one CPU the same network, images, settings, seed and number of threads give the same bits, also where the
    training was stopped in between and goes on from its state.

    Args:
        validate: images that are looked at after every epoch (`settings.patience`, `settings.validate_epochs`).
        start: step of the schedule and of the order of images to begin with, for rewinding. The network trains on
            as it is, with a fresh optimizer.
        random: states of the generators to begin with (`TrainingState.random`); None: drawn from `seed`.
        resume: go on from this state, which brings its own network, optimizer, step and generators.
        keep: after how many steps `on_state` is told the state; asked before the first step, and after each one.
        before_step: told before each step how many are done; it may change the weights.
        choose_from: early stopping neither chooses nor counts epochs that end before so many steps.
        on_step: told after every step how many are done, and of how many.
        on_epoch: told what each epoch did.

    Returns:
        The epochs, with those of `resume`. The first after `start` tells of the steps that it did.

    Raises:
        PrunescopeError: the loss is NaN or infinite; a start beyond the end; the state of another training.
    """
    course = Course(network, images, settings, validate, seed, start, choose_from)

    def tell() -> None:
        if keep and keep(course.step):
            on_state(course.state())

    with _own_random(seed, course.device), memory_order(network, settings.channels_last):
        course.begin(random, resume)
        tell()
        while not course.over:
            for batch in course.begin_epoch():
                if before_step:
                    before_step(course.step)
                course.take(batch)
                on_step(course.step, course.steps)
                if course.step % course.per_epoch:
                    tell()
            on_epoch(course.end_epoch())
            tell()
        course.keep_best()
    network.eval()
    return course.history


@contextmanager
def _own_random(seed: int, device: torch.device) -> Iterator[None]:
    """Let dropout and the like draw from `seed`, and leave the global generators as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
