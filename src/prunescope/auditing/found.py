"""Numbers with their intervals, as an audit finds them and as it hands them on."""

from __future__ import annotations

import math
from typing import NamedTuple

SIDES = ("dense", "pruned")

Value = float | bool | str | None
Metrics = dict[str, Value]
Intervals = dict[str, list[float]]


class Found(NamedTuple):
    """A metric and its interval."""

    value: Value
    low: float = math.nan
    high: float = math.nan


def of_shares(change: float, low: float, high: float) -> Found:
    """Return a change of a share, whose interval ends where shares do."""
    return Found(float(change), max(float(low), -1.0), min(float(high), 1.0))


def split(found: dict[str, Found]) -> tuple[Metrics, Intervals]:
    """Return values and intervals by name; None for a value that is NaN, and no interval where an end is."""
    values = {name: _defined(each.value) for name, each in found.items()}
    intervals = {
        name: [float(each.low), float(each.high)]
        for name, each in found.items()
        if values[name] is not None and math.isfinite(each.low) and math.isfinite(each.high)
    }
    return values, intervals


def _defined(value: Value) -> Value:
    if value is None or isinstance(value, bool | str):
        return value
    return float(value) if math.isfinite(value) else None
