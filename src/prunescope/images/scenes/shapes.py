"""Plane shapes as signed distance functions, negative inside; y grows downwards, as in images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]  # of float32: numpy's stubs say float64 where a Python number joins in
Box = tuple[float, float, float, float]  # left, top, right, bottom
Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """A shape: `distance(x, y)` to its outline, exact near it, and the `box` it lies in."""

    distance: Callable[[Field, Field], Field]
    box: Box


def circle(x0: float, y0: float, radius: float) -> Shape:
    """Return the disc of `radius` around (x0, y0)."""

    def distance(x: Field, y: Field) -> Field:
        return _length(x - x0, y - y0) - radius

    return Shape(distance, (x0 - radius, y0 - radius, x0 + radius, y0 + radius))


def ellipse(x0: float, y0: float, rx: float, ry: float, angle: float = 0.0) -> Shape:
    """Return the ellipse of half axes (rx, ry), turned by `angle` radians.

    The distance is the value of the implicit equation over the length of its gradient: right to first order.
    """
    cos, sin = math.cos(angle), math.sin(angle)

    def distance(x: Field, y: Field) -> Field:
        u, v = ((x - x0) * cos + (y - y0) * sin) / rx, ((y - y0) * cos - (x - x0) * sin) / ry
        value = _length(u, v)
        return value * (value - 1) / (_length(u / rx, v / ry) + 1e-6)

    half_width, half_height = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
    return Shape(distance, (x0 - half_width, y0 - half_height, x0 + half_width, y0 + half_height))


def rectangle(left: float, top: float, right: float, bottom: float, corner: float = 0.0) -> Shape:
    """Return an upright rectangle whose corners are rounded with radius `corner`."""
    x0, y0 = (left + right) / 2, (top + bottom) / 2
    half_width, half_height = (right - left) / 2 - corner, (bottom - top) / 2 - corner

    def distance(x: Field, y: Field) -> Field:
        dx, dy = np.abs(x - x0) - half_width, np.abs(y - y0) - half_height
        result: Field = np.maximum(dx, dy)
        if corner != 0.0:
            result = _length(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(result, 0) - corner
        return result

    return Shape(distance, (left, top, right, bottom))


def polygon(*points: Point, soft: float = 0.0) -> Shape:
    """Return the convex polygon of `points` (in either direction), its corners rounded over about `soft`."""
    nexts = points[1:] + points[:1]
    turn = sum(
        (bx - ax) * (cy - by) - (by - ay) * (cx - bx)
        for (ax, ay), (bx, by), (cx, cy) in zip(points, nexts, nexts[1:] + nexts[:1], strict=True)
    )
    edges = []
    for (ax, ay), (bx, by) in zip(points, nexts, strict=True):
        length = math.copysign(math.hypot(bx - ax, by - ay), turn)
        nx, ny = (by - ay) / length, (ax - bx) / length  # the outward normal
        edges.append((nx, ny, nx * ax + ny * ay))

    def distance(x: Field, y: Field) -> Field:
        nx, ny, offset = edges[0]
        result: Field = nx * x + ny * y - offset
        for nx, ny, offset in edges[1:]:
            result = _maximum(result, nx * x + ny * y - offset, soft)
        return result

    xs, ys = [x for x, _ in points], [y for _, y in points]
    return Shape(distance, (min(xs), min(ys), max(xs), max(ys)))


def capsule(a: Point, b: Point, radius: float) -> Shape:
    """Return the line from `a` to `b`, drawn with a round pen of `radius`."""
    (ax, ay), (dx, dy) = a, (b[0] - a[0], b[1] - a[1])
    squared = dx * dx + dy * dy

    def distance(x: Field, y: Field) -> Field:
        px, py = x - ax, y - ay
        along = np.clip((px * dx + py * dy) / squared, 0, 1)
        return _length(px - along * dx, py - along * dy) - radius

    box = (min(ax, b[0]) - radius, min(ay, b[1]) - radius, max(ax, b[0]) + radius, max(ay, b[1]) + radius)
    return Shape(distance, box)


def rosette(x0: float, y0: float, *, inner: float, outer: float, petals: int, turn: float) -> Shape:
    """Return a flower outline of round `petals` that reach `outer` and meet at about `inner`."""

    def distance(x: Field, y: Field) -> Field:
        dx, dy = x - x0, y - y0
        bulge = np.sqrt(np.abs(np.cos(np.arctan2(dy, dx) * (petals / 2) + turn)))
        # The outline is steep between petals; 0.75 keeps the distance near its true size there.
        result: Field = 0.75 * (_length(dx, dy) - inner - (outer - inner) * bulge)
        return result

    return Shape(distance, (x0 - outer, y0 - outer, x0 + outer, y0 + outer))


def below(height: Callable[[Field], Field]) -> Shape:
    """Return all that lies below the line y = `height(x)`: a ground, a row of hills, a surface of water."""
    return Shape(lambda x, y: height(x) - y, (-math.inf, -math.inf, math.inf, math.inf))


def union(*shapes: Shape) -> Shape:
    """Return the points in any of `shapes`."""

    def distance(x: Field, y: Field) -> Field:
        result = shapes[0].distance(x, y)
        for shape in shapes[1:]:
            result = np.minimum(result, shape.distance(x, y))
        return result

    return Shape(distance, enclosing([shape.box for shape in shapes]))


def intersection(first: Shape, second: Shape) -> Shape:
    """Return the points in both shapes."""
    a, b = first.box, second.box
    box = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    return Shape(lambda x, y: np.maximum(first.distance(x, y), second.distance(x, y)), box)


def difference(first: Shape, second: Shape) -> Shape:
    """Return the points in the first shape that are not in the second."""
    return Shape(lambda x, y: np.maximum(first.distance(x, y), -second.distance(x, y)), first.box)


def enclosing(boxes: list[Box]) -> Box:
    """Return the smallest box around `boxes`."""
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _length(x: Field, y: Field) -> Field:
    squares: Field = x * x + y * y
    return np.sqrt(squares)


def _maximum(a: Field, b: Field, soft: float) -> Field:
    """Return the maximum, blended quadratically where the two differ by less than `soft`."""
    if soft == 0.0:
        return np.maximum(a, b)
    overlap = np.maximum(soft - np.abs(a - b), 0)
    return np.maximum(a, b) + overlap * overlap / (4 * soft)
