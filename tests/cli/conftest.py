"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable

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
