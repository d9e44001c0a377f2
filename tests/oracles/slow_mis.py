"""The Machine Interpretability Score, task by task and pair by pair, in plain Python numbers (float64)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import numpy as np

Vectors = Sequence[Sequence[float]]
Likeness = Callable[[int, int], float]


def cosine(vectors: Vectors) -> Likeness:
    def length(i: int) -> float:
        return math.sqrt(sum(x * x for x in vectors[i]))

    return lambda i, j: dot(vectors)(i, j) / (length(i) * length(j))


def dot(vectors: Vectors) -> Likeness:
    return lambda i, j: sum(x * y for x, y in zip(vectors[i], vectors[j], strict=True))


def euclidean(vectors: Vectors) -> Likeness:
    return lambda i, j: -math.dist(vectors[i], vectors[j])


def key(name: object, seed: int) -> int:
    """Return the key that decides ties, as documented: BLAKE2b, 64 bits, little end first, of seed and identity."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest(), "little")


def shuffles(tasks: int, references: int, seed: int) -> list[list[int]]:
    """Return the order within each bin of references, and last that of the queries."""
    unshuffled = np.tile(np.arange(tasks), (references + 1, 1))
    shuffled: list[list[int]] = np.random.default_rng(seed).permuted(unshuffled, axis=1).tolist()
    return shuffled


def is_alive(activations: Sequence[float]) -> bool:
    span = max(activations) - min(activations)
    return span > 1e-6 * max(abs(a) for a in activations)


def margins(
    activations: Sequence[float],
    likeness: Likeness,
    tasks: int,
    references: int,
    percentile: int | None,
    keys: Sequence[int],
    seed: int,
) -> list[float]:
    """Return the margin of each task of one unit; `percentile` is None for easy tasks."""
    n = len(activations)
    ascending = sorted(range(n), key=lambda i: (activations[i], keys[i]))
    start = references * tasks if percentile is None else n * (100 - percentile) // 100
    assert start >= references * tasks
    assert 2 * (start + tasks) <= n
    shuffled = shuffles(tasks, references, seed)

    def task(side: list[int], j: int) -> tuple[int, list[int]]:
        queries = side[start : start + tasks]
        bins = [side[k * tasks : (k + 1) * tasks] for k in range(references)]
        return queries[shuffled[-1][j]], [bins[k][shuffled[k][j]] for k in range(references)]

    def alike(query: int, examples: list[int]) -> float:
        return sum(likeness(query, example) for example in examples) / len(examples)

    found = []
    for j in range(tasks):
        query_high, high = task(ascending[::-1], j)
        query_low, low = task(ascending, j)
        delta_high = alike(query_high, high) - alike(query_high, low)
        delta_low = alike(query_low, high) - alike(query_low, low)
        found.append(delta_high - delta_low)
    return found


def scores(found: Sequence[float], slope: float) -> tuple[float, float, float]:
    """Return MIS, hit rate and mean margin of one unit, from the margins of its tasks."""
    hits = [1.0 if margin > 0 else 0.5 if margin == 0 else 0.0 for margin in found]
    sigmoids = [1 / (1 + math.exp(-slope * margin)) for margin in found]
    return sum(sigmoids) / len(found), sum(hits) / len(hits), sum(found) / len(found)
