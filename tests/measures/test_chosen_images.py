"""The images that all networks explain."""

from __future__ import annotations

import numpy as np
import pytest

from measures.named import named_images
from prunescope.errors import PrunescopeError
from prunescope.images.split import stratified_limit
from prunescope.measures.chosen_images import chosen_images

LABELS = [0, 1, 2] * 10
TEST = named_images(LABELS, 3)


def said(*wrong: int) -> np.ndarray:
    """Return predictions that are right but for the images at `wrong`."""
    named = np.array(LABELS)
    named[list(wrong)] = (named[list(wrong)] + 1) % 3
    return named


def test_a_stratified_choice_does_not_ask_the_networks() -> None:
    chosen = chosen_images("stratified", 12, 4, TEST, {"a": said(*range(30))})
    assert chosen.tolist() == stratified_limit(np.array(LABELS), 12, 4).tolist()
    assert np.bincount(np.array(LABELS)[chosen]).tolist() == [4, 4, 4]


def test_only_images_that_all_networks_get_right() -> None:
    wrong = {"dense": {0, 7}, "half": {1, 7, 22}, "quarter": set(range(9, 20))}
    chosen = chosen_images("correct", 500, 0, TEST, {name: said(*where) for name, where in wrong.items()})
    assert chosen.tolist() == sorted(set(range(30)).difference(*wrong.values()))


def test_the_limit_keeps_the_classes_even_and_more_images_add_to_fewer() -> None:
    predictions = {"dense": said(0, 3), "pruned": said(5)}
    few, many = (chosen_images("correct", limit, 1, TEST, predictions) for limit in (9, 15))
    assert np.bincount(np.array(LABELS)[few]).tolist() == [3, 3, 3]
    assert set(few.tolist()) < set(many.tolist())
    assert not {0, 3, 5} & set(many.tolist())


def test_where_no_image_is_right_everywhere_each_network_is_counted() -> None:
    predictions = {"dense": said(0), "half": said(*range(1, 30)), "a tenth": said(*range(20))}
    with pytest.raises(PrunescopeError) as error:
        chosen_images("correct", 10, 0, TEST, predictions)
    assert "right are, the fewest first: half: 1, a tenth: 10, dense: 29." in str(error.value)
    assert "no image of 30 is right in all 3 networks" in str(error.value)
    assert "choose: stratified" in str(error.value)


def test_of_many_networks_only_the_worst_are_named() -> None:
    predictions = {f"n{i}": said(*range(30 - i)) for i in range(14)}
    with pytest.raises(PrunescopeError, match=r"n0: 0, n1: 1, .*, n9: 9 and 4 networks more\. Leave out"):
        chosen_images("correct", 10, 0, TEST, predictions)
