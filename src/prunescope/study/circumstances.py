"""Under which circumstances results came about: machine, versions, command."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine(place: Mapping[str, Any]) -> dict[str, Any]:
    """Return threads and device with the machine that they are of."""
    processor = platform.processor() or platform.machine()
    return {**place, "processor": processor, "system": platform.system()}


def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python, of this package and of those that compute, and of `more`."""
    packages = ("prunescope", "torch", "torchvision", "numpy", *more)
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def command() -> str:
    """Return the command line that this process was started with; "" if it is not prunescope's own."""
    if Path(sys.argv[0]).name != "prunescope":
        return ""
    return " ".join(["prunescope", *(shlex.quote(word) for word in sys.argv[1:])])
