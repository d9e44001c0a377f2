"""The objects that give the pictures their classes, drawn as parts from back to front, in about -1 to 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prunescope.images.scenes.buildings import house, windmill
from prunescope.images.scenes.creatures import bird, butterfly, fish
from prunescope.images.scenes.design import Design, Part
from prunescope.images.scenes.plants import flower, mushroom, tree
from prunescope.images.scenes.vehicles import car, rocket, sailing_boat, train


@dataclass(frozen=True)
class Kind:
    """A class of objects.

    Attributes:
        draw: makes one of its kind.
        homes: the scenes where it is met most.
        grounded: it stands or swims with its lower edge at the ground or water; else it is met at any height.
        tilt: the largest turn from upright, in radians.
    """

    draw: Callable[[Design], list[Part]]
    homes: tuple[str, ...]
    grounded: bool = True
    tilt: float = 0.12


KINDS: dict[str, Kind] = {
    "bird": Kind(bird, ("meadow", "snow field", "beach"), grounded=False, tilt=0.35),
    "butterfly": Kind(butterfly, ("meadow", "room"), grounded=False, tilt=0.7),
    "car": Kind(car, ("city", "desert", "night")),
    "fish": Kind(fish, ("underwater", "beach"), grounded=False, tilt=0.45),
    "flower": Kind(flower, ("meadow", "room")),
    "house": Kind(house, ("meadow", "snow field", "night"), tilt=0.06),
    "mushroom": Kind(mushroom, ("meadow", "night", "underwater")),
    "rocket": Kind(rocket, ("night", "desert"), grounded=False, tilt=0.6),
    "sailing boat": Kind(sailing_boat, ("beach", "underwater")),
    "train": Kind(train, ("snow field", "city", "desert"), tilt=0.06),
    "tree": Kind(tree, ("meadow", "snow field", "city")),
    "windmill": Kind(windmill, ("meadow", "beach"), tilt=0.06),
}
