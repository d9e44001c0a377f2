import math

import pytest

from prunescope.report import formats

SPACE = "\u00a0"


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (formats.percent, 0.7123, f"71.2{SPACE}%"),
        (formats.percent, math.nan, "–"),
        (formats.short_percent, 0.4, f"40{SPACE}%"),
        (formats.short_percent, 0.5511, f"55.1{SPACE}%"),
        (formats.short_percent, 0.1 + 0.2, f"30{SPACE}%"),
        (formats.points, -0.0123, f"−1.2{SPACE}points"),
        (formats.points, 0.0123, f"+1.2{SPACE}points"),
        (formats.points, -0.0001, f"0.0{SPACE}points"),
        (formats.decimal, 0.31249, "0.312"),
        (formats.times, 5.04, "5.0×"),
        (formats.times, math.inf, "∞"),
        (formats.speedup, 1.0154, "1.02×"),
        (formats.speedup, 9.996, "10.0×"),
        (formats.speedup, 0.0512, "0.05×"),
        (formats.speedup, 112.4, "112×"),
        (formats.speedup, math.nan, "–"),
        (formats.milliseconds, 0.4117, f"0.412{SPACE}ms"),
        (formats.milliseconds, 48.66, f"48.7{SPACE}ms"),
        (formats.milliseconds, 1312.4, f"1,312{SPACE}ms"),
        (formats.per_second, 20.58, f"20.6{SPACE}/s"),
        (formats.per_second, 0, f"0{SPACE}/s"),
        (formats.quantity, 1_920_000, f"1.92{SPACE}M"),
        (formats.quantity, 1.498e9, f"1.50{SPACE}G"),
        (formats.quantity, 26_700_000, f"26.7{SPACE}M"),
        (formats.quantity, 151_000, f"151{SPACE}k"),
        (formats.quantity, 512, "512"),
        (formats.quantity, 0, "0"),
        (formats.quantity, math.nan, "–"),
    ],
)
def test_numbers_are_written_in_one_form(write, value, text):
    assert write(value) == text


def test_amounts_with_a_unit_keep_it_beside_the_prefix():
    assert formats.quantity(26_700_000, "B") == f"26.7{SPACE}MB"
    assert formats.quantity(12, "B") == f"12{SPACE}B"


def test_an_interval_needs_both_ends():
    assert formats.interval(0.885, 0.936) == f"88.5–93.6{SPACE}%"
    assert formats.interval(0.885, math.nan) == ""


def test_counts_and_lists_read_as_english():
    assert [formats.count(n, "seed") for n in (1, 3)] == [f"1{SPACE}seed", f"3{SPACE}seeds"]
    assert formats.count(3, "series") == f"3{SPACE}series"
    assert [formats.listing(list(letters)) for letters in ("a", "ab", "abc")] == [
        "a",
        "a and b",
        "a, b and c",
    ]
    assert formats.listing(list("abcde"), most=2) == "a, b and 3 more"


def test_a_name_on_an_axis_is_one_line_and_not_too_long():
    assert formats.shorten("two\nlines") == "two lines"
    assert formats.shorten("a" * 20 + "b" * 20) == "a" * 15 + "…" + "b" * 14
    assert [len(formats.shorten("x" * 40, longest)) for longest in (1, 2, 3, 30)] == [1, 2, 3, 30]
