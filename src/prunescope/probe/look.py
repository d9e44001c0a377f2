"""One pass over the images for all who want to see what layers put out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.images.batches import Batches
from prunescope.images.cache import Pixels
from prunescope.networks.network import device_of, evaluating, preprocess_of
from prunescope.probe.sites import Site
from prunescope.training.evaluation import autocast, memory_order
from prunescope.training.settings import Precision

Progress = Callable[[int, int], None]  # images done, images in all


class Observer(Protocol):
    """Sees the maps of some sites, batch by batch."""

    @property
    def sites(self) -> Sequence[Site]:
        """What it wants to see."""

    def see(self, site: int, maps: torch.Tensor, images: NDArray[np.int64]) -> None:
        """Take in what a site put out for a batch.

        Args:
            site: index into `sites`.
            maps: (images, units, height, width) of any floating type, on the network's device. Valid during
                this call only: an operation in place may overwrite them next.
            images: (images,) which images they are: their positions in the pass, from 0.
        """


def look(
    network: nn.Module,
    pixels: Pixels,
    observers: Sequence[Observer],
    *,
    indices: NDArray[np.int64] | None = None,
    batch: int = 64,
    precision: Precision = "fp32",
    progress: Progress = lambda done, total: None,
) -> None:
    """Run a network once over images, in eval mode and without gradients, and show its maps to all observers.

    Hooks, modes and memory order are restored, whatever happens.

    Args:
        pixels: images decoded for the network's preprocessing.
        observers: what the sites' maps are shown to; a layer that nobody asks for costs nothing.
        indices: which of the pixels to look at, in this order (default: all).
        batch: images at a time.

    Raises:
        PrunescopeError: the network did not use a layer that it uses for an example image, or an observer
            cannot use what it sees.
    """
    preprocess, device = preprocess_of(network), device_of(network)
    chosen = np.arange(len(pixels)) if indices is None else indices
    labels = np.zeros(len(pixels), np.int64)  # nobody asks for them
    batches = Batches(pixels, labels, chosen, crop=preprocess.crop, size=batch)
    done = 0
    with evaluating(network), memory_order(network, True), _watching(observers) as watch:
        for taken in batches:
            watch.start(np.arange(done, done + len(taken.images)))
            with autocast(device, precision):
                network(preprocess.normalise(taken.images.to(device, non_blocking=True)))
            watch.finish()
            done += len(taken.images)
            progress(done, len(chosen))


class _Watch:
    """Hands what modules put out to those who look at it."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.seats: dict[Site, list[tuple[Observer, int]]] = {}  # a site that several share is viewed once
        for observer in observers:
            for index, site in enumerate(observer.sites):
                self.seats.setdefault(site, []).append((observer, index))
        self.sites: dict[nn.Module, list[Site]] = {}
        for site in self.seats:
            self.sites.setdefault(site.module, []).append(site)
        self.calls: Counter[nn.Module] = Counter()
        self.images = np.empty(0, np.int64)

    def start(self, images: NDArray[np.int64]) -> None:
        self.images = images
        self.calls.clear()

    def note(self, module: nn.Module, _: Any, output: torch.Tensor) -> None:
        call, self.calls[module] = self.calls[module], self.calls[module] + 1
        with torch.autocast(output.device.type, enabled=False):  # observers decide on their own precision
            for site in self.sites[module]:
                if site.call == call:
                    maps = site.maps(output)
                    for observer, index in self.seats[site]:
                        observer.see(index, maps, self.images)

    def finish(self) -> None:
        for site in self.seats:
            if self.calls[site.module] <= site.call:
                raise PrunescopeError(
                    f"{site.layer} was not used for the images {self.images[0]} to {self.images[-1]}, though it "
                    "is for an example image: a layer that is used only at times cannot be looked at"
                )


@contextmanager
def _watching(observers: Sequence[Observer]) -> Iterator[_Watch]:
    watch = _Watch(observers)
    hooks = [module.register_forward_hook(watch.note) for module in watch.sites]
    try:
        yield watch
    finally:
        for hook in hooks:
            hook.remove()
