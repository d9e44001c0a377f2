"""Running a plan on this machine: every step once, whatever fails, whoever else is at work on the same store."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from prunescope.errors import NoRoomError, PrunescopeError
from prunescope.measures.runtimes import computing_with
from prunescope.study.plan import Plan
from prunescope.study.steps import Step, Workshop, all_step_kinds
from prunescope.study.store import DamagedStep
from prunescope.training.state import Epoch

T = TypeVar("T")
Status = Literal["done", "failed", "skipped"]


class Watcher:
    """Is told how a run goes on; this one keeps it to itself."""

    def begin(self, total: int, done: int) -> None:
        """The plan has `total` steps, of which `done` are done already."""

    def step(self, step: Step) -> None:
        """A step begins."""

    def progress(self, done: int, total: int) -> None:
        """Part of the current step is done."""

    def epoch(self, epoch: Epoch, epochs: int) -> None:
        """An epoch of the current training is done, of so many."""

    def end(self, outcome: Outcome) -> None:
        """A step has ended, or was found done."""

    def note(self, text: str) -> None:
        """Something that people should know."""


@dataclass(frozen=True)
class Outcome:
    """How a step ended. `error` is what to tell the user, `trace` where it came from if that was unexpected."""

    step: Step
    status: Status
    seconds: float = 0.0
    reused: bool = False
    error: str | None = None
    trace: str | None = None


@dataclass
class Execution:
    """Runs the steps of a plan that are not done yet."""

    plan: Plan
    workshop: Workshop
    watcher: Watcher
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def run(self) -> list[Outcome]:
        """Do every step that can be done; a step that fails stops only those that need it.

        Raises:
            NoRoomError: the disk is full, so that going on makes no sense.
        """
        steps = list(self.plan.steps())
        store = self.workshop.store
        self.workshop.opened.update(self.plan.opened)
        self.workshop.progress = self.watcher.progress
        self.workshop.epoch = self.watcher.epoch
        done = {step.id for step in steps if store.has(step.id) and self._is_whole(step)}
        for step_id in done:  # killed between finishing a step and clearing up
            store.forget_unfinished(step_id)
        self.watcher.begin(len(steps), len(done))
        for step in steps:
            outcome = Outcome(step, "done", reused=True) if step.id in done else self._attempt(step)
            self.outcomes[step.id] = outcome
            self.watcher.end(outcome)
        return list(self.outcomes.values())

    def whole(self, read: Callable[[], T]) -> T:
        """Return `read()`; a damaged step that it meets is named, set aside and done again first."""
        while True:
            try:
                return read()
            except DamagedStep as error:
                step = next((s for s in self.plan.steps() if s.id == error.damage[0].step), None)
                if step is None:
                    raise
                self._set_aside(step, error)
                self._do(step)
                if step.id in self.outcomes:
                    self.outcomes[step.id] = replace(self.outcomes[step.id], reused=False)

    def _is_whole(self, step: Step) -> bool:
        """Compare a finished step with its checksums; a damaged one is named and set aside."""
        try:
            self.workshop.store.open(step.id)
        except DamagedStep as error:
            self._set_aside(step, error)
            return False
        return True

    def _set_aside(self, step: Step, error: DamagedStep) -> None:
        self.watcher.note(f"{step.id}: {error.damage[0]}; doing it again")
        store = self.workshop.store
        with store.lock(step.id):
            if store.verify([step.id]):  # else another process has done it again meanwhile
                store.set_aside(step.id)

    def _attempt(self, step: Step) -> Outcome:
        broken = next((p for p in step.parents if self.outcomes[p.id].status != "done"), None)
        if broken is not None:
            how = "failed" if self.outcomes[broken.id].status == "failed" else "was skipped"
            return Outcome(step, "skipped", error=f"needs {broken.label!r}, which {how}")
        self.watcher.step(step)
        started = time.perf_counter()
        try:
            reused = self._do(step)
        except NoRoomError:
            raise
        except PrunescopeError as error:
            return Outcome(step, "failed", time.perf_counter() - started, error=str(error))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            return Outcome(
                step, "failed", time.perf_counter() - started, error=text, trace=traceback.format_exc()
            )
        return Outcome(step, "done", time.perf_counter() - started, reused)

    def _do(self, step: Step) -> bool:
        """Do a step, unless another process has done it meanwhile; return whether it was."""
        store = self.workshop.store
        with store.lock(
            step.id, on_wait=lambda: self.watcher.note(f"waiting: another run does {step.label!r}")
        ):
            if store.has(step.id):
                return True
            with computing_with(step.where["threads"]):
                self.whole(lambda: self._write(step))
        return False

    def _write(self, step: Step) -> None:
        with self.workshop.store.write(step.id, step.record) as folder:
            all_step_kinds()[step.kind].run(step, self.workshop, folder)
        self.workshop.store.forget_unfinished(step.id)
