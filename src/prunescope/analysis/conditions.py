"""Conditions written as text, such as `top1 >= dense - 0.01`: read, never run, then asked of numbers."""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prunescope.errors import PrunescopeError, did_you_mean, some

LONGEST = 300  # characters
DEEPEST = 40  # brackets and signs within one another
EQUAL = 1e-9  # .85 - .01 is .84 for whoever writes a condition, though not for a computer
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_ARITHMETIC: dict[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_TRUTHS = {"true": 1.0, "false": 0.0}  # True and False are constants of Python's own


@dataclass(frozen=True)
class Condition:
    """One comparison of sums, differences, products and quotients of named numbers.

    Attributes:
        text: as it was written.
        operator: one of <, <=, >, >=, ==, !=.
        names: whose values it needs.
    """

    text: str
    operator: str
    names: frozenset[str]
    _left: ast.expr = field(repr=False, compare=False)
    _right: ast.expr = field(repr=False, compare=False)

    @property
    def strict(self) -> bool:
        """Whether it does not hold where both sides are equal."""
        return self.operator in {"<", ">", "!="}

    def holds(self, values: Mapping[str, Any]) -> bool | None:
        """Whether it holds; numbers equal to nine digits are equal. None if a name has no value.

        Args:
            values: a number, a truth or a text per name; None, NaN or nothing where there is no value.

        Raises:
            PrunescopeError: a text is compared with a number, or reckoned with.
        """
        left, right = self.left(values), self.right(values)
        if left is None or right is None:
            return None
        if isinstance(left, str) or isinstance(right, str):
            if not (isinstance(left, str) and isinstance(right, str) and self.operator in {"==", "!="}):
                raise self._of_text(left if isinstance(left, str) else right)
            return (left == right) == (self.operator == "==")
        margin = self._margin(left, right)
        return margin > 0 if self.strict else margin >= 0

    def margin(self, values: Mapping[str, Any]) -> float:
        """Return by how much it holds, in the unit of its sides: 0 where they are equal, below 0 where it fails.

        NaN where a name has no value or where texts are compared.
        """
        left, right = self.left(values), self.right(values)
        if isinstance(left, float) and isinstance(right, float):
            return self._margin(left, right)
        return math.nan

    def left(self, values: Mapping[str, Any]) -> float | str | None:
        """Return what the left side comes to, or None if a name has no value or something is divided by zero."""
        return self._value(self._left, values)

    def right(self, values: Mapping[str, Any]) -> float | str | None:
        """Return what the right side comes to, or None if a name has no value or something is divided by zero."""
        return self._value(self._right, values)

    @property
    def left_text(self) -> str:
        """The left side, as text."""
        return ast.unparse(self._left)

    @property
    def right_text(self) -> str:
        """The right side, as text."""
        return ast.unparse(self._right)

    def _margin(self, left: float, right: float) -> float:
        apart = 0.0 if math.isclose(left, right, rel_tol=EQUAL, abs_tol=1e-12) else left - right
        if self.operator in {"==", "!="}:
            return abs(apart) if self.strict else -abs(apart)
        return -apart if self.operator in {"<", "<="} else apart

    def _value(self, node: ast.expr, values: Mapping[str, Any]) -> float | str | None:
        value = self._reckon(node, values)
        return None if isinstance(value, float) and math.isnan(value) else value

    def _reckon(self, node: ast.expr, values: Mapping[str, Any]) -> float | str | None:
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else float(node.value)  # type: ignore[arg-type]
        if isinstance(node, ast.Name):
            return _TRUTHS[node.id] if node.id not in self.names else _number(values.get(node.id))
        parts = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]  # type: ignore[attr-defined]
        numbers = []
        for part in parts:
            number = self._value(part, values)
            if isinstance(number, str):
                raise self._of_text(number)
            if number is None:
                return None
            numbers.append(number)
        try:
            return _ARITHMETIC[type(node.op)](*numbers)  # type: ignore[attr-defined]
        except ZeroDivisionError:
            return None

    def _of_text(self, value: float | str) -> PrunescopeError:
        return PrunescopeError(
            f"the condition {self.text!r} takes the text {value!r} for a number: compare a text with == or != "
            "and a text in quotes"
        )


def parse(text: str, known: Collection[str], what: str = "metric") -> Condition:
    """Read a condition.

    Args:
        text: one comparison (<, <=, >, >=, ==, !=) of names, numbers, + - * /, brackets, and, with == and !=, text in
            quotes, true or false.
        known: the names that it may use; errors list the first of them.
        what: what a name is called in the error about an unknown one.

    Raises:
        PrunescopeError: it is none, or names nothing that is known.
    """
    comparison = _tree(text)
    if not isinstance(comparison, ast.Compare):
        if isinstance(comparison, ast.BoolOp):
            raise _refused(text, "it joins conditions: give each on its own")
        raise _refused(text, "it compares nothing")
    if len(comparison.ops) > 1:
        raise _refused(text, "it compares more than once: give each comparison on its own")
    if type(comparison.ops[0]) not in COMPARISONS:
        raise _refused(text, "it compares with something other than <, <=, >, >=, == or !=")
    sides = comparison.left, comparison.comparators[0]
    found = list(_names(text, sides, type(comparison.ops[0]), known))
    listed = some(list(known) if isinstance(known, Sequence) else sorted(known))
    if unknown := [name for name in found if name not in known]:
        listed = did_you_mean(unknown[0], known) or f": there are {listed}"
        if isinstance(comparison.ops[0], ast.Eq | ast.NotEq):
            listed += "; a text to compare with goes in quotes"
        raise PrunescopeError(f"no {what} {unknown[0]!r} for the condition {text!r}{listed}")
    if not found:
        raise _refused(text, f"it names nothing: it needs a {what}, such as {listed}")
    return Condition(text, COMPARISONS[type(comparison.ops[0])], frozenset(found), *sides)


def _tree(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise _refused(text[:40] + " …", f"it is longer than {LONGEST} characters")
    try:
        with (
            warnings.catch_warnings()
        ):  # of odd numbers, which the checks below refuse or which mean what they say
            warnings.simplefilter("ignore")
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise _refused(text, _hint(text)) from error


def _hint(text: str) -> str:
    if "%" in text:
        return "write a percentage as a fraction, 1 % as 0.01"
    if "≥" in text or "≤" in text:
        return "write ≥ as >= and ≤ as <="
    if "=" in text.translate(str.maketrans("", "", "<>!")).replace("==", ""):
        return "write >=, <= or == for ="
    return "it does not read as a comparison"


def _refused(text: str, why: str) -> PrunescopeError:
    return PrunescopeError(f"the condition {text!r} cannot be used: {why} (expected, say, 'top1 >= 0.9')")


def _names(
    text: str, sides: tuple[ast.expr, ast.expr], compared: type[ast.cmpop], known: Collection[str]
) -> Iterator[str]:
    """Yield the names of both sides, refusing all that is neither name, number, arithmetic nor a text to compare."""
    waiting = [(side, 0) for side in sides]
    while waiting:
        node, depth = waiting.pop(0)
        if depth > DEEPEST:
            raise _refused(text, f"more than {DEEPEST} brackets or signs are within one another")
        if isinstance(node, ast.Constant):
            equality = depth == 0 and compared in {ast.Eq, ast.NotEq}
            if isinstance(node.value, str):
                if not equality:
                    raise _refused(text, f"the text {node.value!r} can only be compared with == or !=")
            elif not _is_finite(node.value):
                raise _refused(text, f"{ast.get_source_segment(text.strip(), node)} is no finite number")
        elif isinstance(node, ast.Name):
            if node.id in known or node.id not in _TRUTHS:
                yield node.id
        elif isinstance(node, ast.UnaryOp) and type(node.op) in _ARITHMETIC:
            waiting.append((node.operand, depth + 1))
        elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            waiting += [(node.left, depth + 1), (node.right, depth + 1)]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            raise _refused(text, _hint("%"))
        else:
            raise _refused(
                text,
                f"{ast.get_source_segment(text.strip(), node)!r} is more than names, numbers and + - * /",
            )


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # an integer beyond what a float holds
        return False


def _number(value: Any) -> float | str | None:
    if isinstance(value, str):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):  # None, pandas.NA
        return None
