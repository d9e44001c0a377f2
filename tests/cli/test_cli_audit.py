"""`prunescope audit`: its exit codes, what it says, what it refuses, and that it goes on where it was stopped."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import prunescope as ps
from cli.call import Called, refused

Prunescope = Callable[..., Called]
QUICK = (
    "--images",
    "scenes",
    "--limit",
    "60",
    "--skip",
    "mis",
    "--skip",
    "explanations",
    "--skip",
    "dissection",
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    network = ps.open_network("prunescope/sprig", "SCENES_V1")
    ps.save_network(network, folder / "dense.safetensors")
    torch.save(network.state_dict(), folder / "dense.pth")
    ps.prune(network, "filter", rate=0.3).apply(network)
    ps.save_network(network, folder / "pruned.safetensors")
    return folder


@pytest.fixture
def files(saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The current folder, with the networks in it."""
    here = tmp_path / "here"
    shutil.copytree(saved, here)
    monkeypatch.chdir(here)
    return here


def audit(prunescope: Prunescope, *more: object) -> Called:
    return prunescope("audit", "dense.safetensors", "pruned.safetensors", *QUICK, *more)


def test_the_gate_ends_with_0_or_2(files: Path, prunescope: Prunescope) -> None:
    called = audit(prunescope, "--fail-if", "zeros_pruned < 0.1")
    assert called.code == 0
    assert "verdict: passed" in called.out
    assert {path.name for path in (files / "audit").iterdir()} == {
        "audit.json",
        "tables",
        "pictures",
        "report",
    }
    called = audit(prunescope, "--fail-if", "zeros_pruned < 0.1", "--fail-if", "zeros_pruned > 0.1")
    assert called.code == 2
    said = called.out[called.out.index("verdict: ") :].splitlines()
    assert said[0] == "verdict: failed"
    assert [line.split(",")[-1] for line in said[1:]] == [" which is > 0.1"]
    about = json.loads((files / "audit" / "audit.json").read_text("utf-8"))
    assert about["verdict"] == "failed"
    assert about["not_measured"]["dissection"] == "left out (--skip)"


def test_tables_and_report_take_an_audit(files: Path, prunescope: Prunescope) -> None:
    assert audit(prunescope, "--out", "found").code == 0
    page = files / "found" / "report" / "index.html"
    before = page.read_bytes()
    page.unlink()
    assert prunescope("report", "found").code == 0
    assert page.read_bytes() == before
    listed = prunescope("tables", "found", "--csv")
    assert "answers.csv: 60 rows" in listed.out
    assert (files / "found" / "tables" / "answers.csv").is_file()


@pytest.mark.parametrize(
    "wrong",
    [
        ("audit", "dense.safetensors"),
        ("audit", "dense.safetensors", "pruned.safetensors"),
        ("audit", "dense.safetensors", "pruned.safetensors", *QUICK, "--limit", "0"),
        ("audit", "dense.safetensors", "pruned.safetensors", *QUICK, "--fail-iff", "top1_drop > 0"),
        ("recommend",),
    ],
)
def test_a_wrong_command_is_no_answer(wrong: tuple[str, ...], files: Path, prunescope: Prunescope) -> None:
    called = prunescope(*wrong)
    assert called.code == 1
    assert "Usage" in called.err
    assert not (files / "audit").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--fail-if", "top1_dropp > 0.1"), "did you mean 'top1_drop'"),
        (("--fail-if", "mis_pruned < 0.6"), "drop --skip mis"),
        (("--set", "mis"), "expected key=value"),
        (("--set", "mis.tasks=many"), "mis.tasks: Input should be a valid integer"),
        (("--skip", "accuracy"), "cannot skip 'accuracy'"),
        (("--preprocess", "{crop: 64"), "is no YAML"),
        (("--preprocess", "{crops: 64}"), "did you mean 'crop'"),
        (("--preprocess", "none.yaml"), "no file 'none.yaml'"),
        (("--class-map", "none.csv"), "none.csv"),
        (("--device", "nothing"), "no device 'nothing' here"),
        (("--images", "nowhere"), "no folder 'nowhere'"),
        (("--out", "dense.pth"), "--out dense.pth is a file"),
        (("--out", "dense.pth/audit"), "Not a directory"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    more: tuple[str, ...], said: str, files: Path, prunescope: Prunescope
) -> None:
    called = audit(prunescope, *more)
    refused(called, said)
    assert "steps" not in called.err
    assert not (files / "audit").exists()


def test_the_folder_of_a_study_is_not_written_into(files: Path, prunescope: Prunescope) -> None:
    (files / "run").mkdir()
    (files / "run" / "study.json").write_text("{}")
    refused(audit(prunescope, "--out", "run"), "holds the results of a study")
    assert [path.name for path in (files / "run").iterdir()] == ["study.json"]


@pytest.mark.parametrize("source", ["photos", "unlabelled:photos"])
def test_an_audit_is_not_written_among_the_images(source: str, files: Path, prunescope: Prunescope) -> None:
    from PIL import Image

    images = ps.open_images("scenes", "test")
    (files / "photos").mkdir()
    for index in range(2):
        Image.fromarray(images.decode(index)).save(files / "photos" / f"{index}.png")
    for out in ("photos", "photos/audit", "photos/../photos/new/audit"):
        called = audit(prunescope, "--images", source, "--out", out)
        refused(called, "lies in the folder of the images")
    assert {path.name for path in (files / "photos").iterdir()} == {"0.png", "1.png"}


@pytest.mark.parametrize("name", ["x" * 5000, "none.pth", "", ".", "torchvision/resnet18@"])
def test_a_network_that_is_not_there(name: str, files: Path, prunescope: Prunescope) -> None:
    refused(prunescope("audit", name, "pruned.safetensors", *QUICK), "")


def test_an_audit_that_was_killed_goes_on(
    files: Path, prunescope: Prunescope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNESCOPE_CACHE", str(files / "cache"))
    few = (
        "--set",
        "mis.tasks=5",
        "--set",
        "mis.references=2",
        "--skip",
        "explanations",
        "--skip",
        "dissection",
    )
    command = (
        "audit",
        "dense.safetensors",
        "pruned.safetensors",
        "--images",
        "scenes",
        "--limit",
        "60",
        *few,
    )
    steps = files / "cache" / "audits" / "steps"
    program = (
        f"from prunescope.cli.main import run; import sys; sys.argv = {['prunescope', *command]!r}; run()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not list(steps.glob("audit-size-*")):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    done = {path.name: path.stat().st_mtime_ns for path in steps.glob("audit-*")}
    assert 3 <= len(done) < 6
    assert not (files / "audit" / "audit.json").exists()
    called = prunescope(*command)
    assert called.code == 0
    assert f"6 steps, {len(done)} of them done already" in called.err
    assert done.items() <= {path.name: path.stat().st_mtime_ns for path in steps.glob("audit-*")}.items()
    found = json.loads((files / "audit" / "audit.json").read_text("utf-8"))["metrics"]
    monkeypatch.setenv("PRUNESCOPE_CACHE", str(files / "fresh"))
    assert prunescope(*command, "--out", "whole").code == 0
    assert json.loads((files / "whole" / "audit.json").read_text("utf-8"))["metrics"] == found
