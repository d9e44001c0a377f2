"""Live progress of a run: two bars on a terminal, a line a step elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from prunescope.study.execute import Outcome, Watcher
from prunescope.study.steps import Step
from prunescope.training.state import Epoch

_SLOW = 0.5  # seconds; quicker steps get no line of their own


@contextmanager
def live_progress() -> Iterator[Watcher]:
    """Yield a watcher that shows a run on standard error."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield Bars(console, bars)


class Lines(Watcher):
    """Writes a line for each step that took a while."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.total = self.done = 0
        self.began = time.monotonic()

    def begin(self, total: int, done: int) -> None:
        """Say how much there is to do."""
        self.total, self.began = total, time.monotonic()
        self.console.print(f"{total} steps, {done} of them done already", markup=False)

    def end(self, outcome: Outcome) -> None:
        """Say how a step ended."""
        self.done += 1
        if outcome.status == "done" and (outcome.reused or outcome.seconds < _SLOW):
            return
        text = f"[{self.done}/{self.total}] {outcome.step.label}: {outcome.status}"
        text += f" in {outcome.seconds:.0f} s" if outcome.status == "done" else f": {outcome.error}"
        self.console.print(
            text, markup=False, style=None if outcome.status == "done" else "red", soft_wrap=True
        )

    def note(self, text: str) -> None:
        """Say it."""
        self.console.print(text, markup=False, style="yellow", soft_wrap=True)


class Bars(Lines):
    """One bar for the steps, one for what is going on inside the current one."""

    def __init__(self, console: Console, bars: Progress) -> None:
        super().__init__(console)
        self.bars = bars
        self.steps = bars.add_task("decoding images", total=None)
        self.inside: TaskID | None = None
        self.label = ""

    def begin(self, total: int, done: int) -> None:
        """Show how much there is to do."""
        super().begin(total, done)
        self.bars.reset(self.steps, total=total - done, description="steps")

    def step(self, step: Step) -> None:
        """Begin a bar for the step."""
        self._drop()
        self.label = step.label
        self.inside = self.bars.add_task(escape(step.label), total=None)

    def progress(self, done: int, total: int) -> None:
        """Move the bar of the step."""
        task = self.steps if self.inside is None else self.inside
        self.bars.update(task, completed=done, total=total)

    def epoch(self, epoch: Epoch, epochs: int) -> None:
        """Say on the bar of the step which epoch is done, and with what loss."""
        if self.inside is not None:
            text = f"{self.label} (epoch {epoch.epoch + 1} of {epochs}: loss {epoch.loss:.3f})"
            self.bars.update(self.inside, description=escape(text))

    def end(self, outcome: Outcome) -> None:
        """Move the bar of all steps."""
        super().end(outcome)
        self._drop()
        if not outcome.reused:
            self.bars.advance(self.steps)

    def _drop(self) -> None:
        if self.inside is not None:
            self.bars.remove_task(self.inside)
            self.inside = None
