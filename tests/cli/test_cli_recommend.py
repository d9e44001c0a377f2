"""`prunescope recommend`: what it says, which exit code it has, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.made_run import sized, write_run
from cli.call import Called, refused

Prunescope = Callable[..., Called]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    pruned = {
        f"[red]{name}[/red], per layer": {
            f"0.{i}": [sized(1 - i / 10 - lost, top1=0.9 - lost * i, **{"grad-cam/iou": 0.8 - i / 20})]
            for i in range(1, 9)
        }
        for name, lost in (("weights", 0.01), ("filters", 0.02))
    }
    return write_run(tmp_path / "run", [sized(1, top1=0.9)], pruned)


def test_the_answer_is_said_and_written(run: Path, prunescope: Prunescope) -> None:
    called = prunescope("recommend", run, "--keep", "top1 >= dense - 0.05", "--keep", "grad-cam/iou >= 0.6")
    assert (called.code, called.err) == (0, "")
    lines = called.out.splitlines()
    assert lines[0] == "Take [red]weights[/red], per layer at 0.4 (59 % of the weights are left)."
    assert lines[-1] == f"page: {run / 'recommendation' / 'report' / 'index.html'}"
    (chosen,) = [line for line in lines if line.startswith("→")]
    assert "[red]weights[/red], per layer" in chosen
    assert any("… and 4 more, on the page" in line for line in lines)
    content = json.loads((run / "recommendation" / "recommendation.json").read_text(encoding="utf-8"))
    assert content["sentences"] == lines[: len(content["sentences"])]


def test_exit_code_2_says_that_none_will_do(run: Path, prunescope: Prunescope, tmp_path: Path) -> None:
    out = tmp_path / "out"
    called = prunescope("recommend", run, "--keep", "top1 >= dense + 0.05", "--by", "nonzero", "--out", out)
    refused(called, "sizes were not measured in this run; add the measure `size`")
    called = prunescope("recommend", run, "--keep", "top1 >= dense + 0.05", "--out", out)
    assert (called.code, called.err) == (2, "")
    assert called.out.startswith("None of 16 networks in 2 series keeps all that was asked.\nNearest is ")
    assert (out / "report" / "index.html").exists()
    assert not (run / "recommendation").exists()


def test_the_nearest_is_listed_however_many_cost_less(prunescope: Prunescope, tmp_path: Path) -> None:
    pruned = {"weights": {f"0.{i}": [sized(1 - i / 100, top1=0.9 - i / 200)] for i in range(10, 40)}}
    called = prunescope(
        "recommend", write_run(tmp_path / "many", [sized(1, top1=0.9)], pruned), "--keep", "top1 > 0.9"
    )
    assert called.code == 2
    (nearest,) = [line for line in called.out.splitlines() if line.startswith("→")]
    assert nearest.split()[:3] == ["→", "weights", "0.1"]


def test_sure_asks_for_more(run: Path, prunescope: Prunescope) -> None:
    assert prunescope("recommend", run, "--keep", "top1 >= 0.5").code == 0
    called = prunescope("recommend", run, "--keep", "top1 >= 0.5", "--sure")
    assert called.code == 2  # one seed, and no images: there is no interval
    assert "Without asking for the whole interval, 16 would do" in called.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            [],
            "nothing is to be kept: give one wish or more, as --keep 'top1 >= dense - 0.01'; this run has top1",
        ),
        (["--keep", ""], "does not read as a comparison"),
        (["--keep", "top1 >= 1 %"], "write a percentage as a fraction, 1 % as 0.01"),
        (["--keep", "tpo1 >= 1"], "did you mean 'top1'"),
        (["--keep", "__import__('os').system('true') >= 1"], "is more than names, numbers and + - * /"),
        (["--keep", "top1 >= 0", "--by", "speed"], "by 'speed' is not known"),
        (["--keep", "top1 >= 0", "--out", "RUN"], "holds something else: choose another folder"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    run: Path, prunescope: Prunescope, options: list[str], said: str
) -> None:
    refused(prunescope("recommend", run, *[str(run) if text == "RUN" else text for text in options]), said)
    assert not (run / "recommendation").exists()


def test_what_is_no_study_is_refused(prunescope: Prunescope, tmp_path: Path) -> None:
    refused(
        prunescope("recommend", tmp_path, "--keep", "top1 >= 0"),
        "expected the folder of a study that was run",
    )


def test_a_full_disk_is_told(run: Path, prunescope: Prunescope, small_disk: Path) -> None:
    refused(prunescope("recommend", run, "--keep", "top1 >= 0", "--out", small_disk / "out"), "no room left")
