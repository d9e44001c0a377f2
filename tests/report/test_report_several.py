import json
import shutil

import pandas as pd
import pytest
from synthetic import SERIES, write_study
from synthetic_speed import write_speed_study
from synthetic_units import write_unit_study
from test_report_page import NAMES, SMALL, Page

from prunescope.analysis.several import read_several
from prunescope.cli.report import report
from prunescope.errors import PrunescopeError
from prunescope.report import figures, page, sections, theme
from prunescope.report.page import write_report
from prunescope.report.provenance import method, reproduce
from prunescope.report.speed_times import times_of
from prunescope.report.summary import summary
from prunescope.report.units import units
from prunescope.report.weights_left import weights_left

PUBLISHED = {"source": "Doe & Roe 2024", "file": "x.csv", "inferred": ["The rate is inferred."]}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(page, "FORMATS", ("svg",))


@pytest.fixture
def runs(tmp_path):
    return [write_study(tmp_path / name, **SMALL, series=SERIES[:2]) for name in ("first", "second")]


@pytest.fixture
def theirs(tmp_path):
    return write_study(
        tmp_path / "theirs",
        **SMALL,
        series=SERIES[:2],
        published=PUBLISHED,
        images={"source": "ImageNet", "test": 9},
    )


def change_table(folder, name, change):
    path = folder / "tables" / f"{name}.parquet"
    change(pd.read_parquet(path)).to_parquet(path)


def trained_anew(folder, worse=0.1):
    change_table(folder, "networks", lambda t: t.assign(step=t["step"].mask(t["stage"] == "dense", "anew")))
    dense = "dense-seed0"
    change_table(
        folder,
        "scores",
        lambda t: t.assign(value=t["value"] - worse * ((t["network"] == dense) & (t["metric"] == "top1"))),
    )
    change_table(folder, "classes", lambda t: t.assign(top1=t["top1"] - worse * (t["network"] == dense)))
    return folder


def facts(section):
    return {fact.term: fact.text for fact in section.facts}


def test_several_runs_get_one_page_in_a_folder_of_its_own(runs, tmp_path):
    before = {path: path.read_bytes() for run in runs for path in run.rglob("*") if path.is_file()}
    out = tmp_path / "new" / "both"
    assert write_report(runs, out) == out / "report" / "index.html"
    text = (out / "report" / "index.html").read_text("utf-8")
    for name in ("first: filters", "second: weights", "2 runs compared: first, second"):
        assert name in text
    assert "../tables/" not in text
    assert {path: path.read_bytes() for path in before} == before
    assert not any((run / "report").exists() for run in runs)
    first = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write_report(runs, out)
    assert {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()} == first


def test_where_the_page_goes_must_be_said(runs, tmp_path):
    with pytest.raises(PrunescopeError, match="say with --out which folder it goes to"):
        write_report(runs)
    with pytest.raises(
        PrunescopeError, match="first is a run with a report of its own: give --out another folder"
    ):
        write_report(runs, runs[0])
    (tmp_path / "file").write_text("")
    with pytest.raises(PrunescopeError, match="file is a file: expected a folder for the report"):
        write_report(runs, tmp_path / "file")


def test_the_page_of_one_run_can_go_elsewhere(runs, tmp_path):
    assert write_report(runs[0], tmp_path / "else").is_file()
    assert not (runs[0] / "report").exists()


def test_names_of_runs_are_names(tmp_path):
    runs = []
    for place, name in enumerate(NAMES[:2]):
        folder = write_study(tmp_path / str(place), **SMALL, series=[(name, *SERIES[0][1:])])
        study = json.loads((folder / "study.json").read_text("utf-8"))
        (folder / "study.json").write_text(json.dumps(study | {"study": name, "title": NAMES[2]}))
        runs.append(folder)
    theirs = write_study(
        tmp_path / "theirs",
        **SMALL,
        series=[(NAMES[0], *SERIES[0][1:])],
        published={"source": NAMES[1], "inferred": [NAMES[0]]},
    )
    shown = Page(write_report(runs, tmp_path / "out", published=[theirs]).read_text("utf-8"))
    assert not [attributes for tag, attributes in shown.tags if tag == "img" and attributes.get("src") == "x"]
    for file in (tmp_path / "out").rglob("*.svg"):
        assert "<script" not in file.read_text("utf-8")
    words = " ".join(shown.words)
    assert f"{NAMES[0]}: {NAMES[0]}" in words
    assert f"published: {NAMES[0]}" in words


def test_what_runs_did_alike_is_told_once_and_what_not_by_run(runs):
    study = json.loads((runs[1] / "study.json").read_text("utf-8"))
    study["settings"]["retraining"]["epochs"] = 3
    study["machine"] = {"device": "cuda"}
    (runs[1] / "study.json").write_text(json.dumps(study))
    section = method(read_several(runs))
    told = facts(section)
    assert told["Network"] == "torchvision/googlenet"
    assert told["Machine, second"] == "device cuda"
    assert "threads 2" in told["Machine, first"]
    assert told["Retraining, second"].startswith("epochs 3")
    unlike = next(table for table in section.tables if "differ" in table.caption)
    assert [list(row) for row in unlike.rows] == [["retraining.epochs", "10", "3"]]
    whole = next(table for table in section.tables if table.caption.startswith("All settings"))
    assert ["network.name", "torchvision/googlenet", "torchvision/googlenet"] in [
        list(row) for row in whole.rows
    ]
    told = facts(reproduce(read_several(runs)))
    assert told["Command, first"] == "prunescope run first.yaml"
    assert "prunescope 0.1.0" in told["Versions"]


def test_classes_and_times_are_compared_with_the_dense_network_of_the_run(tmp_path):
    """Not with that of the same seed of another run, which is 0.1 worse here."""
    one = write_speed_study(tmp_path / "one", series=SERIES[:1], rates=(0.2, 0.6))
    other = write_speed_study(tmp_path / "other", series=SERIES[:1], rates=(0.2, 0.6))
    trained_anew(other)
    both = read_several([one, other])
    lost = times_of(both).table.groupby("series")["lost"].max()
    assert lost["one: filters"] == pytest.approx(0.21 * 0.6**2)
    assert lost["other: filters"] == pytest.approx(0.21 * 0.6**2 - 0.1)
    change = sections._change_by_class(both)
    ours, theirs = (change[f"{name}: filters", "60\u00a0%"] for name in ("one", "other"))
    assert (theirs - ours).to_numpy() == pytest.approx(0.1)


def test_dense_networks_that_differ_are_two_lines(runs):
    trained_anew(runs[1])
    figure = figures.accuracy_by_rate(read_several(runs))
    lines = {line.get_label(): line for line in figure.axes[0].lines if "dense" in str(line.get_label())}
    assert lines["first: dense"].get_ydata()[0] == pytest.approx(0.912)
    assert lines["second: dense"].get_ydata()[0] == pytest.approx(0.812)
    assert lines["first: dense"].get_linestyle() != lines["second: dense"].get_linestyle()
    assert {"first: dense", "second: dense"} <= {text.get_text() for text in figure.legends[0].get_texts()}


def test_published_curves_are_drawn_in_a_look_of_their_own(runs, theirs):
    alone, results = read_several(runs[:1]), read_several(runs[:1], [theirs])
    before = theme.looks(alone.series, alone.controls, alone.published)
    after = theme.looks(results.series, results.controls, results.published)
    assert {name: after[name] for name in before} == before
    added = [after[name] for name in results.published]
    assert len({look.marker for look in added}) == len(added) == 2
    for look in added:
        assert look.hollow
        assert look.line == "--"
        assert look.colour in theme.PUBLISHED_COLOURS
    drawn = {str(line.get_label()): line for line in figures.accuracy_by_rate(results).axes[1].lines}
    own, along = drawn["filters"], drawn["published: filters"]
    assert along.get_ydata() == pytest.approx(own.get_ydata())  # they lie in tables alike
    assert along.get_linewidth() < own.get_linewidth()
    assert along.get_markerfacecolor() == "white" != own.get_markerfacecolor()


def test_captions_and_method_say_what_is_published(runs, theirs):
    results = read_several(runs[:1], [theirs])
    [caption] = [plot.caption for plot in sections.accuracy(results).plots if plot.name == "top1-by-rate"]
    assert "published by Doe & Roe 2024" in caption
    change_table(theirs, "scores", lambda t: t[t["metric"] != "top5"])
    [other] = [
        plot.caption
        for plot in sections.accuracy(read_several(runs[:1], [theirs])).plots
        if "other" in plot.name
    ]
    assert "published" not in other  # since nothing published is drawn there
    assert "published" not in sections.accuracy(read_several(runs[:1])).plots[0].caption
    told = facts(method(results))["Published, drawn along: theirs"]
    for part in ("Doe & Roe 2024", "their images differ (scenes and ImageNet)", "The rate is inferred."):
        assert part in told


def test_a_legend_names_no_published_series_that_is_not_drawn(runs, theirs):
    change_table(
        theirs, "scores", lambda t: t[~((t["metric"] == "top5") & t["network"].str.startswith("weights"))]
    )
    results = read_several(runs[:1], [theirs])
    figure = figures.small_multiples(results, [figures.Measure("top5", "Top-5", True)])
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "published: filters" in named
    assert "published: weights" not in named
    assert "weights" in named


def test_only_figures_show_what_is_published(runs, theirs, tmp_path):
    copy = shutil.copytree(runs[0], tmp_path / "copy")
    plain = Page(write_report(copy).read_text("utf-8"))
    along = Page(write_report(runs[0], published=[theirs]).read_text("utf-8"))
    for section in ("summary", "networks", "size", "failed", "findings"):
        assert along.tables.get(section) == plain.tables.get(section)
    assert "published: filters" in " ".join(along.words)


def test_what_only_published_networks_have_makes_no_section(runs, tmp_path):
    theirs = write_unit_study(tmp_path / "theirs", **{**SMALL, "rates": (0.95,)}, published=PUBLISHED)
    own = write_study(tmp_path / "own", **SMALL, measures=("size",))
    results = read_several([own], [theirs])
    assert sections.accuracy(theirs_alone := read_several([theirs])) is not None
    assert units(theirs_alone) is not None
    assert weights_left(theirs_alone) is not None
    assert [make(results) for make in (sections.accuracy, units, weights_left)] == [None] * 3


def test_the_summary_compares_each_series_with_its_own_dense_network(runs):
    one = summary(read_several(runs))
    assert "compares 1\u00a0dense network with" in one.text[0]
    assert [fact.term for fact in one.numbers if "ense" in fact.term] == ["Dense top-1", "Dense network"]
    trained_anew(runs[1])
    two = summary(read_several(runs))
    assert "compares 2\u00a0dense networks with" in two.text[0]
    assert "second: dense names the right class of 81.2" in two.text[0]
    assert {"Dense top-1, first: dense", "Dense top-1, second: dense"} < {fact.term for fact in two.numbers}
    change_table(
        runs[0], "scores", lambda t: t.assign(value=t["value"] - 0.3 * (t["network"] != "dense-seed0"))
    )
    [table] = summary(read_several(runs)).tables
    low, best = table.cells[0][2].number, table.cells[0][1].text
    assert best.startswith("second: ")
    assert table.cells[0][3].number == pytest.approx(low - 0.812)


def test_an_audit_stands_alone(runs, tmp_path):
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "audit.json").write_text("{}")
    with pytest.raises(
        PrunescopeError, match="audit is an audit, whose report stands alone: give it without other"
    ):
        report([*runs, tmp_path / "audit"])


def test_the_command_compares_runs_with_margins(runs, theirs, tmp_path, capsys):
    report(runs, tmp_path / "out", [theirs], ["top1=0.2"])
    assert capsys.readouterr().out == f"report: {tmp_path / 'out' / 'report' / 'index.html'}\n"
    findings = pd.read_csv(tmp_path / "out" / "report" / "findings.csv")
    assert set(findings.loc[findings["measure"] == "top1", "margin"].dropna()) == {0.2}
    assert not findings["series"].astype(str).str.startswith("published").any()
    assert findings["series"].astype(str).str.startswith("second: ").any()
