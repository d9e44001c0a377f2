"""`prunescope figure`: one figure of a report as a file for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prunescope.cli.options import Published
from prunescope.errors import PrunescopeError, describe_os_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prunescope.report.blocks import Plot
    from prunescope.report.figure_names import Figures

Given = Annotated[
    list[str],
    typer.Argument(
        help="The figure’s name, then the results of a study, runs/NAME, or of several to compare.",
        metavar="NAME RUN…",
        show_default=False,
    ),
]
Form = Annotated[bool, typer.Option(show_default=False)]
FORMS = ("pdf", "svg", "png")
NARROWEST, WIDEST = 2.0, 40.0  # inches


def figure(
    given: Given,
    names: Annotated[bool, typer.Option("--list", help="List the figures that a run has.")] = False,
    published: Published = None,
    pdf: Form = False,
    svg: Form = False,
    png: Form = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A file, or a folder that gets NAME.pdf; else the current one.", show_default=False
        ),
    ] = None,
    width: Annotated[
        float,
        typer.Option(
            help="Inches of a figure as wide as a page; 3.5 is a column.", min=NARROWEST, max=WIDEST
        ),
    ] = 7.2,
) -> None:
    """Write one figure of a report as PDF, SVG or PNG; the same tables give the same bytes."""
    name, runs = ("", given) if names else (given[0], given[1:])
    if not runs:
        raise PrunescopeError(
            f"no run given: expected `prunescope figure NAME RUN`, got only {name!r}; "
            "`prunescope figure --list RUN` lists the names"
        )
    folders = [Path(run) for run in runs]
    if names:
        _list(folders, published or [])
        return
    forms = [form for form, asked in zip(FORMS, (pdf, svg, png), strict=True) if asked]
    places = _places(name, forms, out)
    _write(_figures(folders, published or [])[name], places, width)


def _list(folders: Sequence[Path], published: Sequence[Path]) -> None:
    found = _figures(folders, published)
    for name in found.plots:
        typer.echo(f"{name}: {found.shows(name)}")
    if found.missing:
        typer.echo("\nnot of these results:" if found.plots else "none of these results:")
    for name, needs in found.missing.items():
        typer.echo(f"{name}: needs {needs}")


def _figures(folders: Sequence[Path], published: Sequence[Path]) -> Figures:
    from prunescope.analysis.several import read_several
    from prunescope.report.figure_names import Figures

    for folder in folders:
        if (folder / "audit.json").is_file():
            raise PrunescopeError(
                f"{folder} is an audit, whose figures are in {folder / 'report' / 'figures'}; "
                f"`prunescope report {folder}` writes them anew"
            )
    return Figures(read_several(folders, published))


def _places(name: str, forms: Sequence[str], out: Path | None) -> list[Path]:
    """Return the files to write: the one that is given, else one for each form in a folder."""
    if out is None or out.is_dir() or not out.suffix:
        folder = out or Path()
        return [folder / f"{name}.{form}" for form in forms or ["pdf"]]
    form = out.suffix[1:].lower()
    if form not in FORMS:
        raise PrunescopeError(
            f"--out {out} ends in .{form}: expected a file that ends in .pdf, .svg or .png, or a folder"
        )
    if forms and list(forms) != [form]:
        asked = " ".join(f"--{each}" for each in forms)
        raise PrunescopeError(
            f"--out {out} and {asked} contradict each other: give --out a folder, or leave {asked}"
        )
    return [out]


def _write(plot: Plot, places: Sequence[Path], width: float) -> None:
    from prunescope.report.saved_figures import lay_out, project_looks, save

    with project_looks(width):
        figure = lay_out(plot.draw)
        for place in places:
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                save(figure, place)
            except OSError as error:
                raise describe_os_error(error, f"writing {place}") from error
            typer.echo(f"figure: {place}")
