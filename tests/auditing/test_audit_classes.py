"""Outputs of networks and classes of images, against what their names say in plain Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measures.named import named_images
from prunescope.auditing.classes import Matched, Outputs, Side, audited_images, match_classes
from prunescope.errors import PrunescopeError
from prunescope.images.source import ImageSet, open_images
from prunescope.networks.class_names import imagenet_names, imagenet_wnids
from study.tiny import write_images

IMAGENETTE = [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]
PETS = ("cat", "dog", "fish", "mouse")


def images_of(classes: tuple[str, ...], labels: list[int] | None = None) -> ImageSet:
    """Return two images of each class, or images of the given labels."""
    labels = [i // 2 for i in range(2 * len(classes))] if labels is None else labels
    return ImageSet(
        source="drawn",
        classes=classes,
        labels=np.array(labels, np.int64),
        names=tuple(f"{i}.png" for i in range(len(labels))),
        fingerprint=repr((classes, labels)),
        decode=named_images().decode,
    )


def unlabelled(*names: str) -> ImageSet:
    return ImageSet("unlabelled:drawn", (), np.full(len(names), -1), names, "none", named_images().decode)


def chosen(matched: Matched, side: Side, logits: np.ndarray) -> list[str]:
    """Return the class that a network names for each image, of those compared."""
    positions = matched.dense if side == "dense" else matched.pruned
    own = logits if positions is None else logits[:, positions]
    return [matched.names[i] for i in own.argmax(1)]


@given(data=st.data())
@settings(deadline=None)
def test_networks_that_name_the_right_class_are_right(data: st.DataObject) -> None:
    """Whatever the order and number of outputs: a perfect network stays one, and images keep their class."""
    everything = [f"class {letter}" for letter in "abcdefgh"]
    dense, pruned, shown = (
        tuple(data.draw(st.lists(st.sampled_from(everything), min_size=5, unique=True))) for _ in range(3)
    )
    common = set(dense) & set(pruned)
    spelt = tuple(name.title().replace(" ", data.draw(st.sampled_from(["_", " ", "__"]))) for name in pruned)
    images = images_of(shown)
    truth = [name for name in shown for _ in range(2)]
    if len(common) < 2 or not common & set(shown):
        with pytest.raises(PrunescopeError):
            match_classes(images, Outputs(len(dense), dense), Outputs(len(pruned), spelt))
        return
    matched = match_classes(images, Outputs(len(dense), dense), Outputs(len(pruned), spelt))

    same = dense == pruned
    assert matched.rule == ("same" if same else "names")
    assert set(matched.names) == common
    assert set(matched.left_out["dense"]) == set(dense) - common
    assert set(matched.left_out["pruned"]) == {
        s for s, p in zip(spelt, pruned, strict=True) if p not in common
    }
    assert set(matched.left_out["images"]) == set(shown) - common
    kept = [i for i, name in enumerate(truth) if name in common]
    assert matched.test.names == tuple(f"{i}.png" for i in kept)
    assert [matched.test.classes[label] for label in matched.test.labels] == [truth[i] for i in kept]
    for side, names in (("dense", dense), ("pruned", pruned)):
        perfect = np.array([[truth[i] == name for name in names] for i in kept], float)
        assert chosen(matched, side, perfect) == [truth[i] for i in kept]  # type: ignore[arg-type]
        outputs = matched.named(side)  # type: ignore[arg-type]
        assert outputs == {i: name for i, name in enumerate(names) if name in common}


def test_equally_many_outputs_and_classes_are_in_order_and_nothing_changes() -> None:
    images = images_of(PETS)
    matched = match_classes(images, Outputs(4), Outputs(4))
    assert matched.test is images
    assert (matched.names, matched.dense, matched.pruned, matched.rule) == (PETS, None, None, "same")
    assert matched.text == (
        "Both networks have 4 outputs, taken to be the images' classes in their order (an assumption)."
    )
    assert matched.left_out == {"dense": [], "pruned": [], "images": []}


def test_names_go_before_order() -> None:
    images = images_of(PETS)
    names = ("mouse", "fish", "dog", "cat")
    for given_names in ((names, None), (None, names), (names, names)):
        matched = match_classes(images, *(Outputs(4, own) for own in given_names))
        assert matched.names == matched.test.classes == names
        assert matched.test.labels.tolist() == [3, 3, 2, 2, 1, 1, 0, 0]
        assert (matched.dense, matched.pruned, matched.rule) == (None, None, "same")
        assert "Both networks have 4 outputs, of the names given" in matched.text
        assert "assumption" not in matched.text


def test_imagenette_in_a_network_of_imagenet(real_data: Path) -> None:
    images = audited_images("imagenette128/val", real_data)
    matched = match_classes(images, Outputs(1000), Outputs(1000))
    assert np.unique(matched.test.labels).tolist() == IMAGENETTE
    assert matched.names == imagenet_names()
    assert (matched.dense, matched.pruned, matched.rule) == (None, None, "same")
    assert "ImageNet's classes in their usual order; the images are of 10 of them" in matched.text
    wnid = [name.partition("/")[0] for name in matched.test.names]
    assert [imagenet_wnids()[label] for label in matched.test.labels] == wnid
    assert matched.test.fingerprint != images.fingerprint

    matched = match_classes(images, Outputs(1000), Outputs(10))
    assert matched.dense is not None
    assert matched.dense.tolist() == IMAGENETTE
    assert matched.pruned is not None
    assert matched.pruned.tolist() == list(range(10))
    assert np.array_equal(matched.test.labels, images.labels)
    assert len(matched.left_out["dense"]) == 990
    assert "only the 10 classes that both know are compared" in matched.text


def test_imagenet_by_one_image_a_class(real_data: Path) -> None:
    images = open_images("flat:imagenet1k_one_per_class", data=real_data)
    matched = match_classes(images, Outputs(1000), Outputs(1000))
    assert matched.test.labels.tolist() == list(range(1000))
    assert matched.text.endswith("usual order.")


def test_names_of_imagenet_are_found_whatever_the_order_of_folders() -> None:
    shown = ("parachute", "Tench", "english_springer")
    matched = match_classes(images_of(shown), Outputs(1000), Outputs(1000))
    assert matched.test.labels.tolist() == [701, 701, 0, 0, 217, 217]


def test_a_thousand_folders_of_names_are_not_taken_in_their_order() -> None:
    shown = tuple(sorted(imagenet_names()))
    matched = match_classes(images_of(shown), Outputs(1000), Outputs(1000))
    truth = [name for name in shown for _ in range(2)]
    assert [imagenet_names()[label] for label in matched.test.labels] == truth
    other = tuple(f"thing {i:04}" for i in range(1000))
    assert match_classes(images_of(other), Outputs(1000), Outputs(1000)).names == other


def test_images_of_unknown_classes_are_left_out_and_it_is_said() -> None:
    images = images_of((*PETS, "zebra"), [4, 0, 3, 4])
    matched = match_classes(images, Outputs(4, PETS), Outputs(4))
    assert matched.test.names == ("1.png", "2.png")
    assert matched.test.labels.tolist() == [0, 3]
    assert matched.left_out["images"] == ["zebra"]
    assert "images of other classes are left out (zebra)" in matched.text


def test_images_without_labels() -> None:
    images = unlabelled("a.png", "b.png")
    matched = match_classes(images, Outputs(7), Outputs(7))
    assert matched.test is images
    assert matched.names[6] == "output 6"
    assert matched.rule == "same"
    assert matched.text == (
        "Both networks have 7 outputs, taken to mean the same in the same order; the images have no labels."
    )
    matched = match_classes(images, Outputs(4, PETS), Outputs(2, ("mouse", "cat")))
    assert matched.test is images
    assert (matched.names, matched.rule) == (("cat", "mouse"), "names")
    assert matched.dense is not None
    assert matched.pruned is not None
    assert (matched.dense.tolist(), matched.pruned.tolist()) == ([0, 3], [1, 0])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("cat_1.png", "cat_2.png", "dog_1.png"), True),
        (("n01440764_tench.jpg", "n02102040_dog.jpg"), True),
        (("cat_1.png", "dog_1.png"), False),
        (("IMG_0001.jpg", "IMG_0002.jpg"), False),
        (("cat_1.png", "cat_2.png", "dog.png"), False),
        (("_1.png", "_2.png", "dog_3.png"), False),
        (("x/cat_1.png", "x/cat_2.png", "x/dog_1.png"), False),
    ],
)
def test_names_that_look_like_labels_are_pointed_out(names: tuple[str, ...], said: bool) -> None:
    text = match_classes(unlabelled(*names), Outputs(3), Outputs(3)).text
    assert ("'flat:PATH' would take labels from them" in text) is said


MAP = "class,dense,pruned\ncat,Mouse,3\ndog,1,0\n"


def written(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "map.csv"
    path.write_text(content)
    return path


def test_a_map_decides(tmp_path: Path) -> None:
    path = written(tmp_path, MAP)
    matched = match_classes(images_of(PETS), Outputs(4, PETS), Outputs(6), path)
    assert (matched.names, matched.rule) == (("cat", "dog"), "map")
    assert matched.dense is not None
    assert matched.pruned is not None
    assert (matched.dense.tolist(), matched.pruned.tolist()) == ([3, 1], [3, 0])
    assert matched.test.labels.tolist() == [0, 0, 1, 1]
    assert matched.left_out == {
        "dense": ["cat", "fish"],
        "pruned": ["output 1", "output 2", "output 4", "output 5"],
        "images": ["fish", "mouse"],
    }
    assert matched.named("pruned") == {3: "cat", 0: "dog"}
    images = unlabelled("a.png")
    assert match_classes(images, Outputs(4, PETS), Outputs(6), path).test is images


def test_a_name_that_is_a_number_goes_before_a_number(tmp_path: Path) -> None:
    names = ("1", "0", "2")
    path = written(tmp_path, "class,dense,pruned\none,1,1\nnone,0,0\n")
    matched = match_classes(unlabelled("a.png"), Outputs(3, names), Outputs(3), path)
    assert matched.dense is not None
    assert matched.pruned is not None
    assert (matched.dense.tolist(), matched.pruned.tolist()) == ([0, 1], [1, 0])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("class,dense\ncat,1\n", "needs a first line with the columns class, dense, pruned"),
        ("", "needs a first line"),
        ("class,dense,pruned\ncat,0,0\n", "names 1 classes, and two or more"),
        ("class,dense,pruned\ncat,0,0\ncat,1,1\n", "line 3: class 'cat' is there already, in line 2"),
        ("class,dense,pruned\ncat,0,0\n,1,1\n", "line 3: class is empty"),
        ("class,dense,pruned\ncat,cat,0\ndog,0,1\n", "line 3: dense '0' is there already, in line 2"),
        (
            "class,dense,pruned\ncat,0,0\ndog,dgo,1\n",
            r"line 3: 'dgo' is no output of the dense network: expected a name \(did you mean 'dog'\?\), or a number "
            "from 0 to 3",
        ),
        (
            "class,dense,pruned\ncat,0,0\ndog,1,dog\n",
            "'dog' is no output of the pruned network: expected a number from 0 to 5, or --pruned-classes",
        ),
        ("class,dense,pruned\ncat,0,0\ndog,1,6\n", "'6' is no output of the pruned"),
        ("class,dense,pruned\ncat,0,0\ndog,1,-1\n", "'-1' is no output of the pruned"),
        ("class,dense,pruned\ncat,0,0\ndog,1,\n", "'' is no output of the pruned"),
        ("class,dense,pruned\ncat,0,0\ndog,1,²\n", "'²' is no output of the pruned"),
        ("class,dense,pruned\ncat,0,0\ndog,1\n", "line 3: 2 fields"),
        ("class,dense,pruned\nkatze,0,0\nhund,1,1\n", "no image is of a class that is compared"),
    ],
)
def test_a_map_that_cannot_be_followed(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(PrunescopeError, match=said):
        match_classes(images_of(PETS), Outputs(4, PETS), Outputs(6), written(tmp_path, content))


def test_a_map_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match="No such file"):
        match_classes(images_of(PETS), Outputs(4), Outputs(6), tmp_path / "map.csv")


@pytest.mark.parametrize(
    ("shown", "dense", "pruned", "said"),
    [
        (
            PETS,
            Outputs(1000),
            Outputs(10),
            r"the images have 4 classes \(cat, dog, fish and 1 more\), the dense network 1000 outputs and the pruned "
            r"network 10 outputs, and what those of the dense and pruned network stand for is not known: name the "
            r"outputs with --classes FILE or --classes imagenet \(--dense-classes and .*--class-map CSV",
        ),
        (PETS, Outputs(4), Outputs(10), "those of the pruned network stand for is not known"),
        (PETS, Outputs(4), Outputs(10, tuple("abcdefghij")), "of the dense network's cat, dog, fish and 1 more"),
        (PETS, Outputs(3, ("Kat", "Dogs", "x")), Outputs(3), r"no image is .* \(did you mean 'Kat'\?\).*unlabelled:"),
        (PETS, Outputs(4, PETS), Outputs(4, ("cats", "dogs", "c", "fish")), "1 is common.*did you mean 'cat'"),
        (PETS, Outputs(4, PETS), Outputs(2, ("y", "z")), "none is common: name the outputs"),
        (PETS, Outputs(4, PETS[:3]), Outputs(4), "3 classes are named for the dense network, and it has 4 outputs"),
        (PETS, Outputs(4), Outputs(4, ("a", "b", "c", "a")), "two outputs of the pruned network have the name 'a'"),
        (PETS, Outputs(4), Outputs(1), "the pruned network has 1 output, and classes"),
        (("parachut", "tench"), Outputs(1000), Outputs(1000), r"all but parachut are of ImageNet \(did you mean"),
        (PETS, Outputs(7), Outputs(7), "which output is which class; or give the images as 'unlabelled:PATH'"),
        (PETS, Outputs(7), Outputs(8), "which output is which class$"),
        ((), Outputs(7), Outputs(8), "^the dense network 7 outputs and the pruned network 8 outputs, and what"),
        ((), Outputs(7, tuple("abcdefg")), Outputs(8), "those of the pruned network stand for is not known"),
    ],
)  # fmt: skip
def test_what_cannot_be_found_out_is_said(
    shown: tuple[str, ...], dense: Outputs, pruned: Outputs, said: str
) -> None:
    images = images_of(shown) if shown else unlabelled("a.png")
    with pytest.raises(PrunescopeError, match=said):
        match_classes(images, dense, pruned)


def test_folders_of_an_audit(tmp_path: Path) -> None:
    write_images(tmp_path / "pets", per_class=2)
    assert audited_images("pets", tmp_path).source == "folder:pets"
    assert audited_images("pets/red", tmp_path).source == "unlabelled:pets/red"
    assert audited_images("flat:pets/../flat", _flat(tmp_path)).classes == ("a",)


def _flat(root: Path) -> Path:
    (root / "flat").mkdir()
    (root / "flat" / "a_1.png").write_bytes((root / "pets" / "red" / "0.png").read_bytes())
    return root


def test_sources_by_name_are_still_known(tmp_path: Path) -> None:
    assert audited_images("scenes:count=12", tmp_path).source == "scenes:count=12"
    assert len(audited_images("scenes", tmp_path)) == 2000
    (tmp_path / "scenes").mkdir()
    with pytest.raises(
        PrunescopeError, match=r"is a folder and a source of images: write '\./scenes' or 'scenes:'"
    ):
        audited_images("scenes", tmp_path)
    assert len(audited_images("scenes:", tmp_path)) == 2000


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "no folder '.*nowhere' of images: check the path"),
        ("", "no folder"),
        ("photo.png", "no folder '.*photo.png' of images"),
        ("foldr:pets", r"no image source 'foldr' \(did you mean 'folder'\?\)"),
        ("empty", "has no images"),
        ("data", "parts of a data set, not classes; name one of them, say 'folder:data/train'"),
        ("x" * 5000, "name too long"),
    ],
)
def test_images_that_are_not_there(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "photo.png").touch()
    (tmp_path / "empty").mkdir()
    for part in ("train", "val"):
        write_images(tmp_path / "data" / part, per_class=1)
    with pytest.raises(PrunescopeError, match=f"(?i){said}"):
        audited_images(source, tmp_path)


@pytest.mark.parametrize("way", ["names", "map", "same", "unlabelled"])
def test_a_limit_counts_images_of_classes_that_are_compared(way: str, tmp_path: Path) -> None:
    shown = tuple(f"class {i}" for i in range(40))
    images = images_of(shown) if way != "unlabelled" else unlabelled(*(f"{i}.png" for i in range(80)))
    dense = shown if way != "unlabelled" else None
    pruned = shown[:4] if way in {"names", "map"} else dense
    path = tmp_path / "map.csv"
    path.write_text("class,dense,pruned\n" + "".join(f"class {i},{i},{i}\n" for i in range(4)))
    matched = match_classes(
        images, Outputs(40, dense), Outputs(len(pruned or shown), pruned), path if way == "map" else None, 6
    )
    assert len(matched.test) == 6
    if pruned is not None:
        assert [matched.names[label] for label in matched.test.labels] == [
            shown[int(name.removesuffix(".png")) // 2] for name in matched.test.names
        ]
        assert len(set(matched.test.labels.tolist())) == min(6, len(pruned))


def test_wordnet_numbers_are_shown_in_words() -> None:
    matched = match_classes(images_of(("n01440764", "n02102040")), Outputs(2), Outputs(2))
    assert matched.names == matched.test.classes == ("tench", "English springer")
    np.testing.assert_array_equal(matched.test.labels, images_of(("n01440764", "n02102040")).labels)
