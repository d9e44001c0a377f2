"""Pictures and stimuli of a study: which images they show, whose maps they are drawn of, where they are written."""

from __future__ import annotations

import errno
import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from prunescope.errors import NoRoomError, PrunescopeError
from prunescope.explain.explain import Explained
from prunescope.explain.kept_maps import read_maps, write_maps
from prunescope.explain.stimuli import draw_stimuli
from prunescope.images.augment import centre_crops
from prunescope.images.source import ImageSet, open_images
from prunescope.measures.explanations import ExplanationsSettings
from prunescope.networks.preprocess import Preprocess
from prunescope.study import stimulus_files
from prunescope.study.explanation_pictures import FILE, MapsOf, gallery, write_explanation_pictures
from prunescope.study.stimulus_files import file_names, write_stimuli
from study.tiny import write_images

VIEW = Preprocess(resize=None, crop=12)
NETWORKS = ("dense-seed0", "weights, per layer/0.5-seed0", "dense-seed1")
SETTINGS = ExplanationsSettings(
    methods=("grad-cam", "Saliency"), stimuli=True, share=0.25, background="white", seed=3
)
Study = tuple[dict[str, pd.DataFrame], MapsOf, ImageSet]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """The tables of a study of 15 images, and where its maps are kept."""
    test = open_images(f"folder:{write_images(tmp_path / 'images', 5)}")
    rng, rows, folders = np.random.default_rng(0), [], {}
    for number, network in enumerate(NETWORKS):
        for method in SETTINGS.methods:
            maps = rng.random((15, 4, 4), dtype=np.float32)
            maps[7] = 0
            found = Explained(maps, test.labels, test.labels, np.full(15, 0.9), None)
            folders[network, method] = tmp_path / f"step{number}{method}"
            folders[network, method].mkdir()
            write_maps(folders[network, method], method, found, test.names)
            likeness = np.where(number == 1, rng.random(15), np.nan)
            likeness[7] = np.nan
            rows.append(
                pd.DataFrame(
                    {
                        "network": network,
                        "method": method,
                        "image": test.names,
                        "label": test.labels,
                        "target": (test.labels + number) % 3,
                        "empty": np.arange(15) == 7,
                        "spearman": likeness,
                    }
                )
            )
    networks = pd.DataFrame(
        {
            "network": NETWORKS,
            "series": ["dense", "weights, per layer", "dense"],
            "seed": [0, 0, 1],
            "stage": ["dense", "retrained", "dense"],
            "target": ["0", "0.5", "0"],
        }
    )
    scores = pd.DataFrame(
        [
            (network, metric, value)
            for network, values in zip(NETWORKS, [(1.0, 1.0), (2.0, 1.25), (1.0, 1.0)], strict=True)
            for metric, value in zip(("compression_prunable", "compression_all"), values, strict=True)
        ],
        columns=["network", "metric", "value"],
    )
    tables = {"explanations": pd.concat(rows, ignore_index=True), "networks": networks, "scores": scores}
    return tables, lambda network, method: folders[network, method], test


def drawn(study: Study, network: str, method: str) -> dict[str, dict[str, np.ndarray]]:
    """Return by kind and image what is to be seen, drawn of all images at once."""
    _, maps_of, test = study
    pictures = centre_crops([test.decode(i) for i in range(15)], 12)
    found = read_maps(maps_of(network, method), method)
    both = draw_stimuli(pictures, found.maps, test.names, share=0.25, background="white", seed=3)
    return {
        "image": dict(zip(test.names, pictures, strict=True)),
        "heat": dict(zip(test.names, both.heat, strict=True)),
        "map": dict(zip(test.names, both.map, strict=True)),
    }


def all_drawn(study: Study) -> dict[tuple[str, str], dict[str, dict[str, np.ndarray]]]:
    """Return what is to be seen by network and method; of the photographs neither is said."""
    found = {
        (network, method): drawn(study, network, method)
        for network in NETWORKS
        for method in SETTINGS.methods
    }
    return found | {("", ""): found[NETWORKS[0], "grad-cam"]}


def test_the_gallery_has_the_first_of_each_class_and_what_changed_most(study: Study) -> None:
    tables, _, test = study
    chosen = gallery(tables["explanations"])
    assert chosen["class"] == [test.names[0], test.names[5], test.names[10]]
    own = tables["explanations"].query("method == 'grad-cam' and network == @NETWORKS[1]")
    known = [
        (value, name)
        for value, name in zip(own["spearman"], own["image"], strict=True)
        if not math.isnan(value)
    ]
    assert chosen["changed"] == [name for _, name in sorted(known)][:12]
    assert test.names[7] not in chosen["changed"]  # its maps are empty
    assert gallery(tables["explanations"].assign(spearman=np.nan))["changed"] == []


def test_every_network_of_the_first_seed_has_its_pictures(study: Study, tmp_path: Path) -> None:
    tables, maps_of, test = study
    write_explanation_pictures(tmp_path, tables, maps_of, test, VIEW, SETTINGS)
    table = pd.read_parquet(tmp_path / FILE)
    assert list(table.columns) == ["why", "method", "network", "image", "kind", "jpeg"]
    chosen = gallery(tables["explanations"])
    for why, names in chosen.items():
        rows = table[table["why"] == why]
        assert list(dict.fromkeys(rows["image"])) == names
        originals = rows[rows["kind"] == "image"]
        assert originals["image"].tolist() == names
        assert set(originals["method"]) == set(originals["network"]) == {""}
        for kind in ("heat", "map"):
            shown = rows[rows["kind"] == kind]
            assert len(shown) == len(names) * 4  # of two networks by two methods
            assert set(shown["network"]) == set(NETWORKS[:2])
    every = all_drawn(study)
    for row in table.to_dict("records"):
        expected = every[row["network"], row["method"]]
        seen = np.asarray(Image.open(io.BytesIO(row["jpeg"]))).astype(float)
        assert np.abs(seen - expected[row["kind"]][row["image"]]).mean() < 12  # a JPEG of noise


def test_without_networks_of_the_first_seed_the_next_is_shown(study: Study, tmp_path: Path) -> None:
    tables, maps_of, test = study
    left = tables["explanations"].query("network == @NETWORKS[2]")
    write_explanation_pictures(tmp_path, {**tables, "explanations": left}, maps_of, test, VIEW, SETTINGS)
    table = pd.read_parquet(tmp_path / FILE)
    assert set(table["network"]) == {"", NETWORKS[2]}
    assert set(table["why"]) == {"class"}


def test_the_same_study_gives_the_same_pictures_and_stimuli(study: Study, tmp_path: Path) -> None:
    tables, maps_of, test = study
    found = []
    for _ in range(2):
        write_explanation_pictures(tmp_path, tables, maps_of, test, VIEW, SETTINGS)
        write_stimuli(tmp_path, tables, maps_of, test, VIEW, SETTINGS)
        files = [tmp_path / FILE, *sorted((tmp_path / "stimuli").rglob("*.[pc]*"))]
        found.append({file: file.read_bytes() for file in files})
    assert found[0] == found[1]
    assert not (tmp_path / ".stimuli").exists()


def test_pictures_are_not_larger_than_the_page_needs(study: Study, tmp_path: Path) -> None:
    tables, maps_of, test = study
    large = VIEW.model_copy(update={"resize": 200, "crop": 192})
    write_explanation_pictures(tmp_path, tables, maps_of, test, large, SETTINGS)
    sizes = {Image.open(io.BytesIO(jpeg)).size for jpeg in pd.read_parquet(tmp_path / FILE)["jpeg"]}
    assert sizes == {(128, 128)}


def test_stimuli_are_the_drawings_and_their_list_says_what_they_show(study: Study, tmp_path: Path) -> None:
    tables, maps_of, test = study
    write_stimuli(tmp_path, tables, maps_of, test, VIEW, SETTINGS)
    listed = pd.read_csv(tmp_path / "stimuli" / "stimuli.csv", keep_default_na=False, dtype=str)
    files = {f.relative_to(tmp_path / "stimuli").as_posix() for f in (tmp_path / "stimuli").rglob("*.png")}
    assert sorted(listed["file"]) == sorted(files)
    assert len(files) == 15 + 15 * 3 * 2 * 2
    every = all_drawn(study)
    for row in listed.to_dict("records"):
        expected = every[row["network"], row["method"]]
        seen = np.asarray(Image.open(tmp_path / "stimuli" / row["file"]))
        assert np.array_equal(seen, expected[row["kind"]][row["image"]])
        index = test.names.index(row["image"])
        assert row["class"] == test.classes[test.labels[index]]
        if row["kind"] != "image":
            number = NETWORKS.index(row["network"])
            assert row["explained_class"] == test.classes[(test.labels[index] + number) % 3]
            assert row["empty"] == str(index == 7)
            assert row["file"].startswith(f"{row['method']}/")
    pruned = listed[listed["network"] == NETWORKS[1]].iloc[0]
    assert pruned["file"] == "grad-cam/weights-per-layer-0.5-seed0/blue-0.heat.png"
    about = ["series", "seed", "stage", "target", "compression_prunable", "compression_all"]
    assert pruned[about].tolist() == ["weights, per layer", "0", "retrained", "0.5", "2.0", "1.25"]


def test_without_being_asked_for_there_are_none_and_old_ones_go(study: Study, tmp_path: Path) -> None:
    tables, maps_of, test = study
    write_stimuli(tmp_path, tables, maps_of, test, VIEW, SETTINGS)
    write_explanation_pictures(tmp_path, tables, maps_of, test, VIEW, SETTINGS)
    write_stimuli(tmp_path, tables, maps_of, test, VIEW, SETTINGS.model_copy(update={"stimuli": False}))
    write_explanation_pictures(tmp_path, {}, maps_of, test, VIEW, SETTINGS)
    assert not (tmp_path / "stimuli").exists()
    assert not (tmp_path / FILE).exists()
    (tmp_path / "stimuli").mkdir()
    (tmp_path / "stimuli" / "mine.txt").write_text("not written by a study")
    write_stimuli(tmp_path, tables, maps_of, test, VIEW, None)
    assert (tmp_path / "stimuli" / "mine.txt").exists()
    with pytest.raises(PrunescopeError, match="writing"):
        write_stimuli(tmp_path, tables, maps_of, test, VIEW, SETTINGS)
    assert (tmp_path / "stimuli" / "mine.txt").exists()


def test_a_full_disk_leaves_the_stimuli_of_before(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, maps_of, test = study
    write_stimuli(tmp_path, tables, maps_of, test, VIEW, SETTINGS)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "stimuli").rglob("*")}
    save, written = stimulus_files._save, []

    def full(pixels: np.ndarray, path: Path) -> None:
        if len(written) == 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        save(pixels, path)

    monkeypatch.setattr(stimulus_files, "_save", full)
    with pytest.raises(NoRoomError, match=r"no room left on the disk while writing .*stimuli"):
        write_stimuli(tmp_path, tables, maps_of, test, VIEW, SETTINGS)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "stimuli").rglob("*")} == before
    assert not (tmp_path / ".stimuli").exists()


def test_names_of_files_lead_nowhere_else_and_are_of_one_thing_each() -> None:
    names = [
        "../../etc/passwd",
        "a/b",
        "a b",
        "A b",
        "ok_1.0-x",
        "",
        "..",
        "ü" * 90,
        "x" * 300,
        "x" * 299,
        "CON\0",
    ]
    safe = file_names(names)
    assert list(safe) == names
    assert safe["ok_1.0-x"] == "ok_1.0-x"
    assert len({name.lower() for name in safe.values()}) == len(names)
    for name in safe.values():
        assert 0 < len(name) < 130
        assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
        assert name[0] not in ".-"
    assert safe["a/b"].startswith("a-b-")  # as "a b" would be
    assert file_names(reversed(names)) == safe
