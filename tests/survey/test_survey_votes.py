"""Answers as votes: checked against a slow way that looks only at which picture was where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_answers import Person, made_rows, write_database
from made_experiment import made_experiment

from prunescope.errors import PrunescopeError
from prunescope.survey.experiment import Experiment, read_experiment
from prunescope.survey.storage import read_tables
from prunescope.survey.tables import SurveyTables, survey_tables
from prunescope.survey.trials import practice_of, trials_of

KINDS = ("mis", "pairwise", "identification")
PEOPLE = [
    Person(right=0.6),
    Person(right=0.5, rounds=2),
    Person(right=0.4, catch=0.0),
    Person(right=0.7, until=4),
]
LENIENT = {"total_s": None, "instructions_s": None, "rarer": None, "catch": 0.8, "practice_rounds": None}


@pytest.fixture(scope="module", params=KINDS)
def read(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Experiment, dict[str, pd.DataFrame], SurveyTables]:
    folder = tmp_path_factory.mktemp("votes") / request.param
    experiment = made_experiment(folder, request.param, exclusion=LENIENT)
    raw = read_tables(write_database(folder / "answers.sqlite", made_rows(experiment, PEOPLE)))
    return experiment, raw, survey_tables(experiment, raw)


def as_seen(experiment: Experiment, raw: dict[str, pd.DataFrame]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Say of each stored answer what it was about, from the pictures that were shown and the file of tasks alone."""
    tasks = pd.read_parquet(experiment.folder / "tasks.parquet").set_index("task")
    people = raw["participants"].set_index("participant")
    kind, found = experiment.design.kind, {}
    for _, given in raw["answers"].iterrows():
        person = people.loc[given["participant"]]
        if given["phase"] == "practice":
            shown = practice_of(experiment, int(person["seed"]), int(given["round"]))[
                int(given["position"])
            ].shown
        else:
            shown = trials_of(experiment, int(person["list"]), int(person["seed"]))[
                int(given["position"])
            ].shown
        task = tasks.loc[given["task"]]
        slots = json.loads(task["pictures"])
        slot_at = {
            place: slot for place, files in shown.items() for slot, names in slots.items() if files == names
        }
        answer, saw = given["answer"], {}
        if kind == "mis":
            slot = slot_at[answer]
            saw = {"chosen": slot.removesuffix("_query"), "correct": slot == task["right"],
                   "flipped": slot_at["bottom"] == "positive_query"}  # fmt: skip
            assert (slot_at["left"], slot_at["right"]) == ("negative", "positive")
        elif kind == "pairwise":
            sides = {side: task[slot_at[side]] for side in ("left", "right")}
            judged = None if pd.isna(task["right"]) else slot_at.get(answer) == task["right"]
            saw = {
                **sides,
                "chosen": sides.get(answer, ""),
                "correct": judged,
                "flipped": slot_at["left"] == "other",
            }
            saw["item"] = f"{task['image']}: {sides['left']} | {sides['right']}"
        else:
            known = answer in ("church", "garbage truck", "tench")
            saw = {"chosen": answer if known else "", "correct": answer == task["class"]}
        saw |= {"role": task["role"], "answer": answer, "rt_ms": given["rt_ms"]}
        found[given["participant"], given["phase"], given["round"], given["position"]] = saw
    return found


def test_every_answer_is_about_what_was_shown(
    read: tuple[Experiment, dict[str, pd.DataFrame], SurveyTables],
) -> None:
    experiment, raw, tables = read
    expected = as_seen(experiment, raw)
    rows = tables.answers.to_dict("records")
    assert len(rows) == len(expected) == len(raw["answers"])
    for row in rows:
        own = expected[row["participant"], row["phase"], row["round"], row["position"]]
        for name, value in own.items():
            assert (pd.isna(row[name]) and value is None) or row[name] == value, (name, row)
    if experiment.design.kind != "identification":  # both sides came up
        assert set(tables.answers["flipped"]) == {True, False}


def test_votes_are_the_main_answers_of_those_who_count(
    read: tuple[Experiment, dict[str, pd.DataFrame], SurveyTables],
) -> None:
    experiment, raw, tables = read
    names = raw["participants"]["participant"].tolist()
    assert tables.participants["excluded"].tolist() == [False, False, True, True]
    roles = experiment.tasks.set_index("task")["role"]
    expected = [
        (row["participant"], row["task"])
        for _, row in raw["answers"].iterrows()
        if row["phase"] == "main" and roles[row["task"]] == "main" and row["participant"] in names[:2]
    ]
    assert sorted(zip(tables.votes["participant"], tables.votes["task"], strict=True)) == sorted(expected)
    assert len(tables.votes) == 2 * experiment.design.tasks
    assert (tables.votes["correct"].isna()).all() == (experiment.design.kind == "pairwise")
    order = list(zip(tables.answers["participant"], tables.answers["phase"], strict=True))
    assert order == sorted(order, key=lambda each: (each[0], each[1] == "main"))
    assert tables.answers.groupby(["participant", "phase", "round"])["position"].apply(list).map(
        lambda places: places == list(range(len(places)))
    ).all()  # fmt: skip


def test_answers_of_another_experiment_are_refused(tmp_path: Path) -> None:
    experiment = made_experiment(tmp_path / "one", "mis")
    rows = made_rows(experiment, [Person()])
    url = write_database(tmp_path / "answers.sqlite", rows)
    other = made_experiment(tmp_path / "other", "mis", lists=4, seed=5)
    with pytest.raises(
        PrunescopeError, match=r"not of this experiment: participant p-0000000000000001 .* --database"
    ):
        survey_tables(other, read_tables(url))
    rows["participants"][0]["list"] = 17  # which there is not
    with pytest.raises(PrunescopeError, match="not of this experiment"):
        survey_tables(
            read_experiment(tmp_path / "one"), read_tables(write_database(tmp_path / "two.sqlite", rows))
        )
