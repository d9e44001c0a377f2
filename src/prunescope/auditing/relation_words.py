"""How two networks are related, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prunescope.auditing.related_layers import RelatedLayer
from prunescope.errors import some
from prunescope.pruning.paired_layers import PairedLayers

_NEAR = 0.5  # correlations of weights that resemble each other
_ALL = 0.99  # of the sampled values of a smaller layer that are found in the larger one


def write_relation(found: Mapping[str, Any], types: tuple[str, str], but_last: bool = False) -> str:
    """Say in one sentence how the networks are related.

    Args:
        found: `Relation.overall`, as far as it is known.
        types: the coarsest types that hold the dense and the pruned network's values.
        but_last: whether the last layer is left out of that, for its other number of outputs.
    """
    share = f"{found['layers_reordered']} of {found['layers']}"
    rounding = f", up to rounding to {found['precision']}" if types[0] != types[1] else ""
    coarser = "pruned" if types[1] == found["precision"] else "dense"
    found_r, chance = found["correlation"] or 0.0, found["chance"] or 0.0
    near = "resemble" if found_r >= _NEAR else "bear a trace of"
    little = "next to nothing" if abs(found_r) > chance else "nothing"
    texts = {
        "identical": "Both networks have the same weights, bit for bit.",
        "half precision": (
            f"Both networks have the same weights; the {coarser} network’s are rounded to {found['precision']}."
        ),
        "re-ordered": (
            f"Both networks have the same filters in another order: in {share} layers the filters of the one, or their "
            f"inputs, stand at other places in the other, weight for weight{rounding}."
        ),
        "rescaled": (
            "The weights other than 0 are the dense network’s own, times a factor for each filter, as where batch "
            "norms were folded into convolutions: none was trained since."
        ),
        "masked": (
            f"All weights other than 0 are the dense network’s own{rounding}: others were set to 0, and none was "
            "trained since."
        ),
        "fine-tuned": (
            f"The weights other than 0 {near} the dense network’s (correlation {_number(found_r)}), as where one "
            "network was trained on from the other, or both from the same start."
        ),
        "unrelated": (
            f"Weight by weight, the networks have {little} in common (correlation {_number(found_r)}; by chance it "
            f"stays within ±{_number(chance)}): they were trained apart, or re-ordered and then changed."
        ),
        "compact": _compact(found),
        "other architecture": _other(found),
        "unknown": "Weights cannot be read, so that how the networks are related is not known.",
    }
    text = texts[found["kind"]]
    return f"But for the last layer: {text[0].lower()}{text[1:]}" if but_last else text


def _compact(found: Mapping[str, Any]) -> str:
    text = "The pruned network has the dense one’s layers with fewer channels"
    if found["kept"] is None:
        return f"{text}."
    if found["kept"] >= _ALL:
        return f"{text}; the weights that are left are the dense network’s own, not trained since."
    own = f"{100 * found['kept']:.0f} % of the weights that are left are the dense network’s own"
    return f"{text}; {own}: the others were trained since or apart, or batch norms were folded into them."


def _other(found: Mapping[str, Any]) -> str:
    missing, added, others = len(found["missing"]), len(found["added"]), found["other_shapes"]
    parts = [f"{missing} of the dense one’s are not in the pruned one"] if missing else []
    parts += [f"{added} of the pruned one’s are not in the dense one"] if added else []
    parts += [f"{others} of one name have other shapes in each"] if others else []
    if alike := found["layers"] - others:
        found_r = (
            ""
            if found["correlation"] is None
            else f" (correlation of their weights {_number(found['correlation'])})"
        )
        parts.append(f"{alike} are alike in name and shape{found_r}")
    return f"The networks have different layers: {', '.join(parts)}."


def _number(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def write_relation_notes(
    found: Mapping[str, Any], layers: Sequence[RelatedLayer], pairs: PairedLayers
) -> list[str]:
    """Say what else there is to know, a sentence each."""
    notes = []
    if pairs.by == "order":
        notes.append(
            "The layers have other names in each network, and were paired in order, as their shapes allow."
        )
    if pairs.other_outputs:
        notes.append(f"The last layer, {layers[-1].layer}, has another number of outputs: other classes.")
    if found["kind"] not in ("other architecture", "compact"):
        for names, which in ((pairs.missing, "dense"), (pairs.added, "pruned")):
            if names:
                notes.append(f"Only the {which} network has {some(names)}.")
    if found["kind"] == "fine-tuned" and (unchanged := [each for each in layers if each.kept == 1]):
        notes.append(
            f"In {len(unchanged)} of {len(layers)} layers the weights other than 0 are the dense network’s own."
        )
    if found["kind"] == "re-ordered":
        notes.extend(_ends(layers))
    return notes


def _ends(layers: Sequence[RelatedLayer]) -> list[str]:
    """Say what a re-ordering did to the colours that the first layer reads, and to the classes."""
    notes = []
    first, last = layers[0], layers[-1]
    if first.order and len(first.order.inputs) == 3 and not np.array_equal(first.order.inputs, np.arange(3)):
        notes.append(
            f"{first.layer} reads the three colours in another order: one of the networks wants images as BGR, not RGB."
        )
    if last.order and last.order.moved:
        notes.append(f"The outputs of {last.layer} stand in another order too: so do the classes.")
    return notes
