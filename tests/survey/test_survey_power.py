from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_experiment import made_experiment
from scipy import integrate, stats
from typer.testing import CliRunner

from prunescope.analysis.crossed import Crossed
from prunescope.analysis.right_answers import right_answers
from prunescope.analysis.votes import preferences
from prunescope.cli.survey import survey
from prunescope.errors import PrunescopeError
from prunescope.survey.experiment import Experiment
from prunescope.survey.power import alike, compare, comparisons, items_of, power
from prunescope.survey.simulated import NEITHER, RIGHT, WRONG, Behaviour, skill_of
from prunescope.survey.simulated_study import Lists, SimulatedStudies, Votes

KINDS = ("mis", "pairwise", "identification")
STUDIES = 100


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Experiment]:
    folder = tmp_path_factory.mktemp("power")
    return {
        kind: made_experiment(folder / kind, kind, lists=8, tasks=30, catch=6, practice=3) for kind in KINDS
    }


def people(experiment: Experiment, *skill: str, **changes: Any) -> Behaviour:
    return replace(Behaviour(skill_of(experiment, skill), careless=0.0, leave=0.0), **changes)


def results_of(experiment: Experiment, votes: Votes) -> Any:
    """What the analysis would be given: these votes as a table, sides dealt by chance; no network's rate is known."""
    tasks = experiment.tasks.iloc[votes.task].reset_index(drop=True).astype(object)
    table = tasks[["stimulus", "image", "class", "network", "layer", "unit"]].assign(
        experiment=experiment.design.kind,
        participant=[f"p{number}" for number in votes.participant],
        item=tasks["task"],
        task=tasks["task"],
        chosen="",
        correct=votes.outcome == RIGHT,
    )
    flipped = np.random.default_rng(0).random(len(tasks)) < 0.5
    table["left"] = np.where(flipped, tasks["other"], tasks["one"])
    table["right"] = np.where(flipped, tasks["one"], tasks["other"])
    first, second = np.where(flipped, "right", "left"), np.where(flipped, "left", "right")
    table["answer"] = np.select([votes.outcome == RIGHT, votes.outcome == WRONG], [first, second], "equal")
    networks = pd.DataFrame({"network": [], "stage": [], "rate": []})
    return SimpleNamespace(votes=table, networks=networks, study={})


@pytest.mark.parametrize("kind", KINDS)
def test_studies_are_tested_as_the_analysis_does(experiments: dict[str, Experiment], kind: str) -> None:
    experiment = experiments[kind]
    behaviour = people(experiment, ".7", "filters@0.8=.5", leave=0.3, careless=0.2)
    if kind == "mis":  # several tasks of a unit, and the unit in several networks
        units = experiment.tasks["unit"] // 4
        experiment = replace(experiment, tasks=experiment.tasks.assign(unit=units))
    votes = SimulatedStudies(experiment, behaviour).draw(30, seed=3)
    results, items = results_of(experiment, votes), items_of(experiment)
    found = {each.other: compare(experiment, each, votes, items) for each in comparisons(experiment)}
    expected: dict[str, Crossed]
    if kind == "pairwise":
        expected = {each.other: each.crossed for each in preferences(results)}
    else:
        expected = {each.network: each.change for each in right_answers(results) if each.other}
    assert set(found) == set(expected) == {"filters@0.5", "filters@0.8"}
    for network, own in found.items():
        assert own == pytest.approx(expected[network], rel=1e-12), network
        assert own.p < 1


@pytest.mark.parametrize("kind", KINDS)
def test_differences_that_are_not_there_are_seldom_shown(
    experiments: dict[str, Experiment], kind: str
) -> None:
    """In at most 5 of 100 studies, for all comparisons together, although people and tasks differ."""
    experiment = experiments[kind]
    behaviour = alike(experiment, people(experiment, ".7", "filters@0.8=.9", people=0.8, items=0.8))
    found = power(experiment, behaviour, [40], STUDIES).set_index("comparison")
    assert STUDIES * found.loc["any of them", "shown"] <= stats.binom.ppf(0.9999, STUDIES, 0.05)
    middle = 0.5 if kind == "pairwise" else 0.0
    assert found["estimate"].dropna().to_numpy() == pytest.approx(middle, abs=0.02)


def test_power_is_that_of_the_binomial_where_all_answers_are_independent(
    experiments: dict[str, Experiment],
) -> None:
    """The other pair is so clear that Holm's correction leaves .05 for this one."""
    experiment = experiments["pairwise"]
    skill = {"dense | filters@0.5": 0.9, "dense | filters@0.8": 0.53}
    behaviour = people(experiment, people=0.0, items=0.0, ties=0.0, skill=skill)
    studies = 120
    found = power(experiment, behaviour, [130], studies).set_index("comparison")
    row = found.loc["heat map dense | filters@0.8"]
    votes = round(row["votes"] / 2)
    p = 0.47
    error = np.sqrt(p * (1 - p) / votes)
    expected = stats.norm.cdf((0.5 - p) / error - stats.norm.ppf(0.975))
    assert 0.5 < expected < 0.9
    assert row["shown"] == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / studies))
    assert row["low"] < row["shown"] < row["high"]
    assert row["estimate"] == pytest.approx(p, abs=5 * error / np.sqrt(studies))
    assert row["half_width"] == pytest.approx(1.96 * error, rel=0.05)
    assert found.loc["heat map dense | filters@0.5", "shown"] == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_answers_follow_the_same_formula_as_those_of_single_people(
    experiments: dict[str, Experiment], kind: str
) -> None:
    experiment = experiments[kind]
    behaviour = people(experiment, ".8", people=1.0, items=0.7, ties=0.3)
    votes = [SimulatedStudies(experiment, behaviour).draw(200, seed) for seed in range(20)]
    outcome = np.concatenate([each.outcome for each in votes])
    spread = np.hypot(1.0, 0.7)

    def integrand(effect: float) -> float:
        return stats.norm.pdf(effect, scale=spread) / (1 + np.exp(-(np.log(4) + effect)))

    share, _ = integrate.quad(integrand, -12, 12)
    neither = {"mis": 0.0, "pairwise": 0.3, "identification": 0.5 * (1 - share)}[kind]
    right = share * (0.7 if kind == "pairwise" else 1.0)
    found = [np.mean(outcome == each) for each in (RIGHT, WRONG, NEITHER)]
    assert found == pytest.approx([right, 1 - right - neither, neither], abs=0.012)


def test_more_participants_show_more_and_exclude_larger_differences(
    experiments: dict[str, Experiment],
) -> None:
    experiment = experiments["identification"]
    found = power(experiment, people(experiment, ".8", "filters@0.8=.7"), [10, 120], 40, margin=0.08)
    few, many = (found[found["participants"] == number].set_index("comparison") for number in (10, 120))
    assert few.loc["dense | filters@0.8", "shown"] < many.loc["dense | filters@0.8", "shown"] - 0.3
    assert few.loc["dense | filters@0.5", "no_larger"] < many.loc["dense | filters@0.5", "no_larger"] - 0.3
    assert many.loc["dense | filters@0.8", "no_larger"] < 0.2
    assert few.loc["dense | filters@0.8", "half_width"] > 2 * many.loc["dense | filters@0.8", "half_width"]
    assert "no_larger" not in power(experiment, people(experiment), [10], 2)


def test_lists_are_dealt_evenly_and_places_of_those_who_leave_again(
    experiments: dict[str, Experiment],
) -> None:
    lists, rng = Lists(experiments["mis"]), np.random.default_rng(0)
    assert [len(own) for own in lists.tasks] == [36] * 8
    everyone = np.bincount(lists.deal(np.full(44, True), rng), minlength=8)
    assert sorted(everyone) == [5, 5, 5, 5, 6, 6, 6, 6]
    stay = rng.random(60) < 0.6
    kept = np.bincount(lists.deal(stay, rng)[stay], minlength=8)
    assert kept.max() - kept.min() <= 1
    firsts = {tuple(lists.deal(np.full(3, True), rng)) for _ in range(20)}
    assert len(firsts) > 5


@pytest.mark.parametrize("kind", KINDS)
def test_votes_are_of_those_whose_answers_count(experiments: dict[str, Experiment], kind: str) -> None:
    experiment = experiments[kind]
    roles = experiment.tasks["role"].to_numpy()
    all_stay = SimulatedStudies(experiment, people(experiment)).draw(50, 0)
    assert all_stay.kept == len({*all_stay.participant}) > 40
    assert len(all_stay.task) == 30 * all_stay.kept
    assert set(roles[all_stay.task]) == {"main"}
    some_leave = SimulatedStudies(experiment, people(experiment, leave=1.0)).draw(100, 0)
    assert 25 < some_leave.kept < 75  # half come back
    assert set(np.bincount(some_leave.participant)) <= {0, 30}
    careless = SimulatedStudies(experiment, people(experiment, careless=1.0)).draw(50, 0)
    assert careless.kept == len(careless.task) == 0
    nothing = power(experiment, people(experiment, careless=1.0), [10], 2)
    assert (nothing["shown"] == 0).all()
    assert nothing["estimate"].isna().all()


def test_the_same_seed_draws_the_same_studies(experiments: dict[str, Experiment]) -> None:
    studies = SimulatedStudies(experiments["mis"], people(experiments["mis"]))
    first, again, other = (studies.draw(20, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.outcome, again.outcome)
    assert not np.array_equal(first.outcome, other.outcome)


def test_people_who_follow_the_margins_do_worse_where_these_are_small(
    experiments: dict[str, Experiment],
) -> None:
    experiment = experiments["mis"]
    behaviour = people(experiment, slope=20.0, items=0.0)
    votes = SimulatedStudies(experiment, behaviour).draw(200, 0)
    margin = experiment.tasks["margin"].to_numpy()[votes.task].astype(float)
    right = [np.mean(votes.outcome[np.isclose(margin, value)] == RIGHT) for value in (-0.1, 0.0, 0.1, 0.3)]
    for found, value in zip(right, (-0.1, 0.0, 0.1, 0.3), strict=True):
        effects = stats.norm(scale=0.5).rvs(20_000, random_state=1)
        assert found == pytest.approx(np.mean(1 / (1 + np.exp(-20 * value - effects))), abs=0.04)
    assert alike(experiment, behaviour).slope is None


def test_the_command_tells_and_writes(experiments: dict[str, Experiment], tmp_path: Path) -> None:
    folder = str(experiments["pairwise"].folder)
    asked = ["power", folder, "--participants", "20,40", "--studies", "8", "--margin", ".1"]
    done = CliRunner().invoke(survey, [*asked, "--skill", ".5", "--skill", "filters@0.8=.9"])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(experiments["pairwise"].folder / "power.csv")
    assert list(table["participants"]) == [20] * 3 + [40] * 3
    shown = table[table["comparison"] == "heat map dense | filters@0.8"]["shown"]
    assert (shown == 1).all()
    assert "heat map dense | filters@0.8" in done.output
    assert "100.0 %" in done.output
    null = CliRunner().invoke(survey, [*asked, "--null", "--out", str(tmp_path / "null.csv")])
    assert null.exit_code == 0, null.output
    alike_table = pd.read_csv(tmp_path / "null.csv").dropna(subset="estimate")
    assert alike_table["estimate"].to_numpy() == pytest.approx(0.5, abs=0.06)
    assert alike_table["no_larger"].max() > 0.5
    for wrong in ("1,20", "many", ""):
        refused = CliRunner().invoke(survey, ["power", folder, "--participants", wrong])
        assert isinstance(refused.exception, PrunescopeError)
        assert "expected numbers from 2 on" in str(refused.exception)
