from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.selection import gone
from prunescope.errors import PrunescopeError
from prunescope.pruning.selection import select


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def removed_of(keeps: dict[str, torch.Tensor]) -> set[tuple[str, int]]:
    return {(name, i) for name, keep in keeps.items() for i in (~keep).nonzero()[:, 0].tolist()}


@st.composite
def tasks(draw: st.DrawFn) -> dict[str, Any]:
    """Layers of a few groups, with many ties: scores are small whole numbers (sums and means are exact)."""
    sizes = draw(st.lists(st.integers(2, 9), min_size=1, max_size=4))
    return {
        "scores": {
            f"layer{i}": [float(draw(st.integers(0, 5))) for _ in range(n)] for i, n in enumerate(sizes)
        },
        "rate": draw(st.sampled_from([0, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 0.99]) | st.floats(0, 0.999)),
        "scope": draw(st.sampled_from(["layer", "global"])),
        "already": {
            f"layer{i}": set(draw(st.lists(st.integers(0, n - 1), max_size=n)) if draw(st.booleans()) else [])
            for i, n in enumerate(sizes)
        },
        "normalise": draw(st.sampled_from(["none", "mean", "layer"])),
        "min_left": draw(st.integers(0, 2)),
        "rounding": draw(st.sampled_from(["round", "floor", "ceil"])),
    }


@settings(max_examples=150, deadline=None)
@given(tasks(), st.integers(0, 3))
def test_the_lowest_go_and_no_others(task: dict[str, Any], seed: int) -> None:
    scores, already = task["scores"], task["already"]
    keeps = select(
        {name: torch.tensor(values, dtype=torch.float64) for name, values in scores.items()},
        task["rate"],
        task["scope"],
        generator(seed),
        removed={n: torch.tensor([i in already[n] for i in range(len(v))]) for n, v in scores.items()},
        normalise=task["normalise"],
        min_left=task["min_left"],
        rounding=task["rounding"],
    )

    count, surely, maybe = gone(**task)
    found = removed_of(keeps)
    before = {(name, i) for name in already for i in already[name]}

    assert len(found) == count
    either = protected(task)
    assert surely - either <= found <= surely | maybe | either | before
    assert before <= found


def protected(task: dict[str, Any]) -> set[tuple[str, int]]:
    """Where equal groups compete for the places that `min_left` protects, either may stay."""
    ties = set()
    if task["min_left"]:
        for name, values in task["scores"].items():
            left = [v for i, v in enumerate(values) if i not in task["already"][name]]
            edge = sorted(left)[-task["min_left"] :][:1]
            ties |= {(name, i) for i, v in enumerate(values) if [v] == edge}
    return ties


@pytest.mark.parametrize(
    ("rate", "rounding", "removed"),
    [
        (0.5, "round", 2),  # 2.5, half to even
        (0.3, "round", 2),  # 1.5
        (0.5, "floor", 2),
        (0.5, "ceil", 3),
        (0.0, "ceil", 0),
        (0.99, "round", 4),  # 5 less the one that min_left keeps
    ],
)
def test_how_many_of_five(rate: float, rounding: Any, removed: int) -> None:
    scores = torch.tensor([3.0, 1.0, 4.0, 2.0, 5.0])

    keep = select({"a": scores.clone()}, rate, "layer", generator(), rounding=rounding)["a"]

    assert keep.tolist() == (scores > removed).tolist()


@pytest.mark.parametrize(
    ("normalise", "large", "small"),
    [
        ("none", [], [0, 1]),
        ("mean", [0], [0]),  # / 102.5: .98, .99, …, / 2: .5, 1, 1.5
        ("layer", [0, 1], []),  # / 615: .163, .164, .166, …, / 6: .167, …
    ],
)
def test_one_threshold_for_layers_of_other_size(normalise: Any, large: list[int], small: list[int]) -> None:
    scores = {"large": torch.arange(100.0, 106), "small": torch.tensor([1.0, 2, 3])}

    keeps = select(scores, 2 / 9, "global", generator(), normalise=normalise)

    assert removed_of(keeps) == {("large", i) for i in large} | {("small", i) for i in small}


def test_without_normalisation_negative_scores_are_compared_as_they_are() -> None:
    keeps = select(
        {"a": torch.tensor([-5.0, -1.0, 3.0]), "b": torch.tensor([-2.0, 0.0, 4.0])},
        0.5,
        "global",
        generator(),
    )

    assert [keeps["a"].tolist(), keeps["b"].tolist()] == [[False, False, True], [False, True, True]]


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_what_is_removed_stays_removed_also_where_less_is_asked_for(scope: Any) -> None:
    scores = {"a": torch.arange(10.0), "b": torch.arange(10.0)}
    removed = {"a": torch.arange(10) >= 1, "b": torch.arange(10) >= 10}  # all of `a` but the lowest

    keeps = select(
        {n: v.clone() for n, v in scores.items()}, 0.2, scope, generator(), removed=removed, min_left=2
    )

    assert keeps["a"].tolist() == [True] + [False] * 9
    assert keeps["b"].tolist() == [scope == "global" or i >= 2 for i in range(10)]


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_ties_fall_uniformly_and_by_the_seed(scope: Any) -> None:
    """4 of 8 equal groups, 400 times: each goes in half of the cases (binomial: 200 +- 10)."""

    def run(seed: int) -> set[tuple[str, int]]:
        return removed_of(
            select({"a": torch.ones(4), "b": torch.ones(4)}, 0.5, scope, generator(seed), min_left=0)
        )

    counts = Counter(place for seed in range(400) for place in run(seed))

    assert len(counts) == 8
    assert all(150 < count < 250 for count in counts.values())
    assert run(7) == run(7)


SHAPES = [(300, 500), (1, 90_000, 1, 1), (400, 25, 3, 3), (7,)]  # 330 007 entries: sampled, not sorted


@pytest.mark.parametrize(
    "kind",
    ["normal", "sorted", "reversed", "constant", "few values", "one outlier", "huge range", "two humps"],
)
@pytest.mark.parametrize("rate", [1e-6, 0.2, 0.5, 0.97, 0.99999])
def test_large_layers_against_a_sort(kind: str, rate: float) -> None:
    sizes = [torch.Size(shape).numel() for shape in SHAPES]
    n = sum(sizes)
    values = torch.rand(n, generator=generator(3), dtype=torch.float64).float()
    if kind == "few values":
        values = (values * 5).floor()
    elif kind == "huge range":
        values = torch.exp(80 * values)
    elif kind == "two humps":
        values += 1000.0 * (torch.arange(n) > n / 2)
    elif kind != "normal":
        values = {
            "sorted": torch.arange(n).float(),
            "reversed": torch.arange(n, 0, -1).float(),
            "constant": torch.full((n,), 0.25),
            "one outlier": torch.zeros(n).index_fill(0, torch.tensor([n // 3]), 1e30),
        }[kind]
    parts = {
        f"layer{i}": part.view(shape)
        for i, (part, shape) in enumerate(zip(values.clone().split(sizes), SHAPES, strict=True))
    }
    count = round(rate * n)

    keeps = select(parts, rate, "global", generator(), min_left=0)

    keep = torch.cat([keeps[name].flatten() for name in parts])
    assert int((~keep).sum()) == count
    if count:
        threshold = values.sort().values[count - 1]
        assert values[~keep].max() <= threshold <= values[keep].min()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_scores_that_are_not_numbers(bad: float, scope: Any) -> None:
    with pytest.raises(PrunescopeError, match="the scores of b hold NaN or infinite values"):
        select({"a": torch.ones(3), "b": torch.tensor([1.0, bad, 2.0])}, 0.5, scope, generator())
