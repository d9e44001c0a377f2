"""Means over images, of those that have what is averaged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from prunescope.measures.explanation_scores import explanation_curves, explanation_scores
from prunescope.measures.intervals import bootstrap_mean, bootstrap_share, mean_interval, mean_intervals

NAN = np.nan


def images(**columns: list[float]) -> pd.DataFrame:
    """Return four rows of the table `explanations`; the third is of an empty map."""
    table = {
        "method": ["grad-cam"] * 4,
        "empty": [False, False, True, False],
        "spearman": [0.5, 0.25, NAN, 1.0],
        "ssim": [NAN] * 4,
        "iou": [NAN] * 4,
        "deletion": [0.2, 0.4, NAN, 0.1],
        "insertion": [0.7, 0.4, NAN, 0.9],
        "confidence": [0.9, 0.8, 0.1, 0.6],
        "pointing": [1.0, NAN, NAN, 0.5],
        "inside": [NAN] * 4,
        "object_share": [NAN] * 4,
        "gini": [0.5, 0.5, NAN, 0.5],
        "entropy": [NAN] * 4,
        "proxy": [3, 0, -1, 1],
        "proxy_correct": [1.0, 0.0, NAN, 1.0],
    }
    return pd.DataFrame(table | columns)


def test_each_mean_is_over_the_images_that_have_it() -> None:
    scores = explanation_scores(images(), None).set_index("metric")
    assert scores["n"].to_dict() == {
        "grad-cam/spearman": 3,
        "grad-cam/deletion": 3,
        "grad-cam/insertion": 3,
        "grad-cam/faithfulness": 3,
        "grad-cam/confidence": 4,
        "grad-cam/pointing": 2,
        "grad-cam/gini": 3,
        "grad-cam/empty": 4,
        "grad-cam/proxy_top1": 3,
    }
    assert scores["value"].to_dict() == pytest.approx(
        {
            "grad-cam/spearman": 1.75 / 3,
            "grad-cam/deletion": 0.7 / 3,
            "grad-cam/insertion": 2 / 3,
            "grad-cam/faithfulness": (0.5 + 0 + 0.8) / 3,
            "grad-cam/confidence": 2.4 / 4,
            "grad-cam/pointing": 0.75,
            "grad-cam/gini": 0.5,
            "grad-cam/empty": 0.25,
            "grad-cam/proxy_top1": 2 / 3,
        }
    )
    low, high = mean_interval(np.array([0.5, 0.25, 1.0]))
    assert scores.loc["grad-cam/spearman", ["low", "high"]].tolist() == pytest.approx([low, high])
    assert scores.loc["grad-cam/empty", ["low", "high"]].tolist() == list(bootstrap_share(1, 4))
    assert scores.loc["grad-cam/proxy_top1", ["low", "high"]].tolist() == list(bootstrap_share(2, 3))


def test_the_interval_of_faithfulness_is_that_of_the_differences() -> None:
    rng = np.random.default_rng(0)
    deletion = rng.random(40)
    many = pd.concat([images()] * 10, ignore_index=True)
    many["deletion"], many["insertion"] = deletion, deletion + 0.25  # as sure for each image
    row = explanation_scores(many, None).set_index("metric").loc["grad-cam/faithfulness"]
    assert row[["value", "low", "high"]].tolist() == pytest.approx([0.25] * 3)
    assert row["n"] == 40


def test_what_chance_gives_stands_beside_it() -> None:
    chance = pd.DataFrame({"spearman": [0.1, NAN, NAN, 0.3], "ssim": [NAN] * 4, "iou": [0.0, 0, NAN, 0.5]})
    rows = images()
    rows.index = [7, 8, 9, 10]  # as where rows are taken from a larger table
    scores = explanation_scores(rows, chance).set_index("metric")
    assert scores.loc["grad-cam/spearman_chance", ["value", "n"]].tolist() == pytest.approx([0.2, 2])
    assert scores.loc["grad-cam/iou_chance", ["value", "n"]].tolist() == pytest.approx([1 / 6, 3])
    assert "grad-cam/ssim_chance" not in scores.index


def test_curves_average_the_images_that_have_one() -> None:
    fractions = np.array([0, 0.5, 1])
    deletion = np.array([[0.9, 0.4, 0.1], [NAN] * 3, [0.7, 0.6, 0.3]])
    table = explanation_curves("lrp", {"deletion": deletion, "insertion": np.full((3, 3), NAN)}, fractions)
    assert table[["method", "curve", "fraction", "value", "n"]].values.tolist() == [
        ["lrp", "deletion", 0.0, pytest.approx(0.8), 2],
        ["lrp", "deletion", 0.5, pytest.approx(0.5), 2],
        ["lrp", "deletion", 1.0, pytest.approx(0.2), 2],
    ]
    assert not len(explanation_curves("lrp", {"insertion": np.full((3, 3), NAN)}, fractions))


@pytest.mark.parametrize("n", [2, 29, 30, 60, 900])
def test_intervals_of_many_columns_are_those_of_each(n: int) -> None:
    values = np.random.default_rng(1).gamma(2, size=(n, 3))
    low, high = mean_intervals(values)
    for column, ends in zip(values.T, zip(low, high, strict=True), strict=True):
        assert ends == pytest.approx(mean_interval(column), rel=1e-12)
    if n >= 30:
        assert (low[0], high[0]) == pytest.approx(bootstrap_mean(values[:, 0]), rel=1e-12)
