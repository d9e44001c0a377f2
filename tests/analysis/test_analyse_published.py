"""Study A's published tables through the same questions: its trend, how much of it is dead units, the share of `fc`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import prunescope as ps
from prunescope.analysis.published.importing import import_published

SGD_50 = "local structured, SGD 50"


@pytest.fixture(scope="module")
def conclusions(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    imported = import_published(real_data / "published", tmp_path_factory.mktemp("published"))
    (run,) = [run for run in imported.runs if Path(run).name == "published-googlenet"]
    return ps.analyse(run)


def one(table: pd.DataFrame, **wanted: str) -> pd.Series:
    for column, value in wanted.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


@pytest.mark.parametrize(("measure", "r"), [("mis_published", 0.516), ("mis", 0.773)])
def test_the_pooled_correlations_of_the_24_networks(
    conclusions: pd.DataFrame, measure: str, r: float
) -> None:
    found = one(conclusions, question="trend, pooled", measure=measure)
    assert (round(found["estimate"], 2), found["n"], found["verdict"]) == (round(r, 2), 24, "described")


def test_within_every_method_mis_rises_with_the_rate(conclusions: pd.DataFrame) -> None:
    found = one(conclusions, question="trend", measure="mis")
    assert (found["estimate"], found["n"], found["verdict"]) == (1, 6, "shown")
    alone = conclusions.query("question == 'trend within a series' and measure == 'mis'")
    assert set(alone["verdict"]) == {"not shown"}  # four rates each


def test_dead_units_make_most_of_the_published_rise(conclusions: pd.DataFrame) -> None:
    found = one(conclusions, question="dead units", series=SGD_50)
    assert "goes from 0.728 to 0.918 if dead units are scored" in found["sentence"]
    assert "from 0.673 to 0.748 without them" in found["sentence"]
    assert "is inferred" in found["sentence"]
    assert found["estimate"] == pytest.approx((0.918 - 0.728) - (0.748 - 0.673), abs=0.001)


def test_the_classifier_grows_but_does_not_make_the_rise(conclusions: pd.DataFrame) -> None:
    found = one(conclusions, question="composition", series=SGD_50, target="0.8")
    assert "“fc”, has 37 % of the live units, and 12 % unpruned" in found["sentence"]
    assert found["estimate"] == pytest.approx(0.073, abs=0.001)
    assert found["verdict"] == "shown"
