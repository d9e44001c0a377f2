"""Each room imports only from those above it in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from places import REPOSITORY

PACKAGE = REPOSITORY / "src" / "prunescope"
ROOMS = re.findall(r"^  (\w+)/ ", (REPOSITORY / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)


def imported(file: Path) -> Iterator[str]:
    """Yield the modules that a file imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_the_page_names_every_room() -> None:
    assert sorted(ROOMS) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_those_above_it(room: str) -> None:
    below = ROOMS[ROOMS.index(room) + 1 :]
    wrong = [
        f"{file.relative_to(PACKAGE)} imports {module}"
        for file in (PACKAGE / room).rglob("*.py")
        for module in imported(file)
        if module.startswith(tuple(f"prunescope.{name}" for name in below))
    ]
    assert not wrong
