"""The server's clock: seconds since 1970 that never go back, whatever happens to the clock of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Starts at the time of the machine, or where the last server stopped; from there on only durations count.

    Args:
        last: the latest time that the database knows; 0 where it knows none.
        wall: seconds since 1970 as the machine has it.
        steady: seconds that only grow, from anywhere.
    """

    def __init__(
        self,
        last: float = 0.0,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ):
        self.behind = max(0.0, last - wall())  # seconds by which the machine's clock was set back
        self._steady = steady
        self._begin = steady()
        self._base = max(last, wall())

    def now(self) -> float:
        """Return seconds since 1970."""
        return self._base + (self._steady() - self._begin)
