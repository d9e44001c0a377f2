from __future__ import annotations

import math
from collections.abc import Iterator

import krippendorff
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.analysis.agreement import agreement_of, nominal_alpha


def reference(counts: np.ndarray) -> float:
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def survey(rng: np.random.Generator, people: int = 40, items: int = 60, each: int = 5) -> pd.DataFrame:
    """Return answers that follow the item in some cases, else the person's own leaning."""
    item = np.repeat(np.arange(items), each)
    person = np.concatenate([rng.choice(people, each, replace=False) for _ in range(items)])
    of_item, of_person = rng.integers(0, 3, items), rng.integers(0, 3, people)
    said = np.where(rng.random(len(item)) < 0.5, of_item[item], of_person[person])
    said = np.where(rng.random(len(item)) < 0.3, rng.integers(0, 3, len(item)), said)
    return pd.DataFrame(
        {"participant": person.astype(str), "item": item.astype(str), "said": said.astype(str)}
    )


def alpha_of(rows: pd.DataFrame) -> float:
    return reference(pd.crosstab(rows["item"], rows["said"]).to_numpy())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=2, max_size=12))
def test_alpha_is_that_of_the_krippendorff_package(rows: list[list[int]]) -> None:
    counts = np.array(rows, dtype=float)
    judged = counts[counts.sum(1) >= 2]
    ours = nominal_alpha(counts)
    if len(judged) and (judged.sum(0) > 0).sum() > 1:
        assert ours == pytest.approx(reference(counts[counts.sum(1) > 0]))
    else:
        assert math.isnan(ours)


def test_alpha_by_hand() -> None:
    """Of Krippendorff's book (2004), two observers, ten binary items: α = 0.095."""
    first, second = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    counts = np.array([[(a == 0) + (b == 0), a + b] for a, b in zip(first, second, strict=True)], dtype=float)
    assert nominal_alpha(counts) == pytest.approx(0.095, abs=5e-4)


def left_out(rows: pd.DataFrame, column: str | None) -> Iterator[float]:
    groups = rows.groupby(column).groups.values() if column else [[label] for label in rows.index]
    for own in groups:
        yield alpha_of(rows.drop(index=own))


def test_the_interval_leaves_out_people_items_and_answers() -> None:
    """Against the slow form: the alpha of the package, of tables without each in turn."""
    rows = survey(np.random.default_rng(2), people=15, items=20, each=4)
    found, judged = agreement_of(rows["participant"], rows["item"], rows["said"])
    whole = alpha_of(rows)
    variances = []
    for column in ("participant", "item", None):
        values = np.array(list(left_out(rows, column)))
        variances.append(((values - whole) ** 2).sum() * (len(values) - 1) / len(values))
    people, items, single = variances
    assert judged == 20
    assert found.estimate == pytest.approx(whole)
    assert found.error == pytest.approx(math.sqrt(max(people + items - single, items)))


def test_intervals_cover_what_other_people_say_of_other_items() -> None:
    rng = np.random.default_rng(4)
    found, values = [], []
    for _ in range(500):
        rows = survey(rng, people=60, items=60)
        alpha, _ = agreement_of(rows["participant"], rows["item"], rows["said"])
        found.append(alpha)
        values.append(alpha.estimate)
    truth = np.mean(values)  # of the many, since there is no closed form
    covered = np.mean([each.low <= truth <= each.high for each in found])
    assert covered == pytest.approx(0.95, abs=0.025)  # 500 surveys: a standard error of 0.01
    assert np.mean([each.error for each in found]) == pytest.approx(np.std(values), rel=0.15)


@pytest.mark.parametrize("said", [["a"] * 6, ["a", "b", "c", "a", "b", "c"]], ids=["all alike", "once each"])
def test_nothing_to_agree_on_is_no_number(said: list[str]) -> None:
    items = ["1", "1", "1", "2", "2", "2"] if said[0] == said[1] else list("123456")
    found, judged = agreement_of(pd.Series(list("abcabc")), pd.Series(items), pd.Series(said))
    assert math.isnan(found.estimate)
    assert math.isnan(found.low)
    assert judged == (2 if said[0] == said[1] else 0)


def test_no_answers() -> None:
    empty = pd.Series([], dtype=str)
    found, judged = agreement_of(empty, empty, empty)
    assert math.isnan(found.estimate)
    assert judged == 0


def test_one_participant_agrees_with_nobody() -> None:
    said, items = pd.Series(list("abab")), pd.Series(list("1122"))
    found, _ = agreement_of(pd.Series(["p"] * 4), items, said)
    assert math.isnan(found.estimate)
    assert math.isfinite(agreement_of(pd.Series(list("pqpq")), items, said)[0].estimate)
