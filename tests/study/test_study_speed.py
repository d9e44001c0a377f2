"""Speed in a study: every network timed beside the dense one that it came from, and told on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunescope.study.run import Result, run_study
from study.tiny import document, write_data, write_study

NONE = {"kind": "none"}
SERIES = [
    {"series": "weights", "granularity": "weight", "rates": [0.5]},
    {"series": "filters", "granularity": "filter", "rates": [0.5]},
    {"series": "kept norms", "granularity": "filter", "rates": [0.5], "norm": "keep", "retrain": NONE},
    {"series": "grown back", "granularity": "connection", "rates": [0.5], "hold": False},
]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("speed")
    speed = {"speed": {"runtimes": ["pytorch"], "batches": [1], "rounds": 6}}
    study = document(prune=SERIES, measure=["size", speed])
    return run_study(write_study(folder, study), folder / "runs", data=write_data(folder))


def test_what_each_network_is_timed_as(result: Result) -> None:
    assert not result.failed
    speed = result.tables["speed"].set_index(["network", "variant"])
    timed = speed[speed["milliseconds"].notna()].index
    why = speed["why"].dropna()
    forms = {
        network: set(timed[timed.get_level_values(0) == network].get_level_values(1)) for network, _ in timed
    }
    assert forms == {
        "dense-seed0": {"dense"},
        "weights-0.5-pruned-seed0": {"dense", "masked"},
        "weights-0.5-retrained-seed0": {"dense", "masked"},
        "filters-0.5-pruned-seed0": {"dense", "masked", "compact"},
        "filters-0.5-retrained-seed0": {"dense", "masked", "compact"},
        "kept norms-0.5-pruned-seed0": {"dense", "masked"},
        "grown back-0.5-pruned-seed0": {"dense", "masked", "compact"},
        "grown back-0.5-retrained-seed0": {"dense", "masked"},
    }
    assert "single weights" in why["weights-0.5-pruned-seed0", "compact"]
    assert "conv1" in why["kept norms-0.5-pruned-seed0", "compact"]
    assert "norm: keep" in why["kept norms-0.5-pruned-seed0", "compact"]
    assert "grew back" in why["grown back-0.5-retrained-seed0", "compact"]


def test_size_says_what_compaction_leaves(result: Result) -> None:
    """8, 8 and 16 filters; half of each: 4 * 27 + 4 * 36 + 8 * 36 weights, 2 * 16 of batch norms, 3 * 8 + 3."""
    size = result.tables["scores"].pivot(index="network", columns="metric", values="value")
    dense, filters = size.loc["dense-seed0"], size.loc["filters-0.5-retrained-seed0"]
    assert dense["weights_compact"] == dense["weights"] == 8 * 27 + 8 * 72 + 16 * 72 + 2 * 32 + 3 * 16 + 3
    assert filters["weights_compact"] == 4 * 27 + 4 * 36 + 8 * 36 + 2 * 16 + 3 * 8 + 3
    assert filters["macs_compact"] == 64 * (4 * 27 + 4 * 36) + 16 * 8 * 36 + 3 * 8
    for nothing_leaves in ("weights-0.5", "kept norms-0.5", "grown back-0.5"):
        stage = "pruned" if nothing_leaves == "kept norms-0.5" else "retrained"
        own = size.loc[f"{nothing_leaves}-{stage}-seed0"]
        assert own["weights_compact"] == dense["weights"]
        assert own["file_bytes_compact"] == dense["file_bytes"]


def test_the_page_tells(result: Result) -> None:
    page = Path(result.report).read_text(encoding="utf-8")

    assert 'id="speed"' in page
    assert "single weights leave no channel to take out" in page
