from __future__ import annotations

import pytest

from oracles.channels import TOYS
from prunescope.errors import PrunescopeError
from prunescope.pruning.prune import Pruning
from prunescope.pruning.sensitivity import (
    tested_together as tried_together,
)  # pytest would take it for a test
from prunescope.pruning.sensitivity import tolerances


@pytest.mark.parametrize(
    ("toy", "granularity", "expected"),
    [
        ("residual", "filter", [("stem", "b"), ("a",), ("after",)]),
        ("residual", "connection", [("stem",), ("a",), ("b",), ("after",)]),
        ("residual", "weight", [("stem",), ("a",), ("b",), ("after",), ("fc",)]),
        ("gate", "filter", [("a", "expand"), ("squeeze",), ("b",)]),
    ],
)
def test_layers_are_tried_with_those_that_they_are_tied_to(
    toy: str, granularity: str, expected: list[tuple[str, ...]]
) -> None:
    pruning = Pruning(TOYS[toy].network(), granularity)

    assert tried_together(pruning) == expected
    for together in expected:
        mask = Pruning(pruning.network, granularity, layers=together).at(
            0.5
        )  # which is refused for a part of them
        assert set(mask.rates) == set(together)


NAN = float("nan")


@pytest.mark.parametrize(
    ("accuracies", "tolerated"),
    [
        ({0.2: 0.8, 0.4: 0.7, 0.6: 0.69, 0.8: 0.2}, 0.6),
        ({0.8: 0.2, 0.4: 0.7, 0.2: 0.8}, 0.4),  # in whatever order they were tried
        ({0.2: 0.8, 0.4: 0.5, 0.6: 0.9}, 0.2),  # what comes behind a fall is luck
        ({0.2: 0.1, 0.4: 0.9}, 0.0),
        ({0.2: NAN, 0.4: 0.9}, 0.0),
        ({0.2: 1.0, 0.9: 1.0}, 0.9),
        ({}, 0.0),
    ],
)
def test_the_largest_rate_that_is_borne(accuracies: dict[float, float], tolerated: float) -> None:
    sweep = {("a", "b"): accuracies, ("c",): {0.5: 1.0}}

    assert tolerances(sweep, 0.69) == {"a": tolerated, "b": tolerated, "c": 0.5}


@pytest.mark.parametrize("least", [NAN, -0.1, 69])
def test_an_accuracy_that_is_none(least: float) -> None:
    with pytest.raises(PrunescopeError, match="is no accuracy"):
        tolerances({}, least)


def test_a_layer_that_is_there_twice() -> None:
    with pytest.raises(PrunescopeError, match="b is in the sweep twice"):
        tolerances({("a", "b"): {}, ("b",): {}}, 0.5)
