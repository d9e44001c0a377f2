"""How two networks are related, told from their weights alone: the same, rounded, re-ordered, masked, trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.auditing.related_layers import FULL, RelatedLayer, coarsest, relate_layers
from prunescope.auditing.relation_words import write_relation, write_relation_notes
from prunescope.pruning.paired_layers import PairedLayers, Weights, check_weights, pair_layers

COLUMNS = {
    "layer": "object",
    "pruned_layer": "object",
    "same": "bool",
    "rounded": "bool",
    "norms_equal": "bool",
    "reordered": "bool",
    "kept": "float64",
    "correlation": "float64",
    "left_of_dense": "float64",
}
UNRELATED = 0.1  # |correlation| below it: networks trained apart stay below .01, retrained ones above .4
UNKNOWN = "unknown"
KINDS = (
    "identical", "half precision", "re-ordered", "rescaled", "masked", "fine-tuned", "unrelated", "compact",
    "other architecture", UNKNOWN,
)  # fmt: skip
_CHANCE = 1.96  # standard errors of a correlation


@dataclass(frozen=True)
class Relation:
    """How two networks are related.

    Attributes:
        layers: one row a layer that both have: `layer`, and its name in the pruned network, `pruned_layer`; the others
            are those of `RelatedLayer`.
        overall: `kind`: identical, half precision, re-ordered, rescaled (each filter times a factor, as folded batch
            norms leave it), masked (what is left is unchanged), fine-tuned, unrelated, compact (fewer channels), other
            architecture, unknown (one of them has no weights); `text`, a sentence; `notes`, more of them;
            `correlation`, the mean over weights, None where there is none; `chance`, what |correlation| of unrelated
            weights stays below, 95 times of 100; `precision`: float32, or what both were rounded to; `layers` that both
            have, `layers_same`, `layers_reordered` and `other_shapes`, numbers of them; `layers_of_pruned`; `kept` over
            all of them; `paired_by`, name or order; `missing`, layers that the pruned network lacks, and `added`.
        order: if the network is re-ordered, layer to (units,), the pruned unit that each dense one is.
    """

    layers: pd.DataFrame
    overall: dict[str, Any]
    order: dict[str, NDArray[np.int64]] = field(default_factory=dict)


def relate(dense: Weights, pruned: Weights) -> Relation:
    """Say how the weights of two networks are related, layer by layer and as a whole.

    Only weights of convolutions and linear layers are compared, in float32; where all values of one network are those
    of a half precision, both are rounded to it first. Grouped convolutions whose groups were re-ordered each in its own
    way are not recognised as re-ordered.

    Args:
        dense: layer to its weight on the CPU, (out, in / groups, height, width) or (out, in), in the network's order.
        pruned: likewise.

    Raises:
        PrunescopeError: a tensor of another rank, or weights that are NaN or infinite.
    """
    check_weights(dense, "dense")
    check_weights(pruned, "pruned")
    pairs = pair_layers(dense, pruned)
    types = coarsest(dense, pruned)
    precision = min(types, key=["bfloat16", "float16", FULL].index)
    layers = [
        relate_layers(name, own, dense[name], pruned[own], precision) for name, own in pairs.pruned.items()
    ]
    overall = _overall(layers, pairs, len(pruned))
    overall["precision"] = precision
    overall["text"] = write_relation(overall, types, but_last=pairs.other_outputs)
    overall["notes"] = write_relation_notes(overall, layers, pairs)
    order = {}
    if overall["kind"] == "re-ordered":
        for each in (each for each in layers if each.shapes_equal):
            order[each.layer] = each.order.filters if each.order else np.arange(len(dense[each.layer]))
    rows = [[getattr(each, name) for name in COLUMNS] for each in layers]
    return Relation(pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS), overall, order)


def _overall(layers: Sequence[RelatedLayer], pairs: PairedLayers, own: int) -> dict[str, Any]:
    """Return what is said of the network; `own`: layers of the pruned one."""
    compared = [each for each in layers if not math.isnan(each.correlation)]
    n = sum(each.left for each in compared)
    found: dict[str, Any] = {
        "correlation": sum(each.left * each.correlation for each in compared) / n if n else None,
        "chance": _CHANCE / math.sqrt(n) if n else None,
        "layers": len(layers),
        "layers_of_pruned": own,
        "other_shapes": sum(not each.shapes_equal for each in layers),
        "layers_same": sum(each.same for each in layers),
        "layers_reordered": sum(each.reordered for each in layers),
        "kept": _kept(layers),
        "paired_by": pairs.by,
        "missing": list(pairs.missing),
        "added": list(pairs.added),
    }
    return {"kind": _kind(layers, pairs, found), **found}


def _kept(layers: Sequence[RelatedLayer]) -> float | None:
    """Return the share of all weights other than 0 that are the dense network's own."""
    known = [each for each in layers if not math.isnan(each.kept)]
    left = sum(each.left for each in known)
    return sum(each.left * each.kept for each in known) / left if left else None


def _kind(layers: Sequence[RelatedLayer], pairs: PairedLayers, found: dict[str, Any]) -> str:
    if not layers and not (pairs.missing and pairs.added):
        return UNKNOWN
    if pairs.smaller:
        return "compact"
    if not pairs.equal or (pairs.missing and pairs.added):
        return "other architecture"
    alike = layers[:-1] if pairs.other_outputs else layers
    for kind, holds in (
        ("identical", all(each.same for each in alike)),
        ("half precision", all(each.rounded for each in alike)),
        ("re-ordered", all(each.rounded or each.reordered for each in alike)),
        ("masked", all(each.kept == 1 or not each.left for each in alike)),
        ("rescaled", all(each.rescaled or each.kept == 1 or not each.left for each in alike)),
    ):
        if holds:
            return kind
    limit = max(UNRELATED, 2 * (found["chance"] or 0))
    if found["correlation"] is not None and found["correlation"] >= limit:
        return "fine-tuned"
    return "other architecture" if pairs.missing or pairs.added else "unrelated"
