"""The scores of units for anyone's arrays: worked by hand, and against exact fractions."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import slow_dissection as oracle
from prunescope.errors import PrunescopeError
from prunescope.measures import dissection_scores as file
from prunescope.measures.dissection_scores import best_concepts, dissection_scores, persistence


def boxes() -> tuple[np.ndarray, np.ndarray]:
    """Return 200 images of 4 x 4 with a box in every 100th, where unit 0 is 1; unit 1 is constant."""
    masks = np.zeros((200, 2, 4, 4), bool)
    masks[::100, 0, 1:3, 1:3] = True
    masks[::2, 1, :, 3] = True
    maps = np.zeros((200, 2, 4, 4), np.float32)
    maps[:, 0] = masks[:, 0]
    maps[:, 1] = 0.1
    return maps, masks


def test_a_unit_that_lights_exactly_one_object() -> None:
    maps, masks = boxes()  # 8 of the 3200 values are 1, so the 17th largest is 0
    table = dissection_scores(maps, masks)
    assert table.columns.tolist() == ["unit", "concept", "iou", "intersection", "union", "threshold"]
    assert table["unit"].tolist() == [0, 0, 1, 1]
    assert table["concept"].tolist() == [0, 1, 0, 1]
    assert table["iou"].tolist() == [1, 0, 0, 0]  # the dead unit never exceeds its threshold
    assert table["intersection"].tolist() == [8, 0, 0, 0]
    assert table["union"].tolist() == [8, 8 + 400, 8, 400]
    assert table["threshold"].tolist() == pytest.approx([0, 0, 0.1, 0.1])
    concepts, highest = best_concepts(table["iou"].to_numpy().reshape(2, 2))
    assert concepts.tolist() == [0, -1]
    assert highest.tolist() == [1, 0]


def test_the_threshold_is_the_value_that_a_share_exceeds() -> None:
    maps = np.random.default_rng(0).permutation(1000).astype(np.float64).reshape(10, 1, 10, 10)
    masks = np.ones((10, 1, 10, 10), bool)
    for share, left in ((0.005, 5), (0.0054, 5), (0.0, 0), (0.5, 500)):
        row = dissection_scores(maps, masks, share=share).iloc[0]
        assert row["threshold"] == 999 - left
        assert row["intersection"] == left  # at the maps' own size, nothing is interpolated
    given = dissection_scores(maps, masks, thresholds=[899.0]).iloc[0]
    assert given["intersection"] == 100


def test_lit_pixels_go_into_the_union_only_where_the_category_is_annotated() -> None:
    maps = np.ones((3, 1, 2, 2))
    masks = np.zeros((3, 2, 2, 2), bool)
    masks[0, 0, 0] = masks[1, 1, 0, 0] = True
    arguments: dict[str, Any] = {"thresholds": [0.5]}
    assert dissection_scores(maps, masks, **arguments)["union"].tolist() == [8, 8]  # images 0 and 1
    arguments["categories"] = ["part", "object"]
    assert dissection_scores(maps, masks, **arguments)["union"].tolist() == [4, 4]
    arguments["annotated"] = [[False, True], [True, True], [True, True]]  # object, part
    table = dissection_scores(maps, masks, **arguments)
    assert table["union"].tolist() == [12, 8]
    assert table["iou"].tolist() == [2 / 12, 1 / 8]


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans(), st.integers(1, 10))
@settings(max_examples=60, deadline=None)
def test_scores_are_those_of_exact_fractions(seed: int, ties: bool, own: bool, memory: int) -> None:
    rng = np.random.default_rng(seed)
    images, units, concepts = rng.integers(1, 4, 3)
    sides, grid = rng.integers(1, 9, 2), rng.choice([1, 2, 4, 8], 2) if ties else rng.integers(1, 9, 2)
    shape = images, units, *sides
    maps = rng.integers(-3, 4, shape) if ties else rng.normal(size=shape).astype(np.float32)
    masks = rng.random((images, concepts, *grid)) < rng.random()
    names = rng.choice(["a", "b", "c"], concepts).tolist()
    known = sorted(set(names))
    annotated = np.array(
        [
            [any(masks[i, c].any() for c in range(concepts) if names[c] == n) for n in known]
            for i in range(images)
        ]
    )
    if own:
        annotated |= rng.random(annotated.shape) < 0.5
    share = float(rng.choice([0, 0.1, 0.5]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file, "_PIXELS", memory)
        table = dissection_scores(
            maps, masks, categories=names, annotated=annotated if own else None, share=share
        )
    thresholds = [oracle.threshold(maps[:, unit].ravel().tolist(), share) for unit in range(units)]
    expected = oracle.count(
        maps.tolist(),
        thresholds,
        [[[set(np.flatnonzero(p).tolist()) for p in row] for row in m.transpose(1, 2, 0)] for m in masks],
        [set(np.flatnonzero(row).tolist()) for row in annotated],
    )
    for row in table.itertuples():
        category = known.index(names[row.concept])
        assert row.intersection == expected.intersections[row.unit, row.concept]
        assert row.iou == expected.iou(row.unit, row.concept, category)
        assert row.threshold == thresholds[row.unit]


def test_tensors_and_arrays_of_all_types_give_the_same() -> None:
    rng = np.random.default_rng(0)
    maps = rng.integers(-9, 9, (4, 3, 5, 5))  # exact in all of them
    masks = rng.random((4, 2, 8, 8)) < 0.5
    expected = dissection_scores(maps, masks, share=0.1)
    for kind in (np.int8, np.float16, np.float32, np.float64, np.longdouble):
        pd.testing.assert_frame_equal(
            dissection_scores(maps.astype(kind), masks, share=0.1), expected, check_dtype=False
        )
    tensors = torch.from_numpy(maps).float(), torch.from_numpy(masks)
    pd.testing.assert_frame_equal(dissection_scores(*tensors, share=0.1), expected, check_dtype=False)
    maps.flags.writeable = masks.flags.writeable = False  # as those of memory-mapped files
    pd.testing.assert_frame_equal(dissection_scores(maps, masks, share=0.1), expected)


MAPS, MASKS = np.ones((4, 3, 2, 2)), np.ones((4, 2, 8, 8), bool)
NAN = np.where(np.arange(3)[:, None, None] == 1, math.nan, MAPS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"maps": MAPS[0]}, "maps must be real numbers (images, units, height, width), and float64 of shape (3, 2, 2)"),
        ({"maps": MAPS.astype(complex)}, "and complex128 of shape (4, 3, 2, 2) were given"),
        ({"maps": MAPS[:0]}, "float64 of shape (0, 3, 2, 2)"),
        ({"maps": NAN}, "the maps of unit 1 hold NaN or infinite values"),
        ({"maps": NAN, "thresholds": [0, 0, 0]}, "the maps of unit 1 hold NaN or infinite values"),
        ({"masks": MASKS[:3]}, "maps of 4 images and masks of 3"),
        ({"masks": MASKS.astype(np.uint8)}, "masks must be bool (images, concepts, height, width), and uint8"),
        ({"masks": MASKS[:, 0]}, "and bool of shape (4, 8, 8) were given"),
        ({"masks": MASKS[:, :0]}, "and bool of shape (4, 0, 8, 8) were given"),
        ({"categories": ["a"]}, "1 categories for 2 concepts"),
        ({"annotated": np.ones((4, 2), bool)}, "annotated must be bool (4, 1) (images, categories), and bool of"),
        ({"annotated": np.ones((4, 1))}, "and float64 of shape (4, 1) was given"),
        (
            {"categories": ["b", "a"], "annotated": np.array([[True, i != 2] for i in range(4)])},
            "image 2 is said not to be annotated with category 'b', but has pixels",
        ),
        ({"thresholds": [1.0]}, "thresholds must be 3 finite numbers, one a unit; float64 of shape (1,) were given"),
        ({"thresholds": [1.0, math.inf, 1.0]}, "thresholds must be 3 finite numbers"),
        ({"share": 1.0}, "share is a fraction, at least 0 and below 1, and 1.0 was given"),
        ({"share": -0.1}, "and -0.1 was given"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(PrunescopeError, match=re.escape(message)):
        dissection_scores(**({"maps": MAPS, "masks": MASKS} | changed))


def test_the_best_concept_is_the_first_of_the_highest() -> None:
    concepts, highest = best_concepts(np.array([[0.1, 0.3, 0.3], [0, 0, 0.05], [0, 0, 0]]))
    assert concepts.tolist() == [1, 2, -1]
    assert highest.tolist() == [0.3, 0.05, 0]


def units(*rows: tuple[str | None, bool]) -> pd.DataFrame:
    """Return a table of units, from each one's concept and whether it is a detector."""
    return pd.DataFrame(
        {
            "layer": ["a" if unit < 2 else "b" for unit in range(len(rows))],
            "unit": range(len(rows)),
            "category": [name and "object" for name, _ in rows],
            "concept": [name for name, _ in rows],
            "detector": pd.Series(
                [detector for _, detector in rows], dtype=object
            ),  # as beside units without
        }
    )


def test_units_keep_change_lose_and_gain_their_concept() -> None:
    before = units(("cat", True), ("cat", True), ("dog", True), ("sky", False), (None, False), ("sea", True))
    after = units(("cat", True), ("dog", True), ("dog", False), ("sky", True), (None, False), ("sea", False))
    expected = {
        "concepts_kept": 1,
        "concepts_changed": 1,
        "concepts_lost": 2,
        "concepts_gained": 1,
        "concept_jaccard": 2 / 4,  # cat, dog of cat, dog, sea, sky
    }
    assert persistence(before, after) == expected
    assert persistence(before, after.sample(frac=1, random_state=0)) == expected
    itself = persistence(before, before)
    assert list(itself.values()) == [4, 0, 0, 0, 1]


def test_the_same_name_in_another_category_is_another_concept() -> None:
    before = units(("wood", True))
    found = persistence(before, before.assign(category="material"))
    assert list(found.values()) == [0, 1, 0, 0, 0]


def test_no_concepts_on_either_side_have_no_jaccard() -> None:
    found = persistence(units(("cat", False)), units((None, False)))
    assert math.isnan(found.pop("concept_jaccard"))
    assert set(found.values()) == {0}


def test_other_units_are_not_compared() -> None:
    with pytest.raises(PrunescopeError, match="2 units are in both networks, of 3 before and 2 after"):
        persistence(units(("cat", True), ("dog", True), ("sky", True)), units(("cat", True), ("dog", True)))
