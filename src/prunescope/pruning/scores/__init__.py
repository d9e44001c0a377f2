"""How important each group of weights is, one idea a file: the lowest scores go first."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunescope.pruning.scores.score import Score
    from prunescope.registry import Registry

_FILES = (
    "accuracy_drop",
    "batch_norm_scale",
    "geometric_median",
    "grasp",
    "lamp",
    "lrp",
    "magnitude",
    "snip",
    "synflow",
    "taylor",
)


def all_scores() -> Registry[Score]:
    """Return the registry with every score of the package in it."""
    for name in _FILES:
        import_module(f"prunescope.pruning.scores.{name}")
    from prunescope.pruning.scores.score import SCORES

    return SCORES
