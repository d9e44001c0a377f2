"""Maps in a file: all of them again, the same bytes for the same maps, and nothing that is not theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunescope.errors import PrunescopeError
from prunescope.explain.explain import Explained
from prunescope.explain.kept_maps import maps_file, read_maps, write_maps

NAMES = ("a/0.png", "b/ü.png", "b/2.png")


def explained(layer: str | None = "layer4", seed: int = 0) -> Explained:
    rng = np.random.default_rng(seed)
    return Explained(
        maps=rng.normal(size=(3, 4, 4)).astype(np.float32),
        targets=np.array([2, 0, 1]),
        predictions=np.array([2, 0, 0]),
        confidence=rng.random(3),
        layer=layer,
    )


@pytest.mark.parametrize("layer", ["layer4", None])
def test_what_is_read_is_what_was_written(tmp_path: Path, layer: str | None) -> None:
    written = explained(layer)
    write_maps(tmp_path, "grad-cam", written, NAMES)
    read = read_maps(tmp_path, "grad-cam", NAMES)
    assert read.layer == layer
    for name in ("maps", "targets", "predictions", "confidence"):
        assert getattr(read, name).dtype == getattr(written, name).dtype
        assert np.array_equal(getattr(read, name), getattr(written, name))


def test_the_same_maps_are_the_same_bytes(tmp_path: Path) -> None:
    contents = set()
    for _ in range(5):
        write_maps(tmp_path, "m0", explained(), NAMES)
        contents.add((tmp_path / maps_file("m0")).read_bytes())
    assert len(contents) == 1


def test_maps_cut_out_of_others_are_written_as_they_are(tmp_path: Path) -> None:
    whole = explained()
    write_maps(tmp_path, "lrp", whole._replace(maps=whole.maps[:, ::2, ::2]), NAMES)
    assert np.array_equal(read_maps(tmp_path, "lrp").maps, whole.maps[:, ::2, ::2])


def test_targets_may_be_the_predictions_themselves(tmp_path: Path) -> None:
    whole = explained()
    write_maps(tmp_path, "lrp", whole._replace(targets=whole.predictions), NAMES)
    assert read_maps(tmp_path, "lrp").targets.tolist() == whole.predictions.tolist()


def test_other_images_are_refused(tmp_path: Path) -> None:
    write_maps(tmp_path, "lrp", explained(), NAMES)
    with pytest.raises(PrunescopeError, match="keeps the maps of other images"):
        read_maps(tmp_path, "lrp", NAMES[::-1])


def test_a_method_that_is_not_kept_is_said_with_those_that_are(tmp_path: Path) -> None:
    write_maps(tmp_path, "lrp", explained(), NAMES)
    with pytest.raises(PrunescopeError, match=r"no maps of grad-cam in .*keeps maps-lrp\.safetensors"):
        read_maps(tmp_path, "grad-cam")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_damaged_file_is_an_error(tmp_path: Path, keep: int) -> None:
    write_maps(tmp_path, "lrp", explained(), NAMES)
    path = tmp_path / maps_file("lrp")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(PrunescopeError, match=r"no whole file of maps .*: run the study again"):
        read_maps(tmp_path, "lrp")


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match=r"No such file .* while writing"):
        write_maps(tmp_path / "none", "lrp", explained(), NAMES)
