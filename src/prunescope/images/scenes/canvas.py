"""Painting shapes, back to front, into pixels and concept masks at once.

The canvas holds samples twice as dense as the pixels, the centre of pixel i at sample 2 i + 1. A pixel's
colour is the (1, 2, 1) / 4 average of the samples around its centre, both ways; its labels are those of the
surface seen at its centre, the sample that weighs most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.images.scenes.concepts import CONCEPTS, concept_id
from prunescope.images.scenes.shapes import Box, Field, Shape
from prunescope.images.scenes.surfaces import TEXTURES, Surface, grain

SIZE = 64  # pixels along one side
SAMPLES = 2 * SIZE + 1
LABELLED = ("object", "part", "texture", "material", "color")  # by surface; the scene is one for all
DENSITY = 2  # samples per pixel along one side
EDGE_WIDTH = 4.0  # pixels from the outline over which a shape in relief is shaded

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Light:
    """Where the light comes from and what it does: a unit vector (x, y) towards it, and its strength."""

    x: float
    y: float
    strength: float


@dataclass(frozen=True)
class Pose:
    """The affine map from a thing's own frame to pixels: x' = a x + b y + x0, y' = c x + d y + y0."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 1.0
    x0: float = 0.0
    y0: float = 0.0

    @property
    def scale(self) -> float:
        """The length in pixels of one unit of the thing's frame, averaged over directions."""
        return math.sqrt(abs(self.a * self.d - self.b * self.c))

    def box(self, box: Box) -> Box:
        """Return the upright box in pixels around `box` of the thing's frame."""
        left, top, right, bottom = box
        if math.isinf(left):
            return box
        corners = ((left, top), (left, bottom), (right, top), (right, bottom))
        xs = [self.a * x + self.b * y + self.x0 for x, y in corners]
        ys = [self.c * x + self.d * y + self.y0 for x, y in corners]
        return min(xs), min(ys), max(xs), max(ys)

    def frame(self, window: Window) -> tuple[Field, Field]:
        """Return the thing's coordinates (x, y) at the samples of `window`; they broadcast to its size."""
        rows, columns = window
        dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] / DENSITY - self.x0
        dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] / DENSITY - self.y0
        det = self.a * self.d - self.b * self.c
        if self.b == 0.0 and self.c == 0.0:
            return dx / self.a, dy / self.d
        return (self.d * dx - self.b * dy) / det, (self.a * dy - self.c * dx) / det


STILL = Pose()


class Canvas:
    """Samples of colour (3, SAMPLES, SAMPLES), and for each pixel the number of the surface on top."""

    def __init__(self, light: Light, grain_offset: tuple[int, int]) -> None:
        self.rgb = np.zeros((3, SAMPLES, SAMPLES), np.float32)
        self.light = light
        self._offset = grain_offset
        self._top = np.zeros((SIZE, SIZE), np.uint16)
        self._labels: list[tuple[int, int, int, int, int]] = [(0, 0, 0, 0, 0)]

    def paint(
        self,
        shape: Shape,
        surface: Surface,
        pose: Pose = STILL,
        thing: str | None = None,
        part: str | None = None,
    ) -> None:
        """Cover `shape`, placed by `pose`, with `surface`, and label its pixels as `part` of `thing`."""
        window = _window(pose.box(shape.box), margin=1)
        if window is None:
            return
        x, y = pose.frame(window)
        size = (window[0].stop - window[0].start, window[1].stop - window[1].start)
        depth = np.broadcast_to(shape.distance(x, y) * (DENSITY * pose.scale), size)  # in samples
        cover = np.clip(0.5 - depth, 0, 1)
        mix = _second_share(surface, x, y, pose, shape.box)
        color: Field = np.array(surface.ink.rgb, np.float32)[:, None, None]
        if mix is not None and surface.second is not None:
            color = color + mix * (np.array(surface.second.rgb, np.float32)[:, None, None] - color)
        color = color * self._brightness(surface, depth, window)
        view = self.rgb[:, window[0], window[1]]
        view += cover * (color - view)
        self._label(window, cover, mix, surface, (thing, part))

    def stain(self, shape: Shape, rgb: tuple[float, float, float], strength: float, soft: float) -> None:
        """Blend `rgb` into a shape given in pixels, fading over `soft` pixels at its rim: shadow, glow."""
        window = _window(shape.box, margin=0)
        if window is None:
            return
        x, y = STILL.frame(window)
        share = np.clip(shape.distance(x, y) * (-1 / soft), 0, 1)
        share = share * share * (3 - 2 * share) * strength
        view = self.rgb[:, window[0], window[1]]
        view += share * (np.array(rgb, np.float32)[:, None, None] - view)

    def pixels(self) -> Field:
        """Return the picture (SIZE, SIZE, 3), averaged over the samples of each pixel."""
        rgb = self.rgb
        rows = rgb[:, :-1:2] + 2 * rgb[:, 1::2] + rgb[:, 2::2]
        average = rows[:, :, :-1:2] + 2 * rows[:, :, 1::2] + rows[:, :, 2::2]
        return np.ascontiguousarray(average.transpose(1, 2, 0)) / 16

    def masks(self, scene: str) -> dict[str, NDArray[np.uint8]]:
        """Return the labels (SIZE, SIZE) of every category."""
        table = np.array(self._labels, np.uint8)
        seen = np.ascontiguousarray(table[self._top].transpose(2, 0, 1))
        masks = dict(zip(LABELLED, seen, strict=True))
        masks["scene"] = np.full((SIZE, SIZE), concept_id("scene", scene), np.uint8)
        return {category: masks[category] for category in CONCEPTS}

    def _brightness(self, surface: Surface, depth: Field, window: Window) -> Field:
        """Return the factor on the inks: the relief of the shape in this light, the grain of the material."""
        rows, columns = window
        factor: Field = np.ones((1, 1), np.float32)
        if surface.relief:
            facing = _ramp(columns, self.light.x)[None, :] + _ramp(rows, self.light.y)[:, None]
            rim = np.clip(1 + depth / (EDGE_WIDTH * DENSITY), 0, 1)
            strength = self.light.strength * surface.relief
            factor = 1 + strength * (0.16 * facing - rim * rim * (0.16 - 0.1 * facing))
            if surface.material in ("metal", "plastic", "glass"):
                gloss = np.clip(1 - np.abs(facing - 0.45) * 4, 0, 1)
                factor = factor + gloss * (0.3 if surface.material == "metal" else 0.18)
        if surface.material is not None:
            top, left = self._offset
            tile = grain(surface.material)
            factor = factor + tile[top : top + SAMPLES, left : left + SAMPLES][rows, columns]
        return factor

    def _label(
        self, window: Window, cover: Field, mix: Field | None, surface: Surface, names: tuple[str | None, ...]
    ) -> None:
        """Note a surface's labels, with `names` of object and part, at the pixel centres that it covers."""
        rows, columns = window
        centres = (slice(1 - rows.start % 2, None, 2), slice(1 - columns.start % 2, None, 2))
        covered = cover[centres] > 0.5
        top = self._top[rows.start // 2 : rows.stop // 2, columns.start // 2 : columns.stop // 2]
        for number, ink in enumerate((surface.ink, surface.second)):
            if ink is None:
                continue
            seen = covered
            if mix is not None:
                seen = covered & ((np.broadcast_to(mix, cover.shape)[centres] > 0.5) == bool(number))
            top[seen] = len(self._labels)
            self._labels.append(
                (
                    concept_id("object", names[0]),
                    concept_id("part", names[1]),
                    concept_id("texture", surface.texture),
                    concept_id("material", surface.material),
                    concept_id("color", ink.name),
                )
            )


def _window(box: Box, margin: int) -> Window | None:
    """Return the samples of the canvas that lie in a box given in pixels, or None where there are none."""
    left, top, right, bottom = (
        int(min(max(edge * DENSITY + extra, -1), SAMPLES))
        for edge, extra in zip(box, (-margin, -margin, margin, margin), strict=True)
    )
    rows = slice(max(top, 0), min(bottom + 1, SAMPLES))
    columns = slice(max(left, 0), min(right + 1, SAMPLES))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    return rows, columns


def _ramp(side: slice, slope: float) -> Field:
    """Return `slope` times the place along one side of a window, from -1 to 1."""
    steps: int = side.stop - side.start
    places: Field = np.arange(1 - steps, steps + 1, 2, dtype=np.float32)
    return places * (slope / max(steps - 1, 1))


def _second_share(surface: Surface, x: Field, y: Field, pose: Pose, box: Box) -> Field | None:
    """Return how much of the second ink each sample shows, 0 to 1; None where the surface has one ink."""
    if surface.second is None:
        return None
    if surface.texture is None:
        top, bottom = (box[1], box[3]) if math.isfinite(box[1]) else (0.0, float(SIZE))
        share: Field = np.clip((y - top) / (bottom - top), 0, 1)
        return share
    turn, zoom = surface.angle, pose.scale / surface.period
    cos, sin = math.cos(turn) * zoom, math.sin(turn) * zoom
    return TEXTURES[surface.texture](x * cos + y * sin, y * cos - x * sin, surface.period * DENSITY)
