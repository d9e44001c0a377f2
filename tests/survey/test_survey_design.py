from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from made_experiment import made_design, made_experiment

from prunescope.errors import PrunescopeError
from prunescope.survey.design import KINDS, Design, packaged, packaged_text, read_design
from prunescope.survey.experiment import read_experiment
from prunescope.survey.filled_texts import NAMES, filled


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_packaged_design_that_is_printed_is_the_packaged_design(kind, tmp_path):
    assert read_design(written(tmp_path, packaged_text(kind))) == read_design(kind)
    assert read_design(written(tmp_path, f"kind: {kind}\n")) == read_design(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_texts_say_what_people_agree_to(kind):
    design = read_design(kind)
    consent = " ".join(design.consent).lower()
    for word in ("purpose", "minutes", "risks", "kept", "voluntary", "withdraw", "questions", "18 years"):
        assert word in consent
    assert 3 <= len(design.instructions) <= 5
    named = set(re.findall(r"\{(\w+)\}", " ".join((*design.consent, *design.instructions, design.prompt))))
    assert {"trials", "practice", "minutes"} <= named <= set(NAMES)
    assert design.exclusion.catch == 0.8
    assert design.exclusion.catch * design.catch <= design.catch - 1  # one slip excludes nobody


def test_mis_has_the_numbers_of_the_paper():
    design = read_design("mis")
    assert (design.pool.units, design.tasks, design.catch, design.confidence) == (84, 40, 5, 3)
    assert design.pool.tasks_per_unit * design.answers_per_task == 30
    assert design.pool.units * design.pool.tasks_per_unit % design.tasks == 0
    assert design.exclusion.total_s == (135, 2500)
    assert design.exclusion.instructions_s == (15, 180)
    assert all(len(answer.keys) == design.confidence for answer in design.answers or ())


def test_what_a_design_leaves_out_is_as_packaged(tmp_path):
    mine = read_design(
        written(tmp_path, "kind: mis\ntasks: 12\nexclusion: {catch: null}\nwords: {dont_know: Weiß nicht}\n")
    )
    own = read_design("mis")
    assert mine.tasks == 12
    assert mine.exclusion == own.exclusion.model_copy(update={"catch": None})
    assert mine.words == {**own.words, "dont_know": "Weiß nicht"}
    assert mine.model_copy(update={"tasks": 40, "exclusion": own.exclusion, "words": own.words}) == own


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: mis\n\ntask: 12\n", r"mine.yaml:3: task: unknown field \(did you mean 'tasks'\?\)"),
        ("kind: mis\npool:\n  units: many\n", "mine.yaml:3: pool.units: expected a whole number, got 'many'"),
        ("kind: mis\npool:\n  stimulus: [heat]\n", "mine.yaml:3: pool.stimulus: unknown field"),
        ("tasks: 3\nkind: paired\n", "mine.yaml:2: kind is 'paired'.*did you mean 'pairwise'"),
        ("tasks: 3\n", "mine.yaml:1: kind is None"),
        ("kind: mis\nanswers:\n- {value: left, label: Left}\n", "mine.yaml:2: answers: those of mis are bottom, top"),
        ("kind: pairwise\nanswers:\n- {value: left, label: Left}\n", "mine.yaml:2: answers: those of pairwise are eq"),
        ("kind: pairwise\nanswers: [{value: left, label: L}, {value: right, label: R}, {value: right, label: r}]\n",
         "mine.yaml:2: answers: two have the same value"),
        ("kind: identification\npool: {stimuli: [heat]}\n", "mine.yaml:2: pool: a heat map shows the whole photograph"),
        ("kind: pairwise\npool: {stimuli: [heat, heat]}\n", "one of the stimuli is named twice"),
        ("kind: mis\nquestions:\n- {id: Age, text: x}\n", "mine.yaml:3: questions.0.id"),
        ("kind: mis\nquestions:\n- {id: a, text: x, kind: choice}\n", "choices are given for kind: choice"),
        ("kind: mis\nplatform: {code: 'a b'}\n", "mine.yaml:2: platform.code"),
        ("kind: mis\ntiming: {lock_ms: -1}\n", "mine.yaml:2: timing.lock_ms: -1 is not allowed"),
        ("kind: mis\ntasks: 3\ntasks: 4\n", "mine.yaml:3: 'tasks' is given twice"),
    ],
)  # fmt: skip
def test_errors_say_file_and_line(tmp_path, text, said):
    with pytest.raises(PrunescopeError, match=said):
        read_design(written(tmp_path, text))


def test_a_design_that_is_not_there_and_a_kind_that_is_none(tmp_path):
    with pytest.raises(PrunescopeError, match="no file"):
        read_design(tmp_path / "mis")
    with pytest.raises(PrunescopeError, match=r"no design 'miss' .did you mean 'mis'"):
        packaged_text("miss")


def test_texts_are_filled_in():
    design = made_design(
        "mis", consent=["{minutes} minutes"], instructions=["{trials}, {practice}"], prompt="{classes}?"
    )
    done = filled(design, trials=45, classes="a, b")
    # 45 trials and 2 practice tasks of 10 s are 7.8 minutes, and 2 go to reading
    assert (done.consent, done.instructions, done.prompt) == (("10 minutes",), ("45, 2",), "a, b?")
    with pytest.raises(PrunescopeError, match=r"consent: \{minute\} is no name.*did you mean 'minutes'"):
        filled(made_design("mis", consent=["{minute}"]), 45, "")


def test_any_text_survives_being_frozen(tmp_path):
    texts = [
        "1e5",
        "0o17",
        "no",
        "~",
        "1:30",
        "2026-01-01",
        "- a",
        "{x",
        "a: b # c",
        "Größe\n\nzwei",
        "'",
        "=cmd",
        "1_000",
    ]
    design = made_design("identification", answers=[{"value": text, "label": text} for text in texts])
    experiment = made_experiment(tmp_path / "made", "identification")
    assert [answer.value for answer in Design.model_validate(design.model_dump()).answers or ()] == texts
    again = made_experiment(
        tmp_path / "again", "identification", answers=[a.model_dump() for a in design.answers or ()]
    )
    assert [answer.value for answer in read_experiment(again.folder).design.answers or ()] == texts
    assert experiment.design.answers is None


def test_packaged_designs_are_plain_yaml():
    for kind in KINDS:
        assert yaml.safe_load(packaged_text(kind))["kind"] == kind
        assert Design.model_validate(packaged(kind)) == read_design(kind)
