"""How clearly the tasks of units are answered, by how alike their images are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn.functional import embedding_bag

from prunescope.errors import PrunescopeError, did_you_mean

Metric = Literal["cosine", "dot", "euclidean"]
Answer = Callable[[NDArray[np.int64]], NDArray[np.float64]]  # images (tasks, K + 1, 2) -> margins (tasks,)

_TASKS = 1024  # answered at once
_COLUMNS = 128  # of the embeddings summed at once: so many of all images stay in the processor's caches


def margins(chosen: NDArray[np.int64], answers: Sequence[Answer]) -> NDArray[np.float64]:
    """Return the margin of each task, (units, N), from its images, (units, N, K + 1, 2); the last are the queries.

    Raises:
        PrunescopeError: a margin is not finite.
    """
    tasks = chosen.reshape(-1, *chosen.shape[2:])
    found = np.zeros(len(tasks))
    for answer in answers:
        for first in range(0, len(tasks), _TASKS):
            found[first : first + _TASKS] += answer(tasks[first : first + _TASKS])
    if not np.isfinite(found).all():
        raise PrunescopeError(
            "similarities of some images are NaN or infinite: mend them, or scale the embeddings"
        )
    return found.reshape(chosen.shape[:2])


def answers_by(
    images: int, embeddings: ArrayLike | None, similarities: ArrayLike | None, metric: Metric
) -> list[Answer]:
    """Return functions from tasks to parts of their margins, for either embeddings or similarities of these images.

    Raises:
        PrunescopeError: both or neither are given, they do not fit the images, or cannot be compared.
    """
    if similarities is not None and embeddings is None:
        return [_by_lookup(_checked_similarities(similarities, images))]
    if embeddings is None or similarities is not None:
        given = "neither" if embeddings is None else "both"
        raise PrunescopeError(f"give either embeddings or similarities of the images: {given} are given")
    if metric not in get_args(Metric):
        known = get_args(Metric)
        raise PrunescopeError(
            f"no metric {metric!r}{did_you_mean(str(metric), known)}; known: {', '.join(known)}"
        )
    vectors = _checked_embeddings(embeddings, images)
    if metric == "euclidean":
        return [_by_distance(vectors)]
    if metric == "cosine":
        _normalise(vectors)
    return [_by_product(columns.contiguous()) for columns in vectors.split(_COLUMNS, dim=1)]


def _by_product(vectors: torch.Tensor) -> Answer:
    """Answer by scalar products: (q⁺ - q⁻) · (mean of E⁺ - mean of E⁻) needs no similarities of pairs."""

    def answer(tasks: NDArray[np.int64]) -> NDArray[np.float64]:
        places = torch.from_numpy(tasks)
        queries, references = _difference(vectors, places[:, -1:]), _difference(vectors, places[:, :-1])
        products = torch.linalg.vecdot(queries, references).double().numpy()
        return np.asarray(products / (tasks.shape[1] - 1))

    return answer


def _difference(vectors: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return for places (tasks, k, 2) the vectors on the first side minus those on the second, summed, (tasks, d).

    The sides alternate, so that equal vectors cancel exactly and a tie stays a tie.
    """
    signs = torch.tensor([1, -1], dtype=vectors.dtype).expand(places.shape).flatten(1)
    return embedding_bag(places.flatten(1), vectors, mode="sum", per_sample_weights=signs)


def _by_distance(vectors: torch.Tensor) -> Answer:
    """Answer by minus the Euclidean distance."""

    def answer(tasks: NDArray[np.int64]) -> NDArray[np.float64]:
        places = torch.from_numpy(tasks)
        queries, references = vectors[places[:, -1]], vectors[places[:, :-1].flatten(1)]
        # distances by way of products are quicker, and wrong by far for vectors that are nearly equal
        distances = torch.cdist(queries, references, compute_mode="donot_use_mm_for_euclid_dist")
        return _from_pairs(-distances.numpy().reshape(len(tasks), 2, -1, 2))

    return answer


def _by_lookup(similarities: NDArray[Any]) -> Answer:
    """Answer by similarities that are known for every pair."""

    def answer(tasks: NDArray[np.int64]) -> NDArray[np.float64]:
        queries, references = tasks[:, -1], tasks[:, :-1]
        return _from_pairs(similarities[queries[:, :, None, None], references[:, None]])

    return answer


def _from_pairs(pairs: NDArray[Any]) -> NDArray[np.float64]:
    """Return margins, (tasks,), from similarities, (tasks, side of the query, K, side of the reference).

    Numbers of float32 add up exactly in float64 (divided last), so that a tie stays a tie in whatever order they come.
    """
    sums = pairs.astype(np.float32).sum(2, dtype=np.float64)
    return np.asarray((sums[:, 0, 0] - sums[:, 0, 1] - sums[:, 1, 0] + sums[:, 1, 1]) / pairs.shape[2])


def _normalise(vectors: torch.Tensor) -> None:
    """Scale each vector to length one, in place."""
    lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True, dtype=torch.float64)
    zero = torch.nonzero(lengths[:, 0] == 0)
    if len(zero):
        raise PrunescopeError(
            f"the embedding of image {int(zero[0])} is all zeros ({len(zero)} of {len(vectors)} are), and has no "
            "cosine with others: leave such images out, or use metric='euclidean'"
        )
    vectors.div_(lengths.to(vectors.dtype))


def matrix(name: str, given: ArrayLike, shape: str) -> NDArray[Any]:
    """Return what the user gave as an array of real numbers with two dimensions."""
    array = np.asarray(given)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise PrunescopeError(
            f"{name} must be real numbers of shape {shape}, and are {array.dtype} of shape {array.shape}"
        )
    return array


def _checked_embeddings(given: ArrayLike, images: int) -> torch.Tensor:
    """Return a copy in float32, or in float64 where float32 cannot hold the numbers."""
    array = matrix("embeddings", given, "(images, d)")
    if len(array) != images:
        raise PrunescopeError(
            f"embeddings of other images than those given: {len(array)} embeddings, and activations of {images} images"
        )
    copy = np.array(array, dtype=np.float32 if np.can_cast(array.dtype, np.float32) else np.float64)
    bad = np.flatnonzero(~np.isfinite(copy).all(1))
    if len(bad):
        raise PrunescopeError(
            f"the embedding of image {bad[0]} holds NaN or infinite values ({len(bad)} of {images} do): make it anew"
        )
    return torch.from_numpy(copy)


def _checked_similarities(given: ArrayLike, images: int) -> NDArray[Any]:
    array = matrix("similarities", given, "(images, images)")
    if array.shape != (images, images):
        raise PrunescopeError(
            f"similarities of other images than those given: their shape is {array.shape}, and activations are of "
            f"{images} images"
        )
    return array
