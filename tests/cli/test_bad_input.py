"""What a user gets wrong: one clear message on stderr, exit code 1, no traceback, and nothing lost."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cli.call import Called, refused
from prunescope import load_tables, open_network
from study.tiny import document, write_data, write_images, write_study

STILL = {"retrain": {"kind": "none"}}


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunescope.report.page.write_report", lambda folder: folder / "none")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the images of the tiny study."""
    return write_data(tmp_path)


@pytest.fixture
def run(prunescope: Callable[..., Called], folder: Path) -> Callable[..., Called]:
    """Run the tiny study with some of its fields replaced."""

    def called(out: Path | None = None, **changes: Any) -> Called:
        study = write_study(folder, document(**changes))
        return prunescope("run", study, "--out", out or folder / "runs", "--data", folder)

    return called


# The study file


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("retrian", {}, "retrian: unknown field (did you mean 'retrain'"),
        ("threads", "many", "study.yaml:2: threads: expected a whole number, got 'many'"),
        (
            "network",
            {"name": "torchvision/googlnet"},
            "study.yaml:3: network: no network 'googlnet' in torchvision (did you mean 'googlenet'",
        ),
        (
            "prune",
            [{"series": "a", "granularity": "weight", "rates": [1.5]}],
            "prune.0.rates.0: 1.5 is not allowed: must be less than 1",
        ),
        (
            "prune",
            [{"series": "a", "granularity": "weight", "rates": [0.5], "spare": ["conv9"]}],
            "prune.0: no layer 'conv9' in the network",
        ),
        (
            "prune",
            [{"series": "a", "granularity": "weight", "rates": [0.5], "score": "l9"}],
            "prune.0.score: no score 'l9'",
        ),
    ],
    ids=["typo", "type", "network", "rate", "layer", "score"],
)
def test_a_mistake_in_the_study(
    field: str, value: Any, expected: str, run: Callable[..., Called], folder: Path
) -> None:
    refused(run(**{field: value}), f"error: {folder}/study.yaml:", expected)


def test_a_study_that_is_not_there_or_no_yaml(prunescope: Callable[..., Called], folder: Path) -> None:
    write_study(folder)
    refused(prunescope("run", folder / "stody.yaml"), "no file", "did you mean 'study.yaml'?")
    (folder / "broken.yaml").write_text("study: a\n  network: b\n")
    refused(prunescope("check", folder / "broken.yaml"), "broken.yaml:2: not valid YAML")


# Weights


def test_weights_of_another_architecture(prunescope: Callable[..., Called], folder: Path) -> None:
    torch.save(open_network("study.tiny:tiny").state_dict(), folder / "tiny.pth")
    refused(
        prunescope("layers", "prunescope/sprig", "--weights", "tiny.pth", "--data", folder),
        f"{folder}/tiny.pth belongs to another architecture",
        "tensors missing (first: 'conv1.conv.weight')",
    )


def test_weights_for_another_number_of_classes(prunescope: Callable[..., Called], folder: Path) -> None:
    torch.save(open_network("prunescope/sprig", classes=5).state_dict(), folder / "five.pth")
    sprig = ("layers", "prunescope/sprig", "--weights", folder / "five.pth")
    refused(prunescope(*sprig, "--classes", 12), "has 5 classes, the network 12: give classes=5")
    assert prunescope(*sprig).code == 0


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (self.target,))


def test_a_pickle_that_would_run_code_is_not_run(prunescope: Callable[..., Called], folder: Path) -> None:
    for number, save in enumerate(
        (torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb, protocol=2)))
    ):
        weights, victim = folder / f"bomb{number}.pth", folder / "victim"
        save({"weight": Bomb(victim)}, weights)
        refused(
            prunescope("layers", "prunescope/sprig", "--weights", weights), "would run code that it carries"
        )
        assert not victim.exists()


def test_a_checkpoint_that_was_cut_off(prunescope: Callable[..., Called], folder: Path) -> None:
    whole = folder / "whole.pth"
    torch.save(open_network("study.tiny:tiny").state_dict(), whole)
    (folder / "half.pth").write_bytes(whole.read_bytes()[:5000])
    (folder / "half.safetensors").write_bytes(struct.pack("<Q", 10_000) + b'{"a"')
    for name, expected in (
        ("half.pth", "not a whole checkpoint"),
        ("half.safetensors", "not a whole safetensors"),
    ):
        refused(prunescope("layers", "prunescope/sprig", "--weights", folder / name), name, expected)


# Images


def test_a_class_folder_without_images(run: Callable[..., Called], folder: Path) -> None:
    (folder / "test" / "yellow").mkdir()
    refused(run(), "images.test: no image in 1 of the 4 class folders", "yellow; fill or remove them")


def test_class_folders_that_differ(run: Callable[..., Called], folder: Path) -> None:
    shutil.move(folder / "test" / "red", folder / "test" / "rad")
    refused(
        run(),
        "images.train: training and test images need the same classes",
        "only the training images (folder:train) have 'red'; only the test images (folder:test) have 'rad'",
    )


def test_files_that_are_no_whole_images_are_named_and_what_does_not_need_them_is_done(
    run: Callable[..., Called], folder: Path
) -> None:
    truncated, words = folder / "test" / "red" / "0.png", folder / "test" / "blue" / "1.png"
    original = truncated.read_bytes()
    truncated.write_bytes(original[: len(original) // 2])
    words.write_text("no image")
    called = run(**STILL)
    assert called.code == 1
    assert "Traceback" not in called.err
    assert "2 of 18 images cannot be used" in called.err
    assert f"{words} is not an image that Pillow can read" in called.err
    assert f"cannot decode {truncated}" in called.err
    steps = load_tables(folder / "runs" / "tiny")["steps"]
    done = set(steps.loc[steps["status"] == "done", "kind"])
    assert {"train", "prune"} <= done
    assert "measure-accuracy" not in done
    truncated.write_bytes(original)
    shutil.copy(truncated, words)
    assert run(**STILL).code == 0
    steps = load_tables(folder / "runs" / "tiny")["steps"]
    assert steps.set_index("kind").loc[["train", "prune"], "reused"].all()


def test_a_training_image_that_is_broken_is_named(run: Callable[..., Called], folder: Path) -> None:
    (folder / "train" / "red" / "3.png").write_bytes(b"")
    called = run()
    assert called.code == 1
    assert "train study.tiny:tiny: " in called.err
    assert "train/red/3.png" in called.err
    assert "1 steps failed, 14 that needed them were skipped" in called.err


def huge_png(width: int, height: int) -> bytes:
    """A PNG whose header promises more pixels than fit into memory."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"0" * 99))
        + chunk(b"IEND", b"")
    )


def test_a_huge_image_is_refused_before_it_fills_the_memory(run: Callable[..., Called], folder: Path) -> None:
    (folder / "test" / "red" / "0.png").write_bytes(huge_png(50_000, 50_000))
    called = run(**STILL)
    assert called.code == 1
    assert "test/red/0.png is too large" in called.err
    assert "Traceback" not in called.err


def test_unusual_kinds_of_images_are_read(run: Callable[..., Called], folder: Path) -> None:
    red = Image.open(folder / "test" / "red" / "0.png").convert("RGB")
    red.convert("CMYK").save(folder / "test" / "red" / "cmyk.jpg")
    red.convert("P").save(folder / "test" / "red" / "palette.png")
    red.convert("RGBA").save(folder / "test" / "red" / "alpha.png")
    red.convert("L").save(folder / "test" / "red" / "grey.png")
    Image.fromarray(np.asarray(red.convert("L")).astype(np.uint16) * 257).save(
        folder / "test" / "red" / "deep.png"
    )
    assert run(**STILL).code == 0
    images = (
        load_tables(folder / "runs" / "tiny")["images"].query("network == 'dense-seed0'").set_index("image")
    )
    assert len(images) == 18 + 5
    whole = images["confidence"]
    assert whole["red/palette.png"] == pytest.approx(whole["red/0.png"], abs=0.1)
    assert whole["red/alpha.png"] == whole["red/0.png"]
    assert whole["red/deep.png"] == whole["red/grey.png"]  # 16 bits are scaled, not clipped


# Pruning


def test_a_layer_that_would_lose_everything(run: Callable[..., Called], folder: Path) -> None:
    series = {"series": "a", "granularity": "filter", "rates": [0.99], "min_left": 0}
    called = run(prune=[series], **STILL)
    assert called.code == 1
    assert "prune a-0.99: conv1, conv2, conv3 would lose all weights: prune less" in called.err
    assert "keep `min_left: 1`, or say `allow_empty_layers: true`" in called.err
    assert (load_tables(folder / "runs" / "tiny")["networks"]["network"] == "dense-seed0").all()
    assert run(prune=[{**series, "allow_empty_layers": True}], **STILL).code == 0
    assert run(prune=[{**series, "min_left": 1}], **STILL).code == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--rate", 1.5), "rate 1.5 is impossible"),
        (("--rate", -0.1), "rate -0.1 is impossible"),
        (("--rate", 0.5, "--granularity", "filtre"), "no granularity 'filtre' (did you mean 'filter'?)"),
        (("--rate", 0.5, "--by", "L3"), "no score 'L3'"),
        (
            ("--rate", 0.5, "--scope", "globl"),
            "--scope 'globl': expected layer, global, specific or erk (did you mean 'global'?)",
        ),
        (("--rate", 0.5, "--spare", "conv9"), "no layer 'conv9'"),
        (("--rate", 0.5, "--out", "pruned.onnx"), "networks are saved as .safetensors"),
        (("--rate", 0.5, "--weights", "DEFALT"), "no weights 'DEFALT' for prunescope/sprig"),
    ],
)
def test_mistakes_on_the_command_line(
    arguments: tuple[object, ...],
    expected: str,
    prunescope: Callable[..., Called],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(prunescope("prune", "prunescope/sprig", *arguments), expected)
    assert not list(tmp_path.iterdir())


def test_a_step_that_fails_is_named_and_the_others_are_done(run: Callable[..., Called], folder: Path) -> None:
    study = document()
    study["prune"][0]["retrain"] = {**study["retrain"], "optimizer": {"lr": 1e30}}
    called = run(prune=study["prune"])
    assert called.code == 1
    assert "1 steps failed, 2 that needed them were skipped:" in called.err
    assert (
        "  retrain weights-0.5: the loss became nan in epoch 1: try a smaller optimizer.lr than 1e+30"
        in called.err
    )
    assert f"tables: {folder}/runs/tiny/tables" in called.out
    assert "filters-0.25-retrained-seed0" in set(load_tables(folder / "runs" / "tiny")["networks"]["network"])


# The folder of results


def test_results_of_a_newer_version(
    run: Callable[..., Called], prunescope: Callable[..., Called], folder: Path
) -> None:
    (folder / "runs").mkdir()
    (folder / "runs" / "store.json").write_text(json.dumps({"format": 99}))
    for called in (run(), prunescope("verify", folder / "runs")):
        refused(
            called,
            "made by a newer version of prunescope (format 99",
            "upgrade prunescope, or choose another --out",
        )


def test_a_damaged_step_is_found_named_and_done_again(
    run: Callable[..., Called], prunescope: Callable[..., Called], folder: Path
) -> None:
    assert run().code == 0
    before = load_tables(folder / "runs" / "tiny")["scores"]
    (damaged, *_) = (folder / "runs" / "steps").glob("retrain-*/network.safetensors")
    content = bytearray(damaged.read_bytes())
    content[-7] ^= 1
    damaged.write_bytes(content)
    verified = prunescope("verify", folder / "runs" / "tiny")
    assert verified.code == 1
    assert f"{damaged.parent.name}: network.safetensors has changed" in verified.err
    assert "1 of 15 steps are damaged; `prunescope run` does them again" in verified.err
    again = run()
    assert again.code == 0
    assert f"{damaged.parent.name}: network.safetensors has changed; doing it again" in again.err
    assert load_tables(folder / "runs" / "tiny")["scores"].equals(before)
    assert prunescope("verify", folder / "runs").code == 0


def test_no_results_where_some_are_expected(prunescope: Callable[..., Called], folder: Path) -> None:
    refused(prunescope("verify", folder), "no results in", "store.json")
    refused(prunescope("tables", folder), "no tables in", "give a study's folder, such as runs/demo")


@pytest.mark.parametrize(
    "out", ["/sys/prunescope", "/proc/prunescope", "{folder}/study.yaml/runs", "{folder}/study.yaml"]
)
def test_a_place_that_cannot_be_written(out: str, run: Callable[..., Called], folder: Path) -> None:
    place = Path(out.format(folder=folder))
    if not place.parent.exists() and "study.yaml" not in out:
        pytest.skip(f"no {place.parent} here")
    refused(run(out=place), str(place))


def test_no_permission_to_write_a_pruned_network(prunescope: Callable[..., Called], folder: Path) -> None:
    (folder / "file").write_text("")
    for out in ("/proc/none/pruned.safetensors", folder / "file" / "pruned.safetensors"):
        refused(prunescope("prune", "prunescope/sprig", "--rate", 0.5, "--out", out), f"while writing {out}")


def test_a_full_disk_is_said_and_what_was_finished_is_kept(
    run: Callable[..., Called], small_disk: Path, folder: Path
) -> None:
    """The disk grows by a little again and again: wherever it is full, the run says so and goes on later."""

    def finished() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in small_disk.glob("runs/steps/[!.]*/*")}

    kept: dict[Path, int] = {}
    full, size = 0, 64
    while (called := run(out=small_disk / "runs")).code:
        assert "no room left on the disk while" in called.err, called.err
        assert (
            "free some space and run the same command again; everything finished before is kept" in called.err
        )
        assert "Traceback" not in called.err
        assert kept.items() <= finished().items()
        assert not list(small_disk.glob("runs/steps/.tmp-*"))
        kept, full, size = finished(), full + 1, size + 96
        assert size < 4000
        subprocess.run(["mount", "-o", f"remount,size={size}k", small_disk], check=True)
    assert full >= 3
    assert kept.items() <= finished().items()
    elsewhere = run(out=folder / "elsewhere")
    assert elsewhere.code == 0
    for name, table in load_tables(folder / "elsewhere" / "tiny").items():
        if name != "steps":
            assert load_tables(small_disk / "runs" / "tiny")[name].equals(table)


def test_images_of_another_size_or_number_of_channels_do_not_matter(
    run: Callable[..., Called], folder: Path
) -> None:
    Image.new("L", (33, 7), 90).save(folder / "test" / "red" / "small.png")  # lower than the crop
    assert run(**STILL).code == 0


def test_one_class_more_than_the_network_has(run: Callable[..., Called], folder: Path) -> None:
    write_images(folder / "more", classes=("blue", "green", "red", "white"), per_class=2)
    called = run(
        images={"train": None, "test": "folder:more"},
        network={"name": "prunescope/sprig", "weights": "SCENES_V1"},
        **STILL,
    )
    refused(called, "network: the network has 12 outputs, the images 4 classes (folder:more)")
