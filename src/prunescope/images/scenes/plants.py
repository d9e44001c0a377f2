"""Plants, and a toadstool: flower, mushroom, tree."""

from __future__ import annotations

from prunescope.images.scenes.design import Design, Part
from prunescope.images.scenes.details import vane
from prunescope.images.scenes.shapes import (
    capsule,
    circle,
    ellipse,
    intersection,
    polygon,
    rectangle,
    rosette,
    union,
)


def flower(d: Design) -> list[Part]:
    """One bloom on a stem with leaves."""
    green = d.plain("foliage", "green")
    x, y = d.number(-0.15, 0.15), -0.35
    petals, turn = d.one_of((5, 6, 7, 8)), d.number(0, 3)
    bloom = rosette(x, y, inner=d.number(0.2, 0.34), outer=0.64, petals=petals, turn=turn)
    leaves = [
        vane((0.0, 0.75), (side * d.number(0.4, 0.6), d.number(0.15, 0.45)), 0.24, green, "leaf")
        for side in (-1, 1)
    ]
    return [
        Part("stem", capsule((0.0, 1.0), (x, y), 0.055), d.plain(None, "green")),
        *leaves[: d.one_of((1, 2, 2))],
        Part("petal", bloom, d.coat(d.main, "fabric", "plastic", often=0.3)),
        Part("heart", circle(x, y, d.number(0.15, 0.24)), d.coat(d.accent, "fabric", "wood", often=0.2)),
    ]


def mushroom(d: Design) -> list[Part]:
    """A toadstool."""
    width, foot = d.number(0.18, 0.26), d.number(0.26, 0.36)
    brim = d.number(-0.05, 0.15)
    stem = polygon((-width, 0.0), (width, 0.0), (foot, 1.0), (-foot, 1.0), soft=0.12)
    dome = intersection(ellipse(0.0, brim, 0.95, d.number(0.8, 1.0)), rectangle(-1, -1, 1, brim + 0.03))
    spots = ("dotted", "dotted", "speckled", "striped", "wavy")
    coat = d.coat(d.main, "fabric", "plastic", "wood", textures=spots, often=0.7)
    return [
        Part("stem", stem, d.plain("wood", "white", "yellow")),
        Part("gills", ellipse(0.0, brim, 0.84, 0.15), d.plain(None, "white", "brown", "pink")),
        Part("cap", dome, coat),
    ]


def tree(d: Design) -> list[Part]:
    """A leafy tree, a fir or a poplar, with fruit or without."""
    ink = d.ink("green", "green", "green", "orange", "yellow", "pink", "red")
    leaves = d.coat(ink, "foliage", textures=("speckled", "dotted", "wavy"), often=0.2)
    width, foot = d.number(0.1, 0.16), d.number(0.16, 0.22)
    stem = polygon((-width, 0.0), (width, 0.0), (foot, 1.0), (-foot, 1.0))
    trunk = Part("trunk", stem, d.plain("wood", "brown"))
    form = d.one_of(("round", "round", "fir", "poplar"))
    if form == "fir":
        tiers = [(0.72, 0.6, -0.15), (0.58, 0.15, -0.6), (0.42, -0.3, -1.0)]  # half width, base, peak
        layers = [polygon((-w, base), (0.0, peak), (w, base), soft=0.06) for w, base, peak in tiers]
        return [trunk, *(Part("crown", layer, leaves) for layer in layers)]
    if form == "poplar":
        crown = ellipse(0.0, -0.22, d.number(0.42, 0.55), 0.78)
    else:
        lobes = [(-0.4, -0.15), (0.4, -0.15), (0.0, -0.05), (-0.22, -0.55), (0.25, -0.55)]
        crown = union(*(circle(x + d.number(-0.07, 0.07), y + d.number(-0.07, 0.07), 0.4) for x, y in lobes))
    parts = [trunk, Part("crown", crown, leaves)]
    if d.chance(0.5):
        fruit = d.plain("plastic", "red", "yellow", "orange", "purple")
        places = [(-0.35, -0.1), (0.3, -0.05), (0.0, -0.45), (-0.25, -0.65), (0.33, -0.5)]
        narrow = 0.7 if form == "poplar" else 1.0
        parts += [Part("fruit", circle(x * narrow, y, 0.1), fruit) for x, y in places if d.chance(0.8)]
    return parts
