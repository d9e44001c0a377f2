"""What is said of maps, position by position in plain Python numbers: slow, and easy to check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

Rows = Sequence[Sequence[float]]


def flat(values: Rows) -> list[float]:
    return [value for row in values for value in row]


def ranks(values: Sequence[float]) -> list[float]:
    """Return the mean rank of each value: how many are smaller, and half of the others that are equal."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def spearman(a: Rows, b: Rows) -> float:
    one, other = ranks(flat(a)), ranks(flat(b))
    middle = (len(one) + 1) / 2
    along = sum((x - middle) * (y - middle) for x, y in zip(one, other, strict=True))
    return along / math.sqrt(sum((x - middle) ** 2 for x in one) * sum((y - middle) ** 2 for y in other))


def ssim(a: Rows, b: Rows, window: int = 11, sigma: float = 1.5) -> float:
    """Return the mean over the windows around all positions, each with its weighted means, variances, covariance."""
    one, other = scaled(a), scaled(b)
    offsets = list(product(range(-(window // 2), window // 2 + 1), repeat=2))
    weights = [math.exp(-(y**2 + x**2) / (2 * sigma**2)) for y, x in offsets]
    weights = [weight / sum(weights) for weight in weights]
    found = []
    for row, column in product(range(len(one)), range(len(one[0]))):
        places = [(reflected(row + y, len(one)), reflected(column + x, len(one[0]))) for y, x in offsets]
        first, second = [one[y][x] for y, x in places], [other[y][x] for y, x in places]
        mean_1, mean_2 = mean(weights, first), mean(weights, second)
        variance_1 = mean(weights, [(value - mean_1) ** 2 for value in first])
        variance_2 = mean(weights, [(value - mean_2) ** 2 for value in second])
        pairs = zip(first, second, strict=True)
        covariance = mean(weights, [(x - mean_1) * (y - mean_2) for x, y in pairs])
        found.append(
            (2 * mean_1 * mean_2 + 0.01**2)
            * (2 * covariance + 0.03**2)
            / ((mean_1**2 + mean_2**2 + 0.01**2) * (variance_1 + variance_2 + 0.03**2))
        )
    return sum(found) / len(found)


def reflected(place: int, length: int) -> int:
    """Return the place inside that a mirror at the first or the last position shows."""
    place = abs(place)
    return 2 * (length - 1) - place if place >= length else place


def scaled(values: Rows) -> list[list[float]]:
    highest = max(flat(values))
    return [[max(value, 0) / highest for value in row] for row in values]


def mean(weights: Sequence[float], values: Sequence[float]) -> float:
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def gini(values: Rows) -> float:
    """Return half of the mean difference of two positions, drawn with replacement, relative to the mean."""
    positive = [max(value, 0) for value in flat(values)]
    differences = sum(abs(x - y) for x, y in product(positive, repeat=2)) / len(positive) ** 2
    return differences / (2 * sum(positive) / len(positive))


def entropy(values: Rows) -> float:
    positive = [max(value, 0) for value in flat(values)]
    shares = [value / sum(positive) for value in positive if value > 0]
    return -sum(share * math.log(share, len(positive)) for share in shares)


def pointing(values: Rows, mask: Sequence[Sequence[bool]]) -> float:
    highest = max(flat(values))
    hits = [mask[y][x] for y, row in enumerate(values) for x, value in enumerate(row) if value == highest]
    return sum(hits) / len(hits)


def inside(values: Rows, mask: Sequence[Sequence[bool]]) -> float:
    within = sum(
        max(value, 0)
        for row, marks in zip(values, mask, strict=True)
        for value, marked in zip(row, marks, strict=True)
        if marked
    )
    return within / sum(max(value, 0) for value in flat(values))
