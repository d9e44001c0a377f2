"""Network Dissection pixel by pixel in exact fractions: slow, and easy to check."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

Map = Sequence[Sequence[float]]
Key = tuple[int, int]


def threshold(values: Sequence[float], share: float) -> float:
    """Return the (floor(share * m) + 1)-th largest of m values."""
    return sorted(values, reverse=True)[math.floor(Fraction(str(share)) * len(values))]


def between(pixel: int, pixels: int, positions: int) -> tuple[int, int, Fraction]:
    """Return the two positions around the centre of a pixel and how far it lies towards the second."""
    centre = Fraction(2 * pixel + 1, 2) * positions / pixels - Fraction(1, 2)
    centre = min(max(centre, Fraction(0)), Fraction(positions - 1))
    first = math.floor(centre)
    return first, min(first + 1, positions - 1), centre - first


def value(values: Map, row: int, column: int, height: int, width: int) -> Fraction:
    """Return what a map, upsampled bilinearly to height x width, has at (row, column)."""
    up, down, towards_down = between(row, height, len(values))
    left, right, towards_right = between(column, width, len(values[0]))
    total = Fraction(0)
    for y, along in ((up, 1 - towards_down), (down, towards_down)):
        for x, across in ((left, 1 - towards_right), (right, towards_right)):
            total += along * across * Fraction(values[y][x])
    return total


@dataclass
class Counts:
    """Pixels of one layer: by (unit, concept), by (unit, category), by concept."""

    intersections: Counter[Key] = field(default_factory=Counter)
    unit_pixels: Counter[Key] = field(default_factory=Counter)
    label_pixels: Counter[int] = field(default_factory=Counter)

    def iou(self, unit: int, concept: int, category: int) -> float:
        union = (
            self.unit_pixels[unit, category] + self.label_pixels[concept] - self.intersections[unit, concept]
        )
        return self.intersections[unit, concept] / union if union else 0.0


def count(
    maps: Sequence[Sequence[Map]],
    thresholds: Sequence[float],
    concepts: Sequence[Sequence[Sequence[set[int]]]],
    annotated: Sequence[set[int]],
) -> Counts:
    """Count; maps[image][unit], concepts[image][row][column], annotated[image] = categories."""
    counts = Counts()
    for own_maps, own_concepts, categories in zip(maps, concepts, annotated, strict=True):
        height, width = len(own_concepts), len(own_concepts[0])
        for row in range(height):
            for column in range(width):
                here = own_concepts[row][column]
                counts.label_pixels.update(here)
                for unit, values in enumerate(own_maps):
                    if value(values, row, column, height, width) > Fraction(thresholds[unit]):
                        counts.unit_pixels.update((unit, category) for category in categories)
                        counts.intersections.update((unit, concept) for concept in here)
    return counts
