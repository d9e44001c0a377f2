"""What the store adds to a step: its overhead beside the limit of the disk, and the look at what is done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from table import Row
from timing import interleaved

from prunescope.study.store import Store

RESULT = os.urandom(2**20)  # bytes, the largest result the target speaks of
STEPS = 200
REPEATS = 60


@contextmanager
def finished_steps(number: int) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "runs")
        for i in range(number):
            with store.write(f"step-{i:03d}", {}) as place:
                (place / "table.parquet").write_bytes(RESULT[:1000])
                (place / "weights.safetensors").write_bytes(RESULT[:1000])
        yield store


def writing_steps(store: Store) -> Callable[[], None]:
    """Return a function that does all that the store does for a step that computes nothing."""
    numbers = count()

    def write() -> None:
        step_id = f"step-{next(numbers)}"
        with store.lock(step_id):
            if not store.has(step_id):
                with store.write(step_id, {"kind": "empty"}) as folder:
                    (folder / "result.bin").write_bytes(RESULT)

    return write


def plain_writing(folder: Path) -> Callable[[], None]:
    """Return a function that does the least that brings the same bytes to the disk."""
    numbers = count()

    def write() -> None:
        with (folder / f"{next(numbers)}.bin").open("wb") as stream:
            stream.write(RESULT)
            stream.flush()
            os.fsync(stream.fileno())

    return write


def rows() -> list[Row]:
    with finished_steps(0) as store:
        write = interleaved({"step": writing_steps(store), "plain": plain_writing(store.root)}, REPEATS)
    with finished_steps(STEPS) as store:
        look = interleaved({"look": lambda: [store.has(i) for i in store.step_ids()]}, REPEATS)["look"].wall
    step, plain = write["step"].wall, write["plain"].wall
    return [
        Row(
            "store an empty step of 1 MiB, wall clock",
            step,
            "ms",
            f"plain write and fsync, {plain:.2f} ms",
            step / plain,
        ),
        Row(f"look whether {STEPS} steps are finished, wall clock", look, "ms"),
    ]
