"""How the benchmarks measure: variants take turns in random order, so that a busy machine is busy for all alike."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass
class Times:
    """What the runs of one variant took, in milliseconds: CPU time of the whole process, and wall clock."""

    every_cpu: list[float] = field(default_factory=list)
    every_wall: list[float] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        return statistics.median(self.every_cpu)

    @property
    def wall(self) -> float:
        return statistics.median(self.every_wall)

    def __sub__(self, other: Times) -> Times:
        """Return what this takes longer than the other, turn by turn."""
        return Times(
            [a - b for a, b in zip(self.every_cpu, other.every_cpu, strict=True)],
            [a - b for a, b in zip(self.every_wall, other.every_wall, strict=True)],
        )

    def paired_cpu(self, other: Times) -> float:
        """Return the median ratio of this CPU time to the other's in the same turn."""
        return statistics.median(a / b for a, b in zip(self.every_cpu, other.every_cpu, strict=True))


def interleaved(
    variants: Mapping[str, Callable[[], object]], repeats: int = 15, warmup: int = 1
) -> dict[str, Times]:
    """Run all variants `repeats` times, in a new random order each time, after `warmup` runs that do not count."""
    times = {name: Times() for name in variants}
    order = random.Random(0)
    for turn in range(-warmup, repeats):
        for name in order.sample(list(variants), len(variants)):
            wall, cpu = time.perf_counter(), time.process_time()
            variants[name]()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if turn >= 0:
                times[name].every_cpu.append(cpu * 1e3)
                times[name].every_wall.append(wall * 1e3)
    return times
