"""What the store adds to a step: its overhead beside the limit of the disk, and the look at what is done."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prunescope.study.store import Store

RESULT = os.urandom(2**20)  # bytes, the largest result the target speaks of
STEPS = 200
REPEATS = 60


@contextmanager
def finished_steps(count: int) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "runs")
        for i in range(count):
            with store.write(f"step-{i:03d}", {}) as place:
                (place / "table.parquet").write_bytes(RESULT[:1000])
                (place / "weights.safetensors").write_bytes(RESULT[:1000])
        yield store


def median_seconds(*actions: Callable[[int], object]) -> list[float]:
    """Time actions in turn, so that a busy machine is busy for all of them alike."""
    seconds: list[list[float]] = [[] for _ in actions]
    for i in range(REPEATS):
        for action, taken in zip(actions, seconds, strict=True):
            started = time.perf_counter()
            action(i)
            taken.append(time.perf_counter() - started)
    return [statistics.median(taken) for taken in seconds]


def whole_step(store: Store, step_id: str) -> None:
    """All that the store does for a step that computes nothing."""
    with store.lock(step_id):
        if not store.has(step_id):
            with store.write(step_id, {"kind": "empty"}) as folder:
                (folder / "result.bin").write_bytes(RESULT)


def plain_write(file: Path) -> None:
    """The least that brings the same bytes to the disk."""
    with file.open("wb") as stream:
        stream.write(RESULT)
        stream.flush()
        os.fsync(stream.fileno())


def rows() -> list[dict[str, Any]]:
    with finished_steps(0) as store:
        step, limit = median_seconds(
            lambda i: whole_step(store, f"step-{i}"),
            lambda i: plain_write(store.root / f"{i}.bin"),
        )
    with finished_steps(STEPS) as store:
        (look,) = median_seconds(lambda _: [store.has(step_id) for step_id in store.step_ids()])
    return [
        {
            "name": "store: an empty step with a result of 1 MiB",
            "value": step * 1e3,
            "unit": "ms",
            "against": "plain write and fsync of the same bytes",
            "ratio": step / limit,
            "target": "< 50 ms",
        },
        {
            "name": f"store: find {STEPS} steps finished",
            "value": look * 1e3,
            "unit": "ms",
            "against": f"{STEPS} x .1 ms",
            "ratio": look / (STEPS * 1e-4),
            "target": "< 2000 ms",
        },
    ]


if __name__ == "__main__":
    for row in rows():
        print("{name}: {value:.2f} {unit}, {ratio:.2f} x {against} (target {target})".format(**row))
