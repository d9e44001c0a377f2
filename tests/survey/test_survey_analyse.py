"""From answers to a page: what is written, whose answers are in it, and the published votes by the same command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_answers import Person, light_page, made_rows, write_database, write_run
from made_experiment import NETWORKS, made_experiment
from rich.console import Console
from typer.testing import CliRunner

from prunescope.analysis.published.importing import import_published
from prunescope.cli.main import app
from prunescope.cli.survey_analyse import _print_rules
from prunescope.errors import PrunescopeError
from prunescope.survey import analyse, storage
from prunescope.survey.analyse import Judging, SurveyAnalysis, analyse_survey
from prunescope.survey.exclusions import NONE
from prunescope.survey.experiment import Experiment
from prunescope.survey.rule_effects import rule_effects
from prunescope.survey.tables import read_votes
from prunescope.survey.withdrawal import erase

RULES = {"total_s": None, "instructions_s": [15, 180], "rarer": 1, "catch": 0.8, "practice_rounds": 3}
LACKING = ("with the unfinished", "pairwise")  # as rules are that a design does not have
PEOPLE = [
    *[Person(right=0.5 + 0.02 * i) for i in range(20)],
    Person(catch=0.0), Person(instructions=3), Person(only=True), Person(rounds=4), Person(until=4), Person(until=0),
    Person(simulated=True), Person(simulated=True),
]  # fmt: skip


def served(folder: Path, kind: str, people: list[Person] = PEOPLE, prefix: str = "p") -> Experiment:
    experiment = made_experiment(folder, kind, exclusion=RULES)
    write_run(experiment)
    rows = made_rows(experiment, people)
    for own in rows.values():
        for row in own:
            row["participant"] = row["participant"].replace("p-", f"{prefix}-")
    write_database(folder / "answers.sqlite", rows)
    return experiment


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunescope.report.page.write_report", light_page)


@pytest.fixture
def quick(light: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyse, "conclude", lambda run: [])


@pytest.fixture(scope="module")
def mis(svg_alone: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, SurveyAnalysis]:
    experiment = served(tmp_path_factory.mktemp("analysed") / "mis", "mis")
    return experiment, analyse_survey(experiment.folder)


def test_the_analysis_is_a_run_folder(mis: tuple[Experiment, SurveyAnalysis]) -> None:
    experiment, done = mis
    assert done.folder == experiment.folder / "analysis"
    assert done.page.read_text().startswith("<!doctype html>")
    study = json.loads((done.folder / "study.json").read_text())
    (told,) = study["survey"]["experiments"]
    assert study["title"] == experiment.design.title
    assert told["counts"] == {"participants": 26, "simulated": 0, "finished": 24, "unfinished": 2, "excluded": 4,
                              "answers": 24 * 8 + 4 + 26 * 2 + 6, "votes": 20 * 6}  # fmt: skip
    assert told["excluded_by"] == {"catch": 2, "instructions_s": 1, "rarer": 1, "practice_rounds": 1}
    assert study["survey"]["simulated"] is False
    tables = {path.stem: pd.read_parquet(path) for path in (done.folder / "tables").glob("*.parquet")}
    assert set(tables) == {"networks", "steps", "scores", "votes", "participants", "answers", "rules"}
    assert len(tables["votes"]) == 120
    assert tables["networks"]["network"].tolist() == NETWORKS
    assert len(pd.read_parquet(done.folder / "analysis" / "findings.parquet")) == len(done.findings) > 0
    assert done.experiments == [told]


def test_what_hangs_on_the_rules(mis: tuple[Experiment, SurveyAnalysis]) -> None:
    _, done = mis
    answers = pd.read_parquet(done.folder / "tables" / "answers.parquet")
    people = pd.read_parquet(done.folder / "tables" / "participants.parquet").set_index("participant")
    main = answers[(answers["phase"] == "main") & (answers["role"] == "main")]
    broken = {name: set(rules.split()) for name, rules in people["rules"].items()}
    sets = {
        "all rules": set(),
        "no rule": {"catch", "instructions_s", "rarer", "practice_rounds"},
        **{f"without {rule}": {rule} for rule in ("catch", "instructions_s", "rarer", "practice_rounds")},
        "with the unfinished": {"unfinished"},
    }
    assert list(dict.fromkeys(row["rules"] for row in done.rules)) == list(sets)
    for row in done.rules:
        keep = {name for name, rules in broken.items() if rules <= sets[row["rules"]]}
        own = main[main["participant"].isin(keep) & (main["network"] == row["condition"])]
        assert row["votes"] == len(own)
        assert row["participants"] == own["participant"].nunique()
        assert row["estimate"] == pytest.approx(own["correct"].mean())
        assert not row["low"] > row["estimate"]
    concluded = {each.about: each for each in done.findings if each.question == "right answers"}
    for row in (row for row in done.rules if row["rules"] == "all rules"):
        same = concluded[row["about"]]
        assert [row[key] for key in ("estimate", "low", "high")] == pytest.approx(
            [same.estimate, same.low, same.high]
        )
    assert any(np.isfinite(row["low"]) for row in done.rules)
    assert {row["condition"] for row in done.rules} == set(NETWORKS)


@pytest.mark.usefixtures("light")
def test_pairs_and_their_rules(tmp_path: Path) -> None:
    experiment = served(tmp_path / "pairwise", "pairwise", PEOPLE[:24])
    done = analyse_survey(experiment.folder, judging=Judging(rules=False))
    votes = pd.read_parquet(done.folder / "tables" / "votes.parquet")
    assert votes["participant"].nunique() == 24
    for row in (row for row in done.rules if row["rules"] == "all rules"):
        one, other = row["condition"].split(" | ")
        own = votes[votes["left"].isin([one, other]) & votes["right"].isin([one, other])]
        wins = ((own["answer"] == "left") & (own["left"] == other)) | (
            (own["answer"] == "right") & (own["right"] == other)
        )
        assert row["estimate"] == pytest.approx(wins.sum() / (own["answer"] != "equal").sum())
    found = {each.about: each for each in done.findings if each.question == "votes"}
    assert len(found) == 2
    assert sorted(each.estimate for each in found.values()) == pytest.approx(
        sorted(row["estimate"] for row in done.rules if row["rules"] == "all rules")
    )


def test_who_counts_can_be_changed(mis: tuple[Experiment, SurveyAnalysis]) -> None:
    judging = Judging(True, ("catch=none", "instructions_s=1,500"), unfinished=True)
    exclusion = judging.exclusion(mis[0])
    assert (exclusion.catch, exclusion.instructions_s, exclusion.rarer) == (None, (1, 500), 1)
    assert Judging(False, ("rarer=2",)).exclusion(mis[0]) == NONE.model_copy(update={"rarer": 2})
    tables = read_votes(mis[0].folder, simulated=False).judged_by(exclusion, unfinished=True)
    assert tables.participants["excluded"].sum() == 2
    assert len(tables.votes) > 22 * 6  # the unfinished one is among them
    rules = rule_effects(tables, exclusion, unfinished=True)
    assert rules[-1]["rules"] == "without the unfinished"
    assert sum(row["votes"] for row in rules if row["rules"] == "without the unfinished") == 22 * 6


@pytest.mark.usefixtures("quick")
def test_people_and_simulations_are_never_together(
    mis: tuple[Experiment, SurveyAnalysis], tmp_path: Path
) -> None:
    folder = tmp_path / "mis"
    shutil.copytree(mis[0].folder, folder)
    people = (folder / "analysis" / "study.json").read_bytes()
    with pytest.raises(PrunescopeError, match=r"nothing was simulated yet .* survey simulate"):
        analyse_survey(folder, simulated=True)
    shutil.copy(folder / "answers.sqlite", folder / "simulated.sqlite")
    assert read_votes(folder, simulated=True).participants["number"].tolist() == [27, 28]
    (folder / "answers.sqlite").unlink()
    write_database(folder / "answers.sqlite", made_rows(mis[0], PEOPLE[-2:]))
    done = analyse_survey(folder)  # of a database that has no people
    assert done.simulated
    assert done.folder == folder / "analysis-simulated"
    assert (folder / "analysis" / "study.json").read_bytes() == people
    for name in ("votes", "participants", "answers"):
        assert pd.read_parquet(done.folder / "tables" / f"{name}.parquet")["simulated"].all()
        assert not pd.read_parquet(folder / "analysis" / "tables" / f"{name}.parquet")["simulated"].any()
    study = json.loads((done.folder / "study.json").read_text())
    assert study["title"].startswith("Simulated: ")
    assert study["survey"]["simulated"] is True
    assert "simulated participants, no people" in done.page.read_text()


@pytest.mark.usefixtures("quick")
def test_several_experiments_of_one_run(tmp_path: Path) -> None:
    one = served(tmp_path / "pairwise", "pairwise", PEOPLE[:6])
    two = served(tmp_path / "identification", "identification", PEOPLE[:6], prefix="q")
    with pytest.raises(PrunescopeError, match="say with --out"):
        analyse_survey([one.folder, two.folder])
    with pytest.raises(PrunescopeError, match="--database is of one experiment"):
        analyse_survey([one.folder, two.folder], "sqlite:///x", out=tmp_path / "out")
    done = analyse_survey([one.folder, two.folder], judging=Judging(rules=False), out=tmp_path / "out")
    votes = pd.read_parquet(done.folder / "tables" / "votes.parquet")
    assert votes.groupby("experiment").size().to_dict() == {"identification": 36, "pairwise": 36}
    assert len(pd.read_parquet(done.folder / "tables" / "networks.parquet")) == 3
    assert {row["experiment"] for row in done.rules} == {"identification", "pairwise"}
    _print_rules(Console(), [row for row in done.rules if (row["rules"], row["experiment"]) != LACKING])
    networks = two.folder / "run" / "tables" / "networks.parquet"
    table = pd.read_parquet(networks)
    table.assign(step=table["step"] + "-other").to_parquet(networks)
    with pytest.raises(PrunescopeError, match="of different runs: 'dense' is another network"):
        analyse_survey([one.folder, two.folder], out=tmp_path / "out")


def test_what_cannot_be_analysed(mis: tuple[Experiment, SurveyAnalysis], tmp_path: Path) -> None:
    experiment = served(tmp_path / "mis", "mis", [Person(catch=0.0), Person(until=3)])
    with pytest.raises(
        PrunescopeError, match=r"no answer counts: of 2 participants, 1 answered all, and 1 of these"
    ):
        analyse_survey(experiment.folder)
    with pytest.raises(PrunescopeError, match="is no analysis of answers"):
        analyse_survey(mis[0].folder, out=experiment.pictures)
    with pytest.raises(PrunescopeError, match=r"no whole experiment"):
        analyse_survey(tmp_path)
    shutil.rmtree(experiment.folder / "run")
    with pytest.raises(PrunescopeError, match=r"study.json is missing: .*survey build"):
        analyse_survey(experiment.folder, judging=Judging(rules=False))
    assert not list(experiment.folder.glob(".*draft"))


@pytest.mark.usefixtures("quick")
def test_who_withdraws_meanwhile(
    mis: tuple[Experiment, SurveyAnalysis], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mis"
    shutil.copytree(mis[0].folder, folder, ignore=shutil.ignore_patterns("analysis"))

    def slowly(run: Path) -> list[object]:
        engine = storage.open_engine(storage.database_url(folder), alone=True)
        with engine.begin() as connection:
            erase(connection, "p-0000000000000003")
        engine.dispose()
        return []

    monkeypatch.setattr(analyse, "conclude", slowly)
    with pytest.raises(
        PrunescopeError, match="someone withdrew while the answers were analysed: run the analysis again"
    ):
        analyse_survey(folder)
    assert not (folder / "analysis").exists()
    assert not list(folder.glob(".*draft"))


@pytest.mark.usefixtures("light")
def test_published_votes_by_the_same_command(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "published"
    if not source.is_dir():
        pytest.skip(f"no published tables in {real_data}")
    own = tmp_path / "source"
    own.mkdir()
    for path in source.glob("vgg16_imagenette_*"):
        shutil.copy(path, own)
    (run,) = import_published(own, tmp_path / "runs").runs
    done = CliRunner().invoke(app, ["survey", "analyse", str(run)])
    assert done.exit_code == 0
    findings = pd.read_parquet(run / "analysis" / "findings.parquet")
    independent = findings[findings["question"] == "votes as if independent"]
    chi2 = dict(zip(independent["about"], independent["estimate"].round(3), strict=True))
    assert chi2["heat map: dense or CR 2"] == 6.920
    assert chi2["explanation map: dense or CR 32"] == 12.889
    assert chi2["explanation map: CR 2 or CR 32"] == 21.673
    alpha = findings[(findings["question"] == "agreement") & findings["about"].str.contains("as shown, all")]
    assert alpha["estimate"].tolist() == pytest.approx([0.126, 0.236], abs=1e-3)
    over_people = findings[findings["question"] == "votes"].set_index("about")
    assert (over_people["p_holm"] < 0.05).sum() == 1
    assert over_people.loc["explanation map: CR 2 or CR 32", "verdict"] == "shown"
    counted = pd.read_csv(source / "vgg16_imagenette_votes.csv")
    for row in counted.to_dict("records"):
        names = {"cr1": "dense", "cr2": "CR 2", "cr32": "CR 32"}
        about = f"{row['stimulus']}: {names[row['left']]} or {names[row['right']]}"
        share = row["right_wins"] / (row["left_wins"] + row["right_wins"])
        assert over_people.loc[about, "estimate"] == pytest.approx(share)
    assert "χ² = 21.673" in done.stdout
    assert done.stdout.splitlines()[-1] == f"report: {run / 'report' / 'index.html'}"
    with pytest.raises(PrunescopeError, match="analysed as they are"):
        analyse_survey(run, judging=Judging(rules=False))
