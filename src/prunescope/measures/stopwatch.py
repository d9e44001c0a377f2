"""How long passes take where other work goes on: they take turns, in an order drawn anew in every round.

Wall clock on shared cores scatters up to tenfold, but what takes turns is disturbed alike: the ratio within a
round, and the median of such ratios, repeat to a few percent.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHORTEST = 0.02  # seconds that one turn lasts at least: shorter ones measure the clock and the caller
WARM_UP = 0.1  # seconds
Pass = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Seconds that one pass took.

    Attributes:
        passes: (passes,), wall clock of every single pass.
        wall: (rounds,), its mean over the passes of a round.
        cpu: (rounds,), likewise, of CPU time of the whole process.
    """

    passes: NDArray[np.float64]
    wall: NDArray[np.float64]
    cpu: NDArray[np.float64]


def interleaved(
    passes: Mapping[str, Pass],
    rounds: int,
    *,
    seed: int = 0,
    synchronise: Callable[[], None] = lambda: None,
    on_round: Callable[[int], None] = lambda done: None,
) -> dict[str, Times]:
    """Time each pass once a round, after a warm-up; a quick pass is repeated within its turn.

    Args:
        seed: for the order within each round.
        synchronise: waits until the device has done what it was told.
        on_round: is told how many rounds are done.
    """
    repeats = {name: math.ceil(SHORTEST / _warmed_up(run, synchronise)) for name, run in passes.items()}
    single: dict[str, list[float]] = {name: [] for name in passes}
    wall: dict[str, list[float]] = {name: [] for name in passes}
    cpu: dict[str, list[float]] = {name: [] for name in passes}
    order = random.Random(seed)
    for done in range(rounds):
        for name in order.sample(list(passes), len(passes)):
            synchronise()
            cpu_start, clock = time.process_time(), [time.perf_counter()]
            for _ in range(repeats[name]):
                passes[name]()
                synchronise()
                clock.append(time.perf_counter())
            cpu[name].append((time.process_time() - cpu_start) / repeats[name])
            wall[name].append((clock[-1] - clock[0]) / repeats[name])
            single[name] += np.diff(clock).tolist()
        on_round(done + 1)
    return {name: Times(*(np.array(times[name]) for times in (single, wall, cpu))) for name in passes}


def _warmed_up(run: Pass, synchronise: Callable[[], None]) -> float:
    """Run for a while, at least twice; return the seconds of the quickest pass."""
    quickest, began, runs = math.inf, time.perf_counter(), 0
    while runs < 2 or time.perf_counter() - began < WARM_UP:
        synchronise()
        start = time.perf_counter()
        run()
        synchronise()
        quickest = min(quickest, max(time.perf_counter() - start, 1e-7))
        runs += 1
    return quickest
