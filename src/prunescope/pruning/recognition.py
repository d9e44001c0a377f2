"""What was pruned, told from the weights alone: where the zeros lie, and which channels are gone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from prunescope.pruning.paired_layers import Weights, check_weights, pair_layers
from prunescope.pruning.recognised_layer import CHANNELS, MIXED, NONE, UNKNOWN, RecognisedLayer
from prunescope.pruning.recognition_words import write_notes, write_text
from prunescope.pruning.zero_patterns import BOTH, ZeroPattern, find_pattern

COLUMNS = {
    "layer": "object",
    "kind": "object",
    "weights": "int64",
    "zeros": "int64",
    "share": "float64",
    "granularity": "object",
    "covered": "float64",
    "filters": "int64",
    "inputs": "int64",
    "zero_filters": "int64",
    "zero_connections": "int64",
    "zero_kernels": "int64",
    "n_m": "object",
    "distinct": "Int64",
    "dense_filters": "Int64",
    "dense_inputs": "Int64",
}
_PREFERRED = ("filter", "connection", BOTH, "weight", "kernel")  # of what explains the zeros equally well
_NEARLY_ALL = 0.95  # of what is gone
_SOME = 0.1  # of the zeros: whole filters that are no accident of removed connections
_TINY = 1e-6  # of a layer's largest weight: as good as 0
_KINDS = {4: "conv", 2: "linear"}  # by rank


@dataclass(frozen=True)
class Recognised:
    """What was pruned.

    Attributes:
        layers: one row a layer: `layer`, `kind` (conv, linear); `weights`, `zeros` and their `share`; `granularity`
            (none, weight, filter, connection, kernel, "2:4": 2 of every 4 left, or channels: fewer than in the dense
            network, and no zeros); `covered`, the share of the zeros that lie in whole groups of it; `filters` and
            `inputs` of the weight; `zero_filters`, `zero_connections`, `zero_kernels`, how many are wholly 0; `n_m`,
            "2:4" or ""; `distinct`, how many values the weights other than 0 have, NA for more than 256;
            `dense_filters` and `dense_inputs`, NA where they are not known.
        overall: `granularity`, one of those, or mixed, or unknown where there are no weights; `share` of zeros among
            all weights, None likewise; `weights`, `zeros`; `gone`, the share of the dense network's weights that are 0
            or not there, None where that is not known; `pruned` and `untouched`, numbers of layers; `dead_layers`, the
            names of those wholly 0; `shared`, whether weights are shared; `text`, a sentence; `notes`, more of them;
            `evidence`: granularity to the share of the zeros that lie in whole groups of it (kernels of one weight do
            not count).
    """

    layers: pd.DataFrame
    overall: dict[str, Any]


def recognise(weights: Weights, dense: Weights | None = None) -> Recognised:
    """Say what was pruned in a network, layer by layer and as a whole.

    Args:
        weights: layer to its weight on the CPU, (out, in / groups, height, width) or (out, in), in the network's order.
        dense: the same of the network that it was made from, to see channels that are gone.

    Raises:
        PrunescopeError: a tensor of another rank, or weights that are NaN or infinite.
    """
    check_weights(weights, "pruned" if dense else "given")
    check_weights(dense or {}, "dense")
    before, smaller = _shapes_before(weights, dense or {})
    patterns = {name: find_pattern(weight) for name, weight in weights.items()}
    ranked = _rank(patterns.values())
    layers = []
    for name, weight in weights.items():
        taken_out = math.prod(before[name]) - weight.numel() if smaller and name in before else 0
        layers.append(
            RecognisedLayer(
                name,
                _KINDS[weight.ndim],
                patterns[name],
                _of_layer(patterns[name], ranked, taken_out > 0),
                before.get(name, ()),
                taken_out,
                _count_tiny(weight, patterns[name].zeros),
            )
        )
    total = sum(weight.numel() for weight in dense.values()) if dense and before else 0
    return Recognised(_table(layers), _overall(layers, total))


def _shapes_before(weights: Weights, dense: Weights) -> tuple[dict[str, tuple[int, ...]], bool]:
    """Return the shapes of the layers in the dense network, if this one was made from it, and whether it is smaller."""
    pairs = pair_layers(dense, weights)
    if not (pairs.equal or pairs.smaller):
        return {}, False
    return {own: tuple(dense[name].shape) for name, own in pairs.pruned.items()}, pairs.smaller


def _rank(patterns: Iterable[ZeroPattern]) -> list[str]:
    """Return granularities, the one that explains most zeros first.

    So where a layer allows several, as a 1 x 1 convolution, of which a kernel is a weight, the others decide.
    """
    zeros, bits = Counter[str](), Counter[str]()
    for pattern in patterns:
        if pattern.touched:
            plausible = pattern.plausible
            for name in plausible.keys() | ({"filter", "connection"} if BOTH in plausible else set()):
                zeros[name] += pattern.zeros
                bits[name] += round(plausible.get(name, 0))
    place = {name: place for place, name in enumerate(_PREFERRED)}
    return sorted(zeros, key=lambda name: (-zeros[name], -bits[name], place.get(name, len(place)), name))


def _of_layer(pattern: ZeroPattern, ranked: Sequence[str], shrunk: bool) -> str:
    if not pattern.touched:
        return CHANNELS if shrunk else NONE
    found = next(name for name in ranked if name in pattern.plausible)
    return found if found != BOTH else _filter_or_connection([pattern])


def _filter_or_connection(patterns: Sequence[ZeroPattern]) -> str:
    """Say what was removed where whole filters and whole connections are 0.

    Whoever removes filters may zero the inputs that read them as well. A filter that is 0 by itself, or because all its
    connections are, does not make filters of connections.
    """
    held = sum(pattern.held["filter"] for pattern in patterns)
    return "filter" if held >= _SOME * sum(pattern.zeros for pattern in patterns) else "connection"


def _count_tiny(weight: torch.Tensor, zeros: int) -> int:
    """Return how many weights other than 0 are as good as 0."""
    size = weight.detach().abs().float()
    return int((size < _TINY * size.max()).count_nonzero()) - zeros if zeros < weight.numel() else 0


def _overall(layers: Sequence[RecognisedLayer], before: int) -> dict[str, Any]:
    """Return what is said of the network as a whole; `before`: weights of the dense one, 0 where that is not known."""
    weights = sum(layer.pattern.weights for layer in layers)
    zeros = sum(layer.pattern.zeros for layer in layers)
    untouched = sum(layer.granularity == NONE for layer in layers)
    found: dict[str, Any] = {
        "granularity": _of_network(layers),
        "share": zeros / weights if weights else None,
        "weights": weights,
        "zeros": zeros,
        "gone": 1 - (weights - zeros) / before if before else None,
        "pruned": len(layers) - untouched,
        "untouched": untouched,
        "dead_layers": [layer.name for layer in layers if 0 < layer.pattern.weights == layer.pattern.zeros],
        "shared": any(layer.shared for layer in layers),
        "evidence": _evidence([layer.pattern for layer in layers if layer.pattern.touched]),
    }
    return found | {"text": write_text(found, layers), "notes": write_notes(found, layers)}


def _of_network(layers: Sequence[RecognisedLayer]) -> str:
    """Return the granularity of nearly all that is gone."""
    gone = Counter[str]()
    touched = [layer for layer in layers if layer.pattern.touched]
    for layer in touched:
        gone[layer.granularity] += layer.pattern.zeros
    gone[CHANNELS] += sum(layer.taken_out for layer in layers)
    if not gone.total():
        return NONE if layers else UNKNOWN
    found, most = gone.most_common(1)[0]
    if most >= _NEARLY_ALL * gone.total():
        return found
    if gone["filter"] + gone["connection"] >= _NEARLY_ALL * gone.total():
        return _filter_or_connection([layer.pattern for layer in touched])
    return MIXED


def _evidence(touched: Sequence[ZeroPattern]) -> dict[str, float]:
    """Return granularity to the share of the zeros that lie in whole groups of it."""
    zeros = sum(pattern.zeros for pattern in touched)
    held = {"filter": 0, "connection": 0, "kernel": 0, "weight": zeros}
    for pattern in touched:
        held["filter"] += pattern.held["filter"]
        held["connection"] += pattern.held["connection"]
        held["kernel"] += pattern.held["kernel"] if pattern.kernel_size > 1 else 0
    return {name: count / zeros for name, count in held.items()} if zeros else {}


def _table(layers: Sequence[RecognisedLayer]) -> pd.DataFrame:
    rows = []
    for layer in layers:
        pattern = layer.pattern
        covered = pattern.held[layer.granularity] / pattern.zeros if pattern.touched else math.nan
        filters, inputs, *_ = pattern.shape
        rows.append(
            (
                layer.name, layer.kind, pattern.weights, pattern.zeros, pattern.share, layer.granularity, covered,
                filters, inputs, pattern.filters, pattern.connections, pattern.kernels,
                layer.granularity if ":" in layer.granularity else "", pattern.distinct,
                *(layer.dense[:2] or (None, None)),
            )
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
