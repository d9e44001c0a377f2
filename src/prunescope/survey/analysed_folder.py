"""The folder of an analysis of answers: tables of the run and of the participants, and what `study.json` says."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from prunescope.errors import PrunescopeError
from prunescope.survey.design import Exclusion
from prunescope.survey.experiment import RUN, Experiment
from prunescope.survey.export import STUDY, counts_of
from prunescope.survey.tables import SurveyTables

TABLES = "tables"
ONE_OF = {  # tables of the run that are taken along, and what there is one row of
    "networks": ["network"],
    "steps": ["step"],
    "scores": ["network", "metric"],
    "units": ["network", "layer", "unit"],
    "classes": ["network", "index"],
}
OF_PEOPLE = ("votes", "participants", "answers")


def told_of(tables: SurveyTables, database: str, exclusion: Exclusion, unfinished: bool) -> dict[str, Any]:
    """Return what `study.json` says of an experiment: how many took part, and by which rules they count.

    Args:
        tables: judged by these rules.
        database: its fingerprint.
        exclusion: the rules.
        unfinished: whether who has not answered all is kept.
    """
    people = tables.participants
    by_rule = Counter(rule for rules in people.loc[people["finished"], "rules"] for rule in rules.split())
    return {
        "name": tables.experiment.name,
        "title": tables.experiment.design.title,
        "kind": tables.experiment.design.kind,
        "database": database,
        "counts": counts_of(tables),
        "exclusion": exclusion.model_dump(mode="json"),
        "excluded_by": {rule: by_rule[rule] for rule in Exclusion.model_fields if by_rule[rule]},
        "unfinished": "kept" if unfinished else "left out",
    }


def write_study(folder: Path, tables: Sequence[SurveyTables], survey: Mapping[str, Any]) -> None:
    """Write `study.json`.

    Args:
        folder: that the tables are in.
        tables: of each experiment.
        survey: whether participants are simulated, the experiments as `told_of` has them, what hangs on the rules.
    """
    rules = [_without_nan(row) for row in survey.get("rules") or []]
    study = _study(tables, {**survey, "rules": rules})
    (folder / STUDY).write_text(json.dumps(study, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _study(tables: Sequence[SurveyTables], survey: Mapping[str, Any]) -> dict[str, Any]:
    """Return `study.json`: what the run says of itself, and what was asked of whom."""
    run = _run_record(tables[0].experiment)
    whose = "simulated participants, no people" if survey["simulated"] else "participants"
    counts = [each["counts"] for each in survey["experiments"]]
    every, finished, excluded, votes = (
        sum(each[key] for each in counts) for key in ("participants", "finished", "excluded", "votes")
    )
    last = max(each.answers["received"].max() for each in tables)
    titles = " · ".join(each.experiment.design.title for each in tables)
    kept = {key: run[key] for key in ("settings", "images", "runs", "versions") if key in run}
    return kept | {
        "study": "+".join(each.experiment.name for each in tables),
        "title": f"Simulated: {titles}" if survey["simulated"] else titles,
        "description": (
            f"Answers of {every:,} {whose}: {finished:,} answered all, and the rules exclude {excluded:,} of these. "
            f"{votes:,} answers count."
        ),
        "finished": datetime.fromtimestamp(last, UTC).isoformat(timespec="seconds"),
        "survey": dict(survey),
    }


def _run_record(experiment: Experiment) -> dict[str, Any]:
    path = experiment.folder / RUN / STUDY
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PrunescopeError(
            f"{path} is missing: an experiment knows its run from `prunescope survey build`; build it again, or copy "
            "the whole folder"
        ) from error
    except (OSError, ValueError) as error:
        raise PrunescopeError(f"{path} cannot be read ({error}): build the experiment again") from error
    return record


def write_tables(folder: Path, tables: Sequence[SurveyTables]) -> None:
    """Write the tables of the run that conclusions need, and those of the participants.

    Raises:
        PrunescopeError: the experiments are of different runs.
    """
    folder.mkdir(parents=True)
    for name, keys in ONE_OF.items():
        if (joined := _of_run(name, keys, tables)) is not None:
            joined.to_parquet(folder / f"{name}.parquet", index=False)
    for name in OF_PEOPLE:
        parts = [each.by_name[name] for each in tables]
        pd.concat(parts, ignore_index=True).to_parquet(folder / f"{name}.parquet", index=False)


def _of_run(name: str, keys: list[str], tables: Sequence[SurveyTables]) -> pd.DataFrame | None:
    """Return a table of the run; of several experiments, all that they took of it."""
    paths = [each.experiment.folder / RUN / TABLES / f"{name}.parquet" for each in tables]
    parts = [pd.read_parquet(path) for path in paths if path.exists()]
    if not parts:
        return None
    joined = pd.concat(parts, ignore_index=True)
    if name == "networks":
        _refuse_other_runs(joined)
    return joined.drop_duplicates(keys, ignore_index=True)


def _refuse_other_runs(networks: pd.DataFrame) -> None:
    steps = networks.groupby("network", sort=False)["step"].nunique()
    if (steps > 1).any():
        raise PrunescopeError(
            f"the experiments are of different runs: {steps.index[steps > 1][0]!r} is another network in each; analyse "
            "each by itself"
        )


def _without_nan(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()
    }
