"""The same curves by Quantus, where it is installed (it is no dependency of any kind: `pip install quantus`)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from explain.followed import follow, normalised, sure, untied
from prunescope.explain.baselines import Baseline, baseline_of
from training.small import images as noise

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    quantus = pytest.importorskip("quantus")

pytestmark = pytest.mark.filterwarnings("ignore")
SIDE, STEPS = (
    24,
    12,
)  # Quantus counts channels, and wants the pixels to be a multiple of what it takes in a step


def flipped(
    x: NDArray[np.float32], behind: NDArray[np.float32], maps: NDArray[np.float32], targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return Quantus' curves as `x` becomes `behind`, (images, STEPS); the first value of ours is not among them."""
    count = len(x)

    def replace(arr: NDArray[np.float32], indices: NDArray[np.int64], **_: Any) -> NDArray[np.float32]:
        changed, rows = arr.copy(), np.arange(count)[:, None]
        changed[rows, indices] = behind.reshape(count, -1)[rows, indices]
        return changed

    flipping = quantus.PixelFlipping(
        features_in_step=3 * SIDE * SIDE // STEPS, perturb_func=replace, disable_warnings=True
    )
    return np.array(flipping(sure(), x, targets, maps[:, None], softmax=True, device="cpu"))


@pytest.mark.parametrize("baseline", ["mean", "blur", "black"])
def test_both_curves_are_pixel_flipping_of_quantus(baseline: Baseline) -> None:
    network, images, maps = sure(), noise(6, size=SIDE), untied(6, side=SIDE)
    network.preprocess = network.preprocess.model_copy(update={"crop": SIDE})
    targets = np.array([0, 1, 2, 1, 2, 0])
    whole = normalised(network, images)
    bare = baseline_of(whole, baseline, network.preprocess).numpy()

    found = follow(network, images, maps, targets=targets, steps=STEPS, baseline=baseline)

    np.testing.assert_allclose(found.deletion[:, 1:], flipped(whole.numpy(), bare, maps, targets), atol=1e-5)
    np.testing.assert_allclose(found.insertion[:, 1:], flipped(bare, whole.numpy(), maps, targets), atol=1e-5)


def test_deletion_of_patches_is_selectivity_of_quantus() -> None:
    network, images = sure(), noise(6)
    coarse = np.random.default_rng(0).permuted(np.tile(np.arange(1, 17.0), (6, 1)), axis=1).reshape(6, 4, 4)
    maps = coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.float32)
    targets = images.targets.numpy()
    metric = quantus.Selectivity(
        patch_size=4, perturb_baseline=-2.0, disable_warnings=True
    )  # black is -2 here
    assert torch.all(baseline_of(normalised(network, images), "black", network.preprocess) == -2)

    theirs = metric(
        network, normalised(network, images).numpy(), targets, maps[:, None], softmax=True, device="cpu"
    )
    found = follow(network, images, maps, steps=16, baseline="black")

    np.testing.assert_allclose(found.deletion[:, 1:], np.array(theirs), atol=1e-5)
