"""What a shape is covered with: one or two inks, the texture that they form, and the grain of a material."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prunescope.images.scenes.shapes import Field

TILE = 256  # samples along one side of a material's grain, which repeats; an image is 129 samples wide


@dataclass(frozen=True)
class Ink:
    """A colour by its red, green, blue in 0 to 1, and by the basic colour name that people give it."""

    rgb: tuple[float, float, float]
    name: str

    @classmethod
    def of(cls, text: str) -> Ink:
        """Return the ink of a hexadecimal code and a name, such as "d6322f red"."""
        code, name = text.split()
        red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))
        return cls((red, green, blue), name)


PALETTE: dict[str, tuple[Ink, ...]] = {
    name: tuple(Ink.of(f"{code} {name}") for code in codes.split())
    for name, codes in {
        "black": "1f2026 262123 17191f",
        "blue": "2f6fb5 4a8fd6 24569a 58a6e0",
        "brown": "8a5630 6f432a 9a6436",
        "grey": "8d929b a4a8ae 70747c",
        "green": "4d9a50 6aae4c 2f7d48 8fbc4a",
        "orange": "f08a2c e9762a f49c38",
        "pink": "f29bb8 ee7fa8 f5b0c8",
        "purple": "7a4fa3 9a68c4 5d3f96",
        "red": "d6322f bf2530 e2453a",
        "white": "f7f4ec fdfcf8 eceff0",
        "yellow": "f6cb2f f8d84e eec22f",
    }.items()
}


@dataclass(frozen=True)
class Surface:
    """The look of one part.

    Attributes:
        ink: its colour, or the first of its two.
        second: the other colour, of a texture, or at the bottom of a gradient.
        texture: the pattern of the two inks; None with a second ink is a gradient from top to bottom.
        material: the grain laid over the inks.
        period: length of one repeat of the texture in pixels.
        angle: direction of the texture in radians, in the part's own frame.
        relief: how strongly the shape is modelled by the light: 0 for flat.
    """

    ink: Ink
    second: Ink | None = None
    texture: str | None = None
    material: str | None = None
    period: float = 7.0
    angle: float = 0.0
    relief: float = 1.0


def broad(first: str, second: str | None = None, material: str | None = None) -> Surface:
    """Return a surface of wide extent, hardly modelled by the light, of inks such as "6fb4e6 blue"."""
    return Surface(Ink.of(first), None if second is None else Ink.of(second), material=material, relief=0.25)


Texture = Callable[[Field, Field, float], Field]
"""From coordinates (in periods) and the samples in a period to the share of the second ink in each sample."""


def _edge(depth: Field, sharpness: float) -> Field:
    share: Field = np.clip(depth * sharpness + 0.5, 0, 1)
    return share


def _fold(u: Field) -> Field:
    """Return the distance of `u` to the nearest whole number: a triangle wave in 0 to 0.5."""
    distance: Field = np.abs(u - np.floor(u + 0.5))
    return distance


def striped(u: Field, v: Field, sharpness: float) -> Field:
    """Bands of equal width."""
    return _edge(_fold(u) - 0.25, sharpness)


def wavy(u: Field, v: Field, sharpness: float) -> Field:
    """Bands that swing like a sine."""
    return striped(u + 0.3 * np.sin(v * 4.2), v, sharpness * 0.8)


def zigzagged(u: Field, v: Field, sharpness: float) -> Field:
    """Bands with sharp turns."""
    return striped(u + 1.5 * _fold(v * 0.7), v, sharpness * 0.75)


def chequered(u: Field, v: Field, sharpness: float) -> Field:
    """Squares in turn, as on a chess board."""
    a, b = (_fold(u) - 0.25) * 4, (_fold(v) - 0.25) * 4
    return _edge(a * b, sharpness / 4)


def dotted(u: Field, v: Field, sharpness: float) -> Field:
    """Discs, every second row shifted by half a period."""
    u = u + 0.5 * (np.floor(v + 0.5) % 2)
    return _edge(0.33 - np.sqrt(_fold(u) ** 2 + _fold(v) ** 2), sharpness)


def gridded(u: Field, v: Field, sharpness: float) -> Field:
    """Thin lines both ways."""
    return _edge(0.13 - np.minimum(_fold(u), _fold(v)), sharpness)


def bricked(u: Field, v: Field, sharpness: float) -> Field:
    """Bricks twice as long as high; the second ink is the mortar."""
    v = v * 1.4
    u = u * 0.7 + 0.5 * (np.floor(v) % 2)
    joint = np.minimum(_fold(u) / 0.7, _fold(v) / 1.4)
    return _edge(0.1 - joint, sharpness)


def speckled(u: Field, v: Field, sharpness: float) -> Field:
    """Small discs strewn without order."""
    u, v = u * 1.7, v * 1.7
    column, row = np.floor(u), np.floor(v)
    chance = np.sin(column * 12.9 + row * 78.2) * 437.5
    chance = chance - np.floor(chance)
    x = u - column - 0.3 - 0.4 * chance
    y = v - row - 0.3 - 0.4 * _fold(chance * 7) * 2
    return _edge(0.16 + 0.14 * chance - np.sqrt(x * x + y * y), sharpness / 1.7)


TEXTURES: dict[str, Texture] = {
    "bricked": bricked,
    "chequered": chequered,
    "dotted": dotted,
    "gridded": gridded,
    "speckled": speckled,
    "striped": striped,
    "wavy": wavy,
    "zigzagged": zigzagged,
}


def _noise(seed: int, wide: int, high: int) -> Field:
    """Return noise (TILE, TILE), mean 0, deviation 1, that repeats; smooth over `wide` × `high` samples."""
    # random.Random keeps its sequence from one Python to the next, which numpy's generators do not promise.
    values = random.Random(seed)
    field: Field = np.array([values.random() for _ in range(TILE * TILE)]).reshape(TILE, TILE)
    for axis, width in ((1, wide), (0, high)):
        for _ in range(2):  # two box filters are a triangle: smooth, and still cheap
            field = np.mean([np.roll(field, shift, axis) for shift in range(width)], axis=0)
    normal: Field = (field - field.mean()) / field.std()
    return normal.astype(np.float32)


@functools.cache
def grain(material: str) -> Field:
    """Return the brightness (TILE, TILE) that a material adds, about -0.2 to 0.3; it repeats."""
    row, column = np.mgrid[:TILE, :TILE]
    field: Field
    match material:
        case "fabric":  # a twill: diagonal ribs, and uneven yarn
            field = 0.06 * np.where((row + column) % 4 < 2, 1, -1) * np.where((row // 2) % 2, 1, -1)
            field = field + 0.03 * _noise(1, 8, 1) + 0.03 * _noise(2, 1, 8)
        case "foliage":  # dabs of three tones
            field = 0.12 * np.clip(np.round(_noise(3, 5, 4) * 1.2), -1, 1) + 0.03 * _noise(4, 2, 2)
        case "glass":  # slanting reflections
            field = np.where((row + column) % 32 < 9, 0.2, 0) + np.where((row + column) % 32 == 13, 0.15, 0)
        case "metal":  # fine brush marks, beside the gloss that the canvas adds
            field = 0.03 * _noise(5, 24, 1)
        case "plastic":
            field = np.zeros((TILE, TILE))
        case "sand":  # grains on soft ripples
            field = 0.05 * _noise(6, 1, 1) + 0.05 * _noise(7, 20, 3)
        case "snow":  # drifts, and glints
            field = 0.025 * _noise(8, 24, 10) + np.where(_noise(9, 2, 2) > 2.6, 0.12, 0)
        case "stone":  # blotches, pits
            field = 0.07 * _noise(10, 7, 6) + 0.06 * _noise(11, 2, 2)
        case "water":  # crests
            field = 0.2 * np.clip(_noise(12, 14, 3) - 1, 0, 1) + 0.04 * _noise(13, 20, 6)
        case "wood":  # streaks, and the gaps between boards
            field = 0.07 * _noise(14, 32, 2) + np.where(row % 16 < 2, -0.16, 0)
        case _:
            raise ValueError(material)
    return field.astype(np.float32)
