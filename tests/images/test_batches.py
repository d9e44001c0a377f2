from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError
from prunescope.images.augment import Augment
from prunescope.images.batches import Batch, Batches
from prunescope.images.cache import Pixels

COUNT = 23
STRONG = Augment(brightness=0.4, contrast=0.4, saturation=0.4, erase=0.5)


def numbered() -> Pixels:
    """Images of 5 x 6 pixels, each in one colour that tells its number."""
    flat = np.repeat(np.arange(COUNT, dtype=np.uint8), 5 * 6 * 3)
    return Pixels(flat, np.array([(5, 6, i * 90) for i in range(COUNT)]))


def noise() -> Pixels:
    pixels = numbered()
    return Pixels(np.random.default_rng(0).integers(0, 256, len(pixels.flat), dtype=np.uint8), pixels.index)


def make(pixels: Pixels | None = None, **changes: object) -> Batches:
    usual: dict[str, object] = {"indices": np.arange(COUNT), "crop": 4, "size": 4}
    labels = np.arange(COUNT) * 10
    return Batches(pixels or noise(), labels, **{**usual, **changes})  # type: ignore[arg-type]


def same(one: Batches, other: Batches) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a.images, b.images) and torch.equal(a.indices, b.indices) for a, b in pairs)


def order(batches: Batches) -> list[int]:
    return torch.cat([batch.indices for batch in batches]).tolist()


def makers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("prunescope-batches")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert makers() == []


def test_a_batch_holds_images_labels_and_indices() -> None:
    batches = list(make(numbered(), indices=np.array([7, 3, 20, 1, 9])))

    assert [len(batch.labels) for batch in batches] == [4, 1]
    first = batches[0]
    assert first.images.shape == (4, 3, 4, 4)
    assert first.images.dtype == torch.uint8
    assert first.images.is_contiguous(memory_format=torch.channels_last)
    assert first.indices.tolist() == [7, 3, 20, 1]
    assert first.labels.tolist() == [70, 30, 200, 10]
    assert first.labels.dtype == first.indices.dtype == torch.int64
    assert first.images[:, 0, 0, 0].tolist() == [7, 3, 20, 1]


@settings(deadline=None, max_examples=30)
@given(
    size=st.integers(1, 30),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    count=st.integers(0, COUNT),
    ahead=st.integers(1, 4),
)
def test_every_image_comes_once(size: int, shuffle: bool, drop_last: bool, count: int, ahead: int) -> None:
    if drop_last and count < size:
        return
    indices = np.random.default_rng(1).permutation(COUNT)[:count]
    batches = make(indices=indices, size=size, shuffle=shuffle, drop_last=drop_last, ahead=ahead)
    seen = [batch.indices.tolist() for batch in batches]

    assert len(seen) == len(batches)
    flat = [index for batch in seen for index in batch]
    assert len(flat) == (count - count % size if drop_last else count)
    assert len(set(flat)) == len(flat)
    assert set(flat) <= set(indices.tolist())
    assert shuffle or flat == indices.tolist()[: len(flat)]


@settings(deadline=None, max_examples=20)
@given(ahead=st.integers(1, 6), seed=st.integers(0, 5), epoch=st.integers(0, 5))
def test_batches_do_not_depend_on_how_many_are_made_ahead(ahead: int, seed: int, epoch: int) -> None:
    chance = {"augment": STRONG, "shuffle": True, "seed": seed, "epoch": epoch}
    assert same(make(ahead=1, **chance), make(ahead=ahead, **chance))


def test_seed_and_epoch_decide_order_and_pixels() -> None:
    def run(seed: int, epoch: int) -> Batches:
        return make(augment=STRONG, shuffle=True, seed=seed, epoch=epoch)

    np.random.seed(1)  # noqa: NPY002 the global state must not matter
    torch.manual_seed(1)
    first = list(run(0, 0))
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(2)
    state = torch.get_rng_state()

    assert all(torch.equal(a.images, b.images) for a, b in zip(first, run(0, 0), strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert len({tuple(order(run(*which))) for which in ((0, 0), (0, 1), (1, 0), (1, 1))}) == 4


def test_augmentation_differs_between_epochs_where_the_order_does_not() -> None:
    assert not same(make(augment=Augment(), epoch=0), make(augment=Augment(), epoch=1))
    assert same(make(epoch=0), make(epoch=1))


def test_two_batches_are_made_ahead() -> None:
    class Watched(Pixels):
        def __getitem__(self, image: int) -> NDArray[np.uint8]:
            asked.append(image)
            return super().__getitem__(image)

    asked: list[int] = []
    pixels = noise()
    iterator = iter(make(Watched(pixels.flat, pixels.index)))
    next(iterator)
    deadline = time.monotonic() + 20
    while len(asked) < 12 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert sorted(asked) == list(range(12))
    iterator.close()  # type: ignore[attr-defined]


def test_threads_end_when_the_consumer_stops_early() -> None:
    iterator: Iterator[Batch] = iter(make())
    next(iterator)
    assert makers() != []
    iterator.close()  # type: ignore[attr-defined]
    assert makers() == []

    def consume() -> None:
        for _ in make():
            raise KeyError("consumer")

    with pytest.raises(KeyError, match="consumer"):
        consume()


def test_an_error_in_the_making_reaches_the_consumer() -> None:
    batches = make(indices=np.array([0, 1, 2, 3, COUNT + 5]))
    iterator = iter(batches)
    assert next(iterator).indices.tolist() == [0, 1, 2, 3]
    with pytest.raises(IndexError):
        next(iterator)


def test_waiting_is_counted() -> None:
    class Slow(Pixels):
        def __getitem__(self, image: int) -> NDArray[np.uint8]:
            time.sleep(0.01)
            return super().__getitem__(image)

    pixels = noise()
    batches = make(Slow(pixels.flat, pixels.index), size=12)
    start = time.perf_counter()
    list(batches)
    assert 0.1 < batches.waited < time.perf_counter() - start


def test_no_batch_at_all_is_refused() -> None:
    with pytest.raises(PrunescopeError, match="23 images do not fill one batch of 24"):
        make(size=24, drop_last=True)
    assert list(make(indices=np.arange(0))) == []


@settings(deadline=None, max_examples=30)
@given(start=st.integers(0, 9), size=st.integers(1, 9), drop_last=st.booleans(), ahead=st.integers(1, 4))
def test_begun_later_the_batches_are_the_same_ones(
    start: int, size: int, drop_last: bool, ahead: int
) -> None:
    chance = {"augment": STRONG, "shuffle": True, "seed": 3, "size": size, "drop_last": drop_last}
    rest, all_of_them = make(start=start, ahead=ahead, **chance), list(make(**chance))
    assert len(rest) == len(all_of_them[start:])
    for one, other in zip(rest, all_of_them[start:], strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.indices, other.indices)


def test_the_batches_before_the_start_are_not_made() -> None:
    class Told(Pixels):
        asked: list[int] = []  # noqa: RUF012

        def __getitem__(self, number: int) -> NDArray[np.uint8]:
            self.asked.append(number)
            return super().__getitem__(number)

    pixels = noise()
    list(make(Told(pixels.flat, pixels.index), start=4))
    assert sorted(Told.asked) == list(range(16, COUNT))
