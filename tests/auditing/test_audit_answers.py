"""What two networks answer, against plain Python and scipy, on logits that are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from measures.named import named_images
from oracles import accuracy as oracle
from prunescope.auditing import answers as module
from prunescope.auditing.answers import Answers, compare_answers
from prunescope.errors import PrunescopeError
from prunescope.measures.accuracy import AccuracySettings
from prunescope.measures.forgetting import forgetting

IMAGES, CLASSES = 150, 8
UNLABELLED = [-1] * IMAGES


def drawn(
    seed: int = 0, images: int = IMAGES, classes: int = CLASSES
) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Return logits of a network that is often right, of another one made from it, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (images,), generator=generator)
    dense = torch.randn(images, classes, generator=generator)
    dense[torch.arange(images), labels] += 2
    pruned = 0.7 * dense + 0.8 * torch.randn(images, classes, generator=generator)
    return dense, pruned, labels.tolist()


DENSE, PRUNED, LABELS = drawn()
TEST = named_images(LABELS, CLASSES)
FOUND = compare_answers(DENSE, PRUNED, TEST)


def rows(logits: torch.Tensor) -> list[list[float]]:
    found: list[list[float]] = logits.double().tolist()
    return found


def called(logits: torch.Tensor) -> list[int]:
    return [row.index(max(row)) for row in rows(logits)]


def test_one_row_an_image_as_plain_python_has_it() -> None:
    assert FOUND.table["image"].tolist() == list(TEST.names)
    for row, before, after, label in zip(
        FOUND.table.to_dict("records"), rows(DENSE), rows(PRUNED), LABELS, strict=True
    ):
        p, q = oracle.shares(before), oracle.shares(after)
        one, other = p.index(max(p)), q.index(max(q))
        assert (row["label"], row["dense"], row["pruned"]) == (label, one, other)
        assert row["dense_confidence"] == pytest.approx(p[one], rel=1e-5)
        assert row["pruned_confidence"] == pytest.approx(q[other], rel=1e-5)
        assert row["pruned_of_dense"] == pytest.approx(q[one], rel=1e-9)
        assert row["divergence"] == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-9)
        assert row["changed"] == (one != other)
        assert row["lost"] == (one == label != other)
        assert row["gained"] == (one != label == other)


def test_many_images_are_looked_at_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 7 * CLASSES)
    pd.testing.assert_frame_equal(compare_answers(DENSE, PRUNED, TEST).table, FOUND.table)


@pytest.mark.parametrize(("side", "logits"), [("dense", DENSE), ("pruned", PRUNED)])
def test_numbers_of_each_network_are_those_of_plain_python(side: str, logits: torch.Tensor) -> None:
    found = compare_answers(DENSE, PRUNED, TEST, AccuracySettings(bins=6)).metrics
    said = rows(logits)
    confidence = [max(oracle.shares(row)) for row in said]
    right = [one == label for one, label in zip(called(logits), LABELS, strict=True)]
    expected = {
        "top1": oracle.top(said, LABELS, 1),
        "top5": oracle.top(said, LABELS, 5),
        "cross_entropy": oracle.cross_entropy(said, LABELS),
        "calibration_error": oracle.calibration_error(confidence, right, 6),
        "confidence": sum(confidence) / IMAGES,
        "overconfidence": (sum(confidence) - sum(right)) / IMAGES,
    }
    assert {name: found[f"{name}_{side}"] for name in expected} == pytest.approx(expected, rel=1e-5)


def test_changes_are_differences_and_lie_in_their_intervals() -> None:
    for name, end in (
        ("top1", "drop"), ("top5", "drop"), ("cross_entropy", "rise"), ("calibration_error", "rise"),
        ("overconfidence", "rise"), ("confidence", "change"),
    ):  # fmt: skip
        value = float(FOUND.metrics[f"{name}_{end}"])  # type: ignore[arg-type]
        dense, pruned = (float(FOUND.metrics[f"{name}_{side}"]) for side in ("dense", "pruned"))  # type: ignore[arg-type]
        assert value == pytest.approx(dense - pruned if end == "drop" else pruned - dense, abs=1e-6)
        if name == "calibration_error":
            assert f"{name}_{end}" not in FOUND.intervals
        else:
            low, high = FOUND.intervals[f"{name}_{end}"]
            assert low < value < high


def test_agreement_and_what_is_lost_are_counted_by_hand() -> None:
    before, after = called(DENSE), called(PRUNED)
    same = Fraction(sum(one == other for one, other in zip(before, after, strict=True)), IMAGES)
    lost = sum(one == own != other for one, other, own in zip(before, after, LABELS, strict=True))
    gained = sum(other == own != one for one, other, own in zip(before, after, LABELS, strict=True))
    by_chance = Fraction(sum(one == other for one in before for other in after), IMAGES**2)
    metrics = FOUND.metrics
    assert lost > gained > 0
    assert metrics["agreement"] == pytest.approx(float(same))
    assert metrics["changed"] == pytest.approx(float(1 - same))
    assert metrics["agreement_beyond_chance"] == pytest.approx(float((same - by_chance) / (1 - by_chance)))
    assert (metrics["lost"], metrics["gained"]) == pytest.approx((lost / IMAGES, gained / IMAGES))
    assert metrics["top1_p"] == pytest.approx(stats.binomtest(lost, lost + gained).pvalue)
    assert metrics["divergence"] == pytest.approx(FOUND.table["divergence"].mean())
    assert metrics["logits_difference"] == pytest.approx(
        float((DENSE - PRUNED).abs().max() / torch.cat([DENSE, PRUNED]).abs().max())
    )


def test_the_interval_of_the_drop_is_bonett_and_prices() -> None:
    lost, gained = (FOUND.table[name].sum() for name in ("lost", "gained"))
    n = IMAGES + 2
    p = (lost + 1 + gained + 1) / n - ((lost - gained) / n) ** 2
    half = stats.norm.ppf(0.975) * math.sqrt(p / n)
    low, high = FOUND.intervals["top1_drop"]
    drop = (lost - gained) / IMAGES
    assert (low, high) == pytest.approx((drop - half, drop + half))


def test_the_interval_of_the_drop_holds_the_truth_as_often_as_it_says() -> None:
    """Of many test sets, of which images are lost at 8 % and gained at 3 %: the drop is .05."""
    rng, truth, images, sets = np.random.default_rng(0), 0.05, 200, 2000
    held = 0
    for _ in range(sets):
        fate = rng.choice(["lost", "gained", "right", "wrong"], images, p=[0.08, 0.03, 0.7, 0.19])
        found = module._drop(np.isin(fate, ["lost", "right"]), np.isin(fate, ["gained", "right"]))
        held += found.low <= truth <= found.high
    assert 0.93 <= held / sets <= 0.97


def test_the_drop_and_the_classes_are_those_of_forgetting() -> None:
    said = dict(list(FOUND.tables["images"].groupby("network")))
    found = forgetting(said["dense"], said["pruned"], classes=TEST.classes)
    change = found["forgetting"].set_index("metric").loc["top1_change"]
    low, high = FOUND.intervals["top1_drop"]
    assert (-change["value"], -change["high"], -change["low"]) == pytest.approx(
        (FOUND.metrics["top1_drop"], low, high)
    )
    classes = found["forgetting_classes"]
    worst = classes[classes["n"] >= module.FEWEST].sort_values("change").iloc[0]
    assert FOUND.metrics["worst_class"] == worst["class"]
    assert FOUND.metrics["worst_class_drop"] == pytest.approx(-worst["change"])
    assert FOUND.intervals["worst_class_drop"] == pytest.approx([-worst["change_high"], -worst["change_low"]])
    assert FOUND.metrics["classes_lost"] == (classes["says"] == "lost").sum()


def of_class(fates: Sequence[tuple[int, bool, bool]], classes: int) -> Answers:
    """Return the answers of networks that are right, or not, about images of a class: (class, dense, pruned)."""
    both = [torch.zeros(len(fates), classes), torch.zeros(len(fates), classes)]
    for image, (label, *right) in enumerate(fates):
        for logits, hit in zip(both, right, strict=True):
            logits[image, label if hit else (label + 1) % classes] = 3.0
    return compare_answers(*both, named_images([label for label, *_ in fates], classes))


def test_classes_that_lose_by_hand() -> None:
    fates = [(0, True, True)] * 20 + [(1, True, False)] * 15 + [(1, True, True)] * 5 + [(2, True, False)] * 4
    metrics = of_class(fates, 3).metrics
    assert (metrics["worst_class"], metrics["worst_class_drop"]) == ("class 1", 0.75)  # class 2 has 4 images
    assert (metrics["classes_lost"], metrics["classes_gained"]) == (1, 0)
    lost = of_class([(0, True, True)] * 20 + [(1, True, False)] * 20, 2)
    assert lost.metrics["worst_class_drop"] == 1
    assert lost.intervals["worst_class_drop"][1] == 1  # of shares, none is above
    few = of_class([(0, True, True)] * 9 + [(1, True, False)] * 9, 2).metrics
    assert (few["worst_class"], few["worst_class_drop"]) == (None, None)


def test_tables_are_those_of_the_measure_accuracy() -> None:
    assert set(FOUND.tables) == {"scores", "classes", "images"}
    for table, columns in (
        ("scores", ["network", "metric", "value", "low", "high", "n", "measure"]),
        ("classes", ["network", "index", "class", "n", "top1", "low", "high"]),
        ("images", ["network", "image", "label", "prediction", "confidence"]),
    ):
        assert list(FOUND.tables[table]) == columns
        assert FOUND.tables[table]["network"].unique().tolist() == ["dense", "pruned"]


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(30)), st.floats(-5, 5), st.integers(0, 3))
def test_neither_order_nor_a_shift_of_logits_matters(order: list[int], shift: float, seed: int) -> None:
    dense, pruned, labels = drawn(seed, 30, 4)
    one = compare_answers(dense, pruned, named_images(labels, 4))
    other = compare_answers(dense[order] + shift, pruned[order], named_images([labels[i] for i in order], 4))
    free = {"logits_difference", "logits_equal"}  # which ask for equal logits, not for equal answers
    assert {k: v for k, v in other.metrics.items() if k not in free} == pytest.approx(
        {k: v for k, v in one.metrics.items() if k not in free}, abs=1e-6, nan_ok=True
    )


def test_swapping_the_networks_turns_changes_round() -> None:
    other = compare_answers(PRUNED, DENSE, TEST)
    assert other.metrics["top1_drop"] == pytest.approx(-float(FOUND.metrics["top1_drop"]))  # type: ignore[arg-type]
    assert other.metrics["lost"] == FOUND.metrics["gained"]
    for same in ("agreement", "divergence", "logits_difference", "top1_p", "agreement_beyond_chance"):
        assert other.metrics[same] == pytest.approx(FOUND.metrics[same])


def test_equal_networks() -> None:
    found = compare_answers(DENSE, DENSE.clone(), TEST)
    for name in (
        "top1_drop",
        "cross_entropy_rise",
        "changed",
        "lost",
        "gained",
        "divergence",
        "logits_difference",
    ):
        assert found.metrics[name] == 0
    assert (found.metrics["agreement"], found.metrics["top1_p"]) == (1, 1)
    assert found.metrics["logits_equal"] is True
    low, high = found.intervals["top1_drop"]
    assert low < 0 < high  # 150 images without a change do not show that there is none anywhere
    interval = stats.binomtest(0, IMAGES).proportion_ci(method="wilson")
    for name in ("changed", "lost", "gained"):
        assert found.intervals[name] == pytest.approx(interval)
    assert found.intervals["agreement"] == pytest.approx([1 - interval.high, 1])


@pytest.mark.parametrize(("factor", "equal"), [(1 + 5e-5, True), (1 + 5e-4, False)])
def test_logits_are_equal_up_to_rounding(factor: float, equal: bool) -> None:
    assert compare_answers(DENSE, DENSE * factor, TEST).metrics["logits_equal"] is equal


def test_without_labels_only_what_needs_none() -> None:
    found = compare_answers(DENSE, PRUNED, named_images(UNLABELLED, 0))
    assert set(found.tables) == {"images"}
    assert found.table[["lost", "gained"]].isna().all(axis=None)
    shared = ["agreement", "agreement_beyond_chance", "changed", "divergence", "confidence_dense", "confidence_change",
              "logits_difference"]  # fmt: skip
    assert {name: found.metrics[name] for name in shared} == {name: FOUND.metrics[name] for name in shared}
    assert not {"top1_dense", "top1_drop", "lost", "worst_class", "calibration_error_rise"} & set(
        found.metrics
    )
    assert not found.warnings


def test_top5_is_no_question_for_five_classes() -> None:
    dense, pruned, labels = drawn(0, 40, 5)
    assert not [
        name for name in compare_answers(dense, pruned, named_images(labels, 5)).metrics if "top5" in name
    ]


def test_constant_networks_have_no_agreement_beyond_chance() -> None:
    constant = torch.tensor([[2.0, 1.0, 0.0]]).repeat(6, 1)
    found = compare_answers(constant, constant, named_images([0, 1, 2, 0, 1, 2], 3))
    assert found.metrics["agreement_beyond_chance"] is None
    silent = compare_answers(torch.zeros(4, 3), torch.zeros(4, 3), named_images([0, 1, 2, 0], 3))
    assert (silent.metrics["logits_difference"], silent.metrics["logits_equal"]) == (0, True)


def test_one_image_has_no_interval_of_a_mean() -> None:
    found = compare_answers(DENSE[:1], PRUNED[:1], named_images(LABELS[:1], CLASSES))
    assert "divergence" not in found.intervals
    assert "top1_drop" in found.intervals


def test_a_dense_network_at_chance_is_suspect() -> None:
    generator = torch.Generator().manual_seed(1)
    (warning,) = compare_answers(torch.randn(IMAGES, CLASSES, generator=generator), PRUNED, TEST).warnings
    assert "is its preprocessing right" in warning
    assert not FOUND.warnings


def test_classes_in_another_order_are_suspect() -> None:
    turned = DENSE.roll(3, dims=1)
    (warning,) = compare_answers(turned, PRUNED, TEST).warnings
    hits = sum((one - 3) % CLASSES == label for one, label in zip(called(turned), LABELS, strict=True))
    assert f"in another order it would get {hits / IMAGES:.1%}" in warning


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("side", ["dense", "pruned"])
def test_logits_that_are_no_numbers_name_network_and_image(bad: float, side: str) -> None:
    logits = {"dense": DENSE.clone(), "pruned": PRUNED.clone()}
    logits[side][7, 2] = bad
    with pytest.raises(PrunescopeError, match=rf"the {side} network's logits .* first for 7\.png"):
        compare_answers(logits["dense"], logits["pruned"], TEST)


@pytest.mark.parametrize(
    ("dense", "pruned", "labels", "says"),
    [
        (DENSE, PRUNED[:, :5], LABELS, r"\(150, 8\), the pruned one's \(150, 5\)"),
        (DENSE[:9], PRUNED[:9], LABELS, "to 150 images"),
        (DENSE[:0], PRUNED[:0], [], "to 0 images"),
        (DENSE[:, :1], PRUNED[:, :1], [0] * IMAGES, "they have 1"),
        (DENSE, PRUNED, [*LABELS[1:], CLASSES], "labels go from 0 to 8"),
        (DENSE, PRUNED, [*LABELS[1:], -1], "labels go from -1 to 7"),
        (DENSE[:, :7], PRUNED[:, :7], LABELS, "7 classes are compared, 8 named"),
    ],
)
def test_what_does_not_fit_is_refused(
    dense: torch.Tensor, pruned: torch.Tensor, labels: list[int], says: str
) -> None:
    with pytest.raises(PrunescopeError, match=says):
        compare_answers(dense, pruned, named_images(labels, CLASSES))


def test_half_precision_logits_are_compared_in_single() -> None:
    found = compare_answers(DENSE, DENSE.half(), TEST)
    assert found.metrics["logits_equal"] is False
    assert 0 < float(found.metrics["logits_difference"]) < 1e-3  # type: ignore[arg-type]
