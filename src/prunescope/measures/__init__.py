"""What is measured of a network, one file a measure."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunescope.measures.measure import Measure
    from prunescope.registry import Registry

_FILES = ("accuracy", "size", "speed", "mis", "dissection", "explanations", "forgetting")


def all_measures() -> Registry[Measure]:
    """Return the registry with every measure of the package in it."""
    for name in _FILES:
        import_module(f"prunescope.measures.{name}")
    from prunescope.measures.measure import MEASURES

    return MEASURES
