from __future__ import annotations

import math
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from synthetic import write_study

from prunescope.analysis.published.corrected import corrected_means
from prunescope.analysis.published.importing import import_published
from prunescope.analysis.results import Results, read_results
from prunescope.analysis.votes import preferences
from prunescope.report.blocks import Section, Table
from prunescope.report.page import write_report
from prunescope.report.published import published
from prunescope.report.theme import RC
from prunescope.report.traces import marks_of
from prunescope.report.votes import votes
from published_files import (
    accuracies,
    answers,
    compressions,
    dissection,
    identification,
    totals,
    units,
    write,
)

HOSTILE = "</script><script>alert('x')</script> \"$a$\" \\ \u202e" + "long " * 40


def run_of(folder: Path, **tables: pd.DataFrame) -> Path:
    return import_published(write(folder / "in", **tables), folder / "runs").runs[0]


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read_results(run_of(tmp_path_factory.mktemp("methods"), x=accuracies(), y=units()))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("asked")
    return read_results(run_of(folder, a=compressions(), b=answers(), c=identification()))


def section_of(made: Section | None) -> Section:
    assert made is not None
    return made


def column(table: Table, name: str) -> list[float]:
    numbers = [row[table.columns.index(name)].number for row in table.cells]
    return [math.nan if number is None else number for number in numbers]


def draw(section: Section, name: str) -> matplotlib.figure.Figure:
    with matplotlib.rc_context(RC):
        figure = next(plot for plot in section.plots if plot.name == name).draw()
        figure.draw_without_rendering()
    return figure


def test_a_study_of_ones_own_has_no_such_section(tmp_path: Path) -> None:
    results = read_results(write_study(tmp_path / "own"))
    assert published(results) is None
    assert votes(results) is None


def test_means_with_dead_units_stand_beside_those_without(methods: Results) -> None:
    section = section_of(published(methods))
    found = corrected_means(methods)
    assert found is not None
    table = section.tables[0]
    assert len(table.rows) == len(found.means) == 12
    rows = [each for own in found.by_series().values() for each in own]
    assert column(table, "Mean MIS as published") == [each.scored for each in rows]
    assert column(table, "Dead units set aside") == [each.live for each in rows]
    assert f"{found.pooled('scored'):.3f}" in table.caption
    assert f"{found.pooled('live'):.3f}" in table.caption
    text = " ".join([*section.text, *(fact.text for fact in section.facts)])
    assert "inferred" in text
    assert "taken for one that was pruned away" in text


def test_the_figure_draws_each_mean(methods: Results) -> None:
    found = corrected_means(methods)
    assert found is not None
    marks = marks_of(draw(section_of(published(methods)), "published-and-corrected"))
    for panel, which in enumerate(("scored", "live", "layer")):
        drawn = {(mark.series, round(mark.x, 6)): mark.y for mark in marks if mark.panel == panel}
        for each in found.means:
            assert drawn[each.series, round(each.rate, 6)] == pytest.approx(getattr(each, which))


def test_votes_are_drawn_with_both_intervals(asked: Results) -> None:
    section = section_of(votes(asked))
    assert [plot.name for plot in section.plots] == ["votes", "votes-by-class", "identification", "agreement"]
    marks = marks_of(draw(section, "votes"))
    over = [mark for mark in marks if mark.series == "over participants and items"]
    naive = [mark for mark in marks if mark.series == "as if answers were independent"]
    for pair, mark, thin in zip(preferences(asked), over, naive, strict=True):
        assert mark.x == thin.x == pytest.approx(pair.share)
        assert mark.x_ends == pytest.approx((pair.crossed.low, pair.crossed.high))
        assert thin.x_ends == pytest.approx(pair.as_if_independent)
    bars = [mark.x for mark in marks if mark.series == "prefer the less pruned"]
    assert bars == pytest.approx([pair.counts[0] / sum(pair.counts) for pair in preferences(asked)])


def test_the_table_of_votes_counts_them(asked: Results) -> None:
    table = section_of(votes(asked)).tables[0]
    pairs = preferences(asked)
    assert column(table, "Less pruned") == [pair.counts[0] for pair in pairs]
    assert column(table, "More pruned") == [pair.counts[1] for pair in pairs]
    assert column(table, "χ² as if independent") == pytest.approx([pair.chi2 for pair in pairs])
    beside = section_of(published(asked)).tables[0]
    assert column(beside, "χ², as published") == pytest.approx([pair.chi2 for pair in pairs])


def test_by_class_each_panel_has_each_class(asked: Results) -> None:
    figure = draw(section_of(votes(asked)), "votes-by-class")
    marks = marks_of(figure)
    assert {mark.panel for mark in marks} == {0, 1, 2}
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [f"{i}-class" for i in range(5)]


def test_totals_say_that_there_is_no_interval(tmp_path: Path) -> None:
    results = read_results(run_of(tmp_path, d=totals()))
    section = section_of(votes(results))
    assert "Only totals" in section.warnings[0]
    assert [plot.name for plot in section.plots] == ["votes"]
    marks = marks_of(draw(section, "votes"))
    assert all(math.isnan(mark.x_ends[0]) for mark in marks if mark.series == "over participants and items")
    beside = section_of(published(results)).tables[0]
    assert all(row[-1].text == "–" for row in beside.cells) or "p over participants" not in " ".join(
        beside.columns
    )


@pytest.mark.usefixtures("svg_alone")
@pytest.mark.parametrize(
    "tables",
    [
        {"x": accuracies(), "y": units()},
        {"x": accuracies()},
        {"l1": dissection(1), "l2": dissection(2)},
        {"a": compressions(), "b": answers(), "d": totals()},
        {"c": identification()},
    ],
    ids=["methods", "accuracies", "dissection", "answers", "identification"],
)
def test_every_kind_of_published_study_has_a_page(tmp_path: Path, tables: dict[str, pd.DataFrame]) -> None:
    page = write_report(run_of(tmp_path, **tables)).read_text("utf-8")
    corrects = {"y", "b"} & set(tables)
    assert ("Published and corrected" if corrects else "Where the numbers are from") in page
    assert str(tmp_path) not in page


@pytest.mark.usefixtures("svg_alone")
def test_no_name_runs_in_the_page(tmp_path: Path) -> None:
    given = answers()
    hostile = given.assign(
        stimulus=given["stimulus"] + HOSTILE,
        **{"class": HOSTILE + given["class"]},
        participant=given["participant"].astype(str) + HOSTILE,
        image=HOSTILE,
    )
    folder = tmp_path / "in"
    write(folder, b=hostile)
    run = import_published(folder, tmp_path / "runs").runs[0]
    page = write_report(run)
    for file in [page, *page.parent.rglob("*.js"), *page.parent.rglob("*.svg")]:
        text = file.read_text("utf-8")
        assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in page.read_text("utf-8")


def test_one_class_and_one_pair_are_drawn(tmp_path: Path) -> None:
    given = answers()
    one = given[(given["class"] == "0-class") & (given["left"] + given["right"] == 3)]
    section = section_of(votes(read_results(run_of(tmp_path, b=one))))
    for plot in section.plots:
        assert marks_of(draw(section, plot.name))
