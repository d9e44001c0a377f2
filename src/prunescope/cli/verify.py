"""`prunescope verify`: are all results as they were written?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def verify(
    folder: Annotated[
        Path, typer.Argument(help="The folder of results, the --out of a run, or a study in it.")
    ],
) -> None:
    """Compare all results with their checksums. Damaged steps are named; the next run does them again."""
    from prunescope.study.store import STORE_FILE, Store

    inside = (
        folder.parent
        if not (folder / STORE_FILE).exists() and (folder.parent / STORE_FILE).exists()
        else folder
    )
    store = Store(inside, create=False)
    damage = store.verify()
    for found in damage:
        typer.echo(f"{found.step}: {found}", err=True)
    steps = len(store.step_ids())
    broken = len({found.step for found in damage})
    if broken:
        typer.echo(f"{broken} of {steps} steps are damaged; `prunescope run` does them again", err=True)
        raise typer.Exit(1)
    typer.echo(f"{steps} steps, all as they were written")
