"""The conditions to fail of an audit: read before any work, answered with its numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from prunescope.analysis.conditions import Condition, parse
from prunescope.auditing.found import Metrics, Value
from prunescope.auditing.metric_names import Metric, batches_in, known_metrics
from prunescope.auditing.settings import AuditSettings
from prunescope.errors import PrunescopeError, did_you_mean

_N_OF_M = re.compile(r"[1-9][0-9]*:[1-9][0-9]*")
_ASK = {
    "speed": "not asked for: add --speed, in Python speed=True",
    "dissection": "not asked for: give annotated images with --concepts SOURCE, in Python concepts=[…]",
}
_DIGITS = (4, 6, 9, 17)
_LARGE = 1e15  # written with an exponent

Ends = Mapping[str, Sequence[float]]  # of intervals, by the name of the number


def check_conditions(texts: Sequence[str], settings: AuditSettings, labelled: bool = True) -> list[Condition]:
    """Read conditions, and see that an audit with these settings will have what they need.

    Args:
        texts: such as "top1_drop > 0.01".
        labelled: whether the images have labels.

    Raises:
        PrunescopeError: one is no condition, names nothing that an audit knows, or what is not measured here.
    """
    return [_checked(text, settings, labelled) for text in texts]


def _checked(text: str, settings: AuditSettings, labelled: bool) -> Condition:
    known = known_metrics(settings, batches_in(text))
    condition = parse(text, known, "metric of an audit")
    for name in sorted(condition.names):
        if why := _why_not(name, known[name], settings, labelled):
            raise PrunescopeError(f"the condition {text!r} needs {name}, {why}")
    metrics = {name: known[name] for name in condition.names}
    _check_texts(condition, metrics)
    _check_share(condition, metrics)
    return condition


def _why_not(name: str, metric: Metric, settings: AuditSettings, labelled: bool) -> str:
    """Return why an audit will not have a number; "" if it will, as far as settings tell."""
    measure = metric.quantity.measure
    if metric.quantity.labels and not labelled:
        return (
            "which needs labels, and the images have none: give a folder with a subfolder a class, or ask for "
            "agreement, changed, divergence"
        )
    if measure not in settings.measures:
        return f"a number of {measure}, which is {_ASK.get(measure, f'left out: drop --skip {measure}')}"
    if "proxy" in name and settings.explanations is not None and settings.explanations.proxy is None:
        return "and no proxy is given: --set explanations.proxy.network=NAME"
    if measure == "forgetting" and settings.forgetting is not None and settings.forgetting.attributes is None:
        return "and no groups of images are given: --set forgetting.attributes=FILE.csv"
    return _other_detail(metric, settings)


def _other_detail(metric: Metric, settings: AuditSettings) -> str:
    """Return that a runtime, a batch or a method is not among those of the audit; "" if it is."""
    asked: list[tuple[str, str | int, Sequence[str | int]]] = []
    if metric.batch and settings.speed is not None:
        asked.append(("speed.runtimes", metric.detail, settings.speed.runtimes))
        asked.append(("speed.batches", metric.batch, settings.speed.batches))
    elif metric.detail and settings.explanations is not None:
        asked.append(("explanations.methods", metric.detail, settings.explanations.methods))
    for field, one, given in asked:
        if one not in given:
            more = ", ".join(map(str, (*given, one)))
            return f"and {one} is not among {field}: --set '{field}=[{more}]'"
    return ""


def _check_texts(condition: Condition, metrics: Mapping[str, Metric]) -> None:
    """Refuse texts that are reckoned with, and those that a metric never is, with which nothing would ever fail."""
    texts = [name for name, metric in metrics.items() if metric.quantity.unit == "text"]
    values = {name: f"<{name}>" if name in texts else 1.0 for name in metrics}
    condition.holds(values)
    if len(texts) != 1 or not (known := metrics[texts[0]].quantity.values):
        return
    for side in (condition.left(values), condition.right(values)):
        if isinstance(side, str) and side not in (f"<{texts[0]}>", *known) and not _N_OF_M.fullmatch(side):
            raise PrunescopeError(
                f"the condition {condition.text!r} asks for {side!r}, which {texts[0]} never is"
                f"{did_you_mean(side, known)}: it is one of {', '.join(known)}"
            )


def _check_share(condition: Condition, metrics: Mapping[str, Metric]) -> None:
    """Refuse a bound that no share reaches, such as 1 for 1 %: the gate would pass, or fail, whatever happens."""
    (name,) = metrics if len(metrics) == 1 else [""]
    alone = name in (condition.left_text, condition.right_text) and condition.operator not in {"==", "!="}
    if not alone or metrics[name].quantity.unit != "share":
        return
    held = condition.holds({name: -1.0})  # a change of a share goes from −1 to 1
    if held is not None and held is condition.holds({name: 1.0}):
        raise PrunescopeError(
            f"the condition {condition.text!r} {'always' if held else 'never'} holds: {name} is a share, 1 at most; "
            "write 1 % as 0.01"
        )


def answer(
    conditions: Sequence[Condition],
    metrics: Metrics,
    intervals: Ends,
    not_measured: Mapping[str, str] = {},
) -> list[dict[str, Any]]:
    """Say of each condition whether it holds.

    Args:
        conditions: as `check_conditions` reads them.
        metrics: name to value.
        intervals: name to the ends of its 95 % interval.
        not_measured: measure to why it has no numbers.

    Returns:
        For each `condition`, its text; `held`: whether it does, None where a number has no value; `reason`: a sentence
        with the numbers, which also says if the interval of a number leaves it open.
    """
    found = []
    for condition in conditions:
        held = condition.holds(metrics)
        if held is None:
            reason = _no_value(condition, metrics, not_measured)
        else:
            reason = _said(condition, held, metrics, intervals)
        found.append({"condition": condition.text, "held": held, "reason": reason})
    return found


def _no_value(condition: Condition, metrics: Metrics, not_measured: Mapping[str, str]) -> str:
    unknown = [name for name in sorted(condition.names) if _unknown(metrics.get(name))]
    if not unknown:
        return f"{condition.text} divides by zero, so it has no answer"
    name = unknown[0]
    known = known_metrics(batches=batches_in(condition.text))
    if name not in known:  # a method of explanation that has no name of ours
        return f"{name} has no value"
    metric = known[name]
    why = not_measured.get(metric.quantity.measure, "it is not defined for these networks and images")
    others = [other for other, one in known.items() if one.detail and not _unknown(metrics.get(other))]
    return f"{name} has no value: {why}{did_you_mean(name, others) if metric.detail else ''}"


def _unknown(value: Value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _said(condition: Condition, held: bool, metrics: Metrics, intervals: Ends) -> str:
    names = sorted(condition.names, key=condition.text.find)
    left, right = condition.left(metrics), condition.right(metrics)
    found = [f"{name} is {_written(metrics[name], right)}{_between(name, intervals)}" for name in names]
    if names == [condition.left_text]:
        said = f"{found[0]}, which is {'' if held else 'not '}{condition.operator} {condition.right_text}"
        bound = f"the interval includes {condition.right_text}"
    else:
        sides = f"{_written(left, right)} against {_written(right, left)}"
        said = f"{', '.join(found)}: {condition.text} {'holds' if held else 'does not hold'} ({sides})"
        bound = "at one end of the interval it is otherwise"
    return (
        f"{said}; not shown beyond chance: {bound}"
        if _left_open(condition, held, metrics, intervals)
        else said
    )


def _between(name: str, intervals: Ends) -> str:
    if name not in intervals:
        return ""
    low, high = (_written(end) for end in intervals[name])
    return f" (95 % interval {low} to {high})"


def _left_open(condition: Condition, held: bool, metrics: Metrics, intervals: Ends) -> bool:
    """Whether the interval of a number reaches both sides of the bound, where it is the only number that has one."""
    uncertain = [name for name in condition.names if name in intervals]
    if len(uncertain) != 1 or condition.operator in {"==", "!="}:
        return False
    return any(condition.holds({**metrics, uncertain[0]: end}) is not held for end in intervals[uncertain[0]])


def _written(value: Value, other: Value = None) -> str:
    """Write a value with four digits, and with more where it would look like the other one and is not."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, str):
        return repr(value)
    if float(value).is_integer() and abs(value) < _LARGE:
        return f"{value:.0f}"
    texts = [f"{value:.{digits}g}" for digits in _DIGITS]
    if isinstance(other, str | bool) or other is None or value == other:
        return texts[0]
    pairs = zip(texts, _DIGITS, strict=True)
    return next((text for text, digits in pairs if float(text) != float(f"{other:.{digits}g}")), texts[-1])
