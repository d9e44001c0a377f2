"""Which unit of the pruned network is which of the dense one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.auditing.networks import Audited
from prunescope.auditing.relation import Relation
from prunescope.networks.shapes import units_of
from prunescope.probe.sites import pre_activations

Numbers = dict[
    str, NDArray[np.int64]
]  # by layer, (units of the pruned network,): the dense unit that each one is


def dense_numbers(pruned: Audited, relation: Relation) -> Numbers:
    """Return the layers whose units are numbered otherwise than in the dense network: compact or re-ordered ones."""
    if not pruned.internals:
        return {}
    found: Numbers = {layer: np.asarray(units) for layer, units in units_of(pruned.network).items()}
    if not found and relation.overall["kind"] == "re-ordered":
        found = {layer: np.argsort(order) for layer, order in relation.order.items()}
    if not found:
        return {}
    before = pre_activations(pruned.network)
    return found | {before[layer].layer: units for layer, units in found.items() if layer in before}


def comparable(pair: tuple[Audited, Audited], numbers: Numbers) -> str:
    """Return why the layers and units of two networks cannot be set side by side; "" if they can."""
    closed = [one.shown for one in pair if not one.internals]
    if closed:
        return f"{' and '.join(closed)} cannot be looked into"
    dense, pruned = (one.weights for one in pair)
    if list(dense) != list(pruned):
        return "the networks have different layers"
    for layer in dense:
        mine, theirs = dense[layer].shape, pruned[layer].shape
        if len(mine) != len(theirs) or mine[2:] != theirs[2:]:
            return f"{layer} is of another kind in each"
        if mine[0] != theirs[0] and layer not in numbers:
            return f"{layer} has {mine[0]} units in one and {theirs[0]} in the other"
    return ""


def numbered_alike(units: pd.DataFrame, numbers: Mapping[str, NDArray[np.int64]]) -> pd.Series[int]:
    """Return the numbers that the units of the pruned network have in the dense one.

    Args:
        units: rows with `layer` and `unit`; layers that are not in `numbers` keep theirs.
    """
    found = units["unit"].copy()
    for layer, own in numbers.items():
        here = units["layer"] == layer
        found[here] = own[units.loc[here, "unit"].to_numpy()]
    return found


def with_gone_units(dense: pd.DataFrame, pruned: pd.DataFrame) -> pd.DataFrame:
    """Return the dissected units of a pruned network with those that left its tensors, which detect nothing.

    Args:
        dense: rows with `layer`, `kind`, `unit` and what dissection says of each.
        pruned: likewise, its units numbered as those of the dense network.
    """
    names = ["layer", "kind", "unit"]
    whole = dense[names].merge(pruned, on=names, how="left")
    nothing = {"network": "pruned", "fires": False, "detector": False, "iou": 0.0}
    return whole.fillna(nothing).astype({"fires": bool, "detector": bool})[list(pruned.columns)]
