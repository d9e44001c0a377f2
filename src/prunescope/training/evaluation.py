"""What a network says about images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.images.batches import Batches
from prunescope.images.cache import Pixels
from prunescope.images.split import stratified_limit
from prunescope.networks.network import device_of, evaluating, logits_of, preprocess_of
from prunescope.training.settings import Precision


@dataclass(frozen=True)
class LabelledPixels:
    """Decoded images with their labels and the indices that take part: what is trained or evaluated on."""

    pixels: Pixels
    labels: NDArray[np.int64]  # (all images,)
    indices: NDArray[np.int64]  # (images,)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def targets(self) -> torch.Tensor:
        """The labels of the images that take part, (images,) int64.

        Raises:
            PrunescopeError: they have none.
        """
        if (self.labels[self.indices] < 0).any():
            raise PrunescopeError("these images have no labels: give labelled ones, as of 'folder:PATH'")
        return torch.from_numpy(self.labels[self.indices])

    def drawn(self, count: int, seed: int) -> LabelledPixels:
        """Return `count` of them, or all if there are no more, with the classes as even as can be."""
        chosen = stratified_limit(self.labels[self.indices], count, seed)
        return LabelledPixels(self.pixels, self.labels, self.indices[chosen])


NO_IMAGES = LabelledPixels(
    Pixels(np.empty(0, np.uint8), np.empty((0, 3), np.int64)), np.empty(0, np.int64), np.empty(0, np.int64)
)


def predict(
    network: nn.Module,
    images: LabelledPixels,
    *,
    batch: int = 128,
    precision: Precision = "fp32",
    channels_last: bool = True,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> torch.Tensor:
    """Return the logits of all images in their order: (images, classes), float32, on the CPU."""
    preprocess, device = preprocess_of(network), device_of(network)
    batches = Batches(images.pixels, images.labels, images.indices, crop=preprocess.crop, size=batch)
    logits = []
    with evaluating(network), memory_order(network, channels_last):
        for step, taken in enumerate(batches):
            with autocast(device, precision):
                outputs = network(preprocess.normalise(taken.images.to(device, non_blocking=True)))
            logits.append(logits_of(outputs).float().cpu())
            on_step(step + 1, len(batches))
    return torch.cat(logits)


def top1(network: nn.Module, images: LabelledPixels) -> float:
    """Return the share of images whose largest logit is that of their label."""
    return float((predict(network, images).argmax(1) == images.targets).double().mean())


def resolve_precision(precision: Precision, device: str) -> Precision:
    """Say what "auto" means on a device: bf16 on CUDA, and on CPUs that compute with it."""
    if precision != "auto":
        return precision
    if device == "cpu":
        return (
            "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"
        )
    return "bf16" if device == "cuda" else "fp32"


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context in which a forward pass computes with the given precision."""
    return torch.autocast(
        device.type, torch.bfloat16, enabled=resolve_precision(precision, device.type) == "bf16"
    )


@contextmanager
def memory_order(network: nn.Module, channels_last: bool) -> Iterator[None]:
    """Keep a network's convolutions in channels-last order for a while."""
    if not channels_last:
        yield
        return
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        yield
    finally:
        network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
