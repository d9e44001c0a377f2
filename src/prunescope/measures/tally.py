"""Over which concepts' pixels units are lit, counted batch by batch.

*Source:* Bau et al., Network Dissection: Quantifying Interpretability of Deep Visual Representations, 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from prunescope.measures.lit_pixels import lit_pixels
from prunescope.probe.means import same_sites

if TYPE_CHECKING:
    from prunescope.images.concepts.label_maps import LabelMaps
    from prunescope.probe.sites import Site


class Tally:
    """Counts, for each site, the pixels that units share with concepts; an observer of `probe.look`.

    Attributes:
        label_pixels: (concepts,) int64, the pixels of each concept in the images seen.
    """

    def __init__(
        self, sites: Sequence[Site], thresholds: Mapping[str, torch.Tensor], labels: LabelMaps
    ) -> None:
        """Begin with no image seen.

        Args:
            sites: what to look at; each needs maps with positions.
            thresholds: layer to (units,): a unit is lit where its upsampled map exceeds its threshold.
            labels: of the images of the pass, in the same order.
        """
        self.sites, self.labels = sites, labels
        self.label_pixels = np.zeros(len(labels.concepts), np.int64)
        sizes = len(labels.concepts), len(labels.categories)
        self._thresholds = [thresholds[site.layer] for site in sites]
        self._counts = {site.layer: Counts(site.units, *sizes) for site in sites}
        self._batch: tuple[NDArray[np.int64], Labels] | None = None

    def see(self, site: int, maps: torch.Tensor, images: NDArray[np.int64]) -> None:
        """Count the lit pixels of a batch.

        Args:
            site: index into `sites`.
            maps: (images, units, h, w), floating.
            images: (images,) which they are, from 0.
        """
        labels = self._labels_of(images, maps.device)
        if site == 0:  # the labels are the same for all sites
            self.label_pixels += labels.label_pixels()
        counts = self._counts[self.sites[site].layer]
        counts.add(maps, self._thresholds[site].to(maps.device), labels)

    def _labels_of(self, images: NDArray[np.int64], device: torch.device) -> Labels:
        if self._batch is None or not np.array_equal(self._batch[0], images):
            maps = self.labels
            chosen = maps.pixels[images], maps.image_labels[images], maps.annotated[images]
            self._batch = images, Labels.of(*chosen, device)
        return self._batch[1]

    @property
    def intersections(self) -> dict[str, NDArray[np.int64]]:
        """Layer to (units, concepts): pixels of the concept at which the unit is lit."""
        return {layer: counts.intersections for layer, counts in self._counts.items()}

    @property
    def unit_pixels(self) -> dict[str, NDArray[np.int64]]:
        """Layer to (units, categories): lit pixels in images that are annotated with the category."""
        return {layer: counts.unit_pixels for layer, counts in self._counts.items()}

    def iou(self, layer: str) -> NDArray[np.float64]:
        """Return the intersection over union of each unit of a layer with each concept, (units, concepts)."""
        counts = self._counts[layer]
        return iou(counts.intersections, counts.union(self.label_pixels, self.labels.category_of))

    def merge(self, other: Tally) -> None:
        """Add what `other` counted of the same sites, thresholds and concepts over other images."""
        same_sites(self.sites, other.sites)
        self.label_pixels += other.label_pixels
        for layer, counts in self._counts.items():
            counts.merge(other._counts[layer])


def iou(intersections: NDArray[np.int64], union: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return intersection over union, 0 where there is neither unit nor concept."""
    return intersections / np.maximum(union, 1)


class Counts:
    """The pixels that the units of one layer share with concepts."""

    def __init__(self, units: int, concepts: int, categories: int) -> None:
        self._hits = torch.zeros(units, concepts + 1, dtype=torch.int64)  # column 0: pixels without a label
        self._lit = torch.zeros(units, categories, dtype=torch.int64)

    @property
    def intersections(self) -> NDArray[np.int64]:
        """Pixels of the concept at which the unit is lit, (units, concepts)."""
        hits: NDArray[np.int64] = self._hits[:, 1:].numpy(force=True)
        return hits

    @property
    def unit_pixels(self) -> NDArray[np.int64]:
        """Lit pixels in images that are annotated with the category, (units, categories)."""
        lit: NDArray[np.int64] = self._lit.numpy()
        return lit

    def union(self, label_pixels: NDArray[np.int64], category_of: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the pixels of unit or concept, in images annotated with its category: (units, concepts)."""
        return self.unit_pixels[:, category_of] + label_pixels - self.intersections

    def add(self, maps: torch.Tensor, thresholds: torch.Tensor, labels: Labels) -> None:
        """Count the lit pixels of some images.

        Args:
            maps: (images, units, h, w), floating.
            thresholds: (units,), on the same device.
            labels: of the same images, on the same device.
        """
        images, units = maps.shape[:2]
        self._hits = self._hits.to(maps.device)
        hits, columns = self._hits.view(-1), self._hits.shape[1]
        lit = hits.new_zeros(images * units)
        one = hits.new_ones(1)
        for some in lit_pixels(maps, thresholds, labels.grid):
            ones = one.expand(len(some.pixels))
            lit.index_add_(0, some.images * units + some.units, ones)
            pixels = some.images * labels.size + some.pixels
            for layer in labels.layers:
                hits.index_add_(0, some.units * columns + layer.index_select(0, pixels), ones)
        self._add_images(lit.view(images, units).T.cpu().double(), labels)

    def _add_images(self, lit: torch.Tensor, labels: Labels) -> None:
        """Count what is known of whole images.

        Args:
            lit: (units, images) pixels, float64, in which products of whole numbers are exact up to 2^53, and
                much faster than those of integers.
            labels: of the images.
        """
        self._lit += (lit @ labels.annotated).long()
        named = labels.whole.any(0).nonzero().squeeze(1)
        self._hits[:, named + 1] += (lit @ labels.whole[:, named]).long().to(self._hits.device)

    def merge(self, other: Counts) -> None:
        """Add the counts of other images."""
        self._hits = self._hits + other._hits.to(self._hits.device)
        self._lit = self._lit + other._lit


@dataclass(frozen=True)
class Labels:
    """The labels of some images.

    Attributes:
        layers: (layers, images * grid's pixels) int32: 0 is nothing, c + 1 concept c. No pixel has a concept
            twice, nor one that its whole image has.
        whole: (images, concepts) float64 on the CPU, 1 where the whole image, each of its pixels, is labelled.
        annotated: (images, categories) float64 on the CPU, 1 where the image is annotated with the category.
        grid: height and width in pixels.
    """

    layers: torch.Tensor
    whole: torch.Tensor
    annotated: torch.Tensor
    grid: tuple[int, int]

    @property
    def size(self) -> int:
        """Pixels of the grid."""
        return self.grid[0] * self.grid[1]

    @staticmethod
    def of(
        pixels: NDArray[np.unsignedinteger],
        whole: NDArray[np.bool_],
        annotated: NDArray[np.bool_],
        device: torch.device | None = None,
    ) -> Labels:
        """Make labels ready to be counted.

        A concept that both a whole image and some of its pixels carry counts once: for the whole image.

        Args:
            pixels: (images, layers, H, W): 0 is nothing, c + 1 concept c; each concept of a pixel in one layer.
            whole: (images, concepts).
            annotated: (images, categories).
            device: where the maps are.
        """
        images, layers, height, width = pixels.shape
        numbers = pixels.astype(np.int32)
        named = np.pad(whole, ((0, 0), (1, 0)))  # by number, of which 0 names nothing
        numbers[named[np.arange(images)[:, None, None, None], numbers]] = 0
        by_layer = np.moveaxis(numbers, 1, 0).reshape(layers, images * height * width)
        return Labels(
            torch.from_numpy(by_layer).to(device),
            torch.from_numpy(whole.astype(np.float64)),
            torch.from_numpy(annotated.astype(np.float64)),
            (height, width),
        )

    def label_pixels(self) -> NDArray[np.int64]:
        """Return how many pixels each concept has, (concepts,) int64."""
        pixels = torch.bincount(self.layers.flatten(), minlength=self.whole.shape[1] + 1)[1:].cpu()
        found: NDArray[np.int64] = (pixels + self.whole.sum(0).long() * self.size).numpy()
        return found
