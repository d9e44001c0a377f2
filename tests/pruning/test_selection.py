from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.selection import gone, least_of
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
    rates = st.sampled_from([0, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 0.99]) | st.floats(0, 0.999)
    scope = draw(st.sampled_from(["layer", "global"]))
    by_layer = scope == "layer" and draw(st.booleans())
    return {
        "scores": {
            f"layer{i}": [float(draw(st.integers(0, 5))) for _ in range(n)] for i, n in enumerate(sizes)
        },
        "rate": {f"layer{i}": draw(rates) for i in range(len(sizes))} if by_layer else draw(rates),
        "scope": scope,
        "already": {
            f"layer{i}": set(draw(st.lists(st.integers(0, n - 1), max_size=n)) if draw(st.booleans()) else [])
            for i, n in enumerate(sizes)
        },
        "normalise": draw(st.sampled_from(["none", "mean", "layer"])),
        "min_left": draw(st.integers(0, 2)),
        "min_share": draw(st.sampled_from([0.0, 0.0, 0.1, 0.3, 0.5, 0.7, 1.0])),
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
        min_share=task["min_share"],
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
    """Where equal groups compete for the places that are protected, either may stay."""
    ties = set()
    for name, values in task["scores"].items():
        least = least_of(len(values), task["min_left"], task["min_share"])
        left = [v for i, v in enumerate(values) if i not in task["already"][name]]
        edge = sorted(left)[-least:][:1] if least else []
        ties |= {(name, i) for i, v in enumerate(values) if [v] == edge}
    return ties


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize(
    ("min_left", "min_share", "round_to", "kept"),
    [
        (1, 0.0, 1, 1),
        (2, 0.1, 1, 2),  # .1 of 12 is 1.2, so 2
        (1, 0.25, 1, 3),
        (5, 0.25, 1, 5),
        (1, 0.25, 4, 4),  # the next multiple that is no less than 3
        (5, 0.0, 4, 8),
        (1, 0.75, 8, 12),  # 9, and from there all: 16 are more than there are
        (1, 1.0, 1, 12),
    ],
)
def test_what_a_layer_keeps_at_least(
    scope: Any, min_left: int, min_share: float, round_to: int, kept: int
) -> None:
    scores = {"a": torch.arange(12.0), "b": torch.arange(12.0) + 100}

    keeps = select(
        scores, 0.99, scope, generator(), min_left=min_left, min_share=min_share, round_to=round_to
    )

    for keep in keeps.values():
        assert keep.tolist() == [i >= 12 - kept for i in range(12)]


def test_what_cannot_go_from_one_layer_goes_from_others() -> None:
    """All 20 of `low` come before those of `high`; 25 of 40 are to go, and `low` has to keep 8."""
    scores = {"low": torch.arange(20.0), "high": torch.arange(20.0) + 100}

    keeps = select(scores, 25 / 40, "global", generator(), min_share=0.4)

    assert removed_of(keeps) == {("low", i) for i in range(12)} | {("high", i) for i in range(12)}
    more = select({n: torch.arange(20.0) for n in scores}, 0.7, "global", generator(), min_share=0.4)
    assert len(removed_of(more)) == 24  # of 28 asked for, all that may go


@pytest.mark.parametrize(("groups", "gone", "rate", "from_other"), [(10, 9, 0.8, 7), (3, 2, 0.4, 3)])
def test_where_less_is_left_than_has_to_stay_the_rest_goes_from_others(
    groups: int, gone: int, rate: float, from_other: int
) -> None:
    """`a` has lost all but one before, and 3 have to stay; what is still to go, goes from `b`."""
    scores = {"a": torch.arange(float(groups)), "b": torch.arange(10.0)}
    removed = {"a": torch.arange(groups) < gone, "b": torch.zeros(10, dtype=torch.bool)}

    keeps = select(scores, rate, "global", generator(), removed=removed, min_left=3)

    assert removed_of(keeps) == {("a", i) for i in range(gone)} | {("b", i) for i in range(from_other)}


def test_a_share_is_the_number_that_was_written() -> None:
    """As floats, .07 * 100 is a little more than 7."""
    keep = select({"a": torch.arange(100.0)}, 0.999, "layer", generator(), min_share=0.07)["a"]

    assert int(keep.sum()) == 7


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("round_to", [1, 4])
def test_what_is_said_to_stay_stays(scope: Any, round_to: int) -> None:
    """Five of 12, the lowest among them, and one of those that are gone already; rounded, 8 stay and not 4."""
    staying = {"a": torch.isin(torch.arange(12), torch.tensor([0, 1, 2, 3, 4, 7]))}
    removed = {"a": torch.arange(12) == 7, "b": torch.zeros(12, dtype=torch.bool)}

    keeps = select(
        {"a": torch.arange(12.0), "b": torch.arange(12.0)},
        0.9,
        scope,
        generator(),
        removed=removed,
        staying=staying,
        round_to=round_to,
    )

    stays = [0, 1, 2, 3, 4, 9, 10, 11] if round_to == 4 else [0, 1, 2, 3, 4]
    assert keeps["a"].nonzero()[:, 0].tolist() == stays
    if scope == "global" and round_to == 1:
        assert len(removed_of(keeps)) == 18  # round(.9 * 24) = 22 cannot go: 5 and 1 stay


def test_each_layer_has_a_rate_of_its_own() -> None:
    scores = {"a": torch.arange(10.0), "b": torch.arange(10.0), "c": torch.arange(10.0)}

    keeps = select(scores, {"b": 0.3, "a": 0.8, "c": 0}, "layer", generator())

    assert {name: int(keep.sum()) for name, keep in keeps.items()} == {"a": 2, "b": 7, "c": 10}


@pytest.mark.parametrize(
    ("rate", "scope", "min_share", "expected"),
    [
        ({"a": 0.5, "b": 0.5}, "global", 0, "takes one rate for all layers"),
        (
            {"a": 0.5},
            "layer",
            0,
            "a rate is needed for each layer that is pruned, and for no other: see to b",
        ),
        ({"a": 0.5, "b": 0.5, "c": 0.5}, "layer", 0, "see to c"),
        ({"a": 0.5, "b": float("nan")}, "layer", 0, "rate nan of b is impossible"),
        ({"a": 1.0, "b": 0.5}, "layer", 0, "rate 1.0 of a is impossible"),
        (-0.1, "global", 0, "rate -0.1 of a is impossible"),
        (0.5, "layer", 1.5, "min_share 1.5 is impossible"),
        (0.5, "layer", float("nan"), "min_share nan is impossible"),
    ],
)
def test_rates_and_shares_that_are_none(rate: Any, scope: Any, min_share: float, expected: str) -> None:
    with pytest.raises(PrunescopeError, match=expected):
        select({"a": torch.ones(3), "b": torch.ones(4)}, rate, scope, generator(), min_share=min_share)


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


def test_many_ties_fall_uniformly_and_by_the_seed() -> None:
    """A third of 300 000 equal groups: of every tenth of them as many go (binomial: 10 000 +- 82)."""

    def run(seed: int) -> torch.Tensor:
        return ~select({"a": torch.ones(300_000)}, 1 / 3, "layer", generator(seed))["a"]

    gone = run(7)

    assert int(gone.sum()) == 100_000
    assert all(9_600 < int(tenth.sum()) < 10_400 for tenth in gone.chunk(10))
    assert torch.equal(gone, run(7))
    assert 0.3 < float(run(8)[gone].float().mean()) < 0.37


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


def test_a_large_share_that_stays_is_the_best() -> None:
    """Half of 150 000 low scores stay, and are the upper half; the high ones make up for it."""
    low = torch.rand(300, 500, generator=generator(1))
    high = torch.rand(400, 25, 5, 3, generator=generator(2)) + 1

    keeps = select({"low": low.clone(), "high": high.clone()}, 0.4, "global", generator(), min_share=0.5)

    half = low.flatten().sort().values[75_000]
    assert torch.equal(keeps["low"], low >= half)
    assert int((~keeps["high"]).sum()) == round(0.4 * 300_000) - 75_000


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_scores_that_are_not_numbers(bad: float, scope: Any) -> None:
    with pytest.raises(PrunescopeError, match="the scores of b hold NaN or infinite values"):
        select({"a": torch.ones(3), "b": torch.tensor([1.0, bad, 2.0])}, 0.5, scope, generator())
