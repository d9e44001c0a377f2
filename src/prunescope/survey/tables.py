"""The tables of an experiment's answers, read from its database: votes, participants, answers, questions, events."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from prunescope.errors import PrunescopeError
from prunescope.survey.codebook import typed
from prunescope.survey.design import Exclusion
from prunescope.survey.exclusions import participants_table, with_exclusions
from prunescope.survey.experiment import Experiment, read_experiment
from prunescope.survey.votes import Raw, answers_table, votes_table

SIMULATED = "simulated.sqlite"


@dataclass(frozen=True, eq=False)
class SurveyTables:
    """What came of an experiment; the columns are those of `codebook`.

    Attributes:
        experiment: that was asked.
        votes: answers to tasks of the main part, of participants who are not excluded.
        participants: with what the rules look at, and what they say.
        answers: all answers.
        questions: what was answered beside the tasks.
        events: what happened in the browsers.
    """

    experiment: Experiment
    votes: pd.DataFrame
    participants: pd.DataFrame
    answers: pd.DataFrame
    questions: pd.DataFrame
    events: pd.DataFrame

    @property
    def by_name(self) -> dict[str, pd.DataFrame]:
        """The tables by name."""
        names = ("votes", "participants", "answers", "questions", "events")
        return {name: getattr(self, name) for name in names}

    def of(self, *, simulated: bool) -> SurveyTables:
        """Return what is of simulated participants alone, or of people alone."""
        own: dict[str, Any] = {
            name: table[table["simulated"] == simulated].reset_index(drop=True)
            for name, table in self.by_name.items()
        }
        return replace(self, **own)

    def judged_by(self, exclusion: Exclusion, *, unfinished: bool = False) -> SurveyTables:
        """Return the same with other rules of exclusion."""
        participants = with_exclusions(self.participants, exclusion, unfinished=unfinished)
        excluded = dict(zip(participants["participant"], participants["excluded"], strict=True))
        answers = self.answers.assign(excluded=self.answers["participant"].map(excluded).astype("boolean"))
        votes = votes_table(self.experiment, answers)
        return replace(self, participants=participants, answers=answers, votes=votes)


def read_votes(
    folder: Path | str, database: str | None = None, *, simulated: bool | None = None
) -> SurveyTables:
    """Read what was answered in an experiment, also while it is being served, judged by the rules of its design.

    Args:
        folder: the experiment, as `prunescope survey build` wrote it.
        database: a URL; by default that of the folder's own database, of simulations if `simulated`.
        simulated: simulated participants alone, or people alone; None for both, marked.

    Raises:
        PrunescopeError: nobody has answered yet, or the database is of another experiment.
    """
    from prunescope.survey.storage import read_tables

    experiment = read_experiment(folder)
    tables = survey_tables(experiment, read_tables(database_of(experiment, database, bool(simulated))))
    return tables if simulated is None else tables.of(simulated=simulated)


def database_of(experiment: Experiment, database: str | None, simulated: bool) -> str:
    """Return the URL of the database to read.

    Raises:
        PrunescopeError: the folder has none.
    """
    from prunescope.survey.storage import FILE, database_url, sqlite_file

    own = experiment.folder / (SIMULATED if simulated else FILE)
    url = database_url(experiment.folder, database or f"sqlite:///{own}")
    file = sqlite_file(url)
    if file is None or file.is_file():
        return url
    if database is not None:
        raise PrunescopeError(f"there is no database {file}: check --database")
    if simulated:
        raise PrunescopeError(
            f"nothing was simulated yet (no {file}): run `prunescope survey simulate` first"
        )
    other = experiment.folder / SIMULATED
    hint = "; what was simulated is read with --simulated" if other.is_file() else ""
    raise PrunescopeError(
        f"nobody has answered yet (no {file}): serve the experiment with `prunescope survey serve`, or name the "
        f"database that it was served with (--database){hint}"
    )


def survey_tables(experiment: Experiment, raw: Raw) -> SurveyTables:
    """Make the tables from those of the database, judged by the rules of the design.

    Raises:
        PrunescopeError: the database is of another experiment.
    """
    answers = answers_table(experiment, raw)
    participants = participants_table(experiment, raw, answers)
    unjudged = SurveyTables(
        experiment,
        answers.iloc[:0],
        participants,
        answers,
        _questions(experiment, raw),
        typed("events", _in_order(experiment, raw, "events", ["received", "key"]), experiment.design),
    )
    return unjudged.judged_by(experiment.design.exclusion)


def _questions(experiment: Experiment, raw: Raw) -> pd.DataFrame:
    rows = _in_order(experiment, raw, "questions", ["question"])
    kind = {question.id: question.kind for question in experiment.design.questions}
    number = [
        _number(answer) if kind.get(question) == "number" else math.nan
        for question, answer in zip(rows["question"], rows["answer"], strict=True)
    ]
    return typed("questions", rows.assign(number=number), experiment.design)


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return math.nan


def _in_order(experiment: Experiment, raw: Raw, name: str, by: list[str]) -> pd.DataFrame:
    """Return rows of participants in the order of their numbers, and whether each is simulated."""
    people = raw["participants"][["participant", "number", "simulated"]]
    rows = raw[name].merge(people, on="participant").sort_values(["number", *by], kind="stable")
    return rows.assign(experiment=experiment.design.kind)
