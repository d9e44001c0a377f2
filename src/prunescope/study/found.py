"""What steps leave for the tables beside networks and masks: the rate found, what layers tolerate, curves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prunescope.study.steps import Step

FOUND_FILE, SWEEP_FILE, CURVES_FILE = "found.json", "sensitivity.json", "curves.parquet"
Together = tuple[str, ...]
Folder = Callable[[str], Path]  # from a finished step to its folder


def write_found(rate: float, folder: Path) -> None:
    """Note the fraction of the groups that a pruning removed."""
    (folder / FOUND_FILE).write_text(json.dumps({"rate": rate}), encoding="utf-8")


def read_found(folder: Path) -> float:
    """Read what `write_found` wrote."""
    return float(json.loads((folder / FOUND_FILE).read_text("utf-8"))["rate"])


def write_tried(top1: float, images: int, folder: Path) -> None:
    """Note the top-1 on so many images of `validate` with some layers pruned."""
    (folder / SWEEP_FILE).write_text(json.dumps({"top1": top1, "n": images}), encoding="utf-8")


def read_sweep(
    steps: Sequence[Step], folder: Folder
) -> tuple[float, int, dict[Together, dict[float, float]]]:
    """Return the dense network's top-1, the number of images, and for layers pruned together: rate to top-1."""
    dense, images, found = float("nan"), 0, dict[Together, dict[float, float]]()
    for step in steps:
        tried = json.loads((folder(step.id) / SWEEP_FILE).read_text("utf-8"))
        layers, rate, images = tuple(step.settings["layers"]), step.settings["rate"], tried["n"]
        if layers:
            found.setdefault(layers, {})[rate] = tried["top1"]
        else:
            dense = tried["top1"]
    return dense, images, found


def least_of(tolerance: Mapping[str, Any], dense: float) -> float:
    """Return the top-1 that a layer has to keep."""
    return float(
        tolerance["least"] if tolerance["least"] is not None else max(dense - tolerance["drop"], 0.0)
    )
