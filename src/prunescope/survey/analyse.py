"""From answers to conclusions: an experiment, or several of one run, as a folder that is analysed and reported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from prunescope.analysis.analyse import conclude, write_findings
from prunescope.analysis.finding import Finding
from prunescope.analysis.results import read_results
from prunescope.analysis.votes import name_of
from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.survey.analysed_folder import TABLES, told_of, write_study, write_tables
from prunescope.survey.design import Exclusion
from prunescope.survey.exclusions import NONE, change_rules
from prunescope.survey.experiment import RECORD, Experiment, read_experiment
from prunescope.survey.export import (
    ANALYSES,
    STUDY,
    changing,
    counts_of,
    fingerprint,
    participants_in,
    put_in_place,
)
from prunescope.survey.rule_effects import COLUMNS, rule_effects
from prunescope.survey.tables import SurveyTables, database_of, read_votes

AGAIN = "run the analysis again"


@dataclass(frozen=True)
class SurveyAnalysis:
    """What an analysis of people's answers wrote.

    Attributes:
        folder: with the tables, findings and report.
        page: the report.
        findings: what can be concluded.
        experiments: what was analysed: `name`, `title`, `kind`, `counts`, `exclusion`, `excluded_by`; none for
            published votes.
        rules: the main result under several sets of rules; see `rule_effects`.
        simulated: whether the participants are simulated.
    """

    folder: Path
    page: Path
    findings: list[Finding]
    experiments: list[dict[str, Any]] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    simulated: bool = False


@dataclass(frozen=True)
class Judging:
    """Whose answers count.

    Attributes:
        rules: whether the rules of the design are applied at all.
        changes: rules that are other than in the design: "catch=.9", "rarer=none".
        unfinished: keep who has not answered all of the main part.
    """

    rules: bool = True
    changes: tuple[str, ...] = ()
    unfinished: bool = False

    def exclusion(self, experiment: Experiment) -> Exclusion:
        """Return the rules for an experiment."""
        return change_rules(experiment.design.exclusion if self.rules else NONE, self.changes)


def analyse_survey(
    folders: Path | str | Sequence[Path | str],
    database: str | None = None,
    *,
    simulated: bool = False,
    judging: Judging | None = None,
    out: Path | None = None,
) -> SurveyAnalysis:
    """Analyse what people answered: conclusions, and a page that shows them.

    Args:
        folders: an experiment, several of one run, or a run that has votes, as `prunescope import-published` wrote it.
        database: a URL, of one experiment; by default that of its folder.
        simulated: the simulated participants alone. They never are in one analysis with people.
        judging: whose answers count; by default those whom the rules of the design keep.
        out: the folder to write; by default `analysis` (`analysis-simulated`) in the experiment, or the run itself.

    Raises:
        PrunescopeError: there is no answer to analyse, the experiments are of different runs, or nothing can be
            written; an earlier analysis then stays.
    """
    places = [Path(folder) for folder in ([folders] if isinstance(folders, Path | str) else folders)]
    if [place for place in places if _has_votes(place)]:
        return _analyse_run(places, database, judging, out)
    if len(places) > 1 and database is not None:
        raise PrunescopeError("--database is of one experiment: analyse that one by itself, or leave it out")
    if len(places) > 1 and out is None:
        raise PrunescopeError(
            "an analysis of several experiments is of none of them: say with --out where it goes"
        )
    judging = judging or Judging()
    tables = [_judged(read_votes(place, database, simulated=simulated), judging) for place in places]
    whose = simulated
    if not simulated and not any(len(each.participants) for each in tables):
        tables = [_only_simulated(place, database, judging) for place in places]
        whose = any(len(each.participants) for each in tables)
    _refuse_empty(tables, whose)
    urls = [database_of(each.experiment, database, simulated) for each in tables]
    place = out or places[0] / ANALYSES[whose]
    return _write(place, tables, urls, judging, whose)


def _has_votes(folder: Path) -> bool:
    return not (folder / RECORD).exists() and (folder / "tables" / "votes.parquet").exists()


def _analyse_run(
    places: Sequence[Path], database: str | None, judging: Judging | None, out: Path | None
) -> SurveyAnalysis:
    """Analyse votes that are in a run already, as they are."""
    from prunescope.report.page import write_report

    if len(places) > 1:
        raise PrunescopeError("a run that has votes is analysed by itself: give one folder")
    if database is not None or judging not in (None, Judging()):
        raise PrunescopeError(
            f"{places[0]} is a run with votes, which are analysed as they are: --database and rules are for the folder "
            "of an experiment"
        )
    findings = conclude(places[0])
    page = write_report(places[0], out)
    write_findings(findings, out or places[0])
    return SurveyAnalysis(out or places[0], page, findings)


def _judged(tables: SurveyTables, judging: Judging) -> SurveyTables:
    return tables.judged_by(judging.exclusion(tables.experiment), unfinished=judging.unfinished)


def _only_simulated(place: Path, database: str | None, judging: Judging) -> SurveyTables:
    """Return the simulated participants of a database that has no people."""
    url = database_of(read_experiment(place), database, simulated=False)
    return _judged(read_votes(place, url, simulated=True), judging)


def _refuse_empty(tables: Sequence[SurveyTables], simulated: bool) -> None:
    for each in tables:
        counts = counts_of(each)
        if counts["votes"]:
            continue
        who = "simulated participant" if simulated else "participant"
        raise PrunescopeError(
            f"{each.experiment.folder}: no answer counts: of {counts['participants']} {who}s, {counts['finished']} "
            f"answered all, and {counts['excluded']} of these are excluded; see with --exclude none or --unfinished "
            "what there is"
        )


def _write(
    place: Path, tables: Sequence[SurveyTables], urls: Sequence[str], judging: Judging, simulated: bool
) -> SurveyAnalysis:
    from prunescope.report.page import write_report

    _refuse_other(place)
    draft = place.with_name(f".{place.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of an analysis that was killed
        write_tables(draft / TABLES, tables)
        experiments = [
            told_of(each, fingerprint(url), judging.exclusion(each.experiment), judging.unfinished)
            for each, url in zip(tables, urls, strict=True)
        ]
        survey: dict[str, Any] = {"simulated": simulated, "experiments": experiments}
        write_study(draft, tables, survey)
        rules = _rule_effects(draft, tables, judging)
        write_study(draft, tables, survey | {"rules": rules})
        findings = conclude(draft)
        write_findings(findings, draft)
        write_report(draft)
        _put_in_place(draft, place, tables, urls)
    except FileNotFoundError as error:
        raise PrunescopeError(f"{draft} went away meanwhile, as someone withdrew: {AGAIN}") from error
    except OSError as error:
        raise describe_os_error(error, f"writing {place}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return SurveyAnalysis(place, place / "report" / "index.html", findings, experiments, rules, simulated)


def _rule_effects(draft: Path, tables: Sequence[SurveyTables], judging: Judging) -> list[dict[str, Any]]:
    """Return what hangs on the rules, networks being named as in conclusions; write it as a table, too."""
    results = read_results(draft)
    rows = [
        row
        for each in tables
        for row in rule_effects(
            each,
            judging.exclusion(each.experiment),
            unfinished=judging.unfinished,
            name=lambda network: name_of(network, results),
        )
    ]
    pd.DataFrame(rows, columns=list(COLUMNS)).to_parquet(draft / TABLES / "rules.parquet", index=False)
    return rows


def _refuse_other(place: Path) -> None:
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    try:
        if "survey" in json.loads((place / STUDY).read_text(encoding="utf-8")):
            return
    except (OSError, ValueError):
        pass
    raise PrunescopeError(
        f"{place} is there already and is no analysis of answers: give another folder with --out"
    )


def _put_in_place(draft: Path, place: Path, tables: Sequence[SurveyTables], urls: Sequence[str]) -> None:
    """Put an analysis in its place, unless someone who is in it has withdrawn."""
    with ExitStack() as held:
        for folder in sorted({each.experiment.folder.resolve() for each in tables}):
            held.enter_context(changing(folder))
        for each, url in zip(tables, urls, strict=True):
            if not set(each.participants["participant"]) <= participants_in(url):
                raise PrunescopeError(f"someone withdrew while the answers were analysed: {AGAIN}")
        put_in_place(draft, place)
