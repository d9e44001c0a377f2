"""Animals: bird, butterfly, fish."""

from __future__ import annotations

from prunescope.images.scenes.design import Design, Part
from prunescope.images.scenes.details import eye, vane
from prunescope.images.scenes.shapes import capsule, circle, ellipse, intersection, polygon, union
from prunescope.images.scenes.surfaces import Surface


def bird(d: Design) -> list[Part]:
    """A songbird from the side, on its legs or in the air."""
    feathers = d.coat(d.main, "fabric", "plastic", "wood", often=0.45)
    head = Surface(d.main, material=feathers.material)
    bill = d.plain("plastic", "orange", "yellow")
    flying = d.chance(0.4)
    lift = d.number(0.05, 0.3)
    tail = polygon((-0.35, -0.1), (-1.0, -lift - 0.1), (-0.95, 0.2), (-0.4, 0.3), soft=0.1)
    parts = [Part("tail", tail, d.coat(d.third))]
    if flying:
        parts.append(vane((-0.05, -0.05), (0.3, -0.95), 0.2, d.coat(d.third, "fabric")))
    else:
        parts += [Part("leg", capsule((x, 0.3), (x + 0.03, 0.85), 0.045), bill) for x in (-0.1, 0.12)]
    parts += [
        Part("body", ellipse(0.0, 0.1, 0.58, 0.38, -0.35), feathers),
        Part("head", circle(0.45, -0.28, d.number(0.27, 0.33)), head),
        Part("beak", polygon((0.68, -0.4), (1.05, -0.24), (0.68, -0.14)), bill),
    ]
    wing = d.coat(d.accent, "fabric", often=0.4)
    if flying:
        parts.append(vane((-0.12, 0.1), (-0.3, -1.05), 0.3, wing))
    else:
        parts.append(Part("wing", ellipse(-0.15, 0.08, 0.42, 0.22, -0.5), wing))
    return parts + eye(0.52, -0.34, 0.11)


def butterfly(d: Design) -> list[Part]:
    """A butterfly with spread wings, seen from above."""
    upper = d.coat(d.main, "fabric", "glass", often=0.45)
    lower = upper if d.chance(0.5) else d.coat(d.accent, "fabric")
    spot = d.coat(d.accent if lower is upper else d.third)
    spread, reach = d.number(0.46, 0.54), d.number(0.36, 0.44)
    parts = []
    for side in (-1, 1):
        antenna = capsule((0.04 * side, -0.35), (0.26 * side, -0.85), 0.035)
        parts += [
            Part("antenna", antenna, d.plain(None, "black")),
            Part("wing", ellipse(side * 0.4, 0.4, 0.42, 0.3, side * 0.8), lower),
            Part("wing", ellipse(side * spread, -0.28, 0.56, reach, -side * 0.55), upper),
        ]
        if upper.texture is None:
            parts.append(Part("wing", circle(side * 0.62, -0.38, d.number(0.12, 0.2)), spot))
    body = capsule((0.0, -0.3), (0.0, 0.5), 0.1)
    return [
        *parts,
        Part("body", body, d.plain("fabric", "black", "brown")),
        Part("head", circle(0.0, -0.42, 0.13), d.plain(None, "black")),
    ]


def fish(d: Design) -> list[Part]:
    """A fish from the side."""
    scales = d.coat(d.main, "fabric", "plastic", "wood", "metal", often=0.6)
    fin = d.coat(d.accent, "fabric", "plastic", often=0.2)
    height = d.number(0.36, 0.52)
    tail = union(
        polygon((-0.45, 0.02), (-1.0, -0.45), (-0.82, 0.02), soft=0.08),
        polygon((-0.45, -0.02), (-1.0, 0.45), (-0.82, -0.02), soft=0.08),
    )
    back = polygon((-0.3, -0.2), (-0.25, -height - 0.25), (0.35, -height + 0.02), (0.3, -0.2), soft=0.1)
    belly = polygon((-0.2, 0.2), (-0.15, height + 0.18), (0.2, height - 0.04), (0.2, 0.2), soft=0.1)
    parts = [
        Part("tail", tail, fin),
        Part("fin", back, fin),
        Part("fin", belly, fin),
        Part("body", ellipse(0.1, 0.0, 0.72, height), scales),
        Part("fin", ellipse(0.0, 0.12, 0.2, 0.11, 0.5), fin),
    ]
    if d.chance(0.5):
        face = intersection(ellipse(0.1, 0.0, 0.72, height), circle(0.75, 0.0, 0.38))
        parts.append(Part("head", face, d.coat(d.third, "plastic")))
    return parts + eye(0.52, -0.12, 0.13)
