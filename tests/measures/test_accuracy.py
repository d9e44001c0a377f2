"""Accuracy against plain Python: a network that looks its logits up, so that every number is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from measures.named import named_images
from oracles import accuracy as oracle
from prunescope.errors import PrunescopeError
from prunescope.images.cache import Pixels
from prunescope.measures.accuracy import AccuracySettings, calibration_error, measure_accuracy
from prunescope.measures.measure import Subject
from prunescope.networks.preprocess import Preprocess
from prunescope.training.evaluation import LabelledPixels

PLAIN = Preprocess(resize=None, crop=1, mean=(0, 0, 0), std=(1, 1, 1), range=255)


class Lookup(nn.Module):
    """Returns the row of `logits` that the red value of a one-pixel image names."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.preprocess = PLAIN
        self.logits = nn.Parameter(logits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits[x[:, 0, 0, 0].round().long()]


def subject(
    logits: torch.Tensor, labels: list[int], classes: int, indices: list[int] | None = None
) -> Subject:
    """Return image i of class labels[i], for which the network puts out logits[i]."""
    pixels = np.repeat(np.arange(len(labels), dtype=np.uint8), 3)
    index = np.array([(1, 1, 3 * i) for i in range(len(labels))])
    chosen = np.array(range(len(labels)) if indices is None else indices)
    return Subject(
        Lookup(logits),
        LabelledPixels(Pixels(pixels, index), np.array(labels), chosen),
        named_images(labels, classes),
    )


def drawn(images: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, list[int]]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, generator=generator) * 2
    labels = torch.randint(classes, (images,), generator=generator).tolist()
    return logits, labels


def values(scores: pd.DataFrame) -> dict[str, float]:
    return dict(zip(scores["metric"], scores["value"], strict=True))


@pytest.mark.parametrize(("classes", "batch"), [(7, 4), (12, 128)])
def test_scores_are_those_of_plain_python(classes: int, batch: int) -> None:
    logits, labels = drawn(60, classes)
    tables = measure_accuracy(subject(logits, labels, classes), AccuracySettings(batch=batch, bins=6))
    rows = logits.double().tolist()
    confidence = [max(oracle.shares(row)) for row in rows]
    correct = [int(np.argmax(row)) == label for row, label in zip(rows, labels, strict=True)]
    assert values(tables["scores"]) == pytest.approx(
        {
            "top1": oracle.top(rows, labels, 1),
            "top5": oracle.top(rows, labels, 5),
            "cross_entropy": oracle.cross_entropy(rows, labels),
            "calibration_error": oracle.calibration_error(confidence, correct, 6),
        },
        rel=1e-6,
    )
    intervals = tables["scores"].set_index("metric").loc[["top1", "top5", "cross_entropy"]]
    assert (intervals["low"] < intervals["value"]).all()
    assert (intervals["value"] < intervals["high"]).all()
    assert (tables["scores"]["n"] == 60).all()


def test_top5_is_no_question_for_five_classes() -> None:
    logits, labels = drawn(20, 5)
    scores = measure_accuracy(subject(logits, labels, 5), AccuracySettings())["scores"]
    assert set(scores["metric"]) == {"top1", "cross_entropy", "calibration_error"}


def test_one_row_an_image_and_one_a_class() -> None:
    logits = torch.tensor([[2.0, 0, 0], [0, 3.0, 0], [1.0, 0, 0], [0, 0, 5.0]])
    whole = subject(logits, [0, 1, 1, 0], 3, indices=[3, 1, 2])
    tables = measure_accuracy(whole, AccuracySettings())
    images, classes = tables["images"], tables["classes"].set_index("class")
    assert images["image"].tolist() == ["3.png", "1.png", "2.png"]
    assert images["label"].tolist() == [0, 1, 1]
    assert images["prediction"].tolist() == [2, 1, 0]
    e = np.exp
    expected = [e(5) / (e(5) + 2), e(3) / (e(3) + 2), e(1) / (e(1) + 2)]
    assert images["confidence"].tolist() == pytest.approx(expected)
    assert classes["top1"].to_dict() == {"class 0": 0, "class 1": 0.5}  # class 2 has no image, so no row
    assert classes["n"].to_dict() == {"class 0": 1, "class 1": 2}
    assert classes["index"].to_dict() == {"class 0": 0, "class 1": 1}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_an_error(bad: float) -> None:
    logits, labels = drawn(4, 3)
    logits[2, 1] = bad
    with pytest.raises(PrunescopeError, match="NaN or infinite"):
        measure_accuracy(subject(logits, labels, 3), AccuracySettings())


# Halves, quarters and eighths are exact in binary: a confidence on the edge of a bin belongs to the bin below it.
ON_EDGES = st.integers(1, 16).map(lambda number: number / 16)
ANYWHERE = st.floats(2**-20, 1, width=32)


@given(
    st.sampled_from([1, 2, 4, 8, 16]),
    st.lists(st.tuples(st.one_of(ON_EDGES, ANYWHERE), st.booleans()), min_size=1, max_size=40),
)
def test_calibration_error_is_that_of_plain_python_also_on_the_edges(
    bins: int, images: list[tuple[float, bool]]
) -> None:
    confidence, correct = [value for value, _ in images], [hit for _, hit in images]
    found = calibration_error(np.array(confidence), np.array(correct), bins)
    assert found == pytest.approx(oracle.calibration_error(confidence, correct, bins), abs=1e-9)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.5, 0.5, 0.75, 1.0])  # bins (.25, .5], (.5, .75], (.75, 1]
    correct = np.array([True, False, False, True])
    assert calibration_error(confidence, correct, 4) == pytest.approx((0 + 0.75 + 0) / 4)
    below = np.array([0.50001, 0.5])  # either side of an edge: they do not cancel
    assert calibration_error(below, np.array([True, False]), 2) == pytest.approx((0.49999 + 0.5) / 2)
