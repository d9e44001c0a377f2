"""Conditions as text: what they mean, against Python's own arithmetic, and what is refused."""

from __future__ import annotations

import contextlib
import math
import operator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.analysis.conditions import COMPARISONS, parse
from prunescope.errors import PrunescopeError

KNOWN = ["top1", "top5", "granularity", "logits_equal", "dense"]
COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}

leaves = st.one_of(
    st.sampled_from(["a", "b", "c"]), st.integers(0, 50).map(str), st.sampled_from(["0.5", "1e1"])
)
sums = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: "({} {} {})".format(*parts)),
        inner.map("-{}".format),
    ),
    max_leaves=6,
)
numbers = st.integers(-40, 40).map(lambda number: number / 8)


@given(sums, st.sampled_from(list(COMPARE)), sums, numbers, numbers, numbers)
def test_a_condition_means_what_python_says(
    left: str, sign: str, right: str, a: float, b: float, c: float
) -> None:
    values = {"a": a, "b": b, "c": c}
    condition = parse(f"a*0 + {left} {sign} {right}", "abc")
    try:
        sides = [eval(f"0.0 + {side}", {}, values) for side in (left, right)]
    except ZeroDivisionError:
        assert condition.holds(values) is None
        assert math.isnan(condition.margin(values))
        return
    if math.isclose(*sides, rel_tol=1e-9, abs_tol=1e-12):
        sides[1] = sides[0]
    assert condition.holds(values) is COMPARE[sign](*sides)
    assert (condition.margin(values) >= 0) or not condition.holds(values)
    assert condition.left(values) == pytest.approx(sides[0])
    assert condition.right(values) == pytest.approx(sides[1], abs=1e-9)


@pytest.mark.parametrize(
    ("text", "value", "margin"),
    [("top1 >= 0.75", 0.875, 0.125), ("top1 <= 0.75", 0.5, 0.25), ("top1 < 0.5", 0.75, -0.25),
     ("top1 > 0.5", 0.25, -0.25), ("top1 == 0.5", 0.25, -0.25), ("top1 != 0.5", 0.25, 0.25), ("0.5 < top1", 1, 0.5)],
)  # fmt: skip
def test_the_margin_is_the_distance_to_the_bound(text: str, value: float, margin: float) -> None:
    assert parse(text, KNOWN).margin({"top1": value}) == margin


def test_numbers_that_a_reader_calls_equal_are_equal() -> None:
    assert 0.1 + 0.2 > 0.3  # for a computer
    values = {"top1": 0.3, "dense": 0.1}
    assert parse("top1 <= dense + 0.2", KNOWN).holds(values) is True
    assert parse("top1 < dense + 0.2", KNOWN).holds(values) is False
    assert parse("top1 == dense + 0.2", KNOWN).holds(values) is True
    assert parse("dense + 0.2 > top1", KNOWN).holds(values) is False
    assert parse("top1 >= dense + 0.2", KNOWN).margin(values) == 0
    assert parse("top1 < 0.3000001", KNOWN).holds(values) is True
    millions = {"top1": 1.1 * 5_607_186, "dense": 5_607_186}
    assert 1.1 * 5_607_186 != 5_607_186 + 0.1 * 5_607_186  # for a computer
    assert parse("top1 == dense + 0.1 * dense", KNOWN).holds(millions) is True


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA, np.float32("nan")])
def test_a_name_without_a_value_leaves_the_condition_open(missing: object) -> None:
    condition = parse("top1 + top5 > 0", KNOWN)
    assert condition.names == {"top1", "top5"}
    assert condition.holds({"top1": 1.0, "top5": missing}) is None
    assert condition.holds({"top1": 1.0}) is None
    assert math.isnan(condition.margin({"top1": 1.0}))
    assert parse("top1 / top5 > 0", KNOWN).holds({"top1": 1, "top5": 0}) is None


@pytest.mark.parametrize("number", [np.float64(0.5), np.int64(2), np.bool_(True), True, 3])
def test_numbers_of_every_kind_are_numbers(number: Any) -> None:
    assert parse("top1 > 0.25", KNOWN).holds({"top1": number}) is True
    assert isinstance(parse("top1 > 0", KNOWN).left({"top1": number}), float)


def test_texts_and_truths_are_compared_for_equality() -> None:
    values = {"granularity": "filter", "logits_equal": False}
    assert parse("granularity == 'filter'", KNOWN).holds(values) is True
    assert parse('granularity != "weight"', KNOWN).holds(values) is True
    assert parse("granularity == 'weight'", KNOWN).holds(values) is False
    assert parse("logits_equal == false", KNOWN).holds(values) is True
    assert parse("logits_equal == True", KNOWN).holds(values) is False
    for text in ("granularity > 1", "granularity + 1 == 2", "logits_equal == 'no'", "granularity == 1"):
        with pytest.raises(PrunescopeError, match="takes the text"):
            parse(text, KNOWN).holds(values)


def test_the_sides_are_told_as_they_were_written() -> None:
    condition = parse("top1 >= dense - 0.01", KNOWN)
    assert (condition.left_text, condition.operator, condition.right_text) == ("top1", ">=", "dense - 0.01")
    assert condition.text == "top1 >= dense - 0.01"
    assert condition == parse("top1 >= dense - 0.01", KNOWN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("top_1 >= 1", r"no metric 'top_1' .*\(did you mean 'top1' or 'top5'\?\)"),
        ("zzz >= 1", "no metric 'zzz' .*there are top1, top5, granularity and 2 more"),
        ("top1 < 1 %", "write a percentage as a fraction, 1 % as 0.01"),
        ("top1 % 2 < 1", "write a percentage as a fraction"),
        ("top1 ≥ 0.9", "write ≥ as >="),
        ("top1 = 0.9", "write >=, <= or == for ="),
        ("0 < top1 < 1", "compares more than once"),
        ("top1 > 0 and top5 > 0", "joins conditions"),
        ("top1", "compares nothing"),
        ("top1 in (1, 2)", "compares with something other than"),
        ("1 < 2", "names nothing"),
        ("true == True", "names nothing"),
        ("top1 > 1e999", "1e999 is no finite number"),
        ("top1 > " + "9" * 280, None),
        ("top1 > 1j", "1j is no finite number"),
        ("top1 == None", "None is no finite number"),
        ("top1 < 'a'", "the text 'a' can only be compared with == or !="),
        ("top1 == 1 + 'a'", "the text 'a' can only be compared"),
        ("top1 ** 9 ** 9 > 1", r"'top1 \*\* 9 \*\* 9' is more than"),
        ("top1 // 2 > 1", "is more than names"),
        ("abs(top1) > 1", r"'abs\(top1\)' is more than"),
        ("top1.real > 1", "'top1.real' is more than"),
        ("top1[0] > 1", "is more than"),
        ("(lambda: top1) > 1", "is more than"),
        ("[x for x in top1] > 1", "is more than"),
        ("f'{top1}' == top1", "is more than"),
        ("(top1 := 3) > 1", "is more than"),
        ("(top1 > 1) + 1 > 1", "is more than"),
        ("not top1 > 1", "compares nothing"),
        ("~top1 > 1", "is more than"),
        ("-" * 60 + "top1 > 1", "more than 40 brackets or signs"),
        ("(" * 250 + "top1 > 1", "does not read as a comparison"),
        ("[" + "-" * 280 + "1] > 1", "is more than"),
        ("x" * 301, "longer than 300 characters"),
        ("", "does not read as a comparison"),
        ("top1 > \x00 1", "does not read as a comparison"),
        ("\ud800 > top1", "does not read as a comparison"),
        ("top1 > 1; import os", "does not read as a comparison"),
        ("top1 >\n1", "does not read as a comparison"),
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused_in_a_sentence(text: str, said: str | None) -> None:
    if said is None:  # a number of 280 digits is one
        assert parse(text, KNOWN).holds({"top1": 1.0}) is False
        return
    with pytest.raises(PrunescopeError, match=said) as caught:
        parse(text, KNOWN)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("odd", ["top1 > 1if 1else 2", "'\\d' == granularity", "1is 2", "top1 == 0_1"])
def test_odd_python_warns_nobody(odd: str, recwarn: pytest.WarningsRecorder) -> None:
    with contextlib.suppress(PrunescopeError):
        parse(odd, KNOWN)
    assert not recwarn.list


def test_every_comparison_has_its_oracle() -> None:
    assert set(COMPARISONS.values()) == set(COMPARE)
