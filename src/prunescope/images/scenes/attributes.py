"""What a scene is like, from its masks: where it is, how much of it is the subject, what else it shows."""

from __future__ import annotations

import numpy as np

from prunescope.images.scenes.concepts import CLASSES, SCENES
from prunescope.images.scenes.objects import KINDS
from prunescope.images.scenes.render import Scene

VISIBLE = 10  # pixels of 4096; less than 3 x 3 or so shows nobody what it is


def describe(picture: Scene) -> dict[str, str | float]:
    """Return the attributes of a picture.

    Returns:
        `scene`: its name. `usual`: yes or no, whether the subject is at home in it (`Kind.homes`).
        `subject_share`: share of the pixels that show the subject. `objects`: how many objects of other classes
        are visible. `things`: how many things of any kind beside the subject, also sky, grass, clouds or a fence.
        `clutter`: bits, the entropy of what the pixels around the subject show, by thing; 0 before a bare wall,
        k before 2^k things of equal size.
    """
    scene = SCENES[int(picture.masks["scene"][0, 0]) - 1]
    pixels = np.bincount(picture.masks["object"].ravel(), minlength=len(CLASSES) + 1)  # by thing, 0 is none
    subject = pixels[picture.label + 1]
    around = np.delete(pixels, picture.label + 1)
    shares = around[around > 0] / max(around.sum(), 1)
    return {
        "scene": scene,
        "usual": "yes" if scene in KINDS[CLASSES[picture.label]].homes else "no",
        "subject_share": float(subject / pixels.sum()),
        "objects": float((around[1 : len(CLASSES)] >= VISIBLE).sum()),
        "things": float((around[1:] >= VISIBLE).sum()),
        "clutter": float(-(shares * np.log2(shares)).sum()) + 0.0,  # no -0
    }
