"""The tally pass of dissection over all 57 convolutions of GoogLeNet at once: 16 images of 224 pixels, masks of 112.

Random weights, channels last; the thresholds are those of the images' own .005 tails. The labels are like Broden's:
1 344 concepts, three layers of pixels (objects, parts, colours), a scene for each image, a texture for every second.

The limit: every value is compared with its threshold once (51 million, bound by memory), and every lit pixel (4
million) is counted once a layer of labels. The peers interpolate more and count in the same way: all maps, or
only those of a unit and image with a value above the threshold.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from unittest.mock import patch

import numpy as np
import torch
from pictures import some_images
from table import Row
from timing import Times, interleaved
from torch.nn import functional

import prunescope as ps
from prunescope.images.cache import Pixels, cached
from prunescope.images.concepts.concept_set import Concept
from prunescope.images.concepts.label_maps import LabelMaps
from prunescope.images.split import stratified_limit
from prunescope.measures import tally as tally_file
from prunescope.measures.lit_pixels import Lit
from prunescope.measures.runtimes import computing_with
from prunescope.measures.tally import Tally
from prunescope.networks.network import evaluating
from prunescope.probe.look import look
from prunescope.probe.sites import Site, pre_activations
from prunescope.probe.tails import Tails
from prunescope.training.evaluation import autocast
from prunescope.training.settings import Precision

IMAGES, SIDE, GRID = 16, 224, 112
PIXELS = {
    "object": (584, 12),
    "part": (234, 4),
    "colour": (11, 3),
}  # concepts, and pixels across a patch of one
WHOLE = {"scene": (468, 1), "texture": (47, 2)}  # concepts, and of how many images one is labelled
MOST_PASS = 4  # times a plain forward pass
MOST_PEER = 1 / 5  # of the pass that upsamples everything
TOGETHER = 1 << 24  # pixels that the peers upsample at once


def labels() -> LabelMaps:
    rng = np.random.default_rng(0)
    concepts = [
        Concept(category, f"{category} {i}")
        for category, (count, _) in {**PIXELS, **WHOLE}.items()
        for i in range(count)
    ]
    categories = tuple(sorted({concept.category for concept in concepts}))
    pixels, image_labels = [], np.zeros((IMAGES, len(concepts)), bool)
    first = 0
    for count, across in PIXELS.values():
        patches = rng.integers(first, first + count, (IMAGES, GRID // across + 1, GRID // across + 1)) + 1
        pixels.append(patches.repeat(across, 1).repeat(across, 2)[:, :GRID, :GRID])
        first += count
    for count, every in WHOLE.values():
        image_labels[np.arange(0, IMAGES, every), rng.integers(first, first + count, IMAGES // every)] = True
        first += count
    category_of = np.array([categories.index(concept.category) for concept in concepts])
    annotated = np.ones((IMAGES, len(categories)), bool)
    annotated[1::2, categories.index("texture")] = False
    stacked = np.stack(pixels, 1).astype(np.uint16)
    return LabelMaps(stacked, image_labels, annotated, tuple(concepts), categories, category_of)


def everything(maps: torch.Tensor, thresholds: torch.Tensor, grid: tuple[int, int]) -> Iterator[Lit]:
    """Upsample all maps, in blocks of units."""
    images = torch.arange(len(maps))
    for units in torch.arange(maps.shape[1]).split(max(1, TOGETHER // (len(maps) * GRID * GRID))):
        yield upsampled(maps, torch.cartesian_prod(images, units), thresholds, grid)


def active_maps(maps: torch.Tensor, thresholds: torch.Tensor, grid: tuple[int, int]) -> Iterator[Lit]:
    """Upsample the maps of a unit and image that have a value above the threshold."""
    active = (maps.amax((2, 3)) > thresholds).nonzero()
    for some in active.split(TOGETHER // (GRID * GRID)):
        yield upsampled(maps, some, thresholds, grid)


def upsampled(
    maps: torch.Tensor, chosen: torch.Tensor, thresholds: torch.Tensor, grid: tuple[int, int]
) -> Lit:
    images, units = chosen.T
    values = functional.interpolate(maps[images, units][:, None], grid, mode="bilinear").flatten(1)
    which, pixels = np.nonzero((values > thresholds[units, None]).numpy())
    of = torch.from_numpy(which)
    return Lit(images[of], units[of], torch.from_numpy(pixels))


class Passes:
    """Passes of one network over the images, plain and with the tally, in one precision."""

    def __init__(self, network: torch.nn.Module, pixels: Pixels, precision: Precision) -> None:
        self.network, self.pixels, self.precision = network, pixels, precision
        self.sites: list[Site] = list(pre_activations(network, ["*.conv"]).values())
        self.labels = labels()
        batch = torch.from_numpy(np.stack([centre(pixels[i]) for i in range(IMAGES)])).permute(0, 3, 1, 2)
        self.input = network.preprocess.normalise(batch)
        with Tails(self.sites, IMAGES) as tails:
            self.look(tails)
            self.thresholds = tails.thresholds()
        self.counts = self.fresh()

    def fresh(self) -> Tally:
        return Tally(self.sites, self.thresholds, self.labels)

    def look(self, observer: Tails | Tally) -> None:
        look(self.network, self.pixels, [observer], batch=IMAGES, precision=self.precision)

    def plain(self) -> None:
        with evaluating(self.network), autocast(self.input.device, self.precision):
            self.network(self.input)

    def tally(self, counts: Tally | None = None) -> None:
        """Look once more; without `counts`, into those of earlier passes, as if there were more images."""
        self.look(counts or self.counts)

    def tally_by(self, peer: Callable[..., Iterator[Lit]], counts: Tally | None = None) -> None:
        with patch.object(tally_file, "lit_pixels", peer):
            self.tally(counts)


def centre(image: np.ndarray) -> np.ndarray:
    top, left = ((length - SIDE) // 2 for length in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]


def comparisons(passes: Passes) -> Callable[[], None]:
    """Return what compares as many values as all maps have with thresholds, layer by layer."""
    shapes = [(IMAGES * site.height * site.width, site.units) for site in passes.sites]
    maps = [torch.randn(shape, generator=torch.Generator().manual_seed(0)) for shape in shapes]
    thresholds = list(passes.thresholds.values())

    def compare() -> None:
        for values, limits in zip(maps, thresholds, strict=True):
            values > limits  # noqa: B015

    return compare


def rows() -> list[Row]:
    network = ps.open_network(
        "torchvision/googlenet",
        options={"aux_logits": False, "init_weights": False},
        preprocess=ps.Preprocess(resize=SIDE, crop=SIDE),
    )
    network.to(memory_format=torch.channels_last)
    with some_images() as (images, _):
        some = images.subset(stratified_limit(images.labels, IMAGES, seed=0))
        pixels = cached(some, SIDE, "bilinear")
        with computing_with(1):
            full, half = Passes(network, pixels, "fp32"), Passes(network, pixels, "bf16")
            agree(full)
            found = beside_plain(full) + beside_plain(half) + beside_peers(full)
        with computing_with(os.cpu_count() or 1):
            return [*found, wall_clock(full)]


def agree(passes: Passes) -> None:
    """Check that the peers count the same, but for pixels that they round onto or off a threshold."""
    passes.tally(ours := passes.fresh())
    for peer in (everything, active_maps):
        passes.tally_by(peer, theirs := passes.fresh())
        for layer, counts in ours.intersections.items():
            differ = np.abs(counts - theirs.intersections[layer]).sum()
            assert differ <= 1e-5 * counts.sum() + 10, (layer, differ)


def beside_plain(passes: Passes) -> list[Row]:
    times = interleaved(
        {"plain": passes.plain, "tally": passes.tally, "comparing": comparisons(passes)}, repeats=9
    )
    name, plain = f"tally pass, {passes.precision}", times["plain"]
    alone, least = (times["tally"] - plain).cpu, times["comparing"].cpu
    return [
        pass_row(name, times["tally"], plain),
        Row(f"{name}, without the forward pass", alone, "ms", f"comparing, {least:.0f} ms", alone / least),
    ]


def pass_row(name: str, tally: Times, plain: Times) -> Row:
    against = f"plain forward pass, {plain.cpu:.0f} ms"
    return Row(name, tally.cpu, "ms", against, tally.paired_cpu(plain), most_ratio=MOST_PASS)


def beside_peers(passes: Passes) -> list[Row]:
    times = interleaved(
        {
            "plain": passes.plain,
            "ours": passes.tally,
            "all": lambda: passes.tally_by(everything),
            "active": lambda: passes.tally_by(active_maps),
        },
        repeats=3,
    )
    ours, found = times["ours"], []
    for peer, what, most in (
        ("all", "upsampling all maps", MOST_PEER),
        ("active", "upsampling maps with a value above", None),
    ):
        against = f"{what}, {times[peer].cpu:.0f} ms"
        found.append(
            Row("tally pass, fp32", ours.cpu, "ms", against, ours.paired_cpu(times[peer]), most_ratio=most)
        )
    alone, theirs = (ours - times["plain"]).cpu, (times["all"] - times["plain"]).cpu
    against = f"upsampling all maps, {theirs:.0f} ms"
    return [*found, Row("tally pass, fp32, without the forward pass", alone, "ms", against, alone / theirs)]


def wall_clock(passes: Passes) -> Row:
    times = interleaved({"plain": passes.plain, "tally": passes.tally}, repeats=5)
    tally, plain = times["tally"].wall, times["plain"].wall
    name = f"tally pass, fp32, wall clock, {torch.get_num_threads()} threads"
    return Row(name, tally, "ms", f"plain forward pass, {plain:.0f} ms", tally / plain)
