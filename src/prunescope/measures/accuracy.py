"""Accuracy: top-1, top-5, cross-entropy, calibration; per class and per image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.nn import functional

from prunescope.errors import PrunescopeError
from prunescope.measures.intervals import bootstrap_mean, bootstrap_share
from prunescope.measures.measure import MEASURES, Measure, MeasureSettings, Subject, Tables
from prunescope.training.evaluation import predict
from prunescope.training.settings import Precision


class AccuracySettings(MeasureSettings):
    """How accuracy is measured."""

    batch: int = Field(128, ge=1, description="Images evaluated at once.")
    precision: Precision = Field("fp32", description="Arithmetic: fp32, or bf16 by autocast.")
    bins: int = Field(15, ge=1, description="Bins of the calibration error.")


def measure_accuracy(subject: Subject, settings: AccuracySettings) -> Tables:
    """Evaluate the test images once; return the tables `scores`, `classes` and `images`."""
    logits = predict(
        subject.network,
        subject.images,
        batch=settings.batch,
        precision=settings.precision,
        on_step=subject.progress,
    )
    names = [subject.test.names[i] for i in subject.images.indices]
    return accuracy_tables(logits, subject.images.targets, names, subject.test.classes, settings.bins)


def accuracy_tables(
    logits: torch.Tensor, labels: torch.Tensor, names: Sequence[str], classes: Sequence[str], bins: int = 15
) -> Tables:
    """Return the tables `scores`, `classes` and `images` of what a network says of labelled images.

    Args:
        logits: (images, classes).
        labels: (images,) int64, index of the class.
        names: of the images.
        classes: their names by index.
        bins: of the calibration error.

    Raises:
        PrunescopeError: a logit is NaN or infinite.
    """
    images = said_of(logits, labels, names)
    correct = images["prediction"].to_numpy() == labels.numpy()
    return {
        "scores": _scores(logits, labels, bins),
        "classes": _classes(correct, labels.numpy(), classes),
        "images": images,
    }


def said_of(logits: torch.Tensor, labels: torch.Tensor, names: Sequence[str]) -> pd.DataFrame:
    """Return what a network calls each image and how sure it is of that: the table `images`.

    Raises:
        PrunescopeError: a logit is NaN or infinite.
    """
    if not torch.isfinite(logits).all():
        raise PrunescopeError("the network's logits hold NaN or infinite values: its weights are damaged")
    confidence, prediction = logits.softmax(1).max(1)
    return pd.DataFrame(
        {
            "image": list(names),
            "label": labels.numpy(),
            "prediction": prediction.numpy(),
            "confidence": confidence.numpy(),
        }
    )


def _scores(logits: torch.Tensor, labels: torch.Tensor, bins: int) -> pd.DataFrame:
    n = len(labels)
    ranks = (logits > logits.gather(1, labels[:, None])).sum(1)  # how many classes beat the right one
    top = {"top1": logits.argmax(1) == labels}
    if logits.shape[1] > 5:
        top["top5"] = ranks < 5
    rows: list[tuple[str, float, float, float, int]] = [
        (name, float(hit.double().mean()), *bootstrap_share(int(hit.sum()), n), n)
        for name, hit in top.items()
    ]
    losses = functional.cross_entropy(logits.double(), labels, reduction="none").numpy()
    rows.append(("cross_entropy", float(losses.mean()), *bootstrap_mean(losses), n))
    confidence, prediction = logits.softmax(1).max(1)
    error = calibration_error(confidence.numpy(), (prediction == labels).numpy(), bins)
    rows.append(("calibration_error", error, np.nan, np.nan, n))
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n"])


def calibration_error(confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Return the expected calibration error: mean |accuracy - confidence| over bins of equal width.

    *Source:* Guo et al., On Calibration of Modern Neural Networks, 2017, equation 3.

    Args:
        confidence: (images,) probability of the predicted class.
        correct: (images,) whether the prediction is right.
    """
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=correct - confidence.astype(np.float64), minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def _classes(correct: NDArray[np.bool_], labels: NDArray[np.int64], classes: Sequence[str]) -> pd.DataFrame:
    n = np.bincount(labels, minlength=len(classes))
    hits = np.bincount(labels, weights=correct, minlength=len(classes)).astype(int)
    present = np.flatnonzero(n)
    intervals = [bootstrap_share(int(hits[i]), int(n[i])) for i in present]
    return pd.DataFrame(
        {
            "index": present,
            "class": [classes[i] for i in present.tolist()],
            "n": n[present],
            "top1": hits[present] / n[present],
            "low": [low for low, _ in intervals],
            "high": [high for _, high in intervals],
        }
    )


MEASURES.register("accuracy")(Measure("accuracy", 1, AccuracySettings, measure_accuracy))
