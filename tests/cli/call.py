"""The command line inside this process."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from prunescope.cli import main


@dataclass
class Called:
    code: int
    out: str = ""
    err: str = ""


def call(patch: pytest.MonkeyPatch, *arguments: object) -> Called:
    """Run `prunescope` with these arguments and return its exit code."""
    patch.setattr("sys.argv", ["prunescope", *map(str, arguments)])
    try:
        main.run()
    except SystemExit as end:
        return Called(int(end.code or 0))
    return Called(0)


def refused(called: Called, *expected: str) -> None:
    assert called.code == 1
    assert called.err.startswith("error: ")
    for part in expected:
        assert part in called.err
    assert "Traceback" not in called.err
    assert not called.out
