"""From a study's folder to a page that opens from the disk, without server or network, and its figures."""

from __future__ import annotations

import re
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import jinja2
import matplotlib
from markupsafe import Markup

from prunescope.errors import describe_os_error
from prunescope.report.blocks import Gallery, Plot, Section
from prunescope.report.results import Results, read_results
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


def write_report(folder: Path) -> Path:
    """Write `report/index.html` and the files beside it into a study's folder; same tables, same bytes.

    Raises:
        PrunescopeError: a table or `study.json` is missing or damaged, or the report cannot be written.
    """
    results = read_results(folder)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".report-") as temporary:
            new = Path(temporary) / "report"
            _write(results, new, folder.name)
            _replace(folder / "report", new, Path(temporary) / "previous")
    except OSError as error:
        raise describe_os_error(error, f"writing the report in {folder}") from error
    return folder / "report" / "index.html"


def _write(results: Results, folder: Path, name: str) -> None:
    (folder / "figures").mkdir(parents=True)
    with matplotlib.rc_context(RC), warnings.catch_warnings():
        # The page shows any script; a PDF shows a box for a letter that the font lacks.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        sections = [section for make in SECTIONS if (section := make(results)) is not None]
        saved = {plot.name: _save(plot, folder / "figures") for section in sections for plot in section.plots}
    for section in sections:
        if section.browser is not None:
            section.browser.write(folder)
        for gallery in section.galleries:
            _write_pictures(gallery, folder)
    page = _render(results, sections, saved, name)
    (folder / "index.html").write_text(page, encoding="utf-8")


def _write_pictures(gallery: Gallery, folder: Path) -> None:
    for picture in gallery.pictures:
        path = folder / picture.address
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture.jpeg)


def _render(results: Results, sections: list[Section], saved: dict[str, SavedPlot], name: str) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    study = results.study
    return environment.get_template("template.html.jinja").render(
        title=study.get("title") or study.get("study") or name,
        study=study.get("study") or name,
        description=study.get("description") or "",
        finished=str(study.get("finished") or "")[:10],  # the day
        sections=sections,
        saved=saved,
        formats=FORMATS,
    )


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
