from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from explain.explained_toys import SIDE, Averaged, build
from prunescope import open_images, open_network
from prunescope.errors import PrunescopeError
from prunescope.explain.attribution import Attributor
from prunescope.explain.explain import attribute, explain_pixels
from prunescope.explain.maps import upsample
from prunescope.images.cache import Pixels
from prunescope.networks.network import preprocess_of
from prunescope.training.evaluation import LabelledPixels, predict

CHOSEN = np.array([7, 2, 3, 9, 4])


def drawn_images(indices: NDArray[np.int64] = CHOSEN) -> LabelledPixels:
    flat = np.random.default_rng(0).integers(0, 256, 10 * SIDE * SIDE * 3).astype(np.uint8)
    index = np.array([(SIDE, SIDE, i * SIDE * SIDE * 3) for i in range(10)])
    return LabelledPixels(Pixels(flat, index), np.arange(10) % 4, indices)


def inputs_of(network: nn.Module, images: LabelledPixels) -> torch.Tensor:
    stacked = torch.from_numpy(np.stack([images.pixels[i] for i in images.indices])).permute(0, 3, 1, 2)
    return preprocess_of(network).normalise(stacked)


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_one_pass_says_what_single_images_say(batch: int) -> None:
    network, images = build(Averaged), drawn_images()
    targets = images.labels[CHOSEN]
    done: list[tuple[int, int]] = []
    found = explain_pixels(network, images, targets, batch=batch, progress=lambda *step: done.append(step))
    inputs, attributor = inputs_of(network, images), Attributor(network, "grad-cam")
    for i, target in enumerate(targets):
        expected = attributor.maps(inputs[i : i + 1], torch.tensor([target]))[0]
        np.testing.assert_allclose(found.maps[i], expected, rtol=1e-4, atol=1e-6)
    logits = predict(network, images).double()
    np.testing.assert_array_equal(found.predictions, logits.argmax(1))
    np.testing.assert_array_equal(found.targets, targets)
    probabilities = logits.softmax(1).numpy()[np.arange(5), targets]
    np.testing.assert_allclose(found.confidence, probabilities, rtol=1e-5)
    assert (found.maps.dtype, found.targets.dtype, found.confidence.dtype) == (
        np.float32,
        np.int64,
        np.float64,
    )
    assert found.layer == "pool"
    assert done[-1] == (5, 5)
    assert len(done) == -(-5 // batch)


@pytest.mark.parametrize("method", ["grad-cam", "occlusion"])
def test_predictions_are_explained_on_request(method: str) -> None:
    network, images = build(Averaged), drawn_images()
    found = explain_pixels(network, images, "prediction", method)
    again = explain_pixels(network, images, found.predictions, method)
    np.testing.assert_array_equal(found.targets, found.predictions)
    np.testing.assert_array_equal(found.maps, again.maps)


def test_maps_that_are_not_finite_are_named() -> None:
    network = build(Averaged)
    with torch.no_grad():
        network.conv.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(
        PrunescopeError, match=r"for 5 of 5 images \(a, b, c and 2 more\): the network's weights are dam"
    ):
        explain_pixels(network, drawn_images(), "prediction", "gradient", names="abcde")


def test_logits_that_are_not_finite_are_refused_where_maps_are_finite() -> None:
    network = build(Averaged)
    with torch.no_grad():
        network.fc.bias[0] = torch.nan
    with pytest.raises(PrunescopeError, match="logits hold NaN or infinite values"):
        explain_pixels(network, drawn_images(), np.ones(5, np.int64), "grad-cam")


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (np.array([0, 1, 2]), "3 targets for 5 images"),
        (np.array([0, 1, 2, 3, 4]), r"class 4 .* puts out 4 classes"),
    ],
)
def test_targets_that_do_not_fit_are_refused(targets: NDArray[np.int64], says: str) -> None:
    with pytest.raises(PrunescopeError, match=says):
        explain_pixels(build(Averaged), drawn_images(), targets)


def test_a_target_of_another_name_is_refused() -> None:
    with pytest.raises(PrunescopeError, match="target is 'dense', expected 'prediction' or 'label'"):
        attribute(build(Averaged), "scenes", target="dense")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "layer"), [("grad-cam", "inception5a"), ("guided-grad-cam", "inception5a")]
)
def test_the_embedded_network_looks_at_its_objects(method: str, layer: str) -> None:
    network, images = open_network("prunescope/sprig", "SCENES_V1"), open_images("scenes")
    found = attribute(network, images, method, target="label", limit=24)
    assert found.layer == layer
    assert found.maps.shape[0] == 24
    assert (found.predictions == found.targets).mean() > 0.7
    larger = upsample(found.maps, 64).clip(0)
    centre = larger[:, 16:48, 16:48].sum() / larger.sum()
    assert centre > 0.25  # of a quarter of the positions: subjects stand nearer to the middle
