"""`prunescope check`: what a study would do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import typer

from prunescope.cli.options import Data, Out, Set, Study


def check(study: Study, out: Out = Path("runs"), data: Data = None, changes: Set = None) -> None:
    """Check a study file and show its plan: which steps, and how many are done. Runs nothing."""
    from prunescope.study.run import prepare, read_study
    from prunescope.study.store import STORE_FILE, Store

    settings, document = read_study(study, changes or ())
    plan, images, _, _ = prepare(settings, data, document=document)
    store = Store(out, create=False) if (out / STORE_FILE).exists() else None
    parts = ", ".join(f"{count} {part}" for part, count in images.counts.items() if count)
    typer.echo(
        f"{settings.study}: {settings.network.name}, {len(images.test.classes)} classes, images: {parts}"
    )
    total: Counter[str] = Counter()
    done: Counter[str] = Counter()
    for step in plan.steps():
        finished = store is not None and store.has(step.id)
        total[step.kind] += 1
        done[step.kind] += finished
        typer.echo(f"  {'done' if finished else '    '}  {step.label}")
    kinds = ", ".join(f"{done[kind]} of {count} {kind}" for kind, count in total.items())
    typer.echo(f"{done.total()} of {total.total()} steps are done ({kinds})")
