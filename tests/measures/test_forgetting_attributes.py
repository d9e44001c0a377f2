"""Associations of what is lost with attributes: against scipy, and by simulation where there is none."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from prunescope.measures.forgetting_attributes import associations
from prunescope.measures.forgetting_pairs import Pairs, pairs_of

CLASSES = ["0", "1", "2", "3"]


def pairs(chance: np.ndarray, labels: np.ndarray, seed: int, networks: int = 3) -> Pairs:
    """Return networks that are right before, and lose each image with its chance."""
    rng = np.random.default_rng(seed)

    def said(lost: np.ndarray) -> pd.DataFrame:
        own = {
            "image": np.arange(len(labels)).astype(str),
            "label": labels,
            "confidence": rng.random(len(labels)),
        }
        return pd.DataFrame(own | {"prediction": np.where(lost, (labels + 1) % 4, labels)})

    never = np.zeros(len(labels), dtype=bool)
    return pairs_of(
        [said(never) for _ in range(networks)],
        [said(rng.random(len(labels)) < chance) for _ in range(networks)],
        CLASSES,
    )


def test_statistics_are_those_of_scipy_where_values_are_missing_too() -> None:
    rng, n = np.random.default_rng(0), 150
    labels = rng.integers(4, size=n)
    found = [pairs(rng.random(n) * 0.6, labels, seed) for seed in (1, 2)]
    numbers = np.where(rng.random(n) < 0.1, np.nan, rng.integers(9, size=n))
    attributes = pd.DataFrame({"size": numbers, "kind": rng.choice(["x", "y", "z"], n), "all": rng.random(n)})
    tables = associations(found, attributes, seed=0)
    for own, table in zip(found, tables, strict=True):
        lost, rows = -own.changes.mean(0), table.set_index("attribute")
        assert list(rows.index) == ["size", "kind", "all"]
        known = ~np.isnan(numbers)
        expected = stats.spearmanr(numbers[known], lost[known])
        assert rows.loc["size", "statistic"] == pytest.approx(expected.statistic)
        assert rows.loc["size", "n"] == known.sum()
        kinds = [lost[attributes["kind"] == kind] for kind in "xyz"]
        h = stats.kruskal(*kinds)
        assert rows.loc["kind", "statistic"] == pytest.approx(h.statistic / (n - 1))
        p = stats.spearmanr(attributes["all"], lost).pvalue
        assert rows.loc["all", "p"] == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 1999) + 1e-3)
        assert rows.loc["kind", "p"] == pytest.approx(h.pvalue, abs=0.05)


def test_one_class_alone_is_the_same_within_as_over_all() -> None:
    rng = np.random.default_rng(3)
    own = pairs(rng.random(80) * 0.5, np.zeros(80, dtype=int), 1)
    (table,) = associations([own], pd.DataFrame({"a": rng.random(80), "b": rng.choice(["x", "y"], 80)}), 0)
    assert np.allclose(table["within"], table["statistic"])
    assert np.allclose(table["p_within"], table["p"])


def test_what_comes_from_the_classes_is_gone_within_them() -> None:
    rng = np.random.default_rng(4)
    labels = np.repeat(np.arange(4), 200)
    attributes = pd.DataFrame({"clutter": labels + rng.random(800), "noise": rng.random(800)})
    (table,) = associations([pairs(0.05 + 0.15 * labels, labels, 5)], attributes, 0)
    clutter = table.set_index("attribute").loc["clutter"]
    assert clutter["statistic"] > 0.2
    assert clutter["p_holm"] <= 2 * clutter["p"] < 0.01
    assert clutter["p_within"] > 0.01
    assert abs(clutter["within"]) < 0.1


def test_what_holds_within_classes_is_found_there() -> None:
    rng = np.random.default_rng(5)
    labels, clutter = np.repeat(np.arange(4), 200), rng.random(800)
    own = pairs(0.3 * clutter + 0.2 * (3 - labels) / 3, labels, 6)
    shifted = clutter + labels  # over all images the classes hide it
    (table,) = associations([own], pd.DataFrame({"clutter": shifted}), 0)
    assert table.loc[0, "p_within"] < 0.01
    assert table.loc[0, "within"] > 0.1 > table.loc[0, "statistic"]


def test_p_is_even_where_nothing_is_associated() -> None:
    rng, n = np.random.default_rng(6), 60
    labels = rng.integers(4, size=n)
    found = [pairs(0.1 + 0.2 * labels / 3, labels, seed, networks=1) for seed in range(200)]
    attributes = pd.DataFrame({"a": rng.random(n), "b": rng.choice(["x", "y", "z"], n)})
    tables = associations(found, attributes, 0)
    for row in range(2):
        p = np.array([table.loc[row, "p_within"] for table in tables])
        assert np.mean(p < 0.05) < 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / len(p))
        assert 0.4 < p.mean() < 0.6


def test_where_nothing_is_lost_nothing_is_said() -> None:
    own = pairs(np.zeros(40), np.zeros(40, dtype=int), 0)
    (table,) = associations([own], pd.DataFrame({"a": np.arange(40.0)}), 0)
    assert table.loc[0, ["statistic", "p", "p_holm", "within", "p_within"]].isna().all()


def test_an_attribute_of_the_class_itself_is_not_tested_within_classes() -> None:
    labels = np.repeat(np.arange(4), 90)
    attributes = pd.DataFrame({"family": np.where(labels < 2, "cat", "dog"), "size": np.sqrt(labels + 0.1)})
    for seed in range(3):  # what rounding leaves had a p of its own
        (table,) = associations([pairs(0.1 + 0.1 * labels, labels, seed)], attributes, seed)
        assert table[["within", "p_within", "p_within_holm"]].isna().all(axis=None)
        assert (table["p"] < 0.01).all()


@pytest.mark.parametrize("count", [1, 60])
def test_a_clear_association_is_shown_among_many_attributes(count: int) -> None:
    rng, labels = np.random.default_rng(7), np.zeros(120, dtype=int)
    size = rng.random(120)
    attributes = pd.DataFrame({"size": size} | {f"noise {i}": rng.random(120) for i in range(count - 1)})
    (table,) = associations([pairs(size, labels, 8)], attributes, 0)
    assert table.loc[0, "p"] == pytest.approx(1 / max(2000, 40 * count))
    assert table.loc[0, "p_holm"] <= 0.025 + 1e-9
