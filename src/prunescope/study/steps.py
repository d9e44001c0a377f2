"""The kinds of step: what each does, and what decides its result.

A step is known by a hash of its kind's version, its settings, its parents, the number of threads and the kind
of device. It writes files into a folder and reads those of its parents; nothing else passes between steps.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from prunescope.measures import all_measures
from prunescope.measures.measure import Progress, Subject
from prunescope.networks.network import open_network, preprocess_of, save_network
from prunescope.pruning.masks import Mask, hold
from prunescope.pruning.prune import prune
from prunescope.registry import Registry
from prunescope.study.images import StudyImages
from prunescope.study.store import Store
from prunescope.training.evaluation import NO_IMAGES
from prunescope.training.loop import Epoch, train
from prunescope.training.settings import TrainSettings

NETWORK_FILE, MASK_FILE, EPOCHS_FILE = "network.safetensors", "mask.safetensors", "epochs.parquet"


@dataclass(frozen=True)
class Step:
    """One piece of work with a result of its own.

    Attributes:
        settings: all that decides the result beside the parents, as JSON.
        where: threads and device kind, which decide the last bits of it.
        label: what people read.
        places: settings that say where something lies; needed to do the step, but no part of what it is.
    """

    kind: str
    label: str
    settings: dict[str, Any]
    where: dict[str, Any]
    parents: tuple[Step, ...] = ()
    places: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        """The step's kind and the hash of all that decides its result."""
        decisive = {
            "kind": self.kind,
            "version": STEP_KINDS[self.kind].version,
            "settings": self.settings,
            "where": self.where,
            "parents": [parent.id for parent in self.parents],
        }
        digest = hashlib.blake2b(json.dumps(decisive, sort_keys=True).encode(), digest_size=10).hexdigest()
        return f"{self.kind}-{digest}"

    @property
    def record(self) -> dict[str, Any]:
        """What the manifest says of the step."""
        return {
            "kind": self.kind,
            "label": self.label,
            "settings": self.settings,
            "where": self.where,
            "parents": [parent.id for parent in self.parents],
        }


@dataclass
class Workshop:
    """What a step may use: the store, the images, the device, the network as it was opened."""

    store: Store
    images: StudyImages
    device: str
    data: Path | None
    progress: Progress = lambda done, total: None
    epoch: Callable[[Epoch, int], None] = lambda epoch, epochs: None
    opened: dict[str, Callable[[], nn.Module]] = field(default_factory=dict)

    def network_of(self, step: Step) -> nn.Module:
        """Return the network that a step yields, on the study's device."""
        if step.kind == "prune":
            network = self.network_of(step.parents[0])
            Mask.load(self.store.open(step.id) / MASK_FILE).apply(network)
            return network
        return open_network(str(self.store.open(step.id) / NETWORK_FILE)).to(self.device)

    def mask_of(self, step: Step) -> Mask | None:
        """Return the mask of the nearest pruning at or above a step."""
        for above in _ancestry(step):
            if above.kind == "prune":
                return Mask.load(self.store.open(above.id) / MASK_FILE)
        return None


def _ancestry(step: Step) -> Iterator[Step]:
    """Yield a step, its first parent, that one's first parent, …"""
    while True:
        yield step
        if not step.parents:
            return
        step = step.parents[0]


@dataclass(frozen=True)
class StepKind:
    """What a kind of step does. A change that changes its results raises `version`."""

    version: int
    run: Callable[[Step, Workshop, Path], None]


STEP_KINDS: Registry[StepKind] = Registry("kind of step")


def step_kind(name: str, version: int) -> Callable[[Callable[[Step, Workshop, Path], None]], None]:
    """Return a decorator that files a function as a kind of step."""

    def register(run: Callable[[Step, Workshop, Path], None]) -> None:
        STEP_KINDS.register(name)(StepKind(version, run))

    return register


@step_kind("open", version=1)
def _open(step: Step, workshop: Workshop, folder: Path) -> None:
    save_network(workshop.opened[step.id](), folder / NETWORK_FILE)


@step_kind("train", version=1)
def _train(step: Step, workshop: Workshop, folder: Path) -> None:
    network = workshop.opened[step.id]().to(workshop.device)
    _train_on(step, workshop, network, None, folder)


@step_kind("prune", version=1)
def _prune(step: Step, workshop: Workshop, folder: Path) -> None:
    network = workshop.network_of(step.parents[0])
    mask = prune(network, previous=workshop.mask_of(step.parents[0]), **step.settings)
    mask.save(folder / MASK_FILE)


@step_kind("retrain", version=1)
def _retrain(step: Step, workshop: Workshop, folder: Path) -> None:
    network = workshop.network_of(step.parents[0])  # its removed weights are 0
    mask = workshop.mask_of(step) if step.settings["hold"] else None
    _train_on(step, workshop, network, mask, folder)


def _train_on(step: Step, workshop: Workshop, network: nn.Module, mask: Mask | None, folder: Path) -> None:
    settings, preprocess = TrainSettings.model_validate(step.settings["train"]), preprocess_of(network)
    images = workshop.images.labelled("train", preprocess)
    validate = workshop.images.labelled("validate", preprocess) if settings.patience else None
    with hold(network, mask):
        history = train(
            network,
            images,
            settings,
            validate=validate,
            seed=step.settings["seed"],
            on_step=workshop.progress,
            on_epoch=lambda epoch: workshop.epoch(epoch, settings.epochs),
        )
    save_network(network, folder / NETWORK_FILE, {"step": step.id})
    pd.DataFrame([dataclasses.asdict(epoch) for epoch in history]).to_parquet(folder / EPOCHS_FILE)


def _measure_with(name: str) -> Callable[[Step, Workshop, Path], None]:
    def run(step: Step, workshop: Workshop, folder: Path) -> None:
        measure = all_measures()[name]
        network = workshop.network_of(step.parents[0])
        images = NO_IMAGES
        if measure.looks_at_images:
            images = workshop.images.labelled("test", preprocess_of(network))
        mask = workshop.mask_of(step.parents[0])
        subject = Subject(
            network,
            images,
            workshop.images.test,
            mask,
            workshop.data,
            workshop.progress,
            dense=lambda: workshop.network_of(list(_ancestry(step))[-1]),
        )
        settings = measure.settings.model_validate(step.settings["measure"] | step.places)
        tables = measure.run(subject, settings)
        for table, frame in tables.items():
            frame.to_parquet(folder / f"{table}.parquet", index=False)

    return run


for _name in all_measures():
    step_kind(f"measure-{_name}", all_measures()[_name].version)(_measure_with(_name))


def where(threads: int | None, device: str) -> dict[str, Any]:
    """Return what of this machine decides the last bits of a result."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return {"device": device, "threads": threads or torch.get_num_threads()}
