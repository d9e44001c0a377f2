"""The study files that ship: each is valid, and does what its first lines and its page say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from torch import nn

import prunescope as ps
from places import REPOSITORY
from prunescope.networks.channels import map_channels
from prunescope.networks.layers import find_layers
from prunescope.study.run import read_study
from prunescope.study.settings import StudySettings

STUDIES = sorted((REPOSITORY / "studies").glob("*.yaml"))
PAGES = sorted((REPOSITORY / "docs").glob("study-*.md"))


def read(name: str) -> StudySettings:
    return read_study(REPOSITORY / "studies" / f"{name}.yaml")[0]


def trainings(study: StudySettings) -> tuple[int, int]:
    """Return how many networks are trained, the dense one included, and the epochs that takes."""
    runs = [] if study.network.is_trained else [study.train.epochs]
    for series in study.prune:
        retrain = series.retrain or study.retrain
        back = int((retrain.rewind_to or "0 epochs").split()[0])
        own = study.train.epochs - back if retrain.rewind_to else retrain.epochs
        per_target = [study.train.epochs if arm == "re-initialise" else own for arm in ("", *series.controls)]
        runs += per_target * len(series.targets)
    return len(runs) * len(study.seeds), sum(runs) * len(study.seeds)


@pytest.mark.parametrize("path", STUDIES, ids=[path.stem for path in STUDIES])
def test_it_is_valid_and_says_how_to_run_it(path: Path) -> None:
    study, _ = read_study(path)

    assert study.study == path.stem
    if path.stem != "demo":
        assert f"prunescope run studies/{path.name}" in path.read_text()


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_its_page_names_files_that_are_there(page: Path) -> None:
    linked = re.findall(r"\]\(\.\./(studies/[^)#]+)\)", page.read_text())

    assert len(linked) >= 2
    assert all((REPOSITORY / name).is_file() for name in linked)


@pytest.mark.parametrize(
    ("name", "count", "epochs"),
    [
        ("googlenet-imagenet", 480, 14_400),
        ("googlenet-imagenet-as-published", 40, 1_360),
        ("imagenette-googlenet", 12, 12),
        ("resnet50-dissection", 156, 13_530),
        ("sprig-dissection", 52, 10 + 17 * (9 + 9 + 10)),
        ("vgg16-explainability", 7, 350),
        ("imagenette-vgg", 7, 16),
        ("imagenette-explanations", 5, 10),
        ("scenes-forgetting", 5 * 8, 5 * (10 + 7 * 3)),
    ],
)
def test_it_costs_what_it_says(name: str, count: int, epochs: int) -> None:
    assert trainings(read(name)) == (count, epochs)


def test_what_is_left_in_the_end() -> None:
    """The lottery ticket keeps 3 % or less; compression of VGG's convolutions goes 2, 4, ... 64."""
    for name in ("resnet50-dissection", "sprig-dissection"):
        (series,) = read(name).prune
        assert 1 - (series.targets[-1].rate or 0) == pytest.approx(0.8**17)
        assert series.controls == ("random-mask", "re-initialise")
    for name, rounds in (("vgg16-explainability", 6), ("imagenette-vgg", 6), ("imagenette-explanations", 5)):
        (series,) = read(name).prune
        assert [1 / (1 - (target.rate or 0)) for target in series.targets] == [
            2**k for k in range(1, rounds + 1)
        ]


def test_the_corrected_study_and_the_published_one_differ_where_they_should() -> None:
    corrected, published = read("googlenet-imagenet"), read("googlenet-imagenet-as-published")

    assert all(series.hold and series.norm == "remove" for series in corrected.prune)
    assert {series.granularity for series in published.prune if not series.hold} == {"connection"}
    assert {series.norm for series in published.prune if series.granularity == "filter"} == {"keep"}
    assert (corrected.images.select_on, published.images.select_on) == ("validate", "test")
    mis = [choice.settings for choice in published.measure if choice.name == "mis"]
    assert [(settings["dead"], settings["ties"]) for settings in mis] == [("scored", "index")]


def test_the_small_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    network = ps.open_network(
        "studies.small_vgg:vgg", classes=10, preprocess=ps.Preprocess(resize=64, crop=64)
    )

    layers = find_layers(network)
    convolutions = [layer for layer in layers.values() if layer.kind == "conv"]
    assert len(convolutions) == 13
    assert sum(layer.weights for layer in convolutions) == 919_728
    assert convolutions[-1].outputs[0][-2:] == (4, 4)
    assert not map_channels(network).fixed


def test_vgg16_keeps_its_weights_and_gets_a_fresh_last_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY)
    from studies import small_vgg

    asked = []

    def untrained(*name_and_weights: str) -> nn.Module:
        asked.append(name_and_weights)
        network = nn.Module()
        network.classifier = nn.Sequential(*(nn.Identity() for _ in range(6)), nn.Linear(8, 1000))
        return network

    monkeypatch.setattr(small_vgg.ps, "open_network", untrained)
    assert small_vgg.vgg16(10).classifier[6].weight.shape == (10, 8)
    assert asked == [("torchvision/vgg16", "IMAGENET1K_V1")]
