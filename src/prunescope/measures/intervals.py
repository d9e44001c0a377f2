"""95 % intervals of a mean over images, by the bootstrap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
_SEED = 0
_QUANTILES = (0.025, 0.975)
_BLOCK = 4_000_000  # numbers drawn at once


def bootstrap_share(hits: int, n: int) -> tuple[float, float]:
    """Return the percentile bootstrap interval of hits / n over n images.

    Drawing n images with replacement and counting hits is one binomial draw, so this is exact and cheap.
    """
    draws = np.random.default_rng(_SEED).binomial(n, hits / n, DRAWS) / n
    low, high = np.quantile(draws, _QUANTILES)
    return float(low), float(high)


def bootstrap_mean(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean of `values`, (images,)."""
    generator, n = np.random.default_rng(_SEED), len(values)
    block = max(_BLOCK // n, 1)
    means = [
        values[generator.integers(n, size=(min(block, DRAWS - done), n))].mean(1)
        for done in range(0, DRAWS, block)
    ]
    low, high = np.quantile(np.concatenate(means), _QUANTILES)
    return float(low), float(high)
