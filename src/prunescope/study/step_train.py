"""Steps that train: the dense network, the state it had at one step, and what happens after pruning.

A training writes its state beside the store as it goes, so that one that was killed goes on from its last epoch.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.networks.checkpoints import read_state, save_state
from prunescope.networks.network import preprocess_of, save_network
from prunescope.pruning.masks import Held, Mask, hold
from prunescope.study.found import CURVES_FILE, write_found
from prunescope.study.step_prune import pruning_of, rate_of, share_removed
from prunescope.study.steps import MASK_FILE, NETWORK_FILE, Step, Workshop, step_kind
from prunescope.training.course import steps_in
from prunescope.training.gradual import GradualSettings, Ramp
from prunescope.training.loop import train
from prunescope.training.recalibrate import recalibrate
from prunescope.training.settings import TrainSettings
from prunescope.training.state import Epoch, TrainingState

STATES, SUFFIX = "states", ".safetensors"
RANDOM_FILE = "random.safetensors"


@step_kind("open", version=1)
def _open(step: Step, workshop: Workshop, folder: Path) -> None:
    save_network(workshop.opened[step.id](), folder / NETWORK_FILE)


@step_kind("train", version=2)
def _train(step: Step, workshop: Workshop, folder: Path) -> None:
    """Train the dense network; keep its state at the steps that are asked for, and at every epoch."""
    network, asked = workshop.opened[step.id]().to(workshop.device), step.places["keep"]
    training = _Training(step, workshop, network, step.settings)

    def keep(k: int) -> bool:
        return k in asked["steps"] or (asked["epochs"] and k % training.per_epoch == 0)

    training.run(keep)
    training.save(folder)
    training.save_states(keep, folder / STATES)


@step_kind("rewind", version=1)
def _rewind(step: Step, workshop: Workshop, folder: Path) -> None:
    """Take the state of the parent's training at a step: as it was kept, or by training up to there again."""
    wanted, trained = step.settings["step"], step.parents[0]
    states = _states_in(workshop.store.open(trained.id) / STATES)
    if wanted in states:
        state = TrainingState.load(states[wanted])
    elif workshop.device == "cpu":
        earlier = [number for number in states if number < wanted]
        state = _trained_again(trained, workshop, wanted, states[max(earlier)] if earlier else None)
    else:
        raise PrunescopeError(
            f"the state after {wanted} steps was not kept (there are {', '.join(map(str, states)) or 'none'}), and "
            "only on a CPU does training again lead to the same one: rewind to one of those, or choose another --out"
        )
    network = workshop.network_of(trained)
    network.load_state_dict(state.network)
    save_network(network, folder / NETWORK_FILE, {"step": step.id})
    save_state(state.random, {}, folder / RANDOM_FILE)


class _Reached(Exception):
    def __init__(self, state: TrainingState) -> None:
        self.state = state


def _trained_again(trained: Step, workshop: Workshop, wanted: int, earlier: Path | None) -> TrainingState:
    """Return the state that a training had after `wanted` steps, by doing these steps again."""

    def reached(state: TrainingState) -> None:
        raise _Reached(state)

    training = _Training(trained, workshop, workshop.opened[trained.id](), trained.settings)
    try:
        training.train(
            keep=lambda k: k == wanted, on_state=reached, resume=earlier and TrainingState.load(earlier)
        )
    except _Reached as end:
        return end.state
    raise PrunescopeError(f"the training ended before step {wanted}: rewind to an earlier one")


@step_kind("retrain", version=2)
def _retrain(step: Step, workshop: Workshop, folder: Path) -> None:
    origin, mask, random = step.settings["from"], workshop.mask_of(step), None
    if origin["kind"] == "weight-rewinding":
        rewound = step.parents[1]
        network = workshop.network_of(rewound)
        random, _ = read_state(workshop.store.open(rewound.id) / RANDOM_FILE)
    elif origin["kind"] == "re-initialise":
        network = workshop.opened[step.id]().to(workshop.device)
    else:
        network = workshop.network_of(step.parents[0])
    if mask:
        mask.apply(network)
    training = _Training(step, workshop, network, step.settings, start=origin["step"], random=random)
    with hold(network, mask if step.settings["hold"] else None):
        training.run()
    training.save(folder)


@step_kind("recalibrate", version=1)
def _recalibrate(step: Step, workshop: Workshop, folder: Path) -> None:
    network = workshop.network_of(step.parents[0])
    images = workshop.images.labelled("train", preprocess_of(network))
    recalibrate(network, images, step.settings["count"], seed=step.settings["seed"])
    save_network(network, folder / NETWORK_FILE, {"step": step.id})


@step_kind("gradual", version=1)
def _gradual(step: Step, workshop: Workshop, folder: Path) -> None:
    network = workshop.network_of(step.parents[0])
    pruning = pruning_of(step, workshop, network)
    training = _Training(step, workshop, network, step.settings["training"])
    with Held(network, workshop.mask_of(step.parents[0])) as held:
        settings = GradualSettings.model_validate(step.settings["gradual"])
        ramp = Ramp(
            pruning,
            held,
            rate_of(step, workshop, pruning),
            settings,
            per_epoch=training.per_epoch,
            steps=training.steps,
        )
        if resume := training.resumed():
            ramp.resume(resume)
        training.run(resume=resume, mask=lambda: held.mask, before_step=ramp, choose_from=ramp.settled)
        mask = held.mask
    assert mask is not None
    training.save(folder)
    mask.save(folder / MASK_FILE)
    write_found(share_removed(mask), folder)


class _Training:
    """One training of a step, which goes on from where an earlier process was killed."""

    def __init__(
        self,
        step: Step,
        workshop: Workshop,
        network: nn.Module,
        chosen: Mapping[str, Any],
        start: int = 0,
        random: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self.step, self.workshop, self.network = step, workshop, network
        self.settings, self.seed = TrainSettings.model_validate(chosen["train"]), chosen["seed"]
        self.start, self.random = start, random
        preprocess = preprocess_of(network)
        self.images = workshop.images.labelled("train", preprocess)
        self.validate = workshop.images.labelled("validate", preprocess) if self.settings.validates else None
        self.per_epoch, self.steps = steps_in(len(self.images), self.settings)
        self.history: list[Epoch] = []

    @cached_property
    def unfinished(self) -> Path:
        """The folder of the states to go on from."""
        return self.workshop.store.unfinished(self.step.id)

    def resumed(self) -> TrainingState | None:
        """Return the last state that an earlier process left, if one can be read."""
        for _, path in sorted(_states_in(self.unfinished).items(), reverse=True):
            try:
                return TrainingState.load(path)
            except PrunescopeError:  # cut short: the one before it will do
                path.unlink()
        return None

    def run(
        self,
        keep: Callable[[int], bool] = lambda k: False,
        resume: TrainingState | None = None,
        mask: Callable[[], Mask | None] = lambda: None,
        **more: Any,
    ) -> None:
        """Train, keeping the states at steps that `keep` names, and that of an epoch until the next one ends.

        Args:
            resume: the state to go on from; None: that of `resumed`.
            mask: what is removed, where that changes while training.
        """

        def on_state(state: TrainingState) -> None:
            state.with_mask(mask()).save(self.unfinished / f"{state.step:09d}{SUFFIX}")
            for number, old in _states_in(self.unfinished).items():
                if number < state.step and not keep(number):
                    old.unlink()

        def kept(k: int) -> bool:
            return keep(k) or (k > self.start and k % self.per_epoch == 0)

        self.train(keep=kept, on_state=on_state, resume=resume or self.resumed(), **more)

    def train(self, **more: Any) -> None:
        """Call `train` with what the step says."""
        self.history = train(
            self.network,
            self.images,
            self.settings,
            validate=self.validate,
            seed=self.seed,
            start=self.start,
            random=self.random,
            on_step=self.workshop.progress,
            on_epoch=lambda epoch: self.workshop.epoch(epoch, self.settings.epochs),
            **more,
        )

    def save(self, folder: Path) -> None:
        """Write the trained network and its curve."""
        save_network(self.network, folder / NETWORK_FILE, {"step": self.step.id})
        rows = [dataclasses.asdict(epoch) for epoch in self.history]
        pd.DataFrame(rows).to_parquet(folder / CURVES_FILE, index=False)

    def save_states(self, keep: Callable[[int], bool], folder: Path) -> None:
        """Put the states to keep beside the trained network; they stay where they are until the step is whole."""
        folder.mkdir()
        for path in (path for k, path in _states_in(self.unfinished).items() if keep(k)):
            try:
                (folder / path.name).hardlink_to(path)
            except OSError:  # a file system without links
                shutil.copyfile(path, folder / path.name)


def _states_in(folder: Path) -> dict[int, Path]:
    """Return the kept states by the number of steps done, ascending."""
    return {int(path.stem): path for path in sorted(folder.glob(f"[0-9]*{SUFFIX}"))}
