"""`prunescope survey build` and `design`: an experiment from a run, and a design to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def build(
    run: Annotated[Path, typer.Argument(help="Folder of a study that was run.", show_default=False)],
    design: Annotated[
        str,
        typer.Option(
            help="A design file, or a packaged design: mis, pairwise, identification.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the experiment to.", show_default=False)],
) -> None:
    """Build an experiment from a run: draw its tasks, deal them to lists, freeze what people will see."""
    from prunescope.survey.build import build as build_experiment
    from prunescope.survey.experiment import PREVIEW

    experiment = build_experiment(run, design, out, names=_imagenet_names)
    counts = experiment.record["counts"]
    shortest, longest = counts["main tasks of a list"]
    each = f"{longest}" if shortest == longest else f"{shortest} or {longest}"
    tasks = counts["tasks"]
    typer.echo(
        f"{out}: {tasks['main']:,} tasks about {len(counts['conditions'])} conditions on {counts['lists']} lists "
        f"of {each}, with {experiment.design.catch} catch trials each; {tasks.get('practice', 0)} practice tasks; "
        f"{counts['pictures']:,} pictures"
    )
    typer.echo(
        f"participants wanted: {counts['participants']}, {experiment.design.answers_per_task} for each list"
    )
    for note in experiment.record["notes"]:
        typer.echo(f"note: {note}")
    typer.echo(f"look at it: {out / PREVIEW}")
    typer.echo(f"then: prunescope survey serve {out}")


def design(
    kind: Annotated[str, typer.Argument(help="mis, pairwise or identification.", show_default=False)],
) -> None:
    """Print a packaged design as a file to start from."""
    from prunescope.survey.design import packaged_text

    typer.echo(packaged_text(kind), nl=False)


def _imagenet_names() -> dict[str, str]:
    """Return what ImageNet's classes are called, by their WordNet numbers."""
    from prunescope.networks.class_names import imagenet_names, imagenet_wnids

    return dict(zip(imagenet_wnids(), imagenet_names(), strict=True))
