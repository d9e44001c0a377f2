"""What images cost: a batch, decoding a whole set, opening it again."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from pictures import some_images
from PIL import Image
from table import Row
from timing import interleaved

from prunescope.images.augment import Augment
from prunescope.images.batches import Batches
from prunescope.images.cache import Pixels, cached
from prunescope.images.source import ImageSet, open_images
from prunescope.images.split import stratified_limit
from prunescope.networks.operators import torchvision

BATCH, CROP = 64, 128
IMAGES = 640  # decoded in each run


def one_batch(images: ImageSet, pixels: Pixels) -> list[Row]:
    chosen = stratified_limit(images.labels, BATCH, seed=0)
    labels = images.labels
    pictures = [Image.fromarray(pixels[i]) for i in chosen]
    transform = torchvision.transforms.Compose(
        [
            torchvision.transforms.RandomResizedCrop(CROP, (0.35, 1.0)),
            torchvision.transforms.RandomHorizontalFlip(),
            torchvision.transforms.PILToTensor(),
        ]
    )
    strong = Augment(brightness=0.4, contrast=0.4, saturation=0.4, erase=0.25)
    times = interleaved(
        {
            "centre crops": lambda: list(Batches(pixels, labels, chosen, CROP, BATCH)),
            "cropped and flipped": lambda: list(Batches(pixels, labels, chosen, CROP, BATCH, Augment())),
            "recoloured and erased too": lambda: list(Batches(pixels, labels, chosen, CROP, BATCH, strong)),
            "peer": lambda: torch.stack([transform(picture) for picture in pictures]),
        }
    )
    peer = times.pop("peer").cpu
    against = f"torchvision's, cropped and flipped, {peer:.1f} ms"
    return [
        Row(f"a batch of {BATCH}, {name}", time.cpu, "ms", against, time.cpu / peer)
        for name, time in times.items()
    ]


def decoding(images: ImageSet, root: Path) -> list[Row]:
    some = images.subset(stratified_limit(images.labels, IMAGES, seed=0))

    def first() -> None:
        with tempfile.TemporaryDirectory() as folder:
            cached(some, None, "bilinear", folder=Path(folder), workers=1)

    def plain() -> None:
        for name in some.names:
            np.asarray(Image.open(root / name).convert("RGB"))

    cached(some, None, "bilinear")
    decode = interleaved({"first": first, "plain": plain})
    again = interleaved(
        {
            "cache": lambda: cached(some, None, "bilinear"),
            "folder": lambda: open_images(images.source),
            "walk": lambda: [path.stat() for path in root.rglob("*")],
        }
    )
    first_time, plain_time, walk = decode["first"].cpu, decode["plain"].cpu, again["walk"].cpu
    cache, folder = again["cache"].cpu, again["folder"].cpu
    return [
        Row(
            f"decode {len(some)} images into the cache", first_time, "ms",
            f"plain Pillow, {plain_time:.0f} ms", first_time / plain_time,
        ),
        Row(
            f"open {len(some)} images from the cache", cache, "ms",
            f"decoding them, {first_time:.0f} ms", cache / first_time,
        ),
        Row(
            f"open a folder of {len(images)} images again", folder, "ms",
            f"walk and stat, {walk:.0f} ms", folder / walk,
        ),
    ]  # fmt: skip


def rows() -> list[Row]:
    torch.set_num_threads(1)
    with some_images() as (images, root):
        return one_batch(images, cached(images, None, "bilinear")) + decoding(images, root)
