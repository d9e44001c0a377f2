"""The measures that conclusions are drawn about: their names, units, margins, and the figures that show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from prunescope.errors import PrunescopeError, did_you_mean

Unit = Literal["share", "score", "count"]


@dataclass(frozen=True)
class Measure:
    """How one measure is spoken of.

    Attributes:
        words: its name within a sentence.
        unit: a share is told in percent and points, a score in thousandths, a count in whole numbers.
        better: 1 if more is better, -1 if less is, 0 if neither.
        margin: a difference that counts as none, in the unit of the measure.
        figure: the name of the figure of the report that shows it.
        weight: how early conclusions about it are told.
        whole: whether the difference to the dense network's is asked for: not of likeness to the dense one.
    """

    words: str
    unit: Unit
    better: int
    margin: float
    figure: str
    weight: float
    whole: bool = True


_LIKENESS, _FAITHFUL, _SHAPE = "explanations-likeness", "explanations-faithfulness", "explanations-shape"
MEASURES = {
    "top1": Measure("top-1 accuracy", "share", 1, 0.01, "top1-by-rate", 10),
    "calibration_error": Measure("calibration error", "share", -1, 0.01, "other-measures-by-rate", 3),
    "mis": Measure("MIS", "score", 1, 0.01, "mis-by-rate", 9),
    "mis_published": Measure(
        "MIS as published (dead units scored)", "score", 0, 0.01, "mis-by-rate", 1, whole=False
    ),
    "hit_rate": Measure("hit rate of the MIS tasks", "share", 1, 0.01, "", 4),
    "units_alive": Measure("number of live units", "count", 0, 10.0, "units-alive", 2),
    "detectors": Measure("number of detectors", "count", 1, 10.0, "concepts-by-weights-left", 7),
    "unique_detectors": Measure(
        "number of unique detectors", "count", 1, 2.0, "concepts-by-weights-left", 8
    ),
}  # fmt: skip
METHOD_NAMES = {
    "grad-cam": "Grad-CAM",
    "gradient": "gradient",
    "integrated-gradients": "integrated gradients",
    "guided-grad-cam": "guided Grad-CAM",
    "occlusion": "occlusion",
    "lrp": "LRP",
}
OF_EXPLANATIONS = {  # after "<method>/"; the method stands for METHOD
    "spearman": Measure(
        "likeness of METHOD maps to the dense network's (Spearman)",
        "score",
        1,
        0.05,
        _LIKENESS,
        6,
        whole=False,
    ),
    "iou": Measure(
        "overlap of METHOD maps with the dense network's (IoU)", "score", 1, 0.05, _LIKENESS, 4, whole=False
    ),
    "faithfulness": Measure(
        "faithfulness of METHOD maps (insertion less deletion)", "score", 1, 0.02, _FAITHFUL, 5
    ),
    "pointing": Measure("pointing game of METHOD maps", "share", 1, 0.02, _FAITHFUL, 3),
    "inside": Measure("share of METHOD maps inside the object", "share", 1, 0.02, _SHAPE, 3),
    "gini": Measure("concentration of METHOD maps (Gini)", "score", 0, 0.02, _SHAPE, 3),
    "proxy_top1": Measure(
        "share of METHOD maps that a proxy recognises", "share", 1, 0.02, "explanations-proxy", 5
    ),
}


def measure_of(metric: str) -> Measure | None:
    """Return how a metric is spoken of; None for one that no conclusions are drawn about."""
    method, slash, name = metric.rpartition("/")
    if not slash:
        return MEASURES.get(metric)
    found = OF_EXPLANATIONS.get(name)
    return (
        replace(found, words=found.words.replace("METHOD", METHOD_NAMES.get(method, method)))
        if found
        else None
    )


def margin_of(metric: str, margins: Mapping[str, float]) -> float:
    """Return the difference that counts as none: the one given, for one method's maps or for all, or the default."""
    name = metric.rpartition("/")[2]
    measure = measure_of(metric)
    default = measure.margin if measure else float("nan")
    return margins.get(metric, margins.get(name, default))


def read_margins(texts: list[str]) -> dict[str, float]:
    """Read margins as they are given on the command line: `top1=0.005`.

    Raises:
        PrunescopeError: one is no `metric=value`, names no measure that has a margin, or is not above 0.
    """
    margins = {}
    for text in texts:
        metric, _, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError as error:
            raise PrunescopeError(f"the margin {text!r} cannot be read: {_EXPECTED}") from error
        check_margin(metric, number)
        margins[metric] = number
    return margins


_EXPECTED = "expected METRIC=VALUE with a value above 0 in the unit of the measure, such as top1=0.005 for half a point"


def check_margin(metric: str, margin: float) -> None:
    """Refuse a margin of what is no measure, or one that is not above 0.

    Raises:
        PrunescopeError: says which measures there are.
    """
    known = [*MEASURES, *OF_EXPLANATIONS]
    if metric not in known and measure_of(metric) is None:
        listed = did_you_mean(metric, known) or f": there are {', '.join(known)}"
        raise PrunescopeError(f"no measure {metric!r} to give a margin for{listed}")
    number = isinstance(margin, int | float) and not isinstance(margin, bool)
    if not (number and 0 < margin < float("inf")):
        raise PrunescopeError(f"the margin {margin} of {metric} cannot be used: {_EXPECTED}")
    measure = measure_of(metric) or OF_EXPLANATIONS[metric]
    if measure.unit != "count" and margin >= 1:
        raise PrunescopeError(
            f"the margin {margin:g} of {metric} cannot be used: it spans the whole scale, so that all would be equal; "
            f"{_EXPECTED}"
        )
