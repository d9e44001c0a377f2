"""Side effects: what each is, that it is found where it is, and rarely where it is not."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made_votes import identification_votes, mis_votes, pairwise_votes, people_results
from prunescope.analysis.side_effects import (
    SideEffect,
    repetition,
    side_bias,
    side_effects,
    within_participants,
)

KINDS = ["learning", "side", "repetition", "time when right", "time over the tasks"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("effects")


def effects_of(folder: Path, votes: pd.DataFrame) -> dict[str, SideEffect]:
    place = folder / f"run{len(list(folder.iterdir()))}"
    return {each.kind: each for each in side_effects(people_results(place, votes))}


def test_each_effect_that_was_put_in_comes_out(folder: Path) -> None:
    plain = effects_of(folder, mis_votes(seed=3, people=90)[0])
    assert list(plain) == KINDS
    put = {"learning": 1.5, "side": 0.8, "repeat": 0.8, "slower_wrong": 0.3}
    for kind, (name, size) in zip(KINDS, put.items(), strict=False):
        votes = mis_votes(seed=3, people=90, **{name: size})[0]
        found = effects_of(folder, votes)[kind].value
        assert found.p < 0.005, kind
        assert (found.estimate < 0) == (name == "slower_wrong")
        assert plain[kind].value.p > 0.02
    assert found.estimate == pytest.approx(-0.3, abs=0.06)


def test_an_effect_that_there_is_not_is_rarely_found(folder: Path) -> None:
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for seed in range(20):
        votes = mis_votes(seed=seed, people=20, tasks=10, units=20, by_person=0.7, by_unit=0.5)[0]
        for kind, each in effects_of(folder, votes).items():
            found[kind].append(each.value.p)
    for kind, p in found.items():
        assert len(p) == 20
        assert np.mean(np.array(p) < 0.05) <= 0.2, kind


def test_a_slope_within_participants_is_that_of_a_dummy_for_each() -> None:
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(12), 20)
    x = rng.random(240) + people  # between people, x and y go together; within, against one another
    y = -2.0 * x + 5.0 * people + rng.normal(0, 0.3, 240)
    rows = pd.DataFrame(
        {"participant": people, "image": None, "item": rng.integers(0, 30, 240), "unit": None, "layer": None}
    )
    found = within_participants(rows, pd.Series(x), pd.Series(y))
    design = np.column_stack([x, np.eye(12)[people]])
    expected = np.linalg.lstsq(design, y, rcond=None)[0][0]
    assert found.estimate == pytest.approx(expected)
    assert found.low < -2 < found.high
    assert np.polyfit(x, y, 1)[0] > 0  # what differs between people says the contrary


def rows_of(first: np.ndarray, dealt: np.ndarray) -> pd.DataFrame:
    n = len(first)
    return pd.DataFrame(
        {"participant": np.arange(n) % 20, "item": np.arange(n) // 20, "image": None, "unit": None, "layer": None,
         "first": first, "dealt": dealt}
    )  # fmt: skip


def test_a_deal_that_is_not_balanced_is_no_bias() -> None:
    """Nine of ten times the right one is on top, and 80 % are right, whichever side it is on."""
    rng = np.random.default_rng(1)
    dealt = rng.random(4000) < 0.9
    right = rng.random(4000) < 0.8
    found = side_bias(rows_of(np.where(right, dealt, ~dealt), dealt))
    assert abs(found.estimate) < 0.03
    assert found.low < 0 < found.high
    always = side_bias(rows_of(np.ones(40, bool), np.arange(40) % 2 == 0))
    assert always.estimate == 0.5


def test_of_pairs_of_networks_a_preference_is_no_bias(folder: Path) -> None:
    preferring = effects_of(folder, pairwise_votes(prefer=1.5))["side"]
    assert preferring.first == "left"
    assert preferring.value.low < 0 < preferring.value.high
    leaning = effects_of(folder, pairwise_votes(prefer=1.5, side=1.0))["side"]
    assert leaning.value.low > 0.05


def test_repetition_by_chance_is_the_mean_over_all_orders() -> None:
    answers = list("aabbbc")
    shares = [
        np.mean([one == two for one, two in itertools.pairwise(order)])
        for order in itertools.permutations(answers)
    ]
    rows = pd.DataFrame({"participant": "p", "position": range(6), "answer": answers})
    every = pd.concat([rows, rows.assign(participant="q")])
    observed = np.mean([one == two for one, two in itertools.pairwise(answers)])
    assert repetition(every).estimate == pytest.approx(observed - np.mean(shares))


def test_answers_with_a_catch_trial_between_do_not_follow_one_another() -> None:
    rows = pd.DataFrame(
        {
            "participant": ["p"] * 4 + ["q"] * 4,
            "position": [0, 1, 3, 4] * 2,
            "answer": list("aabb") + list("abab"),
        }
    )
    by_chance = 4 / 12  # of two a and two b
    assert repetition(rows).estimate == pytest.approx(2 / 4 - by_chance)  # of 0 and 1, 3 and 4 of each
    shuffled = rows.sample(frac=1, random_state=0)
    assert repetition(shuffled).estimate == pytest.approx(repetition(rows).estimate)


def test_answers_that_name_a_class_have_no_side(folder: Path) -> None:
    assert set(effects_of(folder, identification_votes())) == set(KINDS) - {"side"}


def test_without_the_order_of_answers_there_are_none(folder: Path) -> None:
    votes = mis_votes()[0]
    assert effects_of(folder, votes.drop(columns="position")) == {}
    untimed = effects_of(folder, votes.drop(columns="rt_ms"))
    assert list(untimed) == KINDS[:3]


def test_one_participant_has_no_interval(folder: Path) -> None:
    votes = mis_votes()[0]
    found = effects_of(folder, votes[votes["participant"] == "p0"])
    assert all(math.isnan(each.value.low) for each in found.values())
