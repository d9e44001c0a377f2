"""One dense network: the MIS of its units, or the concepts of the units of its layers (Network Dissection)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from prunescope.analysis.published.layouts import PublishedTable
from prunescope.analysis.published.study import (
    DENSE,
    PublishedStudy,
    network_row,
    networks_table,
    score,
    scores_table,
)
from prunescope.analysis.published.units import unit_rows, unit_scores, why_tasks
from prunescope.errors import PrunescopeError

DETECTOR_ABOVE = 0.04  # IoU
LINEAR = ("matmul", "fc", "linear", "classifier", "logits")  # in names of layers that are no convolutions


def study_of_units(tables: Sequence[PublishedTable], digest: str) -> PublishedStudy:
    """Return one dense network with the MIS of its units.

    Raises:
        PrunescopeError: two rows for one unit.
    """
    table = tables[0]
    rows = table.rows
    _refuse_twice(table, ["layer", "unit"])
    linear = rows["layer"].map(lambda name: any(part in name.lower() for part in LINEAR))
    rows = rows.assign(network=DENSE, kind=np.where(linear, "linear", "conv"))
    units = unit_rows(rows, pruned=False)
    inferred = [
        "The network is taken to be dense: all its units are taken to be alive.",
        f"Convolutions are all layers but {_names(rows.loc[linear, 'layer'])}, by their names.",
        *why_tasks(units),
    ]
    made = {
        "networks": networks_table([network_row(DENSE, "dense", "dense", 0.0)], digest),
        "units": units,
        "scores": scores_table(unit_scores(units)),
    }
    return PublishedStudy("the units of one network", made, inferred)


def study_of_concepts(tables: Sequence[PublishedTable], digest: str) -> PublishedStudy:
    """Return one dense network with the concept of each unit, each file a layer.

    Raises:
        PrunescopeError: two rows for one unit.
    """
    stems = [stem_of(table.path) for table in tables]
    begin = shared_start(stems).rfind("_") + 1 if len(stems) > 1 else 0
    parts = []
    for table, stem in zip(tables, stems, strict=True):
        _refuse_twice(table, ["unit"])
        parts.append(table.rows.assign(layer=stem[begin:] or stem))
    rows = pd.concat(parts, ignore_index=True)
    units = pd.DataFrame(
        {
            "network": DENSE, "layer": rows["layer"], "kind": "conv",
            "unit": (rows["unit"] - rows["unit"].min()).astype("int64"),
            "concept": rows["label"], "category": rows["category"], "iou": rows["score"],
            "detector": rows["score"] > DETECTOR_ABOVE,
        }
    )  # fmt: skip
    detectors = _detectors(units)
    whole = detectors.iloc[0]
    made = {
        "networks": networks_table([network_row(DENSE, "dense", "dense", 0.0)], digest),
        "units": units,
        "detectors": detectors,
        "scores": scores_table(
            [
                score(DENSE, metric, whole[metric], len(units), "dissection")
                for metric in ("detectors", "unique_detectors")
            ]
        ),
    }
    inferred = [
        f"A unit is called a detector if its IoU is above {DETECTOR_ABOVE}, as in the paper of Network Dissection.",
        f"Layers are called as their files: {', '.join(dict.fromkeys(units['layer']))}.",
    ]
    if rows["unit"].min() > 0:
        inferred.append(f"Units are numbered from 0 here, from {rows['unit'].min():.0f} in the files.")
    return PublishedStudy("the concepts of one network's units", made, inferred)


def stem_of(path: Path) -> str:
    """Return a file's name without .csv or .csv.gz."""
    return path.name.removesuffix(".gz").removesuffix(".csv")


def shared_start(names: Sequence[str]) -> str:
    """Return what all names begin with."""
    letters = itertools.takewhile(lambda each: len(set(each)) == 1, zip(*names, strict=False))
    return "".join(each[0] for each in letters)


def _detectors(units: pd.DataFrame) -> pd.DataFrame:
    """Count detectors, and the concepts that have one, of all units, of each layer, of each category."""
    rows = []
    layers, categories = sorted(units["layer"].unique()), sorted(units["category"].unique())
    for layer, category in itertools.product(("", *layers), ("", *categories)):
        here = units[units["layer"] == layer] if layer else units
        found = here[here["detector"] & (here["category"].eq(category) | (category == ""))]
        rows.append(
            {
                "network": DENSE, "control": "", "layer": layer, "category": category, "units": len(here),
                "detectors": len(found), "unique_detectors": len(found[["category", "concept"]].drop_duplicates()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _refuse_twice(table: PublishedTable, keys: list[str]) -> None:
    twice = table.rows.duplicated(keys)
    if twice.any():
        cells = ", ".join(f"{key} {table.rows[key].loc[twice].iloc[0]}" for key in keys)
        raise PrunescopeError(
            f"{table.path}, line {int(twice.to_numpy().argmax()) + 2}: a second row of {cells}; keep one"
        )


def _names(layers: pd.Series[str]) -> str:
    return ", ".join(dict.fromkeys(layers)) or "none"
