"""What is concluded about people: sentences, corrections, and who they are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from made_votes import (
    identification_votes,
    made_participants,
    mis_votes,
    pairwise_votes,
    people_results,
    write_people_run,
)
from prunescope.analysis.csv_text import csv_text
from prunescope.analysis.finding import Finding
from prunescope.analysis.findings import find, is_survey
from prunescope.analysis.mixed_answers import mixed_answers
from prunescope.analysis.published.importing import import_published
from prunescope.analysis.results import Results, read_results
from prunescope.analysis.several import read_several
from prunescope.analysis.votes import holm_of
from published_files import answers, compressions, write

QUESTIONS = {
    "right answers", "right answers against dense", "right answers by layer", "confidence", "side effects",
    "mixed model of answers", "people and MIS", "people and MIS, linear", "slope of MIS",
}  # fmt: skip


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Results:
    votes, units = mis_votes(seed=5, people=60, worse=0.7, learning=1.5, by_person=0.3)
    return people_results(
        tmp_path_factory.mktemp("people") / "run", votes, units, survey={"simulated": False}
    )


@pytest.fixture(scope="module")
def found(asked: Results) -> list[Finding]:
    return find(asked)


def of(found: list[Finding], question: str) -> list[Finding]:
    return [each for each in found if each.question == question]


def test_every_question_has_an_answer(found: list[Finding]) -> None:
    assert {each.question for each in found} >= QUESTIONS
    assert not any("simulated" in each.sentence for each in found)
    assert not any("nan" in each.sentence or "None" in each.sentence for each in found)


@pytest.mark.parametrize("question", sorted(QUESTIONS))
def test_families_are_corrected_and_sentences_say_the_verdict(found: list[Finding], question: str) -> None:
    own = of(found, question)
    if question != "slope of MIS":
        assert [each.p_holm for each in own] == pytest.approx(holm_of(each.p for each in own))
    for each in own:
        assert each.verdict in each.sentence
        assert (each.verdict == "shown") == (each.p_holm < 0.05)
        assert each.n


def test_what_was_put_in_is_shown_and_the_rest_is_not(found: list[Finding]) -> None:
    right = of(found, "right answers against dense")
    assert right[1].verdict == "shown"
    assert right[1].high < 0
    assert right[1].weight > 0
    effects = {each.about: each.verdict for each in of(found, "side effects")}
    assert effects["learning"] == "shown"
    assert effects["side"] == effects["repetition"] == "not shown"
    (slope,) = of(found, "slope of MIS")
    assert slope.low < slope.estimate < slope.high
    assert all(
        "a perfect predictor could be expected to reach" in each.sentence
        for each in of(found, "people and MIS")
    )


def test_a_survey_is_asked_only_about_people(found: list[Finding], tmp_path: Path) -> None:
    about_networks = {"composition", "correlation", "dead units", "trend"}
    assert not about_networks & {each.question for each in found}
    votes, units = mis_votes()
    run = find(people_results(tmp_path / "run", votes, units))
    assert about_networks & {each.question for each in run}


def test_simulated_participants_are_called_so(tmp_path: Path) -> None:
    votes, units = mis_votes(people=30, simulated=True)
    for name, rows in (
        ("mis", votes),
        ("pairwise", pairwise_votes().assign(simulated=True)),
        ("identification", identification_votes().assign(simulated=True)),
    ):
        sentences = [
            each.sentence for each in find(people_results(tmp_path / name, rows, units, survey={"a": 1}))
        ]
        told = [sentence for sentence in sentences if "participant" in sentence]
        assert told
        for sentence in told:
            rest = sentence.replace("over participants and", "").replace("participants and items is", "")
            assert "simulated participant" in sentence or "participant" not in rest, sentence


def test_a_published_study_without_the_order_of_answers_is_as_it_was(tmp_path: Path) -> None:
    imported = import_published(write(tmp_path / "in", a=compressions(), b=answers()), tmp_path / "runs")
    found = find(read_results(imported.runs[0]))
    assert {"votes", "agreement"} <= {each.question for each in found}
    assert not QUESTIONS & {each.question for each in found}


def test_pairs_have_a_model_with_the_side(tmp_path: Path) -> None:
    results = people_results(tmp_path / "run", pairwise_votes(prefer=1.0, side=0.8))
    (found,) = mixed_answers(results)
    effects = {each.name: each for each in found.model.effects}
    assert effects["side"].low < 2 * 0.8 < effects["side"].high  # from one side to the other
    pruned = effects["dense-seed0 | filters-0.8-pruned-seed0"]
    assert pruned.low < 1.0 < pruned.high
    told = of(find(results), "mixed model of answers")
    assert [each.verdict for each in told] == ["shown", "not shown", "shown"]


def test_a_network_whose_answers_are_all_right_is_told(tmp_path: Path) -> None:
    votes, units = mis_votes(people=30)
    votes = votes.assign(correct=votes["correct"] | (votes["network"] == "dense-seed0"))
    found = of(
        find(people_results(tmp_path / "run", votes, units, survey={"a": 1})), "mixed model of answers"
    )
    assert any("no finite estimate" in each.sentence for each in found)


def test_one_participant_concludes_nothing(tmp_path: Path) -> None:
    votes, units = mis_votes()
    alone = votes[votes["participant"] == "p0"]
    found = find(people_results(tmp_path / "run", alone, units, survey={"a": 1}))
    assert {each.verdict for each in found} == {"no interval"}


def test_participants_of_several_runs_are_told_apart(tmp_path: Path) -> None:
    runs = []
    for seed, name in enumerate(("one", "two")):
        votes, units = mis_votes(seed=seed, people=12)
        people = made_participants(votes)
        runs.append(write_people_run(tmp_path / name, votes, units, people, {"name": name}))
    results = read_several(runs)
    assert is_survey(results)
    assert results.participants["participant"].nunique() == 2 * 15
    assert set(results.votes["participant"]) <= set(results.participants["participant"])


def test_a_text_for_a_spreadsheet_begins_no_formula_and_no_row() -> None:
    for text in ("=1", "＝1", "＋1", "－1", "＠a"):
        assert csv_text(pd.DataFrame({"a": [text]})) == f"a\n'{text}\n"
    assert csv_text(pd.DataFrame({"a": ["x\r=1"], "n": [1]})) == '"a","n"\n"x\r=1",1\n'
