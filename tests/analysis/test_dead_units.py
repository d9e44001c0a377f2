"""Dead units that are scored make a trend where there is none: simulated with the score itself."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from analysis.made_units import units_of, write_scored
from prunescope.analysis.dead_units import dead_units, means_of
from prunescope.analysis.results import read_results
from prunescope.analysis.trends import trends
from prunescope.measures.mis_scores import mis_scores

CLASSES, PER_CLASS, UNITS = 5, 200, 60
RATES = (0.2, 0.4, 0.6, 0.8)


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Units of one and the same quality in all networks, ever more of them dead; images sorted by class.

    Three series of four rates. A live unit answers weakly to one class; a dead one puts out a constant, and is scored
    like any other, ties broken by the order of the images.
    """
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    embeddings = np.eye(CLASSES)[labels] + 0.05 * generator.normal(size=(len(labels), CLASSES))
    tables = {}
    for name in ("dense-0", *(f"{series}-{rate}-0" for series in "abc" for rate in RATES)):
        answers = generator.normal(size=(len(labels), UNITS))
        answers += 0.7 * (labels[:, None] == generator.integers(CLASSES, size=UNITS))
        rate = 0.0 if name == "dense-0" else float(name.split("-")[1])
        dead = generator.permutation(UNITS) < rate * UNITS
        answers[:, dead] = 0.0
        scored = mis_scores(answers, embeddings, dead="scored", ties="index")
        table = units_of(name, {"conv": scored["mis"].to_numpy()}, {"conv": ~scored["alive"].to_numpy()})
        tables[name] = table.assign(mis_published=scored["mis"])
    return write_scored(
        tmp_path_factory.mktemp("artefact") / "run",
        tables,
        {series: [str(rate) for rate in RATES] for series in "abc"},
    )


def test_the_simulated_dead_units_look_perfectly_interpretable(artefact: Path) -> None:
    units = pd.read_parquet(artefact / "tables" / "units.parquet")
    assert units.loc[~units["alive"], "mis_published"].min() > 0.99
    assert units.loc[units["alive"], "mis"].mean() < 0.8


def test_scored_dead_units_make_a_trend_that_live_units_do_not_have(artefact: Path) -> None:
    found = {each.measure: each for each in trends(read_results(artefact), {}) if each.question == "trend"}
    assert found["mis_published"].verdict == "shown"
    assert found["mis_published"].estimate == 1
    assert found["mis"].verdict == "not shown"


def test_the_finding_says_how_much_of_the_change_is_theirs(artefact: Path) -> None:
    for row in dead_units(read_results(artefact), {}):
        network = means_of(
            pd.read_parquet(artefact / "tables" / "units.parquet").query(f"network == '{row.series}-0.8-0'")
        )
        assert row.estimate == pytest.approx(
            network.scored - network.live
        )  # none is dead in the dense network
        assert (row.verdict, row.effect) == ("shown", pytest.approx(0.8))
        assert 0.15 < row.estimate < 0.4
        assert "80 % of the units are dead; they alone make +0." in row.sentence
        assert row.low < row.estimate < row.high


def test_the_largest_artefact_is_told_first(artefact: Path) -> None:
    found = list(dead_units(read_results(artefact), {}))
    told = [each for each in found if each.weight > 0]
    assert [each.series for each in told] == [max(found, key=lambda each: each.estimate).series]


def test_the_error_of_the_artefact_is_that_of_resampling_units() -> None:
    generator = np.random.default_rng(1)
    alive = generator.random(300) < 0.4
    values = np.where(alive, 0.7 + 0.1 * generator.normal(size=300), 0.97 + 0.02 * generator.random(300))
    found = means_of(pd.DataFrame({"alive": alive, "mis_published": values}))
    drawn = generator.integers(300, size=(4000, 300))
    differences = [values[rows].mean() - values[rows][alive[rows]].mean() for rows in drawn]
    assert found.scored - found.live == pytest.approx(values.mean() - values[alive].mean())
    assert found.error == pytest.approx(np.std(differences), rel=0.05)


def test_no_dead_units_no_finding(tmp_path: Path) -> None:
    scores = {"conv": np.linspace(0.5, 0.9, 50)}
    units = {name: units_of(name, scores) for name in ("dense-0", "weights-0.5-0")}
    run = write_scored(tmp_path / "run", units, {"weights": ["0.5"]})
    assert list(dead_units(read_results(run), {})) == []


def test_a_published_run_says_that_the_dead_are_inferred(artefact: Path) -> None:
    from dataclasses import replace

    results = read_results(artefact)
    published = replace(results, study=results.study | {"published": {"source": "somewhere"}})
    plain, told = (next(iter(dead_units(each, {}))).sentence for each in (results, published))
    assert "inferred" not in plain
    assert told.endswith("Which units are dead is inferred from the published scores, not known.")


def test_all_dead_is_no_mean(tmp_path: Path) -> None:
    scores = {"conv": np.linspace(0.5, 0.9, 50)}
    dead = {"conv": np.ones(50, dtype=bool)}
    units = {"dense-0": units_of("dense-0", scores), "filters-0.9-0": units_of("filters-0.9-0", scores, dead)}
    run = write_scored(tmp_path / "run", units, {"filters": ["0.9"]})
    assert list(dead_units(read_results(run), {})) == []
    assert math.isnan(read_results(run).final["mis"].iloc[0])


def test_a_series_of_any_name_is_told(tmp_path: Path) -> None:
    scores = {"conv": np.linspace(0.5, 0.9, 50)}
    dead = {"conv": np.arange(50) < 20}
    units = {"dense-0": units_of("dense-0", scores), "{end}-0.9-0": units_of("{end}-0.9-0", scores, dead)}
    (row,) = dead_units(read_results(write_scored(tmp_path / "run", units, {"{end}": ["0.9"]})), {})
    assert row.sentence.startswith("From dense to 90 % of “{end}”, the mean MIS")
    assert row.sentence.endswith("): shown (p < 0.001).")


def test_series_are_corrected_for_how_many_there_are(artefact: Path) -> None:
    found = list(dead_units(read_results(artefact), {}))
    assert len(found) == 3
    corrected = multipletests([each.p for each in found], method="holm")[1]
    assert [each.p_holm for each in found] == pytest.approx(corrected.tolist(), rel=1e-6)
    assert all(each.p_holm > each.p for each in found[:-1])
