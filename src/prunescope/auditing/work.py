"""The parts of an audit, each done once: what is finished stays in the cache, whatever happens to the rest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prunescope.errors import NoRoomError, PrunescopeError
from prunescope.images.digests import digest_of
from prunescope.images.kept import cache_folder
from prunescope.study.execute import Outcome, Status, Watcher
from prunescope.study.steps import Step
from prunescope.study.store import DamagedStep, Store


@dataclass(frozen=True)
class Part:
    """One piece of an audit, with a folder of results.

    Attributes:
        measure: whose failure it is if it fails.
        network: "dense" or "pruned"; "both" for what needs the two at once.
        decisive: all that decides the result, as JSON; None for what is done anew each time.
        write: fills the folder that it is given.
        vital: whether nothing else is worth doing if it fails.
    """

    measure: str
    network: str
    decisive: dict[str, Any] | None
    write: Callable[[Path], None]
    vital: bool = False

    @property
    def label(self) -> str:
        """What people read."""
        return f"{self.measure} of {'both networks' if self.network == 'both' else f'the {self.network} network'}"

    @property
    def key(self) -> str:
        """The name of its folder of results."""
        if self.decisive is None:
            return f"{self.measure}-{self.network}"
        text = json.dumps({"part": self.measure, **self.decisive}, sort_keys=True)
        return f"audit-{self.measure}-{digest_of(text.encode())[:20]}"


@dataclass
class Work:
    """Does parts, or finds them done.

    Attributes:
        kept: results that later audits may use.
        own: results of this audit alone.
        failures: measure to why it could not be done.
        rows: of the table `steps`.
    """

    kept: Store
    own: Store
    watcher: Watcher
    failures: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def do(self, parts: Sequence[Part]) -> None:
        """Do what is not done; a part that fails takes the rest of its measure with it.

        Raises:
            NoRoomError: the disk is full, so that going on makes no sense.
            PrunescopeError: a vital part failed.
        """
        done = {part.key for part in parts if self._store(part).has(part.key)}
        self.watcher.begin(len(parts), len(done))
        for part in parts:
            if part.measure in self.failures:
                continue
            step = Step(part.measure, part.label, {}, {})
            self.watcher.step(step)
            started = time.perf_counter()
            error = None
            reused = part.key in done
            try:
                reused = self._do(part)
            except NoRoomError:
                raise
            except PrunescopeError as failed:
                error = str(failed)
            except Exception as failed:
                error = f"{type(failed).__name__}: {failed}"
            if error is not None:
                self.failures[part.measure] = error
            status: Status = "done" if error is None else "failed"
            seconds = time.perf_counter() - started
            self.watcher.end(Outcome(step, status, seconds, reused, error))
            if error is not None and part.vital:
                raise PrunescopeError(error)
            self.rows.append(
                {
                    "step": part.key,
                    "kind": part.measure,
                    "label": part.label,
                    "status": status,
                    "seconds": self._store(part).manifest(part.key)["seconds"] if error is None else seconds,
                    "reused": reused,
                    "error": error,
                }
            )

    def folder(self, part: Part) -> Path:
        """Return the folder of a part that is done."""
        return self._store(part).open(part.key)

    def _store(self, part: Part) -> Store:
        return self.own if part.decisive is None else self.kept

    def _do(self, part: Part) -> bool:
        """Do a part, unless it is done and whole; return whether it was."""
        store = self._store(part)
        with store.lock(
            part.key, on_wait=lambda: self.watcher.note(f"waiting: another audit does {part.label}")
        ):
            if store.has(part.key):
                try:
                    store.open(part.key)
                    return True
                except DamagedStep as error:
                    self.watcher.note(f"{part.key}: {error.damage[0]}; doing it again")
                    store.set_aside(part.key)
            with store.write(part.key, {"label": part.label, "decided by": part.decisive}) as folder:
                part.write(folder)
        return False


@contextmanager
def at_work(watcher: Watcher) -> Iterator[Work]:
    """Open the cache of audits, and a place for what is not kept."""
    with TemporaryDirectory(prefix="prunescope-audit-") as own:
        yield Work(Store(cache_folder() / "audits"), Store(Path(own) / "own"), watcher)
