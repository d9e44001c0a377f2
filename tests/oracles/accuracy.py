"""Accuracy, cross-entropy and calibration, one image after the other in plain Python: slow, and easy to check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction


def top(logits: Sequence[Sequence[float]], labels: Sequence[int], k: int) -> float:
    """Return the share of images whose right class is among the k highest (no ties)."""
    hits = 0
    for row, label in zip(logits, labels, strict=True):
        order = sorted(range(len(row)), key=lambda i: -row[i])
        hits += label in order[:k]
    return hits / len(labels)


def shares(row: Sequence[float]) -> list[float]:
    """Return the softmax of one image's logits."""
    powers = [math.exp(value - max(row)) for value in row]
    return [power / sum(powers) for power in powers]


def cross_entropy(logits: Sequence[Sequence[float]], labels: Sequence[int]) -> float:
    """Return the mean of -log(share of the right class)."""
    return -sum(math.log(shares(row)[label]) for row, label in zip(logits, labels, strict=True)) / len(labels)


def calibration_error(confidence: Sequence[float], correct: Sequence[bool], bins: int) -> float:
    """Return the mean over bins ((i - 1) / bins, i / bins] of |accuracy - confidence|, weighted by their images."""
    members: dict[int, list[int]] = {}
    for image, value in enumerate(confidence):
        upper = 1
        while Fraction(value) > Fraction(upper, bins):  # exact, so that edges fall where they are drawn
            upper += 1
        members.setdefault(upper, []).append(image)
    error = 0.0
    for inside in members.values():
        accuracy = sum(correct[image] for image in inside) / len(inside)
        mean = sum(confidence[image] for image in inside) / len(inside)
        error += len(inside) / len(confidence) * abs(accuracy - mean)
    return error
