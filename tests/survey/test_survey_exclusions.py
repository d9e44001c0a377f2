"""Rules of exclusion: what they look at, measured for everyone, and what they say at their bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_answers import BEGIN, Person, made_rows
from made_experiment import made_experiment

from prunescope.errors import PrunescopeError
from prunescope.survey.design import Exclusion
from prunescope.survey.exclusions import NONE, change_rules, with_exclusions
from prunescope.survey.experiment import Experiment
from prunescope.survey.tables import SurveyTables, survey_tables

RULES = Exclusion()  # catch .8, total 135 to 2500 s, instructions 15 to 180 s, rarer 5, practice 3
GOOD: dict[str, Any] = {
    "participant": "p-1", "answers": 45, "finished": True, "catch_right": 1.0, "total_s": 600.0,
    "total_server_s": 605.0, "instructions_s": 60.0, "before_tasks_s": 80.0, "rarer": 20, "practice_rounds": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return made_experiment(tmp_path_factory.mktemp("exclusions") / "mis", "mis")


def tables_of(experiment: Experiment, rows: dict[str, list[dict[str, Any]]]) -> SurveyTables:
    columns = {"events": ["participant", "key", "kind", "elapsed_ms", "detail", "received"],
               "questions": ["participant", "question", "answer", "received"]}  # fmt: skip
    raw = {name: pd.DataFrame(own, columns=columns.get(name)) for name, own in rows.items()}
    return survey_tables(experiment, raw)


def judged(exclusion: Exclusion = RULES, *, unfinished: bool = False, **changes: Any) -> str:
    """Return the rules that exclude someone who is good but for the changes."""
    told = with_exclusions(pd.DataFrame([GOOD | changes]), exclusion, unfinished=unfinished).iloc[0]
    assert told["excluded"] == bool(told["rules"]) == bool(told["why"])
    return str(told["rules"])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ""),
        ({"catch_right": 0.8}, ""),
        ({"catch_right": 0.79}, "catch"),
        ({"catch_right": np.nan}, ""),  # there were none
        ({"total_s": 135.0, "total_server_s": 135.0}, ""),
        ({"total_s": 134.9, "total_server_s": 134.9}, "total_s"),
        ({"total_s": 2500.0, "total_server_s": 2500.0}, ""),
        ({"total_s": 2500.1, "total_server_s": 2501.0}, "total_s"),
        ({"instructions_s": 15.0}, ""),
        ({"instructions_s": 14.9}, "instructions_s"),
        ({"instructions_s": 180.0, "before_tasks_s": 400.0}, ""),
        ({"instructions_s": 180.1, "before_tasks_s": 400.0}, "instructions_s"),
        ({"rarer": 5}, ""),
        ({"rarer": 4}, "rarer"),
        ({"rarer": pd.NA}, ""),  # identification
        ({"practice_rounds": 3}, ""),
        ({"practice_rounds": 4}, "practice_rounds"),
        ({"catch_right": 0.0, "rarer": 0}, "catch rarer"),
    ],
)
def test_bounds(changes: dict[str, Any], expected: str) -> None:
    assert judged(**changes) == expected
    assert judged(NONE, **changes) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"total_s": 60.0},  # the page's clock stood still
        {"total_server_s": 60.0},  # the server's was set back
        {"total_s": 9e9},  # the page's jumped
        {"total_server_s": 9e9},  # the server's jumped; or the page was closed overnight
        {"instructions_s": 9e9},
        {"before_tasks_s": 9e9},
        {"before_tasks_s": 0.0},
    ],
)
def test_one_clock_that_jumps_excludes_nobody(changes: dict[str, Any]) -> None:
    assert judged(**changes) == ""


def test_who_has_not_answered_all_is_judged_by_what_cannot_be_mended() -> None:
    part = {"finished": False, "answers": 7, "total_s": 50.0, "total_server_s": 50.0, "rarer": 0}
    assert judged(**part) == "unfinished"
    assert judged(unfinished=True, **part) == ""
    assert judged(unfinished=True, **part | {"catch_right": 0.5}) == "catch"
    assert judged(unfinished=True, **part | {"total_s": 2600.0, "total_server_s": 2600.0}) == "total_s"
    assert judged(unfinished=True, **part | {"practice_rounds": 9}) == "practice_rounds"


def test_why_has_the_value_and_the_bound() -> None:
    rows = [GOOD | {"catch_right": 0.6, "total_s": 99.44, "total_server_s": 101.0}, GOOD]
    told = with_exclusions(pd.DataFrame(rows), RULES)
    assert told["why"].tolist() == [
        "share of catch trials right: 0.6, expected at least 0.8; seconds in all, by page and by server: 99.4 and 101, "
        "expected 135 to 2500",
        "",
    ]


def test_participants_that_are_drawn_have_one_clock() -> None:
    lean = pd.DataFrame(
        [GOOD, GOOD | {"total_s": 9000.0}, GOOD | {"instructions_s": 200.0}, GOOD | {"finished": False}]
    )
    lean = lean.drop(columns=["total_server_s", "before_tasks_s"])
    told = with_exclusions(lean, RULES)
    assert told["rules"].tolist() == ["", "total_s", "instructions_s", "unfinished"]


def test_measured_for_everyone(experiment: Experiment) -> None:
    people = [
        Person(each=20, instructions=60),
        Person(each=10, instructions=30, rounds=3, catch=0.0),
        Person(until=3, simulated=True),
        Person(only=True),
        Person(until=0),
    ]
    rows = made_rows(experiment, people)
    rows["events"].append({"participant": "p-0000000000000001", "key": "x", "kind": "fullscreen_exit",
                           "elapsed_ms": 1.0, "detail": "", "received": 0.0})  # fmt: skip
    found = tables_of(experiment, rows).participants.set_index("number")
    assert found["answers"].tolist() == [8, 8, 3, 8, 0]
    assert found["finished"].tolist() == [True, True, False, True, False]
    assert found["simulated"].tolist() == [False, False, True, False, False]
    assert found["practice_rounds"].tolist() == [1, 3, 1, 1, 1]
    assert found.loc[1, "total_s"] == 60 + 20 * (2 + 8)
    assert found.loc[1, "total_server_s"] == pytest.approx(60 + 20 * (2 + 8) + 0.05)
    assert found.loc[2, "total_s"] == 30 + 10 * (3 * 2 + 8)
    assert found.loc[3, "total_s"] == 60 + 20 * (2 + 3)
    assert np.isnan(found.loc[5, "total_s"])
    assert found["instructions_s"].tolist() == [60, 30, 60, 60, 60]
    assert found.loc[1, "before_tasks_s"] == pytest.approx(80.05)
    assert (found.loc[1, "catch_right"], found.loc[2, "catch_right"]) == (1, 0)
    assert found.loc[1, "catch_trials"] == 2
    assert found.loc[4, "rarer"] == 0
    answers = pd.DataFrame(rows["answers"])
    own = answers[(answers["participant"] == "p-0000000000000001") & (answers["phase"] == "main")]
    assert found.loc[1, "rarer"] == min((own["answer"] == side).sum() for side in ("top", "bottom"))
    assert found.loc[1, "median_rt_ms"] == own["rt_ms"].median()
    assert found["blurs"].tolist() == [1, 2, 0, 1, 2]
    assert found["fullscreen_exits"].tolist() == [1, 0, 0, 0, 0]


def test_a_page_that_began_to_count_anew(experiment: Experiment) -> None:
    rows = made_rows(experiment, [Person(each=20, instructions=60)])
    for given in rows["answers"][
        6:
    ]:  # after 60 + 6 × 20 s, with the page open for 5 s before the next answer
        given["elapsed_ms"] -= 1000 * (60 + 6 * 20 + 15)
    found = tables_of(experiment, rows).participants.iloc[0]
    assert found["total_s"] == (60 + 6 * 20) + (5 + 3 * 20)


def test_a_server_whose_clock_jumped_by_a_day(experiment: Experiment) -> None:
    rows = made_rows(experiment, [Person(each=20, instructions=60)])
    for given in rows["answers"][3:]:
        given["received"] += 86_400
    found = (
        tables_of(experiment, rows).judged_by(RULES.model_copy(update={"rarer": None})).participants.iloc[0]
    )
    assert found["total_server_s"] > 86_400
    assert (found["total_s"], found["rules"]) == (260, "")
    assert rows["participants"][0]["joined"] == BEGIN + 1000


@pytest.mark.parametrize("kind", ["pairwise", "identification"])
def test_sides_of_other_kinds(tmp_path: Path, kind: str) -> None:
    experiment = made_experiment(tmp_path / kind, kind)
    rows = made_rows(experiment, [Person(right=0.4, catch=0.5)])
    found = tables_of(experiment, rows).participants["rarer"].iloc[0]
    if kind == "identification":
        assert pd.isna(found)
        return
    main = [given["answer"] for given in rows["answers"] if given["phase"] == "main"]
    assert found == min(main.count("left"), main.count("right"))
    assert "equal" in main


def test_rules_that_are_changed() -> None:
    changed = change_rules(RULES, ["catch=.9", "total_s=100,3000", "rarer=none", "practice_rounds = 2"])
    assert changed == Exclusion(catch=0.9, total_s=(100, 3000), rarer=None, practice_rounds=2)
    assert judged(changed, catch_right=0.85, rarer=0) == "catch"
    assert change_rules(NONE, ["rarer=4"]) == NONE.model_copy(update={"rarer": 4})


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("cach=.9", r"--rule cach=\.9: expected RULE=VALUE \(did you mean 'catch'\?\)"),
        ("catch", "expected RULE=VALUE"),
        ("catch=2", "--rule catch=2: input should be less than or equal to 1"),
        ("total_s=100", "--rule total_s=100"),
        ("rarer=a: b: c", "--rule rarer"),
    ],
)
def test_rules_that_cannot_be(setting: str, words: str) -> None:
    with pytest.raises(PrunescopeError, match=words):
        change_rules(RULES, [setting])
