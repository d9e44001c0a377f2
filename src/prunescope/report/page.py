"""From a study's folder to a page that opens from the disk, without server or network, and its figures."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jinja2

from prunescope.analysis.findings import Margins
from prunescope.analysis.several import read_several
from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.report.blocks import Gallery, Plot, Section
from prunescope.report.dark import dark_colours
from prunescope.report.interactive import Live, bring_to_life
from prunescope.report.saved_figures import lay_out, project_looks, save
from prunescope.report.sections import study_sections

FORMATS = (
    "svg",
    "png",
)  # of the page's figures; as PDF, which takes as long as both, `prunescope figure` makes them


@dataclass(frozen=True)
class Page:
    """What a page says above its sections.

    Attributes:
        kind: what it is a page of: "Pruning study".
        name: what its folder or file is called, where that differs from the title.
        finished: the day.
    """

    kind: str
    title: str
    name: str
    description: str = ""
    finished: str = ""


def write_report(
    folders: Path | Sequence[Path],
    out: Path | None = None,
    *,
    published: Sequence[Path] = (),
    margins: Margins | None = None,
) -> Path:
    """Write `report/index.html` and the files beside it for one run or several; same tables, same bytes.

    Args:
        folders: the folder of a study, or those of several to compare.
        out: the folder that gets `report`; that of the study, if there is just one.
        published: folders of published studies to draw along.
        margins: by metric, the difference that counts as none; the default ones for others.

    Raises:
        PrunescopeError: a table or `study.json` is missing or damaged, the runs cannot be compared, or the report
            cannot be written.
    """
    runs = [folders] if isinstance(folders, Path) else list(folders)
    results = read_several(runs, published)
    if out is None and len(runs) > 1:
        raise PrunescopeError(
            "a report of several runs is of none of them: say with --out which folder it goes to"
        )
    study = results.study
    name = study.get("study") or runs[0].name
    page = Page(
        kind="Pruning study" if len(runs) == 1 else "Pruning studies compared",
        title=study.get("title") or name,
        name=name,
        description=study.get("description") or "",
        finished=str(study.get("finished") or "")[:10],
    )
    if out is None:
        return write_page(runs[0], page, lambda: study_sections(results, margins))
    results = replace(results, files=[])  # which lie elsewhere
    return write_page(_folder_of_its_own(out), page, lambda: study_sections(results, margins))


def _folder_of_its_own(out: Path) -> Path:
    """Make the folder of a report that is of no single study."""
    if (out / "study.json").exists():
        raise PrunescopeError(f"{out} is a run with a report of its own: give --out another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise PrunescopeError(f"{out} is a file: expected a folder for the report") from error
    except OSError as error:
        raise describe_os_error(error, f"making the folder {out}") from error
    return out


def write_page(folder: Path, page: Page, make_sections: Callable[[], Sequence[Section]]) -> Path:
    """Write `report/index.html` and the files beside it into a folder, in the place of what was there.

    Args:
        make_sections: called while figures take this project's looks.

    Raises:
        PrunescopeError: the page cannot be written; what was there stays.
    """
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".report-") as temporary:
            new = Path(temporary) / "report"
            _write(new, page, make_sections)
            _replace(folder / "report", new, Path(temporary) / "previous")
    except OSError as error:
        raise describe_os_error(error, f"writing the report in {folder}") from error
    return folder / "report" / "index.html"


def _write(folder: Path, page: Page, make_sections: Callable[[], Sequence[Section]]) -> None:
    (folder / "figures").mkdir(parents=True)
    with project_looks():
        sections = make_sections()
        live = {plot.name: _save(plot, folder / "figures") for section in sections for plot in section.plots}
    for section in sections:
        if section.browser is not None:
            section.browser.write(folder)
        for gallery in section.galleries:
            _write_pictures(gallery, folder)
        for name, text in section.files.items():
            (folder / name).write_text(text, encoding="utf-8")
    (folder / "index.html").write_text(_render(page, sections, live), encoding="utf-8")


def _write_pictures(gallery: Gallery, folder: Path) -> None:
    for picture in gallery.pictures:
        path = folder / picture.address
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture.jpeg)


def _render(page: Page, sections: Sequence[Section], live: dict[str, Live]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    texts = [text for each in live.values() for text in (each.script, *(line.sample for line in each.legend))]
    template = environment.get_template("template.html.jinja")
    return template.render(page=page, sections=sections, live=live, formats=FORMATS, dark=dark_colours(texts))


def _save(plot: Plot, folder: Path) -> Live:
    """Write a figure in all formats, its numbers, and the script that the page reads as the figure comes near."""
    figure = lay_out(plot.draw)
    for form in FORMATS:
        save(figure, folder / f"{plot.name}.{form}")
    live = bring_to_life(figure, plot.name, (folder / f"{plot.name}.svg").read_text("utf-8"))
    (folder / f"{plot.name}.js").write_text(live.script, encoding="utf-8")
    if live.csv:
        (folder / f"{plot.name}.csv").write_text(live.csv, encoding="utf-8")
    return live


def _replace(old: Path, new: Path, attic: Path) -> None:
    """Put `new` in the place of `old`, which goes to the attic; on failure `old` stays."""
    existed = old.exists()
    if existed:
        old.rename(attic)
    try:
        new.rename(old)
    except OSError:
        if existed:
            attic.rename(old)
        raise
