"""MIS of a network, against forward passes and scores made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import prunescope as ps
from oracles import slow_mis
from prunescope.errors import PrunescopeError
from prunescope.images.cache import cached
from prunescope.images.source import ImageSet, open_images
from prunescope.measures.measure import MEASURES, Subject
from prunescope.measures.mis import MisSettings, measure_mis, paired
from prunescope.networks.preprocess import Preprocess
from prunescope.probe.similarity import likeness, open_similarity
from prunescope.training.evaluation import NO_IMAGES
from study.tiny import tiny, write_images

TASKS, REFERENCES, SEED = 3, 2, 5
SETTINGS = MisSettings(tasks=TASKS, references=REFERENCES, seed=SEED)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return open_images(f"folder:{write_images(tmp_path_factory.mktemp('images'), per_class=10)}")


@pytest.fixture
def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = tiny().eval()
    network.preprocess = Preprocess(resize=None, crop=16)  # type: ignore[assignment]
    return network


def outputs(network: nn.Module, layer: str, images: ImageSet) -> torch.Tensor:
    """Return what a layer puts out, (images, units, h, w), by a plain forward pass."""
    pixels = cached(images, None, "bilinear")
    batch = np.stack([pixels[i] for i in range(len(images))])
    found: list[torch.Tensor] = []
    hook = network.get_submodule(layer).register_forward_hook(lambda m, i, o: found.append(o.clone()))
    with torch.no_grad():
        network(network.preprocess.normalise(torch.from_numpy(batch).permute(0, 3, 1, 2)))  # type: ignore[union-attr, operator]
    hook.remove()
    return found[0]


def slow(activations: list[float], images: ImageSet, by_index: bool = False) -> tuple[float, float, float]:
    embeddings = likeness(images, open_similarity("classical")).embeddings
    assert embeddings is not None
    keys = [i if by_index else slow_mis.key(name, SEED) for i, name in enumerate(images.names)]
    cosine = slow_mis.cosine(embeddings.tolist())
    return slow_mis.scores(
        slow_mis.margins(activations, cosine, TASKS, REFERENCES, None, keys, SEED), slope=16
    )


@pytest.mark.parametrize("layer", ["conv2", "bn3", "fc"])
def test_every_unit_against_the_slow_form(network: nn.Module, images: ImageSet, layer: str) -> None:
    units = ps.mis(network, images, tasks=TASKS, references=REFERENCES, seed=SEED).query("layer == @layer")
    maps = outputs(network, layer, images).double()
    means = maps.flatten(2).mean(2) if maps.ndim > 2 else maps
    assert len(units) == means.shape[1]
    for unit, column in zip(units.to_dict("records"), means.T.tolist(), strict=True):
        expected = slow(column, images)
        assert (unit["mis"], unit["hit_rate"], unit["margin"]) == pytest.approx(expected, abs=1e-5)


def test_what_was_measured_is_said(network: nn.Module, images: ImageSet) -> None:
    units = ps.mis(network, images, tasks=TASKS, references=REFERENCES, layers=["conv*"])
    assert list(units["layer"].unique()) == ["conv1", "conv2", "conv3"]
    said = units.iloc[0][["similarity", "slope", "images", "image_set", "tasks", "references", "difficulty"]]
    assert list(said) == ["classical", 16, 30, images.fingerprint, TASKS, REFERENCES, "easy"]


def test_dead_units_are_counted_and_left_out(network: nn.Module, images: ImageSet) -> None:
    with torch.no_grad():
        network.get_parameter("conv2.weight")[3] = 0
        network.get_parameter("bn2.bias")[3] = 2.5  # what it goes on emitting
    tables = measure_mis(Subject(network, NO_IMAGES, images), SETTINGS)
    units = tables["units"].set_index(["layer", "unit"])
    for layer in ("conv2", "bn2"):
        assert not units.loc[(layer, 3), "alive"]
        assert np.isnan(units.loc[(layer, 3), "mis"])
    assert units["alive"].sum() == len(units) - 2
    published = slow([0.0] * 30, images, by_index=True)[0]
    assert units.loc[("conv2", 3), "mis_published"] == pytest.approx(published, abs=1e-5)
    scores = tables["scores"].set_index("metric")
    assert scores.loc["units_dead", "value"] == 1
    live = units[(units["kind"] == "conv") & units["alive"]]
    assert scores.loc["mis", "value"] == pytest.approx(live["mis"].mean())
    assert scores.loc["mis", "n"] == 31
    by_layer = np.mean([own["mis"].mean() for _, own in live.groupby("layer")])
    assert scores.loc["mis_layers", "value"] == pytest.approx(by_layer)
    every = units[units["kind"].isin(["conv", "linear"])]
    assert scores.loc["mis_published", "value"] == pytest.approx(every["mis_published"].mean())
    by_layer = tables["layer_mis"].set_index("layer")
    assert by_layer.loc["conv2", ["units", "units_alive"]].tolist() == [8, 7]


def test_the_published_way_is_a_setting(network: nn.Module, images: ImageSet) -> None:
    with torch.no_grad():
        network.get_parameter("conv2.weight")[3] = 0
    as_published = SETTINGS.model_copy(update={"ties": "index", "dead": "scored"})
    subject = Subject(network, NO_IMAGES, images)
    corrected, published = (
        measure_mis(subject, SETTINGS)["units"],
        measure_mis(subject, as_published)["units"],
    )
    scored = published["kind"] != "batchnorm"
    pd.testing.assert_series_equal(
        corrected.loc[scored, "mis_published"], published.loc[scored, "mis"], check_names=False
    )


def test_only_logits_have_a_class(network: nn.Module, images: ImageSet) -> None:
    units = measure_mis(Subject(network, NO_IMAGES, images), SETTINGS)["units"].dropna(subset=["class"])
    assert units[["layer", "unit", "class"]].values.tolist() == [
        ["fc", 0, "blue"],
        ["fc", 1, "green"],
        ["fc", 2, "red"],
    ]


def test_examples_are_the_ends_of_the_order(network: nn.Module, images: ImageSet) -> None:
    table = measure_mis(Subject(network, NO_IMAGES, images), SETTINGS)["examples"]
    # What a convolution's card shows is taken after its batch norm, before the nonlinearity.
    means = outputs(network, "bn1", images).mean((2, 3)).numpy()
    for (unit, side), own in table.query("layer == 'conv1'").groupby(["unit", "side"]):
        order = np.argsort(means[:, unit])[:: -1 if side == "highest" else 1][:4]
        assert own.sort_values("rank")["image"].tolist() == [images.names[i] for i in order]
        assert own.sort_values("rank")["activation"].to_numpy() == pytest.approx(means[order, unit], abs=1e-5)
        assert (own["outline"] == "").all() == (side == "lowest")


def test_the_tasks_that_people_can_be_asked(network: nn.Module, images: ImageSet) -> None:
    with torch.no_grad():
        network.get_parameter("conv2.weight")[3] = 0
    asked = SETTINGS.model_copy(update={"stimuli": True})
    tables = measure_mis(Subject(network, NO_IMAGES, images), asked)
    table, units = tables["unit_tasks"], tables["units"]
    assert "unit_tasks" not in measure_mis(Subject(network, NO_IMAGES, images), SETTINGS)
    counts = table.groupby(["layer", "unit"], sort=False).size()
    assert list(counts.index) == list(units[units["alive"]].set_index(["layer", "unit"]).index)
    assert set(counts) == {TASKS}

    means = outputs(network, "conv1", images).mean((2, 3)).numpy()
    keys = [slow_mis.key(name, SEED) for name in images.names]
    embeddings = likeness(images, open_similarity("classical")).embeddings
    assert embeddings is not None
    cosine = slow_mis.cosine(embeddings.tolist())
    for unit in range(means.shape[1]):
        own = table.query("layer == 'conv1' and unit == @unit").sort_values("task")
        margins = slow_mis.margins(means[:, unit].tolist(), cosine, TASKS, REFERENCES, None, keys, SEED)
        assert own["margin"].to_numpy() == pytest.approx(margins, abs=1e-5)
        down = sorted(range(len(images)), key=lambda i: (means[i, unit], keys[i]), reverse=True)
        for end, order in (("positive", down), ("negative", down[::-1])):
            names = [images.names[i] for i in order]
            assert set(own[f"{end}_query"]) == set(names[REFERENCES * TASKS : (REFERENCES + 1) * TASKS])
            for place in range(REFERENCES):  # each of the references from a stretch of its own
                assert set(own[f"{end}_{place}"]) == set(names[place * TASKS : (place + 1) * TASKS])


def test_paired_averages_are_over_units_alive_everywhere() -> None:
    same = {
        "kind": "conv",
        "alive": True,
        "similarity": "s",
        "similarity_id": "i",
        "slope": 16,
        "images": 9,
        "image_set": "f",
        "tasks": 1,
    }
    same |= {"references": 1, "difficulty": "easy", "layer": "a"}
    units = pd.DataFrame(
        [
            {"network": name, "unit": unit, "mis": mis, **same}
            for name, every in {"dense": [0.5, 0.6, 0.9], "pruned": [0.7, np.nan, 0.8]}.items()
            for unit, mis in enumerate(every)
        ]
    )
    found = paired(units).set_index("network")
    assert found["value"].to_dict() == pytest.approx({"dense": 0.7, "pruned": 0.75})
    assert (found["n"] == 2).all()
    units.loc[4, ["alive", "mis"]] = [False, 0.5]  # dead, and scored
    assert paired(units).set_index("network")["value"].to_dict() == pytest.approx(
        {"dense": 0.7, "pruned": 0.75}
    )
    units.loc[0, "slope"] = 8
    with pytest.raises(PrunescopeError, match=r"slope is 8 here, 16 there"):
        paired(units)


def test_too_few_images_are_refused_before_any_work(images: ImageSet) -> None:
    with pytest.raises(PrunescopeError, match=r"30 images are too few .* \(1 would fit\)"):
        MEASURES["mis"].inputs(MisSettings(), images, None)


def test_other_images_and_a_limit(network: nn.Module, images: ImageSet, tmp_path: Path) -> None:
    write_images(tmp_path / "others", per_class=12, seed=9)
    settings = SETTINGS.model_copy(update={"images": "folder:others", "limit": 24})
    units = measure_mis(Subject(network, NO_IMAGES, images, data=tmp_path), settings)["units"]
    assert (units["images"] == 24).all()
    inputs = MEASURES["mis"].inputs(settings, images, tmp_path)
    assert inputs["images"] == units["image_set"].iloc[0] != images.fingerprint


def test_a_damaged_network_is_named_by_its_layer(network: nn.Module, images: ImageSet) -> None:
    with torch.no_grad():
        network.get_parameter("conv3.weight")[0, 0, 0, 0] = torch.nan
    with pytest.raises(PrunescopeError, match=r"conv3 puts out NaN"):
        ps.mis(network, images, tasks=TASKS, references=REFERENCES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"taks": 3}, r"taks: .*did you mean 'tasks'"),
        ({"slope": 0}, r"slope: .*greater than 0"),
        ({"examples": 3}, r"examples is a setting of studies only"),
    ],
)
def test_wrong_settings_are_answered_in_words(
    network: nn.Module, images: ImageSet, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(PrunescopeError, match=message):
        ps.mis(network, images, **settings)
