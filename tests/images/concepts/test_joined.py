"""Several sources as one set."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from images.concepts.folders import in_words, write_masks, write_textures
from prunescope.errors import PrunescopeError
from prunescope.images.concepts import Concept, ConceptSet, open_concepts


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_masks(tmp_path / "one" / "road", {"a": [[7, 15], [0, 255]], "b": [[15, 15]]})
    write_masks(tmp_path / "two" / "road", {"a": [[8, 11, 0]]})
    write_textures(tmp_path / "fabric")
    return tmp_path


SOURCES = ["masks:one/road,labels=voc", "masks:two/road,labels=camvid", "textures:fabric", "scenes:count=3"]


def test_concepts_of_one_category_and_name_are_one_and_names_stay_unique(data: Path) -> None:
    parts = [open_concepts(source, data=data) for source in SOURCES]
    joined = open_concepts(SOURCES, data=data)
    assert set(joined.concepts) == {concept for part in parts for concept in part.concepts}
    assert len(set(joined.concepts)) == len(joined.concepts)
    assert joined.concepts.count(Concept("object", "car")) == 1
    assert joined.images.names[:4] == (
        "road/a.png",
        "road/b.png",
        "road-2/a.png",
        "fabric/dotted/dotted_0.png",
    )
    assert joined.images.names[-1] == "scenes/test/000002"
    assert len(set(joined.images.names)) == len(joined) == 10
    assert joined.categories == ("color", "material", "object", "part", "scene", "texture")
    apart = [(part, i) for part in parts for i in range(len(part))]
    for index, (part, i) in enumerate(apart):
        assert np.array_equal(joined.images.decode(index), part.images.decode(i))
        assert in_words(joined, joined.annotation(index)) == in_words(part, part.annotation(i))


def test_one_source_is_itself(data: Path) -> None:
    assert open_concepts([SOURCES[0]], data=data).images.names == ("a.png", "b.png")
    assert (
        open_concepts([SOURCES[0]], data=data).fingerprint == open_concepts(SOURCES[0], data=data).fingerprint
    )


def test_the_fingerprint_tells_contents_and_not_places(
    data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def fingerprint(folder: Path = data, sources: list[str] = SOURCES) -> str:
        return open_concepts(sources, data=folder).fingerprint

    before = fingerprint()
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(data, copy, dirs_exist_ok=True)
    assert fingerprint(copy) == before
    write_masks(copy / "two" / "road", {"a": [[8, 11, 1]]})
    others = {fingerprint(copy), fingerprint(sources=SOURCES[:3]), fingerprint(sources=SOURCES[::-1])}
    assert len(others | {before}) == 4


def sources_of(concepts: ConceptSet) -> Counter[str]:
    return Counter(name.split("/")[0] for name in concepts.images.names)


def test_a_limit_spreads_over_sources_and_classes(data: Path) -> None:
    write_textures(data / "fabric", each=10)
    sources = ["textures:fabric", "masks:one/road,labels=voc", "scenes:count=40"]
    limited = open_concepts(sources, data=data, limit=20)
    assert sources_of(limited) == {"fabric": 9, "road": 2, "scenes": 9}
    textures = Counter(name.split("/")[1] for name in limited.images.names if name.startswith("fabric"))
    assert sorted(textures.values()) == [4, 5]
    assert limited.concepts == open_concepts(sources, data=data).concepts
    more = open_concepts(sources, data=data, limit=30)
    assert set(limited.images.names) < set(more.images.names)
    assert open_concepts(sources, data=data, limit=20).fingerprint == limited.fingerprint
    other = open_concepts(sources, data=data, limit=20, seed=1)
    assert other.fingerprint != limited.fingerprint
    assert set(other.images.names) != set(limited.images.names)
    assert len(open_concepts(sources, data=data, limit=10**6)) == 62


def test_a_limited_set_keeps_images_and_annotations_together(data: Path) -> None:
    whole = open_concepts([*SOURCES, "colors"], data=data)
    limited = open_concepts([*SOURCES, "colors"], data=data, limit=5)
    assert len(limited) == 5
    for index, name in enumerate(limited.images.names):
        there = whole.images.names.index(name)
        assert np.array_equal(limited.images.decode(index), whole.images.decode(there))
        assert in_words(limited, limited.annotation(index)) == in_words(whole, whole.annotation(there))
    part = whole.subset(np.array([3, 1]))
    assert part.images.names == tuple(whole.images.names[i] for i in (3, 1))
    assert part.strata.tolist() == [whole.strata[3], whole.strata[1]]
    assert len({part.fingerprint, whole.fingerprint, whole.subset(np.array([1, 3])).fingerprint}) == 3


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["scenes", "scenes"], "concepts are given twice: scenes"),
        (["colors"], "no source of images among the concepts .colors.; name one"),
        ([], "no source of images among the concepts .none given."),
        (["mask:one/road"], r"no source of concepts 'mask' in 'mask:one/road' \(did you mean 'masks'\?\)"),
        (["one/road"], "expected 'scheme:argument' with one of broden, colors, masks, scenes, textures"),
        (["scenes", "textures:" + "x" * 3000], "File name too long while reading the concepts"),
    ],
)
def test_bad_lists_are_explained(sources: list[str], message: str, data: Path) -> None:
    with pytest.raises(PrunescopeError, match=message):
        open_concepts(sources, data=data)


@pytest.mark.parametrize("limit", [3, 0, -1])
def test_a_limit_too_small_for_the_sources(limit: int, data: Path) -> None:
    with pytest.raises(
        PrunescopeError, match=f"a limit of {limit} images leaves nothing for some of 4 sources"
    ):
        open_concepts(SOURCES, data=data, limit=limit)


def test_more_concepts_than_masks_can_number_are_refused(data: Path) -> None:
    (data / "many.csv").write_text("value,name\n" + "".join(f"{i},n{i}\n" for i in range(2**16)))
    sources = ["masks:one/road,labels=many.csv"]
    with pytest.raises(PrunescopeError, match="has 65536 concepts, and a set holds 65535 at most"):
        open_concepts(sources, data=data)


def test_opening_needs_neither_torch_nor_pandas() -> None:
    code = (
        "import sys; from types import SimpleNamespace; from prunescope.images.concepts import *; "
        "label_maps(open_concepts(['scenes:count=1', 'colors']), SimpleNamespace(resize=64, crop=56)); "
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_joined_set_of_real_data(real_data: Path) -> None:
    sources = [
        "masks:concepts/voc,labels=voc",
        "masks:concepts/camvid,labels=camvid",
        "textures:textures/dtd10",
        "colors",
    ]
    joined = open_concepts(sources, data=real_data)
    assert len(joined) == 729 + 177 + 600
    assert Counter(concept.category for concept in joined.concepts) == {
        "object": 30,
        "texture": 10,
        "color": 11,
    }
    few = open_concepts(sources, data=real_data, limit=12)
    assert sources_of(few) == {"voc": 4, "camvid": 4, "dtd10": 4}
    for index, name in enumerate(few.images.names):
        found = few.annotation(index)
        assert found.masks["color"].all()
        assert found.masks["color"].shape[1:] == few.images.decode(index).shape[:2]
        assert found.categories == {"color", "texture" if name.startswith("dtd10") else "object"}
