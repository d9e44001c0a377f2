"""How much one session or one address may ask for; kept in memory alone."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from prunescope.survey.writer import Refused

KNOWN = 20_000  # buckets that are remembered; the one that was used least recently goes first


class Limit:
    """A bucket of tokens for each key: `burst` at once, then `per_second`.

    Args:
        burst: requests at once.
        per_second: requests in the long run.
        steady: seconds that only grow.
    """

    def __init__(self, burst: float, per_second: float, steady: Callable[[], float] = time.monotonic):
        self.burst, self.per_second, self._steady = burst, per_second, steady
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Count a request.

        Raises:
            Refused: there were too many.
        """
        now = self._steady()
        left, since = self._left.pop(key, (self.burst, now))
        left = min(self.burst, left + (now - since) * self.per_second)
        allowed = left >= 1
        self._left[key] = (left - allowed, now)
        if len(self._left) > KNOWN:
            self._left.popitem(last=False)
        if not allowed:
            wait = max(1, round((1 - left) / self.per_second))
            raise Refused(429, f"Too many requests: please wait {wait} s, then go on.", retry_after=wait)


class Limits:
    """All limits of a server.

    Attributes:
        entering: of an address; a laboratory or a class behind one address comes in at once.
        writing: of a session: answers, events, stages.
        pictures: of a session; a whole experiment may be loaded ahead.
        guessing: wrong tokens of an address.
    """

    def __init__(self) -> None:
        self.entering = Limit(200, 2)
        self.writing = Limit(300, 50)
        self.pictures = Limit(5_000, 200)
        self.guessing = Limit(10, 0.5)
