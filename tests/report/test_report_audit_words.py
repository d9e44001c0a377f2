import math

import pytest
from synthetic_audit import write_audit_folder

from prunescope.analysis.audits import Number, read_audit
from prunescope.report.audit_words import (
    Pair,
    between,
    change_of,
    changed,
    in_points,
    pair_of,
    plain,
    signed_with,
)

NAN = math.nan


def spaced(text):
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((-0.018, -0.031, -0.005), "falls by 1.8 points (0.5 to 3.1 points)"),
        ((0.018, 0.005, 0.031), "rises by 1.8 points (0.5 to 3.1 points)"),
        ((-0.002, -0.012, 0.008), "is not shown to change (−0.2 points, −1.2 to +0.8 points)"),
        ((0.002, 0.0, 0.008), "is not shown to change (+0.2 points, 0.0 to +0.8 points)"),
        ((0.0, -0.001, 0.001), "is not shown to change (0.0 points, −0.1 to +0.1 points)"),
        ((0.0, 0.0, 0.0), "is the same"),
        ((1e-6, -1e-5, 1e-5), "is the same to the digits written"),
        ((0.0, NAN, NAN), "is the same"),
        ((-0.02, NAN, NAN), "falls by 2.0 points"),
        ((0.02, NAN, 0.03), "rises by 2.0 points"),
    ],
)
def test_a_change_is_said_to_be_no_more_than_its_interval_shows(change, said):
    assert spaced(changed(Number(*change), in_points)) == said


def test_a_change_that_is_not_shown_is_never_called_the_same():
    for value in (-0.01, -1e-9, 0.0, 1e-9, 0.01):  # what is written of the interval is wider than 0
        said = changed(Number(value, value - 0.02, value + 0.02), plain(3))
        assert said.startswith("is not shown to change (")


@pytest.mark.parametrize(
    ("number", "said"),
    [((0.5, 0.4, 0.6), "0.400 to 0.600"), ((-0.5, -0.6, NAN), ""), ((NAN, NAN, NAN), "")],
)
def test_intervals_are_written_where_there_are_any(number, said):
    assert between(Number(*number), plain(3)) == said


def test_signs_are_written_where_something_is_left_to_sign():
    write = signed_with(plain(2))
    assert [write(value) for value in (-1.234, 1.234, 0.0, -0.001)] == ["−1.23", "+1.23", "0.00", "0.00"]


def test_cells_have_the_number_that_tables_are_sorted_by():
    cell = change_of(Number(-0.01, -0.02, 0.0), in_points)
    assert (spaced(cell.text), spaced(cell.detail), cell.number) == (
        "−1.0 points",
        "−2.0 to 0.0",
        -0.01,
    )
    assert change_of(Number(NAN, NAN, NAN), in_points).text == "–"


@pytest.mark.parametrize(("ending", "sign"), [("change", 1), ("rise", 1), ("drop", -1)])
def test_every_change_is_pruned_less_dense(tmp_path, ending, sign):
    metrics = {"x_dense": 0.7, "x_pruned": 0.6, f"x_{ending}": -0.1 * sign}
    ends = sorted((-0.13 * sign, -0.05 * sign))
    folder = write_audit_folder(
        tmp_path / "audit", measures=(), metrics=metrics, intervals={f"x_{ending}": ends}
    )
    found = pair_of(read_audit(folder), "x")
    assert found == Pair(
        Number(0.7, *found.dense[1:]), Number(0.6, *found.pruned[1:]), Number(-0.1, -0.13, -0.05)
    )
    assert found.known


def test_without_a_paired_change_the_difference_has_no_interval(tmp_path):
    folder = write_audit_folder(tmp_path / "audit", measures=(), metrics={"x_dense": 5, "x_pruned": 3})
    audit = read_audit(folder)
    assert pair_of(audit, "x").change.value == -2
    assert not pair_of(audit, "x").change.bounded
    assert not pair_of(audit, "y").known
