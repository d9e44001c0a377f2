import io
import subprocess
import sys

import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from synthetic import SERIES, write_study
from synthetic_units import write_unit_study
from test_report_page import NAMES, SMALL, Page

import prunescope as ps
from prunescope.analysis.findings import find, table_of_findings
from prunescope.analysis.results import read_results
from prunescope.report.page import write_report
from prunescope.report.saved_figures import project_looks, save


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_unit_study(tmp_path_factory.mktemp("notebook") / "study", **SMALL)


@pytest.fixture(scope="module")
def run(folder):
    return ps.open_run(str(folder))


@pytest.fixture(scope="module")
def report(folder):
    return write_report(folder).parent


@pytest.mark.parametrize("form", ["svg", "png"])
def test_figures_are_those_of_the_report_to_the_byte(run, report, tmp_path, form):
    assert run.figures
    assert {path.stem for path in (report / "figures").glob(f"*.{form}")} == set(run.figures)
    for name in ("top1-by-rate", "mis-by-rate", "density-by-layer"):
        figure = run.figure(name)
        assert isinstance(figure, Figure)
        with project_looks():
            save(figure, tmp_path / f"{name}.{form}")
        assert (tmp_path / f"{name}.{form}").read_bytes() == (
            report / "figures" / f"{name}.{form}"
        ).read_bytes()


def test_a_figure_shows_itself_as_a_picture(run):
    data, size = run.figure("top1-by-rate", width=4)._repr_png_()
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        assert picture.size == pytest.approx((2 * size["width"], 2 * size["height"]), abs=1)
    assert size["width"] == 4 * 96


def test_a_figure_that_there_is_not_is_refused(run):
    with pytest.raises(ps.PrunescopeError, match=r"no figure 'top1-by-rat' .did you mean 'top1-by-rate'"):
        run.figure("top1-by-rat")


def test_tables_and_findings_are_those_of_the_run(run, folder):
    results = read_results(folder)
    pd.testing.assert_frame_equal(run.networks, results.networks)
    pd.testing.assert_frame_equal(run.tables["units"], results.units)
    assert "votes" not in run.tables
    pd.testing.assert_frame_equal(run.findings, table_of_findings(find(results)))
    assert run.findings["sentence"].str.len().gt(0).all()


def test_margins_reach_the_findings(folder):
    margins = (
        ps.open_run(folder, margins={"top1": 0.2}).findings.query("measure == 'top1'")["margin"].dropna()
    )
    assert set(margins) == {0.2}
    with pytest.raises(ps.PrunescopeError, match="no measure 'top2' to give a margin for"):
        ps.open_run(folder, margins={"top2": 0.2})


def test_what_came_out_is_shown_in_place(run):
    shown = Page(run._repr_html_())
    words = " ".join(shown.words)
    assert "Three ways to prune a small network" in words
    assert "This report compares" in words
    for name in run.figures:
        assert name in words
    heaviest = run.findings.sort_values("weight", ascending=False, kind="stable").iloc[0]
    assert heaviest["sentence"] in words
    assert repr(run) == f"Run('study', {len(run.networks)} networks)"


def test_names_stay_names_in_a_notebook(tmp_path):
    series = [(name, *SERIES[0][1:]) for name in (*NAMES, "$\\href{javascript:alert(3)}{x}$")]
    folder = write_study(tmp_path / "s", **SMALL, series=series)
    html = ps.open_run(folder)._repr_html_()
    tags = {tag for tag, _ in Page(html).tags}
    assert tags <= {"div", "h3", "p", "ul", "li", "strong", "em", "code"}
    assert all(set(attributes) <= {"class"} for _, attributes in Page(html).tags)
    # MathJax, which notebooks run over all that they show, leaves these classes alone.
    assert html.startswith('<div class="tex2jax_ignore mathjax_ignore">')
    assert html.count("<div") == html.count("</div>") == 1


def test_several_runs_open_as_one(folder, tmp_path):
    other = write_study(tmp_path / "other", **SMALL, series=SERIES[:1])
    theirs = write_study(tmp_path / "theirs", **SMALL, series=SERIES[:1], published={"source": "Doe 2024"})
    run = ps.open_run([folder, other], published=[theirs])
    assert "other: filters" in set(run.networks["series"])
    drawn = {str(line.get_label()) for line in run.figure("top1-by-rate").axes[0].lines}
    assert {"study: filters", "other: filters", "published: filters"} <= drawn


def test_a_notebook_needs_no_torch(folder):
    code = (
        "import sys, prunescope as ps; run = ps.open_run(sys.argv[1]); run._repr_html_(); run.figure('top1-by-rate'); "
        "assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
