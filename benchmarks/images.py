"""What images cost: a batch, decoding a whole set, opening it again, and how long a training step waits.

Computing is timed as CPU time, with variants taking turns in random order; medians are given. Imagenette at
128 pixels is used where it is found, below `--data`, $PRUNESCOPE_TEST_DATA or ../shared/data; otherwise
generated images.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from prunescope.images.augment import Augment
from prunescope.images.batches import Batches
from prunescope.images.cache import Pixels, cached
from prunescope.images.source import ImageSet, open_images
from prunescope.images.split import stratified_limit
from prunescope.networks.operators import torchvision
from prunescope.networks.preprocess import Preprocess

Row = dict[str, Any]
BATCH, CROP = 64, 128
IMAGES = 640  # decoded in each run
REPEATS = 15
STEPS = 10  # of training, after two to warm up


def found_data() -> Path | None:
    beside = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    data = Path(os.environ.get("PRUNESCOPE_TEST_DATA") or beside)
    return data if (data / "imagenette128" / "train").is_dir() else None


@contextmanager
def some_images(data: Path | None) -> Iterator[tuple[ImageSet, Path]]:
    """Yield a set of images with the folder it lies in, and a cache folder of its own for the time being."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("PRUNESCOPE_CACHE")
        os.environ["PRUNESCOPE_CACHE"] = f"{folder}/cache"
        try:
            root = data / "imagenette128" / "train" if data else generated(Path(folder) / "images")
            yield open_images(f"folder:{root}"), root
        finally:
            os.environ.pop("PRUNESCOPE_CACHE")
            if before is not None:
                os.environ["PRUNESCOPE_CACHE"] = before


def generated(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        path = root / str(number % 10) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        coarse.resize((CROP, CROP), Image.Resampling.BICUBIC).save(path, quality=90)
    return root


def medians(clock: Callable[[], float], **variants: Callable[[], object]) -> dict[str, float]:
    """Return the median time of each variant in milliseconds, all of them taking turns in random order."""
    taken: dict[str, list[float]] = {name: [] for name in variants}
    order = random.Random(0)
    for _ in range(REPEATS):
        for name in order.sample(list(variants), len(variants)):
            started = clock()
            variants[name]()
            taken[name].append((clock() - started) * 1e3)
    return {name: statistics.median(times) for name, times in taken.items()}


def row(name: str, value: float, against: str, limit: float, target: str) -> Row:
    """Return a row of the table; `value` and `limit` are in milliseconds."""
    return {
        "name": f"images: {name}",
        "value": value,
        "unit": "ms",
        "against": against,
        "ratio": value / limit,
        "target": target,
    }


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
    times = medians(
        time.process_time,
        centre=lambda: list(Batches(pixels, labels, chosen, CROP, BATCH)),
        augmented=lambda: list(Batches(pixels, labels, chosen, CROP, BATCH, Augment())),
        strong=lambda: list(Batches(pixels, labels, chosen, CROP, BATCH, strong)),
        peer=lambda: torch.stack([transform(picture) for picture in pictures]),
    )
    peer = "torchvision's transforms, cropped and flipped, in memory"
    return [
        row("a batch of 64, centre crops", times["centre"], peer, times["peer"], "< 40 ms"),
        row("a batch of 64, cropped and flipped", times["augmented"], peer, times["peer"], "< 40 ms"),
        row("the same, recoloured and erased", times["strong"], peer, times["peer"], "none"),
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
    times = medians(time.process_time, first=first, plain=plain)
    again = medians(time.perf_counter, opened=lambda: cached(some, None, "bilinear"))["opened"]
    stat = medians(
        time.process_time,
        open=lambda: open_images(images.source),
        walk=lambda: [path.stat() for path in root.rglob("*")],
    )
    count = len(some)
    return [
        row(f"decode {count} into the cache", times["first"], "plain Pillow", times["plain"], "< 1.5 x"),
        row(f"open {count} from the cache", again, "decoding them", times["first"], "< 10 ms"),
        row(f"open a folder of {len(images)} again", stat["open"], "walk and stat", stat["walk"], "none"),
    ]


def waiting(images: ImageSet, pixels: Pixels) -> list[Row]:
    """Train GoogLeNet in bfloat16 on all processors and report the share of time spent waiting for images."""
    network = torchvision.models.googlenet(num_classes=10, aux_logits=False, init_weights=False)
    network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    chosen = np.resize(np.arange(len(images)), BATCH * (STEPS + 2))
    batches = Batches(pixels, images.labels, chosen, CROP, BATCH, Augment(), shuffle=True)
    started = 0.0
    for number, batch in enumerate(batches):
        if number == 2:
            batches.waited, started = 0.0, time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(
                network(Preprocess().normalise(batch.images)), batch.labels
            )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    step = (time.perf_counter() - started) / STEPS * 1e3
    wait = batches.waited / STEPS * 1e3
    return [row("waiting in a training step of GoogLeNet", wait, f"a step of {step:.0f} ms", step, "< .02 x")]


def rows(data: Path | None = None) -> list[Row]:
    threads = torch.get_num_threads()
    with some_images(data or found_data()) as (images, root):
        pixels = cached(images, None, "bilinear")
        torch.set_num_threads(1)
        found = one_batch(images, pixels) + decoding(images, root)
        torch.set_num_threads(threads)
        return found + waiting(images, pixels)


def main() -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder that holds imagenette128")
    found = rows(parser.parse_args().data)
    for each in found:
        print("{name}: {value:.2f} {unit}, {ratio:.4f} x {against} (target {target})".format(**each))
    return found


if __name__ == "__main__":
    main()
