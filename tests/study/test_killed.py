"""Runs that are killed, interrupted, or two at once, as real processes: nothing is lost and nothing is wrong.

Importing torch takes longer than the study, so one process imports it and forks a child for each run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from places import REPOSITORY
from prunescope import load_tables
from study.tiny import document, write_data, write_study

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes")

NURSERY = """
import json, os, sys
import prunescope.cli.main as main
import prunescope.cli.progress, prunescope.report.page, prunescope.study.run, study.tiny

prunescope.report.page.write_report = lambda folder: folder / "none"  # slow, and tested elsewhere


def child(argv, log):
    os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND), 2)
    os.dup2(2, 1)
    sys.argv = argv
    try:
        main.run()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


print("ready", flush=True)
for line in sys.stdin:
    pids = []
    for argv, log in json.loads(line):
        pids.append(os.fork())
        if not pids[-1]:
            child(argv, log)
    print(json.dumps(pids), flush=True)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]), flush=True)
"""


@dataclass
class Nursery:
    """Runs `prunescope run` in processes of their own."""

    data: Path
    process: subprocess.Popen[str]
    logs: dict[Path, Path] = field(default_factory=dict)

    def start(self, study: Path, out: Path, times: int = 1) -> list[int]:
        argv = ["prunescope", "run", str(study), "--out", str(out), "--data", str(self.data)]
        logs = [out.with_suffix(f".log{number}") for number in range(times)]
        self._say(json.dumps([(argv, str(log)) for log in logs]))
        pids: list[int] = json.loads(self._hear())
        return pids

    def ended(self) -> list[int]:
        codes: list[int] = json.loads(self._hear())
        return codes

    def run(self, study: Path, out: Path) -> float:
        """Run to the end and return how long it took, in seconds."""
        started = time.monotonic()
        self.start(study, out)
        assert self.ended() == [0], log(out)
        return time.monotonic() - started

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


def log(out: Path, number: int = 0) -> str:
    return out.with_suffix(f".log{number}").read_text()


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    data = write_data(tmp_path_factory.mktemp("data"))
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY / "tests"),
        "PRUNESCOPE_CACHE": str(tmp_path_factory.mktemp("cache")),  # empty, so that decoding is killed too
        "OMP_NUM_THREADS": "1",  # a process with threads of OpenMP cannot fork
    }
    process = subprocess.Popen(
        [sys.executable, "-c", NURSERY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with process:
        found = Nursery(data, process)
        assert found._hear() == "ready\n"
        yield found
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study"))


@dataclass
class Undisturbed:
    tables: dict[str, pd.DataFrame]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(nursery: Nursery, study: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    out = tmp_path_factory.mktemp("undisturbed") / "runs"
    seconds = nursery.run(study, out)
    return Undisturbed(told(out), seconds)


def told(out: Path) -> dict[str, pd.DataFrame]:
    """Return the tables without what depends on how the run went."""
    tables = load_tables(out / "tiny")
    tables["steps"] = tables["steps"].drop(columns=["seconds", "reused"])
    return tables


def same(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    assert set(one) == set(other)
    for name, table in one.items():
        pd.testing.assert_frame_equal(table, other[name])


def left_over(out: Path) -> list[Path]:
    """Return what a killed process may have left half done."""
    return [path for path in out.rglob("*") if path.name.startswith(".")]


def wait_for(kind: str, out: Path, count: int = 1) -> None:
    """Return when so many steps of this kind are done, or being done."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if len(list(out.glob(f"steps/{kind}-*")) + list(out.glob(f"steps/.tmp-{kind}-*"))) >= count:
            return
        time.sleep(0.001)


def test_killed_at_any_moment_a_run_goes_on_and_ends_the_same(
    nursery: Nursery, study: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    generator, out, ends = random.Random(20), tmp_path / "runs", []
    for kind in ("train", "measure-accuracy", "prune", None, None, "retrain", None):
        (pid,) = nursery.start(study, out)
        if kind is None:
            time.sleep(generator.uniform(0, 0.4) * undisturbed.seconds)
        else:
            wait_for(kind, out)
        os.kill(pid, signal.SIGKILL)
        ends += nursery.ended()
    assert ends.count(-signal.SIGKILL) >= 4, "the runs ended before they could be killed"
    nursery.run(study, out)
    same(undisturbed.tables, told(out))
    assert not left_over(out)


def test_ctrl_c_ends_at_once_says_what_is_kept_and_loses_nothing(nursery: Nursery, tmp_path: Path) -> None:
    long: dict[str, Any] = document()
    long["prune"][1]["retrain"] = {**long["retrain"], "epochs": 100_000}
    out = tmp_path / "runs"
    (pid,) = nursery.start(write_study(tmp_path, long), out)
    wait_for("measure-size", out, 4)  # then comes the long retraining
    time.sleep(0.2)
    pressed = time.monotonic()
    os.kill(pid, signal.SIGINT)
    assert nursery.ended() == [130]
    assert time.monotonic() - pressed < 20  # the whole retraining would take minutes
    said = log(out)
    assert "stopped; what was finished is kept, and the same command goes on from there" in said
    assert "Traceback" not in said
    assert not left_over(out)
    finished = {path: path.stat().st_mtime_ns for path in out.glob("steps/*/*")}
    long["prune"][1].pop("retrain")
    nursery.run(write_study(tmp_path, long), out)
    assert finished.items() <= {path: path.stat().st_mtime_ns for path in out.glob("steps/*/*")}.items()


def test_two_runs_of_one_study_share_the_work_and_both_succeed(
    nursery: Nursery, study: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    for attempt in range(3):
        out = tmp_path / f"runs{attempt}"
        nursery.start(study, out, times=2)
        assert nursery.ended() == [0, 0], log(out) + log(out, 1)
        same(undisturbed.tables, told(out))
        assert not left_over(out)  # a step done twice would have set the first aside
        if "waiting: another run does" in log(out) + log(out, 1):
            return
    pytest.fail("the two runs never met")
