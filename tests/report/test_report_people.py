"""The section on people: its figures draw the numbers, its tables tell them, and simulated people are named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from made_votes import (
    identification_votes,
    made_participants,
    mis_votes,
    pairwise_votes,
    write_people_run,
)
from prunescope.analysis.people_and_mis import people_and_mis, people_by_unit
from prunescope.analysis.people_slope import people_slope
from prunescope.analysis.results import Results, read_results
from prunescope.analysis.right_answers import right_answers, right_by_layer
from prunescope.report.blocks import Section, Table
from prunescope.report.figure_names import FIGURES, Figures
from prunescope.report.page import write_report
from prunescope.report.theme import RC
from prunescope.report.traces import Mark, marks_of
from prunescope.report.votes import votes

FIGURES_OF_TASKS = ["right-answers", "right-by-layer", "confidence", "people-and-mis", "slope-of-people"]
HOSTILE = "</script><script>alert('x')</script> \u202e$a$ "
RULES = {
    "catch": 0.8,
    "total_s": [135, 2500],
    "instructions_s": [15, 180],
    "rarer": None,
    "practice_rounds": 3,
}


def survey(**more: Any) -> dict[str, Any]:
    told = {"name": "made", "kind": "mis", "exclusion": RULES, "excluded_by": {"catch": 3}}
    rule = {
        "rules": "no rule", "experiment": "mis", "stimulus": "units", "condition": "dense-seed0", "participants": 63,
        "votes": 1260, "estimate": 0.71, "low": 0.65, "high": None,
    }  # fmt: skip
    return {"simulated": False, "experiments": [told], "rules": [rule]} | more


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    answers, units = mis_votes(seed=5, people=60, worse=0.5, by_person=0.3)
    folder = tmp_path_factory.mktemp("people") / "run"
    return write_people_run(folder, answers, units, made_participants(answers), survey())


@pytest.fixture(scope="module")
def asked(run: Path) -> Results:
    return read_results(run)


@pytest.fixture(scope="module")
def section(asked: Results) -> Section:
    return section_of(asked)


def section_of(results: Results) -> Section:
    made = votes(results)
    assert made is not None
    return made


def marks(section: Section, name: str) -> list[Mark]:
    with matplotlib.rc_context(RC):
        figure = next(plot for plot in section.plots if plot.name == name).draw()
        figure.draw_without_rendering()
    return marks_of(figure)


def table(section: Section, column: str) -> Table:
    return next(each for each in section.tables if column in each.columns)


def column(table: Table, name: str) -> list[float]:
    numbers = [row[table.columns.index(name)].number for row in table.cells]
    return [math.nan if number is None else number for number in numbers]


def texts(table: Table, name: str) -> list[str]:
    return [row[table.columns.index(name)].text for row in table.cells]


def test_tasks_of_units_have_their_figures_and_names(section: Section, asked: Results) -> None:
    names = [plot.name for plot in section.plots]
    assert names[:5] == FIGURES_OF_TASKS
    assert set(names) <= FIGURES.keys()
    assert set(Figures(asked).plots) == set(names)  # of a survey, nothing else is drawn
    assert section.warnings == []
    assert "guessing is right half of the time" in section.text[0]


def test_shares_are_drawn_and_told_by_network_and_layer(section: Section, asked: Results) -> None:
    found = right_answers(asked)
    drawn = marks(section, "right-answers")
    assert [mark.x for mark in drawn] == pytest.approx([each.share for each in found])
    assert [mark.x_ends for mark in drawn] == [
        pytest.approx((each.crossed.low, each.crossed.high)) for each in found
    ]
    told = table(section, "Against dense")
    assert column(told, "Right") == pytest.approx([each.share for each in found])
    assert column(told, "Against dense")[1:] == pytest.approx([each.change.estimate for each in found[1:]])
    layers = marks(section, "right-by-layer")
    own = [mark for mark in layers if mark.series == "over participants and units"]
    assert sorted(mark.x for mark in own) == pytest.approx(
        sorted(each.share for each in right_by_layer(asked))
    )
    beside = [mark for mark in layers if mark.series == "dense, or the least pruned"]
    assert len(beside) == 2 * 2  # layers of the two networks that are not dense


def test_units_are_drawn_against_mis_with_the_ceiling(section: Section, asked: Results) -> None:
    drawn, units = marks(section, "people-and-mis"), people_by_unit(asked)
    scatter = [mark for mark in drawn if mark.panel == 0]
    expected = sorted(zip(units["mis"], units["right"] / units["answers"], strict=True))
    assert sorted((mark.x, mark.y) for mark in scatter) == [pytest.approx(pair) for pair in expected]
    assert {mark.series for mark in scatter} == {"dense", "50 %", "80 %"}
    assert all("unit" in mark.name for mark in scatter)
    found = people_and_mis(asked)
    forest = [mark for mark in drawn if mark.series == "over participants and units"]
    assert [mark.x for mark in forest] == pytest.approx([each.spearman.estimate for each in found])
    told = table(section, "Noise ceiling")
    assert column(told, "Noise ceiling") == pytest.approx([each.ceiling.most for each in found], nan_ok=True)
    assert column(told, "Pearson") == pytest.approx([each.pearson.estimate for each in found])


def test_slopes_are_drawn_through_the_bins(section: Section, asked: Results) -> None:
    found = people_slope(asked)
    assert found is not None
    drawn = marks(section, "slope-of-people")
    people = [mark for mark in drawn if mark.series == "over participants and units"]
    assert [(mark.x, mark.y) for mark in people] == [
        pytest.approx((margin, share.estimate)) for margin, share in found.bins
    ]
    curve = [mark for mark in drawn if mark.series.endswith("which fits best")]
    assert [mark.y for mark in curve] == pytest.approx(
        [1 / (1 + math.exp(-found.fit.slope * mark.x)) for mark in curve]
    )
    default = [mark for mark in drawn if mark.series == "slope 16, which MIS was scored with"]
    assert [mark.y for mark in default] == pytest.approx(
        [1 / (1 + math.exp(-16 * mark.x)) for mark in default]
    )
    assert column(table(section, "Guessed"), "Slope")[0] == pytest.approx(found.fit.slope)


def test_confidence_is_drawn_by_level(section: Section) -> None:
    drawn = marks(section, "confidence")
    assert [round(mark.x) for mark in drawn] == [1, 2, 3]
    assert all(mark.y_ends[0] < mark.y < mark.y_ends[1] for mark in drawn)


def test_side_effects_and_the_model_are_tables(section: Section) -> None:
    effects = table(section, "Side effect")
    assert len(effects.rows) == 5
    assert "Share of the upper image beyond one half" in texts(effects, "Side effect")
    model = table(section, "Log odds")
    assert texts(model, "Effect") == ["dense", "50 %, less dense", "80 %, less dense", "last task less first"]
    assert "networks: χ²" in model.caption


def test_exclusions_are_told_with_what_was_measured(section: Section, asked: Results) -> None:
    rules = table(section, "Rule")
    assert "Of 63\u00a0participants, 3 left out" in rules.caption
    told = dict(zip(texts(rules, "What is looked at"), texts(rules, "Rule"), strict=True))
    assert told == {
        "Share of catch trials that are right": "at least 0.8", "Seconds in all": "135 to 2500",
        "Seconds over the instructions": "15 to 180", "Answers for the rarer side": "not applied",
        "Rounds of practice": "at most 3",
    }  # fmt: skip
    assert column(rules, "Left out") == [3, 0, 0, 0, 0]
    assert column(rules, "Median")[1] == pytest.approx(asked.participants["total_s"].median())
    assert column(rules, "Least")[0] == 0.4
    assert texts(table(section, "Why"), "Participant") == ["x0", "x1", "x2"]
    other = table(section, "Rules")
    assert texts(other, "Share") == ["71.0\u00a0%"]
    assert column(other, "Participants") == [63]


def test_simulated_participants_come_with_a_warning_first(tmp_path: Path) -> None:
    answers, units = mis_votes(people=30, simulated=True)
    made = section_of(read_results(write_people_run(tmp_path / "run", answers, units)))
    assert "simulated" in made.warnings[0]
    assert "simulated" in made.title
    told = [*(each.caption for each in (*made.plots, *made.tables)), *(plot.alt for plot in made.plots)]
    assert all("Simulated participants" in each for each in told)
    assert made.plots[0].draw().get_suptitle() == "Simulated participants"


@pytest.mark.parametrize(
    ("kind", "figures", "effects"),
    [("pairwise", ["votes", "agreement"], 3), ("identification", ["identification", "agreement"], 4)],
)
def test_other_designs_have_side_effects_and_a_model_too(
    tmp_path: Path, kind: str, figures: list[str], effects: int
) -> None:
    answers = pairwise_votes() if kind == "pairwise" else identification_votes()
    folder = write_people_run(
        tmp_path / "run", answers, participants=made_participants(answers), survey=survey()
    )
    made = section_of(read_results(folder))
    assert [plot.name for plot in made.plots] == figures
    assert len(table(made, "Side effect").rows) == effects
    rows = texts(table(made, "Log odds"), "Effect")
    assert "last task less first" in rows
    assert ("left side less right" in rows) == (kind == "pairwise")


@pytest.mark.usefixtures("svg_alone")
def test_the_page_holds_it_and_no_name_runs_in_it(tmp_path: Path) -> None:
    answers, units = mis_votes(people=24)
    hostile = {layer: HOSTILE + layer for layer in units["layer"].unique()}
    answers = answers.assign(
        layer=answers["layer"].map(hostile), participant=HOSTILE + answers["participant"]
    )
    units = units.assign(layer=units["layer"].map(hostile))
    people = made_participants(answers).assign(why=HOSTILE)
    folder = write_people_run(tmp_path / "run", answers, units, people, survey(rules=[{"rules": HOSTILE}]))
    page = write_report(folder)
    for file in [page, *page.parent.rglob("*.svg")]:
        assert "<script>alert" not in file.read_text("utf-8")
    text = page.read_text("utf-8")
    assert "What people say" in text
    assert "&lt;script&gt;alert" in text
    assert 'id="figure-people-and-mis"' in text
    assert "What units respond to: MIS" not in text  # only a sample of units was asked about


def test_one_network_with_units_of_one_layer_is_drawn(tmp_path: Path) -> None:
    answers, units = mis_votes(people=20, networks=("dense-seed0",))
    answers, units = answers[answers["layer"] == "conv1"], units[units["layer"] == "conv1"]
    made = section_of(read_results(write_people_run(tmp_path / "run", answers, units)))
    names = [plot.name for plot in made.plots]
    assert "right-by-layer" not in names
    for name in names:
        assert marks(made, name)
