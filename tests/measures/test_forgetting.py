"""Forgetting against plain Python and scipy, on answers that are drawn, so that every number is known."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from measures.named import named_images
from oracles import slow_forgetting as oracle
from prunescope.errors import PrunescopeError
from prunescope.images.source import ImageSet
from prunescope.measures.accuracy import calibration_error
from prunescope.measures.forgetting import ForgettingSettings, compare, forgetting
from prunescope.measures.forgetting_pairs import pairs_of
from prunescope.measures.intervals import t_interval
from prunescope.measures.measure import MEASURES

CLASSES, IMAGES = 4, 60
LABELS = [i % CLASSES for i in range(IMAGES)]
NAMES = [f"{i}.png" for i in range(IMAGES)]


def answers(seed: int, accuracy: float = 0.7, labels: list[int] = LABELS) -> pd.DataFrame:
    """Return what a network that is right so often says, with confidences of few values, so that there are ties."""
    rng = np.random.default_rng(seed)
    wrong = rng.integers(CLASSES, size=len(labels))
    return pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(len(labels))],
            "label": labels,
            "prediction": np.where(rng.random(len(labels)) < accuracy, labels, wrong),
            "confidence": rng.choice([0.5, 0.75, 1.0], len(labels)).astype(np.float32),
        }
    )


def plain(tables: list[pd.DataFrame]) -> list[list[tuple[int, float]]]:
    return [list(zip(t["prediction"].tolist(), t["confidence"].tolist(), strict=True)) for t in tables]


def stacked(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([table.assign(seed=seed) for seed, table in enumerate(tables)], ignore_index=True)


DENSE = [answers(seed, 0.8) for seed in range(4)]
PRUNED = [answers(100 + seed, 0.6) for seed in range(4)]


def scores(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return found["forgetting"].set_index("metric")


@pytest.mark.parametrize("seeds", [1, 2, 3, 4])
def test_images_and_exemplars_are_those_of_plain_python(seeds: int) -> None:
    dense, pruned = DENSE[:seeds], PRUNED[:seeds]
    found = forgetting(stacked(dense), stacked(pruned))
    images = found["forgetting_images"]
    slow = oracle.exemplars(plain(dense), plain(pruned))
    assert images["flip"].tolist() == slow
    for name, own in (("dense_label", dense), ("pruned_label", pruned)):
        assert images[name].tolist() == [oracle.most_frequent(plain(own), i) for i in range(IMAGES)]
    assert images["lost"].tolist() == pytest.approx(oracle.lost(plain(dense), plain(pruned), LABELS))
    if seeds == 1:
        assert images["exemplar"].isna().all()
        assert "exemplars" not in scores(found).index
        return
    assert images["exemplar"].tolist() == slow
    assert scores(found).loc["exemplars", "value"] == pytest.approx(np.mean(slow))
    chance = oracle.exemplars_by_chance(plain(dense), plain(pruned))
    assert scores(found).loc["exemplars_by_chance", "value"] == pytest.approx(chance)


def test_scores_over_seeds_are_means_with_t_intervals() -> None:
    found = scores(forgetting(stacked(DENSE), stacked(PRUNED)))
    labels = np.array(LABELS)

    def each(value) -> list[float]:
        return [
            float(value(d["prediction"].to_numpy(), p["prediction"].to_numpy()))
            for d, p in zip(DENSE, PRUNED, strict=True)
        ]

    expected = {
        "agreement": each(lambda d, p: np.mean(d == p)),
        "agreement_right": each(lambda d, p: np.mean((d == p)[d == labels])),
        "agreement_wrong": each(lambda d, p: np.mean((d == p)[d != labels])),
        "lost": each(lambda d, p: np.mean((d == labels) & (p != labels))),
        "won": each(lambda d, p: np.mean((d != labels) & (p == labels))),
        "top1_change": each(lambda d, p: np.mean(p == labels) - np.mean(d == labels)),
    }

    def error(table: pd.DataFrame) -> float:
        return calibration_error(table["confidence"].to_numpy(), (table["prediction"] == labels).to_numpy())

    def excess(table: pd.DataFrame) -> float:
        return table["confidence"].mean() - (table["prediction"] == labels).mean()

    expected["calibration_change"] = [error(p) - error(d) for d, p in zip(DENSE, PRUNED, strict=True)]
    expected["overconfidence_change"] = [excess(p) - excess(d) for d, p in zip(DENSE, PRUNED, strict=True)]
    for metric, values in expected.items():
        row = found.loc[metric]
        assert row["value"] == pytest.approx(np.mean(values), abs=1e-7), metric
        assert (row["low"], row["high"]) == pytest.approx(t_interval(values), abs=1e-6), metric
        assert (row["over"], row["seeds"]) == ("seeds", 4)
    pairs = itertools.combinations(DENSE, 2)
    agreement = np.mean([np.mean(a["prediction"] == b["prediction"]) for a, b in pairs])
    assert found.loc["agreement_of_seeds", "value"] == pytest.approx(agreement)


def test_exemplars_are_what_dense_networks_find_hard() -> None:
    found = forgetting(stacked(DENSE), stacked(PRUNED))
    exemplar = found["forgetting_images"]["flip"].to_numpy()
    right = np.mean([(d["prediction"] == d["label"])[exemplar].mean() for d in DENSE])
    assert scores(found).loc["exemplars_dense_top1", "value"] == pytest.approx(right)
    rest = np.mean([(d["prediction"] == d["label"])[~exemplar].mean() for d in DENSE])
    assert scores(found).loc["others_dense_top1", "value"] == pytest.approx(rest)


def test_classes_over_seeds_are_tested_by_welch() -> None:
    found = forgetting(stacked(DENSE), stacked(PRUNED))["forgetting_classes"]
    assert found["class"].tolist() == ["0", "1", "2", "3"]

    def shifted(tables: list[pd.DataFrame], own: int) -> list[float]:
        hits = [table["prediction"] == table["label"] for table in tables]
        return [hit[t["label"] == own].mean() - hit.mean() for hit, t in zip(hits, tables, strict=True)]

    for own, row in enumerate(found.to_dict("records")):
        test = stats.ttest_ind(shifted(PRUNED, own), shifted(DENSE, own), equal_var=False)
        ends = test.confidence_interval(0.95)
        assert (row["t"], row["freedom"], row["p"]) == pytest.approx((test.statistic, test.df, test.pvalue))
        assert (row["low"], row["high"]) == pytest.approx((ends.low, ends.high))
        assert row["relative"] == pytest.approx(np.mean(shifted(PRUNED, own)) - np.mean(shifted(DENSE, own)))
        assert (row["test"], row["n"], row["seeds"]) == ("Welch over seeds", 15, 4)


def test_a_class_that_falls_more_than_the_others_is_shown() -> None:
    rng = np.random.default_rng(0)
    labels = [i % CLASSES for i in range(1200)]
    dense = [answers(seed, 0.85, labels) for seed in range(5)]
    pruned = [table.copy() for table in dense]
    for table in pruned:
        fallen = (table["label"] == 2) & (rng.random(1200) < 0.3)
        table.loc[fallen, "prediction"] = 3
    found = forgetting(stacked(dense), stacked(pruned))["forgetting_classes"]
    assert found["says"].tolist() == [
        "less than the average",
        "less than the average",
        "more than the average",
        "less than the average",
    ]
    assert found.loc[2, "change"] < -0.2
    assert (found.loc[2, "change_high"], found.loc[2, "high"]) < (-0.15, -0.1)


def test_one_seed_speaks_of_two_networks_alone() -> None:
    dense, pruned = answers(7, 0.9), answers(7, 0.9)
    fallen = pruned["label"] == 1
    pruned.loc[fallen, "prediction"] = 0
    found = forgetting(dense, pruned)["forgetting_classes"]
    lost = int((dense["prediction"] == 1)[fallen].sum())
    assert found["test"].unique().tolist() == ["McNemar over images"]
    assert found["p"].tolist() == pytest.approx([1, stats.binomtest(0, lost).pvalue, 1, 1])
    assert found["says"].tolist() == ["not shown", "lost", "not shown", "not shown"]
    assert found[["t", "freedom"]].isna().all(axis=None)
    back = forgetting(pruned, dense)["forgetting_classes"]
    assert back["says"].tolist() == ["not shown", "won", "not shown", "not shown"]


def test_seeds_that_are_one_network_count_once() -> None:
    found = forgetting(stacked([DENSE[0]] * 3), stacked([PRUNED[0]] * 3))
    assert set(found["forgetting"]["seeds"]) == {1}
    assert found["forgetting_classes"]["test"].unique().tolist() == ["McNemar over images"]
    pd.testing.assert_frame_equal(
        found["forgetting_images"], forgetting(DENSE[0], PRUNED[0])["forgetting_images"]
    )


def test_a_dense_network_that_is_given_makes_it_a_test_of_one_sample() -> None:
    found = forgetting(stacked([DENSE[0]] * 4), stacked(PRUNED))
    classes = found["forgetting_classes"]
    assert classes["test"].unique().tolist() == ["one-sample t over seeds"]
    assert classes["freedom"].tolist() == pytest.approx([3] * 4)
    assert "exemplars" in scores(found).index
    assert not {"exemplars_by_chance", "agreement_of_seeds"} & set(scores(found).index)


@pytest.mark.parametrize("seeds", [1, 3])
def test_rates_by_group_are_those_of_plain_python(seeds: int) -> None:
    groups = ["ab"[i % 7 % 2] if i % 5 else None for i in range(IMAGES)]
    groups = ["c" if label == 3 and own == "b" else own for own, label in zip(groups, LABELS, strict=True)]
    attributes = pd.DataFrame({"image": NAMES[::-1], "kind": groups[::-1]})
    dense, pruned = DENSE[:seeds], PRUNED[:seeds]
    found = forgetting(stacked(dense), stacked(pruned), attributes=attributes)["forgetting_groups"]
    assert found["group"].unique().tolist() == ["a", "b", "c", "not known"]
    for name, own in found.groupby("group", sort=False):
        members = [i for i in range(IMAGES) if (groups[i] or "not known") == name]
        present = {LABELS[i] for i in members}
        assert own["class"].tolist() == ["", *map(str, sorted(present))]
        for row in own.to_dict("records"):
            for which, tables in (("dense", dense), ("pruned", pruned)):
                every = [
                    [oracle.rates(said, LABELS, members, c) for c in range(CLASSES)] for said in plain(tables)
                ]
                for kind, place in (("fpr", 0), ("fnr", 1)):
                    classes = range(CLASSES) if row["class"] == "" else [int(row["class"])]
                    known = [
                        [rates[c][place] for c in classes if rates[c][place] is not None] for rates in every
                    ]
                    if known[0]:
                        assert row[f"{kind}_{which}"] == pytest.approx(np.mean([np.mean(k) for k in known]))
                    else:
                        assert np.isnan(row[f"{kind}_{which}"])
        for kind in ("fpr", "fnr"):
            change = own[f"{kind}_pruned"] - own[f"{kind}_dense"]
            assert own[f"{kind}_change"].tolist() == pytest.approx(change.tolist(), nan_ok=True)
            known = own.dropna(subset=f"{kind}_change")
            inside = (known[f"{kind}_low"] <= known[f"{kind}_change"]) & (
                known[f"{kind}_change"] <= known[f"{kind}_high"]
            )
            assert inside.all()


def test_the_interval_of_a_mean_over_classes_holds_the_truth_for_one_seed() -> None:
    rng, covered, trials, images = np.random.default_rng(5), 0, 200, 120
    labels = [0] * 60 + [1] * 30 + [2] * 20 + [3] * 10
    attributes = pd.DataFrame({"image": [f"{i}.png" for i in range(images)], "kind": ["x"] * images})
    attributes.loc[:1, "kind"] = "y"
    loss = np.array([0.05, 0.1, 0.2, 0.4])  # of images that are right; the mean over classes loses 0.1875
    for _ in range(trials):
        dense = pd.DataFrame(
            {"image": attributes["image"], "label": labels, "prediction": labels, "confidence": 1.0}
        )
        fallen = rng.random(images) < loss[labels]
        pruned = dense.assign(prediction=np.where(fallen, (np.array(labels) + 1) % 4, labels))
        row = _group_rows(dense, pruned, attributes)
        covered += row["fnr_low"] <= 0.1875 <= row["fnr_high"]
    assert covered / trials > 0.92


def _group_rows(dense: pd.DataFrame, pruned: pd.DataFrame, attributes: pd.DataFrame) -> pd.Series:
    from prunescope.images.attributes import group
    from prunescope.measures.forgetting_groups import forgotten_groups

    pairs = pairs_of([dense], [pruned], ["0", "1", "2", "3"])
    return forgotten_groups(pairs, group(attributes["kind"], 4)).iloc[0]


def study(seeds: int) -> tuple[dict[str, pd.DataFrame], ImageSet]:
    rows, said = [], []
    for seed in range(seeds):
        rows.append((f"dense-seed{seed}", "dense", "0", "dense", seed))
        said.append(DENSE[seed].assign(network=f"dense-seed{seed}"))
        for target, stage in itertools.product(("0.5", "0.8"), ("pruned", "retrained")):
            name = f"weights-{target}-{stage}-seed{seed}"
            rows.append((name, "weights", target, stage, seed))
            own = answers(len(rows) + 50 * seed, 0.65)
            said.append(own.sample(frac=1, random_state=seed).assign(network=name))  # in another order
    networks = pd.DataFrame(rows, columns=["network", "series", "target", "stage", "seed"])
    return {"networks": networks, "images": pd.concat(said)}, named_images(LABELS, CLASSES)


def test_a_study_compares_each_target_and_stage_with_the_dense_networks_of_its_seeds() -> None:
    tables, test = study(3)
    found = compare(tables, ForgettingSettings(), test, None)
    assert set(found) == {"forgetting", "forgetting_classes", "forgetting_images"}
    keys = found["forgetting"][["series", "target", "stage"]].drop_duplicates()
    assert keys.values.tolist() == [
        ["weights", t, s] for t in ("0.5", "0.8") for s in ("pruned", "retrained")
    ]
    said = dict(list(tables["images"].groupby("network")))
    dense = stacked([said[f"dense-seed{seed}"] for seed in range(3)])
    pruned = stacked([said[f"weights-0.8-pruned-seed{seed}"] for seed in range(3)])
    alone = forgetting(dense, pruned, classes=test.classes)
    for name, expected in alone.items():
        own = found[name].query("target == '0.8' and stage == 'pruned'").iloc[:, 3:]
        pd.testing.assert_frame_equal(own.reset_index(drop=True), expected)


def test_networks_that_failed_are_left_out_with_their_seed() -> None:
    tables, test = study(3)
    gone = {"dense-seed1", "weights-0.5-retrained-seed2"}
    tables["images"] = tables["images"][~tables["images"]["network"].isin(gone)]
    found = compare(tables, ForgettingSettings(), test, None)["forgetting"]
    seeds = found[found["metric"] == "agreement"].set_index(["target", "stage"])["seeds"]
    assert seeds.to_dict() == {
        ("0.5", "pruned"): 2,
        ("0.5", "retrained"): 1,
        ("0.8", "pruned"): 2,
        ("0.8", "retrained"): 2,
    }
    assert compare({"networks": tables["networks"]}, ForgettingSettings(), test, None) == {}
    only_dense = tables["images"][tables["images"]["network"].str.startswith("dense")]
    assert compare(tables | {"images": only_dense}, ForgettingSettings(), test, None) == {}


def test_a_study_with_attributes_of_a_csv_file(tmp_path: Path) -> None:
    lines = ["file,age,kind", *(f"{name},{i % 10},{'xy'[i % 2]}" for i, name in enumerate(NAMES))]
    (tmp_path / "attributes.csv").write_text("\n".join(lines))
    tables, test = study(2)
    found = compare(tables, ForgettingSettings(attributes="attributes.csv", bins=2), test, tmp_path)
    assert list(found["image_attributes"]) == ["image", "age", "kind"]
    groups = found["forgetting_groups"]
    assert groups.groupby("attribute")["group"].unique().map(list).to_dict() == {
        "age": ["0 to 5", "6 to 9"],
        "kind": ["x", "y"],
    }
    assert len(found["forgetting_attributes"]) == 2 * 4


@pytest.mark.parametrize(
    ("pruned", "words"),
    [
        (stacked(PRUNED[:2]), "dense networks have the seeds 0, 1, 2, 3, pruned ones 0, 1"),
        (stacked(PRUNED).drop(columns="confidence"), "'pruned' needs .* lacks confidence"),
        (stacked(PRUNED).iloc[:0], "has no row"),
        (stacked([table.iloc[1:] for table in PRUNED]), "different ones .*missing: 0.png"),
        (stacked([table.assign(label=0) for table in PRUNED]), "labels differ"),
    ],
)
def test_tables_that_do_not_fit_are_explained(pruned: pd.DataFrame, words: str) -> None:
    with pytest.raises(PrunescopeError, match=words):
        forgetting(stacked(DENSE), pruned)


def test_two_networks_of_one_seed_are_explained() -> None:
    twice = stacked([*DENSE, *DENSE]).assign(seed=[0] * IMAGES * 8)
    with pytest.raises(PrunescopeError, match="480 rows for 60 images: give the rows of one network"):
        forgetting(twice, stacked(PRUNED).assign(seed=0))


def test_attributes_that_lack_images_are_explained() -> None:
    attributes = pd.DataFrame({"image": NAMES[2:], "kind": list("ab") * 29})
    with pytest.raises(PrunescopeError, match=r"lack 2 of 60 images, first '0\.png'"):
        forgetting(stacked(DENSE), stacked(PRUNED), attributes=attributes)
    with pytest.raises(PrunescopeError, match="names each image once"):
        forgetting(stacked(DENSE), stacked(PRUNED), attributes=attributes.assign(image="1.png"))


def test_inputs_say_what_the_attributes_are_and_not_where_they_lie(tmp_path: Path) -> None:
    inputs, test = MEASURES["forgetting"].inputs, named_images(LABELS, CLASSES)

    def decisive(name: str, value: int) -> dict[str, Any]:
        (tmp_path / name).write_text(
            "\n".join(["file,age", *(f"{n},{i % value}" for i, n in enumerate(NAMES))])
        )
        return inputs(ForgettingSettings(attributes=name), test, tmp_path)

    assert decisive("a.csv", 7) == decisive("b.csv", 7) != decisive("a.csv", 6)
    assert inputs(ForgettingSettings(), test, tmp_path) == {}
    (tmp_path / "a.csv").write_text("file,age\n0.png,1\n")
    with pytest.raises(PrunescopeError, match="59 of 60 images have no row"):
        inputs(ForgettingSettings(attributes="a.csv"), test, tmp_path)
    with pytest.raises(PrunescopeError, match="none are given: set attributes"):
        inputs(ForgettingSettings(columns=("age",)), test, tmp_path)
    with pytest.raises(PrunescopeError, match="columns is a setting of studies only"):
        forgetting(DENSE[0], PRUNED[0], columns=["age"])


@pytest.mark.parametrize("column", ["label", "prediction"])
@pytest.mark.parametrize("index", [-1, 4])
def test_what_is_no_class_is_refused(column: str, index: int) -> None:
    """A prediction beyond the last class would be counted as one of the next group's."""
    dense, pruned = (stacked(tables).assign(**{column: index}) for tables in (DENSE, PRUNED))
    with pytest.raises(PrunescopeError, match=f"'{column}' holds {index}, and 4 classes are named"):
        forgetting(dense, pruned, classes=list("abcd"))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        (pd.DataFrame({"image": NAMES}), "need one column or more beside 'image'.*have none"),
        (pd.DataFrame({"image": NAMES, 3: LABELS}), "a name of its own that is text, and have 3"),
        (pd.DataFrame({"image": NAMES, "a": None}), "without any value for these images: a; leave them out"),
        (pd.DataFrame(dict(zip("abc", [NAMES, LABELS, LABELS], strict=True))).set_axis(["image", "a", "a"], axis=1),
         "'a', 'a'"),
    ],
)  # fmt: skip
def test_attributes_without_names_are_explained(attributes: pd.DataFrame, words: str) -> None:
    with pytest.raises(PrunescopeError, match=words):
        forgetting(DENSE[0], PRUNED[0], attributes=attributes)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("label", np.nan, "the table 'pruned' has 1 rows without label: leave them out"),
        ("prediction", np.nan, "1 rows without prediction"),
        ("image", None, "1 rows without image"),
        ("seed", np.nan, "1 rows without seed"),
        ("label", "cat", "'label' of the table 'pruned' needs indices of classes"),
        ("prediction", 1.5, "'prediction' of the table 'pruned' needs indices of classes"),
    ],
)
def test_rows_that_lack_a_value_are_explained(column: str, value: object, words: str) -> None:
    pruned = stacked(PRUNED)
    pruned[column] = pruned[column].astype(object)
    pruned.loc[0, column] = value
    if not isinstance(value, str) and column != "image":
        pruned[column] = pruned[column].astype(float)
    with pytest.raises(PrunescopeError, match=words):
        forgetting(stacked(DENSE), pruned)
