"""Objects of scenes and of folders of masks, on the pixels that a network sees."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from prunescope.errors import PrunescopeError
from prunescope.explain.maps import Masks
from prunescope.explain.object_masks import mask_files, masks_fingerprint, object_masks
from prunescope.images.augment import centre_crops
from prunescope.images.decode import resized_size
from prunescope.images.scenes.concepts import CLASSES, CONCEPTS
from prunescope.images.source import ImageSet, open_images
from prunescope.networks.preprocess import Preprocess

AS_IT_IS = Preprocess(resize=None, crop=96)
GEOMETRIES = [
    Preprocess(resize=None, crop=64),
    Preprocess(resize=64, crop=64),
    Preprocess(resize=80, crop=56),
    Preprocess(resize=150, crop=128),
    Preprocess(resize=40, crop=48),  # black around it
]


@pytest.fixture(scope="module")
def scenes() -> ImageSet:
    return open_images("scenes:count=24", "test")


@pytest.fixture
def photos(tmp_path: Path) -> ImageSet:
    """Images of several sizes in a subfolder a class."""
    rng = np.random.default_rng(0)
    for number, size in enumerate([(60, 90), (90, 60), (70, 70), (64, 99)]):
        path = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
    return open_images("folder:photos", "test", tmp_path)


def blob(height: int, width: int) -> Masks:
    """Return a mask of an object that lies in no symmetric place."""
    y, x = np.mgrid[:height, :width]
    return np.asarray((y - height * 0.4) ** 2 + 2 * (x - width * 0.6) ** 2 < (0.3 * min(height, width)) ** 2)


def write(path: Path, pixels: NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_masks(folder: Path, images: ImageSet) -> Path:
    for index, name in enumerate(images.names):
        height, width, _ = images.decode(index).shape
        write(folder / Path(name).with_suffix(".png"), blob(height, width).astype(np.uint8))
    return folder


def as_images_are(mask: Masks, preprocess: Preprocess) -> Masks:
    """Resize to the size of the image, each pixel by the one at its centre, and crop as the pixels of images are."""
    rows, columns = (
        [math.floor(Fraction(2 * pixel + 1, 2) * own / resized) for pixel in range(resized)]
        for own, resized in zip(mask.shape, resized_size(mask.shape, preprocess.resize), strict=True)
    )
    pixels = np.repeat(mask[rows][:, columns, None].astype(np.uint8), 3, axis=2)
    return np.asarray(centre_crops([pixels], preprocess.crop)[0, ..., 0] > 0)


def test_scenes_know_the_object_of_their_class(scenes: ImageSet) -> None:
    masks = object_masks(scenes, range(24), Preprocess(resize=None, crop=scenes.decode(0).shape[0]))
    assert masks is not None
    for index, mask in enumerate(masks):
        numbers = scenes.masks(index)["object"]  # type: ignore[misc]
        own = 1 + CONCEPTS["object"].index(CLASSES[scenes.labels[index]])
        np.testing.assert_array_equal(mask, numbers == own)
        assert 0.005 < mask.mean() < 0.9


@pytest.mark.parametrize("preprocess", GEOMETRIES)
def test_scenes_are_cut_as_their_pixels_are(scenes: ImageSet, preprocess: Preprocess) -> None:
    masks = object_masks(scenes, [5, 2], preprocess)
    assert masks is not None
    whole = object_masks(scenes, [5, 2], Preprocess(resize=None, crop=scenes.decode(0).shape[0]))
    np.testing.assert_array_equal(masks, [as_images_are(mask, preprocess) for mask in whole])  # type: ignore


@pytest.mark.parametrize("preprocess", GEOMETRIES)
def test_masks_of_a_folder_are_cut_as_the_pixels_are(
    photos: ImageSet, tmp_path: Path, preprocess: Preprocess
) -> None:
    write_masks(tmp_path / "masks", photos)
    masks = object_masks(photos, [3, 0, 1, 2], preprocess, "masks", tmp_path)
    expected = [as_images_are(blob(*photos.decode(index).shape[:2]), preprocess) for index in (3, 0, 1, 2)]
    np.testing.assert_array_equal(masks, expected)  # type: ignore[arg-type]


def test_the_black_around_a_small_image_is_no_object(photos: ImageSet, tmp_path: Path) -> None:
    write(tmp_path / "masks" / "cat" / "0.png", np.ones((60, 90), np.uint8))
    masks = object_masks(photos, [0], Preprocess(resize=None, crop=100), "masks", tmp_path)
    expected = np.zeros((100, 100), np.bool_)
    expected[20:80, 5:95] = True
    np.testing.assert_array_equal(masks, [expected])  # type: ignore[arg-type]


def test_a_subset_keeps_the_objects_of_its_images(scenes: ImageSet) -> None:
    some = np.array([20, 3, 11])
    np.testing.assert_array_equal(
        object_masks(scenes.subset(some), range(3), AS_IT_IS),  # type: ignore[arg-type]
        object_masks(scenes, some, AS_IT_IS),  # type: ignore[arg-type]
    )


def test_a_source_that_knows_no_masks_has_none(photos: ImageSet) -> None:
    assert object_masks(photos, range(4), AS_IT_IS) is None


def test_given_masks_stand_in_place_of_those_of_the_source(scenes: ImageSet, tmp_path: Path) -> None:
    write_masks(tmp_path, scenes.subset(np.array([4])))
    masks = object_masks(scenes, [3, 4], AS_IT_IS, tmp_path)
    assert masks is not None
    assert masks.any(axis=(1, 2)).tolist() == [False, True]
    np.testing.assert_array_equal(masks[1], as_images_are(blob(*scenes.decode(4).shape[:2]), AS_IT_IS))
    assert object_masks(scenes, [3], AS_IT_IS, tmp_path) is None


def test_masks_of_another_scale_cover_the_same_image(photos: ImageSet, tmp_path: Path) -> None:
    height, width, _ = photos.decode(0).shape
    write(tmp_path / "cat" / "0.png", blob(3 * height, 3 * width).astype(np.uint8))
    large = object_masks(photos, [0], Preprocess(resize=None, crop=50), tmp_path)
    assert large is not None
    small = as_images_are(blob(height, width), Preprocess(resize=None, crop=50))
    assert 0 < (large[0] != small).mean() < 0.03  # along its edge


@pytest.mark.parametrize("name", ["cat/0.png", "cat/0.jpg.png", "cat/0.PNG"])
def test_a_mask_has_the_name_of_its_image(photos: ImageSet, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "masks" / name, np.ones((60, 90), np.uint8))
    assert mask_files(photos, tmp_path / "masks") == {0: path}


@pytest.mark.parametrize(
    "pixels",
    [
        np.array([[0, 255], [1, 0]], np.uint8),
        np.array([[0, 1], [1, 0]], np.bool_),
        np.array([[0, 65535], [1, 0]], np.uint16),  # 1 is less than one step of 8 bits
        np.array([[[0, 0, 0], [0, 0, 255]], [[1, 0, 0], [0, 0, 0]]], np.uint8),  # blue is not black
        np.array([[[0, 0, 0, 255], [0, 9, 0, 0]], [[1, 0, 0, 255], [0, 0, 0, 9]]], np.uint8),
        np.array([[[0, 255], [3, 0]], [[1, 255], [0, 9]]], np.uint8),
    ],
    ids=["grey", "bit", "16 bit", "RGB", "RGBA", "LA"],
)
def test_whatever_is_not_0_is_object(pixels: NDArray[np.generic], tmp_path: Path) -> None:
    write(tmp_path / "square" / "a.png", np.zeros((2, 2, 3), np.uint8))
    image = open_images("folder:.", "test", tmp_path)
    write(tmp_path / "masks" / "square" / "a.png", pixels)
    masks = object_masks(image, [0], Preprocess(resize=None, crop=2), "masks", tmp_path)
    assert masks is not None
    assert masks.tolist() == [[[False, True], [True, False]]]


def test_of_a_palette_index_0_is_nothing_whatever_its_colour(tmp_path: Path) -> None:
    write(tmp_path / "square" / "a.png", np.zeros((2, 2, 3), np.uint8))
    image = open_images("folder:.", "test", tmp_path)
    mask = Image.fromarray(np.array([[0, 2], [1, 0]], np.uint8))
    mask.putpalette([255, 255, 255, 0, 0, 0, 9, 9, 9])
    (tmp_path / "masks" / "square").mkdir(parents=True)
    mask.save(tmp_path / "masks" / "square" / "a.png")
    masks = object_masks(image, [0], Preprocess(resize=None, crop=2), "masks", tmp_path)
    assert masks is not None
    assert masks.tolist() == [[[False, True], [True, False]]]


def test_the_fingerprint_is_that_of_the_masks_wherever_they_lie(photos: ImageSet, tmp_path: Path) -> None:
    here, there = (write_masks(tmp_path / name, photos) for name in ("here", "there"))
    whole = masks_fingerprint(photos, here)
    write(there / "cat" / "of no image.png", np.ones((2, 2), np.uint8))
    assert masks_fingerprint(photos, "there", tmp_path) == whole
    write(there / "cat" / "0.png", np.ones((60, 90), np.uint8))
    assert masks_fingerprint(photos, there) != whole
    (here / "dog" / "1.png").rename(here / "dog" / "3.png")
    assert masks_fingerprint(photos, here) != whole


def test_a_folder_that_is_not_there(photos: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match=r"folder of masks .*mask is not there; relative paths start"):
        object_masks(photos, [0], AS_IT_IS, "mask", tmp_path)
    with pytest.raises(PrunescopeError, match="is not a folder"):
        object_masks(photos, [0], AS_IT_IS, "photos/cat/0.jpg", tmp_path)


def test_masks_of_no_image(photos: ImageSet, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    with pytest.raises(PrunescopeError, match=r"expected names such as cat/0\.png, and no PNG file is there"):
        masks_fingerprint(photos, "masks", tmp_path)
    assert object_masks(photos, [0], AS_IT_IS, "masks", tmp_path) is None
    for number in range(5):
        write(tmp_path / "masks" / f"{number}.png", np.ones((60, 90), np.uint8))
    with pytest.raises(PrunescopeError, match=r"0\.png, 1\.png, 2\.png and 2 more is there"):
        masks_fingerprint(photos, "masks", tmp_path)


def test_a_mask_that_fits_two_images(tmp_path: Path) -> None:
    for ending in ("jpg", "png"):
        write(tmp_path / "photos" / "cat" / f"0.{ending}", np.ones((9, 9, 3), np.uint8))
    photos = open_images("folder:photos", "test", tmp_path)
    write(tmp_path / "masks" / "cat" / "0.png", np.ones((9, 9), np.uint8))
    with pytest.raises(
        PrunescopeError, match=r"fits both cat/0\.jpg and cat/0\.png: give each its own, named"
    ):
        object_masks(photos, [0], AS_IT_IS, "masks", tmp_path)
    for ending in ("jpg", "png"):
        write(tmp_path / "masks" / "cat" / f"0.{ending}.png", np.ones((9, 9), np.uint8))
    assert len(mask_files(photos, tmp_path / "masks")) == 2


@pytest.mark.parametrize("size", [(90, 60), (60, 60), (32, 32), (9, 9)])
def test_a_mask_of_another_shape(photos: ImageSet, tmp_path: Path, size: tuple[int, int]) -> None:
    write(tmp_path / "masks" / "cat" / "0.png", np.ones(size, np.uint8))
    with pytest.raises(
        PrunescopeError, match=rf"0\.png is {size[1]} x {size[0]} pixels, and its image cat/0\.jpg 90 x 60"
    ):
        object_masks(photos, [0], AS_IT_IS, "masks", tmp_path)


def test_all_masks_that_cannot_be_used_are_named(photos: ImageSet, tmp_path: Path) -> None:
    folder = write_masks(tmp_path / "masks", photos)
    whole = (folder / "cat" / "0.png").read_bytes()
    (folder / "cat" / "0.png").write_bytes(whole[: len(whole) // 2])
    (folder / "dog" / "1.png").write_text("no picture")
    with pytest.raises(PrunescopeError) as caught:
        object_masks(photos, range(4), AS_IT_IS, folder)
    first, *lines = str(caught.value).splitlines()
    assert first == "2 masks cannot be used:"
    assert "cannot decode" in lines[0]
    assert "dog/1.png is not an image" in lines[1]
    assert len(lines) == 2
