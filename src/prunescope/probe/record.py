"""One pass over images that records what every unit of a network puts out: `record`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.images.cache import cached
from prunescope.images.source import ImageSet, open_images
from prunescope.images.split import limited
from prunescope.networks.network import preprocess_of
from prunescope.probe.examples import Examples
from prunescope.probe.look import Observer, Progress, look
from prunescope.probe.means import Means
from prunescope.probe.sites import Site, find_sites
from prunescope.probe.storage import Closing
from prunescope.probe.tails import Tails
from prunescope.probe.tie_keys import tie_keys
from prunescope.training.settings import Precision


@dataclass
class Record(Closing):
    """What was recorded; a context manager, which lets go of the temporary files.

    Attributes:
        names: the identity of each image.
        sites: what was looked at.
        means: the spatial mean of every unit for every image.
        tails: the largest values of every unit, if a share was given.
        examples: the images of highest and lowest mean, if any were asked for.
    """

    names: tuple[str, ...]
    sites: tuple[Site, ...]
    means: Means
    tails: Tails | None
    examples: Examples | None

    def merge(self, other: Record) -> None:
        """Add what another pass recorded of other images: they follow those of this one.

        Raises:
            PrunescopeError: the passes did not record the same, or looked at an image twice; nothing is changed.
        """
        if (self.tails is None, self.examples is None) != (other.tails is None, other.examples is None):
            raise PrunescopeError(
                "only passes that recorded the same can be merged: give both the same settings"
            )
        if twice := set(self.names) & set(other.names):
            raise PrunescopeError(
                f"both passes looked at {min(twice)!r} ({len(twice)} images in common): merge passes over "
                "different images"
            )
        if self.tails and other.tails:  # first, since it may refuse
            self.tails.merge(other.tails)
        if self.examples and other.examples:
            self.examples.merge(other.examples)
        self.means.merge(other.means)
        self.names += other.names

    def close(self) -> None:
        """Let go of the temporary files."""
        self.means.close()
        if self.tails:
            self.tails.close()


def record(
    network: nn.Module,
    images: ImageSet | str,
    *,
    layers: Sequence[str] | None = None,
    share: float | None = None,
    examples: int = 0,
    limit: int | None = None,
    total: int | None = None,
    data: Path | None = None,
    batch: int = 64,
    precision: Precision = "fp32",
    memory: int = 2**30,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> Record:
    """Look once at images and record what the units of a network put out.

    Example:
        >>> with ps.record(network, "folder:imagenette/val", layers=["inception5b.*"]) as seen:
        ...     scores = ps.mis_scores(seen.means.array, embeddings)

    Args:
        images: an image set, or its source: `folder:PATH`, `scenes`, …
        layers: globs over the names of modules (default: all convolutions, batch norms and linear layers).
        share: record thresholds that this share of a unit's values exceeds; Network Dissection has .005.
        examples: images of highest and of lowest mean to keep for each unit.
        limit: look at so many images, an equal share of each class.
        total: images of all passes that will be merged, if these are some of them; thresholds depend on it.
        data: the folder that relative paths start from.
        batch: images at a time.
        precision: arithmetic of the forward pass.
        memory: bytes from which on the tails are kept in a temporary file.
        seed: decides which images a limit leaves, and the order of equal means.
        progress: called with (images done, images in all).

    Raises:
        PrunescopeError: unknown layers, images that cannot be read, NaN or infinite activations.
    """
    chosen = limited(open_images(images, data=data) if isinstance(images, str) else images, limit, seed)
    preprocess = preprocess_of(network)
    pixels = cached(chosen, preprocess.resize, preprocess.interpolation)
    sites = find_sites(network, layers)
    seen = Record(
        names=chosen.names,
        sites=tuple(sites),
        means=Means(sites, len(chosen)),
        tails=None if share is None else Tails(sites, total or len(chosen), share, memory),
        examples=Examples(sites, examples, tie_keys(chosen.names, seed)) if examples else None,
    )
    observers: list[Observer] = [one for one in (seen.means, seen.tails, seen.examples) if one is not None]
    look(network, pixels, observers, batch=batch, precision=precision, progress=progress)
    return seen
