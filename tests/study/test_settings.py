"""What a study file may say: each mistake is answered with file, line, field and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from places import REPOSITORY
from prunescope.errors import PrunescopeError
from prunescope.study.run import read_study
from prunescope.study.settings import SeriesSettings, StudySettings

STUDY = """\
study: demo
network:
  name: prunescope/sprig
images:
  train: folder:train
  test: folder:test
prune:
  - series: a
    granularity: weight
    rates: [0.5]
  - series: b
    granularity: filter
    rates: [0.5]
retrain:
  epochs: 2
measure:
  - accuracy
"""


def said(folder: Path, old: str = "", new: str = "") -> str:
    """Return the answer to the study with `old` replaced by `new`."""
    assert old in STUDY
    path = folder / "study.yaml"
    path.write_text(STUDY.replace(old, new, 1))
    with pytest.raises(PrunescopeError) as error:
        read_study(path)
    return str(error.value).replace(f"{folder}/", "")


MISTAKES = {
    "a typo in a field": (
        "retrain:",
        "retrian:",
        "study.yaml:14: retrian: unknown field (did you mean 'retrain'",
    ),
    "a typo further in": (
        "epochs: 2",
        "epoch: 2",
        "study.yaml:15: retrain.epoch: unknown field (did you mean 'epochs'?)",
    ),
    "a wrong type": (
        "epochs: 2",
        "epochs: two",
        "study.yaml:15: retrain.epochs: expected a whole number, got 'two'",
    ),
    "no list of rates": ("[0.5]", "0.5", "study.yaml:10: prune.0.rates: expected a list, got 0.5"),
    "a negative rate": (
        "[0.5]",
        "[0.5, -0.1]",
        "study.yaml:10: prune.0.rates.1: -0.1 is not allowed: must be greater than or equal to 0",
    ),
    "everything removed": (
        "[0.5]",
        "[0.5, 1.0]",
        "study.yaml:10: prune.0.rates.1: 1.0 is not allowed: must be less than 1",
    ),
    "a rate twice": ("[0.5]", "[0.5, 0.50001]", "study.yaml:8: prune.0: two rates are alike to four digits"),
    "an unknown granularity": (
        "filter",
        "filtre",
        "study.yaml:12: prune.1.granularity: expected 'weight', 'filter', 'connection', 'kernel' or 'n:m', got "
        "'filtre' (did you mean 'filter'?)",
    ),
    "an unknown score": (
        "rates",
        "score: l3\n    rates",
        "study.yaml:10: prune.0.score: no score 'l3'; known: batch-norm-scale, car, fpgm,",
    ),
    "an unknown measure": (
        "- accuracy",
        "- acuracy",
        "study.yaml:16: measure: no measure 'acuracy' (did you mean 'accuracy'?); known: accuracy, dissection, "
        "explanations, forgetting, mis, size",
    ),
    "an unknown setting of a measure": (
        "- accuracy",
        "- accuracy: {bin: 3}",
        "accuracy.bin: Extra inputs are not permitted; known: batch, precision, bins",
    ),
    "a measure twice": (
        "- accuracy",
        "- accuracy\n  - accuracy: {bins: 3}",
        "study.yaml:16: measure: accuracy is to be measured twice",
    ),
    "two series of one name": ("series: b", "series: a", "study.yaml:7: prune: two series are called 'a'"),
    "a series called dense": (
        "series: b",
        "series: dense",
        "study.yaml:7: prune: a series cannot be called 'dense'",
    ),
    "per_round without rounds": (
        "rates: [0.5]",
        "per_round: 0.2\n    schedule: iterative",
        "study.yaml:8: prune.0: per_round and rounds go together",
    ),
    "rounds at once": (
        "rates: [0.5]",
        "per_round: 0.2\n    rounds: 3",
        "study.yaml:8: prune.0: per_round and rounds go together, with schedule: iterative",
    ),
    "rates and rounds": (
        "rates: [0.5]",
        "rates: [0.5]\n    rounds: 3",
        "study.yaml:8: prune.0: give either rates, per_round and rounds, a budget, or factors",
    ),
    "no rates": (
        "    rates: [0.5]\n",
        "",
        "study.yaml:8: prune.0: give either rates, per_round and rounds, a budget, or factors",
    ),
    "falling rates": (
        "rates: [0.5]",
        "rates: [0.5, 0.4]\n    schedule: iterative",
        "study.yaml:8: prune.0: the rates of iterative pruning must rise",
    ),
    "retraining without images": (
        "  train: folder:train\n",
        "",
        "'a' is to be retrained without images.train; or say retrain: {kind: none}",
    ),
    "a share above 1": (
        "test: folder:test",
        "test: folder:test\n  validate: 1.5",
        "study.yaml:7: images.validate: a fraction above 0 and below 1",
    ),
    "a name that is no folder": (
        "study: demo",
        "study: a/b",
        "study.yaml:1: study: letters, digits, dots, dashes and underscores only",
    ),
    "the name of the store's own folder": (
        "study: demo",
        "study: steps",
        "study.yaml:1: study: that folder holds the steps",
    ),
    "a seed twice": (
        "retrain:",
        "seeds: [1, 1]\nretrain:",
        "study.yaml:14: seeds: the seed 1 is given twice",
    ),
    "a negative seed": ("retrain:", "seeds: [-1]\nretrain:", "study.yaml:14: seeds.0: -1 is not allowed"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_with_line_field_and_fix(mistake: str, tmp_path: Path) -> None:
    old, new, expected = MISTAKES[mistake]
    answer = said(tmp_path, old, new)
    assert expected in answer
    assert "\n" not in answer  # one mistake, one line


def test_training_from_scratch_needs_images(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("study: a\nnetwork: {name: prunescope/sprig}\nimages: {test: 'folder:test'}\n")
    with pytest.raises(PrunescopeError, match=r"without network\.weights .* which needs images\.train"):
        read_study(path)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    answer = said(
        tmp_path, "retrain:\n  epochs: 2", "retrain:\n  epochs: two\n  bach: 3\ntheads: 1"
    ).splitlines()
    assert [line.split(": ")[0] for line in answer] == ["study.yaml:15", "study.yaml:16", "study.yaml:17"]


def series(**chosen: Any) -> SeriesSettings:
    return SeriesSettings.model_validate({"series": "a", "granularity": "weight", **chosen})


def test_rounds_take_a_fraction_of_what_is_left() -> None:
    targets = series(schedule="iterative", per_round=0.33, rounds=4).targets
    assert [target.rate for target in targets] == pytest.approx((0.33, 0.5511, 0.699237, 0.798489), abs=1e-6)
    assert [target.rate for target in series(rates=[0.4, 0.2]).targets] == [0.4, 0.2]


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"granularity": "n:m", "schedule": "gradual"}, "cannot rise gradually"),
        ({"schedule": "gradual", "recalibrate": 8}, "leave recalibrate out"),
        ({"recalibrate": 1}, "greater than or equal to 2"),
        (
            {"rates": None, "budget": {"of": "milliseconds", "at_most": [5]}},
            "only for filters and connections",
        ),
    ],
)
def test_what_cannot_work_is_said_before_any_work(chosen: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        series(**{"rates": [0.5], **chosen})


def test_measures_are_names_or_names_with_settings() -> None:
    study = yaml.safe_load(STUDY) | {"measure": [{"accuracy": {"bins": 7}}, "size"]}
    chosen = StudySettings.model_validate(study).measure
    assert [choice.name for choice in chosen] == ["accuracy", "size"]
    assert chosen[0].resolved().model_dump() == {"batch": 128, "precision": "fp32", "bins": 7}


def test_what_a_study_says_survives_being_written_down() -> None:
    settings = StudySettings.model_validate(yaml.safe_load(STUDY))
    again = StudySettings.model_validate_json(settings.model_dump_json(by_alias=True))
    assert again == settings


def test_every_field_has_its_sentence() -> None:
    def bare(schema: dict[str, Any]) -> list[str]:
        return [
            f"{name}.{field}"
            for name, model in schema["$defs"].items()
            for field, about in model.get("properties", {}).items()
            if "description" not in about and "$ref" not in about  # a mapping is told by its own fields
        ]

    schema = StudySettings.model_json_schema()
    assert not [field for field in bare(schema) if not field.startswith("MeasureChoice")]


def test_the_schema_accepts_the_studies_of_the_repository_and_refuses_a_typo() -> None:
    import jsonschema

    schema = json.loads(json.dumps(StudySettings.model_json_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    studies = sorted((REPOSITORY / "studies").glob("*.yaml"))
    assert studies
    for path in studies:
        study, document = read_study(path)  # by our own reader, whose numbers are those of YAML 1.2
        assert not [error.message for error in validator.iter_errors(document.data)], path
        assert study.study == path.stem
    typo = yaml.safe_load(STUDY.replace("epochs", "epoch"))
    assert [error.message for error in validator.iter_errors(typo)]
