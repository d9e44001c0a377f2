"""How an axis writes values: the numbers and the names beside its ticks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter

LONG = re.compile(r"\d+\.\d{3,}")
_NAMES: WeakKeyDictionary[Axis, tuple[float, list[str]]] = WeakKeyDictionary()


def name_places(axis: Axis, names: Sequence[str], first: float = 0.0) -> None:
    """Say what stands at `first`, `first` + 1, … along an axis whose ticks have no room for all names."""
    _NAMES[axis] = first, list(names)


@dataclass(frozen=True)
class Scale:
    """How an axis writes a value; `named` if what it writes are names, at whole places."""

    write: Callable[[float], str]
    named: bool = False


def scale_of(panel: Axes, which: str) -> Scale:
    """Return how the x or y axis of a panel, or one that it shares its scale with, writes values."""
    shared = panel.get_shared_x_axes() if which == "x" else panel.get_shared_y_axes()
    panels = [panel, *shared.get_siblings(panel)]
    near: list[Axis] = [ax.xaxis if which == "x" else ax.yaxis for ax in panels]
    for first, names in (_NAMES[each] for each in near if each in _NAMES):
        return Scale(partial(_by_place, first, names), named=True)
    for each in near:
        formatter = each.get_major_formatter()
        if named := _named_ticks(formatter):
            return Scale(partial(_nearest, named), named=True)
        if isinstance(formatter, FuncFormatter):
            return Scale(partial(_formatted, formatter))
    return Scale(lambda value: f"{value:.4g}".replace("-", "−"))


def _by_place(first: float, names: list[str], value: float) -> str:
    return names[min(max(round(value - first), 0), len(names) - 1)]


def _named_ticks(formatter: object) -> dict[float, str]:
    """Return the first line of each name that was given to a tick with `set_ticks`; empty where none were."""
    given: Any = getattr(getattr(formatter, "func", None), "args", ({},))[
        0
    ]  # matplotlib keeps them in a partial
    return (
        {float(at): str(name).split("\n")[0] for at, name in given.items()} if isinstance(given, dict) else {}
    )


def _nearest(names: dict[float, str], value: float) -> str:
    return names[min(names, key=lambda at: abs(at - value))]


def _formatted(formatter: FuncFormatter, value: float) -> str:
    """Write a value as the axis would, without the digits that no tick needs."""
    return LONG.sub(lambda number: f"{float(number[0]):.4g}", str(formatter(value, 0)))
