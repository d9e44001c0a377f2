"""The names of all that the scenes show.

In a mask of a category, 0 is no label and k is `CONCEPTS[category][k - 1]`.
"""

from __future__ import annotations

CLASSES = (
    "bird",
    "butterfly",
    "car",
    "fish",
    "flower",
    "house",
    "mushroom",
    "rocket",
    "sailing boat",
    "train",
    "tree",
    "windmill",
)
SURROUNDINGS = (
    "ball",
    "bubble",
    "building",
    "bush",
    "cactus",
    "cloud",
    "fence",
    "floor",
    "grass",
    "hill",
    "lamp",
    "moon",
    "mountain",
    "painting",
    "path",
    "rock",
    "rug",
    "sand",
    "sea",
    "seaweed",
    "sky",
    "snow",
    "star",
    "street",
    "sun",
    "wall",
)
PARTS = (
    "antenna",
    "beak",
    "blade",
    "body",
    "cabin",
    "cap",
    "chimney",
    "crown",
    "door",
    "eye",
    "fin",
    "flag",
    "flame",
    "fruit",
    "gills",
    "head",
    "heart",
    "hull",
    "leaf",
    "leg",
    "light",
    "mast",
    "nose",
    "petal",
    "roof",
    "sail",
    "stem",
    "tail",
    "trunk",
    "wall",
    "wheel",
    "window",
    "wing",
)
SCENES = ("beach", "city", "desert", "meadow", "night", "room", "snow field", "underwater")
TEXTURES = ("bricked", "chequered", "dotted", "gridded", "speckled", "striped", "wavy", "zigzagged")
MATERIALS = ("fabric", "foliage", "glass", "metal", "plastic", "sand", "snow", "stone", "water", "wood")
COLORS = ("black", "blue", "brown", "grey", "green", "orange", "pink", "purple", "red", "white", "yellow")

CONCEPTS: dict[str, tuple[str, ...]] = {
    "object": CLASSES + SURROUNDINGS,
    "part": PARTS,
    "scene": SCENES,
    "texture": TEXTURES,
    "material": MATERIALS,
    "color": COLORS,
}
_IDS = {category: {name: k for k, name in enumerate(names, 1)} for category, names in CONCEPTS.items()}


def concept_id(category: str, name: str | None) -> int:
    """Return the number of a concept in the masks of its category; 0 for None."""
    return 0 if name is None else _IDS[category][name]
