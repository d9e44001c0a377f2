"""What was pruned, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prunescope.errors import some
from prunescope.pruning.recognised_layer import CHANNELS, MIXED, NONE, UNKNOWN, RecognisedLayer

_LIE = {"weight": "one by one", "filter": "as whole filters", "connection": "as whole connections",
        "kernel": "as whole kernels"}  # fmt: skip
_WORTH_TELLING = 1e-3  # of the zeros, or of the weights
_ONE_RATE = 0.01  # shares of zeros so near may be one rate


def write_text(found: Mapping[str, Any], layers: Sequence[RecognisedLayer]) -> str:
    """Say in one sentence what was pruned.

    Args:
        found: `Recognised.overall`, as far as it is known.
    """
    granularity, share = found["granularity"], found["share"]
    if granularity == UNKNOWN:
        return "Its weights cannot be read, so that what was pruned is not known."
    if granularity == NONE:
        few = (
            f"{found['zeros']:,} of {found['weights']:,} weights are 0, no more than may be so by themselves"
        )
        return f"No sign of pruning: {few if found['zeros'] else 'no weight is 0'}."
    where = f"in {found['pruned']} of {len(layers)} layers"
    if granularity == CHANNELS:
        return f"Channels were taken out {where}: {_percent(found['gone'])} of the dense network’s weights are gone."
    if granularity == MIXED and any(layer.taken_out for layer in layers):
        gone = f"{_percent(found['gone'])} of the dense network’s weights are gone"
        return f"Channels were taken out, and {_percent(share)} of the weights that are left are 0: {gone}."
    return f"{_percent(share)} of the weights are 0, {_how(granularity)}, {where}{_counted(granularity, layers)}."


def write_notes(found: Mapping[str, Any], layers: Sequence[RecognisedLayer]) -> list[str]:
    """Say what else there is to know of it, a sentence each."""
    touched = [layer for layer in layers if layer.pattern.touched]
    notes = [
        _kinds(found["granularity"], touched),
        _chance(found, touched),
        _inputs_too(found["granularity"], touched),
        _undecided(found["granularity"], touched),
        _smaller([layer for layer in layers if layer.taken_out]),
        _rates(touched),
        _untouched(found, layers),
        _dead(found["dead_layers"]),
        _shared([layer for layer in layers if layer.shared]),
        _tiny(found["weights"], sum(layer.tiny for layer in layers)),
    ]
    return [note for note in notes if note]


def _percent(share: float) -> str:
    text = f"{100 * share:.1f}"
    return f"{text} %" if text != "0.0" else "less than 0.1 %"


def _how(granularity: str) -> str:
    if granularity == MIXED:
        return "in several ways"
    kept, _, m = granularity.partition(":")
    return f"{kept} of every {m} consecutive inputs left ({granularity})" if m else _LIE[granularity]


def _counted(granularity: str, layers: Sequence[RecognisedLayer]) -> str:
    """Count the groups that are 0, of those in the layers where some are."""
    if granularity not in ("filter", "connection"):
        return ""
    side = 0 if granularity == "filter" else 1
    pruned = [layer.pattern for layer in layers if layer.granularity == granularity]
    gone = sum(pattern.filters if side == 0 else pattern.connections for pattern in pruned)
    return f": {gone:,} of {sum(pattern.shape[side] for pattern in pruned):,} there"


def _kinds(granularity: str, touched: Sequence[RecognisedLayer]) -> str:
    """Say in which layers the zeros lie otherwise than in most."""
    others: dict[str, list[str]] = {}
    for layer in touched:
        if granularity == MIXED or {granularity, layer.granularity} != {"filter", "connection"}:
            others.setdefault(layer.granularity, []).append(layer.name)
    others.pop(granularity, None)
    told = "; ".join(f"{_how(name)} in {some(names)}" for name, names in others.items())
    return f"The zeros lie {told}." if told else ""


def _chance(found: Mapping[str, Any], touched: Sequence[RecognisedLayer]) -> str:
    """Say how many zeros of single weights happen to make whole groups."""
    kernels = found["evidence"].get("kernel", 0.0)
    if found["granularity"] != "weight" or kernels < _WORTH_TELLING:
        return ""
    return (
        f"{_percent(kernels)} of the zeros happen to fill whole kernels, {_percent(found['evidence']['filter'])} whole "
        "filters; the others do not, so that neither was what went as one."
    )


def _inputs_too(granularity: str, touched: Sequence[RecognisedLayer]) -> str:
    alive = [layer.pattern for layer in touched if layer.pattern.zeros < layer.pattern.weights]
    if granularity == "filter" and any(pattern.connections for pattern in alive):
        return "Whole connections are 0 beside the filters, as where the inputs that read a removed filter go with it."
    if granularity == "connection" and any(pattern.filters for pattern in alive):
        return "A few whole filters are 0 beside the connections."
    return ""


def _undecided(granularity: str, touched: Sequence[RecognisedLayer]) -> str:
    if granularity != "weight" or any(layer.pattern.kernel_size > 1 for layer in touched):
        return ""
    if not any(layer.kind == "conv" for layer in touched):
        return ""
    return "A kernel of 1 x 1 is one weight: whether kernels or weights were removed cannot be told here."


def _smaller(smaller: Sequence[RecognisedLayer]) -> str:
    if not smaller:
        return ""
    filters, inputs = (sum(layer.pattern.shape[i] < layer.dense[i] for layer in smaller) for i in (0, 1))
    if not filters:
        return f"Inputs are fewer in {_layers(inputs)}, filters in none: each gathers the connections that are left."
    return f"Filters are fewer than in the dense network in {_layers(filters)}, inputs in {_layers(inputs)}."


def _rates(touched: Sequence[RecognisedLayer]) -> str:
    if len(touched) < 2:
        return ""
    ordered = sorted(touched, key=lambda layer: layer.pattern.share)
    least, middle, most = ordered[0], ordered[len(ordered) // 2].pattern.share, ordered[-1]
    if all(abs(layer.pattern.share - middle) <= _rounding(layer) for layer in touched):
        return f"The share of zeros is about the same in each of these layers, {_percent(middle)}."
    return (
        f"The share of zeros differs from layer to layer: from {_percent(least.pattern.share)} ({least.name}) to "
        f"{_percent(most.pattern.share)} ({most.name})."
    )


def _rounding(layer: RecognisedLayer) -> float:
    """Return how far a layer's share of zeros may be from a rate, since only whole groups are removed."""
    groups = {"filter": layer.pattern.shape[0], "connection": layer.pattern.shape[1]}.get(layer.granularity)
    return _ONE_RATE + (1 / groups if groups else 0)


def _untouched(found: Mapping[str, Any], layers: Sequence[RecognisedLayer]) -> str:
    names = [layer.name for layer in layers if layer.granularity == NONE]
    return f"Not pruned: {some(names)}." if names and found["pruned"] else ""


def _dead(names: Sequence[str]) -> str:
    return (
        f"Every weight is 0 in {some(names)}: what these layers put out does not depend on the image."
        if names
        else ""
    )


def _shared(shared: Sequence[RecognisedLayer]) -> str:
    if not shared:
        return ""
    counts = sorted(layer.pattern.distinct or 0 for layer in shared)
    values = str(counts[0]) if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    different = "one value" if values == "1" else f"{values} different values"
    return f"Weights are shared: in {_layers(len(shared))} they have only {different} other than 0."


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"


def _tiny(weights: int, tiny: int) -> str:
    if tiny < _WORTH_TELLING * weights or not tiny:
        return ""
    return (
        f"{_percent(tiny / weights)} of the weights are not 0, but smaller than a millionth of the largest in their "
        "layer: as good as 0, and not counted as zeros."
    )
