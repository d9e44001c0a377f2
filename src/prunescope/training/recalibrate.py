"""Batch-norm statistics anew, for a network whose weights have changed without training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from prunescope.errors import PrunescopeError
from prunescope.images.batches import Batches
from prunescope.images.split import stratified_limit
from prunescope.networks.network import device_of, evaluating, preprocess_of
from prunescope.training.evaluation import LabelledPixels, autocast, memory_order
from prunescope.training.settings import Precision


def recalibrate(
    network: nn.Module,
    images: LabelledPixels,
    count: int,
    *,
    seed: int = 0,
    batch: int = 128,
    precision: Precision = "fp32",
    channels_last: bool = True,
) -> None:
    """Measure the running mean and variance of every batch norm anew, on `count` images. Nothing else changes.

    Each becomes the plain average over batches of equal size (to one image), as in
    `torch.optim.swa_utils.update_bn`. *Differs:* only batch norms are in train mode, so that dropout and the like
    stay off, and one that no image reaches (in an auxiliary head) keeps what it has.

    Args:
        count: images to look at, drawn from `images` with the classes as even as can be.
        seed: what the draw depends on, and in which batches the images come.
        batch: images a batch, at most.

    Raises:
        PrunescopeError: there is no batch norm, or there are fewer images than asked for.
    """
    norms = batch_norms(network)
    if not 2 <= count <= len(images):
        raise PrunescopeError(
            f"cannot recalibrate on {count} images: choose from 2 up to {len(images)}, which is how many there are"
        )
    preprocess, device = preprocess_of(network), device_of(network)
    chosen = images.indices[stratified_limit(images.labels[images.indices], count, seed)]
    order = np.random.default_rng(seed).permutation(chosen)
    parts = min(-(-count // batch), count // 2)  # of two images at least: one may have no variance
    with evaluating(network), memory_order(network, channels_last), _measuring_anew(norms):
        for part in np.array_split(order, parts):
            for taken in Batches(images.pixels, images.labels, part, crop=preprocess.crop, size=len(part)):
                with autocast(device, precision):
                    network(preprocess.normalise(taken.images.to(device, non_blocking=True)))


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Return what `recalibrate` changes.

    Raises:
        PrunescopeError: there is nothing to change.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not norms:
        raise PrunescopeError(
            "recalibrating needs batch norms with running statistics: this network has none"
        )
    return norms


@contextmanager
def _measuring_anew(norms: list[_BatchNorm]) -> Iterator[None]:
    """Let batch norms average what comes by; their modes, and after an exception their statistics, come back."""
    before = [
        (n.training, n.momentum, {k: b.clone() for k, b in n.named_buffers(recurse=False)}) for n in norms
    ]
    reached = False
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's word for a plain average over batches
            norm.train()
        yield
        reached = True
    finally:
        for norm, (mode, momentum, buffers) in zip(norms, before, strict=True):
            norm.training, norm.momentum = mode, momentum
            if not (reached and norm.num_batches_tracked):
                for name, buffer in buffers.items():
                    norm.get_buffer(name).copy_(buffer)
