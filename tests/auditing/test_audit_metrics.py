"""The numbers of an audit: from tables small enough to reckon by hand, and from those of real measures."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from measures.named import named_images
from places import REPOSITORY
from prunescope.auditing.answers import compare_answers
from prunescope.auditing.metric_names import ENDS, described, known_metrics, meanings
from prunescope.auditing.metrics import flatten
from prunescope.auditing.settings import AuditSettings, audit_settings
from prunescope.images.source import open_images
from prunescope.measures.dissection import DissectionSettings, measure_dissection
from prunescope.measures.dissection_scores import persistence
from prunescope.measures.measure import Subject, Tables
from prunescope.measures.mis import MisSettings, measure_mis, paired
from prunescope.measures.size import SizeSettings, measure_size
from prunescope.networks.network import open_network
from prunescope.networks.preprocess import Preprocess
from prunescope.pruning.counting import count
from prunescope.pruning.prune import prune
from prunescope.pruning.recognition import recognise
from prunescope.training.evaluation import NO_IMAGES

NAN = math.nan
PRUNING = {"granularity": "filter", "dead_layers": ["b"]}
RELATION = {"kind": "fine-tuned", "correlation": 0.9}
OF_MAPS = (
    "deletion", "insertion", "faithfulness", "confidence", "pointing", "inside", "object_share", "gini", "entropy",
    "empty", "proxy_top1",
)  # fmt: skip
LIKENESS = [f"{what}{of}" for what in ("spearman", "ssim", "iou") for of in ("", "_chance")]


def rows(columns: str, *given: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(given, columns=columns.split())


def scores_of(both: Mapping[str, tuple[float, float]]) -> pd.DataFrame:
    """Return the table `scores` from metric to (dense, pruned), NaN for no row; intervals are 0.1 to either side."""
    found = [
        (side, metric, value, value - 0.1, value + 0.1)
        for metric, values in both.items()
        for side, value in zip(("dense", "pruned"), values, strict=True)
        if not math.isnan(value)
    ]
    return rows("network metric value low high", *found)


def units() -> pd.DataFrame:
    """Return four units of each network and a batch norm's; the second one dies, the third detects something else."""
    table = rows(
        "network kind unit mis detector category concept",
        ("dense", "conv", 0, 0.5, True, "object", "cat"), ("dense", "conv", 1, 0.9, True, "object", "dog"),
        ("dense", "conv", 2, 0.6, True, "colour", "red"), ("dense", "conv", 3, 0.8, False, "object", "car"),
        ("dense", "norm", 0, 0.1, None, None, None),
        ("pruned", "conv", 0, 0.55, True, "object", "cat"), ("pruned", "conv", 1, NAN, False, None, None),
        ("pruned", "conv", 2, 0.7, True, "object", "red"), ("pruned", "conv", 3, 0.95, False, "object", "car"),
        ("pruned", "norm", 0, 0.1, None, None, None),
    )  # fmt: skip
    return table.assign(layer="a", alive=table["mis"].notna(), hit_rate=table["mis"])


def explanations() -> pd.DataFrame:
    """Return the maps of three images; the pruned network's of the last one is empty."""
    table = rows(
        "network image insertion deletion",
        ("dense", "x", 0.9, 0.3), ("dense", "y", 0.8, 0.4), ("dense", "z", 0.7, 0.5),
        ("pruned", "y", 0.6, 0.4), ("pruned", "x", 1.0, 0.1), ("pruned", "z", NAN, NAN),
    )  # fmt: skip
    others = dict.fromkeys(set(OF_MAPS) - {*table, "faithfulness", "proxy_top1", "empty"}, 0.5)
    return table.assign(
        method="integrated-gradients",
        empty=table["insertion"].isna(),
        proxy_correct=[1, 0, 1, 1, 1, NAN],
        **others,
    )


TABLES: Tables = {
    "scores": scores_of(
        {
            "weights": (1000, 800), "macs_effective": (4000, 1000), "file_bytes": (4000, 4000),
            "file_bytes_zstd": (3600, 900), "units_alive": (4, 3), "units_dead": (0, 1), "mis": (0.7, 2.2 / 3),
            "hit_rate": (0.7, 2.2 / 3), "mis_layers": (0.66, 0.7), "mis_paired": (1.9 / 3, 2.2 / 3),
            "mis_published": (0.65, 0.75), "mis_chance": (0.5, 0.5), "detectors": (3, 2),
            "unique_detectors": (3, 2), "concepts_kept": (NAN, 1), "concepts_changed": (NAN, 1),
            "concepts_lost": (NAN, 1), "concepts_gained": (NAN, 0), "proxy/whole": (0.9, NAN),
            "proxy/random": (0.1, NAN),
            **{f"integrated-gradients/{what}": (0.5, 0.4) for what in OF_MAPS},
            **{f"integrated-gradients/{what}": (NAN, 0.3) for what in LIKENESS},
        }
    ),
    "patterns": rows(
        "network layer weights zeros",
        ("dense", "a", 100, 0), ("dense", "b", 300, 0), ("pruned", "a", 100, 20), ("pruned", "b", 300, 280),
    ),
    "layers": rows(
        "network layer weights unreachable",
        ("dense", "a", 100, 0.0), ("dense", "b", 300, 0.0), ("pruned", "a", 100, 0.6), ("pruned", "b", 300, 1.0),
    ),
    "units": units(),
    "explanations": explanations(),
    "speed": rows(
        "network runtime batch variant milliseconds speedup low high",
        ("pruned", "channels-last", 16, "dense", 8.0, 1.0, 1.0, 1.0),
        ("pruned", "channels-last", 16, "pruned", 5.0, 1.6, 1.5, 1.7),
        ("pruned", "channels-last", 16, "compact", 2.0, 4.0, 3.9, 4.1),
        ("pruned", "pytorch", 1, "dense", 2.0, 1.0, 1.0, 1.0),
        ("pruned", "pytorch", 1, "pruned", NAN, NAN, NAN, NAN),
    ),
    "forgetting_groups": rows(
        "attribute group class n fnr_change fnr_low fnr_high",
        ("age", "old", "", 40, 0.2, 0.1, 0.3), ("age", "young", "", 60, -0.1, -0.2, 0.0),
        ("age", "baby", "", 9, 0.9, 0.5, 1.0), ("age", "young", "cat", 20, 0.8, 0.7, 0.9),
    ),
}  # fmt: skip
METRICS, INTERVALS = flatten(TABLES, PRUNING, RELATION)


def without(*names: str, scores: str = "") -> Tables:
    """Return the tables without some of them, and without the metrics of these names."""
    kept = {name: table for name, table in TABLES.items() if name not in names}
    if scores:
        kept["scores"] = kept["scores"][~kept["scores"]["metric"].str.fullmatch(scores)]
    return kept


def test_sizes() -> None:
    expected = {
        "weights_dense": 400, "weights_pruned": 400, "weights_left": 1, "nonzero_dense": 400, "nonzero_pruned": 100,
        "nonzero_left": 0.25, "zeros_dense": 0, "zeros_pruned": 0.75, "unreachable_dense": 0,
        "unreachable_pruned": 0.9, "compression": 4, "compression_reachable": 10, "parameters_left": 0.8,
        "macs_dense": 4000, "macs_pruned": 1000, "macs_left": 0.25, "file_bytes_dense": 3600, "file_left": 0.25,
        "dead_layers": 1, "granularity": "filter", "relation": "fine-tuned", "weight_correlation": 0.9,
    }  # fmt: skip
    assert {name: METRICS[name] for name in expected} == pytest.approx(expected)


def test_two_programs_are_compared_by_their_files_and_one_is_not() -> None:
    programs = flatten(without("layers", scores="file_bytes_zstd|weights|macs.*"), PRUNING, RELATION)[0]
    assert (programs["file_bytes_dense"], programs["file_left"]) == (4000, 1)
    assert [
        programs[name] for name in ("unreachable_pruned", "compression_reachable", "parameters_dense")
    ] == [None] * 3
    assert programs["compression"] == 4
    scores = TABLES["scores"]
    one = scores[~((scores["network"] == "dense") & (scores["metric"] == "file_bytes_zstd"))]
    metrics = flatten({**TABLES, "scores": one}, PRUNING, RELATION)[0]
    assert (metrics["file_bytes_dense"], metrics["file_bytes_pruned"], metrics["file_left"]) == (
        None,
        900,
        None,
    )


def test_a_network_without_a_weight_left_has_no_compression() -> None:
    gone = TABLES["patterns"].assign(zeros=TABLES["patterns"]["weights"])
    metrics = flatten({**TABLES, "patterns": gone}, PRUNING, RELATION)[0]
    assert (metrics["compression"], metrics["zeros_pruned"], metrics["nonzero_left"]) == (None, 1, None)
    nothing = TABLES["patterns"].assign(zeros=0, weights=0)
    assert flatten({**TABLES, "patterns": nothing}, PRUNING, RELATION)[0]["zeros_pruned"] is None


def test_units() -> None:
    welch = stats.ttest_ind([0.55, 0.7, 0.95], [0.5, 0.9, 0.6, 0.8], equal_var=False).confidence_interval()
    differences = [0.05, 0.1, 0.15]
    t = stats.t.interval(0.95, 2, np.mean(differences), stats.sem(differences))
    assert METRICS["mis_change"] == pytest.approx(2.2 / 3 - 0.7)
    assert INTERVALS["mis_change"] == pytest.approx([welch.low, welch.high])
    assert METRICS["mis_paired_change"] == pytest.approx(0.1)
    assert INTERVALS["mis_paired_change"] == pytest.approx(t, rel=1e-4)
    assert METRICS["mis_layers_change"] == pytest.approx(0.04)
    assert (METRICS["units_dead_dense"], METRICS["units_dead_pruned"], METRICS["mis_chance"]) == (0, 1, 0.5)
    assert INTERVALS["mis_dense"] == pytest.approx([0.6, 0.8])


def test_units_that_are_not_the_same_have_no_paired_change() -> None:
    metrics, intervals = flatten(without(scores="mis_paired|concepts_.*"), PRUNING, RELATION)
    assert not [name for name in metrics if "paired" in name or name == "concepts_kept"]
    assert intervals["mis_change"] == INTERVALS["mis_change"]
    assert metrics["concept_jaccard"] == METRICS["concept_jaccard"]


def test_one_live_unit_has_no_interval() -> None:
    few = units()
    few.loc[(few["network"] == "pruned") & (few["unit"] > 0), ["alive", "mis"]] = [False, NAN]
    metrics, intervals = flatten({**TABLES, "units": few}, PRUNING, RELATION)
    assert "mis_change" in metrics
    assert not {"mis_change", "mis_paired_change"} & set(intervals)
    few["alive"] = few["network"] == "dense"
    assert flatten({**TABLES, "units": few}, PRUNING, RELATION)[0]["mis_paired_change"] is None


def test_concepts() -> None:
    """An object and a colour are two concepts: cat is in both; dog, the colour red and the object red are in one."""
    assert METRICS["concept_jaccard"] == pytest.approx(1 / 4)
    assert (METRICS["unique_detectors_left"], METRICS["concepts_kept"]) == (pytest.approx(2 / 3), 1)
    none = units().assign(detector=False)
    assert flatten({**TABLES, "units": none}, PRUNING, RELATION)[0]["concept_jaccard"] is None


def test_changes_of_maps_stand_on_the_images_of_both() -> None:
    """Images x and y have maps in both, whatever their order: faithfulness .6 → .9 and .4 → .2."""
    name = "integrated_gradients_faithfulness"
    assert METRICS[f"{name}_change"] == pytest.approx(0.05)
    assert METRICS["integrated_gradients_deletion_change"] == pytest.approx(-0.1)
    assert METRICS["integrated_gradients_empty_change"] == pytest.approx(1 / 3)
    assert METRICS["integrated_gradients_proxy_top1_change"] == pytest.approx(0.5)
    half = stats.t.ppf(0.975, 1) * stats.sem([0.3, -0.2])
    assert INTERVALS[f"{name}_change"] == pytest.approx([0.05 - half, 0.05 + half], rel=1e-4)
    assert (METRICS[f"{name}_dense"], METRICS[f"{name}_pruned"]) == (0.5, 0.4)
    assert METRICS["integrated_gradients_iou_chance"] == 0.3
    assert (METRICS["proxy_whole"], METRICS["proxy_random"]) == (0.9, 0.1)


def test_times() -> None:
    assert METRICS["ms_channels_last_b16_dense"] == 8
    assert METRICS["ms_channels_last_b16_compact"] == 2
    assert (METRICS["speedup_channels_last_b16"], METRICS["speedup_compact_channels_last_b16"]) == (1.6, 4)
    assert INTERVALS["speedup_channels_last_b16"] == [1.5, 1.7]
    assert (METRICS["ms_pytorch_b1_dense"], METRICS["speedup_pytorch_b1"]) == (2, None)


def test_the_worst_group_has_enough_images() -> None:
    assert (METRICS["worst_group"], METRICS["worst_group_rise"]) == ("age: old", 0.2)
    assert INTERVALS["worst_group_rise"] == [0.1, 0.3]
    few = TABLES["forgetting_groups"].assign(n=9)
    assert "worst_group" not in flatten({**TABLES, "forgetting_groups": few}, PRUNING, RELATION)[0]


def test_what_was_not_measured_has_no_number() -> None:
    metrics, intervals = flatten({}, {}, {})
    assert not intervals
    assert {name for name, value in metrics.items() if value is not None} == {"dead_layers"}
    assert {known_metrics()[name].quantity.measure for name in metrics} == {"size"}


def test_every_number_has_a_name_that_is_known_and_every_name_a_number() -> None:
    labels = [i % 7 for i in range(140)]
    dense, pruned = torch.randn(2, 140, 7, generator=torch.Generator().manual_seed(0))
    metrics, intervals = flatten(
        TABLES, PRUNING, RELATION, compare_answers(dense, pruned, named_images(labels, 7))
    )
    known = known_metrics()
    assert set(metrics) <= set(known)
    assert set(intervals) <= set(metrics)
    assert {name for name, metric in known.items() if not metric.detail} <= set(metrics)
    assert {name for name, metric in known.items() if metric.detail == "integrated-gradients"} <= set(metrics)
    assert set(meanings(metrics)) == set(metrics)
    assert list(metrics)[:4] == ["top1_dense", "top1_pruned", "top1_drop", "top1_p"]  # what belongs together
    unlabelled = compare_answers(dense, pruned, named_images([-1] * 140, 0)).metrics
    assert set(unlabelled) == {
        name
        for name, metric in known.items()
        if metric.quantity.measure == "accuracy" and not metric.quantity.labels
    }


def test_names_are_what_conditions_can_hold() -> None:
    for name, metric in known_metrics().items():
        assert name.isidentifier()
        assert name.endswith(metric.end)
        assert metric.end in {"", *ENDS}
        assert metric.quantity.measure in {*AuditSettings.model_fields, "size"}


def test_names_know_the_batches_and_methods_of_the_settings() -> None:
    chosen = audit_settings({"speed": {"batches": (7,)}, "explanations": {"methods": ("DeepLift",)}})
    names = known_metrics(chosen, [9])
    assert names["speedup_compact_channels_last_b7"].detail == "channels-last"
    assert names["ms_compile_b9_dense"].batch == 9
    assert names["DeepLift_spearman"].meaning == "spearman with the dense network's map, DeepLift"
    assert "speedup_pytorch_b16" not in names
    assert names["top1_drop"].meaning == "share of images called right, dense − pruned"
    assert meanings(["speedup_openvino_b3"]) == {
        "speedup_openvino_b3": "time of the dense network / of the pruned one, openvino, batch 3"
    }


def test_the_description_has_every_name() -> None:
    listed = set()
    for pattern, quantity in described():
        for end in quantity.ends or ("",):
            listed.add(pattern.partition("_{")[0] + (f"_{end}" if end else ""))
    names = {
        name.replace(f"_{metric.detail.replace('-', '_')}_b{metric.batch}", "_RUNTIME_bBATCH")
        if metric.batch
        else name.replace(metric.detail.replace("-", "_"), "METHOD")
        if metric.detail
        else name
        for name, metric in known_metrics().items()
    }
    assert listed == names


@pytest.fixture(scope="module")
def measured() -> Tables:
    """Return the tables of real measures: a small network, and the same without half of its filters."""
    dense = open_network("study.tiny:wide", classes=12, preprocess=Preprocess(resize=32, crop=32))
    pruned = copy.deepcopy(dense)
    prune(pruned, "filter", rate=0.5).apply(pruned)
    test = open_images("scenes").subset(np.arange(24))
    parts: dict[str, list[pd.DataFrame]] = {}
    for name, network in (("dense", dense), ("pruned", pruned)):
        subject = Subject(network, NO_IMAGES, test)
        found = [
            measure_size(subject, SizeSettings()),
            measure_mis(subject, MisSettings(tasks=4, references=2, examples=0)),
            measure_dissection(subject, DissectionSettings(controls=(), examples=0)),
        ]
        units = found[1].pop("units").merge(found[2].pop("units"), on=["layer", "kind", "unit"], how="outer")
        for tables in (*found, {"units": units}):
            for table, own in tables.items():
                parts.setdefault(table, []).append(own.assign(network=name))
        weights = {layer: one.layer.module.weight.detach() for layer, one in count(network).layers.items()}
        parts.setdefault("patterns", []).append(recognise(weights).layers.assign(network=name))
    tables = {table: pd.concat(own, ignore_index=True) for table, own in parts.items()}
    pair = paired(tables["units"].dropna(subset=["similarity"])).assign(metric="mis_paired")
    tables["scores"] = pd.concat([tables["scores"], pair], ignore_index=True)
    return tables


def test_real_tables_give_the_numbers_that_their_measures_give(measured: Tables) -> None:
    metrics, intervals = flatten(measured, PRUNING, RELATION)
    scores = measured["scores"].set_index(["network", "metric"])["value"]
    for name, metric in (("zeros", "zeros_prunable"), ("unreachable", "unreachable_prunable")):
        for side in ("dense", "pruned"):
            assert metrics[f"{name}_{side}"] == pytest.approx(scores[side, metric])
    assert 0.4 < metrics["zeros_pruned"] < metrics["unreachable_pruned"]  # type: ignore[operator]
    assert metrics["mis_paired_change"] == pytest.approx(
        scores["pruned", "mis_paired"] - scores["dense", "mis_paired"]
    )
    low, high = intervals["mis_paired_change"]
    assert low < metrics["mis_paired_change"] < high  # type: ignore[operator]
    conv = measured["units"].dropna(subset=["detector"])
    followed = persistence(*(conv[conv["network"] == side] for side in ("dense", "pruned")))
    assert metrics["concept_jaccard"] == pytest.approx(followed["concept_jaccard"])
    assert 0 < metrics["concept_jaccard"] < 1  # type: ignore[operator]


def test_the_page_of_the_documentation_has_every_name() -> None:
    page = (REPOSITORY / "docs" / "audit.md").read_text("utf-8")
    rows = re.findall(r"^\| `([A-Za-z0-9_{},]+)` \| (.*) \| (.*) \| (.*) \|$", page, flags=re.MULTILINE)
    assert rows == [(name, each.what, each.unit, each.measure) for name, each in described()]
