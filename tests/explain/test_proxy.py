"""A proxy for people: what it is shown, which of its outputs count, what it may not be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunescope.errors import PrunescopeError
from prunescope.explain.proxy import ProxySettings, open_proxy, random_tops
from prunescope.explain.stimuli import explanation_map
from prunescope.explain.top import top
from prunescope.images.augment import centre_crops
from prunescope.images.cache import cached
from prunescope.images.source import open_images
from prunescope.images.split import limited
from prunescope.networks.network import open_network, preprocess_of
from prunescope.networks.preprocess import Preprocess
from prunescope.training.evaluation import LabelledPixels, predict

COLOURS = ("red", "green", "blue")
SHADES = ProxySettings(
    network="explain.shades:shades",
    outputs=(3, 2, 1),
    preprocess=Preprocess(crop=8, mean=(0, 0, 0), std=(1, 1, 1)),
)
IMAGENETTE = (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)  # its classes among those of ImageNet
SQUEEZENET = ProxySettings(
    network="torchvision/squeezenet1_1",
    weights="weights/squeezenet1_1_imagenet_fp16.pth",
    outputs=IMAGENETTE,
)


def painted(*colours: tuple[int, int, int], side: int = 16) -> np.ndarray:
    return np.stack([np.full((side, side, 3), colour, np.uint8) for colour in colours])


def test_only_the_outputs_that_are_classes_count() -> None:
    pictures = painted((20, 90, 80), (0, 0, 9), (200, 199, 3), (255, 0, 254))
    assert open_proxy(SHADES, COLOURS).name_classes(pictures).tolist() == [1, 2, 0, 0]


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_pictures_in_any_number_are_named_one_by_one(batch: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (7, 20, 20, 3), dtype=np.uint8)
    proxy = open_proxy(SHADES.model_copy(update={"batch": batch}), COLOURS)
    assert proxy.name_classes(pictures).tolist() == pictures.mean((1, 2)).argmax(1).tolist()
    assert proxy.name_classes(pictures[:0]).tolist() == []


def test_the_whole_picture_is_seen_unless_a_resize_is_asked_for() -> None:
    pictures = painted((0, 200, 0), side=32)
    pictures[:, :, :6] = pictures[:, :, -6:] = (
        255,
        0,
        0,
    )  # 12 of 32 columns, of which a crop to half leaves 0
    pictures[:, :, 6:9] = (255, 0, 0)
    pictures[:, :, 9:12] = (255, 0, 0)
    whole = open_proxy(SHADES, COLOURS)
    assert (whole.name_classes(pictures) == 0).all()
    asked = SHADES.preprocess.model_copy(update={"resize": 16})  # type: ignore[union-attr]
    assert preprocess_of(whole.network).resize == 8
    cut = open_proxy(SHADES.model_copy(update={"preprocess": Preprocess(**asked.model_dump())}), COLOURS)
    assert (cut.name_classes(pictures) == 1).all()


def test_a_trained_proxy_names_what_the_network_says_of_the_same_pixels() -> None:
    images = limited(open_images("scenes"), 40, 0)
    network = open_network("prunescope/sprig", "SCENES_V1")
    preprocess = preprocess_of(network)
    pixels = cached(images, preprocess.resize, preprocess.interpolation)
    pictures = centre_crops([pixels[i] for i in range(len(images))], preprocess.crop)
    proxy = open_proxy(ProxySettings(network="prunescope/sprig", weights="SCENES_V1"), images.classes)
    named = proxy.name_classes(pictures)
    said = predict(network, LabelledPixels(pixels, images.labels, np.arange(len(images)))).argmax(1)
    assert named.tolist() == said.tolist()
    assert (named == images.labels).mean() > 0.7


def test_its_identity_follows_from_what_decides_its_answers() -> None:
    identity = open_proxy(SHADES, COLOURS).identity()
    assert identity == open_proxy(SHADES.model_copy(update={"batch": 2}), COLOURS).identity()
    changes = [
        {"outputs": (1, 2, 3)},
        {"network": "explain.shades:heavier"},
        {"preprocess": Preprocess(crop=9)},
    ]
    for change in changes:
        other = open_proxy(SHADES.model_copy(update=change), COLOURS).identity()
        assert other != identity
    heavier = open_proxy(SHADES.model_copy(update=changes[1]), COLOURS).identity()
    assert heavier["weights"] != identity["weights"]
    assert heavier["source"] == identity["source"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": None}, "has 4 outputs, the images 3 classes: say with proxy.outputs"),
        ({"outputs": (1, 2)}, "names 2 outputs, and there are 3 classes.*red, green, blue"),
        ({"outputs": (1, 2, 4)}, "no output 4: proxy.outputs must lie between 0 and 3"),
        ({"outputs": (1, 2, -1)}, "no output -1"),
        ({"outputs": (1, 2, 2)}, "names 2 twice"),
        ({"network": "torchvision/squeezenet1_1"}, "no weights.*give proxy.weights"),
        ({"network": "explain.shades:no"}, "cannot import"),
    ],
)
def test_what_cannot_be_a_proxy_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(PrunescopeError, match=message):
        open_proxy(SHADES.model_copy(update=change), COLOURS)


def test_a_proxy_that_computes_no_numbers_is_refused() -> None:
    proxy = open_proxy(SHADES.model_copy(update={"network": "explain.shades:broken"}), COLOURS)
    with pytest.raises(PrunescopeError, match="not finite"):
        proxy.name_classes(painted((1, 2, 3)))


def test_random_pixels_are_as_many_as_asked_and_belong_to_the_image() -> None:
    names = [f"{i}.png" for i in range(2000)]
    chosen = random_tops(2000, 6, 10, 0.24, names, seed=0)
    assert set(chosen.sum((1, 2))) == {15}  # ceil(14.4)
    # Each position is taken by 25 % of the images: binomial, 4.5 standard deviations.
    assert np.abs(chosen.mean(0) - 0.25).max() < 4.5 * np.sqrt(0.25 * 0.75 / 2000)
    assert np.array_equal(random_tops(2, 6, 10, 0.24, names[5:7], seed=0), chosen[5:7])
    assert not np.array_equal(random_tops(2, 6, 10, 0.24, names[5:7], seed=1), chosen[5:7])
    # As little as chance has it in common with the order in which `top` takes equal values.
    flat = top(np.zeros((2000, 6, 10), np.float32), names, 0.24, 0)
    assert (flat & chosen).sum() / chosen.sum() == pytest.approx(0.25, abs=0.01)


def test_squeezenet_names_photographs_and_not_random_pixels(real_data: Path) -> None:
    images = limited(open_images("folder:imagenette128/val", data=real_data), 50, 0)
    proxy = open_proxy(SQUEEZENET, images.classes, real_data)
    pictures = centre_crops([images.decode(i) for i in range(50)], 128)
    assert (proxy.name_classes(pictures) == images.labels).mean() > 0.75  # .895 of 200
    few = random_tops(50, 128, 128, 0.1, images.names, seed=0)
    shown = np.stack([explanation_map(p, m) for p, m in zip(pictures, few, strict=True)])
    assert (proxy.name_classes(shown) == images.labels).mean() < 0.35  # .10 of 200
