"""Buildings: house, windmill."""

from __future__ import annotations

import math

from prunescope.images.scenes.design import Design, Part
from prunescope.images.scenes.details import glass, window
from prunescope.images.scenes.shapes import capsule, circle, ellipse, intersection, polygon, rectangle


def house(d: Design) -> list[Part]:
    """A house from the front, with a gable or a hipped roof."""
    half, eaves = d.number(0.62, 0.8), d.number(-0.15, 0.1)
    wall = d.coat(d.main, "wood", "stone", "fabric", often=0.35)
    tiles = d.coat(d.third, "stone", "wood", often=0.5)
    ridge = 0.0 if d.chance(0.6) else d.number(0.25, 0.5)
    roof = polygon(
        (-half - 0.16, eaves), (-ridge - 0.02, -0.9), (ridge + 0.02, -0.9), (half + 0.16, eaves), soft=0.04
    )
    door = d.number(-0.4, 0.4)
    parts = []
    if d.chance(0.75):
        x = d.one_of((-1, 1)) * d.number(0.32, 0.45)
        parts.append(
            Part(
                "chimney",
                rectangle(x - 0.11, -0.98, x + 0.11, -0.2),
                d.plain("stone", "brown", "grey", "red"),
            )
        )
    parts += [
        Part("wall", rectangle(-half, eaves - 0.05, half, 1.0), wall),
        Part("roof", roof, tiles),
        Part("door", rectangle(door - 0.15, 0.42, door + 0.15, 1.0, 0.06), d.coat(d.accent, "wood")),
    ]
    places = [x for x in (-0.45, 0.0, 0.45) if abs(x - door) > 0.32 and abs(x) + 0.18 < half]
    for x in places:
        parts += window(x, 0.48, 0.17, d)
    if d.chance(0.5) and ridge == 0.0:
        parts += [
            Part("window", circle(0.0, -0.36, 0.17), d.plain(None, "white")),
            Part("window", circle(0.0, -0.36, 0.12), glass(d)),
        ]
    return parts


def windmill(d: Design) -> list[Part]:
    """A tower mill with four blades."""
    wall = d.coat(d.main, "stone", "wood", "fabric", often=0.35)
    top = d.number(0.2, 0.28)
    hub = -0.3
    dome = intersection(ellipse(0.0, hub + 0.08, top + 0.08, 0.36), rectangle(-1, -1, 1, hub + 0.1))
    parts = [
        Part("wall", polygon((-0.42, 1.0), (-top, hub + 0.05), (top, hub + 0.05), (0.42, 1.0)), wall),
        Part("roof", dome, d.coat(d.third, "wood", "stone")),
        Part("door", rectangle(-0.13, 0.6, 0.13, 1.0, 0.06), d.coat(d.accent, "wood")),
        *window(0.0, 0.25, 0.12, d),
    ]
    cloth = d.coat(d.accent, "fabric", "wood", textures=("striped", "gridded"), often=0.4)
    beam = d.plain("wood", "brown")
    turn, length = d.number(0.0, math.pi / 2), d.number(0.7, 0.82)
    for quarter in range(4):
        c, s = math.cos(turn + quarter * math.pi / 2), math.sin(turn + quarter * math.pi / 2)
        corners = [
            (u * c - v * s, hub + u * s + v * c)
            for u, v in ((0.2, -0.02), (length, -0.02), (length, 0.2), (0.2, 0.2))
        ]
        spar = capsule((0.0, hub), (length * c, hub + length * s), 0.035)
        parts += [Part("blade", polygon(*corners), cloth), Part("blade", spar, beam)]
    return [*parts, Part("blade", circle(0.0, hub, 0.08), beam)]
