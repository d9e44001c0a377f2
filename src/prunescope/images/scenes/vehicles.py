"""Vehicles: car, rocket, sailing boat, train."""

from __future__ import annotations

from prunescope.images.scenes.design import Design, Part
from prunescope.images.scenes.details import glass, wheel, window
from prunescope.images.scenes.shapes import Shape, capsule, circle, ellipse, intersection, polygon, rectangle
from prunescope.images.scenes.surfaces import Surface


def car(d: Design) -> list[Part]:
    """A car from the side: a saloon, a van or a pick-up."""
    paint = d.coat(d.main, "metal", "plastic", "wood", often=0.35)
    roof = d.one_of([Surface(d.main, material=paint.material), d.coat(d.accent, "metal", "plastic")])
    form = d.one_of(("saloon", "van", "pick-up"))
    if form == "van":
        cabin, panes = _saloon(-0.92, -0.85, 0.5, 0.85), [(-0.78, -0.36), (-0.24, 0.12), (0.24, 0.62)]
    elif form == "saloon":
        cabin, panes = _saloon(-0.72, -0.42, 0.3, 0.66), [(-0.48, -0.1), (0.0, 0.38)]
    else:
        cabin, panes = _saloon(-0.15, -0.05, 0.4, 0.68), [(0.04, 0.44)]
    parts = [Part("cabin", cabin, roof)]
    for a, b in panes:
        pane = polygon((a + 0.03, -0.38), (b - 0.05, -0.38), (b, 0.0), (a, 0.0), soft=0.04)
        parts.append(Part("window", pane, glass(d)))
    parts.append(Part("body", rectangle(-0.98, 0.0, 0.98, 0.55, 0.18), paint))
    parts.append(Part("light", ellipse(0.88, 0.2, 0.08, 0.11), d.plain(None, "yellow", "white")))
    radius = d.number(0.23, 0.3)
    for x in (-0.55, 0.55):
        parts += wheel(x, 0.58, radius, d)
    return parts


def rocket(d: Design) -> list[Part]:
    """A rocket, with or without its flame."""
    hull = d.coat(d.main, "metal", "plastic", "wood", often=0.35)
    trim = d.coat(d.accent, "metal", "plastic")
    width = d.number(0.34, 0.42)
    spindle = ellipse(0.0, -0.05, width, 0.95)
    parts = []
    if d.chance(0.6):
        length = d.number(0.95, 1.2)
        outer = polygon((-0.2, 0.55), (0.2, 0.55), (0.0, length), soft=0.1)
        inner = polygon((-0.1, 0.55), (0.1, 0.55), (0.0, length - 0.2), soft=0.05)
        parts += [
            Part("flame", outer, d.plain(None, "orange", "red")),
            Part("flame", inner, d.plain(None, "yellow")),
        ]
    for s in (-1, 1):
        fin = polygon((s * 0.2, 0.05), (s * 0.68, 0.55), (s * 0.66, 0.92), (s * 0.2, 0.6), soft=0.06)
        parts.append(Part("fin", fin, trim))
    parts += [
        Part("body", intersection(spindle, rectangle(-1, -1, 1, 0.66)), hull),
        Part("nose", intersection(spindle, rectangle(-1, -1, 1, d.number(-0.62, -0.5))), trim),
        Part("fin", capsule((0.0, 0.4), (0.0, 0.8), 0.06), trim),
    ]
    for y in (-0.22, 0.16)[: d.one_of((1, 2))]:
        parts += [
            Part("window", circle(0.0, y, 0.18), d.plain("metal", "grey", "white")),
            Part("window", circle(0.0, y, 0.12), glass(d)),
        ]
    return parts


def sailing_boat(d: Design) -> list[Part]:
    """A boat with one or two sails and a flag."""
    patterns = ("striped", "chequered", "dotted", "zigzagged", "wavy")
    cloth = d.coat(d.one_of((d.main, d.accent)), "fabric", textures=patterns, often=0.5)
    jib = cloth if d.chance(0.5) else d.coat(d.third, "fabric")
    belly = d.number(1.3, 2.2)
    triangle = polygon((0.07, -0.82), (0.07, 0.4), (0.82, 0.4), soft=0.05)
    sail = intersection(triangle, circle(0.75 - belly, -0.1, belly))
    parts = [
        Part("mast", rectangle(-0.035, -0.98, 0.035, 0.6), d.plain("wood", "brown")),
        Part("flag", polygon((0.0, -0.98), (-0.32, -0.88), (0.0, -0.78)), d.coat(d.accent)),
        Part("sail", sail, cloth),
    ]
    if d.chance(0.8):
        small = polygon((-0.1, -0.7), (-0.1, 0.4), (-d.number(0.5, 0.75), 0.4), soft=0.05)
        parts.append(Part("sail", small, jib))
    hull = polygon((-0.85, 0.5), (0.95, 0.5), (0.68, 0.95), (-0.58, 0.95), soft=0.12)
    other = d.third if cloth.ink is d.main else d.main
    planks = d.coat(other, "wood", "wood", "plastic", "metal", textures=("striped",), often=0.3)
    return [*parts, Part("hull", hull, planks)]


def train(d: Design) -> list[Part]:
    """A steam engine from the side."""
    paint = d.coat(d.main, "metal", "wood", "plastic", often=0.3)
    trim = d.coat(d.accent, "metal")
    dark = d.plain("metal", "black", "grey")
    stack, top = d.number(0.45, 0.62), d.number(-0.62, -0.45)
    funnel = polygon((stack - 0.09, 0.0), (stack - 0.16, top), (stack + 0.16, top), (stack + 0.09, 0.0))
    parts = [
        Part("chimney", funnel, dark),
        Part("chimney", circle(d.number(0.0, 0.15), -0.14, 0.13), trim),
        Part("cabin", rectangle(-0.92, -0.62, -0.22, 0.5), d.coat(d.main, str(paint.material))),
        Part("body", rectangle(-0.3, -0.15, 0.86, 0.42, 0.14), paint),
        Part("roof", rectangle(-1.02, -0.76, -0.12, -0.58, 0.06), d.coat(d.third, "metal", "wood")),
        Part("body", rectangle(-0.95, 0.36, 0.98, 0.56, 0.04), dark),
        Part("light", circle(0.87, 0.02, 0.1), d.plain(None, "yellow")),
    ]
    parts += window(-0.57, -0.25, 0.19, d)
    for x, radius in ((-0.58, 0.3), (0.1, 0.22), (0.62, 0.22)):
        parts += wheel(x, 0.92 - radius, radius, d)
    return parts


def _saloon(back: float, back_top: float, front_top: float, front: float) -> Shape:
    return polygon((back, 0.12), (back_top, -0.48), (front_top, -0.48), (front, 0.12), soft=0.08)
