"""Small things that scenes are furnished with, and that stand before objects. Lengths are in pixels."""

from __future__ import annotations

import math

import numpy as np

from prunescope.images.scenes.canvas import SIZE, Canvas
from prunescope.images.scenes.design import Design
from prunescope.images.scenes.shapes import Field, Shape, capsule, circle, ellipse, polygon, rectangle, union
from prunescope.images.scenes.surfaces import Ink, Surface, broad


def ball(canvas: Canvas, d: Design, x: float, radius: float) -> None:
    """A toy ball at the lower border."""
    shell = Surface(d.main, d.accent, d.one_of(("striped", "chequered")), "plastic", 8, 0.8, 1.6)
    canvas.paint(circle(x, SIZE - radius * d.number(0.4, 1.0), radius), shell, thing="ball")


def bubble(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A bubble of air, with its glint."""
    canvas.paint(
        circle(x, y, radius), Surface(Ink.of("a9d6f0 blue"), material="glass", relief=0.8), thing="bubble"
    )
    canvas.paint(
        circle(x - radius * 0.3, y - radius * 0.3, radius * 0.3), broad("fdfcf8 white"), thing="bubble"
    )


def bush(canvas: Canvas, d: Design, x: float, y: float, radius: float) -> None:
    """A low bush of three lobes, the middle one of `radius`."""
    leaves = broad(d.one_of(("4d9a50 green", "2f7d48 green", "8fbc4a green")), material="foliage")
    shape = union(
        circle(x - radius, y, radius * 0.8),
        circle(x, y - radius * 0.4, radius),
        circle(x + radius, y, radius * 0.75),
    )
    canvas.paint(shape, leaves, thing="bush")


def cactus(canvas: Canvas, d: Design, x: float, y: float) -> None:
    """A cactus with one arm, its foot at (x, y)."""
    high, side = d.number(7, 12), d.one_of((-1, 1))
    arms = [
        capsule((x, y), (x, y - high), 1.5),
        capsule((x, y - high * 0.4), (x + side * 3.5, y - high * 0.5), 1.0),
        capsule((x + side * 3.5, y - high * 0.5), (x + side * 3.5, y - high * 0.8), 1.0),
    ]
    canvas.paint(union(*arms), Surface(d.ink("green"), material="foliage"), thing="cactus")


def cloud(canvas: Canvas, d: Design, x: float, y: float, radius: float) -> None:
    """A fair-weather cloud, about `radius` high above its middle."""
    lobes = [
        ellipse(x, y + radius * 0.4, radius * 2.1, radius * 0.55),
        circle(x - radius * 0.8, y, radius * 0.7),
        circle(x + radius * 0.25, y - radius * 0.3, radius * 0.9),
    ]
    if d.chance(0.5):
        lobes.append(circle(x + radius * 1.2, y + radius * 0.1, radius * 0.6))
    canvas.paint(union(*lobes), Surface(Ink.of("fdfcf8 white"), relief=0.6), thing="cloud")


def fence(canvas: Canvas, d: Design, x: float, height: float) -> None:
    """Some pickets and a rail, `height` up from the lower border."""
    wood = Surface(d.ink("white", "brown"), material="wood")
    top = SIZE - height
    width = d.number(18, 34)
    canvas.paint(rectangle(x - width / 2, top + 4, x + width / 2, top + 6), wood, thing="fence")
    for k in range(int(width / 6) + 1):
        left = x - width / 2 + 6 * k
        right, low = left + 3, SIZE + 1
        picket = polygon((left, top + 2), (left + 1.5, top), (right, top + 2), (right, low), (left, low))
        canvas.paint(picket, wood, thing="fence")


def lamp(canvas: Canvas, d: Design, x: float, y: float) -> None:
    """A lamp that hangs from the ceiling down to `y`, and its glow."""
    canvas.paint(rectangle(x - 0.4, -1, x + 0.4, y), broad("1f2026 black", material="metal"), thing="lamp")
    shade = polygon((x - 3, y), (x + 3, y), (x + 6, y + 6), (x - 6, y + 6))
    canvas.stain(circle(x, y + 7, 16), (1.0, 0.95, 0.7), 0.5, 14)
    canvas.paint(shade, Surface(d.third, material="fabric"), thing="lamp")


def painting(canvas: Canvas, d: Design, x: float, y: float) -> None:
    """A framed painting of two colours, its centre at (x, y)."""
    w, h = d.number(6, 9), d.number(5, 8)
    canvas.paint(
        rectangle(x - w, y - h, x + w, y + h),
        Surface(d.ink("brown", "yellow"), material="wood"),
        thing="painting",
    )
    view = Surface(d.ink("blue", "pink", "white"), d.ink("green", "orange", "purple"))
    canvas.paint(rectangle(x - w + 1.5, y - h + 1.5, x + w - 1.5, y + h - 1.5), view, thing="painting")


def rock(canvas: Canvas, d: Design, x: float, y: float, radius: float) -> None:
    """A rounded boulder."""
    corners = [0.2, 1.2, 2.4, 3.3, 4.2, 5.3]
    points = [
        (x + radius * d.number(0.85, 1.25) * math.cos(t), y + radius * 0.8 * math.sin(t)) for t in corners
    ]
    canvas.paint(
        polygon(*points, soft=radius * 0.3),
        Surface(d.ink("grey"), material="stone", relief=1.4),
        thing="rock",
    )


def seaweed(canvas: Canvas, d: Design, x: float, y: float, height: float) -> None:
    """Two or three blades that sway."""
    surface = broad(
        d.one_of(("3f9d86 green", "2f7d48 green", "8fbc4a green", "9a68c4 purple")), material="foliage"
    )
    phase, swing = d.number(0, 6), d.number(0.6, 1.6)
    for k in range(d.one_of((2, 3))):
        high = height * (1 - 0.22 * k)
        foot = x + 3.2 * k
        canvas.paint(
            _ribbon(foot, y, high, width=1.6, swing=swing, phase=phase + k), surface, thing="seaweed"
        )


def _ribbon(x: float, y: float, height: float, *, width: float, swing: float, phase: float) -> Shape:
    """Return an upright band that narrows to its tip and swings like a sine."""

    def distance(u: Field, v: Field) -> Field:
        along = (y - v) / height
        across = np.abs(u - x - swing * np.sin(v * 0.45 + phase))
        result: Field = np.maximum(across - width * (1 - along), v - y)
        return result

    return Shape(distance, (x - width - swing, y - height, x + width + swing, y))
