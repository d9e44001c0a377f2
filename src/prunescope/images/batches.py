"""Batches of decoded images, made ahead of the step that uses them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError
from prunescope.images.augment import Augment, augmented, centre_crops
from prunescope.images.cache import Pixels


@dataclass(frozen=True)
class Batch:
    """Some images, ready for `Preprocess.normalise`.

    Attributes:
        images: (images, 3, crop, crop) uint8 RGB, channels last in memory.
        labels: (images,) int64.
        indices: (images,) int64, which of the pixels they are.
    """

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor


def batches_in(images: int, size: int, drop_last: bool = False) -> int:
    """Return in how many batches so many images are gone through."""
    whole, rest = divmod(images, size)
    return whole + (rest > 0 and not drop_last)


@dataclass
class Batches:
    """One pass over images in batches; iterate over it.

    A batch depends on the settings, `seed`, `epoch` and its own number alone: not on the batches before it,
    on how many are made ahead, or on any global state.

    Attributes:
        pixels: the decoded images.
        labels: (len(pixels),) their labels.
        indices: (images,) which of them to go through.
        crop: side of the square images in pixels.
        size: images in a batch; the last one has what is left.
        augment: how to change them at random; None cuts out the centre.
        seed: what order and augmentation depend on, with `epoch`.
        epoch: the number of the pass.
        shuffle: whether the order is random.
        drop_last: whether to leave out a last batch that is not full.
        start: number of the batch to begin with; those before it are not made.
        ahead: how many batches are made ahead, each in a thread of its own.
        waited: seconds that iterating has waited for batches so far.
    """

    pixels: Pixels
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    crop: int
    size: int
    augment: Augment | None = None
    seed: int = 0
    epoch: int = 0
    shuffle: bool = False
    drop_last: bool = False
    start: int = 0
    ahead: int = 2
    waited: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.drop_last and len(self.indices) < self.size:
            raise PrunescopeError(
                f"{len(self.indices)} images do not fill one batch of {self.size}, and a batch that is not "
                "full is left out; choose a smaller batch or more images"
            )

    def __len__(self) -> int:
        return max(batches_in(len(self.indices), self.size, self.drop_last) - self.start, 0)

    def __iter__(self) -> Iterator[Batch]:
        order = self._rng(0).permutation(self.indices) if self.shuffle else self.indices
        pending: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(self.ahead, thread_name_prefix="prunescope-batches")
        try:
            for number in range(self.start, self.start + len(self)):
                chosen = order[number * self.size : (number + 1) * self.size]
                pending.append(pool.submit(self._make, number, chosen))
                if len(pending) > self.ahead:
                    yield self._wait(pending.popleft())
            while pending:
                yield self._wait(pending.popleft())
        finally:  # also where the consumer stops early
            pool.shutdown(cancel_futures=True)

    def _wait(self, batch: Future[Batch]) -> Batch:
        start = time.perf_counter()
        try:
            return batch.result()
        finally:
            self.waited += time.perf_counter() - start

    def _make(self, number: int, chosen: NDArray[np.int64]) -> Batch:
        images = [self.pixels[index] for index in chosen]
        if self.augment is None:
            batch = centre_crops(images, self.crop)
        else:
            batch = augmented(images, self.crop, self.augment, self._rng(number + 1))
        return Batch(
            images=torch.from_numpy(batch).permute(0, 3, 1, 2),
            labels=torch.from_numpy(self.labels[chosen]),
            indices=torch.tensor(chosen),
        )

    def _rng(self, stream: int) -> np.random.Generator:
        """Return the generator of the order (stream 0), or of the batch with the number `stream` - 1."""
        return np.random.default_rng((self.seed, self.epoch, stream))
