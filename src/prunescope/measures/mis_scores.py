"""The arithmetic of the Machine Interpretability Score: from activations and likeness of images to scores of units."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, isfinite
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.measures.mis_margins import Metric, answers_by, margins, matrix
from prunescope.measures.mis_tasks import choose_images
from prunescope.probe.tie_keys import tie_keys

Ties = Literal["random", "index"]
Dead = Literal["missing", "scored"]

_SLOPE = 16.0
_STILL = 1e-6  # a unit whose activations span no more than this share of the largest of them is not alive
_DIFFICULTIES = ("easy", "hard-99", "hard-95", "hard-85")


def mis_scores(
    activations: ArrayLike,
    embeddings: ArrayLike | None = None,
    similarities: ArrayLike | None = None,
    metric: Metric = "cosine",
    slope: float | None = None,
    tasks: int = 20,
    references: int = 9,
    difficulty: str = "easy",
    ids: Sequence[Any] | None = None,
    seed: int = 0,
    *,
    ties: Ties = "random",
    dead: Dead = "missing",
    alive: ArrayLike | None = None,
) -> pd.DataFrame:
    """Score how well each unit's most and least activating images tell which of two more images activates it.

    A task shows K images that activate the unit most and K that activate it least, and asks which of two queries
    belongs to the first. It is answered by how alike the images are: with s(q, E) the mean similarity of q
    to the images E, Δ(q) = s(q, E⁺) - s(q, E⁻), the margin of a task is Δ(q⁺) - Δ(q⁻). A unit's `mis` is the mean of
    σ(slope · margin) over N tasks, its `hit_rate` the share of margins above 0 (half of those that are 0).

    *Source:* Zimmermann, Klindt & Brendel, Measuring Mechanistic Interpretability at Scale Without Humans, 2024.

    *Differs:* the slope is stated instead of fitted to answers of people; it is a convention, and the hit rate
    needs none. References are cut, in order, into K bins of N, and each task has one of every bin, so that all tasks
    are alike. Equal activations are ordered by the images' identities and the seed, not by place: in images
    sorted by class, place gives content to units that have none. Units that are not alive have no score.

    Args:
        activations: (images, units) real numbers, such as spatial means before the nonlinearity; may be
            memory-mapped. float64 is ordered as float64.
        embeddings: (images, d) of the same images; either these or `similarities`.
        similarities: (images, images), entry [q, e] higher the more alike q and e are (so minus a distance).
        metric: how alike embeddings are: "cosine", "dot", or "euclidean" (minus the distance).
        slope: of the sigmoid, by default 16; scores compare only at equal slope.
        tasks: N, a unit's tasks.
        references: K, a task's images on each side.
        difficulty: "easy", the queries are the next N images inwards of the references; "hard-99" (or any number
            between 50 and 100), the N ranks just inside that percentile, and as far from the other end.
        ids: (images,) identities, different from each other; by default the places. With them, scores do not
            depend on the order of the images.
        seed: draws the order within bins, the same for both sides and all units, and the order of ties.
        ties: order of equal activations: "random", by `tie_keys`; "index", by place, as published.
        dead: units that are not alive are "missing" (NaN), or "scored" like the others, as published.
        alive: (units,) bool, False where a unit is known not to be alive, whatever its activations.

    Returns:
        One row a unit: `unit` (its number), `alive` (its activations span more than 1e-6 of the largest of them,
        and not known to be dead), `mis`, `hit_rate`, and `margin` (the mean, in units of the similarity).

    Raises:
        PrunescopeError: too few images for these tasks, activations or similarities that are not finite, arrays
            that do not fit each other, or a setting that does not exist.

    Example::

        activations                                 # (10000, 512)
        embeddings                                  # (10000, 1792)
        units = mis_scores(activations, embeddings)
        units["mis"]                                # (512,) from 0 to 1, .5 by chance
    """
    _checked_slope(slope)  # before the work
    asked = mis_tasks(
        activations, embeddings, similarities, metric, tasks, references, difficulty, ids, seed,
        ties=ties, dead=dead, alive=alive,
    )  # fmt: skip
    return asked.scores(slope)


@dataclass(frozen=True)
class MisTasks:
    """The tasks of some units, and how clearly the similarity of images answers them.

    Attributes:
        alive: (units,), as in `mis_scores`.
        images: (units, N, K + 1, 2) the images of each task, those that activate the unit most and least; the last
            of the K + 1 are the queries. Of units that are not scored, image 0.
        margins: (units, N) in units of the similarity; NaN of units that are not scored.
    """

    alive: NDArray[np.bool_]
    images: NDArray[np.int64]
    margins: NDArray[np.float64]

    def scores(self, slope: float | None = None) -> pd.DataFrame:
        """Return what `mis_scores` does."""
        steepness = _checked_slope(slope)
        return pd.DataFrame(
            {
                "unit": np.arange(len(self.alive)),
                "alive": self.alive,
                "mis": ((1 + np.tanh(steepness / 2 * self.margins)) / 2).mean(
                    1
                ),  # the sigmoid, without overflow
                "hit_rate": ((1 + np.sign(self.margins)) / 2).mean(1),
                "margin": self.margins.mean(1),
            }
        )


def mis_tasks(
    activations: ArrayLike,
    embeddings: ArrayLike | None = None,
    similarities: ArrayLike | None = None,
    metric: Metric = "cosine",
    tasks: int = 20,
    references: int = 9,
    difficulty: str = "easy",
    ids: Sequence[Any] | None = None,
    seed: int = 0,
    *,
    ties: Ties = "random",
    dead: Dead = "missing",
    alive: ArrayLike | None = None,
) -> MisTasks:
    """Return the tasks that `mis_scores` scores; arguments and errors are its own."""
    _check_choice("ties", ties, get_args(Ties))
    _check_choice("dead", dead, get_args(Dead))
    values = matrix("activations", activations, "(images, units)")
    images, units = values.shape
    ranks = _task_ranks(images, tasks, references, difficulty, seed)
    names = _checked_ids(range(images) if ids is None else ids, images)
    answers = answers_by(images, embeddings, similarities, metric)
    living = _moving(values) & _known_alive(alive, units)
    scored = living if dead == "missing" else np.ones(units, dtype=bool)
    order = np.arange(images) if ties == "index" else np.argsort(tie_keys(names, seed), kind="stable")
    chosen = choose_images(values, scored, order, ranks)  # (units, N, K + 1, 2)
    found = np.full((units, tasks), np.nan)
    found[scored] = margins(chosen[scored], answers)
    return MisTasks(living, chosen, found)


def chance_scores(
    images: int,
    embeddings: ArrayLike | None = None,
    similarities: ArrayLike | None = None,
    metric: Metric = "cosine",
    slope: float | None = None,
    tasks: int = 20,
    references: int = 9,
    difficulty: str = "easy",
    seed: int = 0,
    *,
    units: int = 1000,
) -> pd.DataFrame:
    """Return the scores of `units` units that order the images at random, for the band of chance.

    Arguments, columns and errors are those of `mis_scores`.
    """
    rng = np.random.default_rng([seed, 1])  # not the stream that `mis_scores` shuffles by
    noise = rng.random((images, units), dtype=np.float32)
    return mis_scores(
        noise, embeddings, similarities, metric, slope, tasks, references, difficulty, seed=seed
    )


def check_size(images: int, tasks: int, references: int, difficulty: str) -> None:
    """Check that so many images suffice for these tasks.

    Raises:
        PrunescopeError: they do not; says how many are needed, and how many tasks would fit.
    """
    _first_query(images, tasks, references, difficulty)


def _task_ranks(images: int, tasks: int, references: int, difficulty: str, seed: int) -> NDArray[np.int64]:
    """Return ranks from either end, (K + 1, N), each row shuffled: column j is task j, the last row the queries."""
    _check_count("tasks", tasks, 1)
    _check_count("references", references, 1)
    _check_count("seed", seed, 0)
    first = _first_query(images, tasks, references, difficulty)
    bins = np.arange(references * tasks).reshape(references, tasks)
    return np.random.default_rng(seed).permuted(np.vstack([bins, first + np.arange(tasks)]), axis=1)


def _first_query(images: int, tasks: int, references: int, difficulty: str) -> int:
    """Return the rank from either end, counted from 0, at which the queries begin."""
    share = _share_outside(difficulty)
    if share is None:
        first, needed = tasks * references, 2 * tasks * (references + 1)
        fitting = images // (2 * (references + 1))
    else:
        first = images * share.numerator // share.denominator
        needed = max(ceil(tasks * references / share), ceil(2 * tasks / (1 - 2 * share)))
        fitting = min(first // references, images // 2 - first)
    if tasks > fitting:
        raise PrunescopeError(
            f"{images} images are too few for {tasks} {difficulty} tasks with {references} references a side, "
            f"which need {needed}: give more images, or ask for fewer tasks ({max(fitting, 0)} would fit) or "
            "references"
        )
    return first


def _share_outside(difficulty: str) -> Fraction | None:
    """Return which share of the images lies outside of the queries on each side; None if references decide."""
    if difficulty == "easy":
        return None
    percentile = re.fullmatch(r"hard-(\d+(?:\.\d+)?)", str(difficulty))
    if percentile is None or not 50 < Fraction(percentile[1]) < 100:
        raise PrunescopeError(
            f"no difficulty {difficulty!r}{did_you_mean(str(difficulty), _DIFFICULTIES)}; there is 'easy', and "
            "'hard-99' or any other percentile between 50 and 100"
        )
    return 1 - Fraction(percentile[1]) / 100


def _moving(activations: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which units differ between images, (units,)."""
    low, high = (ends.astype(np.float64) for ends in (activations.min(0), activations.max(0)))
    bad = np.flatnonzero(~(np.isfinite(low) & np.isfinite(high)))
    if len(bad):
        raise PrunescopeError(
            f"the activations of unit {bad[0]} hold NaN or infinite values ({len(bad)} of {len(low)} units do): "
            "is the network damaged?"
        )
    moving: NDArray[np.bool_] = high - low > _STILL * np.maximum(np.abs(low), np.abs(high))
    return moving


def _checked_ids(ids: Iterable[Any], images: int) -> list[str]:
    names = [str(name) for name in ids]
    if len(names) != images:
        raise PrunescopeError(f"ids of other images than those given: {len(names)} ids for {images} images")
    if len(set(names)) < images:
        name, times = Counter(names).most_common(1)[0]
        raise PrunescopeError(
            f"ids must differ, and {name!r} is there {times} times: give each image its own"
        )
    return names


def _known_alive(alive: ArrayLike | None, units: int) -> NDArray[np.bool_]:
    known = np.ones(units, dtype=bool) if alive is None else np.asarray(alive)
    if known.shape != (units,) or known.dtype != bool:
        raise PrunescopeError(
            f"alive must be {units} truth values, one a unit, and is {known.dtype} of shape {known.shape}"
        )
    return known


def _checked_slope(slope: float | None) -> float:
    if slope is not None and not (isfinite(slope) and slope > 0):
        raise PrunescopeError(
            f"the slope must be a positive number, and is {slope}; an infinite one gives the hit rate"
        )
    return _SLOPE if slope is None else slope


def _check_count(name: str, count: int, least: int) -> None:
    if not isinstance(count, int | np.integer) or count < least:
        raise PrunescopeError(f"{name} must be a whole number of at least {least}, and is {count!r}")


def _check_choice(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise PrunescopeError(
            f"no {name} {given!r}{did_you_mean(str(given), known)}; known: {', '.join(known)}"
        )
