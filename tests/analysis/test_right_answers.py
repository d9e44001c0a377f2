"""Shares of right answers: of networks, layers and levels of confidence, against guessing and the dense network."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made_votes import NETWORKS, identification_votes, mis_votes, people_results
from prunescope.analysis.agreement import agreements
from prunescope.analysis.confidence import confidence_of
from prunescope.analysis.recognitions import recognitions
from prunescope.analysis.results import Results
from prunescope.analysis.right_answers import right_answers, right_by_layer


@pytest.fixture(scope="module")
def votes() -> pd.DataFrame:
    return mis_votes(seed=1, worse=0.8, by_person=0.3)[0]


@pytest.fixture(scope="module")
def asked(votes: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return people_results(tmp_path_factory.mktemp("right") / "run", votes)


def test_each_network_is_compared_with_guessing_and_with_dense(asked: Results, votes: pd.DataFrame) -> None:
    found = right_answers(asked)
    shares = votes.groupby("network")["correct"].mean()
    assert [each.network for each in found] == list(NETWORKS)
    for each in found:
        assert each.share == pytest.approx(shares[each.network]) == pytest.approx(each.crossed.estimate)
        assert (each.chance, each.experiment, each.layer) == (0.5, "mis", "")
        assert each.crossed.low < each.share < each.crossed.high
        own = votes[votes["network"] == each.network]
        assert (each.participants, each.items) == (15, own.drop_duplicates(["layer", "unit"]).shape[0])
    assert found[0].other == ""
    assert math.isnan(found[0].change.estimate)
    for each in found[1:]:
        assert each.other == "dense-seed0"
        assert each.change.estimate == pytest.approx(shares[each.network] - shares["dense-seed0"])
    assert found[2].change.high < 0


def test_a_test_against_guessing_is_one_against_one_half(asked: Results) -> None:
    for each in right_answers(asked):
        rejected = not each.crossed.low <= 0.5 <= each.crossed.high
        assert rejected == (each.crossed.p < 0.05)


def test_layers_add_up_to_the_network(asked: Results, votes: pd.DataFrame) -> None:
    layers = right_by_layer(asked)
    assert {each.layer for each in layers} == {"conv1", "conv2"}
    for network in NETWORKS:
        own = [each for each in layers if each.network == network]
        assert sum(each.right for each in own) == votes.loc[votes["network"] == network, "correct"].sum()
    for each in layers:
        own = votes[(votes["network"] == each.network) & (votes["layer"] == each.layer)]
        assert each.share == pytest.approx(own["correct"].mean())


def test_several_tasks_of_a_unit_are_about_one_unit(tmp_path: Path, votes: pd.DataFrame) -> None:
    again = votes.assign(item=votes["item"] + "x", unit_task=1)
    once, twice = (
        right_answers(people_results(tmp_path / name, rows))[0]
        for name, rows in (("once", votes), ("twice", pd.concat([votes, again])))
    )
    assert twice.every == 2 * once.every
    assert twice.items == once.items
    assert twice.crossed.error == pytest.approx(once.crossed.error)


def test_intervals_of_a_difference_between_networks_cover(tmp_path: Path) -> None:
    found = []
    for seed in range(60):
        votes = mis_votes(seed=seed, people=24, tasks=12, units=24, by_person=0.6, by_unit=0.5)[0]
        found.append(right_answers(people_results(tmp_path / str(seed), votes))[1].change)
    assert np.mean([each.low <= 0 <= each.high for each in found]) >= 0.85
    assert np.mean([each.error for each in found]) == pytest.approx(
        np.std([each.estimate for each in found]), rel=0.3
    )


def test_classes_that_are_named_are_guessed_one_in_so_many(tmp_path: Path) -> None:
    votes = identification_votes()
    results = people_results(tmp_path / "run", votes)
    named = recognitions(results)
    for each, other in zip(right_answers(results), named, strict=True):
        assert each.chance == 0.25
        assert (each.network, each.share) == (other.network, pytest.approx(other.share))
        assert each.change == other.change
        assert (each.crossed.low, each.crossed.high) == (other.crossed.low, other.crossed.high)
    assert right_by_layer(results) == []


def test_tasks_of_units_are_no_recognitions_and_agreement_is_on_the_image(asked: Results) -> None:
    assert recognitions(asked) == []
    assert {each.over for each in agreements(asked)} == {"image"}


def test_confidence_is_told_by_level(tmp_path: Path) -> None:
    votes, _ = mis_votes(people=60)
    (found,) = confidence_of(people_results(tmp_path / "run", votes))
    shares = votes.groupby("confidence")["correct"].agg(["mean", "size"])
    assert found.levels == (1, 2, 3)
    assert [each.estimate for each in found.shares] == pytest.approx(shares["mean"].tolist())
    assert list(found.answers) == shares["size"].tolist()
    assert found.change.estimate == pytest.approx(shares["mean"][3] - shares["mean"][1])
    assert found.change.low > 0
    assert confidence_of(people_results(tmp_path / "none", votes.drop(columns="confidence"))) == []
    (alone,) = confidence_of(people_results(tmp_path / "alone", votes.assign(confidence=2)))
    assert math.isnan(alone.change.estimate)
