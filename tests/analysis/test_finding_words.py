"""Verdicts and the words they are told in: a test and an interval that differ, names that steer a terminal."""

from __future__ import annotations

import math

import pytest

from prunescope.analysis.finding import verdict_of
from prunescope.analysis.finding_words import coefficient, judged, name, signed
from prunescope.analysis.metric_words import MEASURES


@pytest.mark.parametrize(
    ("p", "low", "high", "verdict"),
    [
        (0.049, math.nan, math.nan, "shown"),
        (0.05, math.nan, math.nan, "not shown"),
        (0.04, 0.1, 0.2, "shown"),
        (0.04, -0.2, -0.1, "shown"),
        (0.04, -0.1, 0.2, "not shown"),
        (0.04, 0.0, 0.2, "not shown"),
        (0.2, 0.1, 0.2, "not shown"),
        (math.nan, 0.1, 0.2, "no interval"),
    ],
)
def test_shown_needs_the_test_and_the_interval(p: float, low: float, high: float, verdict: str) -> None:
    assert verdict_of(p, low, high) == verdict


def test_a_test_that_the_interval_does_not_bear_out_says_so() -> None:
    assert judged(0.04, 0.04, 1, -0.1, 0.2) == "p = 0.040, but the interval holds 0"
    assert judged(0.01, 0.04, 4, -0.1, 0.2) == "p = 0.040 among 4 (Holm), but the interval holds 0"
    assert judged(0.01, 0.04, 4, 0.1, 0.2) == "p = 0.040 among 4 (Holm)"
    assert judged(0.01, 0.06, 4, -0.1, 0.2) == "p = 0.010 by itself, 0.060 among 4 (Holm)"


def test_what_is_0_to_the_last_digit_has_no_sign() -> None:
    assert [coefficient(number) for number in (-0.001, 0.001, -0.31)] == ["0.00", "0.00", "−0.31"]
    assert [signed(MEASURES["mis"], number) for number in (-0.0001, -0.012, 0.5)] == [
        "0.000",
        "−0.012",
        "+0.500",
    ]


def test_a_name_cannot_steer_a_terminal_or_turn_a_line() -> None:
    assert name("a\x1b[31mb\u202ec\n d\x07") == "“a [31mb c d”"
