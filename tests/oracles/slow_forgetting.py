"""Forgetting in plain Python, one image after the other, from {network: [(prediction, confidence), ...]}."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

Answers = Sequence[Sequence[tuple[int, float]]]  # by network, then by image


def most_frequent(answers: Answers, image: int) -> int:
    """Return the label that most networks give an image; ties by summed confidence, then by index."""
    said = [network[image] for network in answers]
    labels = {label for label, _ in said}
    return min(
        labels,
        key=lambda label: (
            -sum(own == label for own, _ in said),
            -sum(sure for own, sure in said if own == label),
            label,
        ),
    )


def exemplars(dense: Answers, pruned: Answers) -> list[bool]:
    return [most_frequent(dense, i) != most_frequent(pruned, i) for i in range(len(dense[0]))]


def exemplars_by_chance(dense: Answers, pruned: Answers) -> float:
    """Return the mean share of exemplars over all ways in which the two of a seed can change places."""
    shares = []
    for swaps in itertools.product((False, True), repeat=len(dense)):
        one = [p if swap else d for d, p, swap in zip(dense, pruned, swaps, strict=True)]
        other = [d if swap else p for d, p, swap in zip(dense, pruned, swaps, strict=True)]
        found = exemplars(one, other)
        shares.append(sum(found) / len(found))
    return sum(shares) / len(shares)


def lost(dense: Answers, pruned: Answers, labels: Sequence[int]) -> list[float]:
    def right(answers: Answers, image: int) -> float:
        return sum(network[image][0] == labels[image] for network in answers) / len(answers)

    return [right(dense, i) - right(pruned, i) for i in range(len(labels))]


def rates(
    answers: Sequence[tuple[int, float]], labels: Sequence[int], members: Sequence[int], own: int
) -> tuple[float | None, float | None]:
    """Return one network's false positive and false negative rate of a class among some images."""
    inside = [i for i in members if labels[i] == own]
    outside = [i for i in members if labels[i] != own]
    missed = sum(answers[i][0] != own for i in inside)
    wrongly = sum(answers[i][0] == own for i in outside)
    return (
        wrongly / len(outside) if outside else None,
        missed / len(inside) if inside else None,
    )
