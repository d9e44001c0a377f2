"""How numbers are written: one form for each kind, wherever on the page they stand."""

from __future__ import annotations

import math
import re

from prunescope.analysis.results import is_rate

NO_VALUE = "–"
SPACE = "\u00a0"  # keeps a number and its unit on one line
LONGEST_NAME = 30  # characters of a name on an axis
LONGEST_IN_LEGEND = 44  # two such names stand side by side
UNITS = {"macs": "MACs", "milliseconds": "ms"}  # of budgets
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def percent(fraction: float, decimals: int = 1) -> str:
    """Write .7123 as 71.2 %."""
    return NO_VALUE if math.isnan(fraction) else f"{100 * fraction:.{decimals}f}{SPACE}%"


def short_percent(fraction: float) -> str:
    """Write .4 as 40 % and .5511 as 55.1 %, for the ticks of an axis."""
    return f"{round(100 * fraction, 1):g}{SPACE}%"


def interval(low: float, high: float) -> str:
    """Write an interval of fractions as 88.5–93.6 %, nothing where there is none."""
    return "" if math.isnan(low) or math.isnan(high) else f"{100 * low:.1f}–{percent(high)}"


def points(difference: float) -> str:
    """Write a difference of two fractions, -.0123, as −1.2 points."""
    if math.isnan(difference):
        return NO_VALUE
    tenths = round(100 * difference, 1)
    sign = "−" if tenths < 0 else "+" if tenths > 0 else ""
    return f"{sign}{abs(tenths):.1f}{SPACE}points"


def points_interval(low: float, high: float) -> str:
    """Write an interval of differences as −2.0 to +0.5, in points; nothing where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return " to ".join(points(end).removesuffix(f"{SPACE}points") for end in (low, high))


def decimal(value: float, decimals: int = 3) -> str:
    """Write a number without unit, such as a cross-entropy, as 0.312."""
    return NO_VALUE if math.isnan(value) else f"{value:.{decimals}f}"


def signed(value: float) -> str:
    """Write a number that may be negative, such as a correlation, as −0.31."""
    return decimal(value, 2).replace("-", "−")


def p_value(p: float) -> str:
    """Write a p-value as 0.031, one below a thousandth as < 0.001."""
    return f"<{SPACE}0.001" if p < 0.001 else decimal(p)


def times(factor: float) -> str:
    """Write a compression as 5.0×; infinite where nothing is left."""
    return NO_VALUE if math.isnan(factor) else "∞" if math.isinf(factor) else f"{factor:.1f}×"


def speedup(factor: float) -> str:
    """Write a measured speed-up, whose second decimal counts near 1, as 1.02×, 12.1×."""
    return NO_VALUE if math.isnan(factor) else f"{_three_digits(factor, most=2)}×"


def milliseconds(time: float) -> str:
    """Write a time to three digits: 0.412 ms, 48.7 ms, 1,312 ms."""
    return NO_VALUE if math.isnan(time) else f"{_three_digits(time)}{SPACE}ms"


def per_second(images: float) -> str:
    """Write a throughput as 20.6 /s, 1,312 /s."""
    return NO_VALUE if math.isnan(images) else f"{_three_digits(images)}{SPACE}/s"


def _three_digits(value: float, most: int = 3) -> str:
    """Write a positive number to three digits, with at most so many decimals; whole thousands in full."""
    value = float(f"{value:.3g}") if value < 1000 else value
    decimals = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:,.{min(max(decimals, 0), most)}f}"


def quantity(value: float, unit: str = "") -> str:
    """Write an amount to three digits with its prefix: 1.92 M weights, 26.7 MB."""
    if math.isnan(value):
        return NO_VALUE
    for size, prefix in PREFIXES:
        if abs(value) >= size:
            scaled = value / size
            decimals = max(0, 2 - int(math.log10(abs(scaled))))
            return f"{scaled:.{decimals}f}{SPACE}{prefix}{unit}"
    return f"{value:.0f}{SPACE}{unit}".rstrip()


def whole(number: float) -> str:
    """Write a count without its noun in full: 1,234."""
    return NO_VALUE if math.isnan(number) else f"{number:,.0f}"


def count(number: int, noun: str) -> str:
    """Write 1 seed, 3 seeds, 3 classes."""
    return f"{number:,}{SPACE}{noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Write seeds, classes, series, participants and items."""
    if " and " in noun:
        return " and ".join(plural(each) for each in noun.split(" and "))
    return noun if noun == "series" else f"{noun}es" if noun.endswith("s") else f"{noun}s"


def name_target(target: str, rate: float) -> str:
    """Write what was asked: a rate as 40 %; else ×0.5 of what each layer tolerates, 50 % of MACs, 5 ms."""
    if is_rate(target):
        return short_percent(rate)
    if factor := re.fullmatch(r"x([0-9.e+-]+)", target):
        return f"×{factor[1]}"
    budget = re.fullmatch(r"([0-9.e+-]+)( of)? ([a-z]+)", target)
    if budget is None:
        return target
    amount, unit = float(budget[1]), UNITS.get(budget[3], budget[3])
    if budget[2]:
        return f"{short_percent(amount)} of {unit}"
    return f"{amount:g}{SPACE}{unit}" if unit == "ms" else f"{quantity(amount)}{SPACE}{unit}"


def listing(items: list[str], most: int | None = None) -> str:
    """Write a, b and c; beyond `most` items, the others as a number."""
    if most is not None and len(items) > most:
        items = [*items[:most], f"{len(items) - most} more"]
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def shorten(name: str, longest: int = LONGEST_NAME) -> str:
    """Put a name on one line and cut its middle to fit beside an axis: long names often differ at the end."""
    line = re.sub(r"[^\S\u00a0]+", " ", name).strip()  # a number and its unit stay together
    if len(line) <= longest:
        return line
    end = (longest - 1) // 2
    return f"{line[: longest - 1 - end]}…{line[len(line) - end :]}"
