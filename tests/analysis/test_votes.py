from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from prunescope.analysis.crossed import Crossed, crossed, difference_of_shares, share
from prunescope.analysis.findings import find
from prunescope.analysis.published.importing import import_published
from prunescope.analysis.recognitions import recognitions
from prunescope.analysis.results import Results, read_results
from prunescope.analysis.votes import (
    BUSIEST,
    busiest_of,
    holm_of,
    name_of,
    preferences,
    preferences_by_class,
    without_busiest,
)
from published_files import answers, compressions, identification, totals, write


def read(folder: Path, **tables: pd.DataFrame) -> Results:
    imported = import_published(write(folder / "in", **tables), folder / "runs")
    return read_results(imported.runs[0])


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read(tmp_path_factory.mktemp("votes"), a=compressions(), b=answers())


def simulate(
    rng: np.random.Generator, people: int, items: int, by_person: float, by_item: float, busy: bool = False
) -> Crossed:
    """Return the interval of a share whose expectation is one half, persons and items differing by so much."""
    weights = rng.lognormal(0, 1.2 if busy else 0, people)
    item = np.repeat(np.arange(items), 5)
    person = rng.choice(people, len(item), p=weights / weights.sum())
    chances = 0.5 + rng.uniform(-by_person, by_person, people)[person]
    chances += rng.uniform(-by_item, by_item, items)[item]
    chosen = rng.random(len(item)) < chances
    counted = np.stack([chosen, np.ones(len(item))], 1).astype(float)
    return crossed(counted, np.unique(person, return_inverse=True)[1], item, share, null=0.5)


@pytest.mark.parametrize(
    ("people", "items", "by_person", "by_item", "busy"),
    [
        (60, 60, 0.25, 0.2, False),
        (60, 60, 0.0, 0.0, False),
        (80, 100, 0.35, 0.0, False),
        (60, 60, 0.0, 0.35, False),
        (180, 100, 0.2, 0.2, True),
    ],
)  # fmt: skip
def test_intervals_cover_other_participants_and_items(
    people: int, items: int, by_person: float, by_item: float, busy: bool
) -> None:
    rng = np.random.default_rng(5)
    found = [simulate(rng, people, items, by_person, by_item, busy) for _ in range(1500)]
    covered = np.mean([each.low <= 0.5 <= each.high for each in found])
    assert covered == pytest.approx(0.95, abs=0.02)
    rejected = np.mean([each.p < 0.05 for each in found])
    assert rejected == pytest.approx(1 - covered)


def test_intervals_as_if_independent_do_not() -> None:
    """The same simulation, so that the test above could fail."""
    rng, covered = np.random.default_rng(5), 0
    for _ in range(400):
        found = simulate(rng, 20, 100, 0.35, 0.0)
        covered += abs(found.estimate - 0.5) < 1.96 * math.sqrt(0.25 / 500)
    assert covered / 400 < 0.85


def test_one_answer_a_person_and_item_is_the_binomial() -> None:
    n = 400
    chosen = np.arange(n) < 230
    counted = np.stack([chosen, np.ones(n)], 1).astype(float)
    found = crossed(counted, np.arange(n), np.arange(n), share, null=0.5)
    p = 230 / n
    assert found.error == pytest.approx(math.sqrt(p * (1 - p) / (n - 1)))
    half = stats.t.ppf(0.975, n - 1) * found.error
    assert (found.low, found.high) == pytest.approx((p - half, p + half))


def test_a_person_who_says_the_same_thing_often_is_one_person() -> None:
    once = np.stack([np.arange(50) < 30, np.ones(50)], 1).astype(float)
    people = np.arange(50)
    single = crossed(once, people, np.arange(50), share)
    often = crossed(np.repeat(once, 8, 0), np.repeat(people, 8), np.arange(400), share)
    assert often.error == pytest.approx(single.error, rel=0.01)
    assert often.freedom == pytest.approx(single.freedom)


@pytest.mark.parametrize("people", [1, 2])
def test_too_few_people_have_no_interval(people: int) -> None:
    counted = np.stack([np.arange(30) % 3 == 0, np.ones(30)], 1).astype(float)
    found = crossed(counted, np.arange(30) % people, np.arange(30), share)
    assert found.estimate == pytest.approx(1 / 3)
    assert math.isnan(found.low) == (people == 1)
    if people == 2:
        assert found.high - found.low > 0.5  # one degree of freedom


def test_no_answers_and_answers_all_alike_have_no_interval() -> None:
    nothing = crossed(np.zeros((0, 2)), np.zeros(0, int), np.zeros(0, int), share)
    assert math.isnan(nothing.estimate)
    alike = crossed(np.ones((40, 2)), np.arange(40), np.arange(40), share, null=0.5)
    assert alike.estimate == 1
    assert math.isnan(alike.low)


def test_preferences_count_the_answers(asked: Results) -> None:
    given = answers()
    found = {(each.stimulus, each.one, each.other): each for each in preferences(asked)}
    assert list(found) == [
        ("heat map", "dense-seed0", "CR 2"),
        ("heat map", "dense-seed0", "CR 32"),
        ("explanation map", "CR 2", "CR 32"),
    ]
    for (stimulus, *_), each, (one, other) in zip(
        found, found.values(), [(1, 2), (1, 32), (2, 32)], strict=True
    ):
        own = given[(given["stimulus"] == stimulus) & (given["left"] + given["right"] == one + other)]
        chosen = own["left"].where(own["answer"] == "left", own["right"]).where(own["answer"] != "equal", 0)
        assert each.counts == ((chosen == one).sum(), (chosen == other).sum(), (chosen == 0).sum())
        test = stats.chisquare(each.counts[:2])
        assert (each.chi2, each.p_of_chi2) == pytest.approx((test.statistic, test.pvalue))
        assert (each.participants, each.items) == (own["participant"].nunique(), own["image"].nunique())
        assert (
            each.crossed.estimate == pytest.approx(each.share) == pytest.approx(each.counts[1] / each.decided)
        )


def test_classes_add_up_to_the_whole(asked: Results) -> None:
    whole = {(each.stimulus, each.one, each.other): each.counts for each in preferences(asked)}
    sums: dict[tuple[str, str, str], np.ndarray] = {}
    for each in preferences_by_class(asked):
        key = each.stimulus, each.one, each.other
        sums[key] = sums.get(key, np.zeros(3)) + each.counts
    assert {key: tuple(counts) for key, counts in sums.items()} == whole
    assert len({each.of_class for each in preferences_by_class(asked)}) == 5


def test_the_busiest_are_left_out(asked: Results) -> None:
    given = answers()
    for each in without_busiest(asked):
        own = given[given["stimulus"] == each.stimulus]
        people = own["participant"].value_counts()
        assert people.index[0] == 0
        assert each.participants <= own["participant"].nunique() - BUSIEST
    every = sum(sum(each.counts) for each in without_busiest(asked))
    assert every < len(given) - (given["participant"] == 0).sum() + 1


def test_networks_are_named_as_they_were_asked_for(asked: Results) -> None:
    assert name_of("dense-seed0", asked) == "dense"
    assert name_of("CR 2", asked) == "CR 2"
    assert name_of("another", asked) == "“another”"


def test_totals_have_no_interval_over_participants(tmp_path: Path) -> None:
    results = read(tmp_path, d=totals(), c=identification())
    pairs = preferences(results)
    assert [pair.counts for pair in pairs] == [(715, 818, 967), (1082, 876, 542)]
    assert [round(pair.chi2, 3) for pair in pairs] == [6.920, 21.673]
    found = find(results)
    votes = [each for each in found if each.question == "votes"]
    assert {each.verdict for each in votes} == {"no interval"}
    assert all("only totals are known" in each.sentence for each in votes)
    assert all(math.isnan(each.low) and each.weight == 0 for each in votes)
    named = recognitions(results)
    assert [each.share for each in named] == [2146 / 2500, 2033 / 2500]
    assert not [each for each in found if each.question == "agreement"]


def test_answers_take_the_place_of_their_totals(tmp_path: Path) -> None:
    results = read(tmp_path, b=answers(), d=totals())
    pairs = preferences(results)
    assert len(pairs) == 3
    assert all(pair.participants for pair in pairs)


def test_findings_correct_for_the_number_of_pairs(asked: Results) -> None:
    own = [each for each in find(asked) if each.question == "votes"]
    assert [each.p_holm for each in own] == holm_of(each.p for each in own)
    for each in own:
        assert each.verdict == ("shown" if each.p_holm < 0.05 else "not shown")
        assert each.low < each.estimate < each.high
        assert each.effect == pytest.approx(each.estimate - 0.5)
        assert f"{100 * each.estimate:.1f} %" in each.sentence
        assert each.verdict in each.sentence


def test_a_clear_preference_is_shown_and_none_is_not(tmp_path: Path) -> None:
    given = answers(people=60)
    clear = (given["left"] == 32) | (given["right"] == 32)
    side = np.where(given["left"] == 32, "left", "right")
    keep = np.random.default_rng(1).random(len(given)) < 0.8
    given["answer"] = np.where(clear & keep, side, given["answer"])
    found = [each for each in find(read(tmp_path, b=given)) if each.question == "votes"]
    assert [each.verdict for each in found] == ["not shown", "shown", "shown"]
    assert found[1].low > 0.5


def test_answers_that_call_all_equal_say_so(tmp_path: Path) -> None:
    results = read(tmp_path, b=answers().assign(answer="equal"))
    found = find(results)
    votes = [each for each in found if each.question == "votes"]
    assert all("none of" in each.sentence for each in votes)
    assert {each.verdict for each in votes} == {"no interval"}
    agreed = [each for each in found if each.question == "agreement"]
    assert agreed
    assert all("cannot be computed" in each.sentence for each in agreed)


def test_one_participant_has_no_interval(tmp_path: Path) -> None:
    given = answers()
    found = find(read(tmp_path, b=given[given["participant"] == 0]))
    assert {each.verdict for each in found if each.question == "votes"} == {"no interval"}


def test_what_one_network_shows_is_recognised_or_not(asked: Results, tmp_path: Path) -> None:
    """Answers that name a class, as issue 9's own surveys give them."""
    rng = np.random.default_rng(3)
    rows = []
    for network, chance in (("dense-seed0", 0.9), ("CR 32", 0.6)):
        for image in range(80):
            for person in rng.choice(50, 4, replace=False):
                said = "dog" if rng.random() < chance else rng.choice(["cat", "don't know"])
                rows.append(
                    (f"p{person}", f"{network}/{image}", f"dog/{image}", network, said, said == "dog")
                )
    table = pd.DataFrame(rows, columns=["participant", "item", "image", "network", "answer", "correct"])
    votes = table.assign(experiment="identification", stimulus="explanation map", **{"class": "dog"})
    run = import_published(write(tmp_path / "in", a=compressions()), tmp_path / "runs").runs[0]
    votes.to_parquet(run / "tables" / "votes.parquet")
    results = read_results(run)
    dense, pruned = recognitions(results)
    right = table.groupby("network")["correct"].mean()
    assert (dense.share, pruned.share) == pytest.approx((right["dense-seed0"], right["CR 32"]))
    assert pruned.change.estimate == pytest.approx(right["CR 32"] - right["dense-seed0"])
    assert pruned.counts[1] == ((table["network"] == "CR 32") & (table["answer"] == "don't know")).sum()
    found = [each for each in find(results) if each.question == "identification"]
    assert [each.verdict for each in found] == ["no interval", "shown"]
    assert found[1].high < 0
    assert preferences(results) == []


def test_a_difference_of_shares_over_the_same_people() -> None:
    rng = np.random.default_rng(0)
    person, item = rng.integers(0, 60, 900), rng.integers(0, 70, 900)
    first = rng.random(900) < 0.5
    right = rng.random(900) < np.where(first, 0.7, 0.5)
    columns = np.stack([first & right, first, ~first & right, ~first], 1).astype(float)
    found = crossed(columns, person, item, difference_of_shares)
    expected = right[first].mean() - right[~first].mean()
    assert found.estimate == pytest.approx(expected)
    error = math.sqrt(sum(right[own].mean() * (1 - right[own].mean()) / own.sum() for own in (first, ~first)))
    assert found.error == pytest.approx(error, rel=0.25)


def votes_in(folder: Path, table: pd.DataFrame) -> Results:
    """The results of a run with two networks, dense and CR 2, and these answers."""
    run = import_published(write(folder / "in", a=compressions()), folder / "runs").runs[0]
    table.to_parquet(run / "tables" / "votes.parquet")
    return read_results(run)


def pairwise(answers_given: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    left = rng.choice(["dense-seed0", "CR 2"], answers_given)
    return pd.DataFrame(
        {
            "experiment": "pairwise", "stimulus": "map",
            "participant": [f"p{i}" for i in rng.integers(12, size=len(left))],
            "item": [f"i{i}" for i in rng.integers(20, size=len(left))], "left": left,
            "right": np.where(left == "CR 2", "dense-seed0", "CR 2"),
            "answer": rng.choice(["left", "right", "equal"], len(left)),
        }
    )  # fmt: skip


def test_which_network_was_chosen_follows_from_the_side(tmp_path: Path) -> None:
    table = pairwise()
    (found,) = preferences(votes_in(tmp_path, table))
    picked = table["left"].where(table["answer"] == "left", table["right"])
    counts = [((picked == name) & (table["answer"] != "equal")).sum() for name in ("dense-seed0", "CR 2")]
    assert found.counts == (*counts, (table["answer"] == "equal").sum())


def test_a_network_beside_itself_is_no_comparison(tmp_path: Path) -> None:
    table = pairwise()
    same = table.assign(right=table["left"])
    results = votes_in(tmp_path, pd.concat([table, same]))
    (found,) = preferences(results)
    assert sum(found.counts) == len(table)


def test_answers_of_nobody_known_are_those_of_one_person(tmp_path: Path) -> None:
    table = pairwise()
    table.loc[:9, "participant"] = None
    table.loc[10:12, "item"] = None
    (found,) = preferences(votes_in(tmp_path, table))
    assert sum(found.counts) == len(table)
    assert found.participants == table["participant"].nunique() + 1
    assert math.isfinite(found.crossed.error)


def test_an_interval_of_a_share_ends_with_it() -> None:
    counted = np.stack([np.arange(6) < 5, np.ones(6)], 1).astype(float)
    found = crossed(counted, np.arange(6), np.arange(6), share, null=0.5)
    assert found.estimate + stats.t.ppf(0.975, found.freedom) * found.error > 1
    assert found.high == 1


def test_what_one_person_says_of_one_image_is_one_answer() -> None:
    once = np.stack([np.arange(40) < 25, np.ones(40)], 1).astype(float)
    person, item = np.arange(40) % 10, np.arange(40) // 10
    single, twice = (
        crossed(np.repeat(once, n, 0), np.repeat(person, n), np.repeat(item, n), share) for n in (1, 2)
    )
    assert twice.error == pytest.approx(single.error)


def test_recognition_is_compared_with_the_least_pruned_network_and_names_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    network = np.repeat(["CR 2", "CR 32"], 100)
    table = pd.DataFrame(
        {"experiment": "identification", "stimulus": "map", "participant": [f"p{i % 25}" for i in range(200)],
         "item": [f"i{i}" for i in range(200)], "network": network, "answer": "dog",
         "correct": rng.random(200) < np.where(network == "CR 2", 0.9, 0.5)}
    )  # fmt: skip
    _, found = (each for each in find(votes_in(tmp_path, table)) if each.question == "identification")
    assert "against CR 2, the share of right ones changes by −" in found.sentence
    assert found.method.startswith("share of right answers less that of CR 2; interval: ")


def test_agreement_is_corrected_for_all_that_is_asked(asked: Results) -> None:
    found = [each for each in find(asked) if each.question == "agreement"]
    assert [each.p_holm for each in found] == holm_of(each.p for each in found)
    assert all(f"That it is not chance is {each.verdict} (" in each.sentence for each in found)


def test_nobody_is_busiest_where_all_answer_about_as_much() -> None:
    names = [f"p{i:02d}" for i in range(12)]
    alike = pd.DataFrame({"participant": names * 5 + names[:1]})
    assert busiest_of(alike) == []
    assert len(busiest_of(pd.DataFrame({"participant": names * 5 + names[:1] * 5}))) == BUSIEST
