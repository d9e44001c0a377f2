"""Prune a vision network and see what that did.

The names below are imported when they are first used, so that `import prunescope` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prunescope.errors import PrunescopeError
    from prunescope.images.source import open_images
    from prunescope.networks.network import open_network, save_network
    from prunescope.networks.preprocess import Preprocess
    from prunescope.pruning.counting import count
    from prunescope.pruning.masks import Mask, hold
    from prunescope.pruning.prune import prune
    from prunescope.study.run import run_study
    from prunescope.study.tables import load_tables

_HOMES = {
    "Mask": "pruning.masks",
    "Preprocess": "networks.preprocess",
    "PrunescopeError": "errors",
    "count": "pruning.counting",
    "hold": "pruning.masks",
    "load_tables": "study.tables",
    "open_images": "images.source",
    "open_network": "networks.network",
    "prune": "pruning.prune",
    "run_study": "study.run",
    "save_network": "networks.network",
}
__all__ = [
    "Mask",
    "Preprocess",
    "PrunescopeError",
    "count",
    "hold",
    "load_tables",
    "open_images",
    "open_network",
    "prune",
    "run_study",
    "save_network",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'prunescope' has no attribute {name!r}")
    return getattr(import_module(f"prunescope.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
