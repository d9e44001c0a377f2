"""The embedded scenes: repeatable, balanced, and masks that say what the pictures show."""

import colorsys
import math

import numpy as np
import pytest

from prunescope.errors import PrunescopeError
from prunescope.images.scenes import CLASSES, CONCEPTS, render, scenes, source
from prunescope.images.scenes.canvas import SIZE, Canvas, Light, Pose
from prunescope.images.scenes.shapes import (
    Shape,
    capsule,
    circle,
    difference,
    ellipse,
    intersection,
    polygon,
    rectangle,
    union,
)
from prunescope.images.scenes.surfaces import PALETTE, TEXTURES, Surface
from prunescope.images.source import open_images

MANY = range(180)


@pytest.fixture(scope="module")
def pictures():
    return [render.__wrapped__(0, "train", i) for i in MANY]


def test_a_picture_depends_on_seed_role_and_index_alone():
    few, many = scenes("count=30", "train"), scenes("count=3000", "train")
    later = many.decode(29)
    render.cache_clear()
    assert np.array_equal(few.decode(29), later)
    masks = few.masks(29)
    render.cache_clear()
    many.decode(7)
    for category, mask in many.masks(29).items():
        assert np.array_equal(mask, masks[category])


def test_other_seeds_and_roles_give_other_pictures():
    first = scenes("", "train").decode(5)
    for other in (scenes("seed=1", "train"), scenes("", "test")):
        assert np.mean(first != other.decode(5)) > 0.5


def test_pictures_handed_out_are_the_callers_own():
    images = scenes("", "train")
    images.decode(3)[:] = 0
    images.masks(3)["object"][:] = 0
    assert images.decode(3).any()
    assert images.masks(3)["object"].any()


def test_sizes_types_and_names():
    images = scenes("seed=2,count=13", "test")
    assert len(images) == 13
    assert images.classes == CLASSES
    assert images.names[12] == "test/000012"
    assert images.labels.dtype == np.int64
    pixels = images.decode(12)
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.uint8
    masks = images.masks(12)
    assert list(masks) == list(CONCEPTS)
    assert {mask.shape for mask in masks.values()} == {(64, 64)}


def test_classes_are_balanced_by_default():
    assert set(np.bincount(scenes("", "train").labels)) == {500}
    assert len(scenes("", "test")) == 2000
    assert np.ptp(np.bincount(scenes("", "test").labels)) <= 1


def test_opening_draws_nothing_and_fingerprints_tell_sets_apart(monkeypatch):
    monkeypatch.setattr(source, "render", None)
    arguments = ("", "seed=1", "count=50", "count=51", "seed=50")
    prints = {scenes(argument, role).fingerprint for argument in arguments for role in ("train", "test")}
    assert len(prints) == 10
    assert scenes("", "train").fingerprint == scenes("seed=0,count=6000", "train").fingerprint
    monkeypatch.setattr(source, "VERSION", source.VERSION + 1)
    assert scenes("", "train").fingerprint not in prints


def test_scenes_is_a_registered_source():
    assert open_images("scenes:seed=4,count=12", "train").names == tuple(f"train/{i:06d}" for i in range(12))


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("sed=3", "no setting 'sed' of scenes \\(did you mean 'seed'\\?\\)"),
        ("seed", "seed of scenes is a whole number from 0 to .* not ''"),
        ("seed=-1", "not '-1'"),
        ("seed=1.5", "not '1.5'"),
        ("seed=²", "not '²'"),
        ("count=0", "count of scenes is a whole number from 1"),
        (f"seed={2**32}", "seed of scenes"),
        ("seed=1,seed=2", "seed is given twice"),
    ],
)
def test_bad_arguments_are_explained(argument, words):
    with pytest.raises(PrunescopeError, match=words):
        scenes(argument, "train")


def test_ids_are_in_range_and_every_concept_occurs(pictures):
    for category, names in CONCEPTS.items():
        seen = set().union(*(np.unique(picture.masks[category]) for picture in pictures))
        assert seen - {0} == set(range(1, len(names) + 1)), category


def test_every_pixel_has_object_scene_and_color(pictures):
    for picture in pictures:
        for category in ("object", "scene", "color"):
            assert picture.masks[category].all()
        assert len(np.unique(picture.masks["scene"])) == 1


def test_the_subject_is_the_largest_object_of_any_class(pictures):
    for picture in pictures:
        areas = np.bincount(picture.masks["object"].ravel(), minlength=len(CLASSES) + 1)[1 : len(CLASSES) + 1]
        assert areas.argmax() == picture.label
        assert areas[picture.label] > 0.03 * SIZE * SIZE


def test_parts_belong_to_objects_that_have_them(pictures):
    owners = {name: set() for name in CONCEPTS["part"]}
    for picture in pictures:
        part, thing = picture.masks["part"], picture.masks["object"]
        assert np.array_equal(part > 0, (thing > 0) & (thing <= len(CLASSES)))
        for p, o in np.unique(np.stack([part[part > 0], thing[part > 0]], 1), axis=0):
            owners[CONCEPTS["part"][p - 1]].add(CONCEPTS["object"][o - 1])
    assert owners["wheel"] == {"car", "train"}
    assert owners["window"] == {"car", "house", "rocket", "train", "windmill"}
    assert owners["wing"] == {"bird", "butterfly"}
    assert owners["eye"] == {"bird", "fish"}
    assert owners["sail"] == {"sailing boat"}


def test_scenes_hold_what_belongs_there(pictures):
    signs = {"underwater": "sea", "room": "floor", "snow field": "snow", "night": "sky", "city": "street"}
    for picture in pictures:
        sign = signs.get(CONCEPTS["scene"][picture.masks["scene"][0, 0] - 1])
        if sign is not None:
            assert CONCEPTS["object"].index(sign) + 1 in picture.masks["object"]


def _basic_color(red: float, green: float, blue: float) -> set[str]:
    """Return the names that a shade may bear, by hue, saturation and value: a judge of its own."""
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    names = set()
    if value < 0.3:
        names.add("black")
    if saturation < 0.3:
        names |= {"grey", "white", "black"}
    for name, low, high in (
        ("red", -20, 20),
        ("brown", 5, 50),
        ("orange", 10, 45),
        ("yellow", 35, 70),
        ("green", 60, 180),
        ("blue", 170, 260),
        ("purple", 230, 320),
        ("pink", 290, 380),
    ):
        if (hue * 360 - low) % 360 <= high - low:
            names.add(name)
    return names


def test_color_labels_agree_with_the_hue_of_the_pixels(pictures):
    right, total = dict.fromkeys(PALETTE, 0), dict.fromkeys(PALETTE, 0)
    for picture in pictures:
        for k, name in enumerate(CONCEPTS["color"], 1):
            there = picture.masks["color"] == k
            if there.sum() >= 40:
                total[name] += 1
                right[name] += name in _basic_color(*np.median(picture.pixels[there], axis=0) / 255)
    for name in PALETTE:
        assert total[name] >= 8
        assert right[name] / total[name] > 0.7, name


def test_palette_is_named_as_the_judge_names_it():
    for name, inks in PALETTE.items():
        for ink in inks:
            assert ink.name == name
            assert name in _basic_color(*ink.rgb)


def test_mask_and_coverage_of_a_disc_agree_with_geometry():
    canvas = Canvas(Light(0.0, -1.0, 1.0), (0, 0))
    white = Surface(PALETTE["white"][0], relief=0.0)
    canvas.paint(circle(0.0, 0.0, 1.0), white, Pose(a=20.0, d=20.0, x0=30.3, y0=33.1), "ball")
    x, y = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
    inside = np.hypot(x - 30.3, y - 33.1) < 20
    assert np.array_equal(canvas.masks("room")["object"] > 0, inside)
    share = canvas.pixels()[..., 0] / white.ink.rgb[0]
    assert share.sum() == pytest.approx(math.pi * 400, rel=2e-3)
    clear = np.abs(share - 0.5) > 0.1
    assert np.array_equal(share[clear] > 0.5, inside[clear])


def test_a_pose_maps_forth_and_back():
    pose = Pose(12.0, -3.0, 4.0, 9.0, 20.0, 31.0)
    x, y = pose.frame((slice(0, 129), slice(0, 129)))
    columns, rows = np.meshgrid(np.arange(129) / 2, np.arange(129) / 2)
    assert np.allclose(12 * x - 3 * y + 20, columns, atol=1e-4)
    assert np.allclose(4 * x + 9 * y + 31, rows, atol=1e-4)


SQUARE = rectangle(-0.5, -0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        (circle(0.1, 0.2, 0.7), math.pi * 0.49),
        (ellipse(0.0, 0.1, 0.8, 0.3, 0.7), math.pi * 0.24),
        (rectangle(-0.8, -0.2, 0.6, 0.7), 1.26),
        (rectangle(-0.8, -0.2, 0.6, 0.7, 0.2), 1.26 - (4 - math.pi) * 0.04),
        (polygon((0.0, -0.9), (0.8, 0.5), (-0.6, 0.4)), 0.94),
        (polygon((-0.6, 0.4), (0.8, 0.5), (0.0, -0.9)), 0.94),
        (capsule((-0.5, -0.3), (0.5, 0.3), 0.2), 0.4 * math.hypot(1, 0.6) + math.pi * 0.04),
        (union(SQUARE, circle(0.5, 0.0, 0.5)), 1 + math.pi / 8),
        (intersection(SQUARE, circle(0.5, 0.0, 0.5)), math.pi / 8),
        (difference(SQUARE, circle(0.5, 0.0, 0.5)), 1 - math.pi / 8),
    ],
)
def test_shapes_have_their_area_within_their_box(shape: Shape, area: float):
    steps = (np.arange(600) + 0.5) / 250 - 1.2
    x, y = np.meshgrid(steps, steps)
    inside = shape.distance(x, y) < 0
    assert inside.sum() / 250**2 == pytest.approx(area, rel=3e-3)
    left, top, right, bottom = shape.box
    assert x[inside].min() >= left - 1e-3
    assert x[inside].max() <= right + 1e-3
    assert y[inside].min() >= top - 1e-3
    assert y[inside].max() <= bottom + 1e-3


@pytest.mark.parametrize("shape", [circle(0.1, 0.2, 0.7), SQUARE, capsule((-0.5, -0.3), (0.5, 0.3), 0.2)])
def test_distances_grow_as_fast_as_one_walks(shape: Shape):
    steps = np.linspace(-1, 1, 801)
    distance = shape.distance(*np.meshgrid(steps, steps))
    slope = np.hypot(*np.gradient(distance, steps, steps))[np.abs(distance) < 0.1]
    assert np.median(slope) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("chequered", 0.5),
        ("dotted", math.pi * 0.33**2),
        ("gridded", 1 - 0.74**2),
        ("striped", 0.5),
        ("wavy", 0.5),
        ("zigzagged", 0.5),
    ],
)
def test_textures_cover_their_share_and_repeat(name, share):
    u, v = np.meshgrid(np.arange(0, 14, 0.02) + 0.003, np.arange(0, 20, 0.02) + 0.003)
    mix = TEXTURES[name](u, v, 1000.0)
    assert mix.mean() == pytest.approx(share, abs=0.02)
    assert np.mean(mix == TEXTURES[name](u + 1, v, 1000.0)) > 0.99
    assert 0 <= mix.min() < mix.max() <= 1


def test_every_named_texture_is_drawn():
    assert tuple(TEXTURES) == CONCEPTS["texture"]
