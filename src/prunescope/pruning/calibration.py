"""Labelled images that a data-driven score looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from prunescope.errors import PrunescopeError
from prunescope.networks.network import device_of, logits_of


@dataclass(frozen=True)
class Calibration:
    """Images as a network takes them, with their labels.

    Attributes:
        inputs: (images, 3, height, width) floats, normalised as the network expects.
        labels: (images,) integers, index of the class of each.
        batch: images looked at at once.

    Raises:
        PrunescopeError: inputs, labels or batch are something else.
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    batch: int = 64

    def __post_init__(self) -> None:
        images = self.inputs.ndim == 4 and len(self.inputs) > 0 and self.inputs.is_floating_point()
        as_many = self.labels.shape == self.inputs.shape[:1] and not self.labels.is_floating_point()
        if not (images and as_many):
            raise PrunescopeError(
                "calibration takes floats of (images, 3, height, width) and an integer label for each, got "
                f"{_said(self.inputs)} and {_said(self.labels)}"
            )
        if self.batch < 1:
            raise PrunescopeError(f"calibration in batches of {self.batch} is impossible: at least 1 image")

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, network: nn.Module) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield inputs and labels on the network's device, inputs in its type."""
        device, dtype = device_of(network), next(network.parameters()).dtype
        for start in range(0, len(self), self.batch):
            stop = start + self.batch
            yield self.inputs[start:stop].to(device, dtype), self.labels[start:stop].to(device, torch.int64)

    def logits(
        self, network: Callable[[torch.Tensor], Any], inputs: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """Return the logits of a batch, (images, classes).

        Raises:
            PrunescopeError: a label that the network has no class for.
        """
        logits = logits_of(network(inputs))
        if not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
            raise PrunescopeError(
                f"calibration has labels from {int(labels.min())} to {int(labels.max())}, but the network has "
                f"{logits.shape[1]} classes, 0 to {logits.shape[1] - 1}: give images of its own classes"
            )
        return logits

    def loss(
        self,
        network: Callable[[torch.Tensor], Any],
        inputs: torch.Tensor,
        labels: torch.Tensor,
        temperature: float = 1,
    ) -> torch.Tensor:
        """Return the cross-entropy of a batch, divided by all images: over the batches it adds up to the mean.

        Args:
            temperature: divides the logits.
        """
        logits = self.logits(network, inputs, labels) / temperature
        return functional.cross_entropy(logits, labels, reduction="sum") / len(self)


def _said(tensor: torch.Tensor) -> str:
    return f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"
