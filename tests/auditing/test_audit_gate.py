"""Conditions to fail: refused before any work if they cannot be answered, and answered in words that hold."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.auditing import gate
from prunescope.auditing.found import Metrics
from prunescope.auditing.gate import answer, check_conditions
from prunescope.auditing.metric_names import known_metrics
from prunescope.auditing.settings import AuditSettings, audit_settings
from prunescope.errors import PrunescopeError

EVERYTHING = audit_settings(
    {
        "speed": {"runtimes": ("pytorch", "onnxruntime"), "batches": (1, 8)},
        "explanations": {"methods": ("grad-cam", "DeepLift"), "proxy": {"network": "prunescope/sprig"}},
        "forgetting": {"attributes": "own"},
    },
    concepts=["scenes"],
)
METRICS: Metrics = {
    "top1_drop": 0.023, "lost": 0.03, "unique_detectors_dense": 31.0, "unique_detectors_pruned": 27.0,
    "granularity": "filter", "logits_equal": False, "concept_jaccard": None, "top1_p": 0.01,
    "speedup_onnxruntime_b1": 1.5,
}  # fmt: skip
INTERVALS = {"top1_drop": [0.011, 0.036], "lost": [0.02, 0.04]}


def answered(text: str, not_measured: dict[str, str] | None = None) -> dict[str, Any]:
    (found,) = answer(check_conditions([text], EVERYTHING), METRICS, INTERVALS, not_measured or {})
    assert found["condition"] == text
    return found


@pytest.mark.parametrize(
    ("text", "held", "reason"),
    [
        ("top1_drop > 0.01", True, "top1_drop is 0.023 (95 % interval 0.011 to 0.036), which is > 0.01"),
        (
            "top1_drop > 0.02",
            True,
            "top1_drop is 0.023 (95 % interval 0.011 to 0.036), which is > 0.02; not shown beyond chance: the interval "
            "includes 0.02",
        ),
        (
            "top1_drop >= 0.03",
            False,
            "top1_drop is 0.023 (95 % interval 0.011 to 0.036), which is not >= 0.03; not shown beyond chance: the "
            "interval includes 0.03",
        ),
        ("top1_drop > .04", False, "top1_drop is 0.023 (95 % interval 0.011 to 0.036), which is not > 0.04"),
        (
            "unique_detectors_pruned < 0.95 * unique_detectors_dense",
            True,
            "unique_detectors_pruned is 27, unique_detectors_dense is 31: unique_detectors_pruned < 0.95 * "
            "unique_detectors_dense holds (27 against 29.45)",
        ),
        (
            "0.03 < 2 * top1_drop",
            True,
            "top1_drop is 0.023 (95 % interval 0.011 to 0.036): 0.03 < 2 * top1_drop holds (0.03 against 0.046); not "
            "shown beyond chance: at one end of the interval it is otherwise",
        ),
        ("granularity == 'filter'", True, "granularity is 'filter', which is == 'filter'"),
        ('granularity != "weight"', True, "granularity is 'filter', which is != 'weight'"),
        ("logits_equal == false", True, "logits_equal is false, which is == false"),
        ("top1_p > 0.0099999", True, "top1_p is 0.01, which is > 0.0099999"),
        ("lost > 0.5 * top1_drop", True, None),
    ],
)  # fmt: skip
def test_conditions_are_answered_with_their_numbers(text: str, held: bool, reason: str | None) -> None:
    found = answered(text)
    assert found["held"] is held
    if reason is not None:
        assert found["reason"] == reason
    else:  # of two intervals nothing is said
        assert "beyond chance" not in found["reason"]


@pytest.mark.parametrize(
    ("text", "not_measured", "reason"),
    [
        (
            "concept_jaccard < 0.9",
            {},
            "concept_jaccard has no value: it is not defined for these networks and images",
        ),
        (
            "concept_jaccard < 0.9",
            {"dissection": "no layer puts out a map"},
            "concept_jaccard has no value: no layer puts out a map",
        ),
        (
            "speedup_pytorch_b1 < 1.2",
            {},
            "speedup_pytorch_b1 has no value: it is not defined for these networks and images (did you mean "
            "'speedup_onnxruntime_b1'?)",
        ),
        ("DeepLift_iou < 0.1", {}, "DeepLift_iou has no value"),
        (
            "top1_drop / (lost - lost) > 1",
            {},
            "top1_drop / (lost - lost) > 1 divides by zero, so it has no answer",
        ),
    ],
)
def test_what_has_no_value_is_no_pass(text: str, not_measured: dict[str, str], reason: str) -> None:
    found = answered(text, not_measured)
    assert found["held"] is None
    assert found["reason"] == reason


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9))
def test_numbers_that_differ_are_written_otherwise(value: float, other: float) -> None:
    one, two = gate._written(value, other), gate._written(other, value)
    assert float(one) == pytest.approx(value, rel=5e-4)
    if value != other and not (value.is_integer() or other.is_integer()):
        assert float(one) != float(two)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (12345678.0, "12345678"),
        (0.0, "0"),
        (1e300, "1e+300"),
        (math.inf, "inf"),
        (None, "None"),
    ],
)
def test_odd_values_are_written(value: Any, text: str) -> None:
    assert gate._written(value) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("top1_dorp > 0.01", "did you mean 'top1_drop'"),
        ("speedup_onxruntime_b1 < 1", "did you mean 'speedup_onnxruntime_b1'"),
        ("top1_drop > 1%", "1 % as 0.01"),
        ("top1_drop", "compares nothing"),
        ("", "cannot be used"),
        ("0.5 < 0.6", "names nothing"),
        ("__import__('os').system('true') == 0", "more than names, numbers"),
        ("speedup_pytorch_b16 < 1", re.escape("16 is not among speed.batches: --set 'speed.batches=[1, 8, 16]'")),
        ("ms_openvino_b1_pruned > 5", re.escape("--set 'speed.runtimes=[pytorch, onnxruntime, openvino]'")),
        ("ms_pytorch_b" + 400 * "9" + "_pruned > 5", "longer than 300 characters"),
        ("ms_pytorch_b" + 99 * "9" + "_pruned > 5", "no metric of an audit"),
        ("lrp_iou < 0.1", re.escape("--set 'explanations.methods=[grad-cam, DeepLift, lrp]'")),
        ("granularity == 'filters'", "which granularity never is .did you mean 'filter'"),
        ("'identicl' != relation", "which relation never is .did you mean 'identical'"),
        ("granularity > 3", "for a number"),
        ("worst_class - 1 == 0", "for a number"),
        ("logits_equal == 'true'", "for a number"),
        ("top1_drop == 'much'", "for a number"),
        ("granularity == filter", "no metric of an audit 'filter'.*; a text to compare with goes in quotes"),
        ("top1_drop > 1", "never holds: top1_drop is a share, 1 at most; write 1 % as 0.01"),
        ("zeros_pruned < 50", "always holds: zeros_pruned is a share"),
        ("95 > agreement", "always holds: agreement is a share"),
    ],
)  # fmt: skip
def test_conditions_that_make_no_sense_are_refused_before_any_work(text: str, says: str) -> None:
    with pytest.raises(PrunescopeError, match=says):
        check_conditions(["top1_drop > 0.01", text], EVERYTHING)


@pytest.mark.parametrize(
    "text", ["top1_drop >= 1", "file_left > 1.5", "100 * top1_drop > 1", "mis_change > 1"]
)
def test_bounds_that_can_be_reached_are_not_refused(text: str) -> None:
    assert check_conditions([text], EVERYTHING)[0].text == text


@pytest.mark.parametrize(
    "text", ["granularity == '2:4'", "granularity == '16:64'", "worst_class == 'any name'", "relation == worst_group"]
)  # fmt: skip
def test_texts_that_may_be_are_asked_for(text: str) -> None:
    assert check_conditions([text], EVERYTHING)[0].text == text


@pytest.mark.parametrize(
    ("text", "settings", "says"),
    [
        ("speedup_pytorch_b1 < 1", AuditSettings(), "not asked for: add --speed"),
        ("unique_detectors_left < 1", AuditSettings(), "not asked for: give annotated images with --concepts"),
        ("mis_change < 0", audit_settings({}, skip=["mis"]), "a number of mis, which is left out: drop --skip mis"),
        ("grad_cam_iou < 1", audit_settings({}, skip=["explanations"]), "drop --skip explanations"),
        ("grad_cam_proxy_top1_drop > 1", AuditSettings(), "no metric of an audit"),
        ("grad_cam_proxy_top1_change < 0", AuditSettings(), "no proxy is given: --set explanations.proxy.network"),
        ("worst_group_rise > 0.1", AuditSettings(), re.escape("--set forgetting.attributes=FILE.csv")),
        ("worst_group_rise > 0.1", audit_settings({}, skip=["forgetting"]), "drop --skip forgetting"),
    ],
)  # fmt: skip
def test_a_number_that_is_not_measured_is_refused_with_what_to_add(
    text: str, settings: AuditSettings, says: str
) -> None:
    with pytest.raises(PrunescopeError, match=says):
        check_conditions([text], settings)


def test_everything_can_be_asked_where_everything_is_measured() -> None:
    for name, metric in known_metrics(EVERYTHING).items():
        asked = (
            f"{name} == 'x'"
            if metric.quantity.unit == "text" and not metric.quantity.values
            else f"{name} == {name}"
        )
        known = (
            (metric.detail in EVERYTHING.speed.runtimes and metric.batch in EVERYTHING.speed.batches)  # type: ignore[union-attr]
            if metric.batch
            else not metric.detail or metric.detail in EVERYTHING.explanations.methods  # type: ignore[union-attr]
        )
        if known:
            assert check_conditions([asked], EVERYTHING)[0].names == {name}
        else:
            with pytest.raises(PrunescopeError, match="is not among"):
                check_conditions([asked], EVERYTHING)


def test_without_labels_what_needs_them_is_refused() -> None:
    for name, metric in known_metrics(EVERYTHING).items():
        if metric.detail:
            continue
        text = f"{name} == {name}"
        if metric.quantity.labels:
            with pytest.raises(PrunescopeError, match="needs labels, and the images have none"):
                check_conditions([text], EVERYTHING, labelled=False)
        else:
            check_conditions([text], EVERYTHING, labelled=False)
