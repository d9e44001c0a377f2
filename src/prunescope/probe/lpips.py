"""`lpips-squeeze`, `lpips-alex`, `lpips-vgg`: distances between features of networks trained on ImageNet.

LPIPS is an embedding: where f̂ are the features of a layer, scaled to length one at each of its H x W
positions, and w the layer's weights (its "linear head"), the distance is the squared Euclidean one between the
concatenations of √(w / HW) f̂ over all layers. At 64 pixels these are 119 thousand numbers an image for squeeze,
so what is kept is the matrix of distances, computed in tiles.

*Source:* Zhang, Isola, Efros, Shechtman & Wang, The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric, 2018; weights v0.1. *Differs:* the length has 1e-8 under its root, as in torchmetrics.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.images.augment import Images
from prunescope.images.cache import Progress
from prunescope.images.source import ImageSet
from prunescope.networks.checkpoints import load_state, read_state
from prunescope.networks.families import Torchvision
from prunescope.networks.network import Device
from prunescope.networks.operators import torchvision
from prunescope.probe.similarity import (
    SIMILARITIES,
    WITHOUT_WEIGHTS,
    Likeness,
    Similarity,
    squares,
)

SIDE = 64  # pixels: short side and centre crop of what is compared
LIMIT = 20_000  # images; their matrix takes 1.6 GB
MEMORY = 2**30  # bytes of embeddings held at a time
BATCH = 64
COLUMNS = 4096  # multiplied in float32 before the products are added in float64
HEADS_FROM = "https://github.com/richzhang/PerceptualSimilarity/tree/master/lpips/weights/v0.1"
PUBLISHED = "IMAGENET1K_V1"


@dataclass(frozen=True)
class Backbone:
    """The network of one variant: its name in torchvision, and channels by index of the `features` looked at."""

    network: str
    channels: dict[int, int]


BACKBONES = {
    "squeeze": Backbone("squeezenet1_1", {1: 64, 4: 128, 7: 256, 9: 384, 10: 384, 11: 512, 12: 512}),
    "alex": Backbone("alexnet", {1: 64, 4: 192, 7: 384, 9: 256, 11: 256}),
    "vgg": Backbone("vgg16", {3: 64, 8: 128, 15: 256, 22: 512, 29: 512}),
}


class Lpips(nn.Module):
    """LPIPS of two batches of images, and the embedding behind it.

    Args:
        features: the backbone's layers, run one after the other.
        heads: weights of each channel, by index of the layer that is looked at; none of them negative.
    """

    features: nn.Sequential
    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, features: nn.Sequential, heads: dict[int, torch.Tensor]) -> None:
        super().__init__()
        self.features = nn.Sequential(*list(features)[: max(heads) + 1]).eval().requires_grad_(False)
        self.heads = nn.ParameterDict(
            {str(index): nn.Parameter(head, requires_grad=False) for index, head in heads.items()}
        )
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Return the vectors, (images, d), of RGB images (images, 3, height, width) from -1 to 1."""
        seen = (images - self.shift) / self.scale
        parts = []
        for index, layer in enumerate(self.features):
            seen = layer(seen)
            if str(index) in self.heads:
                length = (seen.square().sum(1, keepdim=True) + 1e-8).sqrt()
                weights = (self.heads[str(index)] / seen[0, 0].numel()).sqrt()
                parts.append((seen / length * weights.view(1, -1, 1, 1)).flatten(1))
        return torch.cat(parts, 1)

    def forward(self, images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Return the LPIPS distance of each image from its counterpart, (images,)."""
        return (self.embed(images) - self.embed(others)).square().sum(1)


class LpipsSimilarity(Similarity):
    """Minus the LPIPS distance at 64 pixels.

    The slope of 16 is a convention, taken over from cosines: distances, too, lie mostly between 0 and 1.
    """

    version = 1

    def __init__(self, variant: str, model: Lpips, device: Device) -> None:
        self.name = f"lpips-{variant}"
        self.model = model
        self.device = device

    def identity(self) -> dict[str, Any]:
        """Return the name, the version, the kind of device and a digest of all weights."""
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in self.model.state_dict().items():
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        named = {"name": self.name, "version": self.version, "device": self.device}
        return {**named, "weights": digest.hexdigest()}

    def compute(self, images: ImageSet, progress: Progress) -> Likeness:
        """Compare every pair of images."""
        if len(images) > LIMIT:
            raise PrunescopeError(
                f"{self.name} compares every pair of images, and {len(images)} are too many (at most {LIMIT}): "
                f"set limit: {LIMIT}, or take another similarity"
            )
        model = self.model.to(self.device)
        similarities = lpips_distances(model, squares(images, SIDE), progress=progress)
        np.negative(similarities, out=similarities)
        return Likeness(None, similarities, "euclidean", self.slope)


def lpips_distances(
    model: Lpips, images: Images, *, memory: int = MEMORY, progress: Progress = lambda done, total: None
) -> NDArray[np.float32]:
    """Return the LPIPS distance of every pair of images.

    As many embeddings as fit into `memory` are held as a tile, and all later images pass by it in batches, so
    that beside the matrix the memory is bounded.

    Args:
        model: on the device that computes.
        images: (images, height, width, 3) uint8 RGB.
        memory: bytes of embeddings that are held at a time.
        progress: called with (batches done, batches in all).

    Returns:
        (images, images) float32: symmetric, 0 on the diagonal.
    """
    count = len(images)
    distances = np.empty((count, count), np.float32)
    width = _embed(model, images[:1]).shape[1]
    tile = max(memory // (4 * width) // BATCH, 1) * BATCH
    held = torch.empty(min(tile, count), width, device=model.shift.device)
    lengths = np.empty(count)  # squared
    steps = [(start, first) for start in range(0, count, tile) for first in range(start, count, BATCH)]
    for done, (start, first) in enumerate(steps, start=1):
        batch = _embed(model, images[first : first + BATCH])
        last, inside = first + len(batch), first < start + tile
        lengths[first:last] = batch.square().sum(1).cpu()
        if inside:
            held[first - start : last - start] = batch
        rows = slice(start, last if inside else start + tile)
        sums = lengths[rows, None] + lengths[first:last]
        block = np.maximum(sums - 2 * _products(held[: rows.stop - start], batch), 0)
        if inside:
            _make_symmetric(block[first - start :])
        distances[rows, first:last] = block
        distances[first:last, rows] = block.T
        progress(done, len(steps))
    return distances


def _embed(model: Lpips, images: Images) -> torch.Tensor:
    """Return the embeddings, (images, d), of a batch of uint8 images."""
    pixels = torch.from_numpy(images).to(model.shift.device)
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return model.embed(pixels.permute(0, 3, 1, 2) / 127.5 - 1)


def _products(vectors: torch.Tensor, others: torch.Tensor) -> NDArray[np.float64]:
    """Return scalar products, (vectors, others), to 1e-6: sums of 100 thousand terms in float32 are worse."""
    total = np.zeros((len(vectors), len(others)))
    for some, same in zip(vectors.split(COLUMNS, 1), others.split(COLUMNS, 1), strict=True):
        total += (some @ same.T).cpu().numpy()
    return total


def _make_symmetric(block: NDArray[np.float64]) -> None:
    """Even out, in place, what rounding makes of the distances of a batch from itself."""
    np.minimum(block, block.T, out=block)
    np.fill_diagonal(block, 0)


# Where the weights are


@SIMILARITIES.register("lpips")
def _open_default(weights: Path | None, device: Device) -> LpipsSimilarity:
    return _open("squeeze", weights, device)


def _open(variant: str, folder: Path | None, device: Device) -> LpipsSimilarity:
    return LpipsSimilarity(variant, Lpips(_features(variant, folder), _heads(variant, folder)), device)


for _variant in BACKBONES:
    SIMILARITIES.register(f"lpips-{_variant}")(partial(_open, _variant))


def _features(variant: str, folder: Path | None) -> nn.Sequential:
    """Return the layers of a backbone with the weights from a folder, or else torchvision's published ones."""
    name, family = BACKBONES[variant].network, Torchvision()
    path = _published(name, family) if folder is None else _in_folder(name, folder)
    with torch.device("meta"):  # spares the initial weights
        features: nn.Sequential = family.build(name, None, {}, trained=True).features  # type: ignore[assignment]
    features.to_empty(device="cpu")
    prefix = "features."
    state = {key: tensor for key, tensor in read_state(path)[0].items() if key.startswith(prefix)}
    load_state(features, {key.removeprefix(prefix): tensor for key, tensor in state.items()}, str(path))
    return features


def _published(name: str, family: Torchvision) -> Path:
    try:
        return family.weights(name, PUBLISHED)
    except PrunescopeError as error:
        raise PrunescopeError(
            f"{error}; or put it into a folder and give that as weights of the similarity; {WITHOUT_WEIGHTS}"
        ) from error


def _in_folder(name: str, folder: Path) -> Path:
    found = [
        path
        for path in sorted(folder.glob(f"{name}*"))
        if path.suffix in {".pth", ".safetensors"} and not path.name.startswith(f"{name}_bn")
    ]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise PrunescopeError(f"{folder} holds weights of {name} more than once ({names}): leave one of them")
    if not found:
        address = torchvision.models.get_model_weights(name)[PUBLISHED].url
        raise PrunescopeError(
            f"no {name}*.pth or {name}*.safetensors in {folder}: fetch {address} "
            f"and put it there, {WITHOUT_WEIGHTS}"
        )
    return found[0]


def _heads(variant: str, folder: Path | None) -> dict[int, torch.Tensor]:
    """Return the weights of each layer's channels, from a folder or else from the installed package lpips."""
    path, channels = _heads_path(variant, folder), BACKBONES[variant].channels
    state, _ = read_state(path)
    heads = {}
    for number, (index, width) in enumerate(channels.items()):
        head = state.get(f"lin{number}.model.1.weight")
        if head is None or head.shape != (1, width, 1, 1) or (head < 0).any():
            raise PrunescopeError(
                f"{path} holds no heads of LPIPS v0.1 for {variant}: expected lin{number}.model.1.weight of shape "
                f"(1, {width}, 1, 1), not negative; fetch them from {HEADS_FROM}"
            )
        heads[index] = head.flatten()
    return heads


def _heads_path(variant: str, folder: Path | None) -> Path:
    names = (f"lpips_v0.1_{variant}_heads.safetensors", f"{variant}.pth")
    package = importlib.util.find_spec("lpips")
    places = [] if folder is None else [folder / name for name in names]
    if package is not None and package.origin is not None:  # only its files are wanted: importing it is slow
        places.append(Path(package.origin).parent / "weights" / "v0.1" / names[1])
    for place in places:
        if place.is_file():
            return place
    where = "a folder that weights names" if folder is None else str(folder)
    raise PrunescopeError(
        f"the linear heads of lpips-{variant} are missing: pip install 'prunescope[lpips]', or put "
        f"{' or '.join(names)} into {where} (from {HEADS_FROM}), {WITHOUT_WEIGHTS}"
    )
