"""How long training waits for images, and how often they are decoded: GoogLeNet, batches of 64, 128 pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from pictures import some_images
from table import Row

import prunescope as ps
from prunescope.images.cache import cached
from prunescope.images.split import stratified_limit
from prunescope.training.evaluation import LabelledPixels
from prunescope.training.loop import train
from prunescope.training.settings import TrainSettings

BATCH, SIDE, STEPS = 64, 128, 12  # a step, pixels, steps an epoch
MOST = 0.02  # of the time of a step


class CountedDecode:
    """Decodes images and counts how often."""

    def __init__(self, decode: Callable[[int], NDArray[np.uint8]]) -> None:
        self.decode, self.calls = decode, 0

    def __call__(self, index: int) -> NDArray[np.uint8]:
        self.calls += 1
        return self.decode(index)


def rows() -> list[Row]:
    with some_images() as (everything, _), TemporaryDirectory() as folder:
        some = everything.subset(stratified_limit(everything.labels, BATCH * STEPS, seed=0))
        decode = CountedDecode(some.decode)
        images = replace(some, decode=decode)
        pixels = cached(images, SIDE, "bilinear", folder=Path(folder))
        first = decode.calls
        network = ps.open_network(
            "torchvision/googlenet",
            classes=len(images.classes),
            options={"aux_logits": False, "init_weights": False},
            preprocess=ps.Preprocess(resize=SIDE, crop=SIDE),
        )
        labelled = LabelledPixels(pixels, images.labels, np.arange(len(images)))
        epochs = train(network, labelled, TrainSettings(epochs=2, batch=BATCH))
        cached(images, SIDE, "bilinear", folder=Path(folder))  # as the next study does
        again = decode.calls - first
    last = epochs[-1]
    step = last.seconds / STEPS * 1e3
    wait = last.waited / STEPS * 1e3
    return [
        Row("waiting for images in a step", wait, "ms", f"the step, {step:.0f} ms", wait / step, most_ratio=MOST),
        Row(
            "images decoded in two epochs and again in a second study",
            again, "images", f"the first time, {first}", again / first, most=0,
        ),
    ]  # fmt: skip
