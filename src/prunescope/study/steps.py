"""The kinds of step: what each does, and what decides its result.

A step is known by a hash of its kind's version, its settings, its parents, the number of threads and the kind
of device. It writes files into a folder and reads those of its parents; nothing else passes between steps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prunescope.measures.measure import Progress
from prunescope.networks.network import open_network
from prunescope.pruning.masks import Mask
from prunescope.registry import Registry
from prunescope.study.images import StudyImages
from prunescope.study.store import Store
from prunescope.training.state import Epoch

NETWORK_FILE, MASK_FILE = "network.safetensors", "mask.safetensors"
MASKING = {"prune", "gradual"}  # kinds of step whose result holds a mask


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
            "version": all_step_kinds()[self.kind].version,
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
        for above in ancestry(step):
            if above.kind in MASKING:
                return Mask.load(self.store.open(above.id) / MASK_FILE)
        return None


def ancestry(step: Step) -> Iterator[Step]:
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
_FILES = ("step_train", "step_prune", "step_measure")


@cache
def all_step_kinds() -> Registry[StepKind]:
    """Return the registry with every kind of step in it."""
    for name in _FILES:
        import_module(f"prunescope.study.{name}")
    return STEP_KINDS


def step_kind(name: str, version: int) -> Callable[[Callable[[Step, Workshop, Path], None]], None]:
    """Return a decorator that files a function as a kind of step."""

    def register(run: Callable[[Step, Workshop, Path], None]) -> None:
        STEP_KINDS.register(name)(StepKind(version, run))

    return register


def where(threads: int | None, device: str) -> dict[str, Any]:
    """Return what of this machine decides the last bits of a result."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return {"device": device, "threads": threads or torch.get_num_threads()}
