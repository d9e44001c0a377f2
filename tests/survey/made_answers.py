"""Answers to made experiments, as the server keeps them: people who are told how to answer, in a real database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from made_experiment import NETWORKS
from sqlalchemy import insert

from prunescope.analysis.published.study import network_row, networks_table, score, scores_table
from prunescope.survey import storage
from prunescope.survey.experiment import Experiment
from prunescope.survey.trials import answers_of, practice_of, trials_of

BEGIN = 1_790_000_000.0


@dataclass(frozen=True)
class Person:
    """How one takes part: what is right with which chance, how fast, how far.

    Attributes:
        right: chance of a right answer; where none is wrong, of the first answer that there is.
        catch: the same of catch trials.
        instructions: seconds.
        each: seconds an answer.
        until: main answers given, None for all.
        rounds: of practice.
        only: give the first answer that there is, always.
    """

    right: float = 0.9
    catch: float = 1.0
    instructions: float = 60.0
    each: float = 20.0
    until: int | None = None
    rounds: int = 1
    only: bool = False
    simulated: bool = False
    platform: str = "direct"
    platform_participant: str | None = None


def made_rows(
    experiment: Experiment, people: Sequence[Person], seed: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the database: participants, answers, events, questions."""
    rows: dict[str, list[dict[str, Any]]] = {"participants": [], "answers": [], "events": [], "questions": []}
    for number, person in enumerate(people, start=1):
        rng = np.random.default_rng([seed, number])
        name, joined = f"p-{number:016x}", BEGIN + 1000 * number
        own: dict[str, Any] = {
            "participant": name, "number": number, "session_hash": f"hash{number}",
            "list": (number - 1) % len(experiment.tasks_of_list), "seed": 7919 * number, "simulated": person.simulated,
            "platform": person.platform, "platform_participant": person.platform_participant, "platform_study": None,
            "platform_session": None, "submit_to": None, "stage": "main", "phase": "main", "round": 1,
            "joined": joined, "seen": joined, "instructions_ms": 1000 * person.instructions, "main_started": None,
            "finished": None, "left": False, "code": f"code-{number}",
        }  # fmt: skip
        elapsed = person.instructions
        shown = [
            ("practice", round, trial)
            for round in range(1, person.rounds + 1)
            for trial in practice_of(experiment, own["seed"], round)
        ]
        main = trials_of(experiment, own["list"], own["seed"])
        shown += [("main", 1, trial) for trial in main[: person.until]]
        counts: dict[tuple[str, int], int] = {}
        for phase, round, trial in shown:
            elapsed += person.each
            position = counts[phase, round] = counts.get((phase, round), -1) + 1
            chance = {"practice": 1.0, "catch": person.catch, "main": person.right}[trial.role]
            values = [answer.value for answer in answers_of(experiment)]
            wanted = trial.right or values[0]
            others = [value for value in values if value != wanted]
            answer = wanted if rng.random() < chance else str(rng.choice(others))
            if phase == "main" and person.only:
                answer = values[0]
            rows["answers"].append(
                {
                    "participant": name, "phase": phase, "round": round, "position": position,
                    "key": f"{name}-{phase}-{round}-{position}", "task": trial.task, "answer": answer,
                    "confidence": int(rng.integers(1, 4)) if experiment.design.confidence > 1 else None,
                    "rt_ms": 1000 * person.each * float(rng.uniform(0.5, 0.9)), "elapsed_ms": 1000 * elapsed,
                    "received": joined + elapsed + 0.05,
                }
            )  # fmt: skip
        if person.until is None or person.until >= len(main):
            own |= {"finished": joined + elapsed + 1, "stage": "done"}
        rows["participants"].append(own)
        rows["events"] += [
            {"participant": name, "key": f"{name}-{i}", "kind": "blur", "elapsed_ms": 1000.0 * i, "detail": "",
             "received": joined + i}
            for i in range(number % 3)
        ]  # fmt: skip
    return rows


def write_database(path: Path, rows: dict[str, list[dict[str, Any]]]) -> str:
    """Write rows into a new SQLite database as the server makes it, and return its URL."""
    url = f"sqlite:///{path}"
    engine = storage.open_engine(url)
    storage.metadata.create_all(engine)
    with engine.begin() as connection:
        for table in storage.TABLES:
            if rows[table.name]:
                connection.execute(insert(table), rows[table.name])
    engine.dispose()
    return url


def write_run(experiment: Experiment) -> None:
    """Write what the experiment keeps of its run."""
    tables = experiment.folder / "run" / "tables"
    tables.mkdir(parents=True)
    rows = [network_row(NETWORKS[0], "dense", "dense", 0.0)]
    rows += [
        network_row(name, "filters", "retrained", rate, granularity="filter", parent=NETWORKS[0])
        for name, rate in zip(NETWORKS[1:], (0.5, 0.8), strict=True)
    ]
    networks = networks_table(rows, "made")
    networks.to_parquet(tables / "networks.parquet", index=False)
    scores = [score(name, "top1", top1) for name, top1 in zip(NETWORKS, (0.9, 0.88, 0.8), strict=True)]
    scores_table(scores).to_parquet(tables / "scores.parquet", index=False)
    steps = networks[["step"]].assign(
        kind="train", label="made", status="done", seconds=1.0, reused=False, error=None
    )
    steps.to_parquet(tables / "steps.parquet", index=False)
    record = {"study": "made", "title": "A made run", "settings": {"network": {"name": "made"}}, "images": {}}
    (experiment.folder / "run" / "study.json").write_text(json.dumps(record))


def light_page(folder: Path, out: Path | None = None) -> Path:
    """Write a page that says little, in place of the report, for tests of what is around it."""
    page = (out or folder) / "report" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text((folder / "study.json").read_text())
    return page
