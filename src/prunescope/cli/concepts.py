"""`prunescope concepts`: annotated images, whose pixels have names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prunescope.cli.options import Data

concepts = typer.Typer(
    help="Work with annotated images: objects, parts, textures, colours.", no_args_is_help=True
)

Sources = Annotated[
    list[str],
    typer.Argument(
        help="scenes, broden:FOLDER, masks:FOLDER,labels=voc, textures:FOLDER, colors; several are joined.",
        show_default=False,
    ),
]


@concepts.callback()
def group() -> None:
    """Keep `convert` a command of its own: typer would merge an only one into the group."""


@concepts.command("convert")
def convert(
    sources: Sources,
    out: Annotated[Path, typer.Option(help="Folder to write; new or empty.", show_default=False)],
    data: Data = None,
) -> None:
    """Write annotated images as one folder in the format of Broden (Network Dissection)."""
    from rich.console import Console
    from rich.progress import Progress

    from prunescope.images.concepts import open_concepts, write_broden

    opened = open_concepts(sources, data)
    with Progress(
        console=Console(stderr=True), transient=True, disable=not Console(stderr=True).is_terminal
    ) as bar:
        task = bar.add_task("writing images", total=len(opened))
        write_broden(opened, out, lambda done, total: bar.update(task, completed=done))
    typer.echo(
        f"{out}: {len(opened)} images, {len(opened.concepts)} concepts ({', '.join(opened.categories)}); "
        f"open it as 'broden:{out}'"
    )
