"""The scenes that objects stand in: a sky or a wall, a ground, what belongs there. Lengths are in pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from prunescope.images.scenes.canvas import SIZE, Canvas
from prunescope.images.scenes.design import Design
from prunescope.images.scenes.props import bubble, bush, cactus, cloud, lamp, painting, rock, seaweed
from prunescope.images.scenes.shapes import (
    Field,
    Shape,
    below,
    circle,
    difference,
    ellipse,
    polygon,
    rectangle,
)
from prunescope.images.scenes.surfaces import Ink, Surface, broad

EVERYWHERE = rectangle(-2, -2, SIZE + 2, SIZE + 2)

DAY_SKIES = (  # top, bottom
    ("6fb4e6 blue", "c4e2f4 blue"),
    ("8fc8ec blue", "d9edf5 white"),
    ("7cbcea blue", "f3e3b5 yellow"),
    ("b9c4cf white", "eef1f2 white"),
    ("f2a6bd pink", "f9c98a orange"),
    ("a9d6f0 blue", "f6dcd6 pink"),
)
FACADES = (
    "8fa5be blue",
    "b4c4d6 blue",
    "b98d9c pink",
    "d8c4a8 brown",
    "979da4 grey",
    "e8b7a0 pink",
    "5f7fa8 blue",
)
NIGHT_SKIES = (("141a3c blue", "3a3f78 blue"), ("1d2450 blue", "4b3f7a blue"))
DUNES = (  # far, near
    ("d9a962 yellow", "e9c98a yellow"),
    ("e0a458 orange", "e6bf78 yellow"),
    ("c97b45 orange", "d98f4e orange"),
)
MEADOWS = (  # far, near
    ("93c464 green", "6ca84e green"),
    ("a8cf6c green", "7fb857 green"),
    ("6ca84e green", "5d9c4a green"),
)
WALLPAPERS = (
    "e4d4ec pink",
    "cfe3d2 white",
    "f6dcd6 pink",
    "a9d6f0 blue",
    "f3e3b5 yellow",
    "5fae9a green",
    "8fa5be blue",
)
WATERS = (  # near the surface, deep
    ("56b8c9 blue", "1f6a9c blue"),
    ("3a9fcf blue", "165a8c blue"),
    ("49b0d2 blue", "2b7fb0 blue"),
)


@dataclass(frozen=True)
class Scenery:
    """A kind of scene.

    Attributes:
        paint: covers the whole canvas; gets the height of the horizon in pixels from the top.
        horizon: the lowest and highest value of that height.
        avoid: main colours of objects that would drown in it.
        exposure: how bright the light is.
        tint: the colour of the light.
    """

    paint: Callable[[Canvas, Design, float], None]
    horizon: tuple[float, float]
    avoid: tuple[str, ...]
    exposure: tuple[float, float] = (0.88, 1.06)
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


def beach(canvas: Canvas, d: Design, horizon: float) -> None:
    """Sky, sea, and sand in front."""
    _sky(canvas, d, horizon)
    sea = broad(d.one_of(("2f8fc4 blue", "3a9fcf blue", "2b7fb0 blue")), "56b8c9 blue", material="water")
    canvas.paint(rectangle(-2, horizon, SIZE + 2, SIZE + 2), sea, thing="sea")
    shore = horizon + d.number(9, 16)
    canvas.paint(_hills(d, shore - 1.5, 1.2, 16), broad("eef1f2 white", material="water"), thing="sea")
    sand = broad(d.one_of(("f0dca6 yellow", "ead09a yellow")), material="sand")
    canvas.paint(_hills(d, shore, 1.2, 16), sand, thing="sand")


def city(canvas: Canvas, d: Design, horizon: float) -> None:
    """A row of buildings behind a street."""
    _sky(canvas, d, horizon)
    x = d.number(-6, 0)
    while x < SIZE:
        width, height = d.number(9, 16), d.number(12, 34)
        wall = Ink.of(d.one_of(FACADES))
        tower = Surface(wall, material=d.one_of(("stone", "glass", None)), relief=0.5)
        if d.chance(0.6):
            lit = d.ink("white", "yellow")
            tower = replace(tower, second=lit, texture="gridded", period=d.number(4.5, 6))
        canvas.paint(rectangle(x, horizon + 4 - height, x + width, horizon + 4), tower, thing="building")
        x += width + d.number(-1, 3)
    pavement, asphalt = broad("b8bcc0 grey", material="stone"), broad("6d747c grey", "7f878f grey", "stone")
    canvas.paint(rectangle(-2, horizon, SIZE + 2, horizon + 6), pavement, thing="path")
    canvas.paint(rectangle(-2, horizon + 4, SIZE + 2, SIZE + 2), asphalt, thing="street")
    dash = d.number(0, 14)
    y = horizon + d.number(11, 15)
    for k in range(-1, 5):
        left = k * 15 + dash
        line = polygon((left, y), (left + 8, y), (left + 7, y + 1.6), (left - 1, y + 1.6))
        canvas.paint(line, broad("f7f4ec white"), thing="street")


def desert(canvas: Canvas, d: Design, horizon: float) -> None:
    """Dunes, table mountains, cacti."""
    _sky(canvas, d, horizon)
    if d.chance(0.6):
        x, top = d.number(5, 55), horizon - d.number(7, 15)
        mesa = polygon((x - 13, horizon + 2), (x - 9, top), (x + 8, top), (x + 14, horizon + 2))
        canvas.paint(mesa, broad("cf8a5a orange", material="stone"), thing="mountain")
    far, near = d.one_of(DUNES)
    canvas.paint(_hills(d, horizon, 2.5, 14), broad(far, material="sand"), thing="sand")
    for _ in range(d.one_of((0, 1, 1, 2))):
        cactus(canvas, d, d.number(3, 61), horizon + d.number(3, 7))
    canvas.paint(_hills(d, horizon + d.number(6, 10), 2, 20), broad(near, material="sand"), thing="sand")


def meadow(canvas: Canvas, d: Design, horizon: float) -> None:
    """Green hills under the sky."""
    _sky(canvas, d, horizon)
    if d.chance(0.35):
        _mountains(canvas, d, horizon, ("8fa5be blue", "7d93ad blue"))
    far, near = d.one_of(MEADOWS)
    canvas.paint(_hills(d, horizon, 3, 13), broad(far, material="foliage"), thing="hill")
    for _ in range(d.one_of((0, 1, 2, 3))):
        bush(canvas, d, d.number(0, 64), horizon + d.number(3, 6), d.number(2.5, 4.5))
    canvas.paint(_hills(d, horizon + d.number(5, 9), 2, 18), broad(near, material="foliage"), thing="grass")
    if d.chance(0.3):
        x = d.number(10, 54)
        path = polygon((x - 1.5, horizon + 8), (x + 1.5, horizon + 8), (x + 14, SIZE + 1), (x - 6, SIZE + 1))
        canvas.paint(path, broad("d2a679 brown", material="sand"), thing="path")


def night(canvas: Canvas, d: Design, horizon: float) -> None:
    """A starry sky above dark hills."""
    top, bottom = d.one_of(NIGHT_SKIES)
    canvas.paint(EVERYWHERE, broad(top, bottom), thing="sky")
    star = Surface(Ink.of("f8e9a8 yellow"), relief=0.0)
    for _ in range(d.one_of((8, 12, 16))):
        canvas.paint(circle(d.number(0, 64), d.number(0, horizon), d.number(0.4, 0.9)), star, thing="star")
    x, y, radius = d.number(8, 56), d.number(6, 14), d.number(4, 6.5)
    canvas.stain(circle(x, y, radius * 3), (0.8, 0.8, 0.95), 0.35, radius * 2.4)
    moon = circle(x, y, radius)
    if d.chance(0.5):
        moon = difference(moon, circle(x + radius * 0.5, y - radius * 0.2, radius * 0.8))
    canvas.paint(moon, Surface(Ink.of("fff1b8 yellow"), material="stone", relief=0.4), thing="moon")
    canvas.paint(_hills(d, horizon, 3, 13), broad("33487a blue", material="foliage"), thing="hill")
    canvas.paint(_hills(d, horizon + 6, 2, 18), broad("2c5a5c green", material="foliage"), thing="grass")


def room(canvas: Canvas, d: Design, horizon: float) -> None:
    """A papered wall, a floor of boards, a rug; a painting or a lamp."""
    code = d.one_of(WALLPAPERS)
    paper = broad(code)
    if d.chance(0.6):
        texture = d.one_of(("striped", "dotted", "chequered", "zigzagged", "wavy", "bricked"))
        paper = Surface(Ink.of(code), Ink.of("f7f4ec white"), texture, None, d.number(6, 9), 0.0, 0.4)
    canvas.paint(EVERYWHERE, paper, thing="wall")
    if d.chance(0.7):
        painting(canvas, d, d.number(8, 56), d.number(8, 18))
    else:
        lamp(canvas, d, d.number(8, 56), d.number(8, 16))
    boards = broad(d.one_of(("b98050 brown", "d2a679 brown", "a86f42 brown")), material="wood")
    canvas.paint(rectangle(-2, horizon, SIZE + 2, SIZE + 2), boards, thing="floor")
    skirting = rectangle(-2, horizon - 1, SIZE + 2, horizon + 1)
    canvas.paint(skirting, broad("f7f4ec white", material="wood"), thing="wall")
    if d.chance(0.6):
        rug = Surface(d.third, d.accent, d.one_of(("striped", "zigzagged", "gridded")), "fabric", 7, 0, 0.5)
        canvas.paint(ellipse(d.number(24, 40), SIZE - 6, d.number(20, 30), d.number(5, 8)), rug, thing="rug")


def snow_field(canvas: Canvas, d: Design, horizon: float) -> None:
    """Snow under mountains."""
    _sky(canvas, d, horizon)
    if d.chance(0.7):
        _mountains(canvas, d, horizon, ("9fb0c8 blue", "6b8fb8 blue"), snow=True)
    canvas.paint(_hills(d, horizon, 3, 13), broad("dbe7f2 white", material="snow"), thing="snow")
    for _ in range(d.one_of((0, 1, 2))):
        x, y, high = d.number(2, 62), horizon + d.number(2, 5), d.number(7, 12)
        fir = polygon((x - high / 3, y), (x, y - high), (x + high / 3, y))
        canvas.paint(fir, broad("2f7d48 green", material="foliage"), thing="tree", part="crown")
    snow = broad("f4f7fa white", "e6eef6 white", "snow")
    canvas.paint(_hills(d, horizon + d.number(5, 9), 2, 18), snow, thing="snow")


def underwater(canvas: Canvas, d: Design, horizon: float) -> None:
    """Deep water with seaweed, rocks and bubbles above a sandy floor."""
    top, bottom = d.one_of(WATERS)
    canvas.paint(EVERYWHERE, Surface(Ink.of(top), Ink.of(bottom), None, "water", relief=0.0), thing="sea")
    for _ in range(d.one_of((1, 2, 3))):
        x, slant = d.number(0, 64), d.number(-18, 18)
        beam = polygon((x, -1), (x + 6, -1), (x + slant + 14, 50), (x + slant, 50))
        canvas.stain(beam, (0.85, 0.97, 1.0), 0.22, 5)
    canvas.paint(_hills(d, horizon, 2.5, 12), broad("7d93ad blue", material="sand"), thing="sand")
    for _ in range(d.one_of((0, 1, 2))):
        rock(canvas, d, d.number(0, 64), horizon + d.number(3, 8), d.number(3, 7))
    for _ in range(d.one_of((1, 2, 3))):
        seaweed(canvas, d, d.number(0, 64), horizon + d.number(3, 8), d.number(10, 22))
    sand = broad(d.one_of(("d8c4a8 brown", "ead09a yellow", "c9b08c brown")), material="sand")
    canvas.paint(_hills(d, horizon + d.number(5, 8), 2, 15), sand, thing="sand")
    for _ in range(d.one_of((2, 4, 6))):
        bubble(canvas, d.number(2, 62), d.number(2, horizon), d.number(0.8, 2.2))


def _hills(d: Design, y: float, height: float, length: float) -> Shape:
    """Return the ground below two added waves around `y`."""
    a, b = d.number(0, 6.3), d.number(0, 6.3)

    def line(x: Field) -> Field:
        waves: Field = 0.6 * np.sin(x / length + a) + 0.4 * np.sin(x / (0.43 * length) + b)
        return y + height * waves

    return below(line)


def _mountains(canvas: Canvas, d: Design, horizon: float, codes: tuple[str, str], snow: bool = False) -> None:
    for code in codes:
        x, high, wide = d.number(4, 60), d.number(14, 24), d.number(18, 26)
        peak = horizon - high
        slopes = polygon((x - wide, horizon + 3), (x, peak), (x + wide, horizon + 3), soft=2)
        canvas.paint(slopes, broad(code, material="stone"), thing="mountain")
        if snow:
            w = wide * 0.3
            cap = polygon((x - w, peak + high * 0.35), (x, peak), (x + w, peak + high * 0.35), soft=2)
            canvas.paint(cap, broad("f4f7fa white", material="snow"), thing="mountain")


def _sky(canvas: Canvas, d: Design, horizon: float) -> None:
    """A gradient, at times a sun, and some clouds."""
    top, bottom = d.one_of(DAY_SKIES)
    air = Surface(Ink.of(top), Ink.of(bottom), relief=0.0)
    canvas.paint(rectangle(-2, -2, SIZE + 2, horizon + 6), air, thing="sky")
    if d.chance(0.4):
        x, y, radius = d.number(6, 58), d.number(5, 13), d.number(3.5, 5.5)
        canvas.stain(circle(x, y, radius * 3), (1.0, 0.96, 0.8), 0.6, radius * 2.5)
        canvas.paint(circle(x, y, radius), Surface(Ink.of("f8d84e yellow"), relief=0.0), thing="sun")
    for _ in range(d.one_of((0, 1, 2, 2))):
        cloud(canvas, d, d.number(-4, 68), d.number(4, horizon * 0.6), d.number(3, 5.5))


SCENERY: dict[str, Scenery] = {
    "beach": Scenery(beach, (20, 30), avoid=()),
    "city": Scenery(city, (36, 46), avoid=("grey",), exposure=(0.85, 1.0)),
    "desert": Scenery(desert, (28, 38), avoid=(), tint=(1.04, 1.0, 0.93)),
    "meadow": Scenery(meadow, (26, 38), avoid=("green",)),
    "night": Scenery(night, (34, 46), avoid=("black",), exposure=(0.7, 0.86), tint=(0.92, 0.97, 1.12)),
    "room": Scenery(room, (38, 48), avoid=(), tint=(1.04, 1.0, 0.95)),
    "snow field": Scenery(snow_field, (28, 40), avoid=("white",), tint=(0.97, 1.0, 1.04)),
    "underwater": Scenery(underwater, (44, 54), avoid=("blue",), exposure=(0.8, 0.95), tint=(0.9, 1.0, 1.06)),
}
