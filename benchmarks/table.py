"""What a benchmark found: rows, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

HEADINGS = ("what", "value", "compared with", "ratio", "target", "holds")


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        against: what `ratio` compares with.
        ratio: this divided by that.
        most: the target for `value`, in its unit.
        least: the same, where more is better.
        most_ratio: the target for `ratio`.
        least_ratio: the target for `ratio` where more is better; it then says how many times as fast this is.
    """

    name: str
    value: float
    unit: str
    against: str = ""
    ratio: float | None = None
    most: float | None = None
    most_ratio: float | None = None
    least_ratio: float | None = None
    least: float | None = None

    @property
    def target(self) -> str:
        if self.most is not None:
            return f"≤ {self.most:g} {self.unit}"
        if self.least is not None:
            return f"≥ {self.least:g} {self.unit}"
        if self.least_ratio is not None:
            return f"≥ {self.least_ratio:g} ×"
        return f"≤ {self.most_ratio:.3g} ×" if self.most_ratio is not None else ""

    @property
    def holds(self) -> bool | None:
        """Whether the target holds; None without one."""
        if self.most is not None:
            return self.value <= self.most
        if self.least is not None:
            return self.value >= self.least
        if self.ratio is None:
            return None
        if self.least_ratio is not None:
            return self.ratio >= self.least_ratio
        return None if self.most_ratio is None else self.ratio <= self.most_ratio

    def cells(self) -> tuple[str, ...]:
        ratio = "" if self.ratio is None else f"{self.ratio:.4g} ×"
        holds = {True: "yes", False: "NO", None: ""}[self.holds]
        return self.name, f"{self.value:.4g} {self.unit}", self.against, ratio, self.target, holds

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "target": self.target, "holds": self.holds}


def markdown(machine: str, found: Mapping[str, Iterable[Row]]) -> str:
    """Return all rows as Markdown, one table a benchmark."""
    lines = [machine, ""]
    for benchmark, rows in found.items():
        lines += [f"## {benchmark}", "", _line(HEADINGS), _line("---" for _ in HEADINGS)]
        lines += [*(_line(row.cells()) for row in rows), ""]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
