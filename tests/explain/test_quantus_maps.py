"""The same scores by Quantus, where it is installed (it is no dependency of any kind: `pip install quantus`)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from explain.drawn_maps import grad_cams, signed
from explain.test_localisation import objects
from prunescope.explain.concentration import entropy, gini
from prunescope.explain.localisation import inside, pointing
from prunescope.explain.maps import Maps
from training.small import tiny

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    quantus = pytest.importorskip("quantus")

pytestmark = pytest.mark.filterwarnings("ignore")
MAPS = [grad_cams(9, 16), np.abs(signed(9, 16, 16))]


def scored(metric: type[Any], maps: Maps, **given: Any) -> NDArray[np.float64]:
    """Return what Quantus says of maps that it does not change first; it insists on a network and images."""
    images, labels = np.zeros((len(maps), 3, *maps.shape[1:]), np.float32), np.zeros(len(maps), np.int64)
    score = metric(normalise=False, disable_warnings=True, **({} if given else {"abs": True}))
    return np.array(score(tiny(), images, labels, maps[:, None], device="cpu", **given), np.float64)


@pytest.mark.parametrize("maps", MAPS)
def test_concentration_is_sparseness_and_complexity_of_quantus(maps: Maps) -> None:
    np.testing.assert_allclose(gini(maps), scored(quantus.Sparseness, maps), atol=1e-5)
    nats = entropy(maps) * np.log(maps[0].size)
    np.testing.assert_allclose(nats, scored(quantus.Complexity, maps), atol=1e-5)


@pytest.mark.parametrize("maps", MAPS)
def test_localisation_is_that_of_quantus(maps: Maps) -> None:
    untied = maps * (1 + np.random.default_rng(0).random(maps.shape, np.float32) / 1000)
    masks = objects(*maps.shape)
    given = {"s_batch": masks[:, None]}
    np.testing.assert_array_equal(pointing(untied, masks), scored(quantus.PointingGame, untied, **given))
    mass = scored(quantus.RelevanceMassAccuracy, untied, **given)
    np.testing.assert_allclose(inside(untied, masks), mass, atol=1e-5)
