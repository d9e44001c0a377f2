"""What the tests of the command line share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.call import Called, call


@pytest.fixture
def prunescope(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """Run `prunescope` in this process and catch what it says."""

    def called(*arguments: object) -> Called:
        capfd.readouterr()
        result = call(monkeypatch, *arguments)
        result.out, result.err = capfd.readouterr()
        return result

    return called


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 64 KiB, where this process may mount one."""
    place = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, text=True, check=False
    ) if shutil.which("mount") and os.name == "posix" else None  # fmt: skip
    if mounted is None or mounted.returncode:
        pytest.skip(f"no file system may be mounted here: {mounted and mounted.stderr}")
    yield place
    subprocess.run(["umount", place], check=True)
