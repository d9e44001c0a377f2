from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_experiment import made_design

from prunescope.errors import PrunescopeError
from prunescope.survey.balanced_parts import balanced_parts
from prunescope.survey.drawn import Drawn
from prunescope.survey.lists import deal


def groups(paths: Sequence[tuple[Any, ...]]) -> Iterator[list[int]]:
    """The items of every group of a hierarchy, the slow way."""
    for prefix in {path[:depth] for path in paths for depth in range(len(path) + 1)}:
        yield [item for item, path in enumerate(paths) if path[: len(prefix)] == prefix]


PATHS = st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 1))


@given(st.lists(st.tuples(PATHS, PATHS), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_every_group_is_spread_evenly_over_the_parts(pairs, parts, seed):
    down, up = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    part_of = balanced_parts(down, up, parts, np.random.default_rng(seed))
    assert part_of.shape == (len(pairs),)
    assert set(part_of) <= set(range(parts))
    for members in (*groups(down), *groups(up)):
        counts = Counter(part_of[members].tolist())
        shares = [counts.get(part, 0) for part in range(parts)]
        assert max(shares) - min(shares) <= 1


def test_as_many_images_as_networks_and_lists_is_a_latin_square():
    down = [(("class",), (image,)) for image in range(7) for _ in range(7)]
    up = [(network,) for _ in range(7) for network in range(7)]
    square = balanced_parts(down, up, 7, np.random.default_rng(3)).reshape(7, 7)
    for line in (*square, *square.T):
        assert sorted(line) == list(range(7))


def test_another_seed_deals_otherwise():
    down, up = [(i,) for i in range(12)], [(i % 2,) for i in range(12)]
    dealt = [balanced_parts(down, up, 3, np.random.default_rng(seed)).tolist() for seed in (0, 0, 1)]
    assert dealt[0] == dealt[1] != dealt[2]


def drawn_of(kind: str) -> Drawn:
    once, group = (("layer", "unit"), ("layer",)) if kind == "mis" else (("image",), ("class",))
    thing, more = ("unit", "pool.units") if kind == "mis" else ("image", "pool.images_per_class")
    return Drawn([], [], [], [], once, group, thing, more)


def image_tasks(networks: int, classes: int, images: int, stimuli: int = 1) -> pd.DataFrame:
    rows = [
        {"condition": f"n{n}", "stimulus": f"s{s}", "class": f"c{c}", "image": f"c{c}/{i}"}
        for s in range(stimuli)
        for n in range(networks)
        for c in range(classes)
        for i in range(images)
    ]
    return pd.DataFrame(rows).assign(task=[f"t{i}" for i in range(len(rows))], role="main")


def catch_tasks(count: int, condition: str | None = None) -> pd.DataFrame:
    return pd.DataFrame({"task": [f"k{i}" for i in range(count)], "condition": [condition] * count})


@given(
    st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 2), st.integers(1, 30), st.booleans(),
    st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_lists_have_every_task_once_and_nothing_twice(
    networks, classes, images, stimuli, tasks, alone, catch
):
    main = image_tasks(networks, classes, images, stimuli)
    sees = "one network" if alone else "all networks"
    design = made_design("identification", tasks=tasks, each_sees=sees, catch=catch)
    extra = catch_tasks(5)
    often = stimuli if alone else stimuli * networks
    blocks = networks if alone else 1
    needed = -(-len(main) // blocks // tasks)
    if often > needed:  # each image comes so often, and there are fewer lists
        with pytest.raises(PrunescopeError, match=r"at most \d+ tasks"):
            deal(drawn_of("identification"), main, extra, design)
        return
    lists = deal(drawn_of("identification"), main, extra, design)
    shown = lists.merge(main, on="task")
    assert sorted(shown["task"]) == sorted(main["task"])
    assert not shown.duplicated(["list", "image"]).any()
    sizes = shown.groupby("list").size()
    assert sizes.index.tolist() == list(range(needed * blocks))
    assert sizes.max() <= tasks
    assert sizes.max() - sizes.min() <= 1
    on_lists = lists[lists["task"].str.startswith("k")]
    assert len(on_lists) == catch * needed * blocks
    assert not on_lists.duplicated(["list", "task"]).any()
    for condition, own in shown.groupby("condition"):
        within = own["list"].unique() if alone else range(needed)
        for columns in (["condition"], ["stimulus"], ["stimulus", "class"]):
            for _, members in own.groupby(columns):
                counts = members.groupby("list").size().reindex(within, fill_value=0)
                assert counts.max() - counts.min() <= 1, (condition, columns)
        for _, members in shown[shown["list"].isin(within)].groupby("class"):
            counts = members.groupby("list").size().reindex(within, fill_value=0)
            assert counts.max() - counts.min() <= 1
        if alone:
            assert shown.loc[shown["list"].isin(within), "condition"].nunique() == 1


def test_what_the_error_says_to_set_works():
    main, extra = image_tasks(6, 2, 4), catch_tasks(5)
    with pytest.raises(PrunescopeError, match=r"at most 8 tasks a participant.*pool\.images_per_class"):
        deal(drawn_of("identification"), main, extra, made_design("identification", tasks=10))
    assert (
        deal(drawn_of("identification"), main, extra, made_design("identification", tasks=8))["list"].max()
        == 5
    )


def test_the_lists_of_different_networks_take_turns_and_have_catch_trials_of_their_own_network():
    rows = [
        {"condition": f"n{n}", "stimulus": "units", "layer": f"l{u % 2}", "unit": u, "task": f"t{n}-{u}"}
        for n in range(3)
        for u in range(8)
    ]
    extra = pd.concat(
        [catch_tasks(3, f"n{n}").assign(task=lambda t, n=n: t["task"] + f"n{n}") for n in range(3)]
    )
    design = made_design("mis", tasks=4, catch=2)
    lists = deal(drawn_of("mis"), pd.DataFrame(rows), extra, design)
    of_list = lists.merge(pd.DataFrame(rows), on="task").groupby("list")["condition"].unique()
    assert [list(own) for own in of_list] == [["n0"], ["n1"], ["n2"], ["n0"], ["n1"], ["n2"]]
    for number, own in lists[lists["task"].str.startswith("k")].groupby("list"):
        assert own["task"].str.endswith(of_list[number][0]).all()
