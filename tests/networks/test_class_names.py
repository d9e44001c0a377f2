from __future__ import annotations

import json
from pathlib import Path

import pytest

from prunescope.errors import PrunescopeError
from prunescope.networks.class_names import (
    LARGEST,
    are_imagenet,
    class_key,
    imagenet_names,
    imagenet_wnids,
    keys_of,
    read_class_names,
)

# Facts of the challenge's list, which the file in the package was not made from.
KNOWN = {
    "n01440764": (0, "tench"),
    "n02085620": (151, "Chihuahua"),
    "n02113186": (264, "Cardigan"),
    "n02963159": (474, "cardigan"),
    "n03888257": (701, "parachute"),
    "n07753592": (954, "banana"),
    "n15075141": (999, "toilet tissue"),
}


def test_imagenet_has_a_thousand_classes_in_the_order_of_their_numbers() -> None:
    assert len(set(imagenet_wnids())) == len(set(imagenet_names())) == 1000
    assert list(imagenet_wnids()) == sorted(imagenet_wnids())
    for wnid, (index, name) in KNOWN.items():
        assert (imagenet_wnids()[index], imagenet_names()[index]) == (wnid, name)


def test_numbers_and_names_belong_together_as_in_names_of_real_files(real_data: Path) -> None:
    files = sorted(path.stem for path in (real_data / "imagenet1k_one_per_class").iterdir())
    assert [name.partition("_")[0] for name in files] == list(imagenet_wnids())
    theirs = [name.partition("_")[2].lower().replace("'", "") for name in files]
    ours = [name.lower().replace(" ", "_").replace("'", "") for name in imagenet_names()]
    different = [pair for pair in zip(theirs, ours, strict=True) if pair[0] != pair[1]]
    assert different == [
        ("crane", "crane_bird"),
        ("maillot", "maillot_tank_suit"),
    ]  # torchvision tells twins apart


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("n02102040", "English springer"),
        ("English springer", "english_springer"),
        ("  Golf Ball", "golf__ball "),
        ("My Class", "my_class"),
        ("ÄPFEL", "äpfel"),
    ],
)
def test_names_of_one_class_have_one_key(one: str, other: str) -> None:
    assert class_key(one) == class_key(other)


def test_the_dog_is_not_the_garment() -> None:
    assert class_key("Cardigan") == "n02113186"
    assert class_key("cardigan") == "n02963159"
    assert class_key("CARDIGAN") == "cardigan"  # which of them is not known


def test_names_that_only_case_tells_apart_are_told_apart_by_case() -> None:
    assert keys_of(["a", "A", "b_c"], ["A"]) == [["a", "A", "b_c"], ["A"]]
    assert keys_of(["a", "b_c"], ["A"]) == [["a", "b c"], ["a"]]


def test_all_must_be_of_imagenet() -> None:
    assert are_imagenet(["tench", "n02102040"])
    assert not are_imagenet(["tench", "sprig"])
    assert not are_imagenet([])


PETS = ("cat", "dog", "grey mouse")


@pytest.mark.parametrize(
    "content",
    [
        "cat\ndog\ngrey mouse",
        "\ufeffcat\r\n dog \r\ngrey mouse\r\n\r\n",
        json.dumps(PETS),
        json.dumps({"0": "cat", "1": "dog", "2": "grey mouse"}, indent=1),
        json.dumps({"2": "grey mouse", "0": "cat", "1": "dog"}),
        json.dumps({"dog": 1, "cat": 0, "grey mouse": 2}),
    ],
)
def test_every_way_to_list_names_gives_them_in_the_order_of_outputs(tmp_path: Path, content: str) -> None:
    (tmp_path / "names").write_text(content, "utf-8")
    assert read_class_names("names", tmp_path) == PETS


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"0": ["n02102040", "English_springer"], "1": ["n01440764", "tench"]}),
        json.dumps([["n02102040", "English_springer"], ["n01440764", "tench"]]),
        "n02102040 English springer, English springer spaniel\nn01440764 tench, Tinca tinca\n",
        "n02102040\nn01440764\n",
    ],
)
def test_numbers_of_imagenet_become_names(tmp_path: Path, content: str) -> None:
    (tmp_path / "names").write_text(content)
    assert read_class_names(tmp_path / "names") == ("English springer", "tench")


def test_other_numbers_of_wordnet_stay(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("n00000001 nothing\nn12345678x\n")
    assert read_class_names(tmp_path / "names") == ("n00000001", "n12345678x")


def test_imagenet_by_name() -> None:
    assert read_class_names("imagenet") == imagenet_names()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has 1 of them, and a network tells at least two apart"),
        (b"cat\n", "it has 1"),
        (b"cat\n\ndog\n", "number 2 of 3 is empty"),
        (b"\ncat\ndog", "number 1 of 3 is empty"),
        (b"cat\ndog\n cat\n", "'cat' is there twice, as number 1 and 3"),
        (b"cat\ndog\x1b[2J\n", r"number 2 of 2 is 'dog\\x1b\[2J'"),
        (b"cat\ndog\x00\n", "number 2 of 2 is"),
        (b"\xff\xfe\x00\x01", "no text in UTF-8"),
        (b'["cat", "dog"', "does not name classes: .*delimiter"),
        (b'["cat", 3]', "3 is no name"),
        (b'["cat", ["n01440764", "tench", "fish"]]', "is no name"),
        (b'["cat", null, "dog"]', "null is no name"),
        (b'{"0": "cat", "2": "dog"}', "names 2 outputs, and not output 1; the first is 0"),
        (b'{"1": "cat", "2": "dog"}', "not output 0"),
        (b'{"0": "cat", "0": "dog"}', "'0' is there twice"),
        (b'{"00": "cat", "1": "dog"}', "'00' is no number"),
        (b'{"zero": "cat", "1": "dog"}', "'zero' is no number of an output"),
        (b'{"cat": 0, "dog": 0}', "0 is there twice"),
        (b'{"cat": 0, "dog": -1}', "'-1' is no number"),
        (b'{"cat": 0, "dog": true}', "'cat' is no number"),
        (b'{"cat": 0, "dog": ' + b"9" * 5000 + b"}", "does not name classes"),
        (b"{}", "it has 0"),
        (b"[" * 100_000, "brackets too deep"),
        (b'{"0": "cat", "1": ' + b"[" * 100_000, "brackets too deep"),
    ],
)
def test_a_file_that_names_no_classes_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "names").write_bytes(content)
    with pytest.raises(PrunescopeError, match=said):
        read_class_names(tmp_path / "names")


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        PrunescopeError, match=r"no file of class names 'imagnet' \(did you mean 'imagenet'\?\)"
    ):
        read_class_names("imagnet")
    with pytest.raises(PrunescopeError, match="no file of class names"):
        read_class_names(tmp_path)
    with pytest.raises(PrunescopeError, match=r"(?i)name too long"):
        read_class_names("x" * 5000)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(PrunescopeError, match="larger than 16 MiB"):
        read_class_names(tmp_path / "large")
