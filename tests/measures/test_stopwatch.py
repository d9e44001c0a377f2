"""Passes that take a known time, by a clock that only they move."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from prunescope.measures import stopwatch
from prunescope.measures.stopwatch import interleaved


class Clock:
    """A clock on which work takes what it says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now / 2

    def work(self, name: str, *seconds: float) -> Callable[[], None]:
        """Return a pass that takes `seconds`, one after the other, the last for good."""
        times = list(seconds)

        def run() -> None:
            self.calls.append(name)
            self.now += times.pop(0) if len(times) > 1 else times[0]

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(stopwatch, "time", made)
    return made


def test_times_are_those_of_one_pass_after_the_warm_up(clock: Clock) -> None:
    passes = {"slow first": clock.work("a", 3.0, 0.25), "quick": clock.work("b", 0.001)}
    times = interleaved(passes, rounds=4)
    np.testing.assert_allclose(times["slow first"].wall, [0.25] * 4)
    np.testing.assert_allclose(times["slow first"].cpu, [0.125] * 4)
    np.testing.assert_allclose(times["quick"].wall, [0.001] * 4)


def test_every_single_pass_is_kept(clock: Clock) -> None:
    warm_up, turn = [0.1, 0.004], [0.004, 0.008, 0.012, 0.004, 0.016]
    times = interleaved({"uneven": clock.work("a", *warm_up, *turn)}, rounds=1)["uneven"]
    np.testing.assert_allclose(times.passes, turn)
    np.testing.assert_allclose(times.wall, [0.0088])
    np.testing.assert_allclose(times.cpu, [0.0044])


def test_a_quick_pass_is_repeated_until_a_timing_is_long_enough(clock: Clock) -> None:
    interleaved({"quick": clock.work("quick", 0.003), "slow": clock.work("slow", 0.5)}, rounds=2)
    warm_up = {"quick": 34, "slow": 2}  # .1 s, and at least two
    assert {name: clock.calls.count(name) - warm_up[name] for name in warm_up} == {"quick": 2 * 7, "slow": 2}


def test_all_have_one_turn_a_round_in_an_order_drawn_anew(clock: Clock) -> None:
    names = ("a", "b", "c")
    done: list[int] = []

    def order(seed: int) -> list[tuple[str, ...]]:
        clock.calls.clear()
        interleaved({name: clock.work(name, 0.5) for name in names}, 30, seed=seed, on_round=done.append)
        turns = clock.calls[2 * len(names) :]
        return [tuple(turns[i : i + 3]) for i in range(0, len(turns), 3)]

    rounds = order(seed=0)
    assert done == list(range(1, 31))
    assert all(sorted(turn) == list(names) for turn in rounds)
    assert len(set(rounds)) == 6  # all orders of three
    assert order(seed=0) == rounds != order(seed=1)
