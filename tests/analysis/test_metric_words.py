"""What conclusions call things: each has a figure that exists, a margin, and numbers in its own unit."""

from __future__ import annotations

import math

import pytest

from prunescope.analysis import class_correlations, correlations
from prunescope.analysis.finding_words import at, judged, name, size, tolerance, value, within
from prunescope.analysis.metric_words import MEASURES, OF_EXPLANATIONS, check_margin, margin_of, measure_of
from prunescope.errors import PrunescopeError
from prunescope.measures.explanation_scores import MEANS
from prunescope.report.figure_names import FIGURES

TOP1, MIS, DETECTORS = MEASURES["top1"], MEASURES["mis"], MEASURES["detectors"]


def test_every_figure_that_a_conclusion_names_is_one_of_the_reports() -> None:
    named = {each.figure for each in (*MEASURES.values(), *OF_EXPLANATIONS.values())}
    named |= {*correlations.FIGURES.values(), class_correlations.FIGURE, "mis-by-layer"}
    assert named - {""} <= set(FIGURES)


def test_every_measure_of_explanations_is_one_that_is_measured() -> None:
    assert set(OF_EXPLANATIONS) <= {*MEANS, "proxy_top1"}


def test_a_method_is_part_of_the_name() -> None:
    found = measure_of("my {odd} %s method/gini")
    assert found is not None
    assert found.words == "concentration of my {odd} %s method maps (Gini)"
    assert measure_of("grad-cam/empty") is None
    assert measure_of("ms_pytorch_b1") is None


def test_the_nearest_margin_counts() -> None:
    margins = {"grad-cam/gini": 0.3, "gini": 0.2}
    assert [margin_of(each, margins) for each in ("grad-cam/gini", "gradient/gini", "top1")] == [
        0.3,
        0.2,
        0.01,
    ]
    assert math.isnan(margin_of("weights", {}))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (value(TOP1, 0.8456), "84.6 %"),
        (value(MIS, 0.67349), "0.673"),
        (value(DETECTORS, 2715), "2,715"),
        (size(TOP1, -0.0123), "1.2 points"),
        (size(MIS, -0.0123), "0.012"),
        (size(DETECTORS, -5.333), "5.3"),
        (size(DETECTORS, 169.2), "169"),
        (tolerance(TOP1, 0.01), "± 1 point"),
        (tolerance(TOP1, 0.005), "± 0.5 points"),
        (tolerance(MIS, 0.01), "± 0.01"),
        (within(TOP1, -0.021, 0.0), "95 % interval −2.1 to 0.0 points"),
        (within(MIS, -0.0004, 0.003, level=90), "90 % interval 0.000 to +0.003"),
        (at("0.8", 0.8), "80 %"),
        (at("0.7985", 0.79849), "79.8 %"),
        (at("0.4 of weights", 0.6), "“0.4 of weights”"),
        (name("a\nb  c"), "“a b c”"),
        (judged(0.0001, 0.0007, 7), "p < 0.001 among 7 (Holm)"),
        (judged(0.02, 0.14, 7), "p = 0.020 by itself, 0.140 among 7 (Holm)"),
        (judged(0.3, 1.0, 7), "p = 1.000 among 7 (Holm)"),
        (judged(0.02, 0.02, 1), "p = 0.020"),
    ],
)
def test_numbers_are_written_in_the_unit_of_their_measure(found: str, expected: str) -> None:
    assert found == expected


@pytest.mark.parametrize("margin", [1, 2.5, True, "0.1", None])
def test_a_margin_as_wide_as_the_scale_or_no_number_is_refused(margin: object) -> None:
    with pytest.raises(PrunescopeError, match="cannot be used"):
        check_margin("top1", margin)  # type: ignore[arg-type]
    check_margin("detectors", 25)
