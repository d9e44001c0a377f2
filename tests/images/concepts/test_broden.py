"""The format of Network Dissection: read as described, written so that it reads back the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from images.concepts.folders import (
    in_words,
    noise,
    write_broden_by_hand,
    write_masks,
    write_png,
    write_textures,
)
from prunescope.errors import PrunescopeError
from prunescope.images.concepts import Annotation, open_concepts, write_broden
from prunescope.images.concepts.csv_table import read_csv


def test_a_folder_written_by_hand_is_read_as_the_format_says(tmp_path: Path) -> None:
    concepts = open_concepts(f"broden:{write_broden_by_hand(tmp_path / 'set')}")
    assert concepts.categories == ("object", "part", "scene", "texture")
    assert [str(c) for c in concepts.concepts if c.name == "wood"] == [
        "object 'wood'",
        "part 'wood'",
        "texture 'wood'",
    ]
    assert concepts.images.names == ("town/a.png", "dtd/b.png")
    assert np.array_equal(concepts.images.decode(1), noise(5, 5, 2))
    assert in_words(concepts, concepts.annotation(0)) == {
        "masks": {
            "object": [[["car", "car", "tree"], ["", "wood", "wood"]]],
            "part": [[["", "wood", ""], ["", "", ""]], [["", "wheel", ""], ["", "", ""]]],
        },
        "labels": {"scene": ["town-s"]},
        "size": (4, 6),
    }
    assert in_words(concepts, concepts.annotation(1)) == {
        "masks": {},
        "labels": {"texture": ["dotted", "wood"]},
        "size": None,
    }


@pytest.mark.parametrize(
    "sources",
    [
        ["scenes:count=5"],
        ["broden:hand"],
        ["broden:hand", "masks:road", "textures:fabric", "colors"],
        ["textures:fabric", "colors"],
    ],
    ids=lambda sources: sources[-1].partition(":")[0] + str(len(sources)),
)
def test_what_is_written_is_read_back(sources: list[str], tmp_path: Path) -> None:
    write_broden_by_hand(tmp_path / "hand")
    write_masks(tmp_path / "road", {"a": np.arange(30).reshape(5, 6), "b": np.full((4, 4), 255)})
    write_textures(tmp_path / "fabric")
    before = open_concepts(sources, data=tmp_path)
    steps: list[tuple[int, int]] = []
    write_broden(before, tmp_path / "out" / "new", lambda done, total: steps.append((done, total)))
    after = open_concepts("broden:out/new", data=tmp_path)
    assert steps[-1] == (len(before), len(before))
    assert set(after.concepts) == set(before.concepts)
    assert len(after) == len(before)
    for i in range(len(before)):
        assert np.array_equal(before.images.decode(i), after.images.decode(i))
        assert in_words(before, before.annotation(i)) == in_words(after, after.annotation(i))
        assert Path(after.images.names[i]).with_suffix("") == Path(before.images.names[i]).with_suffix("")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]


def test_the_lists_count_images_and_pixels(tmp_path: Path) -> None:
    write_masks(tmp_path / "road", {"a": np.repeat([1, 2], 8).reshape(4, 4), "b": np.ones((2, 2))})
    (tmp_path / "road" / "labels.csv").write_text(
        "value,name,category\n1,wall,part\n2,car,object\n3,wall,object\n"
    )
    write_broden(open_concepts(f"masks:{tmp_path}/road"), tmp_path / "out")
    (wall, car) = read_csv(tmp_path / "out" / "label.csv", ())
    assert wall.fields | {"category": set(wall["category"].split(";"))} == {
        "number": "1",
        "name": "wall",
        "category": {"part(2)", "object(0)"},
        "frequency": "2",
        "coverage": "1.500000",
        "syns": "",
    }
    assert (car["frequency"], car["coverage"]) == ("1", "0.500000")
    rows = {row["name"]: row.fields for row in read_csv(tmp_path / "out" / "category.csv", ())}
    assert rows["object"] == {"name": "object", "first": "1", "last": "2", "count": "2", "frequency": "1"}
    (code,) = read_csv(tmp_path / "out" / "c_part.csv", ())
    assert list(code.fields.values()) == ["1", "1", "wall", "2", "1.500000"]


def test_annotated_but_without_a_label_is_kept(tmp_path: Path) -> None:
    write_textures(tmp_path / "fabric")
    concepts = open_concepts(f"textures:{tmp_path}/fabric")
    none = replace(concepts, annotation=lambda i: Annotation(labels={"texture": ()}))
    write_broden(none, tmp_path / "out")
    assert open_concepts(f"broden:{tmp_path}/out").annotation(0).labels == {"texture": ()}


def test_names_that_differ_in_their_ending_stay_apart(tmp_path: Path) -> None:
    write_textures(tmp_path / "fabric", names=("dotted",), each=1)
    write_png(tmp_path / "fabric" / "dotted" / "dotted_0.bmp", noise(4, 4, 7))
    concepts = open_concepts(f"textures:{tmp_path}/fabric")
    write_broden(concepts, tmp_path / "out")
    after = open_concepts(f"broden:{tmp_path}/out").images
    assert after.names == ("dotted/dotted_0.bmp.png", "dotted/dotted_0.png.png")
    assert [after.decode(i).shape for i in range(2)] == [(4, 4, 3), (6, 9, 3)]


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    concepts = open_concepts("scenes:count=1")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("mine")
    for out in (tmp_path / "used", tmp_path / "used" / "thesis.txt"):
        with pytest.raises(PrunescopeError, match="is there already; choose another folder"):
            write_broden(concepts, out)
    with pytest.raises(PrunescopeError, match="while writing"):
        write_broden(concepts, tmp_path / "used" / "thesis.txt" / "deeper")
    (tmp_path / "empty").mkdir()
    write_broden(concepts, tmp_path / "empty")
    assert (tmp_path / "empty" / "index.csv").is_file()


def test_nothing_is_left_of_a_folder_that_failed(tmp_path: Path) -> None:
    root = write_broden_by_hand(tmp_path / "set")
    write_png(root / "images" / "dtd" / "b.png", noise(6, 6))
    with pytest.raises(
        PrunescopeError, match=r"b.png is 6 high and 6 wide; index.csv says 5 x 5 \(ih x iw\)"
    ):
        write_broden(open_concepts(f"broden:{root}"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_the_fingerprint_covers_masks_labels_and_names(tmp_path: Path) -> None:
    def changed(change: Callable[[Path], object]) -> str:
        root = write_broden_by_hand(tmp_path / "set")
        change(root)
        print_ = open_concepts(f"broden:{root}").fingerprint
        shutil.rmtree(root)
        return print_

    same = changed(lambda root: None)
    assert changed(lambda root: None) == same
    others = {
        changed(lambda root: write_png(root / "images" / "town" / "a_object.png", np.zeros((2, 3, 3)))),
        changed(lambda root: edit(root / "label.csv", "4,wheel", "4,tyre")),
        changed(lambda root: edit(root / "index.csv", "5;2", "5")),
        changed(lambda root: write_png(root / "images" / "dtd" / "b.png", noise(5, 5, 9))),
    }
    assert len(others | {same}) == 5


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("index.csv", "town/a.png,", "/etc/passwd,", r"line 2: '/etc/passwd' is no path of a file inside"),
        ("index.csv", "town/a.png,", "../../a.png,", "'../../a.png' is no path of a file inside"),
        ("index.csv", "town/a.png,", r"..\..\a.png,", "is no path of a file inside"),
        ("index.csv", "town/a.png,", "C:a.png,", "is no path of a file inside"),
        ("index.csv", "town/a.png,", ",", "'' is no path of a file inside"),
        ("index.csv", "town/a_part_0.png", "town/../../x.png", "is no path of a file inside"),
        ("index.csv", "town/a_part_0.png", "town/gone.png", "1 files that index.csv lists are not in .*town/gone.png"),
        ("index.csv", "dtd/b.png,", "town/a.png,", "line 3: image 'town/a.png' is listed twice"),
        ("index.csv", "5;2", "5;4", "line 3: texture has labels that c_texture.csv does not list: 4"),
        ("index.csv", "5;2", "5;" + "9" * 5000, "texture has labels that c_texture.csv does not list: 99"),
        ("index.csv", "val,5,", "val,five,", "line 3: ih is a whole number from 0 to 65535, not 'five'"),
        ("index.csv", "5;2", "5;2,7", "line 3: 11 fields, and the header has 10"),
        ("index.csv", ",scene,", ",place,", "index.csv needs a first line with the columns .*scene"),
        ("index.csv", "image,split", "image,image,split", "each once"),
        ("index.csv", "town", "to\0wn", "is no path of a file inside|not a CSV file"),
        ("index.csv", "5;2", '"5;2', "index.csv is not a CSV file in UTF-8"),
        ("label.csv", "5,dotted", "3,dotted", "line 6: number 3 or name 'dotted' is listed twice"),
        ("label.csv", "5,dotted", "5,car", "number 5 or name 'car' is listed twice"),
        ("label.csv", "5,dotted", "5, ", "c_texture.csv, line 2: a concept of the category 'texture' has an empty"),
        ("label.csv", "4,wheel,part(1),1,.1,\n", "", "c_part.csv, line 3: label 4 is listed twice, is 0, or is not"),
        ("c_part.csv", "2,4,wheel", "2,2,wheel", "c_part.csv, line 3: label 2 is listed twice"),
        ("category.csv", "part,2", "object,2", "'object' is listed twice"),
        ("category.csv", "part,2", "image,2", "'image' is listed twice, or is the name of another column"),
        ("category.csv", "part,2", "../part,2", "line 3: '../part' cannot be a category of concepts"),
    ],
)  # fmt: skip
def test_files_that_contradict_are_refused(
    file: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    root = write_broden_by_hand(tmp_path)
    edit(root / file, old, new)
    with pytest.raises(PrunescopeError, match=message):
        open_concepts(f"broden:{root}")


@pytest.mark.parametrize("file", ["index.csv", "label.csv", "category.csv", "c_scene.csv"])
def test_missing_and_unreadable_lists_are_named(file: str, tmp_path: Path) -> None:
    root = write_broden_by_hand(tmp_path)
    (root / file).write_bytes(b"\xff\xfe\x00rubbish")
    with pytest.raises(PrunescopeError, match=f"{file} is not a CSV file in UTF-8"):
        open_concepts(f"broden:{root}")
    (root / file).unlink()
    with pytest.raises(PrunescopeError, match=f"No such file or directory while reading .*{file}"):
        open_concepts(f"broden:{root}")


def test_empty_lists_are_refused(tmp_path: Path) -> None:
    root = write_broden_by_hand(tmp_path)
    for file, message in (("index.csv", "lists no images"), ("category.csv", "lists no categories")):
        (root / file).write_text((root / file).read_text().splitlines()[0] + "\n")
        with pytest.raises(PrunescopeError, match=message):
            open_concepts(f"broden:{root}")


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((2, 3, 3), 5), r"a_object.png holds labels that c_object.csv does not list: 1285"),
        (np.full((2, 3), 4), "does not list: 4"),
        (np.zeros((3, 2)), r"a_object.png is 3 high and 2 wide; index.csv says 2 x 3 \(sh x sw\)"),
    ],
)
def test_masks_that_do_not_fit_are_refused(pixels: np.ndarray, message: str, tmp_path: Path) -> None:
    root = write_broden_by_hand(tmp_path)
    write_png(root / "images" / "town" / "a_object.png", pixels)
    concepts = open_concepts(f"broden:{root}")
    with pytest.raises(PrunescopeError, match=message):
        concepts.annotation(0)


def test_damaged_masks_are_refused(tmp_path: Path) -> None:
    root = write_broden_by_hand(tmp_path)
    file = root / "images" / "town" / "a_object.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 2, (2, 3), dtype=np.uint8)).save(file)
    whole = file.read_bytes()
    concepts = open_concepts(f"broden:{root}")
    for content, message in (
        (whole[:45], "cannot decode .*a_object.png"),
        (b"text", "not an image that Pillow"),
    ):
        file.write_bytes(content)
        with pytest.raises(PrunescopeError, match=message):
            concepts.annotation(0)
    file.unlink()
    with pytest.raises(PrunescopeError, match=r"while reading .*a_object.png"):
        concepts.annotation(0)
    Image.new("F", (3, 2)).save(file.with_suffix(".tif"))
    file.with_suffix(".tif").rename(file)
    with pytest.raises(PrunescopeError, match="pixels of the kind 'F'; a mask is a PNG"):
        concepts.annotation(0)
