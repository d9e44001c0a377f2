"""All that a training needs to go on where it stood: taken between two steps, kept in one file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open

from prunescope.errors import PrunescopeError
from prunescope.networks.checkpoints import METADATA_KEY, State, save_state
from prunescope.pruning.masks import Mask

_FORMAT = "training state 1"


@dataclass(frozen=True)
class Epoch:
    """What one epoch did. `validate_top1` is None where `validate` is not looked at; times in seconds.

    Attributes:
        epoch: its number in the schedule, from 0.
        loss: mean over the images of the steps that were done.
        lr: learning rate of its last step.
    """

    epoch: int
    loss: float
    lr: float
    seconds: float
    waited: float
    validate_top1: float | None = None


@dataclass(frozen=True)
class PartEpoch:
    """What an epoch that has not ended did so far.

    Attributes:
        losses: the loss of each image, summed.
        seen: images.
        seconds: how long it took.
        waited: seconds of them that it waited for batches.
    """

    losses: float = 0.0
    seen: int = 0
    seconds: float = 0.0
    waited: float = 0.0


@dataclass(frozen=True)
class TrainingState:
    """A training between two steps. All tensors are on the CPU, and nobody else's.

    Attributes:
        step: optimizer steps that are done, in the count of the whole schedule.
        network: its state dict.
        optimizer: its state dict: momentum buffers, moments, steps.
        random: states of the generators that dropout and the like draw from: "cpu", and "cuda" on a GPU.
        history: the epochs that ended.
        part: what the epoch under way did so far.
        best: with early stopping, the state dict of the network at the end of the best epoch so far.
        mask: what is removed, where the training prunes (`Ramp`). `train` leaves it out: use `with_mask`.
    """

    step: int
    network: State
    optimizer: dict[str, Any]
    random: dict[str, torch.Tensor]
    history: list[Epoch]
    part: PartEpoch = PartEpoch()
    best: State | None = None
    mask: Mask | None = None

    def with_mask(self, mask: Mask | None) -> Self:
        """Return the same state with the mask that held then."""
        return dataclasses.replace(self, mask=mask)

    def save(self, path: Path) -> None:
        """Write one safetensors file, whole or not at all.

        Raises:
            PrunescopeError: the disk is full, the folder is not there, …
        """
        rows = [
            (key, name, value) for key, of in self.optimizer["state"].items() for name, value in of.items()
        ]
        numbers = [row for row in rows if not isinstance(row[2], torch.Tensor)]
        tensors = {f"optimizer/{key}/{name}": v for key, name, v in rows if isinstance(v, torch.Tensor)}
        for part in ("network", "random", "best"):
            tensors |= {f"{part}/{name}": tensor for name, tensor in (getattr(self, part) or {}).items()}
        if self.mask:
            tensors |= {f"mask/{name}": keep for name, keep in self.mask.keep.items()}
        description = {
            "format": _FORMAT,
            "step": self.step,
            "optimizer": {"numbers": numbers, "groups": self.optimizer["param_groups"]},
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "part": dataclasses.asdict(self.part),
            "best": self.best is not None,
            "mask": {"granularity": self.mask.granularity, "rates": self.mask.rates} if self.mask else None,
        }
        save_state(tensors, {**description, "digest": _digest(tensors, description)}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            PrunescopeError: the file is missing, damaged, cut short or something else.
        """
        try:
            with safe_open(path, framework="pt") as file:
                description = json.loads((file.metadata() or {})[METADATA_KEY])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if description.pop("format") != _FORMAT:
                raise ValueError("it is from another version")
            if description.pop("digest") != _digest(tensors, {"format": _FORMAT, **description}):
                raise ValueError("its content has changed since it was written")
            return cls._put_together(tensors, description)
        except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, OSError) as error:
            raise PrunescopeError(
                f"{path}: not a whole training state that prunescope saved ({error}): delete it, and train anew"
            ) from error

    @classmethod
    def _put_together(cls, tensors: State, description: dict[str, Any]) -> Self:
        parts: dict[str, State] = {}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = tensor
        optimizer = description["optimizer"]
        state: dict[int, dict[str, Any]] = {}
        for key, name, value in optimizer["numbers"]:
            state.setdefault(key, {})[name] = value
        for row, tensor in parts.get("optimizer", {}).items():
            number, _, name = row.partition("/")
            state.setdefault(int(number), {})[name] = tensor
        return cls(
            step=description["step"],
            network=parts["network"],
            optimizer={"state": state, "param_groups": optimizer["groups"]},
            random=parts["random"],
            history=[Epoch(**epoch) for epoch in description["history"]],
            part=PartEpoch(**description["part"]),
            best=parts["best"] if description["best"] else None,
            mask=Mask(parts.get("mask", {}), **description["mask"]) if description["mask"] else None,
        )


def copied(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return tensors as copies on the CPU, and what is no tensor as it is."""
    return {
        name: value.detach().to("cpu", copy=True) if isinstance(value, torch.Tensor) else value
        for name, value in tensors.items()
    }


def _digest(tensors: Mapping[str, torch.Tensor], description: Mapping[str, Any]) -> str:
    digest = hashlib.blake2b(json.dumps(description, sort_keys=True).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
