"""`prunescope concepts convert`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.call import Called
from images.concepts.folders import write_masks, write_textures
from prunescope.images.concepts import open_concepts


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_masks(tmp_path / "road", {"a": [[1, 2]], "b": [[2, 15]]})
    write_textures(tmp_path / "fabric")
    return tmp_path


def test_sources_become_one_folder_that_opens_as_broden(
    prunescope: Callable[..., Called], data: Path
) -> None:
    sources = ["masks:road,labels=voc", "textures:fabric", "colors"]
    called = prunescope("concepts", "convert", *sources, "--out", data / "out", "--data", data)
    assert (called.code, called.err) == (0, "")
    assert (
        called.out
        == f"{data}/out: 6 images, 33 concepts (color, object, texture); open it as 'broden:{data}/out'\n"
    )
    written = open_concepts(f"broden:{data}/out")
    assert len(written) == 6
    assert set(written.concepts) == set(open_concepts(sources, data=data).concepts)


def test_what_cannot_be_used_is_said_in_one_message(prunescope: Callable[..., Called], data: Path) -> None:
    for sources, out, expected in (
        (["masks:road,labels=camvid", "textures:fabrik"], "out", "fabrik is not there"),
        (["masks:road,labels=camvid"], "out", "b.png holds labels that labels=camvid does not list: 15"),
        (["masks:road"], "fabric", "fabric is there already"),
    ):
        called = prunescope("concepts", "convert", *sources, "--out", data / out, "--data", data)
        assert called.code == 1
        assert called.err.startswith("error: ")
        assert expected in called.err
        assert not called.out
    assert sorted(path.name for path in data.iterdir()) == ["fabric", "road"]


def test_the_group_lists_its_command(prunescope: Callable[..., Called]) -> None:
    assert "convert" in prunescope("concepts", "--help").out
    called = prunescope("concepts", "convert", "scenes")
    assert called.code == 2
    assert "--out" in called.err
