"""A training under way: where it stands, what a step does, and how it goes on from where it stood."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from prunescope.errors import PrunescopeError
from prunescope.images.batches import Batch, Batches, batches_in
from prunescope.networks.checkpoints import State, load_state
from prunescope.networks.network import device_of, logits_of, preprocess_of
from prunescope.training.evaluation import LabelledPixels, autocast, predict
from prunescope.training.schedules import factor
from prunescope.training.settings import OptimizerSettings, TrainSettings
from prunescope.training.state import Epoch, PartEpoch, TrainingState, copied


def steps_in(images: int, settings: TrainSettings) -> tuple[int, int]:
    """Return how many optimizer steps an epoch over so many images has, and the whole training."""
    per_epoch = batches_in(images, settings.batch, _drop_last(images, settings.batch))
    return per_epoch, per_epoch * settings.epochs


def _drop_last(images: int, batch: int) -> bool:
    return images % batch == 1 < images  # batch norm cannot learn from one image


@dataclass
class Course:
    """A training at one of its steps; `train` says what the arguments are.

    Attributes:
        step: optimizer steps that are done.
        history: the epochs that ended.
        best: with early stopping, the weights after the best epoch.
        part: what an earlier process did of the epoch under way.
    """

    network: nn.Module
    images: LabelledPixels
    settings: TrainSettings
    validate: LabelledPixels | None
    seed: int
    step: int
    choose_from: int
    history: list[Epoch] = field(default_factory=list)
    best: State | None = None
    part: PartEpoch = field(default_factory=PartEpoch)

    def __post_init__(self) -> None:
        self.per_epoch, self.steps = steps_in(len(self.images), self.settings)
        self.preprocess, self.device = preprocess_of(self.network), device_of(self.network)
        self.optimizer = make_optimizer(self.network, self.settings.optimizer)
        self.batches: Batches | None = None  # of the epoch under way, once it has begun here

    def begin(self, random: Mapping[str, torch.Tensor] | None, resume: TrainingState | None) -> None:
        """Stand at `step` with these generators, or where `resume` stood with its own."""
        if resume:
            self.step, self.part, self.best, random = resume.step, resume.part, resume.best, resume.random
            self.history.extend(resume.history)
        if not 0 <= self.step <= self.steps:
            raise PrunescopeError(
                f"this training has no step {self.step}: it has {self.steps}, {self.per_epoch} in each of its "
                f"{self.settings.epochs} epochs"
            )
        if resume:
            load_state(self.network, resume.network, "the training state")
            _restore(self.optimizer, resume.optimizer)
        if random:
            torch.set_rng_state(random["cpu"])
        if random and self.device.type == "cuda" and "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], self.device)

    @property
    def over(self) -> bool:
        """Whether all steps are done, or no epoch has been better for as many as `patience` says."""
        waited = len(self._tried) - 1 - self._tried.index(max(self._tried)) if self._tried else 0
        return self.step == self.steps or waited >= (self.settings.patience or self.steps)

    @property
    def _tried(self) -> list[float]:
        return [epoch.validate_top1 for epoch in self.history if epoch.validate_top1 is not None]

    def begin_epoch(self) -> Batches:
        """Return the batches that the epoch at `step` has left."""
        epoch, done = divmod(self.step, self.per_epoch)
        self.began = time.perf_counter()
        self.losses, self.seen = torch.tensor(self.part.losses, device=self.device), self.part.seen
        self.network.train()
        self.batches = Batches(
            self.images.pixels, self.images.labels, self.images.indices,
            crop=self.preprocess.crop, size=self.settings.batch, augment=self.settings.augment,
            seed=self.seed, epoch=epoch, shuffle=True, start=done,
            drop_last=_drop_last(len(self.images), self.settings.batch),
        )  # fmt: skip
        return self.batches

    def take(self, batch: Batch) -> None:
        """Do one step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        x = self.preprocess.normalise(batch.images.to(self.device, non_blocking=True))
        labels = batch.labels.to(self.device, non_blocking=True)
        with autocast(self.device, self.settings.precision):
            outputs = self.network(x)
        loss = _loss(outputs, labels, self.settings)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.losses += loss.detach() * len(labels)
        self.seen += len(labels)
        self.step += 1

    def _rate(self) -> float:
        epoch, done = divmod(self.step, self.per_epoch)
        settings = self.settings
        return settings.optimizer.lr * factor(
            settings.schedule, epoch + done / self.per_epoch, settings.epochs, self.per_epoch
        )

    def end_epoch(self) -> Epoch:
        """Say what the epoch did that has just ended, and keep its weights if it is the best so far."""
        epoch, loss = self.step // self.per_epoch - 1, self.losses.item() / self.seen
        _refuse_nan(loss, epoch, self.settings)
        top1 = None
        if self.validate is not None and self.settings.validates and self.step >= self.choose_from:
            top1 = _top1(self.network, self.validate, self.settings)
            if self.settings.patience and all(top1 > other for other in self._tried):
                self.best = copied(self.network.state_dict())
        part, lr = self._part_so_far(), self.optimizer.param_groups[0]["lr"]
        self.history.append(Epoch(epoch, loss, lr, part.seconds, part.waited, top1))
        self.part, self.batches = PartEpoch(), None
        return self.history[-1]

    def _part_so_far(self) -> PartEpoch:
        if self.batches is None:
            return self.part
        return PartEpoch(
            self.losses.item(),
            self.seen,
            self.part.seconds + time.perf_counter() - self.began,
            self.part.waited + self.batches.waited,
        )

    def keep_best(self) -> None:
        """Put the best epoch's weights back, if there was early stopping."""
        if self.best is not None:
            self.network.load_state_dict(self.best)

    def state(self) -> TrainingState:
        """Return all that is needed to go on from here."""
        optimizer = self.optimizer.state_dict()
        random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        return TrainingState(
            step=self.step,
            network=copied(self.network.state_dict()),
            optimizer={**optimizer, "state": {key: copied(of) for key, of in optimizer["state"].items()}},
            random=random,
            history=list(self.history),
            part=self._part_so_far(),
            best=self.best,
        )


def make_optimizer(network: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return the optimizer that the settings describe, over all parameters."""
    parameters = list(network.parameters())
    if settings.name == "sgd":
        return torch.optim.SGD(
            parameters, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
    adam = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return adam(
        parameters, lr=settings.lr, betas=(settings.momentum, 0.999), weight_decay=settings.weight_decay
    )


def _restore(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load a state dict, and give every buffer the memory order of its parameter: in another, steps are slow."""
    groups = optimizer.state_dict()["param_groups"]
    if _chosen(groups) != _chosen(state["param_groups"]):
        raise PrunescopeError(
            f"the training state is of a training with another optimizer: {_chosen(state['param_groups'])}, expected "
            f"{_chosen(groups)}"
        )
    optimizer.load_state_dict({**state, "param_groups": groups})
    for parameter, of in optimizer.state.items():
        for name, value in of.items():
            if isinstance(value, torch.Tensor):
                like = parameter if value.shape == parameter.shape else value
                of[name] = torch.empty_like(like, dtype=value.dtype, device=value.device).copy_(value)


def _chosen(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what optimizers were told, as a file gives it back, without the rate, which each step sets."""
    return [
        {
            name: list(v) if isinstance(v, tuple) else v
            for name, v in group.items()
            if name not in {"lr", "params"}
        }
        for group in groups
    ]


def _loss(outputs: object, labels: torch.Tensor, settings: TrainSettings) -> torch.Tensor:
    """Cross-entropy of the logits, plus that of each auxiliary head (GoogLeNet and Inception return them)."""

    def cross_entropy(logits: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)

    loss = cross_entropy(logits_of(outputs))
    heads = () if isinstance(outputs, torch.Tensor) else outputs[1:]  # type: ignore[index]
    return loss + settings.auxiliary * sum(cross_entropy(head) for head in heads if head is not None)


def _refuse_nan(loss: float, epoch: int, settings: TrainSettings) -> None:
    if loss - loss != 0:  # NaN or infinite
        raise PrunescopeError(
            f"the loss became {loss} in epoch {epoch + 1}: try a smaller optimizer.lr than {settings.optimizer.lr:g}, "
            "schedule.warmup: 1, precision: fp32, or prune less at a time"
        )


def _top1(network: nn.Module, images: LabelledPixels, settings: TrainSettings) -> float:
    logits = predict(network, images, precision=settings.precision, channels_last=False)
    return float((logits.argmax(1) == images.targets).float().mean())
