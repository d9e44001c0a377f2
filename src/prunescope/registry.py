"""Named variants of one idea (scores, measures, image sources, ...), each registered where it is defined."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from prunescope.errors import PrunescopeError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """A table from the name that users write to the thing it names."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files its object under `name`."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return add

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Take out again, on leaving, what is registered in between."""
        entries = dict(self._entries)
        try:
            yield
        finally:
            self._entries = entries

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise PrunescopeError(
                f"no {self.kind} {name!r}{did_you_mean(name, self._entries)}; known: {', '.join(self)}"
            )
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
