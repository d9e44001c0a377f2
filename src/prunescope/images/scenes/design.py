"""The choices that make one picture differ from the next: a colour scheme, coats for parts, and dice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from prunescope.images.scenes.shapes import Shape
from prunescope.images.scenes.surfaces import PALETTE, TEXTURES, Ink, Surface

T = TypeVar("T")

SCHEMES = (  # main colour, accent, third; each picture takes one, so that its colours go together
    ("red", "white", "blue"),
    ("red", "yellow", "brown"),
    ("blue", "white", "orange"),
    ("blue", "yellow", "red"),
    ("orange", "white", "purple"),
    ("orange", "brown", "yellow"),
    ("yellow", "blue", "white"),
    ("yellow", "red", "grey"),
    ("green", "white", "brown"),
    ("green", "yellow", "orange"),
    ("purple", "yellow", "pink"),
    ("purple", "white", "blue"),
    ("pink", "white", "purple"),
    ("pink", "red", "yellow"),
    ("brown", "orange", "white"),
    ("white", "red", "grey"),
    ("white", "blue", "yellow"),
    ("grey", "red", "white"),
    ("grey", "yellow", "blue"),
    ("black", "yellow", "red"),
)


@dataclass(frozen=True)
class Part:
    """A named part of an object: its shape in the object's frame, and its surface."""

    name: str
    shape: Shape
    surface: Surface


class Design:
    """A colour scheme, and dice that choose among shapes, inks and coats."""

    def __init__(self, rng: np.random.Generator, avoid: tuple[str, ...] = ()) -> None:
        self.rng = rng
        schemes = [scheme for scheme in SCHEMES if scheme[0] not in avoid]
        main, accent, third = self.one_of(schemes)
        self.main, self.accent, self.third = self.ink(main), self.ink(accent), self.ink(third)

    def number(self, low: float, high: float) -> float:
        """Return a number drawn evenly from `low` to `high`."""
        return low + (high - low) * float(self.rng.random())

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return float(self.rng.random()) < probability

    def one_of(self, choices: Sequence[T]) -> T:
        """Return one of `choices`, all as likely."""
        return choices[int(self.rng.random() * len(choices))]

    def ink(self, *names: str) -> Ink:
        """Return a shade of one of the named colours."""
        return self.one_of(PALETTE[self.one_of(names)])

    def coat(
        self, ink: Ink, *materials: str, textures: Sequence[str] = tuple(TEXTURES), often: float = 0.0
    ) -> Surface:
        """Return a surface of `ink` in one of `materials`, `often` (a probability) with one of `textures`."""
        material = self.one_of(materials) if materials else None
        if not self.chance(often):
            return Surface(ink, material=material)
        second = self.one_of(
            [other for other in (self.accent, self.third, self.main) if other.name != ink.name]
        )
        angle = self.one_of((0.0, 0.0, 0.785, 1.571, 1.571, 2.356))
        texture = self.one_of(textures)
        upright = texture == "bricked"  # bricks lie flat
        return Surface(ink, second, texture, material, self.number(5.5, 8.5), 0.0 if upright else angle)

    def plain(self, material: str | None, *names: str) -> Surface:
        """Return a surface in a shade of one of the named colours."""
        return Surface(self.ink(*names), material=material)
