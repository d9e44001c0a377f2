"""What looking at a network costs beside a plain forward pass: GoogLeNet, 224 pixels, channels last.

The means of all convolution units are observed in real passes. Thresholds are exact over a whole pass, so what
they cost depends on its length: they are shown synthetic maps of GoogLeNet's shapes, as many as are said.
"""

from __future__ import annotations

import os
import resource
import time
import tracemalloc
from collections.abc import Callable, Sequence

import numpy as np
import torch
from table import Row
from timing import Times, interleaved
from torch import nn

import prunescope as ps
from prunescope.images.cache import Pixels
from prunescope.measures.runtimes import computing_with
from prunescope.probe.look import Observer, look
from prunescope.probe.means import Means
from prunescope.probe.sites import Site, pre_activations
from prunescope.probe.tails import Tails
from prunescope.training.settings import Precision

BATCH, SIDE = 32, 224
MOST_MEANS = 1.06  # of a plain forward pass
IMAGES, MOST_MEMORY = 10_000, 1024  # MiB
SHOWN = 1600  # synthetic images
THRESHOLDS = f"exact thresholds of all convolution units, {SHOWN} synthetic images"


def googlenet() -> nn.Module:
    options = {"aux_logits": False, "init_weights": False}
    network = ps.open_network("torchvision/googlenet", options=options)
    return network.to(memory_format=torch.channels_last)


def random_images() -> Pixels:
    flat = np.random.default_rng(0).integers(0, 256, BATCH * SIDE * SIDE * 3, dtype=np.uint8)
    return Pixels(flat, np.array([(SIDE, SIDE, i * SIDE * SIDE * 3) for i in range(BATCH)]))


def rows() -> list[Row]:
    network, images = googlenet(), random_images()
    sites = list(pre_activations(network, ["*.conv"]).values())
    with computing_with(1):
        cost, peak = shown(sites)  # first, while the process has not been larger
        passes = {precision: timed(network, images, sites, precision) for precision in ("fp32", "bf16")}
    count = os.cpu_count() or 1
    with computing_with(count):
        times = timed(network, images, sites, "fp32", repeats=5)
    ratio = times["means"].wall / times["plain"].wall
    against = f"plain fp32 pass, {times['plain'].wall:.0f} ms"
    return [
        *(means_row(precision, times) for precision, times in passes.items()),
        Row(f"rows of exact thresholds over {IMAGES} images", allocated(sites), "MiB", most=MOST_MEMORY),
        Row(f"{THRESHOLDS}, peak memory", peak, "MiB", most=MOST_MEMORY),
        *(threshold_row(precision, cost, times) for precision, times in passes.items()),
        Row(f"pass with means, wall clock, {count} threads", times["means"].wall, "ms", against, ratio),
    ]


def timed(
    network: nn.Module, images: Pixels, sites: Sequence[Site], precision: Precision, repeats: int = 11
) -> dict[str, Times]:
    means = Means(sites, BATCH)

    def passing(observers: Sequence[Observer]) -> Callable[[], None]:
        return lambda: look(network, images, observers, batch=BATCH, precision=precision)

    return interleaved({"plain": passing([]), "means": passing([means])}, repeats=repeats)


def means_row(precision: str, times: dict[str, Times]) -> Row:
    return Row(
        f"pass of {BATCH} images with the means of all convolution units, {precision}",
        times["means"].cpu,
        "ms",
        f"plain {precision} pass, {times['plain'].cpu:.0f} ms",
        times["means"].paired_cpu(times["plain"]),
        most_ratio=MOST_MEANS,
    )


def threshold_row(precision: str, cost: float, times: dict[str, Times]) -> Row:
    plain = times["plain"].cpu / BATCH
    return Row(f"{THRESHOLDS}, an image", cost, "ms", f"plain {precision} pass, {plain:.1f} ms", cost / plain)


def allocated(sites: Sequence[Site]) -> float:
    """Return the memory that is set aside for the tails of a whole data set, in MiB; nothing of it is touched."""
    tracemalloc.start()
    try:
        tails = Tails(sites, IMAGES, memory=2**40)
        return tracemalloc.get_traced_memory()[0] / 2**20
    finally:
        tracemalloc.stop()
        tails.close()


def shown(sites: Sequence[Site]) -> tuple[float, float]:
    """Show tails random maps; return milliseconds an image, and by how many MiB the process grew at most.

    A site is shown the same maps in every batch: as many of them exceed the tail's bound as of new ones.
    """
    generator = torch.Generator().manual_seed(0)
    largest = max(site.units * site.height * site.width for site in sites)
    maps = torch.randn(BATCH * largest, generator=generator)
    before, seconds = resident(), 0.0
    tails = Tails(sites, SHOWN)
    for index, site in enumerate(sites):
        size = BATCH * site.units * site.height * site.width
        part = maps[:size].view(BATCH, site.height, site.width, site.units).permute(0, 3, 1, 2)
        for first in range(0, SHOWN, BATCH):
            start = time.process_time()
            tails.see(index, part, np.arange(first, first + BATCH))
            seconds += time.process_time() - start
    start = time.process_time()
    tails.thresholds()
    seconds += time.process_time() - start
    return seconds * 1e3 / SHOWN, resident() - before


def resident() -> float:
    """Return the largest memory that the process has had so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
