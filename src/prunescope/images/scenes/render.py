"""One picture: a scene, an object in some pose, what lies around and before it, and the camera."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prunescope.images.scenes.backgrounds import SCENERY, Scenery
from prunescope.images.scenes.canvas import SIZE, Canvas, Light, Pose
from prunescope.images.scenes.concepts import CLASSES, SCENES
from prunescope.images.scenes.design import Design, Part
from prunescope.images.scenes.objects import KINDS, Kind
from prunescope.images.scenes.props import ball, bubble, bush, fence, rock, seaweed
from prunescope.images.scenes.shapes import Field, Point, ellipse, enclosing
from prunescope.images.scenes.surfaces import TILE
from prunescope.images.source import Role

AT_HOME = 0.35  # share of pictures whose scene is one of the object's homes; the others take any scene
LONGEST, SHORTEST = 0.86, 0.46  # the object's longer side, as shares of the image's
BYSTANDER_IN_FRONT = 0.2  # share of pictures with an object of another class before the subject
NOISE = (0.008, 0.034)  # deviation of the camera's noise; 1 is white
SHADOW = (0.08, 0.09, 0.2)
HAZE = (0.86, 0.88, 0.92)


@dataclass(frozen=True)
class Scene:
    """A picture (SIZE, SIZE, 3) uint8 RGB, the label ids (SIZE, SIZE) of each category, and the class."""

    pixels: NDArray[np.uint8]
    masks: dict[str, NDArray[np.uint8]]
    label: int


@functools.lru_cache(maxsize=64)
def render(seed: int, role: Role, index: int) -> Scene:
    """Return picture `index` of a role: always the same for the same arguments."""
    rng = np.random.default_rng([seed, int(role == "test"), index])
    label = index % len(CLASSES)
    subject = CLASSES[label]
    dice = Design(rng)
    scene = dice.one_of(KINDS[subject].homes if dice.chance(AT_HOME) else SCENES)
    scenery = SCENERY[scene]
    canvas = Canvas(_light(dice), (int(rng.integers(TILE // 2 - 1)), int(rng.integers(TILE // 2 - 1))))
    horizon = dice.number(*scenery.horizon)
    scenery.paint(canvas, dice, horizon)
    before, *behind = rng.permutation([name for name in CLASSES if name != subject])
    for name in behind[: dice.one_of((0, 1, 1, 2, 3))]:
        _bystander(canvas, Design(rng, scenery.avoid), str(name), horizon + 6)
    _subject(canvas, Design(rng, scenery.avoid), subject, horizon)
    if dice.chance(BYSTANDER_IN_FRONT):
        _bystander(canvas, Design(rng, scenery.avoid), str(before), SIZE + 1)
    elif dice.chance(0.55):
        _foreground(canvas, dice, scene)
    return Scene(_photograph(canvas, dice, scenery), canvas.masks(scene), label)


def _light(d: Design) -> Light:
    """Return light from above, more or less from one side."""
    x = d.one_of((-1, 1)) * d.number(0.3, 0.85)
    return Light(x, -math.sqrt(1 - x * x), d.number(0.8, 1.3))


def _subject(canvas: Canvas, d: Design, name: str, horizon: float) -> None:
    """Paint the object that the picture is named after, large, somewhere about the middle."""
    kind = KINDS[name]
    parts = kind.draw(d)
    pose, height = _pose(parts, kind, d, SIZE * d.number(SHORTEST, LONGEST))
    x = SIZE / 2 + d.number(-11, 11)
    if kind.grounded:
        foot = d.number(max(horizon + 8, min(height + 2, SIZE - 2)), SIZE - 2)
        _place(canvas, name, parts, pose, (x, foot - height / 2), foot=foot)
    else:
        _place(canvas, name, parts, pose, (x, SIZE / 2 + d.number(-11, 9)))


def _bystander(canvas: Canvas, d: Design, name: str, foot: float) -> None:
    """Paint a small object, its foot at about this height where it stands on the ground."""
    kind = KINDS[name]
    parts = kind.draw(d)
    pose, height = _pose(parts, kind, d, d.number(12, 22))
    x = d.number(2, 62)
    if kind.grounded:
        foot += d.number(-3, 3)
        _place(canvas, name, parts, pose, (x, foot - height / 2), foot=foot)
    else:
        _place(canvas, name, parts, pose, (x, d.number(4, 60)))


def _pose(parts: list[Part], kind: Kind, d: Design, size: float) -> tuple[Pose, float]:
    """Return a pose about the origin that makes the longer side of an object `size` pixels; its height."""
    left, top, right, bottom = enclosing([part.shape.box for part in parts])
    scale = size / max(right - left, bottom - top)
    stretch, shear, turn = d.number(0.9, 1.12), d.number(-0.14, 0.14), d.number(-kind.tilt, kind.tilt)
    wide = d.one_of((-1, 1)) * scale * stretch
    high = scale / stretch
    cos, sin = math.cos(turn), math.sin(turn)
    a, b, c, e = wide * cos, shear * scale * cos - high * sin, wide * sin, shear * scale * sin + high * cos
    x, y = (left + right) / 2, (top + bottom) / 2
    return Pose(a, b, c, e, -a * x - b * y, -c * x - e * y), high * (bottom - top)


def _place(
    canvas: Canvas, name: str, parts: list[Part], pose: Pose, centre: Point, *, foot: float | None = None
) -> None:
    """Paint an object around `centre`, with its shadow at the height of its `foot` where it has one."""
    pose = replace(pose, x0=pose.x0 + centre[0], y0=pose.y0 + centre[1])
    if foot is not None:
        left, _, right, _ = pose.box(enclosing([part.shape.box for part in parts]))
        half = (right - left) * 0.55
        away = -canvas.light.x * half * 0.35
        shadow = ellipse((left + right) / 2 + away, foot - 0.5, half, half * 0.2 + 1)
        canvas.stain(shadow, SHADOW, 0.45 * canvas.light.strength, half * 0.2)
    for part in parts:
        canvas.paint(part.shape, part.surface, pose, name, part.name)


def _foreground(canvas: Canvas, d: Design, scene: str) -> None:
    """Paint something that stands before the object and hides some of it."""
    x = d.one_of((d.number(0, 20), d.number(44, 64), d.number(10, 54)))
    if scene == "underwater":
        seaweed(canvas, d, x, SIZE + 2, d.number(18, 36))
        for _ in range(3):
            bubble(canvas, x + d.number(-8, 8), d.number(10, 50), d.number(1, 3))
        return
    match d.one_of(("ball", "bush", "fence", "rock")):
        case "ball":
            ball(canvas, d, x, d.number(5, 9))
        case "bush":
            bush(canvas, d, x, SIZE - d.number(0, 5), d.number(6, 10))
        case "fence":
            fence(canvas, d, x, d.number(10, 17))
        case _:
            rock(canvas, d, x, SIZE - d.number(0, 4), d.number(6, 11))


def _photograph(canvas: Canvas, d: Design, scenery: Scenery) -> NDArray[np.uint8]:
    """Return the picture as a small camera sees it: light, haze, contrast, blur and noise."""
    rgb = canvas.pixels()
    if d.chance(0.25):
        rgb += d.number(0.08, 0.4) * (np.array(HAZE, np.float32) - rgb)
    warmth = d.number(-0.05, 0.05)
    tint = np.array(scenery.tint) * (1 + warmth, 1, 1 - warmth) * d.number(*scenery.exposure)
    rgb = (rgb - 0.5) * d.number(0.85, 1.08) + 0.5
    rgb *= tint.astype(np.float32)
    if d.chance(0.35):
        rgb = _blurred(rgb, d.number(0.1, 0.25))
    rgb += d.rng.standard_normal(rgb.shape, np.float32) * d.number(*NOISE)
    return (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8)


def _blurred(rgb: Field, share: float) -> Field:
    """Return the picture with `share` of each pixel taken from either neighbour, along both axes."""
    for axis in (0, 1):
        padded = np.pad(rgb, [(1, 1) if k == axis else (0, 0) for k in range(3)], mode="edge")
        before, after = (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])
        rgb = rgb + share * (before + after - 2 * rgb)
    return rgb
