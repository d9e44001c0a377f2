"""Colour names: the obvious ones, and as people name them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from images.concepts.folders import noise, write_broden_by_hand, write_png, write_textures
from prunescope.errors import PrunescopeError
from prunescope.images.concepts import open_concepts
from prunescope.images.concepts.colors import named_by_hue
from prunescope.images.scenes.concepts import COLORS
from prunescope.images.source import open_images

OBVIOUS = {
    "black": ("000000", "101010", "0a0a14"),
    "blue": ("0000ff", "1e3cb4", "4090f0"),
    "brown": ("784614", "8b5a2b", "503010"),
    "grey": ("808080", "666a6e", "a0a0a0"),
    "green": ("00ff00", "228b22", "6ab04c"),
    "orange": ("ff8000", "f59020"),
    "pink": ("ffb0c0", "ff69b4", "f0a0b8"),
    "purple": ("800080", "9040c0", "c000ff"),
    "red": ("ff0000", "c01818", "e02030"),
    "white": ("ffffff", "f5f5f0"),
    "yellow": ("ffff00", "f0d020", "ffe650"),
}


def colour(code: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(code))


def named(table: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    return table[tuple(np.moveaxis(pixels >> 3, -1, 0))]


@pytest.mark.parametrize("name", COLORS)
def test_obvious_colours_bear_their_names(name: str) -> None:
    table = named_by_hue()
    for code in OBVIOUS[name]:
        assert COLORS[table[tuple(x >> 3 for x in colour(code))]] == name, code


def test_most_cells_bear_the_name_that_people_give_them(real_data: Path) -> None:
    """The real table agrees with the obvious colours above, so its order of names is ours; the rule follows it."""
    real = np.load(real_data / "concepts" / "color_names_lookup.npy")
    right = [
        COLORS[real[tuple(x >> 3 for x in colour(code))]] == name
        for name in OBVIOUS
        for code in OBVIOUS[name]
    ]
    assert np.mean(right) > 0.8
    assert (named_by_hue() == real).mean() > 0.85
    photographs = open_images("folder:textures/dtd10", data=real_data)
    agree = [named(named_by_hue(), p) == named(real, p) for p in map(photographs.decode, range(0, 600, 60))]
    assert np.mean([np.mean(each) for each in agree]) > 0.7


def test_names_agree_with_the_inks_that_the_scenes_were_drawn_with() -> None:
    scenes = open_images("scenes:count=40")
    right = [named(named_by_hue(), scenes.decode(i)) + 1 == scenes.masks(i)["color"] for i in range(40)]
    assert np.mean(right) > 0.6  # light, haze and camera change the ink on purpose


def test_every_image_gets_colours_and_keeps_what_it_has(tmp_path: Path) -> None:
    write_textures(tmp_path, each=1)
    write_png(tmp_path / "dotted" / "dotted_0.png", [[colour("ff0000"), colour("ffffff"), colour("0000ff")]])
    concepts = open_concepts([f"textures:{tmp_path}", "colors"])
    assert concepts.categories == ("color", "texture")
    found = concepts.annotation(0)
    assert found.labels == {"texture": (0,)}
    assert [concepts.concepts[c - 1].name for c in found.masks["color"][0, 0]] == ["red", "white", "blue"]
    assert concepts.source == f"textures:{tmp_path} + colors"


def test_colours_that_a_source_knows_stay_as_they_are() -> None:
    plain, with_colors = open_concepts("scenes:count=3"), open_concepts(["scenes:count=3", "colors"])
    assert with_colors.concepts == plain.concepts
    assert np.array_equal(with_colors.annotation(1).masks["color"], plain.annotation(1).masks["color"])


def test_colours_share_the_size_of_the_other_masks(tmp_path: Path) -> None:
    """The grid of 2 x 3 over 4 x 6 pixels has its centres at the pixels 1 and 3, and 1, 3 and 5."""
    write_broden_by_hand(tmp_path)
    concepts = open_concepts([f"broden:{tmp_path}", "colors"])
    masks = concepts.annotation(0).masks
    names = [concepts.concepts[c - 1].name for c in masks["color"][0].ravel()]
    expected = named(named_by_hue(), noise(4, 6, 1)[1::2, 1::2]).ravel()
    assert masks["color"].shape == (1, 2, 3)
    assert names == [COLORS[c] for c in expected]
    assert concepts.annotation(1).masks["color"].shape == (1, 5, 5)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    write_textures(tmp_path / "fabric", each=1)
    table = np.full((32, 32, 32), 7)
    np.save(tmp_path / "purple.npy", table)
    sources = ["textures:fabric", "colors:purple.npy"]
    concepts = open_concepts(sources, data=tmp_path)
    mask = concepts.annotation(0).masks["color"]
    assert {concepts.concepts[c - 1].name for c in np.unique(mask)} == {"purple"}
    before = concepts.fingerprint
    table[0, 0, 0] = 0
    np.save(tmp_path / "purple.npy", table)
    assert open_concepts(sources, data=tmp_path).fingerprint != before
    assert open_concepts("textures:fabric", data=tmp_path).fingerprint != before


@pytest.mark.parametrize(
    "table",
    [
        np.zeros((16, 16, 16), np.uint8),
        np.zeros((32, 32, 32)),
        np.full((32, 32, 32), 11),
        np.full((32, 32, 32), -1),
        np.array([{}], dtype=object),
        None,
    ],
    ids=["shape", "floats", "too large", "negative", "objects", "gone"],
)
def test_bad_tables_are_explained(table: np.ndarray | None, tmp_path: Path) -> None:
    if table is not None:
        np.save(tmp_path / "table.npy", table, allow_pickle=True)
    with pytest.raises(
        PrunescopeError, match=r"table.npy is no colour table: expected 32 x|cannot read the colour table"
    ):
        open_concepts(["scenes:count=1", f"colors:{tmp_path}/table.npy"])
    (tmp_path / "table.npy").write_text("not an array")
    with pytest.raises(PrunescopeError, match="cannot read the colour table"):
        open_concepts(["scenes:count=1", f"colors:{tmp_path}/table.npy"])
