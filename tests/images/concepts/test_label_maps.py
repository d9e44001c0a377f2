"""The grid of labels lies exactly where the network's own preprocessing puts the pixels."""

from __future__ import annotations

import itertools
import resource
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from images.concepts.folders import write_masks, write_textures
from prunescope.errors import NoRoomError, PrunescopeError
from prunescope.images import ImageSet
from prunescope.images.augment import centre_crops
from prunescope.images.concepts import Annotation, Concept, ConceptSet, label_maps, open_concepts
from prunescope.images.decode import resize_short_side, resized_size
from prunescope.networks.preprocess import Preprocess

SIZES = [(100, 137), (151, 90), (64, 200), (75, 80), (33, 50)]
WAYS = [(64, 64), (None, 48), (80, 33), (129, 120), (None, 90), (40, 57)]


SETS = itertools.count()  # each has other annotations


def concept_set(annotations: Sequence[Annotation], names: Sequence[str] = ("car",)) -> ConceptSet:
    """Return a set of the given annotations; all concepts are objects."""
    count = len(annotations)
    set_of_images = ImageSet(
        source="toy",
        classes=(),
        labels=np.zeros(count, dtype=np.int64),
        names=tuple(f"picture {i}" for i in range(count)),
        fingerprint=f"toy-{count}",
        decode=lambda i: np.zeros((1, 1, 3), np.uint8),
    )
    return ConceptSet(
        source="toy",
        concepts=tuple(Concept("object", name) for name in names),
        images=set_of_images,
        annotation=lambda i: annotations[i],
        fingerprint=f"annotated-{next(SETS)}",
        strata=np.zeros(count, dtype=np.int64),
    )


def masked(mask: NDArray[np.integer], size: tuple[int, int] | None = None) -> Annotation:
    layers = mask if mask.ndim == 3 else mask[None]
    return Annotation(masks={"object": layers.astype(np.uint16)}, size=size)


def as_seen(pixels: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.uint8]:
    """Return the crop that the network sees, by its own preprocessing."""
    if preprocess.resize is not None:
        pixels = resize_short_side(pixels, preprocess.resize, preprocess.interpolation)
    return centre_crops([pixels], preprocess.crop)[0]


def way(resize: int | None, crop: int) -> Preprocess:
    return Preprocess(resize=resize, crop=crop)


@pytest.mark.parametrize("short", [None, 32, 33, 100, 224, 256])
def test_sizes_after_resizing_are_those_of_the_images(short: int | None) -> None:
    rng = np.random.default_rng(0)
    for height, width in [*rng.integers(20, 90, (60, 2)).tolist(), (32, 32), (33, 90), (90, 33)]:
        pixels = np.zeros((height, width, 3), np.uint8)
        if short is not None:
            pixels = resize_short_side(pixels, short, "bilinear")
        assert resized_size((height, width), short) == pixels.shape[:2]


@pytest.mark.parametrize(("resize", "crop"), WAYS)
@pytest.mark.parametrize("size", SIZES)
def test_labels_of_coloured_blocks_are_where_the_network_sees_the_colours(
    size: tuple[int, int], resize: int | None, crop: int
) -> None:
    """Wherever a colour survives resizing unmixed, the label must be the one of that colour."""
    colours = np.array([[0, 0, 255], [255, 40, 0], [30, 255, 80], [250, 250, 20]], dtype=np.uint8)
    blocks = np.random.default_rng(1).integers(1, 5, (30, 30))
    mask = blocks.repeat(17, axis=0).repeat(17, axis=1)[: size[0], : size[1]]
    maps = label_maps(concept_set([masked(mask)], "abcd"), way(resize, crop), side=crop)
    seen = as_seen(colours[mask - 1], way(resize, crop))
    covered = (seen != 0).any(axis=2)
    pure = (seen[:, :, None] == colours).all(axis=3)  # (crop, crop, 4)
    found = maps.pixels[0, 0]
    assert pure[covered].any(axis=1).mean() > 0.5
    assert np.array_equal(found[pure.any(axis=2)], pure.argmax(axis=2)[pure.any(axis=2)] + 1)
    assert np.array_equal(found > 0, covered)


@pytest.mark.parametrize(("resize", "crop"), WAYS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("part", [1, 3])
def test_labels_of_a_ramp_are_not_shifted(
    size: tuple[int, int], resize: int | None, crop: int, part: int
) -> None:
    """Rows and columns as labels agree with a ramp of colours, in whole and, averaged, in parts of a pixel."""
    rows, columns = np.indices(size)
    ramp = np.stack(
        [255 * (x + 0.5) / n for x, n in zip((rows, columns, rows), (*size, 1), strict=True)], axis=2
    )
    ramp[..., 2] = 255
    seen = as_seen(np.rint(ramp).astype(np.uint8), way(resize, crop)).astype(float)
    side = crop // part
    centres = ((np.arange(side) + 0.5) * crop / side - 0.5).round().astype(int)
    for axis, mask in enumerate((rows, columns)):
        maps = label_maps(concept_set([masked(mask + 1)], ["x"] * 300), way(resize, crop), side=side)
        inside = (seen[..., 2] == 255)[np.ix_(centres, centres)]
        expected = seen[np.ix_(centres, centres)][..., axis] / 255 * size[axis] - 0.5
        error = (maps.pixels[0, 0].astype(float) - 1 - expected)[inside]
        step = size[axis] / resized_size(size, resize)[axis]  # pixels of the mask in one of the crop
        assert inside.sum() > 100
        assert np.abs(error).max() <= 0.5 + 0.5 * step + size[axis] / 255
        assert abs(np.mean(error)) <= (0.2 if part == 1 else 0.2 + 0.5 * step)


def test_a_case_worked_out_by_hand() -> None:
    """4 x 6 to 2 x 3, crop 2: columns round((3 - 2) / 2) = 0 to 2; cell centres at 1 and 3 of 4, 1 and 3 of 6."""
    mask = np.arange(1, 25).reshape(4, 6)
    maps = label_maps(concept_set([masked(mask)], [str(i) for i in range(24)]), way(2, 2))
    assert maps.pixels.tolist() == [[[[8, 10], [20, 22]]]]


def test_a_mask_of_its_own_size_covers_the_same_view() -> None:
    small = np.random.default_rng(2).integers(1, 9, (10, 15))
    large = small.repeat(8, axis=0).repeat(8, axis=1)
    annotations = [masked(small, size=(80, 120)), masked(large)]
    pixels = label_maps(concept_set(annotations, "abcdefgh"), way(64, 56)).pixels
    assert np.array_equal(pixels[0], pixels[1])
    assert len(np.unique(pixels)) > 4


def test_the_size_of_the_image_decides_and_not_that_of_its_mask() -> None:
    """80 x 123 becomes 64 x 98, and the crop of 64 begins at column 17; the mask alone would give 96 and 16."""
    mask = np.tile(np.arange(1, 16), (10, 1))
    found = label_maps(concept_set([masked(mask, size=(80, 123))], ["x"] * 15), way(64, 64)).pixels[0, 0]
    assert found[0].tolist() == [int((17 + j + 0.5) / 98 * 15) + 1 for j in range(64)]


def test_labels_that_do_not_overlap_share_a_layer() -> None:
    layers = np.eye(3, 9, dtype=np.int64)[:, None] * np.array([[[1]], [[2]], [[3]]])
    maps = label_maps(concept_set([masked(layers.repeat(9, axis=1))], "abc"), way(None, 9))
    assert maps.pixels.shape == (1, 1, 9, 9)
    assert maps.pixels[0, 0, 4].tolist() == [1, 2, 3, 0, 0, 0, 0, 0, 0]


def test_labels_beyond_the_image_are_nothing() -> None:
    maps = label_maps(concept_set([masked(np.ones((4, 6)))]), way(None, 8))
    expected = np.zeros((8, 8))
    expected[2:6, 1:7] = 1
    assert np.array_equal(maps.pixels[0, 0], expected)


def test_labels_of_one_pixel_are_each_held_once_without_gaps() -> None:
    rng = np.random.default_rng(3)
    masks = {"object": rng.integers(0, 4, (3, 9, 9)), "part": rng.integers(0, 3, (2, 9, 9)) * 4}
    several = Annotation(masks={k: mask.astype(np.uint16) for k, mask in masks.items()})
    single = masked(np.full((9, 9), 2))
    maps = label_maps(concept_set([single, several], [*"abcdefgh"]), way(None, 9))
    for y, x in np.ndindex(9, 9):
        held = maps.pixels[1, :, y, x].tolist()
        expected = {int(mask[k, y, x]) for mask in masks.values() for k in range(len(mask))} - {0}
        assert sorted(filter(None, held)) == sorted(expected)
        assert held == sorted(held, reverse=True)
    assert np.array_equal(maps.pixels[0, 0], single.masks["object"][0])
    assert not maps.pixels[0, 1:].any()


def test_labels_of_whole_images_and_what_is_annotated(tmp_path: Path) -> None:
    write_masks(tmp_path / "road", {"a": np.full((8, 8), 3)})
    write_textures(tmp_path / "fabric", each=1)
    concepts = open_concepts(["masks:road", "textures:fabric"], data=tmp_path)
    maps = label_maps(concepts, way(6, 6))
    assert maps.categories == ("object", "texture")
    assert [maps.categories[k] for k in maps.category_of] == [c.category for c in maps.concepts]
    assert maps.annotated.tolist() == [[True, False], [False, True], [False, True]]
    assert maps.image_labels.tolist() == [[False] * 3, [False, True, False], [False, False, True]]
    assert maps.pixels.shape == (3, 1, 6, 6)
    assert (maps.pixels[0] == 1).all()
    assert not maps.pixels[1:].any()
    assert not maps.pixels.flags.writeable


def test_the_side_is_the_crop_but_at_most_112() -> None:
    concepts = concept_set([masked(np.ones((300, 300)))])
    assert label_maps(concepts, way(256, 224)).pixels.shape[2:] == (112, 112)
    assert label_maps(concepts, way(64, 50)).pixels.shape[2:] == (50, 50)
    assert label_maps(concepts, way(64, 50), side=70).pixels.shape[2:] == (70, 70)
    with pytest.raises(PrunescopeError, match="side of label maps is at least 1 pixel, and 0"):
        label_maps(concepts, way(64, 50), side=0)


def test_images_without_annotations_are_named() -> None:
    one = masked(np.ones((4, 4)))
    with pytest.raises(PrunescopeError, match=r"1 of 3 annotations.*\n  picture 1 has no annotation"):
        label_maps(concept_set([one, Annotation(), one]), way(None, 4))
    with pytest.raises(PrunescopeError, match=r"14 of 15 annotations[^…]*picture 10 has[^…]*… and 4 more"):
        label_maps(concept_set([one, *[Annotation()] * 14]), way(None, 4))


def test_maps_are_made_once_for_a_set_a_geometry_and_a_side(cache: Path) -> None:
    concepts = concept_set(
        [masked(np.random.default_rng(i).integers(0, 3, (9, 12))) for i in range(70)], "ab"
    )
    seen: list[int] = []
    watched = replace(concepts, annotation=lambda i: (seen.append(i), concepts.annotation(i))[1])
    steps: list[tuple[int, int]] = []
    first = label_maps(watched, way(8, 8), progress=lambda done, total: steps.append((done, total)))
    assert sorted(seen) == list(range(70))
    assert steps == [(i + 1, 70) for i in range(70)]
    again = label_maps(watched, Preprocess(resize=8, crop=8, interpolation="bicubic", order="BGR"))
    assert len(seen) == 70
    assert np.array_equal(first.pixels, again.pixels)
    for other in (way(9, 8), way(8, 7)):
        label_maps(watched, other)
    label_maps(watched, way(8, 8), side=5)
    label_maps(watched.subset(np.arange(5)), way(8, 8))
    assert len(seen) == 285
    assert len([path for path in (cache / "labels").iterdir() if path.suffix != ".lock"]) == 5


@pytest.mark.parametrize("name", ["pixels", "labels", "maps.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "overwritten"])
def test_damaged_maps_are_made_anew(cache: Path, name: str, damage: str) -> None:
    concepts = concept_set([masked(np.full((5, 5), 1 + i % 2)) for i in range(4)], "ab")
    before = label_maps(concepts, way(None, 5)).pixels.copy()
    (file,) = (cache / "labels").glob(f"*/{name}")
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else b"?" * (len(content) + 1))
    assert np.array_equal(label_maps(concepts, way(None, 5)).pixels, before)
    assert file.read_bytes() == content


def test_a_changed_bit_in_what_is_known_of_whole_images_is_noticed(cache: Path, tmp_path: Path) -> None:
    concepts = open_concepts(f"textures:{write_textures(tmp_path)}")
    before = label_maps(concepts, way(None, 5)).image_labels.copy()
    (file,) = (cache / "labels").glob("*/labels")
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert np.array_equal(label_maps(concepts, way(None, 5)).image_labels, before)


def test_an_interrupted_run_and_a_full_disk_leave_nothing_behind(cache: Path) -> None:
    concepts = concept_set([masked(np.ones((40, 40))) for _ in range(30)])

    def interrupt(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    def left() -> list[str]:
        return [path.name for path in (cache / "labels").iterdir() if path.suffix != ".lock"]

    with pytest.raises(KeyboardInterrupt):
        label_maps(concepts, way(None, 40), progress=interrupt)
    assert left() == []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(NoRoomError, match="no room left on the disk while writing to the cache"):
            label_maps(concepts, way(None, 40))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert left() == []
    assert label_maps(concepts, way(None, 40)).pixels.all()


def test_real_masks_lie_where_pillow_puts_them(real_data: Path, tmp_path: Path) -> None:
    """Pillow's own nearest-neighbour resizing and the crop of the images, at every pixel of the crop."""
    for stem in ("2007_000063", "2007_000175", "2007_000392"):
        for kind, ending in (("images", "jpg"), ("masks", "png")):
            (tmp_path / kind).mkdir(exist_ok=True)
            shutil.copy(real_data / "concepts" / "voc" / kind / f"{stem}.{ending}", tmp_path / kind)
    concepts = open_concepts(f"masks:{tmp_path},labels=voc")
    preprocess = Preprocess(resize=128, crop=112)
    found = label_maps(concepts, preprocess).pixels
    for index, name in enumerate(concepts.images.names):
        mask = Image.open(tmp_path / "masks" / f"{Path(name).stem}.png")
        height, width = resize_short_side(concepts.images.decode(index), 128, "bilinear").shape[:2]
        values = np.asarray(mask.resize((width, height), Image.Resampling.NEAREST))
        expected = centre_crops([values[..., None].repeat(3, axis=2)], 112)[0, :, :, 0]
        assert np.array_equal(found[index, 0], np.where(expected == 255, 0, expected))
        assert expected.any()
