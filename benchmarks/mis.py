"""MIS of 8 000 units by 10 000 images, 1 792 numbers an image, beside a loop over units and pairs.

The loop is what the definition says, with numpy: order the images of a unit, and add up the cosine of every query
with every reference. A better loop takes products, of embeddings that were scaled to length one before it began.
Both are timed on a few units, and their time multiplied to as many as ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from table import Row
from timing import interleaved

from prunescope.measures.mis_scores import mis_scores
from prunescope.measures.runtimes import computing_with

IMAGES, UNITS, DIMENSIONS = 10_000, 8_000, 1792
PEER_UNITS = 80
TASKS, REFERENCES, SLOPE = 20, 9, 16
MOST = 3_000  # ms, wall clock, on two threads
MOST_TIME = 1 / 15  # of the loop's, likewise

Floats = NDArray[np.float32]
Likeness = Callable[[Floats, Floats], float]


def cosine(one: Floats, other: Floats) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def product(one: Floats, other: Floats) -> float:
    return float(one @ other)


def loop(activations: Floats, embeddings: Floats, likeness: Likeness) -> list[float]:
    """Return the MIS of each unit."""
    shuffled = np.random.default_rng(0).permuted(np.tile(np.arange(TASKS), (REFERENCES + 1, 1)), axis=1)
    shuffled += TASKS * np.arange(REFERENCES + 1)[:, None]
    found = []
    for unit in range(activations.shape[1]):
        order = np.argsort(activations[:, unit])
        high, low = embeddings[order[::-1][shuffled.T]], embeddings[order[shuffled.T]]  # (N, K + 1, d)
        margins = [margin(*sides, likeness) for sides in zip(high, low, strict=True)]
        found.append(float((1 / (1 + np.exp(-SLOPE * np.array(margins)))).mean()))
    return found


def margin(high: Floats, low: Floats, likeness: Likeness) -> float:
    """Return the margin of one task; the last image of each side, (K + 1, d), is the query."""
    total = 0.0
    for more, less in zip(high[:-1], low[:-1], strict=True):
        total += likeness(high[-1], more) - likeness(high[-1], less)
        total -= likeness(low[-1], more) - likeness(low[-1], less)
    return total / (len(high) - 1)


def rows() -> list[Row]:
    rng = np.random.default_rng(0)
    activations = rng.standard_normal((IMAGES, UNITS), dtype=np.float32)
    embeddings = rng.standard_normal((IMAGES, DIMENSIONS), dtype=np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    few = (
        activations[:, :PEER_UNITS].argsort(axis=0).astype(np.float32)
    )  # no ties, which the loop breaks anyhow
    agreed = mis_scores(few, embeddings)["mis"].to_numpy()
    np.testing.assert_allclose(agreed, loop(few, embeddings, cosine), atol=1e-5)
    variants: dict[str, Callable[[], object]] = {
        "ours": lambda: mis_scores(activations, embeddings),
        "cosines": lambda: loop(few, embeddings, cosine),
        "products": lambda: loop(few, embeddings, product),
    }
    with computing_with(1):
        times = interleaved(variants, repeats=5)
        matrix = of_similarities(activations, embeddings)
    count = min(os.cpu_count() or 1, 2)
    with computing_with(count):
        walls = interleaved({name: variants[name] for name in ("ours", "cosines")}, repeats=5)
    wall, loop_wall = walls["ours"].wall, walls["cosines"].wall * UNITS / PEER_UNITS
    what, ours = f"MIS of {UNITS} units", times["ours"].cpu
    by_cosine, by_product = (times[peer].cpu * UNITS / PEER_UNITS for peer in ("cosines", "products"))
    scaled = f"({PEER_UNITS} units × {UNITS // PEER_UNITS})"
    return [
        Row(f"{what}, wall clock, {count} threads", wall, "ms", most=MOST),
        Row(
            f"{what}, wall clock, {count} threads",
            wall,
            "ms",
            f"loop over units and pairs, a cosine each, {loop_wall / 1e3:.0f} s {scaled}",
            wall / loop_wall,
            most_ratio=MOST_TIME,
        ),
        Row(what, ours, "ms", f"the same loop, {by_cosine / 1e3:.0f} s {scaled}", ours / by_cosine),
        Row(
            what,
            ours,
            "ms",
            f"the loop with products of vectors of length one, {by_product / 1e3:.0f} s {scaled}",
            ours / by_product,
        ),
        matrix,
    ]


def of_similarities(activations: Floats, embeddings: Floats) -> Row:
    similarities = embeddings @ embeddings.T
    times = interleaved({"ours": lambda: mis_scores(activations, similarities=similarities)}, repeats=5)
    return Row(f"MIS of {UNITS} units, from similarities of all pairs", times["ours"].cpu, "ms")
