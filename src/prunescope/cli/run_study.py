"""`prunescope run`: run a study, or go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prunescope.cli.options import Data, Out, Set, Study

if TYPE_CHECKING:
    from prunescope.study.execute import Outcome


def run(study: Study, out: Out = Path("runs"), data: Data = None, changes: Set = None) -> None:
    """Run a study and write its tables and its report. Steps that are done already are not done again."""
    from prunescope.cli.progress import live_progress
    from prunescope.study.run import run_study

    with live_progress() as watcher:
        result = run_study(study, out, data=data, overrides=changes or (), watcher=watcher)
    typer.echo(f"tables: {result.folder / 'tables'}")
    typer.echo(f"report: {result.report}")
    if result.failed:
        typer.echo(_failures(result.failed, result.folder), err=True)
        raise typer.Exit(1)


def _failures(outcomes: list[Outcome], folder: Path) -> str:
    failed = [o for o in outcomes if o.status == "failed"]
    skipped = len(outcomes) - len(failed)
    lines = [f"{len(failed)} steps failed, {skipped} that needed them were skipped:"]
    for outcome in failed:
        trace = f" (see {folder / 'errors' / outcome.step.id}.txt)" if outcome.trace else ""
        lines.append(f"  {outcome.step.label}: {outcome.error}{trace}")
    return "\n".join(lines)
