"""How conclusions write numbers, intervals and names."""

from __future__ import annotations

import math

from prunescope.analysis.metric_words import Measure
from prunescope.analysis.results import is_rate
from prunescope.measures.significance import LEVEL


def value(measure: Measure, number: float) -> str:
    """Write a value of a measure: 84.6 %, 0.673, 2,715."""
    if measure.unit == "share":
        return f"{100 * number:.1f} %"
    return _minus(f"{number:,.0f}" if measure.unit == "count" else f"{number:.3f}")


def size(measure: Measure, difference: float) -> str:
    """Write how large a difference is, without its sign: 1.2 points, 0.012, 21."""
    return _plain(measure, abs(difference)) + (" points" if measure.unit == "share" else "")


def tolerance(measure: Measure, margin: float) -> str:
    """Write a margin: ± 1 point, ± 0.01."""
    if measure.unit != "share":
        return f"± {margin:g}"
    return f"± {100 * margin:g} point{'' if margin == 0.01 else 's'}"


def within(measure: Measure, low: float, high: float, level: int = 95) -> str:
    """Write an interval of differences: 95 % interval −2.1 to −0.3 points."""
    unit = " points" if measure.unit == "share" else ""
    return f"{level} % interval {signed(measure, low)} to {signed(measure, high)}{unit}"


def signed(measure: Measure, number: float) -> str:
    """Write a change with its sign, without a unit: +0.012, −1.2, 0.000."""
    if math.isnan(number):
        return "unknown"
    text = _plain(measure, abs(number))
    return text if not text.strip("0.,") else f"{'−' if number < 0 else '+'}{text}"


def coefficient(number: float, digits: int = 2) -> str:
    """Write a correlation or a size of effect: −0.31."""
    text = f"{number:.{digits}f}"
    return _minus(text if text.strip("-0.") else text.lstrip("-"))


def p_value(p: float) -> str:
    """Write p = 0.031, or p < 0.001."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def name(text: str) -> str:
    """Write a name that the user gave, on one line and in quotation marks, without what steers a terminal."""
    return f"“{line(text)}”"


def line(text: str) -> str:
    """Write a text on one line, its control characters and marks of direction left out."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def at(target: str, rate: float) -> str:
    """Write what was asked: 80 %, or the budget as it was given."""
    return f"{round(100 * rate, 1):g} %" if is_rate(target) else name(target)


def plural(number: int, noun: str) -> str:
    """Write 1 seed, 3 seeds, 3 classes, 4 series."""
    ending = "" if number == 1 or noun == "series" else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def judged(p: float, p_holm: float, among: int, low: float = math.nan, high: float = math.nan) -> str:
    """Write a p-value with what Holm's correction makes of it, where there is something to correct for.

    Args:
        low: of the interval that is told beside it, if the test was not made from it; says if that holds no effect.
        high: as low.
    """
    doubted = ", but the interval holds 0" if p_holm < LEVEL and low <= 0 <= high else ""
    if among < 2:
        return p_value(p) + doubted
    if p < LEVEL <= p_holm:
        return f"{p_value(p)} by itself, {p_holm:.3f} among {among} (Holm)"
    return f"{p_value(p_holm)} among {among} (Holm){doubted}"


def _plain(measure: Measure, number: float) -> str:
    if measure.unit == "share":
        return f"{100 * number:.1f}"
    if measure.unit == "count":
        return f"{number:,.0f}" if abs(number) >= 10 or number == round(number) else f"{number:.1f}"
    return f"{number:.3f}"


def _minus(text: str) -> str:
    return text.replace("-", "−")
