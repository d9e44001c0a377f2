"""Parts that objects of several classes share: eyes, panes, pointed wings and leaves, wheels, windows."""

from __future__ import annotations

import math

from prunescope.images.scenes.design import Design, Part
from prunescope.images.scenes.shapes import Point, Shape, circle, intersection, rectangle
from prunescope.images.scenes.surfaces import Ink, Surface


def eye(x: float, y: float, radius: float) -> list[Part]:
    """Return a white eyeball and its pupil, which looks ahead."""
    white = Surface(Ink((0.98, 0.98, 0.96), "white"), relief=0.3)
    black = Surface(Ink((0.1, 0.1, 0.12), "black"), relief=0.0)
    return [
        Part("eye", circle(x, y, radius), white),
        Part("eye", circle(x + radius * 0.3, y, radius * 0.55), black),
    ]


def glass(d: Design) -> Surface:
    """Return a pane: mostly blue with the sky, at times lit from within."""
    return Surface(d.ink("blue", "blue", "blue", "yellow"), material="glass", relief=0.6)


def vane(root: Point, tip: Point, width: float, surface: Surface, name: str = "wing") -> Part:
    """Return a pointed leaf shape from `root` to `tip`: a lifted wing, or a leaf."""
    (ax, ay), (bx, by) = root, tip
    half = math.hypot(bx - ax, by - ay) / 2
    offset = (half * half - width * width) / (2 * width)  # two circles meet in root and tip
    nx, ny = (ay - by) / (2 * half), (bx - ax) / (2 * half)
    x, y = (ax + bx) / 2, (ay + by) / 2
    radius = offset + width
    lens = intersection(
        circle(x + nx * offset, y + ny * offset, radius), circle(x - nx * offset, y - ny * offset, radius)
    )
    margin = width * 1.1
    box = (min(ax, bx) - margin, min(ay, by) - margin, max(ax, bx) + margin, max(ay, by) + margin)
    return Part(name, Shape(lens.distance, box), surface)


def wheel(x: float, y: float, radius: float, d: Design) -> list[Part]:
    """Return a tyre, or the iron rim of an engine, and its hub."""
    tyre = Surface(d.ink("black"), material="plastic")
    return [
        Part("wheel", circle(x, y, radius), tyre),
        Part("wheel", circle(x, y, radius * 0.5), d.plain("metal", "grey", "white")),
    ]


def window(x: float, y: float, half: float, d: Design) -> list[Part]:
    """Return a square window: frame, pane, and glazing bars."""
    frame = Surface(d.ink("white"), material="wood", relief=0.3)
    inner = half * 0.76
    return [
        Part("window", rectangle(x - half, y - half, x + half, y + half, 0.02), frame),
        Part("window", rectangle(x - inner, y - inner, x + inner, y + inner), glass(d)),
        Part("window", rectangle(x - 0.02, y - inner, x + 0.02, y + inner), frame),
    ]
