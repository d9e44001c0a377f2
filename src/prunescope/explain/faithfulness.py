"""Whether a network needs the pixels that a map names: deletion and insertion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from prunescope.errors import PrunescopeError, some
from prunescope.explain.baselines import Baseline, baseline_of
from prunescope.explain.maps import Maps, PerImage, empty
from prunescope.explain.top import ranking
from prunescope.images.batches import Batches
from prunescope.images.cache import Progress
from prunescope.networks.network import device_of, evaluating, logits_of, preprocess_of
from prunescope.training.evaluation import LabelledPixels, autocast, memory_order
from prunescope.training.settings import Precision

STEPS, BATCH = 16, 64


class Faithfulness(NamedTuple):
    """Probabilities of each image's target while its pixels go or come, the most relevant ones first.

    Attributes:
        deletion: (images, steps + 1) float64, as they are replaced by the baseline: from the image to the baseline.
        insertion: (images, steps + 1) float64, as they replace the baseline: from the baseline to the image.
        fractions: (steps + 1,) float64, 0 to 1, the share of the pixels that are replaced.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    fractions: NDArray[np.float64]


def faithfulness(
    network: nn.Module,
    images: LabelledPixels,
    maps: Maps,
    targets: NDArray[np.int64],
    *,
    names: Sequence[str],
    steps: int = STEPS,
    baseline: Baseline = "mean",
    batch: int = BATCH,
    precision: Precision = "fp32",
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> Faithfulness:
    """Follow the softmax probability of the target as pixels go (deletion) or come (insertion), most relevant first.

    A faithful map has a low area under deletion, and a high one under insertion (`areas`). Both replace by the same
    baseline, so each picture that deletion makes for a map is one that insertion makes for the map turned round.
    Hence a random order has, in expectation, insertion - deletion = 0, whatever the network: no control needs to be
    computed. A low area under deletion alone says little, as a network that is never sure has one too.

    The limit is the plain forward pass of as many images: 2 · steps an image, since both curves share their ends.
    An empty map orders nothing: its curves are NaN and cost nothing.

    Args:
        network: carries its `preprocess`; its modes are left as they were found.
        images: decoded for the network's preprocessing.
        maps: (images, crop, crop), as large as the network's input (`upsample`).
        targets: (images,) the classes whose probability is followed.
        names: (images,) identities, which decide the order of equal values with `seed`, as in `top`.
        steps: into how many equal parts the pixels of an image are divided, at least 1.
        baseline: what stands for no pixel. mean: the colour that the network subtracts, 0 for it; blur: the image
            itself, blurred by 5 pixels of 224; black.
        batch: pictures evaluated at once; memory is bounded by it.
        precision: of the forward passes.
        seed: of the order of equal values.
        progress: called with (images done, images in all).

    Raises:
        PrunescopeError: maps, targets or names do not fit the images, maps or probabilities are not finite, or
            there are more steps than pixels.

    *Source:* Petsiuk, Das & Saenko, RISE: Randomized Input Sampling for Explanation of Black-box Models, 2018,
    section 4.2.

    *Differs:* they delete to grey and insert into a blurred image. With two baselines, a random order has two
    different areas, and their difference depends on the network.
    """
    crop = preprocess_of(network).crop
    _check(images, maps, targets, names, steps, crop)
    probabilities = np.full((len(images), 2 * steps), np.nan)  # of the pictures of each image, see _parts
    shown = np.flatnonzero(~empty(maps))
    together = max(1, batch // (2 * steps))  # images
    batches = Batches(images.pixels, images.labels, images.indices[shown], crop=crop, size=together)
    pictures = _Pictures(network, baseline, _parts(steps, crop * crop), batch)
    progress(len(images) - len(shown), len(images))
    with evaluating(network), memory_order(network, channels_last=True):
        for start, taken in zip(range(0, len(shown), together), batches, strict=True):
            rows = shown[start : start + together]
            order = ranking(maps[rows], [names[int(row)] for row in rows], seed)
            probabilities[rows] = pictures.probabilities(taken.images, order, targets[rows], precision)
            progress(len(images) - len(shown) + start + len(rows), len(images))
    _finite(probabilities[shown], [names[int(row)] for row in shown])
    return _curves(probabilities, steps)


def areas(curves: NDArray[np.float64]) -> PerImage:
    """Return the area under each of `curves`, (images, steps + 1) at even steps from 0 to 1, (images,): trapezoids."""
    area: PerImage = (curves[:, 1:] + curves[:, :-1]).mean(1) / 2
    return area


def _parts(steps: int, pixels: int) -> torch.Tensor:
    """Return which ranks of an image each of its pictures shows, (2 * steps, 2): from the first up to the second.

    First the whole image and what deletion leaves of it, then the bare baseline and what insertion shows.
    """
    counts = [round(step * pixels / steps) for step in range(steps)]
    return torch.tensor([*((count, pixels) for count in counts), *((0, count) for count in counts)])


def _curves(probabilities: NDArray[np.float64], steps: int) -> Faithfulness:
    """Put the curves together from the probabilities of all pictures, (images, 2 * steps)."""
    deletion, insertion = np.hsplit(probabilities, [steps])  # each ends where the other began
    return Faithfulness(
        np.hstack([deletion, insertion[:, :1]]),
        np.hstack([insertion, deletion[:, :1]]),
        np.arange(steps + 1) / steps,
    )


class _Pictures:
    """Makes the pictures of some images, parts of them before a baseline, and asks the network about them.

    Args:
        parts: (pictures, 2) the ranks that each picture shows.
        batch: pictures made at once, in memory that is set aside once.
    """

    def __init__(self, network: nn.Module, baseline: Baseline, parts: torch.Tensor, batch: int) -> None:
        self.network, self.baseline, self.batch = network, baseline, batch
        self.preprocess, self.device = preprocess_of(network), device_of(network)
        self.parts = parts.to(self.device, torch.int32)
        shape = (batch, 3, self.preprocess.crop, self.preprocess.crop)
        self.room = torch.empty(shape, device=self.device, memory_format=torch.channels_last)

    def probabilities(
        self,
        pixels: torch.Tensor,
        order: NDArray[np.int64],
        targets: NDArray[np.int64],
        precision: Precision,
    ) -> NDArray[np.float64]:
        """Return the probability of each image's target in each of its pictures, (images, pictures).

        Args:
            pixels: (images, 3, crop, crop) uint8.
            order: (images, crop * crop) the pixels of each, the most relevant first.
            targets: (images,).
            precision: of the forward passes.
        """
        whole = self.preprocess.normalise(pixels.to(self.device))
        bare = baseline_of(whole, self.baseline, self.preprocess)
        ranks = _ranks(torch.from_numpy(order).to(self.device)).view(len(whole), 1, *whole.shape[2:])
        classes = torch.from_numpy(targets).to(self.device)
        found = []
        for parts in self.parts.split(self.batch // len(whole)):
            room = self.room[: len(whole) * len(parts)]
            low, high = parts.view(len(parts), 2, 1, 1).unbind(1)
            visible = (ranks >= low) & (ranks < high)  # (images, pictures, crop, crop)
            torch.where(
                visible[:, :, None], whole[:, None], bare[:, None], out=room.unflatten(0, visible.shape[:2])
            )
            with autocast(self.device, precision):
                logits = logits_of(self.network(room))
            _has(logits.shape[1], targets)
            shares = logits.float().softmax(1).unflatten(0, visible.shape[:2])
            found.append(shares.gather(2, classes.view(-1, 1, 1).expand(-1, len(parts), 1))[:, :, 0])
        return torch.cat(found, 1).double().cpu().numpy()


def _ranks(order: torch.Tensor) -> torch.Tensor:
    """Return the place of each pixel in `order`, (images, pixels) int32."""
    places = torch.arange(order.shape[1], dtype=torch.int32, device=order.device).expand_as(order)
    return torch.empty_like(places).scatter_(1, order, places)


def _check(
    images: LabelledPixels,
    maps: Maps,
    targets: NDArray[np.int64],
    names: Sequence[str],
    steps: int,
    crop: int,
) -> None:
    count = len(images)
    if maps.shape != (count, crop, crop):
        raise PrunescopeError(
            f"maps have the shape {maps.shape}, expected {(count, crop, crop)}: one for each image, as large as the "
            "network's input; bring them to its size with upsample(maps, network.preprocess.crop)"
        )
    if len(targets) != count or len(names) != count:
        raise PrunescopeError(
            f"{len(targets)} targets and {len(names)} names for {count} images: give one of each for an image"
        )
    if not 1 <= steps <= crop * crop:
        raise PrunescopeError(
            f"{steps} steps, expected at least 1 and at most the {crop * crop} pixels of an image"
        )
    odd = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))
    if len(odd):
        raise PrunescopeError(
            f"the maps of {len(odd)} of {count} images hold values that are not finite "
            f"({some([names[int(row)] for row in odd])}): they give their pixels no order"
        )


def _has(outputs: int, targets: NDArray[np.int64]) -> None:
    wrong = targets[(targets < 0) | (targets >= outputs)]
    if len(wrong):
        raise PrunescopeError(
            f"no class {wrong[0]}: the network puts out {outputs}, so targets go from 0 to {outputs - 1}"
        )


def _finite(probabilities: NDArray[np.float64], names: Sequence[str]) -> None:
    odd = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(odd):
        raise PrunescopeError(
            f"the network puts out values that are not finite for parts of {len(odd)} of {len(names)} images "
            f"({some([names[int(row)] for row in odd])}): look at its weights, or compute in fp32"
        )
