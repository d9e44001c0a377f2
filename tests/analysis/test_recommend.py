"""Recommendations from studies whose numbers are given: against worked examples, brute force and other statistics."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import prunescope as ps
from analysis.made_run import sized, write_run
from prunescope.analysis.recommend import recommend
from prunescope.analysis.recommendation import TIE, Network, Recommendation
from prunescope.errors import PrunescopeError
from prunescope.measures.forgetting import forgetting
from prunescope.measures.intervals import t_interval

DENSE = [sized(1.0, top1=0.9, mis=0.6, cross_entropy=0.4 + seed / 100) for seed in range(3)]


def seeds(left: float, top1: list[float], mis: float = 0.6) -> list[dict[str, float]]:
    return [sized(left, top1=value, mis=mis, cross_entropy=1 + seed) for seed, value in enumerate(top1)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two series of three rates, three seeds; a control that is better than all."""
    return write_run(
        tmp_path / "run",
        DENSE,
        {
            "weights": {
                "0.5": seeds(0.5, [0.91, 0.92, 0.93]),
                "0.8": seeds(0.2, [0.87, 0.90, 0.93], mis=0.5),
                "0.9": seeds(0.1, [0.80, 0.81, 0.82], mis=0.7),
            },
            "filters, per layer": {
                "0.3": seeds(0.4, [0.90, 0.91, 0.92]),
                "0.6": seeds(0.15, [0.70, 0.72, 0.74]),
            },
            "weights, random mask": {"0.99": seeds(0.01, [0.95, 0.95, 0.96])},
        },
        controls={"weights, random mask": "random mask"},
        title="Worked",
    )


def test_the_most_pruned_network_that_keeps_the_wish_on_average_is_taken(run: Path) -> None:
    found = recommend(run, "top1 >= dense - 0.01")
    assert found.best == Network("weights", "0.8")
    assert found.row_of(found.best)["cost"] == pytest.approx(0.2)
    (answer,) = found.answers_of(found.best)
    low, high = t_interval([-0.02, 0.01, 0.04])
    assert answer["surplus"] == pytest.approx(0.01)
    assert (answer["low"], answer["high"]) == (pytest.approx(low), pytest.approx(high))
    assert (answer["over"], answer["n"]) == ("seeds", 3)
    assert answer["kept"]
    assert not answer["shown"]  # low is -.065
    assert answer["bound"] == pytest.approx(0.89)
    assert answer["relative"] == pytest.approx(0.01 / 0.9)
    assert found.title == "Worked"


def test_to_be_sure_asks_for_the_whole_interval(run: Path) -> None:
    found = recommend(run, ["top1 >= dense - 0.02"], sure=True)
    assert found.best == Network("filters, per layer", "0.3")  # .03 ± .0248; of weights at .8: .02 ± .0745
    assert bool(found.row_of(found.best)["shown"])
    assert found.nearest is None


@pytest.mark.parametrize(
    ("wish", "best"),
    [
        ("top1 >= dense", Network("weights", "0.8")),
        ("top1 > dense", Network("filters, per layer", "0.3")),
        ("dense - top1 <= 0.1", Network("weights", "0.9")),
        ("top1 / dense >= 0.9", Network("weights", "0.9")),
        ("0.99 * dense <= top1", Network("weights", "0.8")),
        ("top1 >= 0.905", Network("filters, per layer", "0.3")),
        ("-top1 <= -0.9", Network("weights", "0.8")),
        ("2 * (top1 - dense) >= -0.2", Network("weights", "0.9")),
        ("mis <= 0.55", Network("weights", "0.8")),
        ("zeros >= 0.85", Network("weights", "0.9")),
        ("left <= 0.45", Network("weights", "0.9")),
    ],
)
def test_a_bound_may_be_written_in_many_ways(run: Path, wish: str, best: Network) -> None:
    assert recommend(run, wish).best == best


def test_the_choice_is_that_of_brute_force(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    rates = [f"0.{rate}" for rate in range(1, 10)]
    made = {
        f"series {number}": {
            rate: [
                sized(1 - float(rate) * generator.uniform(0.5, 1), top1=generator.uniform(0.5, 0.9),
                      mis=generator.uniform(0.4, 0.8)) for _ in range(2)
            ] for rate in rates
        } for number in range(4)
    }  # fmt: skip
    dense = [sized(1.0, top1=0.8, mis=0.6), sized(1.0, top1=0.7, mis=0.5)]
    run = write_run(tmp_path / "r", dense, made)
    found = recommend(run, ["top1 >= dense - 0.05", "mis <= 1.2 * dense"])
    costs, able, means = {}, [], {}
    for series, targets in made.items():
        for target, networks in targets.items():
            key = Network(series, target)
            costs[key] = np.mean([1 / each["compression_reachable"] for each in networks])
            top1 = np.mean([n["top1"] - d["top1"] + 0.05 for n, d in zip(networks, dense, strict=True)])
            mis = np.mean([1.2 * d["mis"] - n["mis"] for n, d in zip(networks, dense, strict=True)])
            means[key] = np.mean([each["top1"] for each in networks])
            if top1 >= 0 and mis >= 0:
                able.append((key, min(top1 / 0.75, mis / 0.55)))
    assert len(able) > 2
    least = min(costs[key] for key, _ in able)
    alike = [(spare, key) for key, spare in able if costs[key] <= least * (1 + TIE)]
    assert found.best == max(alike)[1]
    assert set(map(Network._make, found.networks.loc[found.networks["kept"], ["series", "target"]].to_numpy())) == {
        key for key, _ in able
    }  # fmt: skip
    top1 = found.answers[found.answers["metric"] == "top1"]
    for row in top1.to_dict("records"):
        key = Network(row["series"], row["target"])
        beaten = any(
            costs[other] <= costs[key] and means[other] >= means[key] for other in costs if other != key
        )
        assert row["front"] is not beaten
    assert 1 < top1["front"].sum() < len(top1)


def test_networks_that_cost_the_same_are_told_apart_by_what_they_keep(tmp_path: Path) -> None:
    alike = {
        name: {"0.5": [sized(left, top1=top1)]}
        for name, left, top1 in [("a", 0.5, 0.81), ("b", 0.504, 0.89), ("c", 0.51, 0.9)]
    }
    found = recommend(write_run(tmp_path / "r", [sized(1, top1=0.9)], alike), "top1 >= 0.8")
    assert found.best == Network("b", "0.5")
    assert "2 cost the same to within 1 %; of these it keeps most to spare." in found.sentences


def test_on_the_front_the_cheaper_of_two_alike_stands_alone(tmp_path: Path) -> None:
    made = {
        "weights": {
            "0.5": [sized(0.5, top1=0.8)],
            "0.6": [sized(0.4, top1=0.8)],
            "0.7": [sized(0.4, top1=0.7)],
        }
    }
    found = recommend(write_run(tmp_path / "r", [sized(1, top1=0.9)], made), "top1 >= 0.1")
    assert found.answers.set_index("target")["front"].to_dict() == {"0.5": False, "0.6": True, "0.7": False}


def test_a_network_exactly_at_the_bound_keeps_it_whatever_rounding_does(tmp_path: Path) -> None:
    dense = [thousandths / 1000 for thousandths in range(100, 1000)]
    assert any(value - 0.01 > round(value - 0.01, 3) for value in dense)  # for a computer
    pruned = {"weights": {"0.5": [sized(0.5, top1=round(value - 0.01, 3)) for value in dense]}}
    run = write_run(tmp_path / "r", [sized(1, top1=value) for value in dense], pruned)
    (answer,) = recommend(run, "top1 >= dense - 0.01").answers.to_dict("records")
    assert (answer["surplus"], answer["kept"], answer["shown"]) == (0, True, False)
    assert (answer["over"], answer["n"]) == ("", 900)  # of numbers that are all alike there is no interval
    assert recommend(run, "top1 > dense - 0.01").best is None


def test_a_mean_at_the_bound_keeps_it_whatever_rounding_does(tmp_path: Path) -> None:
    assert (0.7 - 0.8) + (0.9 - 0.8) < 0  # for a computer
    pruned = {"weights": {"0.5": [sized(0.5, top1=0.7), sized(0.5, top1=0.9)]}}
    run = write_run(tmp_path / "r", [sized(1, top1=0.8)] * 2, pruned)
    assert recommend(run, "top1 >= dense").best == Network("weights", "0.5")


def test_the_nearest_to_being_sure_is_the_one_whose_interval_reaches_least_below(tmp_path: Path) -> None:
    def network(*top1: float) -> list[dict[str, float]]:
        return [sized(0.5, top1=value) for value in top1]

    made = {"wide": {"0.5": network(0.75, 0.85, 0.95)}, "narrow": {"0.5": network(0.799, 0.8, 0.801)}}
    found = recommend(write_run(tmp_path / "r", [sized(1, top1=0.9)] * 3, made), "top1 >= 0.8", sure=True)
    assert (found.best, found.nearest) == (None, Network("narrow", "0.5"))
    assert any(s.startswith("Without asking for the whole interval, 2 would do") for s in found.sentences)


def test_controls_are_left_out_and_said_to_be(run: Path) -> None:
    found = recommend(run, "top1 >= 0")
    assert found.best == Network("weights", "0.9")
    assert "weights, random mask" not in set(found.networks["series"])
    assert found.controls == ["weights, random mask"]
    assert "Left out, since they are controls: weights, random mask." in found.sentences


def test_what_each_wish_costs_is_what_would_do_without_it(run: Path) -> None:
    found = recommend(run, ["top1 >= dense - 0.01", "mis >= dense"])
    assert found.best == Network("filters, per layer", "0.3")
    prices = found.prices.set_index("wish")
    assert (prices.loc["mis >= dense", "series"], prices.loc["mis >= dense", "target"]) == ("weights", "0.8")
    assert prices.loc["mis >= dense", "saved"] == pytest.approx(0.2)
    assert prices.loc["top1 >= dense - 0.01", "saved"] == pytest.approx(0.3)  # weights at .9 has mis .7
    assert (
        "The wish that costs most is “top1 >= dense - 0.01”: without it, weights at 0.9 (10 % of the weights are "
        "left) would do."
    ) in found.sentences


def test_what_gives_way_first_is_found_series_by_series(run: Path) -> None:
    table = recommend(run, ["top1 >= dense - 0.01", "mis >= dense"]).gives_way.set_index(["series", "wish"])
    columns = ["since", "until", "at", "again", "place"]
    assert table.loc[("weights", "top1 >= dense - 0.01"), columns].tolist() == ["0.5", "0.8", "0.9", "", 2]
    assert table.loc[("weights", "mis >= dense"), columns].tolist() == ["0.5", "0.5", "0.8", "0.9", 1]
    filters = table.loc[("filters, per layer", "top1 >= dense - 0.01"), columns].tolist()
    assert filters == ["0.3", "0.3", "0.6", "", 1]
    assert table.loc[("filters, per layer", "mis >= dense"), columns].tolist() == ["0.3", "0.6", "", "", 0]
    never = recommend(run, ["top1 >= 2", "top1 <= 0.85"]).gives_way.set_index(["series", "wish"])
    assert never.loc[("weights", "top1 >= 2"), columns].tolist() == ["", "", "0.5", "", 1]
    assert never.loc[("weights", "top1 <= 0.85"), columns].tolist() == ["0.9", "0.9", "", "", 0]


def test_if_none_qualifies_the_nearest_is_the_one_of_least_worst_shortfall(run: Path) -> None:
    found = recommend(run, ["top1 >= dense + 0.05", "mis >= 0.65"])
    assert found.best is None
    # weights at .5: (.95 - .92) / .9 of top1, (.65 - .6) / .6 of mis; at .9: .14 / .9; filters at .3: .04 / .9
    assert found.nearest == Network("weights", "0.5")
    assert found.sentences[0] == "None of 5 networks in 2 series keeps all that was asked."
    assert "What it misses most is “mis >= 0.65”, by 8.3 % of the dense network's value." in found.sentences
    assert "The dense network does not keep “mis >= 0.65” either: its mis is 0.6." in found.sentences
    without = found.prices.set_index("wish")["series"]
    assert without.to_dict() == {"top1 >= dense + 0.05": "weights", "mis >= 0.65": ""}
    assert found.prices["saved"].isna().all()


def test_nothing_is_equal_because_it_is_not_shown(run: Path) -> None:
    for wishes, sure in itertools.product(
        (["top1 >= dense"], ["top1 >= dense", "mis >= 0.3"]), (False, True)
    ):
        text = " ".join(recommend(run, wishes, sure=sure).sentences)
        assert "equal" not in text
        assert "no difference" not in text
    found = recommend(run, "top1 >= dense")
    assert "That it keeps “top1 >= dense” is not shown." in found.sentences
    assert any("kept on average, not shown" in sentence for sentence in found.sentences)


@pytest.mark.parametrize(("wish", "share", "sign"), [
    ("top1 >= dense - 0.05", 1.0, 1), ("top1 >= 0.9 * dense", 0.9, 1), ("top1 >= 0.6", 0.0, 1),
    ("top1 <= dense", 1.0, -1),
])  # fmt: skip
def test_of_one_seed_top1_is_paired_over_images(tmp_path: Path, wish: str, share: float, sign: int) -> None:
    generator = np.random.default_rng(1)
    dense = generator.random(800) < 0.8
    pruned = np.where(generator.random(800) < 0.9, dense, ~dense)
    run = write_run(
        tmp_path / "r",
        [sized(1, top1=dense.mean())],
        {"weights": {"0.5": [sized(0.5, top1=pruned.mean())]}},
        images={"dense-0": dense, "weights-0.5-0": pruned},
    )
    (answer,) = recommend(run, wish).answers.to_dict("records")
    assert (answer["over"], answer["n"]) == ("images", 800)
    change = sign * (pruned - share * dense)
    resampled = stats.bootstrap((change,), np.mean, n_resamples=4000, method="percentile", rng=0)
    low, high = resampled.confidence_interval
    width = high - low
    assert answer["high"] - answer["low"] == pytest.approx(width, rel=0.06)
    assert answer["high"] - answer["low"] > 0.97 * width
    assert (answer["low"] + answer["high"]) / 2 == pytest.approx(answer["surplus"])


def test_the_interval_of_a_change_is_that_of_the_measure_of_forgetting(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    right = {"dense-0": generator.random(300) < 0.9, "weights-0.5-0": generator.random(300) < 0.85}
    run = write_run(
        tmp_path / "r",
        [sized(1, top1=right["dense-0"].mean())],
        {"weights": {"0.5": [sized(0.5, top1=right["weights-0.5-0"].mean())]}},
        images=right,
    )
    (answer,) = recommend(run, "top1 >= dense").answers.to_dict("records")
    table = pd.read_parquet(run / "tables" / "images.parquet").assign(confidence=0.9)
    both = [table[table["network"] == name].drop(columns="network") for name in right]
    change = forgetting(*both)["forgetting"].set_index("metric").loc["top1_change"]
    assert [answer["surplus"], answer["low"], answer["high"]] == pytest.approx(
        [change["value"], change["low"], change["high"]]
    )


def test_images_that_give_another_accuracy_are_not_used(tmp_path: Path) -> None:
    right = {"dense-0": np.arange(100) < 90, "weights-0.5-0": np.arange(100) < 80}
    run = write_run(
        tmp_path / "r", [sized(1, top1=0.9)], {"weights": {"0.5": [sized(0.5, top1=0.85)]}}, images=right
    )
    (answer,) = recommend(run, "top1 >= dense - 0.1").answers.to_dict("records")
    assert answer["over"] == ""
    assert math.isnan(answer["low"])


def test_of_one_seed_other_metrics_have_the_interval_of_their_measure_or_none(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "r",
        [sized(1, mis=0.7, unique_detectors=40)],
        {"weights": {"0.5": [sized(0.5, mis=0.65, unique_detectors=39, weights=100.0)]}},
        intervals={"mis": 0.02},
    )
    found = recommend(run, ["mis >= 0.6", "mis >= dense - 0.1", "unique_detectors >= 30", "weights <= 100"])
    by_wish = found.answers.set_index("wish")
    assert by_wish["over"].tolist() == ["units", "", "", "counted"]
    assert by_wish["shown"].tolist() == [True, False, False, True]
    assert by_wish.loc["mis >= 0.6", ["low", "high"]].tolist() == pytest.approx([0.03, 0.07])
    assert recommend(run, ["mis >= 0.6", "weights <= 100"], sure=True).best
    found = recommend(run, "unique_detectors >= 30", sure=True)
    assert found.best is None
    assert any("there is no interval, so that nobody can be sure" in sentence for sentence in found.sentences)


def test_seeds_that_are_one_network_count_once(tmp_path: Path) -> None:
    one = sized(0.5, top1=0.8, cross_entropy=0.5)
    dense = sized(1.0, top1=0.9, cross_entropy=0.3)
    run = write_run(tmp_path / "r", [dense] * 3, {"weights": {"0.5": [one] * 3}}, intervals={"top1": 0.02})
    (answer,) = recommend(run, "top1 >= 0.7").answers.to_dict("records")
    assert (answer["over"], answer["low"]) == ("images", pytest.approx(0.08))


def test_metrics_of_forgetting_are_taken_with_their_interval(tmp_path: Path) -> None:
    base = {
        "series": "weights",
        "stage": "pruned",
        "metric": "agreement",
        "seeds": 5,
        "over": "seeds",
        "n": 100,
    }
    table = pd.DataFrame(
        [
            base | {"target": "0.5", "value": 0.95, "low": 0.93, "high": 0.97},
            base | {"target": "0.8", "value": 0.91, "low": 0.88, "high": 0.94},
        ]
    )
    pruned = {"weights": {"0.5": [sized(0.5)], "0.8": [sized(0.2)]}}
    run = write_run(tmp_path / "r", [sized(1.0)], pruned, more={"forgetting": table})
    assert recommend(run, "agreement >= 0.9").best == Network("weights", "0.8")
    found = recommend(run, "agreement >= 0.9", sure=True)
    assert found.best == Network("weights", "0.5")
    assert found.answers_of(found.best)[0]["n"] == 5
    (lost,) = (
        recommend(run, "1 - agreement <= 0.06", sure=True).answers.query("target == '0.5'").to_dict("records")
    )
    assert [lost["surplus"], lost["low"], lost["high"]] == pytest.approx([0.01, -0.01, 0.03])
    with pytest.raises(PrunescopeError, match="of which there is no agreement"):
        recommend(run, "agreement >= dense")


def test_times_are_those_of_one_machine(tmp_path: Path) -> None:
    names = {"dense-0": (10.0, 1.0), "weights-0.5-0": (9.0, 2.0), "weights-0.8-0": (8.0, 2.5)}
    key = "onnxruntime_b1"
    metrics = {
        name: sized(1, top1=0.9) | {f"ms_{key}": ms, f"speedup_{key}": factor}
        for name, (ms, factor) in names.items()
    }
    runs = {
        "dense-0": 10.0,
        "weights-0.5-0": 18.0,
        "weights-0.8-0": 20.0,
    }  # the machine was slow when it timed those
    timed = {"runtime": "onnxruntime", "batch": 1, "variant": "dense", "speedup": 1.0}
    speed = pd.DataFrame([timed | {"network": name, "milliseconds": ms} for name, ms in runs.items()])
    pruned = {"weights": {"0.5": [metrics["weights-0.5-0"]], "0.8": [metrics["weights-0.8-0"]]}}
    own = {f"speedup_{key}": 0.5}
    run = write_run(tmp_path / "r", [metrics["dense-0"]], pruned, intervals=own, more={"speed": speed})
    found = recommend(run, [f"ms_{key} <= 8", "top1 >= 0.5"], by="fastest")
    assert found.by.name == f"ms_{key}"
    assert found.networks["cost"].tolist() == pytest.approx([18 / 2.5, 18 / 2])
    assert found.dense["cost"] == pytest.approx(18)
    assert found.sentences[0] == "Take weights at 0.8 (7.2 ms in onnxruntime at batch 1)."
    assert recommend(run, f"speedup_{key} >= 2.2", by=f"ms_{key}").best == Network("weights", "0.8")
    (answer,) = found.answers_of(Network("weights", "0.8"))[:1]  # 2.5 ± .5 times as fast
    assert [answer["value"], answer["low"], answer["high"]] == pytest.approx([7.2, 8 - 18 / 2, 8 - 18 / 3])
    assert answer["over"] == "rounds"


def test_costs_are_what_was_asked_for(tmp_path: Path) -> None:
    def network(nonzero: float, macs: float, file: float, left: float) -> dict[str, float]:
        return sized(
            left,
            top1=0.9,
            weights=100,
            nonzero=nonzero,
            macs_dense=1000.0,
            macs_effective=macs,
            file_bytes_zstd=file,
        )

    pruned = {"a": {"0.5": [network(10, 900, 80, 0.5)]}, "b": {"0.5": [network(20, 300, 90, 0.6)]},
              "c": {"0.5": [network(30, 400, 20, 0.7)]}}  # fmt: skip
    run = write_run(tmp_path / "r", [network(100, 1000, 100, 1.0)], pruned)
    best = {
        by: recommend(run, "top1 > 0", by=by).networks.iloc[0] for by in ("pruned", "nonzero", "macs", "file")
    }
    assert {by: (row["series"], row["cost"]) for by, row in best.items()} == {
        "pruned": ("a", 0.5), "nonzero": ("a", 0.1), "macs": ("b", 0.3), "file": ("c", 0.2),
    }  # fmt: skip


def test_without_sizes_the_masks_say_what_is_left(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", [{"top1": 0.9}], {"weights": {"0.5": [{"top1": 0.8}]}})
    found = recommend(run, "top1 > 0.5")
    assert found.networks["cost"].tolist() == [0.5]
    assert found.by.axis == "Prunable weights left"
    with pytest.raises(PrunescopeError, match="sizes were not measured in this run; add the measure `size`"):
        recommend(run, "top1 > 0.5", by="macs")


def test_what_was_not_measured_is_not_kept_and_is_said(tmp_path: Path) -> None:
    pruned = {"weights": {"0.5": [sized(0.5, top1=0.9, mis=0.7)], "0.8": [sized(0.2, top1=0.9)],
                          "0.9": [{"top1": 0.9, "mis": 0.9}]}}  # fmt: skip
    found = recommend(write_run(tmp_path / "r", [sized(1, top1=0.9)], pruned), ["mis >= 0.6", "top1 >= 0.8"])
    assert found.best == Network("weights", "0.5")
    assert "“mis >= 0.6”: not measured of 1 network, which count as not keeping it." in found.sentences
    assert "Left out, since what they cost is not known: weights at 0.9." in found.sentences


def test_a_seed_that_failed_is_missing_from_the_mean_alone(run: Path, tmp_path: Path) -> None:
    made = {"weights": {"0.5": [sized(0.5, top1=0.7), {}, sized(0.5, top1=0.9)]}}
    found = recommend(write_run(tmp_path / "r", DENSE, made), "top1 >= dense - 0.2")
    (answer,) = found.answers.to_dict("records")
    assert (answer["n"], answer["value"]) == (2, pytest.approx(0.8))
    assert found.networks["seeds"].tolist() == [2]


def test_a_lucky_choice_is_warned_of(tmp_path: Path) -> None:
    made = {
        "weights": {
            f"0.{i}": [sized(1 - i / 10, top1=top1)] for i, top1 in [(3, 0.8), (5, 0.9), (7, 0.8), (8, 0.9)]
        }
    }
    found = recommend(write_run(tmp_path / "r", [sized(1, top1=0.9)], made), "top1 >= 0.85")
    assert found.best == Network("weights", "0.8")
    assert any(
        s.startswith("2 of the 3 networks of weights with less pruned do not keep all")
        for s in found.sentences
    )


def test_nothing_smaller_than_dense_is_said(tmp_path: Path) -> None:
    made = {"weights, not held": {"0.5": [sized(1.0, top1=0.9)]}}
    found = recommend(write_run(tmp_path / "r", [sized(1, top1=0.9)], made), "top1 >= dense")
    assert any(s.startswith("That is no less than the dense network has") for s in found.sentences)


def test_a_metric_whose_name_has_other_signs_is_found_as_it_stands(tmp_path: Path) -> None:
    made = {"weights": {"0.5": [sized(0.5, **{"grad-cam/iou": 0.7, "ms_channels-last_b1": 3.0})]}}
    run = write_run(tmp_path / "r", [sized(1, top1=0.9)], made)
    for wish in (
        "grad-cam/iou >= 0.6",
        "grad_cam_iou >= 0.6",
        "0.6<=grad-cam/iou",
        "ms_channels-last_b1/2 <= 1.5",
    ):
        assert recommend(run, wish).best
    assert recommend(run, "grad-cam/iou >= 0.6", by="ms_channels-last_b1").best


def test_json_holds_it_all_and_no_nan(run: Path) -> None:
    found = ps.recommend(run, ["top1 >= dense - 0.01", "mis >= dense"])
    assert isinstance(found, Recommendation)
    content = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert content["best"] == {"series": "filters, per layer", "target": "0.3"}
    assert content["keep"] == ["top1 >= dense - 0.01", "mis >= dense"]
    assert content["sentences"] == found.sentences
    assert len(content["answers"]) == 10
    assert content["networks"][0]["networks"] == [f"weights-0.9-{seed}" for seed in range(3)]
    assert found.to_json() == recommend(str(run), ("top1 >= dense - 0.01", "mis >= dense")).to_json()


def test_a_network_of_which_nothing_is_left_is_the_cheapest(tmp_path: Path) -> None:
    made = {
        "weights": {"0.5": [sized(0.5, compression_all=2.0)], "0.999": [sized(0.0, compression_all=math.inf)]}
    }
    found = recommend(
        write_run(tmp_path / "r", [sized(1, compression_all=1.0)], made), "compression_all >= 2"
    )
    assert found.best == Network("weights", "0.999")
    json.loads(found.to_json(), parse_constant=pytest.fail)


def test_a_value_without_end_is_one(tmp_path: Path) -> None:
    made = {"weights": {"0.999": [sized(0.0, top1=0.5)]}}
    run = write_run(tmp_path / "r", [sized(1, top1=0.9)], made)
    found = recommend(run, "compression_reachable >= 10")
    assert found.best == Network("weights", "0.999")
    assert found.answers["value"].tolist() == [math.inf]


def test_seeds_that_are_all_alike_do_not_show_that_every_seed_would_be(tmp_path: Path) -> None:
    made = {
        "weights": {"0.5": [sized(0.5, top1=top1, detectors=40, zeros_all=0.5) for top1 in (0.8, 0.7, 0.9)]}
    }
    run = write_run(tmp_path / "r", [sized(1, top1=0.9, detectors=40, zeros_all=0)] * 3, made)
    found = recommend(run, ["detectors >= dense", "zeros_all >= 0.5"])
    assert found.answers["shown"].tolist() == [False, True]  # zeros are counted
    assert any(
        "(the same in all 3 seeds: no interval): kept, no interval" in said for said in found.sentences
    )
    assert recommend(run, "detectors >= dense", sure=True).best is None


def test_a_shortfall_is_a_share_of_what_it_says(tmp_path: Path) -> None:
    made = {"weights": {"0.5": [sized(0.5, units_dead=5, lost_share=0.03)]}}
    run = write_run(tmp_path / "r", [sized(1, units_dead=0, lost_share=0)], made)
    for wish, missed in (("units_dead <= 4", "25 % of the bound"), ("lost_share <= 0", "0.03")):
        (said,) = [each for each in recommend(run, wish).sentences if each.startswith("What it misses most")]
        assert said == f"What it misses most is “{wish}”, by {missed}."


def test_what_the_dense_network_never_had_does_not_give_way(tmp_path: Path) -> None:
    made = {"weights": {"0.5": [sized(0.5, top1=0.8, detectors=40)]}}
    run = write_run(tmp_path / "r", [sized(1, top1=0.9, detectors=40)], made)
    found = recommend(run, ["detectors >= 60", "top1 >= 0.85"])
    assert "What gives way first as more is pruned is “top1 >= 0.85”." in found.sentences
    assert "The dense network does not keep “detectors >= 60” either: its detectors is 40." in found.sentences


def test_a_bound_that_turns_round_is_none(tmp_path: Path) -> None:
    made = {"weights": {"0.5": [sized(0.5, gap=-0.1)]}}
    (answer,) = recommend(
        write_run(tmp_path / "r", [sized(1, gap=-0.4)], made), "gap / dense >= 0.9"
    ).answers.to_dict("records")
    assert math.isnan(answer["surplus"])
    assert not answer["kept"]  # -0.1 is a quarter of -0.4


@pytest.mark.parametrize(
    ("keep", "options", "said"),
    [
        ([], {}, r"nothing is to be kept: .* this run has top1, cross_entropy, compression_reachable, mis"),
        ("top2 >= 1", {}, r"no metric 'top2' .*did you mean '.*top1'"),
        ("top5 >= 0.9", {}, "'top5', which this run did not measure: add its measure"),
        ("dense >= 0.9", {}, "names only the dense network's value: name one metric"),
        ("top1 >= mis", {}, "names mis, top1: name one metric in each wish"),
        ("top1 == 0.9", {}, "sets no bound on top1: write it as a bound"),
        ("top1 * top1 >= 0.9", {}, "sets no bound on top1"),
        ("dense / top1 <= 1.1", {}, "sets no bound on top1"),
        ("top1 - top1 >= 0", {}, "sets no bound on top1"),
        ("top1 >= 0.9 or mis > 1", {}, "joins conditions"),
        (["top1 >= 0.9", "top1 >= 0.9"], {}, "is given twice: keep one"),
        ("top1 >= 0.9", {"by": "size"}, "by 'size' is not known.*: expected pruned, nonzero, macs, file, fastest"),
        ("top1 >= 0.9", {"by": "prund"}, "did you mean 'pruned'"),
        ("top1 >= 0.9", {"by": "fastest"}, "no time was measured in this run: add the measure `speed`"),
        ("top1 >= 0.9", {"by": "ms_pytorch_b1"}, "is not known"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused(
    run: Path, keep: list[str], options: dict[str, str], said: str
) -> None:
    with pytest.raises(PrunescopeError, match=said):
        recommend(run, keep, **options)  # type: ignore[arg-type]


def test_several_times_are_listed(tmp_path: Path) -> None:
    times = {"ms_pytorch_b1": 3.0, "ms_onnxruntime_b1": 1.0}
    run = write_run(tmp_path / "r", [sized(1)], {"weights": {"0.5": [sized(0.5, **times)]}})
    with pytest.raises(PrunescopeError, match=r"fastest at what.* ms_pytorch_b1, ms_onnxruntime_b1"):
        recommend(run, "ms_pytorch_b1 <= 5", by="fastest")


def test_runs_that_hold_nothing_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match="expected the folder of a study that was run"):
        recommend(tmp_path / "nowhere", "top1 >= 0.9")
    only_dense = write_run(tmp_path / "dense", [sized(1, top1=0.9)], {})
    with pytest.raises(PrunescopeError, match=r"nothing was pruned in .*dense"):
        recommend(only_dense, "top1 >= 0.9")
    (run / "tables" / "scores.parquet").write_bytes(b"PAR1 is not a table")
    with pytest.raises(PrunescopeError, match=r"scores\.parquet is damaged"):
        recommend(run, "top1 >= 0.9")


def test_it_needs_no_torch() -> None:
    script = (
        "import sys; import prunescope.analysis.recommend, prunescope.report.recommendation, prunescope.cli.recommend\n"
        "print([name for name in ('torch', 'torchvision') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
