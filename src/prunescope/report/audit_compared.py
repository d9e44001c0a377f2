"""What was compared: the two networks as they were found, what they see of an image, and their classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prunescope.analysis.audits import Audit, Side
from prunescope.report.blocks import Fact, Section, Table
from prunescope.report.formats import NO_VALUE, count, listing, quantity, short_percent

FORMATS = {
    "checkpoint": "checkpoint (weights alone)",
    "prunescope": "saved by prunescope",
    "torch.export": "torch.export program",
    "ONNX": "ONNX program",
    "TorchScript": "TorchScript program",
    "module": "live module",
    "published": "published weights",
}
SEEN = {
    "resize": "Short side, resized to",
    "crop": "Input, centre crop",
    "interpolation": "Resized by",
    "mean": "Mean subtracted",
    "std": "Divided by",
    "order": "Channels",
    "range": "Largest value",
}
NAMES = ("Network", "Read from")  # rows in which two networks differ anyway
MOST_LEFT_OUT = 8  # classes that are named


def compared(audit: Audit) -> Section:
    """Set the two networks beside each other, as they were found."""
    record = audit.record
    rows = [*_rows(audit), *_preprocess(record.dense.preprocess, record.pruned.preprocess)]
    table = Table(
        ["", "Dense", "Pruned", ""],
        [[name, dense, pruned, _differs(name, dense, pruned)] for name, dense, pruned in rows],
        "The two networks as they were found. Weights are those of convolutions and linear layers.",
        narrow=True,
    )
    return Section(
        "compared",
        "What was compared",
        facts=[_images(audit), *_classes(audit), *_layers(audit)],
        tables=[table],
    )


def _rows(audit: Audit) -> Iterator[tuple[str, str, str]]:
    sides = audit.record.dense, audit.record.pruned
    of: dict[str, list[str]] = {
        "Network": [side.shown for side in sides],
        "Read from": [side.file for side in sides],
        "Format": [FORMATS.get(side.format, side.format) for side in sides],
        "Architecture": [side.architecture for side in sides],
        "Weights": ["" if side.weights is None else quantity(side.weights) for side in sides],
        "Stored as": [_stored(side) for side in sides],
        "Outputs": ["" if side.outputs is None else f"{side.outputs:,}" for side in sides],
        "Layers looked at": ["" if side.internals else "no: it only answers" for side in sides],
    }
    for name, texts in of.items():
        if any(texts):
            empty = "yes" if name == "Layers looked at" else NO_VALUE
            yield name, texts[0] or empty, texts[1] or empty


def _stored(side: Side) -> str:
    """Write the types of the weights as stored, the most frequent first."""
    shares = sorted(side.stored.items(), key=lambda item: -item[1])
    if len(shares) == 1:
        return shares[0][0]
    return listing([f"{short_percent(share)} {name}" for name, share in shares])


def _preprocess(dense: dict[str, Any], pruned: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name in dict.fromkeys([*SEEN, *dense, *pruned]):
        if name in dense or name in pruned:
            yield SEEN.get(name, name), _seen(name, dense), _seen(name, pruned)


def _seen(name: str, preprocess: dict[str, Any]) -> str:
    if name not in preprocess:
        return NO_VALUE
    value = preprocess[name]
    if name == "resize" and value is None:
        return "as it is"
    if name in {"resize", "crop"}:
        return f"{value} px"
    if isinstance(value, list):
        return ", ".join(f"{each:g}" if isinstance(each, int | float) else str(each) for each in value)
    return str(value)


def _differs(name: str, dense: str, pruned: str) -> str:
    """Say whether the two networks differ in something that matters: in words, which need no colour."""
    return "" if dense == pruned or name in NAMES else "differs"


def _images(audit: Audit) -> Fact:
    images = audit.record.images
    labelled = f"of {images.classes:,} classes" if images.labelled else "without labels"
    return Fact(
        "Images", f"{count(images.n, 'image')} {labelled}, from {images.source}; the same for both networks"
    )


def _classes(audit: Audit) -> list[Fact]:
    classes = audit.record.classes
    facts = [Fact("Classes", classes.text)] if classes.text else []
    for of, names in classes.left_out.items():
        if names:
            whose = "the images" if of == "images" else f"the {of} network"
            left = "1 class" if len(names) == 1 else f"{len(names):,} classes"
            facts.append(Fact("Left out", f"{left} of {whose}: {listing(names, MOST_LEFT_OUT)}"))
    return facts


def _layers(audit: Audit) -> list[Fact]:
    if audit.record.comparable:
        return [Fact("Layers", "Both have the same layers, so units are set side by side one by one.")]
    why = f": {audit.record.why_not}" if audit.record.why_not else ""
    return [
        Fact("Layers", f"Units are not set side by side one by one{why}. Totals stand beside each other.")
    ]
