"""The benchmarks are not run by the tests, but each of them must start."""

from __future__ import annotations

import subprocess
import sys

from places import REPOSITORY

START = "import importlib, run; [importlib.import_module(name).rows for name in run.BENCHMARKS]"


def test_every_benchmark_can_start() -> None:
    started = subprocess.run(
        [sys.executable, "-c", START],
        cwd=REPOSITORY / "benchmarks",
        capture_output=True,
        text=True,
        check=False,
    )

    assert started.returncode == 0, started.stderr
