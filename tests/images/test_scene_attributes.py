"""What scenes are like: by hand on small masks, and against the masks pixel by pixel."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from prunescope.images.scenes.attributes import describe
from prunescope.images.scenes.concepts import CONCEPTS, SCENES, concept_id
from prunescope.images.scenes.render import Scene, render


def picture(things: dict[str, int], label: int = 0, scene: str = "meadow") -> Scene:
    """Return 4096 pixels of which so many show each thing."""
    ids = [concept_id("object", name) for name, count in things.items() for _ in range(count)]
    masks = {
        "object": np.array(ids, np.uint8).reshape(64, 64),
        "scene": np.full((64, 64), SCENES.index(scene) + 1, np.uint8),
    }
    return Scene(np.zeros((64, 64, 3), np.uint8), masks, label)


def test_by_hand() -> None:
    found = describe(picture({"bird": 1024, "sky": 1536, "grass": 768, "car": 759, "tree": 9}))
    assert found["scene"] == "meadow"
    assert found["usual"] == "yes"
    assert found["subject_share"] == 0.25
    assert found["objects"] == 1  # nine pixels of a tree show nobody a tree
    assert found["things"] == 3
    shares = np.array([1536, 768, 759, 9]) / 3072
    assert found["clutter"] == pytest.approx(-(shares * np.log2(shares)).sum())


def test_clutter_of_a_bare_wall_and_of_equal_things() -> None:
    bare = describe(picture({"car": 96, "wall": 4000}, label=2, scene="room"))
    assert (bare["clutter"], bare["objects"], bare["things"], bare["usual"]) == (0, 0, 1, "no")
    equal = describe(picture({"car": 96, "wall": 1000, "floor": 1000, "rug": 1000, "lamp": 1000}, label=2))
    assert equal["clutter"] == pytest.approx(2)
    whole = describe(picture({"car": 4096}, label=2))
    assert (whole["clutter"], whole["subject_share"]) == (0, 1)


@pytest.mark.parametrize("index", range(0, 60, 7))
def test_against_the_masks_pixel_by_pixel(index: int) -> None:
    scene = render(1, "test", index)
    names = ["none", *CONCEPTS["object"]]
    counts = Counter(names[k] for k in scene.masks["object"].ravel().tolist())
    subject = counts.pop(CONCEPTS["object"][scene.label])
    around = sum(counts.values())
    found = describe(scene)
    assert found["subject_share"] == pytest.approx(subject / 4096)
    assert found["objects"] == sum(counts[name] >= 10 for name in CONCEPTS["object"][:12])
    assert found["things"] == sum(count >= 10 for count in counts.values())
    entropy = -sum(count / around * math.log2(count / around) for count in counts.values())
    assert found["clutter"] == pytest.approx(entropy)
