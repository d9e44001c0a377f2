"""MIS against plain Python, and all that must hold of it, on images sorted by class too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pandas.testing import assert_frame_equal

from oracles import slow_mis as oracle
from prunescope.errors import PrunescopeError
from prunescope.images.source import open_images
from prunescope.measures import mis_margins, mis_tasks
from prunescope.measures.mis_scores import chance_scores, check_size, mis_scores
from prunescope.probe.tie_keys import tie_keys

Array = NDArray[Any]
SCORES = ["mis", "hit_rate", "margin"]
CLASSES, PER_CLASS = 10, 60
LABELS = np.repeat(np.arange(CLASSES), PER_CLASS)  # sorted by class, as data sets are


def drawn(images: int, units: int, d: int = 6, seed: int = 0) -> tuple[Array, Array]:
    """Return activations with many ties, some dead units among them, and embeddings."""
    rng = np.random.default_rng(seed)
    activations = rng.normal(size=(images, units)).round(1)
    activations[:, ::5] = np.maximum(activations[:, ::5] - 1.5, 0)
    activations[:, 1::7] = 0.3
    return activations, rng.normal(0.3, 1, size=(images, d))


def by_class(spread: float = 0.0, seed: int = 0) -> Array:
    """Return embeddings by which classes are told apart."""
    return np.eye(CLASSES)[LABELS] + spread * np.random.default_rng(seed).normal(size=(len(LABELS), CLASSES))


def expected(
    activations: Array,
    likeness: oracle.Likeness,
    *,
    tasks: int,
    references: int,
    percentile: int | None = None,
    keys: list[int] | None = None,
    seed: int = 0,
    slope: float = 16,
    dead: str = "missing",
) -> pd.DataFrame:
    """Return what `mis_scores` should, from the slow oracle."""
    keys = [oracle.key(i, seed) for i in range(len(activations))] if keys is None else keys
    rows = []
    for unit, column in enumerate(activations.T.tolist()):
        alive, scores = oracle.is_alive(column), (np.nan, np.nan, np.nan)
        if alive or dead == "scored":
            found = oracle.margins(column, likeness, tasks, references, percentile, keys, seed)
            scores = oracle.scores(found, slope)
        rows.append((unit, alive, *scores))
    return pd.DataFrame(rows, columns=["unit", "alive", *SCORES])


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_scores_are_those_of_plain_python(metric: str, kind: type[np.floating[Any]]) -> None:
    activations, embeddings = (array.astype(kind) for array in drawn(90, 12))
    found = mis_scores(activations, embeddings, metric=metric, tasks=6, references=4, slope=2.5, seed=3)  # type: ignore[arg-type]
    likeness = getattr(oracle, metric)(embeddings.tolist())
    wanted = expected(activations, likeness, tasks=6, references=4, slope=2.5, seed=3)
    assert wanted["alive"].sum() == 10  # so both kinds are there
    assert_frame_equal(found, wanted, rtol=2e-5 if kind is np.float32 else 1e-9, atol=1e-6)


@pytest.mark.parametrize("percentile", [60, 85, 90])
def test_hard_tasks_are_those_of_plain_python(percentile: int) -> None:
    activations, embeddings = drawn(173, 8)
    found = mis_scores(activations, embeddings, tasks=4, references=2, difficulty=f"hard-{percentile}")
    wanted = expected(
        activations, oracle.cosine(embeddings.tolist()), tasks=4, references=2, percentile=percentile
    )
    assert_frame_equal(found, wanted, rtol=1e-9)
    assert not found["mis"].equals(mis_scores(activations, embeddings, tasks=4, references=2)["mis"])


def test_the_published_way_is_that_of_plain_python() -> None:
    activations, embeddings = drawn(90, 8)
    found = mis_scores(activations, embeddings, tasks=5, references=3, ties="index", dead="scored")
    wanted = expected(
        activations,
        oracle.cosine(embeddings.tolist()),
        tasks=5,
        references=3,
        keys=list(range(90)),
        dead="scored",
    )
    assert_frame_equal(found, wanted, rtol=1e-9)
    assert found["mis"].notna().all()


def test_similarities_do_as_well_as_embeddings() -> None:
    activations, embeddings = drawn(90, 12)
    shape = {"tasks": 6, "references": 4}
    similarities = embeddings @ embeddings.T
    found = mis_scores(activations, similarities=similarities, **shape)  # type: ignore[arg-type]
    assert_frame_equal(found, mis_scores(activations, embeddings, metric="dot", **shape), rtol=1e-5)  # type: ignore[arg-type]
    uneven = np.random.default_rng(1).normal(size=(90, 90))  # the query's row, the reference's column
    assert_frame_equal(
        mis_scores(activations, similarities=uneven, tasks=6, references=4),
        expected(activations, lambda q, e: float(uneven[q, e]), tasks=6, references=4),
        rtol=1e-5,
        atol=1e-6,
    )


def test_real_images_sorted_by_class(real_data: Path, tmp_path: Path) -> None:
    """Units are the colours of cells of photographs, thresholded, so that half of them are sparse."""
    images = open_images("folder:imagenette128/val", data=real_data)
    places = np.arange(0, len(images), len(images) // 240)
    cells = np.stack([_cells(images.decode(int(i))) for i in places])  # (images, 4, 4, 3)
    embeddings = (cells.mean(3) - 0.5).reshape(len(cells), -1)
    activations = cells.reshape(len(cells), -1)[:, ::3]
    activations[:, ::2] = np.maximum(activations[:, ::2], np.quantile(activations[:, ::2], 0.95, axis=0))
    names = [images.names[i] for i in places]
    stored = np.memmap(tmp_path / "activations", np.float32, "w+", shape=activations.shape)
    stored[:] = activations
    found = mis_scores(stored, embeddings, tasks=12, ids=names)
    keys = [oracle.key(name, 0) for name in names]
    wanted = expected(stored, oracle.cosine(embeddings.tolist()), tasks=12, references=9, keys=keys)
    assert found["mis"].std() > 0.01
    assert_frame_equal(found, wanted, rtol=1e-8, atol=1e-9)


def _cells(pixels: Array) -> Array:
    side = min(pixels.shape[:2]) // 4 * 4
    return pixels[:side, :side].reshape(4, side // 4, 4, side // 4, 3).mean((1, 3)) / 255


# What must hold


def test_a_unit_that_indicates_a_class_scores_one() -> None:
    noise = np.random.default_rng(0).random((len(LABELS), CLASSES)) * 0.1
    activations = np.eye(CLASSES)[LABELS] + noise
    shape = {"tasks": 6, "references": 9}  # all 60 of a class at the high end, others at the low end
    scores = mis_scores(activations, by_class(0.05), **shape)  # type: ignore[arg-type]
    assert (scores["mis"] > 0.999).all()
    assert (scores["hit_rate"] == 1).all()
    against = mis_scores(activations, similarities=-by_class() @ by_class().T, **shape)  # type: ignore[arg-type]
    assert (against["mis"] < 0.001).all()


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_a_similarity_that_knows_nothing_scores_a_half(metric: str) -> None:
    activations, _ = drawn(len(LABELS), 12)
    same = np.tile(np.random.default_rng(0).normal(size=7), (len(LABELS), 1))
    living = mis_scores(activations, same, metric=metric).dropna()  # type: ignore[arg-type]
    assert (living[["mis", "hit_rate"]] == 0.5).all(axis=None)
    assert (living["margin"] == 0).all()


def test_a_similarity_without_regard_to_the_unit_scores_a_half_on_average() -> None:
    scores = mis_scores(
        np.random.default_rng(0).random((600, 400)), np.random.default_rng(1).normal(size=(600, 40))
    )
    assert scores["mis"].mean() == pytest.approx(0.5, abs=0.02)
    assert scores["hit_rate"].mean() == pytest.approx(0.5, abs=0.02)


WHOLE = st.lists(st.integers(-6, 6), min_size=40, max_size=60).filter(lambda values: len(set(values)) > 1)


@given(WHOLE, st.floats(0.01, 100), st.floats(-10, 10), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_scale_and_offset_change_nothing(values: list[int], scale: float, offset: float, seed: int) -> None:
    unit = np.array(values, dtype=np.float64)[:, None]
    embeddings = np.random.default_rng(len(values)).normal(size=(len(values), 5))
    moved = scale * unit + offset * scale * unit.std()
    shape = {"tasks": 4, "references": 4, "seed": seed}
    assert_frame_equal(mis_scores(moved, embeddings, **shape), mis_scores(unit, embeddings, **shape))  # type: ignore[arg-type]


@given(st.permutations(range(50)), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_sign_changes_nothing_where_there_are_no_ties(values: list[int], seed: int) -> None:
    unit = np.array(values, dtype=np.float64)[:, None] - 20
    embeddings = np.random.default_rng(0).normal(size=(50, 5))
    shape = {"tasks": 4, "references": 4, "seed": seed}
    assert_frame_equal(mis_scores(-unit, embeddings, **shape), mis_scores(unit, embeddings, **shape))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["embeddings", "similarities"])
def test_the_order_of_images_changes_nothing_if_they_keep_their_ids(kind: str) -> None:
    activations, embeddings = drawn(400, 20)
    names, order = [f"n0144/{i}.JPEG" for i in range(400)], np.random.default_rng(5).permutation(400)
    alike, moved = embeddings, embeddings[order]
    if kind == "similarities":
        alike = embeddings @ embeddings.T
        moved = alike[np.ix_(order, order)]
    shuffled = [names[i] for i in order]
    before = mis_scores(activations, **{kind: alike}, ids=names)
    assert_frame_equal(mis_scores(activations[order], **{kind: moved}, ids=shuffled), before)
    assert not mis_scores(activations[order], **{kind: moved}, ids=names)["mis"].equals(before["mis"])


def test_a_constant_unit_has_no_score() -> None:
    activations, embeddings = drawn(400, 6)
    activations[:, 2] = -0.7 + 1e-8 * np.arange(400) / 400  # differs, but by less than 1e-6 of its size
    activations[:, 3] = 0
    activations[:, 4] = 1e-20 * np.arange(400)  # small, but all it says
    known = np.array([False, True, True, True, True, True])
    scores = mis_scores(activations, embeddings, alive=known)
    assert scores["alive"].tolist() == [False, False, False, False, True, True]
    assert scores["unit"].tolist() == list(range(6))
    assert scores[SCORES].isna().all(axis=1).tolist() == (~scores["alive"]).tolist()
    as_published = mis_scores(activations, embeddings, alive=known, dead="scored")
    assert as_published["alive"].equals(scores["alive"])
    assert as_published[SCORES].notna().all(axis=None)
    assert_frame_equal(as_published[4:], scores[4:])


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_units_without_content_score_a_half_on_images_sorted_by_class(share: float) -> None:
    """They fire on a share of the images whatever these show; each end of the images is of one class."""
    rng, labels = np.random.default_rng(1), np.repeat(np.arange(4), 250)
    activations = rng.random((1000, 15)) * (rng.random((1000, 15)) < share)
    embeddings = np.eye(4)[labels] + 0.3 * rng.normal(size=(1000, 4))

    def hits(ties: str) -> float:
        """Average over seeds too, since in one seed all units share the order of ties."""
        runs = [
            mis_scores(activations, embeddings, ties=ties, dead="scored", seed=seed)  # type: ignore[arg-type]
            for seed in range(40)
        ]
        return float(np.mean([run["hit_rate"].mean() for run in runs]))

    assert hits("random") == pytest.approx(0.5, abs=0.03)
    assert hits("index") > 0.85  # the artefact of ties broken by place


def test_a_steep_slope_gives_the_hit_rate() -> None:
    activations, _ = drawn(len(LABELS), 12)
    scores = mis_scores(activations, by_class(0.3), slope=1e12).dropna()
    assert scores["mis"].tolist() == pytest.approx(scores["hit_rate"].tolist(), abs=1e-12)
    assert scores["hit_rate"].nunique() > 3


def test_margins_that_are_zero_are_half_a_hit() -> None:
    """Whatever numbers stand for alike and not alike, rounding makes no hit and no miss of a tie."""
    activations, _ = drawn(len(LABELS), 12)
    same = (LABELS[:, None] == LABELS).astype(np.float64)
    hits = mis_scores(activations, similarities=same)["hit_rate"]
    assert (hits * 40 % 2 == 1).any()
    assert mis_scores(activations, by_class())["hit_rate"].equals(hits)
    assert mis_scores(activations, similarities=0.1 + 0.6 * same)["hit_rate"].equals(hits)


def test_small_distances_far_from_zero_are_exact() -> None:
    activations, embeddings = drawn(90, 6)
    embeddings = (1000 + embeddings).astype(np.float32)
    found = mis_scores(activations, embeddings, metric="euclidean", tasks=6, references=4)
    wanted = expected(activations, oracle.euclidean(embeddings.tolist()), tasks=6, references=4)
    assert_frame_equal(found, wanted, rtol=1e-5)


# Ends of the order


@pytest.mark.parametrize("block", [1, 700, 1 << 21])
@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_and_threads_change_nothing(block: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    activations, embeddings = drawn(400, 12)
    before = mis_scores(activations, embeddings)
    monkeypatch.setattr(mis_tasks, "_BLOCK", block)
    monkeypatch.setattr(mis_margins, "_TASKS", 7 * threads)
    monkeypatch.setattr(mis_margins, "_COLUMNS", 2)
    torch.set_num_threads(threads)
    try:
        assert_frame_equal(mis_scores(activations, embeddings), before, rtol=1e-12)
    finally:
        torch.set_num_threads(1)


@given(
    st.lists(st.sampled_from([-0.0, 0.0, 1.5, -2.0, 7.0, 1e-9]), min_size=9, max_size=80), st.integers(1, 4)
)
def test_ends_are_those_of_a_whole_sort(values: list[float], depth: int) -> None:
    order = sorted(range(len(values)), key=lambda i: (values[i], i))
    ends = mis_tasks._ends(np.array(values), depth)
    assert ends[:, 0].tolist() == order[::-1][:depth]
    assert ends[:, 1].tolist() == order[:depth]


def test_a_sample_that_misleads_does_no_harm() -> None:
    values = np.arange(4000.0)
    values[:: mis_tasks._EVERY] -= 1e6  # what the sample sees is low, all of it
    order = np.argsort(values)
    ends = mis_tasks._ends(values, 900)
    assert ends[:, 0].tolist() == order[::-1][:900].tolist()
    assert ends[:, 1].tolist() == order[:900].tolist()


def test_float64_is_ordered_as_float64() -> None:
    embeddings = np.random.default_rng(0).normal(size=(100, 5))
    ranks = np.random.default_rng(1).permutation(100)[:, None].astype(np.float64)
    close = 1 + 1e-12 * ranks  # all equal in float32
    close[ranks == 99] = 2
    shape = {"tasks": 5, "references": 9}
    wanted = mis_scores(ranks, embeddings, **shape)  # type: ignore[arg-type]
    assert_frame_equal(mis_scores(close, embeddings, **shape), wanted)  # type: ignore[arg-type]
    assert not mis_scores(close.astype(np.float32), embeddings, **shape)["mis"].equals(wanted["mis"])  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int64, np.float16])
def test_other_numbers_are_scored_too(kind: type[np.generic]) -> None:
    activations, embeddings = drawn(400, 8)
    other = (activations * 10 % 7).astype(kind)
    assert_frame_equal(mis_scores(other, embeddings), mis_scores(other.astype(np.float64), embeddings))


def test_what_is_given_stays_as_it_is_and_may_be_read_only() -> None:
    activations, embeddings = (array.astype(np.float32) for array in drawn(400, 8))
    activations.flags.writeable = embeddings.flags.writeable = False
    before = embeddings.copy()
    assert len(mis_scores(activations, embeddings)) == 8
    assert np.array_equal(embeddings, before)
    assert mis_scores(activations[:, :0], embeddings).columns.tolist() == ["unit", "alive", *SCORES]


# Seeds and chance


def test_the_seed_decides_and_nothing_else() -> None:
    activations, embeddings = drawn(400, 12)
    before = mis_scores(activations, embeddings, seed=1)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    assert_frame_equal(mis_scores(activations, embeddings, seed=1), before)
    assert not mis_scores(activations, embeddings, seed=2)["mis"].equals(before["mis"])


def test_keys_are_as_documented() -> None:
    names = ["a.png", "b/ü.png", "\udcff.png", 17]
    keys = tie_keys(names, 4)
    assert keys.dtype == np.uint64
    assert [int(k) for k in keys[[0, 1, 3]]] == [oracle.key(name, 4) for name in ("a.png", "b/ü.png", 17)]
    assert len({*keys.tolist(), *tie_keys(names, 5).tolist()}) == 8
    assert tie_keys([], 0).shape == (0,)


def test_chance_is_that_of_shuffled_activations() -> None:
    embeddings = by_class(0.3)
    chance = chance_scores(len(LABELS), embeddings, tasks=8, units=400)
    unit = np.random.default_rng(0).normal(size=len(LABELS))
    shuffled = np.stack([np.random.default_rng(i).permutation(unit) for i in range(400)], axis=1)
    wanted = mis_scores(shuffled, embeddings, tasks=8)
    assert len(chance) == 400
    assert chance["alive"].all()
    for score in ("mis", "hit_rate"):
        assert chance[score].mean() == pytest.approx(0.5, abs=0.02)
        assert chance[score].std() == pytest.approx(wanted[score].std(), rel=0.15)
    assert_frame_equal(chance, chance_scores(len(LABELS), embeddings, tasks=8, units=400))


# What users get wrong


@pytest.mark.parametrize("difficulty", ["easy", "hard-95", "hard-85", "hard-60", "hard-99.5", "hard-51"])
@pytest.mark.parametrize("images", [80, 333, 1200])
def test_too_few_images_say_how_many_would_do_and_how_many_tasks(images: int, difficulty: str) -> None:
    with pytest.raises(PrunescopeError, match=f"{images} images are too few") as error:
        check_size(images, 10**6, 9, difficulty)
    fitting = int(str(error.value).partition("fewer tasks (")[2].split()[0])
    if fitting:
        check_size(images, fitting, 9, difficulty)
    with pytest.raises(PrunescopeError, match="which need") as error:
        check_size(images, fitting + 1, 9, difficulty)
    needed = int(str(error.value).partition("which need ")[2].partition(":")[0])
    assert needed > images
    check_size(needed, fitting + 1, 9, difficulty)


@pytest.mark.parametrize(
    ("difficulty", "needed"), [("easy", 400), ("hard-99", 18000), ("hard-95", 3600), ("hard-85", 1200)]
)
def test_the_default_tasks_need_so_many_images(difficulty: str, needed: int) -> None:
    check_size(needed, 20, 9, difficulty)
    with pytest.raises(PrunescopeError, match=f"which need {needed}: .*19 would fit"):
        check_size(needed - 1, 20, 9, difficulty)


def test_too_few_images_are_an_error_of_the_scores_as_well() -> None:
    activations, embeddings = drawn(399, 3)
    with pytest.raises(PrunescopeError, match="399 images are too few for 20 easy tasks"):
        mis_scores(activations, embeddings)
    with pytest.raises(PrunescopeError, match="0 images are too few"):
        mis_scores(activations[:0], embeddings[:0])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"similarities": np.eye(400)}, "both are given"),
    ({"embeddings": None}, "neither are given"),
    ({"embeddings": np.ones((399, 3))}, "embeddings of other images than those given: 399 embeddings"),
    ({"embeddings": np.ones(400)}, r"embeddings must be real numbers of shape \(images, d\)"),
    ({"embeddings": None, "similarities": np.eye(399)}, "similarities of other images than those given"),
    ({"embeddings": None, "similarities": np.full((400, 400), np.nan)}, "NaN or infinite"),
    (
        {"embeddings": np.float32(1e30) * np.arange(400, dtype="f")[:, None], "metric": "dot"},
        "NaN or infinite",
    ),
    ({"metric": "cosin"}, r"no metric 'cosin' \(did you mean 'cosine'\?\); known: cosine, dot, euclidean"),
    ({"difficulty": "hard99"}, r"no difficulty 'hard99' \(did you mean 'hard-99'"),
    ({"difficulty": "hard-50"}, "between 50 and 100"),
    ({"difficulty": "hard-100"}, "between 50 and 100"),
    ({"ties": "indx"}, r"no ties 'indx' \(did you mean 'index'\?\)"),
    ({"dead": "dropped"}, "no dead 'dropped'; known: missing, scored"),
    ({"ids": range(399)}, "399 ids for 400 images"),
    ({"ids": [*range(399), 7]}, "ids must differ, and '7' is there 2 times"),
    ({"slope": 0}, "slope must be a positive number, and is 0"),
    ({"slope": float("inf")}, "an infinite one gives the hit rate"),
    ({"tasks": 0}, "tasks must be a whole number of at least 1, and is 0"),
    ({"references": 2.5}, "references must be a whole number"),
    ({"seed": -1}, "seed must be a whole number of at least 0"),
    (
        {"alive": np.ones(4, dtype=bool)},
        r"alive must be 3 truth values, one a unit, and is bool of shape \(4,\)",
    ),
    ({"alive": np.ones(3)}, "is float64"),
    ({"activations": np.ones(400)}, r"activations must be real numbers of shape \(images, units\)"),
    ({"activations": np.full((400, 3), "a")}, "activations must be real numbers"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_wrong_input_is_explained(wrong: dict[str, Any], message: str) -> None:
    rng = np.random.default_rng(0)
    right = {"activations": rng.normal(size=(400, 3)), "embeddings": rng.normal(size=(400, 3))}
    with pytest.raises(PrunescopeError, match=message):
        mis_scores(**(right | wrong))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_named(bad: float) -> None:
    activations, embeddings = drawn(400, 5)
    activations[17, 3] = bad
    with pytest.raises(PrunescopeError, match="activations of unit 3 hold NaN or infinite"):
        mis_scores(activations, embeddings)
    embeddings[9, 0] = bad
    with pytest.raises(PrunescopeError, match="embedding of image 9 holds NaN or infinite"):
        mis_scores(drawn(400, 5)[0], embeddings)


def test_an_embedding_without_direction_is_named() -> None:
    activations, embeddings = drawn(400, 5)
    embeddings[[12, 40]] = 0
    with pytest.raises(PrunescopeError, match=r"embedding of image 12 is all zeros \(2 of 400 are\)"):
        mis_scores(activations, embeddings)
    assert mis_scores(activations, embeddings, metric="euclidean")["mis"].notna().any()
