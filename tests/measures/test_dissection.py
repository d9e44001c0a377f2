"""Dissection of a network, against forward passes and counts made pixel by pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import prunescope as ps
from oracles import slow_dissection
from prunescope.errors import PrunescopeError
from prunescope.images.augment import centre_crops
from prunescope.images.cache import cached
from prunescope.images.concepts import ConceptSet, label_maps, open_concepts
from prunescope.images.source import open_images
from prunescope.measures.dissection import (
    DissectionSettings,
    concepts_of,
    measure_dissection,
    sites_of,
)
from prunescope.measures.measure import MEASURES, Subject
from prunescope.networks.network import Origin, attach, preprocess_of
from prunescope.networks.preprocess import Preprocess
from prunescope.training.evaluation import NO_IMAGES
from study.tiny import tiny

SIDE = 10
SHARE = 0.05
SCENES = open_images("scenes:count=6")
SCENES_OF_DEMO = open_images("scenes")
SETTINGS = DissectionSettings(side=SIDE, share=SHARE)


@pytest.fixture(scope="module")
def concepts() -> ConceptSet:
    return open_concepts("scenes:count=6")


@pytest.fixture
def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = tiny().eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):  # so that before and after it are not the same
                module.weight.data.uniform_(-1, 1)
    return attach(network, Preprocess(resize=None, crop=64), Origin(name="study.tiny:tiny"))


def maps_of(network: nn.Module, layer: str, concepts: ConceptSet) -> torch.Tensor:
    preprocess = preprocess_of(network)
    pixels = cached(concepts.images, preprocess.resize, preprocess.interpolation)
    seen = centre_crops([pixels[i] for i in range(len(concepts))], preprocess.crop)
    batch = torch.from_numpy(seen).permute(0, 3, 1, 2)
    found: list[torch.Tensor] = []
    hook = network.get_submodule(layer).register_forward_hook(lambda m, i, o: found.append(o.clone()))
    with torch.no_grad():
        network(preprocess.normalise(batch))
    hook.remove()
    return found[0]


def slowly(
    maps: torch.Tensor, concepts: ConceptSet, preprocess: Preprocess
) -> tuple[list[float], slow_dissection.Counts]:
    labels = label_maps(concepts, preprocess, SIDE)
    here = [
        [
            [
                {int(k) - 1 for k in labels.pixels[image, :, row, column] if k}
                | set(np.flatnonzero(labels.image_labels[image]).tolist())
                for column in range(SIDE)
            ]
            for row in range(SIDE)
        ]
        for image in range(len(concepts))
    ]
    thresholds = [
        slow_dissection.threshold(values.flatten().tolist(), SHARE) for values in maps.transpose(0, 1)
    ]
    annotated = [set(np.flatnonzero(row).tolist()) for row in labels.annotated]
    return thresholds, slow_dissection.count(maps.tolist(), thresholds, here, annotated)


def agree(network: nn.Module, concepts: ConceptSet, layer: str, seen: str) -> None:
    """Dissect a layer whose maps are taken at `seen`, and compare every unit with the slow form."""
    units = ps.dissect(network, concepts, layers=[layer], side=SIDE, share=SHARE)
    thresholds, counts = slowly(maps_of(network, seen, concepts), concepts, preprocess_of(network))
    assert units["threshold"].tolist() == pytest.approx(thresholds, abs=1e-5)
    category_of = [concepts.categories.index(concept.category) for concept in concepts.concepts]
    for unit in units.to_dict("records"):
        iou = [counts.iou(unit["unit"], c, category) for c, category in enumerate(category_of)]
        best = concepts.concepts[int(np.argmax(iou))]
        assert (unit["category"], unit["concept"]) == (best.category, best.name)
        assert unit["iou"] == pytest.approx(max(iou), abs=1e-9)
        assert unit["detector"] == (max(iou) > 0.04)
        assert unit["map_of"] == seen


def test_every_unit_against_the_slow_form(network: nn.Module, concepts: ConceptSet) -> None:
    agree(network, concepts, "conv2", "bn2")


def test_real_units_on_real_images_against_the_slow_form(real_data: Path) -> None:
    weights = real_data / "weights" / "squeezenet1_1_imagenet_fp16.pth"
    sources = ["masks:concepts/voc,labels=voc", "textures:textures/dtd10", "colors"]
    network = ps.open_network("torchvision/squeezenet1_1", weights)
    agree(network, open_concepts(sources, real_data, limit=6), "features.7.squeeze", "features.7.squeeze")


def test_what_a_block_puts_out_can_be_dissected(network: nn.Module, concepts: ConceptSet) -> None:
    units = ps.dissect(network, concepts, layers=["bn3"], layer_output=True, side=SIDE)
    assert set(units["layer"]) == set(units["map_of"]) == {"bn3"}
    by_convolution = ps.dissect(network, concepts, layers=["conv3"], side=SIDE)
    assert units["iou"].tolist() == by_convolution["iou"].tolist()
    with pytest.raises(PrunescopeError, match=r"name them, layers"):  # nothing to guess
        ps.dissect(network, concepts, layer_output=True)


def test_a_dead_unit_detects_nothing(network: nn.Module, concepts: ConceptSet) -> None:
    with torch.no_grad():
        network.get_parameter("conv1.weight")[2] = 0
    units = ps.dissect(network, concepts, side=SIDE).set_index(["layer", "unit"])
    dead = units.loc[("conv1", 2)]
    assert not dead["fires"]
    assert not dead["detector"]
    assert pd.isna(dead["concept"])
    assert dead["iou"] == 0
    assert units["fires"].sum() == len(units) - 1


def tables_of(network: nn.Module, **changes: object) -> Mapping[str, pd.DataFrame]:
    return measure_dissection(Subject(network, NO_IMAGES, SCENES), SETTINGS.model_copy(update=changes))


def test_detectors_are_counted_by_layer_and_category(network: nn.Module) -> None:
    tables = tables_of(network)
    units, counts = tables["units"], tables["detectors"].set_index(["control", "layer", "category"])
    found = units[units["detector"]]
    assert len(found) > 3
    for layer in ("", *units["layer"].unique()):
        for category in ("", "object", "scene", "color"):
            own = found[(found["layer"] == layer) | (not layer)]
            own = own[(own["category"] == category) | (not category)]
            distinct = {(row["category"], row["concept"]) for row in own.to_dict("records")}
            row = counts.loc[("", layer, category)]
            assert row[["detectors", "unique_detectors"]].tolist() == [len(own), len(distinct)]
    scores = tables["scores"].set_index("metric")["value"]
    assert scores["detectors"] == len(found)
    assert scores["unique_detectors"] == counts.loc[("", "", ""), "unique_detectors"]


def test_a_compact_network_has_no_untrained_form(network: nn.Module) -> None:
    small = ps.compact(network, ps.prune(network, "filter", rate=0.5))

    assert len(tables_of(small)["units"]) == 16
    with pytest.raises(PrunescopeError, match="leave the control 'untrained' out"):
        tables_of(small, controls=("untrained",))


def test_controls_differ_from_the_network_and_not_from_run_to_run(network: nn.Module) -> None:
    first, second = (tables_of(network, controls=("rotated", "untrained")) for _ in range(2))
    pd.testing.assert_frame_equal(first["detectors"], second["detectors"])
    totals = first["detectors"].query("layer == '' and category == ''").set_index("control")["units"]
    assert totals.to_dict() == {"": 32, "rotated": 32, "untrained": 32}
    by_control = {
        control: own["detectors"].tolist() for control, own in first["detectors"].groupby("control")
    }
    assert by_control[""] != by_control["rotated"]
    assert by_control[""] != by_control["untrained"]


def test_controls_are_of_dense_networks_only(network: nn.Module) -> None:
    subject = Subject(network, NO_IMAGES, SCENES, ps.prune(network, "weight", rate=0.5))
    found = measure_dissection(subject, SETTINGS.model_copy(update={"controls": ("rotated",)}))
    assert set(found["detectors"]["control"]) == {""}


def test_pruned_networks_are_compared_with_the_dense_one_of_their_seed() -> None:
    units = pd.DataFrame(
        [
            {
                "network": name,
                "layer": "a",
                "kind": "conv",
                "unit": u,
                "category": "object",
                "concept": c,
                "detector": c is not None,
            }
            for name, found in {
                "dense-0": ["car", "tree", None, "sky"],
                "pruned-0": ["car", "sky", "tree", None],
                "dense-1": [None, None, None, "car"],
                "pruned-1": [None, None, None, "car"],
            }.items()
            for u, c in enumerate(found)
        ]
    )
    networks = pd.DataFrame(
        {
            "network": ["dense-0", "pruned-0", "dense-1", "pruned-1"],
            "seed": [0, 0, 1, 1],
            "stage": ["dense", "pruned"] * 2,
        }
    )
    tables, settings = {"units": units, "networks": networks}, DissectionSettings()
    scores = MEASURES["dissection"].compare(tables, settings, cast(Any, None), None)["scores"]
    found = scores.pivot(index="network", columns="metric", values="value")
    expected = {
        "concepts_kept": 1,
        "concepts_changed": 1,
        "concepts_lost": 1,
        "concepts_gained": 1,
        "concept_jaccard": 1,
    }
    assert found.loc["pruned-0"].to_dict() == expected
    assert found.loc["pruned-1", ["concepts_kept", "concepts_changed", "concept_jaccard"]].tolist() == [
        1,
        0,
        1,
    ]
    assert set(scores["network"]) == {"pruned-0", "pruned-1"}


def test_a_layer_without_positions_is_refused_by_name(network: nn.Module, concepts: ConceptSet) -> None:
    with pytest.raises(PrunescopeError, match=r"fc puts out no map"):
        ps.dissect(network, concepts, layers=["fc"])
    assert "fc" not in set(ps.dissect(network, concepts, side=SIDE)["layer"])


def test_tokens_are_no_map() -> None:
    vit = ps.open_network("torchvision/vit_b_16", preprocess=Preprocess(resize=None, crop=224))
    block = DissectionSettings(layers=("encoder.layers.encoder_layer_0",), layer_output=True)
    with pytest.raises(PrunescopeError, match=r"encoder_layer_0 puts out no map"):
        sites_of(vit, block)


def test_a_network_without_maps_is_refused() -> None:
    flat = attach(
        nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), Preprocess(resize=None, crop=4), Origin(name="x")
    )
    with pytest.raises(PrunescopeError, match=r"no convolution of the network puts out a map"):
        sites_of(flat, DissectionSettings())


def test_the_test_images_of_a_study_are_dissected_as_they_are_limited() -> None:
    some = SCENES.subset(np.array([1, 4]))
    assert concepts_of(DissectionSettings(), some, None).images.names == some.names
    drawn = {
        concepts_of(DissectionSettings(limit=3, seed=seed), SCENES, None).fingerprint for seed in range(6)
    }
    assert len(drawn) > 1


def test_images_without_annotations_are_refused() -> None:
    with pytest.raises(PrunescopeError, match=r"has none: give dissection.concepts"):
        concepts_of(DissectionSettings(), dataclasses.replace(SCENES, masks=None), None)


def test_training_makes_units_that_detect_what_there_is_to_see() -> None:
    """On scenes the truth is known; what chance gives is what initial weights, or a random basis, give."""
    trained = ps.open_network("prunescope/sprig", weights="SCENES_V1")
    settings = DissectionSettings(limit=240, layers=("inception4b.*",), examples=0)
    controls = settings.model_copy(update={"controls": ("rotated", "untrained")})
    counts = measure_dissection(Subject(trained, NO_IMAGES, SCENES_OF_DEMO), controls)["detectors"]
    totals = counts.query("layer == '' and category == ''").set_index("control")
    detectors, unique = totals["detectors"], totals["unique_detectors"]
    assert detectors[""] > 5 * detectors["untrained"]
    assert unique[""] > 2 * unique["untrained"]
    assert detectors[""] > detectors["rotated"]  # not by much: the layers are narrow, and know twelve classes
    assert unique[""] > unique["rotated"]
