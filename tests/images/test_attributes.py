"""Attributes of images: CSV files that fit and that do not, groups, and what a source knows itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prunescope.errors import PrunescopeError
from prunescope.images.attributes import NOT_KNOWN, group, own_attributes, read_attributes
from prunescope.images.source import open_images

IMAGES = ("cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "dog/4.jpg")


def table(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "attributes.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "names",
    [
        ("cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "dog/4.jpg"),
        ("./cat/1.jpg", "cat\\2.jpg", " dog/3.jpg", "dog/4.jpg "),
        ("data/val/cat/1.jpg", "data/val/cat/2.jpg", "data/val/dog/3.jpg", "data/val/dog/4.jpg"),
        ("1.jpg", "2.jpg", "3.jpg", "4.jpg"),
        ("1", "2", "3", "4"),
        ("1.png", "2.png", "3.png", "4.png"),
    ],
)
def test_images_are_found_by_their_path_or_less(tmp_path: Path, names: tuple[str, ...]) -> None:
    values = dict(zip(names, (10, 20, 30, 40), strict=True))
    rows = [f"{name},{values[name]}" for name in reversed(names)]  # in another order, among others
    path = table(tmp_path, "file,age", "fox/7.jpg,70", *rows, "fox/7.jpg,71")
    assert read_attributes(path, IMAGES)["age"].tolist() == [10, 20, 30, 40]


def test_a_shorter_name_will_not_do_where_two_images_share_it(tmp_path: Path) -> None:
    path = table(tmp_path, "file,age", "1.jpg,1", "2.jpg,2")
    with pytest.raises(PrunescopeError, match=r"3 of 3 images have no row .*cat/1\.jpg, .*names '1\.jpg'"):
        read_attributes(path, ("cat/1.jpg", "dog/1.jpg", "dog/2.jpg"))


def test_cells_become_numbers_or_text_or_not_known(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "age,file,kind,pixels",
        '3,cat/1.jpg,"a, b",1e3',
        ",cat/2.jpg,NA,2",
        "-1.5,dog/3.jpg,ü,3",
        "nan,dog/4.jpg,7,4",
    )
    found = read_attributes(path, IMAGES, image_column="file")
    assert list(found) == ["age", "kind", "pixels"]
    assert found["age"].tolist() == pytest.approx([3, np.nan, -1.5, np.nan], nan_ok=True)
    assert found["kind"].tolist() == ["a, b", None, "ü", "7"]
    assert found["pixels"].tolist() == [1000, 2, 3, 4]
    assert list(read_attributes(path, IMAGES, ["pixels", "age", "age"], "file")) == ["pixels", "age"]


ROWS = ("cat/1.jpg,1,x", "cat/2.jpg,2,y", "dog/3.jpg,3,x", "dog/4.jpg,4,y")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), "has no rows"),
        (("file,age,kind",), "has no rows"),
        (("file;age", "cat/1.jpg;1"), "has only the column 'file;age'.*separated by commas"),
        (("file,age,kind", *ROWS[:2]), "2 of 4 images have no row .*dog/3.jpg, dog/4.jpg"),
        (("age,file,kind", "1,cat/1.jpg,x"), "column 'age' names '1'.*image_column"),
        (("file,age,kind", *ROWS, ROWS[1]), "1 images more than once, first 'cat/2.jpg' in lines 3 and 6"),
        (("file,age,kind", *ROWS[:3], "dog/4.jpg,4"), "line 5: 2 fields, and the header has 3"),
        (("file,age,age", *ROWS), "needs a first line with the columns of your choice, each once"),
        (
            ("file,age,kind", *(row.replace("y", "x") for row in ROWS)),
            "'kind' .* has one value, 'x', for all",
        ),
        (("file,age,kind", *(f"{name},,{name}" for name in IMAGES)), "'age' .* has no value for all images"),
    ],
)
def test_files_that_do_not_fit_are_explained(tmp_path: Path, lines: tuple[str, ...], words: str) -> None:
    with pytest.raises(PrunescopeError, match=words):
        read_attributes(table(tmp_path, *lines), IMAGES)


def test_columns_that_are_not_there_or_no_groups_are_explained(tmp_path: Path) -> None:
    images = [f"{i}.jpg" for i in range(60)]
    path = table(tmp_path, "file,age,remark", *(f"{name},{i},text {i}" for i, name in enumerate(images)))
    with pytest.raises(
        PrunescopeError, match=r"no attribute 'aeg' .*did you mean 'age'\?\); known: age, remark"
    ):
        read_attributes(path, images, ["aeg"])
    with pytest.raises(
        PrunescopeError, match=r"'remark' .* has 60 different texts, too many .*name the attributes"
    ):
        read_attributes(path, images)
    assert read_attributes(path, images, ["age"])["age"].tolist() == list(range(60))
    with pytest.raises(PrunescopeError, match="needs a first line with the columns name, each once"):
        read_attributes(path, images, image_column="name")


def test_files_that_cannot_be_read_are_explained(tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match=r"while reading .*absent\.csv"):
        read_attributes(tmp_path / "absent.csv", IMAGES)
    (tmp_path / "attributes.csv").write_bytes(b"file,age\ncat/\xff.jpg,1\n")
    with pytest.raises(PrunescopeError, match="not a CSV file in UTF-8"):
        read_attributes(tmp_path / "attributes.csv", IMAGES)


def names_of(values: list[object], bins: int = 4) -> list[str]:
    found = group(pd.Series(values, name="a"), bins)
    return [found.groups[code] for code in found.codes]


def test_texts_and_few_numbers_are_groups_as_they_are() -> None:
    assert names_of(["b", "a", None, "b"]) == ["b", "a", NOT_KNOWN, "b"]
    assert names_of([2.0, 10.0, np.nan, 0.5]) == ["2", "10", NOT_KNOWN, "0.5"]
    assert group(pd.Series([10.0, 2.0, np.nan], name="a"), 4).groups == ("2", "10", NOT_KNOWN)
    assert group(pd.Series(["x", "y"], name="a"), 4).groups == ("x", "y")


def test_more_numbers_are_cut_at_the_quantiles() -> None:
    rng = np.random.default_rng(0)
    values = pd.Series(rng.permutation(1000) / 1000, name="a")
    values[::10] = np.nan
    found = group(values, 4)
    sizes = np.bincount(found.codes)
    assert sizes.tolist() == pytest.approx([225] * 4 + [100], abs=2)
    for code, name in enumerate(found.groups[:-1]):
        own = values[found.codes == code]
        low, high = map(float, name.split(" to "))
        assert (own.min(), own.max()) == (low, high)
        assert ((values >= low) & (values <= high) == (found.codes == code)).all()


def test_equal_values_stay_together_and_names_tell_groups_apart() -> None:
    assert len(group(pd.Series([0.0] * 90 + list(range(1, 11)), name="a"), 4).groups) == 2
    close = group(pd.Series(1 + np.arange(40) * 1e-6, name="a"), 4)
    assert len(set(close.groups)) == 4


def test_scenes_know_their_own_and_pass_them_on() -> None:
    images = open_images("scenes:count=60", "test")
    found = own_attributes(images)
    assert list(found) == ["scene", "usual", "subject_share", "objects", "things", "clutter"]
    chosen = np.array([40, 3, 17])
    part = own_attributes(images.subset(chosen))
    pd.testing.assert_frame_equal(part, found.iloc[chosen].reset_index(drop=True)[list(part)])
    with pytest.raises(
        PrunescopeError, match=r"no attribute 'cluter' in what 'scenes:count=60' knows .*'clutter'"
    ):
        own_attributes(images, ["cluter"])


def test_what_is_known_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images = open_images("scenes:seed=9,count=24", "test")
    first = own_attributes(images)
    monkeypatch.setattr("prunescope.images.scenes.source.describe", None)
    pd.testing.assert_frame_equal(own_attributes(images), first)


def test_a_source_that_knows_nothing_is_named(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "1.png")
    with pytest.raises(PrunescopeError, match="knows no attributes of its images: give the path of a CSV"):
        own_attributes(open_images(f"folder:{tmp_path}"))


def test_none_is_a_kind_among_texts_and_missing_among_numbers(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "file,hidden,age,seen",
        "cat/1.jpg,none,None,not known",
        "cat/2.jpg,partly,2,yes",
        "dog/3.jpg,none,not known,no",
        "dog/4.jpg,,4,",
    )
    found = read_attributes(path, IMAGES)
    assert found["hidden"].tolist() == ["none", "partly", "none", None]
    assert found["age"].tolist() == pytest.approx([np.nan, 2, np.nan, 4], nan_ok=True)
    assert group(found["seen"], 4).groups == ("no", "yes", NOT_KNOWN)


def test_another_column_called_image_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "file,image,age", *(f"{name},{i},{i}" for i, name in enumerate(IMAGES)))
    with pytest.raises(PrunescopeError, match="another column 'image'"):
        read_attributes(path, IMAGES)
    assert read_attributes(path, IMAGES, columns=["age"])["age"].tolist() == [0, 1, 2, 3]


def test_numbers_nearly_all_of_which_are_the_highest_make_two_groups() -> None:
    values = pd.Series([5.0] * 50 + [float(value) for value in range(-9, 0)], name="age")
    found = group(values, 4)
    assert found.groups == ("-9 to -1", "5")
    assert found.codes.tolist() == [1] * 50 + [0] * 9


@pytest.mark.parametrize(
    ("names", "images"),
    [
        (("dog/1.png", "dog/2.png"), ("cat/1.png", "cat/2.png")),
        (("train/0001", "train/0002"), ("test/0001", "test/0002")),
        (("data/train/cat/1.png", "data/train/cat/2.png"), ("val/cat/1.png", "val/cat/2.png")),
        (("dog/1.jpg", "dog/2.jpg"), ("cat/1.png", "cat/2.png")),
    ],
)
def test_rows_of_other_folders_are_refused(
    tmp_path: Path, names: tuple[str, ...], images: tuple[str, ...]
) -> None:
    path = table(tmp_path, "file,age", *(f"{name},{i}" for i, name in enumerate(names)))
    words = (
        f"line 2: '{names[0]}' has the file name of the image '{images[0]}', and another folder: give each"
    )
    with pytest.raises(PrunescopeError, match=words):
        read_attributes(path, images)


@pytest.mark.parametrize(
    "images", [("cat/1.png", "cat/2.png"), ("1.png", "2.png"), ("val/cat/1.png", "val/cat/2.png")]
)
@pytest.mark.parametrize("names", [("cat/1.jpg", "cat/2.jpg"), ("/data/val/cat/1", "/data/val/cat/2")])
def test_the_shorter_path_may_end_the_longer_one(
    tmp_path: Path, names: tuple[str, ...], images: tuple[str, ...]
) -> None:
    path = table(tmp_path, "file,age", *(f"{name},{i}" for i, name in enumerate(names)))
    assert read_attributes(path, images)["age"].tolist() == [0, 1]


def test_blank_lines_are_left_aside(tmp_path: Path) -> None:
    path = table(tmp_path, "file,age", *(f"{name},{i}" for i, name in enumerate(IMAGES)), "", "", "")
    assert read_attributes(path, IMAGES)["age"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1_0", "1e999"])
def test_what_is_no_finite_number_makes_a_column_text(tmp_path: Path, cell: str) -> None:
    path = table(
        tmp_path, "file,age", *(f"{name},{i}" for i, name in enumerate(IMAGES[:3])), f"{IMAGES[3]},{cell}"
    )
    assert read_attributes(path, IMAGES)["age"].tolist() == ["0", "1", "2", cell]
