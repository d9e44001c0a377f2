"""Folders with masks, textures and the scenes as annotated images."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from images.concepts.folders import in_words, noise, write_masks, write_png, write_textures
from prunescope.errors import PrunescopeError
from prunescope.images import open_images
from prunescope.images.cache import cached
from prunescope.images.concepts import Concept, open_concepts
from prunescope.images.scenes import CONCEPTS


def words(concepts, index: int = 0):
    return in_words(concepts, concepts.annotation(index))["masks"]


def test_the_labels_of_voc_have_names_and_its_background_and_void_have_none(tmp_path: Path) -> None:
    write_masks(tmp_path, {"a": [[0, 1, 2], [15, 20, 255]]})
    concepts = open_concepts(f"masks:{tmp_path},labels=voc")
    assert len(concepts.concepts) == 20
    assert words(concepts) == {"object": [[["", "aeroplane", "bicycle"], ["person", "tv monitor", ""]]]}


def test_the_labels_of_camvid_begin_with_sky_at_0_and_end_with_void_at_11(tmp_path: Path) -> None:
    write_masks(tmp_path, {"a": [[0, 3, 10, 11]]})
    concepts = open_concepts(f"masks:{tmp_path},labels=camvid,category=thing")
    assert len(concepts.concepts) == 11
    assert words(concepts) == {"thing": [[["sky", "road", "bicyclist", ""]]]}


def test_a_list_beside_the_folders_names_labels_and_categories(tmp_path: Path) -> None:
    write_masks(tmp_path, {"a": [[0, 4], [9, 255]]})
    (tmp_path / "labels.csv").write_text(
        "\ufeffvalue,name,category\n4,cat,\n9,wool,material\n", encoding="utf-8"
    )
    expected = {"object": [[["", "cat"], ["", ""]]], "material": [[["", ""], ["wool", ""]]]}
    assert words(open_concepts(f"masks:{tmp_path}")) == expected
    (tmp_path / "other.csv").write_text("value,name\n0,floor\n4,dog\n9,sheep\n")
    other = open_concepts("masks:.,labels=other.csv,void=9", data=tmp_path)
    assert other.concepts == tuple(Concept("object", name) for name in ("floor", "dog", "sheep"))
    with pytest.raises(PrunescopeError, match=r"a.png holds labels that .*other.csv does not list: 255"):
        words(other)
    (tmp_path / "all.csv").write_text("value,name\n0,floor\n4,dog\n9,sheep\n255,sky\n")
    assert words(open_concepts("masks:.,labels=all.csv", data=tmp_path)) == {
        "object": [[["floor", "dog"], ["sheep", "sky"]]]
    }
    write_png(tmp_path / "masks" / "a.png", [[0, 4], [9, 0]])
    assert words(open_concepts("masks:.,labels=other.csv,void=9", data=tmp_path)) == {
        "object": [[["floor", "dog"], ["", "floor"]]]
    }


def test_labels_without_a_list_are_those_that_occur(tmp_path: Path) -> None:
    rgb = np.zeros((1, 3, 3))
    rgb[0, :, 0], rgb[0, :, 1], rgb[0, :, 2] = (7, 1, 0), (0, 2, 0), (0, 0, 99)  # 7, 513, 0
    write_masks(tmp_path, {"a": rgb, "b": [[0, 7], [3, 255]]})
    deep = Image.fromarray(np.array([[513, 40_000]], dtype=np.uint16))
    deep.save(tmp_path / "masks" / "c.png")
    write_png(tmp_path / "images" / "c.png", noise(1, 2))
    concepts = open_concepts(f"masks:{tmp_path}")
    assert [c.name for c in concepts.concepts] == ["label 3", "label 7", "label 513", "label 40000"]
    assert words(concepts, 0) == {"object": [[["label 7", "label 513", ""]]]}
    assert words(concepts, 1) == {"object": [[["", "label 7"], ["label 3", ""]]]}
    assert words(concepts, 2) == {"object": [[["label 513", "label 40000"]]]}


def test_palette_masks_and_other_endings_of_images(tmp_path: Path) -> None:
    mask = Image.fromarray(np.array([[1, 0]], dtype=np.uint8)).convert("P")
    mask.putpalette([9, 9, 9, 200, 0, 0])
    (tmp_path / "masks").mkdir()
    mask.save(tmp_path / "masks" / "a.b.png")
    write_png(tmp_path / "images" / "a.b.JPG", noise(1, 2))
    write_png(tmp_path / "images" / ".hidden.png", noise(1, 2))
    concepts = open_concepts(f"masks:{tmp_path},labels=voc")
    assert concepts.images.names == ("a.b.JPG",)
    assert words(concepts) == {"object": [[["aeroplane", ""]]]}


def test_the_images_can_be_decoded_by_the_cache(tmp_path: Path) -> None:
    write_masks(tmp_path, {"a": np.ones((8, 12)), "b": np.ones((12, 8))})
    images = open_concepts(f"masks:{tmp_path}").images
    assert (images.classes, images.labels.tolist(), len(images)) == ((), [0, 0], 2)
    assert [pixels.shape for pixels in cached(images, 4, "bilinear")] == [(4, 6, 3), (6, 4, 3)]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("masks:gone", "gone is not there; relative paths start from the data folder"),
        ("masks:road/masks/a.png", "a.png is not a folder"),
        ("masks:", "'masks:' names no folder; expected 'masks:FOLDER'"),
        ("masks:labels=voc", "names no folder"),
        ("masks:road/images", "images/images is not there"),
        ("masks:road,label=voc", r"no setting 'label' of 'masks:' \(did you mean 'labels'\?\); known: labels, void"),
        ("masks:road,labels=voc,labels=voc", "labels is given twice"),
        ("masks:road,void=", "void is empty"),
        ("masks:road,void=many", "void=many: expected the value of a mask, a whole number from 0 to 65535"),
        ("masks:road,void=-1", "void=-1: expected the value of a mask"),
        ("masks:road,labels=vox", "labels=vox: expected voc or camvid, or a CSV file, and .*vox is not there"),
        ("masks:road,category=a/b", "'a/b' cannot be a category"),
        ("masks:blank", "no mask in .*masks has a label: all pixels are 0 or 255"),
        ("masks:bare", "13 of 13 images in .* have no mask in .*: 0.png, 1.png.* and 3 more; a mask is a PNG"),
        ("masks:twins", "share a name but for the ending: a; each needs a mask of its own"),
        ("masks:empty", "images has no images"),
        ("masks:road,labels=twice.csv", "twice.csv, line 3: the value 1 is listed twice"),
        ("masks:road,labels=same.csv", "same.csv, line 3: object 'car' is listed twice"),
        ("masks:road,labels=none.csv", "none.csv lists no labels"),
        ("masks:road,labels=unnamed.csv", "unnamed.csv, line 2: a concept of the category 'object' has an empty name"),
        ("broden:road,labels=voc", "no setting 'labels' of 'broden:'; it has none"),
        ("textures:fabric/dotted", "'textures:fabric/dotted' takes one subfolder a texture: .*has no subfolders"),
        ("textures:gone", "takes one subfolder a texture: .*gone is not there"),
        ("scenes:count=0", "count of scenes is a whole number"),
    ],
)  # fmt: skip
def test_bad_sources_are_explained(source: str, message: str, tmp_path: Path) -> None:
    write_masks(tmp_path / "road", {"a": [[1, 2]]})
    write_masks(tmp_path / "blank", {"a": [[0, 255]]})
    write_masks(tmp_path / "bare", {str(i): [[1]] for i in range(13)})
    shutil.rmtree(tmp_path / "bare" / "masks")
    (tmp_path / "bare" / "masks").mkdir()
    write_masks(tmp_path / "twins", {"a": [[1]]})
    write_png(tmp_path / "twins" / "images" / "a.bmp", noise(1, 1))
    for folder in ("images", "masks"):
        (tmp_path / "empty" / folder).mkdir(parents=True)
    write_textures(tmp_path / "fabric")
    for name, lines in {
        "twice": "1,a\n1,b\n",
        "same": "1,car\n2,car\n",
        "none": "",
        "unnamed": "1,\n",
    }.items():
        (tmp_path / f"{name}.csv").write_text(f"value,name\n{lines}")
    with pytest.raises(PrunescopeError, match=message):
        open_concepts(source, data=tmp_path)


def test_masks_that_do_not_fit_their_images_are_refused(tmp_path: Path) -> None:
    write_masks(tmp_path, {"a": [[1, 2, 3]], "b": [[1, 77, 88]]})
    write_png(tmp_path / "images" / "a.png", noise(3, 1))
    concepts = open_concepts(f"masks:{tmp_path},labels=voc")
    with pytest.raises(
        PrunescopeError, match=r"a.png is 3 x 1 pixels, its image a.png 1 x 3; they must have the same"
    ):
        concepts.annotation(0)
    with pytest.raises(
        PrunescopeError, match=r"b.png holds labels that labels=voc does not list: 77, 88; add them"
    ):
        concepts.annotation(1)


def test_textures_are_labels_of_whole_images(tmp_path: Path) -> None:
    write_textures(tmp_path)
    concepts = open_concepts(f"textures:{tmp_path}")
    assert concepts.concepts == (Concept("texture", "dotted"), Concept("texture", "striped"))
    assert [concepts.annotation(i).labels for i in range(4)] == [{"texture": (k,)} for k in (0, 0, 1, 1)]
    assert not concepts.annotation(0).masks
    assert concepts.images.names[0] == "dotted/dotted_0.png"
    places = open_concepts(f"textures:{tmp_path},category=scene")
    assert places.annotation(3).labels == {"scene": (1,)}
    assert places.fingerprint != concepts.fingerprint
    assert places.images.fingerprint == concepts.images.fingerprint


def test_scenes_are_those_of_the_test_images_with_the_scene_as_a_label() -> None:
    concepts, images = open_concepts("scenes:seed=2,count=9"), open_images("scenes:seed=2,count=9")
    assert concepts.images.names == images.names
    assert concepts.images.fingerprint == images.fingerprint  # so that decoded pixels are shared
    for i in (0, 8):
        found, masks = concepts.annotation(i), images.masks(i)
        assert found.size is None
        assert set(found.masks) | set(found.labels) == set(CONCEPTS)
        for category, mask in found.masks.items():
            names = np.array(["", *(c.name for c in concepts.concepts)])[mask[0]]
            assert np.array_equal(names, np.array(["", *CONCEPTS[category]])[masks[category]])
            assert {concepts.concepts[c - 1].category for c in np.unique(mask) if c} <= {category}
        (scene,) = found.labels["scene"]
        assert concepts.concepts[scene] == Concept("scene", CONCEPTS["scene"][masks["scene"][0, 0] - 1])


def test_real_masks_are_within_their_lists(real_data: Path) -> None:
    for name, values in (("voc", 20), ("camvid", 11)):
        concepts = open_concepts(f"masks:concepts/{name},labels={name}", data=real_data)
        seen = {
            c
            for i in range(0, len(concepts), len(concepts) // 40)
            for c in np.unique(concepts.annotation(i).masks["object"])
        }
        assert len(concepts.concepts) == values
        assert seen <= set(range(values + 1))
        assert len(seen) > 8
    assert len(concepts) == 177
    textures = open_concepts("textures:textures/dtd10", data=real_data)
    assert (len(textures), len(textures.concepts)) == (600, 10)
