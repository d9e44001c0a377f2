"""How long `prunescope --help` takes, beside an empty Python."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from table import Row
from timing import interleaved

MOST = 400.0  # milliseconds


def rows() -> list[Row]:
    command = shutil.which("prunescope", path=str(Path(sys.executable).parent)) or "prunescope"

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)

    times = interleaved(
        {"help": lambda: run(command, "--help"), "python": lambda: run(sys.executable, "-c", "pass")}
    )
    ours, empty = times["help"].wall, times["python"].wall
    return [
        Row(
            "prunescope --help, wall clock",
            ours,
            "ms",
            f"python -c pass, {empty:.0f} ms",
            ours / empty,
            most=MOST,
        )
    ]
