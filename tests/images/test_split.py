from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prunescope.errors import PrunescopeError
from prunescope.images.split import split, stratified_limit

LABELS = arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 6))


@given(labels=LABELS, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 100))
def test_split_keeps_every_class_in_both_parts(labels: np.ndarray, fraction: float, seed: int) -> None:
    train, validate = split(labels, fraction, seed)

    assert sorted([*train, *validate]) == list(range(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validate) > 0).all()
    for size, held_out in zip(
        np.bincount(labels, minlength=7), np.bincount(labels[validate], minlength=7), strict=True
    ):
        assert held_out == (min(max(round(size * fraction), 1), size - 1) if size > 1 else 0)


def test_split_depends_on_the_seed_alone() -> None:
    labels = np.repeat(np.arange(5), 40)
    np.random.seed(1)  # noqa: NPY002 the state that must not matter
    first = split(labels, 0.1, seed=3)
    np.random.seed(2)  # noqa: NPY002
    again = split(labels, 0.1, seed=3)
    other = split(labels, 0.1, seed=4)

    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_split_draws_every_image_equally_often() -> None:
    labels = np.array([0] * 10 + [1] * 30)
    times = sum(np.bincount(split(labels, 0.2, seed)[1], minlength=40) for seed in range(1000))
    assert abs(times - 200).max() < 5 * np.sqrt(1000 * 0.2 * 0.8)


@given(labels=LABELS, count=st.integers(1, 70), seed=st.integers(0, 100))
def test_limit_is_as_even_as_the_classes_allow(labels: np.ndarray, count: int, seed: int) -> None:
    chosen = stratified_limit(labels, count, seed)

    assert len(chosen) == min(count, len(labels))
    assert (np.diff(chosen) > 0).all()
    sizes, taken = np.bincount(labels), np.bincount(labels[chosen], minlength=labels.max() + 1)
    assert (taken <= sizes).all()
    unfinished = taken[taken < sizes]
    assert len(unfinished) == 0 or taken.max() <= unfinished.min() + 1


@given(labels=LABELS, count=st.integers(1, 60), seed=st.integers(0, 100))
def test_a_larger_limit_adds_to_a_smaller(labels: np.ndarray, count: int, seed: int) -> None:
    assert set(stratified_limit(labels, count, seed)) <= set(stratified_limit(labels, count + 1, seed))


def test_limit_depends_on_the_seed() -> None:
    labels = np.repeat(np.arange(4), 50)
    first, again, other = (stratified_limit(labels, 20, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_impossible_wishes_are_refused() -> None:
    labels = np.zeros(4, dtype=np.int64)
    for fraction in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(PrunescopeError, match=f"between 0 and 1, and is {fraction}"):
            split(labels, fraction, 0)
    with pytest.raises(PrunescopeError, match="at least 1, and is 0"):
        stratified_limit(labels, 0, 0)
