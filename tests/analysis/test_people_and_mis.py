"""People against MIS, and the noise ceiling: against scipy, closed forms and simulations."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from made_votes import NETWORKS, mis_votes, people_results
from prunescope.analysis.noise_ceiling import Ceiling, noise_ceiling
from prunescope.analysis.people_and_mis import PeopleAndMis, people_and_mis, people_by_unit
from prunescope.analysis.results import Results


def found_in(results: Results) -> dict[tuple[str, str], PeopleAndMis]:
    return {(each.over, each.network): each for each in people_and_mis(results)}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return people_results(
        tmp_path_factory.mktemp("mis") / "run", *mis_votes(seed=2, by_unit=0.8, by_person=0.4)
    )


def test_correlations_are_those_of_shares_and_scores(asked: Results) -> None:
    units, found = people_by_unit(asked), found_in(asked)
    assert list(found) == [
        ("units", ""),
        ("units within networks", ""),
        *(("units", name) for name in NETWORKS),
    ]
    for name in ("", *NETWORKS):
        own = units[units["network"] == name] if name else units
        share = own["right"] / own["answers"]
        each = found["units", name]
        assert each.spearman.estimate == pytest.approx(stats.spearmanr(own["mis"], share).statistic)
        assert each.pearson.estimate == pytest.approx(stats.pearsonr(own["mis"], share).statistic)
        assert each.things == len(own)
        assert each.spearman.low < each.spearman.estimate < each.spearman.high < 1


def test_within_networks_what_differs_between_them_moves_nothing(tmp_path: Path) -> None:
    """Scores of one network are shifted: over all units the correlation changes, within networks it does not."""
    votes, units = mis_votes(seed=2)
    shifted = units.assign(mis=units["mis"] - 2.0 * (units["network"] == "dense-seed0"))
    one = found_in(people_results(tmp_path / "one", votes, units))
    other = found_in(people_results(tmp_path / "other", votes, shifted))
    key = ("units within networks", "")
    for kind in ("spearman", "pearson"):
        assert getattr(one[key], kind) == pytest.approx(getattr(other[key], kind))
        assert (
            abs(getattr(one["units", ""], kind).estimate - getattr(other["units", ""], kind).estimate) > 0.1
        )


def test_within_networks_it_is_the_correlation_of_what_is_left(asked: Results) -> None:
    units = people_by_unit(asked)
    left = units.assign(share=units["right"] / units["answers"])
    inner = left[["mis", "share"]] - left.groupby("network")[["mis", "share"]].transform("mean")
    found = found_in(asked)["units within networks", ""]
    assert found.pearson.estimate == pytest.approx(stats.pearsonr(inner["mis"], inner["share"]).statistic)


def test_intervals_cover_and_scores_that_say_nothing_are_rarely_shown_to(tmp_path: Path) -> None:
    known, none = [], []
    for seed in range(12):
        votes, units = mis_votes(
            seed=seed, people=15, tasks=12, units=20, by_unit=0.5, networks=("dense-seed0",)
        )
        known.append(
            found_in(people_results(tmp_path / f"a{seed}", votes, units))["units", "dense-seed0"].pearson
        )
        noise = units.assign(mis=np.random.default_rng(seed).random(len(units)))
        none.append(
            found_in(people_results(tmp_path / f"b{seed}", votes, noise))["units", "dense-seed0"].spearman
        )
    typical = math.tanh(np.mean([math.atanh(each.estimate) for each in known]))
    assert np.mean([each.low <= typical <= each.high for each in known]) >= 0.8
    assert np.mean([each.p < 0.05 for each in none]) <= 0.2
    assert np.mean([each.p < 0.05 for each in known]) >= 0.8


def test_networks_are_compared_where_there_are_enough(tmp_path: Path) -> None:
    names = tuple(f"n{i}" for i in range(5))
    votes, units = mis_votes(people=50, networks=names)
    units = units.assign(mis=units["mis"] + 0.1 * units["network"].str[1:].astype(int))
    found = found_in(people_results(tmp_path / "run", votes, units))["networks", ""]
    by_unit = people_by_unit(people_results(tmp_path / "again", votes, units))
    means = (
        by_unit.assign(share=by_unit["right"] / by_unit["answers"])
        .groupby("network")[["mis", "share"]]
        .mean()
    )
    assert found.things == 5
    assert found.pearson.estimate == pytest.approx(stats.pearsonr(means["mis"], means["share"]).statistic)
    assert math.isnan(found.ceiling.most)


def test_without_scores_of_units_those_of_their_tasks_stand_in(tmp_path: Path) -> None:
    votes, _ = mis_votes()
    units = people_by_unit(people_results(tmp_path / "run", votes))
    margin = votes.groupby(["network", "layer", "unit"])["margin"].mean()
    expected = 1 / (1 + np.exp(-16 * margin))
    found = units.set_index(["network", "layer", "unit"])["mis"]
    assert found.sort_index().to_numpy() == pytest.approx(expected.sort_index().to_numpy())


def test_no_answers_about_units_are_no_correlation(tmp_path: Path) -> None:
    votes, units = mis_votes()
    assert people_and_mis(people_results(tmp_path / "run", votes.assign(correct=pd.NA), units)) == []


def pairs(
    rng: np.random.Generator, units: int, each: int, a: float, b: float
) -> tuple[Ceiling, float, float]:
    """Return the ceiling of so many people's answers, the true reliability, and what the truth itself reaches."""
    truth = rng.beta(a, b, units)
    unit = np.repeat(np.arange(units), each)
    person = np.concatenate([rng.permutation(3 * each)[:each] for _ in range(units)])
    right = (rng.random(len(unit)) < truth[unit]).astype(np.int64)
    spread = a * b / ((a + b) ** 2 * (a + b + 1))
    noise = (a / (a + b) * b / (a + b) - spread) / each
    found = noise_ceiling(right, np.ones(len(unit), np.int64), person, unit)
    reached = stats.pearsonr(truth, np.bincount(unit, right) / each).statistic
    return found, spread / (spread + noise), float(reached)


@pytest.mark.parametrize("each", [3, 6, 9])
def test_the_ceiling_is_what_the_truth_itself_reaches(each: int) -> None:
    rng = np.random.default_rng(each)
    found = [pairs(rng, 250, each, 3.0, 1.5) for _ in range(12)]
    reliability = np.mean([ceiling.reliability for ceiling, _, _ in found])
    assert reliability == pytest.approx(found[0][1], abs=0.03)
    assert np.mean([ceiling.most for ceiling, _, _ in found]) == pytest.approx(
        np.mean([r for _, _, r in found]), abs=0.03
    )
    held = np.mean([ceiling.low <= math.sqrt(true) <= ceiling.high for ceiling, true, _ in found])
    assert held >= 0.75


def test_units_that_do_not_differ_have_no_ceiling_to_speak_of() -> None:
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(200), 4)
    found = [
        noise_ceiling(
            (rng.random(800) < 0.7).astype(np.int64), np.ones(800, np.int64), np.arange(800) % 40, unit
        )
        for _ in range(10)
    ]
    assert all(math.isnan(each.most) or each.most < 0.6 for each in found)
    assert any(math.isnan(each.most) for each in found)


def test_units_of_one_person_are_left_out_of_it() -> None:
    unit = np.concatenate([np.repeat(np.arange(30), 2), np.arange(30, 60)])
    right = (unit % 3 == 0).astype(np.int64)
    found = noise_ceiling(right, np.ones(90, np.int64), np.arange(90), unit)
    assert found.units == 30
    assert found.most == pytest.approx(1)  # all who are asked about a unit agree
    none = noise_ceiling(right[60:], np.ones(30, np.int64), np.arange(30), np.arange(30))
    assert (none.units, math.isnan(none.most)) == (0, True)


def test_groups_take_out_what_differs_between_them() -> None:
    """Units of two networks differ in nothing but the network: all of the reliability is between networks."""
    rng = np.random.default_rng(3)
    unit, network = np.repeat(np.arange(120), 5), np.arange(120) % 2
    right = (rng.random(600) < np.where(network[unit], 0.9, 0.3)).astype(np.int64)
    arguments = (right, np.ones(600, np.int64), np.arange(600) % 50, unit)
    assert noise_ceiling(*arguments).reliability > 0.7
    within = noise_ceiling(*arguments, network)
    assert math.isnan(within.reliability) or within.reliability < 0.4
