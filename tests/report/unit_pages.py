"""Pages of units for tests: written with few sections in one format, and their scripts read as data."""

import json

import pandas as pd
import pytest
from synthetic import SERIES

from prunescope.report import page
from prunescope.report.explorer import explorer
from prunescope.report.page import write_report

SHAPE = {
    "widths": (4, 40),
    "rates": (0.2, 0.6),
    "series": SERIES[:2],
    "classes": ["a", "b", "c"],
    "layers": 2,
}
LAYERS = ["inception0a.branch0.conv", "inception1a.branch1.conv", "fc"]


def report_on(folder, sections=(explorer,)):
    """Write the report with few sections in one format, which takes a part of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "FORMATS", ("svg",))
        patch.setattr("prunescope.report.sections.SECTIONS", sections)
        write_report(folder)
    return folder


def handed_over(path, function):
    """Return what a script beside the page calls a function of unit_files.js with."""
    script = path.read_text("utf-8")
    assert script.startswith(f"unitFiles.{function}(")
    assert script.endswith(");\n")
    return json.loads(f"[{script[len(f'unitFiles.{function}(') : -3]}]")


def index_of(folder):
    html = (folder / "report" / "index.html").read_text("utf-8")
    start = html.index('id="explorer-index">') + len('id="explorer-index">')
    return json.loads(html[start : html.index("</script>", start)])


def table_of(folder, name):
    return pd.read_parquet(folder / "tables" / f"{name}.parquet")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
