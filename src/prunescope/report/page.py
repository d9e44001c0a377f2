"""From a study's folder to a page that opens from the disk, without server or network, and its figures."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import matplotlib
from markupsafe import Markup

from prunescope.analysis.results import read_results
from prunescope.errors import describe_os_error
from prunescope.report.blocks import Gallery, Plot, Section
from prunescope.report.sections import SECTIONS
from prunescope.report.theme import RC

FORMATS = ("svg", "pdf", "png")
# The date and the maker's version would differ where the tables do not.
NO_METADATA: dict[str, dict[str, None]] = {
    "svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
    "pdf": dict.fromkeys(("CreationDate", "Creator", "Producer")),
    "png": {"Software": None},
}


@dataclass(frozen=True)
class SavedPlot:
    """A figure that is in its files, and `svg` to stand in the page."""

    plot: Plot
    svg: Markup


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


def write_report(folder: Path) -> Path:
    """Write `report/index.html` and the files beside it into a study's folder; same tables, same bytes.

    Raises:
        PrunescopeError: a table or `study.json` is missing or damaged, or the report cannot be written.
    """
    results = read_results(folder)
    study = results.study
    name = study.get("study") or folder.name
    page = Page(
        kind="Pruning study",
        title=study.get("title") or name,
        name=name,
        description=study.get("description") or "",
        finished=str(study.get("finished") or "")[:10],
    )
    return write_page(
        folder, page, lambda: [made for make in SECTIONS if (made := make(results)) is not None]
    )


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
    with matplotlib.rc_context(RC), warnings.catch_warnings():
        # The page shows any script; a PDF shows a box for a letter that the font lacks.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        sections = make_sections()
        saved = {plot.name: _save(plot, folder / "figures") for section in sections for plot in section.plots}
    for section in sections:
        if section.browser is not None:
            section.browser.write(folder)
        for gallery in section.galleries:
            _write_pictures(gallery, folder)
    (folder / "index.html").write_text(_render(page, sections, saved), encoding="utf-8")


def _write_pictures(gallery: Gallery, folder: Path) -> None:
    for picture in gallery.pictures:
        path = folder / picture.address
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture.jpeg)


def _render(page: Page, sections: Sequence[Section], saved: dict[str, SavedPlot]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("template.html.jinja")
    return template.render(page=page, sections=sections, saved=saved, formats=FORMATS)


def _save(plot: Plot, folder: Path) -> SavedPlot:
    plot.figure.draw_without_rendering()
    plot.figure.set_layout_engine("none")  # laid out once, alike in every format
    for form in FORMATS:
        plot.figure.savefig(folder / f"{plot.name}.{form}", metadata=NO_METADATA[form])
    return SavedPlot(plot, Markup(inline_svg((folder / f"{plot.name}.svg").read_text("utf-8"), plot.name)))


def inline_svg(svg: str, name: str) -> str:
    """Make an SVG file's text ready to stand in a page: its size left to the page, its ids begun with `name`.

    matplotlib calls the parts of every figure alike (`axes_1`), and escapes `<` and `>` in text, so that
    whatever stands between the two is a tag.
    """
    root = re.sub(r' (width|height)="[^"]*"', "", svg[svg.index("<svg") :], count=2)
    prefix = rf"\1{name}-"
    return re.sub(r"<[^>]+>", lambda tag: re.sub(r'(\bid="|href="#|url\(#)', prefix, tag[0]), root)


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
