"""Draw the contact sheet of `scenes` for the README: images of every class, and one image with all its masks.

python scripts/contact_sheet.py [--out docs/images/scenes.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from prunescope.images.scenes import CLASSES, render

COLUMNS, ZOOM, GAP, MARGIN = 12, 2, 3, 16
CATEGORIES = ("object", "part", "texture", "material", "color")  # the scene's mask is one colour
SHOWN = (6, 11, 22, 24)  # images whose masks are drawn: a mushroom, a windmill, a tree, a bird


def label_colours(mask: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Paint every label of a mask, (height, width), in a colour of its own; 0 is white."""
    palette = np.random.default_rng(7).integers(60, 235, size=(256, 3), dtype=np.uint8)
    palette[0] = 255
    return palette[mask]


def grid(rows: list[list[NDArray[np.uint8]]]) -> Image.Image:
    """Set pictures of one size side by side, white between them."""
    size = rows[0][0].shape[0] * ZOOM
    sheet = Image.new("RGB", (len(rows[0]) * (size + GAP) - GAP, len(rows) * (size + GAP) - GAP), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            tile = Image.fromarray(picture).resize((size, size), Image.Resampling.NEAREST)
            sheet.paste(tile, (x * (size + GAP), y * (size + GAP)))
    return sheet


def main() -> None:
    """Draw and write the sheet."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs/images/scenes.png")
    out: Path = parser.parse_args().out
    classes = len(CLASSES)
    images = grid(
        [[render(0, "train", row * classes + column).pixels for column in range(COLUMNS)] for row in range(4)]
    )
    masked = []
    for half in (SHOWN[:2], SHOWN[2:]):
        row = []
        for index in half:
            scene = render(0, "train", index)
            row += [scene.pixels, *(label_colours(scene.masks[category]) for category in CATEGORIES)]
        masked.append(row)
    masks = grid(masked)
    sheet = Image.new("RGB", (images.width, images.height + MARGIN * 2 + masks.height), "white")
    sheet.paste(images, (0, 0))
    sheet.paste(masks, (0, images.height + MARGIN * 2))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    tile = 64 * ZOOM + GAP
    for number, heading in enumerate(("image", *CATEGORIES)):
        for half in range(2):
            place = ((number + half * 6) * tile + 2, images.height + MARGIN - 6)
            draw.text(place, heading, fill="black", font=font)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(256, dither=Image.Dither.NONE).save(out, optimize=True)
    print(f"wrote {out} ({out.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
