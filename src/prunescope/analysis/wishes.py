"""What a pruned network is to keep: a bound on one metric, which may depend on the dense network's."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from prunescope.analysis.conditions import EQUAL, Condition, parse
from prunescope.errors import PrunescopeError, some

DENSE = "dense"
PROBES = (0.25, 1.5, 4.0)  # values at which a wish is tried: is it a bound?
PROBE = 0.7  # for the dense network's
AS_A_BOUND = "write it as a bound, such as 'top1 >= dense - 0.01'"


@dataclass(frozen=True)
class Wish:
    """A metric that is to be at least, or at most, what may depend on the dense network's.

    Attributes:
        text: as it was written.
        metric: as the tables call it.
        at_least: whether the bound is one from below.
        strict: whether the bound itself is not enough.
        of_dense: whether the bound depends on the dense network.
    """

    text: str
    metric: str
    at_least: bool
    strict: bool
    of_dense: bool
    _condition: Condition = field(repr=False, compare=False)
    _name: str = field(repr=False, compare=False)

    def bound(self, dense: float) -> float:
        """Return the value of the metric at which the wish just holds; NaN if there is none.

        So it is if `dense` is needed and is NaN, or if it turns a lower bound into an upper one: x / dense >= 1, for
        a dense network below 0.
        """
        line = _line(self._condition, self._name, dense)
        return -line[0] / line[1] if line and line[1] and (line[1] > 0) == self.at_least else math.nan

    def surplus(self, value: float, dense: float) -> float:
        """Return by how much a value is better than the bound, in its unit; NaN if something is not known.

        0 where they are equal to nine digits.
        """
        return self.beyond(value, self.bound(dense))

    def beyond(self, value: float, bound: float) -> float:
        """Return by how much a value is better than a bound."""
        if math.isclose(value, bound, rel_tol=EQUAL, abs_tol=1e-12):
            return 0.0
        return value - bound if self.at_least else bound - value

    def holds(self, surplus: float) -> bool:
        """Whether a surplus is enough; one that is not known is not."""
        return surplus > 0 if self.strict else surplus >= 0

    @property
    def share_of_dense(self) -> float | None:
        """By how much the bound rises as the dense network's value rises by 1; None if it is no straight line."""
        first, second, third = (self.bound(value) for value in (0.5, 1.0, 1.5))
        straight = math.isclose(second - first, third - second, rel_tol=EQUAL, abs_tol=1e-12)
        return 2 * (second - first) if straight else None


def read_wishes(texts: Sequence[str], measured: Sequence[str], all_names: Collection[str]) -> list[Wish]:
    """Read wishes.

    Args:
        texts: conditions; each names one metric, and `dense` for the same of the dense network. A metric whose name
            has other signs than letters and digits is written as it stands, or with _ for each.
        measured: the metrics of this study.
        all_names: those that any study may have.

    Raises:
        PrunescopeError: there is none; one is no condition, no bound, or names no metric of this study, or several.
    """
    if not texts:
        raise PrunescopeError(
            "nothing is to be kept: give one wish or more, as --keep 'top1 >= dense - 0.01'; "
            f"this run has {', '.join(measured) or 'no metric at all'}"
        )
    wishes = [_read(text, measured, all_names) for text in texts]
    if twice := [wish for number, wish in enumerate(wishes) if wish in wishes[:number]]:
        raise PrunescopeError(f"the wish {twice[0].text!r} is given twice: keep one")
    return wishes


def _read(text: str, measured: Sequence[str], all_names: Collection[str]) -> Wish:
    plain = {re.sub(r"\W", "_", name): name for name in (*measured, *all_names)}
    condition = parse(_plainly(text, plain), [*plain, DENSE])
    metrics = condition.names - {DENSE}
    if len(metrics) != 1:
        named = some(sorted(metrics)) or "only the dense network's value"
        raise PrunescopeError(
            f"the wish {text!r} names {named}: name one metric in each wish, and `dense` for the dense network's"
        )
    (name,) = metrics
    metric = plain[name]
    if metric not in measured:
        raise PrunescopeError(
            f"the wish {text!r} asks for {metric!r}, which this run did not measure: add its measure to the study "
            f"and run it again; there are {', '.join(measured)}"
        )
    line = _line(condition, name, PROBE)
    if condition.operator in {"==", "!="} or line is None or not line[1]:
        raise PrunescopeError(f"the wish {text!r} sets no bound on {metric}: {AS_A_BOUND}")
    return Wish(text, metric, line[1] > 0, condition.strict, DENSE in condition.names, condition, name)


def _plainly(text: str, plain: dict[str, str]) -> str:
    """Write the names that have other signs in them with _ for each."""
    odd = sorted((name for name in plain.values() if not name.isidentifier()), key=len, reverse=True)
    if not odd:
        return text
    return re.sub(
        rf"(?<!\w)({'|'.join(map(re.escape, odd))})(?!\w)",
        lambda found: re.sub(r"\W", "_", found[0]),
        text,
    )


def _line(condition: Condition, name: str, dense: float) -> tuple[float, float] | None:
    """Return the margin as a straight line in the metric, its value at 0 and its slope; None if it is none."""
    margins = [condition.margin({name: value, DENSE: dense}) for value in PROBES]
    slope = (margins[1] - margins[0]) / (PROBES[1] - PROBES[0])
    start = margins[0] - slope * PROBES[0]
    ends = start + slope * PROBES[2], margins[2]
    return (start, slope) if math.isclose(*ends, rel_tol=EQUAL, abs_tol=1e-9) else None
