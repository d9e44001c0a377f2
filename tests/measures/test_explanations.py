"""Explanations of a small network, against maps, ranks and curves made by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

import prunescope as ps
from prunescope.errors import PrunescopeError
from prunescope.explain.kept_maps import read_maps
from prunescope.explain.likeness import others
from prunescope.explain.top import ranking, top
from prunescope.images.cache import cached
from prunescope.images.source import ImageSet, open_images
from prunescope.measures import explaining
from prunescope.measures.explanations import ExplanationsSettings, explanations, measure_explanations
from prunescope.measures.intervals import mean_interval
from prunescope.measures.measure import MEASURES, Subject, Tables
from prunescope.networks.network import open_network, save_network
from prunescope.networks.preprocess import Preprocess
from prunescope.training.evaluation import LabelledPixels
from study.tiny import write_images

SIDE = 16
VIEW = Preprocess(resize=None, crop=SIDE)
SETTINGS = ExplanationsSettings(steps=4, limit=12)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return open_images(f"folder:{write_images(tmp_path_factory.mktemp('images'), per_class=6)}")


def opened(seed: int = 0) -> nn.Module:
    """Return a network of which most maps are not empty: its logits grow with what the last batch norm puts out."""
    network = open_network("study.tiny:tiny", classes=3, preprocess=VIEW, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        network.get_parameter("bn3.bias").copy_(torch.rand(16, generator=generator))
        network.get_parameter("bn3.weight").copy_(1 + torch.rand(16, generator=generator))
        network.get_parameter("fc.weight").copy_(3 * torch.rand(3, 16, generator=generator))
        network.get_parameter("fc.bias").zero_()
    return network


@pytest.fixture(scope="module")
def dense() -> nn.Module:
    return opened()


@pytest.fixture(scope="module")
def pruned(dense: nn.Module) -> nn.Module:
    network = copy.deepcopy(dense)
    with torch.no_grad():
        for name in ("conv2.weight", "conv3.weight"):
            weight = network.get_parameter(name)
            weight.mul_(weight.abs() > weight.abs().median())
    return network


def subject(network: nn.Module, images: ImageSet, **others: Any) -> Subject:
    pixels = LabelledPixels(cached(images, None, "bilinear"), images.labels, np.arange(len(images)))
    return Subject(network, pixels, images, **others)


def inputs(images: ImageSet) -> torch.Tensor:
    """Return all images, normalised, (images, 3, 16, 16)."""
    batch = torch.from_numpy(np.stack([images.decode(i) for i in range(len(images))]))
    return VIEW.normalise(batch.permute(0, 3, 1, 2))


def measured(network: nn.Module, images: ImageSet, folder: Path, **others: Any) -> Tables:
    folder.mkdir()
    settings = others.pop("settings", SETTINGS)
    return measure_explanations(subject(network, images, folder=folder, **others), settings)


def grad_cam(network: nn.Module, x: torch.Tensor, target: int) -> np.ndarray:
    """Return the map of one image at bn3, the last module with positions, enlarged to (16, 16)."""
    kept: list[torch.Tensor] = []
    hook = network.get_submodule("bn3").register_forward_hook(lambda m, i, o: kept.append(o))
    logits = network(x[None])
    hook.remove()
    (gradient,) = torch.autograd.grad(logits[0, target], kept[0])
    weights = gradient[0].mean((1, 2))
    small = sum(float(weight) * channel for weight, channel in zip(weights, kept[0][0].detach(), strict=True))
    return functional.interpolate(small.clamp(min=0)[None, None], (SIDE, SIDE), mode="bilinear")[0, 0].numpy()


def area(network: nn.Module, pictures: list[torch.Tensor], target: int) -> float:
    with torch.no_grad():
        shares = [float(network(picture[None]).softmax(1)[0, target]) for picture in pictures]
    return sum((a + b) / 2 for a, b in pairwise(shares)) / (len(shares) - 1)


def test_each_column_is_what_its_name_says(
    dense: nn.Module, pruned: nn.Module, images: ImageSet, tmp_path: Path
) -> None:
    measured(dense, images, tmp_path / "dense")
    found = measured(pruned, images, tmp_path / "pruned", reference=tmp_path / "dense")["explanations"]
    x = inputs(images)
    said, own = dense(x).argmax(1), pruned(x).detach().softmax(1)
    assert len(found) == 12
    for row in found.to_dict("records"):
        image = images.names.index(row["image"])
        target = int(said[image])
        assert (row["method"], row["layer"], row["label"]) == ("grad-cam", "bn3", images.labels[image])
        assert (row["target"], row["prediction"]) == (target, int(own[image].argmax()))
        assert row["correct"] == (row["prediction"] == row["label"])
        assert row["confidence"] == pytest.approx(float(own[image, target]), abs=1e-6)
        values, wanted = grad_cam(pruned, x[image], target), grad_cam(dense, x[image], target)
        assert row["empty"] == (not (values > 0).any())
        if row["empty"] or not (wanted > 0).any():
            assert np.isnan([row["spearman"], row["ssim"], row["iou"]]).all()
            continue
        correlation = scipy.stats.spearmanr(values.ravel(), wanted.ravel()).statistic
        assert row["spearman"] == pytest.approx(correlation, abs=1e-3)  # the last bits decide near ties
        order = ranking(values[None], [row["image"]], 0)[0]
        part = [round(k * SIDE * SIDE / 4) for k in range(5)]
        deleted, inserted = [], []
        for count in part:
            gone = torch.zeros(SIDE * SIDE, dtype=torch.bool)
            gone[order[:count].copy()] = True
            gone = gone.view(SIDE, SIDE)
            deleted.append(torch.where(gone, 0, x[image]))
            inserted.append(torch.where(gone, x[image], 0))
        assert row["deletion"] == pytest.approx(area(pruned, deleted, target), abs=2e-3)
        assert row["insertion"] == pytest.approx(area(pruned, inserted, target), abs=2e-3)
    assert (~found["empty"]).sum() > 6
    assert found[["pointing", "inside", "proxy_correct"]].isna().all(axis=None)
    assert (found["proxy"] == -1).all()


def test_the_dense_network_explains_what_it_says_and_is_compared_with_nothing(
    dense: nn.Module, images: ImageSet, tmp_path: Path
) -> None:
    tables = measured(dense, images, tmp_path / "dense")
    rows, scores = tables["explanations"], tables["scores"]
    assert (rows["target"] == rows["prediction"]).all()
    assert rows[["spearman", "ssim", "iou"]].isna().all(axis=None)
    assert not scores["metric"].str.contains("spearman|ssim|iou|proxy").any()
    kept = read_maps(tmp_path / "dense", "grad-cam", rows["image"].tolist())
    assert kept.maps.shape == (12, 4, 4)
    assert kept.targets.tolist() == rows["target"].tolist()


@pytest.mark.parametrize("target", ["label", "prediction"])
def test_other_targets(
    dense: nn.Module, pruned: nn.Module, images: ImageSet, tmp_path: Path, target: str
) -> None:
    settings = SETTINGS.model_copy(update={"target": target, "steps": 0})
    measured(dense, images, tmp_path / "dense", settings=settings)
    found = measured(pruned, images, tmp_path / "pruned", settings=settings, reference=tmp_path / "dense")[
        "explanations"
    ]
    assert (found["target"] == found[target]).all()
    assert found[["deletion", "insertion"]].isna().all(axis=None)


def test_a_network_is_just_like_itself_and_chance_is_not(
    dense: nn.Module, images: ImageSet, tmp_path: Path
) -> None:
    measured(dense, images, tmp_path / "first")
    tables = measured(dense, images, tmp_path / "second", reference=tmp_path / "first")
    scores = tables["scores"].set_index("metric")["value"]
    assert scores[["grad-cam/spearman", "grad-cam/ssim", "grad-cam/iou"]].tolist() == pytest.approx([1, 1, 1])
    assert scores["grad-cam/spearman_chance"] < 0.9
    names = tables["explanations"]["image"].tolist()
    kept, next_image = read_maps(tmp_path / "first", "grad-cam").maps, others(names, 0)
    large = functional.interpolate(torch.tensor(kept)[:, None], (SIDE, SIDE), mode="bilinear")[:, 0].numpy()
    by_hand = [
        scipy.stats.spearmanr(a.ravel(), b.ravel()).statistic
        for a, b in zip(large, large[next_image], strict=True)
        if (a > 0).any() and (b > 0).any()
    ]
    assert scores["grad-cam/spearman_chance"] == pytest.approx(np.mean(by_hand))


def test_scores_and_curves_are_means_over_the_images(
    dense: nn.Module, pruned: nn.Module, images: ImageSet, tmp_path: Path
) -> None:
    measured(dense, images, tmp_path / "dense")
    tables = measured(pruned, images, tmp_path / "pruned", reference=tmp_path / "dense")
    rows, scores = tables["explanations"], tables["scores"].set_index("metric")
    for name in ("spearman", "ssim", "iou", "deletion", "insertion", "confidence", "gini", "entropy"):
        values = rows[name].dropna()
        expected = [values.mean(), *mean_interval(values.to_numpy()), len(values)]
        assert scores.loc[f"grad-cam/{name}"].tolist() == pytest.approx(expected)
    assert scores.loc["grad-cam/empty", "value"] == rows["empty"].mean()
    curves = tables["explanation_curves"]
    for curve, part in curves.groupby("curve"):
        assert part["fraction"].tolist() == [0, 0.25, 0.5, 0.75, 1]
        value = part["value"].to_numpy()
        assert (value[1:] + value[:-1]).sum() / 8 == pytest.approx(scores.loc[f"grad-cam/{curve}", "value"])
        assert ((part["low"] <= value) & (value <= part["high"])).all()
        assert (part["n"] == (~rows["empty"]).sum()).all()


def test_empty_maps_are_counted_and_in_no_mean(images: ImageSet, tmp_path: Path) -> None:
    network = opened()
    with torch.no_grad():
        network.get_parameter("fc.weight")[1] = 0  # nothing speaks for class 1
        network.get_parameter("fc.bias").copy_(torch.tensor([0.0, 3, 0]))
    settings = SETTINGS.model_copy(update={"target": "label"})
    tables = measured(network, images, tmp_path / "some", settings=settings)
    rows, scores = tables["explanations"], tables["scores"].set_index("metric")
    assert rows.loc[rows["label"] == 1, "empty"].all()
    assert not rows["empty"].all()
    assert rows.loc[rows["empty"], ["deletion", "insertion", "gini", "entropy"]].isna().all(axis=None)
    assert scores.loc["grad-cam/empty", "value"] == rows["empty"].mean()
    assert scores.loc["grad-cam/gini", "n"] == (~rows["empty"]).sum()
    with torch.no_grad():
        network.get_parameter("fc.weight").zero_()
    tables = measured(network, images, tmp_path / "all", reference=tmp_path / "some", settings=settings)
    assert tables["scores"]["metric"].tolist() == ["grad-cam/confidence", "grad-cam/empty"]
    assert "explanation_curves" not in tables


def test_the_same_again_is_the_same_to_the_last_byte(
    dense: nn.Module, pruned: nn.Module, images: ImageSet, tmp_path: Path
) -> None:
    settings = ExplanationsSettings(
        methods=("grad-cam", "gradient", "ShapleyValueSampling"),
        options={"ShapleyValueSampling": {"n_samples": 1, "window": 8}},
        steps=2,
        limit=6,
    )
    measured(dense, images, tmp_path / "dense", settings=settings)
    runs = []
    for name in ("first", "second"):
        torch.rand(7)  # the global generator is somewhere else each time
        reference = tmp_path / "dense"
        tables = measured(pruned, images, tmp_path / name, reference=reference, settings=settings)
        for table, frame in tables.items():
            frame.to_parquet(tmp_path / name / f"{table}.parquet")
        runs.append({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()})
    assert len(runs[0]) == 6
    assert runs[0] == runs[1]


def test_how_many_images_are_held_at_once_changes_nothing(
    dense: nn.Module,
    pruned: nn.Module,
    images: ImageSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured(dense, images, tmp_path / "dense")
    whole = measured(pruned, images, tmp_path / "whole", reference=tmp_path / "dense")
    monkeypatch.setattr(explaining, "TOGETHER", 5)
    parts = measured(pruned, images, tmp_path / "parts", reference=tmp_path / "dense")
    assert whole.keys() == parts.keys()
    for table in whole:
        pd.testing.assert_frame_equal(whole[table], parts[table], rtol=1e-5)


def test_only_the_chosen_images_are_explained_and_progress_ends(
    dense: nn.Module, images: ImageSet, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    settings = SETTINGS.model_copy(update={"methods": ("grad-cam", "gradient")})
    tables = measured(
        dense,
        images,
        tmp_path / "dense",
        settings=settings,
        chosen=np.array([2, 9, 17]),
        progress=lambda done, total: seen.append((done, total)),
    )
    names = [images.names[i] for i in (2, 9, 17)]
    assert tables["explanations"]["image"].tolist() == names * 2
    assert tables["explanations"]["layer"].tolist() == ["bn3"] * 3 + [""] * 3
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (12, 12)


def test_maps_of_other_images_are_not_compared(dense: nn.Module, images: ImageSet, tmp_path: Path) -> None:
    measured(dense, images, tmp_path / "dense", chosen=np.array([1, 2]))
    with pytest.raises(PrunescopeError, match="maps of other images"):
        measured(dense, images, tmp_path / "again", chosen=np.array([1, 3]), reference=tmp_path / "dense")


def write_masks(folder: Path, images: ImageSet, of: Callable[[int], np.ndarray]) -> None:
    for i, name in enumerate(images.names):
        path = (folder / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 * of(i).astype(np.uint8)).save(path)


def test_masks_of_a_folder_say_whether_maps_lie_on_the_object(
    dense: nn.Module, images: ImageSet, tmp_path: Path
) -> None:
    left = np.arange(SIDE)[None].repeat(SIDE, 0) < 6
    write_masks(tmp_path / "masks", images, lambda i: left if i % 2 else ~left)
    settings = SETTINGS.model_copy(update={"masks": "masks", "steps": 0})
    table = measured(dense, images, tmp_path / "dense", settings=settings, data=tmp_path)["explanations"]
    x = inputs(images)
    judged = ~table["empty"] & (table["target"] == table["label"])
    assert 0 < judged.sum() < len(table)
    assert table.loc[~judged, ["pointing", "inside", "object_share"]].isna().all(axis=None)
    for row in table[judged].to_dict("records"):
        i = images.names.index(row["image"])
        values, mask = grad_cam(dense, x[i], row["target"]), left if i % 2 else ~left
        assert row["inside"] == pytest.approx(values[mask].sum() / values.sum(), abs=1e-4)
        assert row["object_share"] == mask.mean()
        assert row["pointing"] == mask.ravel()[values.argmax()]
    digest = MEASURES["explanations"].inputs(settings, images, tmp_path)["masks"]
    write_masks(tmp_path / "others", images, lambda i: left)
    other = settings.model_copy(update={"masks": "others"})
    assert MEASURES["explanations"].inputs(other, images, tmp_path)["masks"] != digest


def test_a_proxy_names_what_the_maps_show(dense: nn.Module, images: ImageSet, tmp_path: Path) -> None:
    proxy = opened(seed=3)
    save_network(proxy, tmp_path / "proxy.safetensors")
    asked = {"network": str(tmp_path / "proxy.safetensors")}
    settings = ExplanationsSettings(
        steps=0, limit=12, share=0.25, background="black", proxy=asked, target="label"
    )
    tables = measured(dense, images, tmp_path / "dense", settings=settings)
    rows, scores = tables["explanations"], tables["scores"].set_index("metric")["value"]
    names = [name for name, empty in zip(rows["image"], rows["empty"], strict=True) if not empty]
    x, at = inputs(images), [images.names.index(name) for name in names]
    maps = np.stack(
        [grad_cam(dense, x[i], t) for i, t in zip(at, rows["target"][~rows["empty"]], strict=True)]
    )
    shown = torch.from_numpy(top(maps, names, 0.25, 0))[:, None]
    black = VIEW.normalise(torch.zeros(1, 3, 1, 1, dtype=torch.uint8))
    with torch.no_grad():
        named = proxy(torch.where(shown, x[at], black)).argmax(1).numpy()
        whole = proxy(x[[images.names.index(name) for name in rows["image"]]]).argmax(1).numpy()
    assert rows.loc[~rows["empty"], "proxy"].tolist() == named.tolist()
    assert (rows.loc[rows["empty"], "proxy"] == -1).all()
    hits = named == images.labels[at]
    assert scores["grad-cam/proxy_top1"] == pytest.approx(hits.mean())
    assert rows.loc[~rows["empty"], "proxy_correct"].tolist() == hits.tolist()
    assert scores["proxy/whole"] == pytest.approx((whole == rows["label"]).mean())
    assert 0 <= scores["proxy/random"] <= 1
    again = measured(dense, images, tmp_path / "again", settings=settings, reference=tmp_path / "dense")
    assert (
        not again["scores"]["metric"].isin(["proxy/whole", "proxy/random"]).any()
    )  # said once, of the dense one
    assert MEASURES["explanations"].inputs(settings, images, None)["proxy"]["outputs"] == [0, 1, 2]


def test_in_python_it_is_the_same(
    dense: nn.Module, pruned: nn.Module, images: ImageSet, tmp_path: Path
) -> None:
    before = {name: value.clone() for name, value in pruned.state_dict().items()}
    measured(dense, images, tmp_path / "dense")
    expected = measured(pruned, images, tmp_path / "pruned", reference=tmp_path / "dense")["explanations"]
    found = ps.explanations(pruned, images, dense, steps=4, limit=12)
    pd.testing.assert_frame_equal(found, expected)
    alone = explanations(
        dense, images, method="IntegratedGradients", options={"n_steps": 3}, limit=6, steps=0
    )
    assert alone["spearman"].isna().all()
    assert (alone["method"] == "IntegratedGradients").all()
    assert all(torch.equal(value, before[name]) for name, value in pruned.state_dict().items())
    assert not any(module._forward_hooks for module in pruned.modules())


def test_in_python_images_that_both_get_right(dense: nn.Module, pruned: nn.Module, images: ImageSet) -> None:
    x = inputs(images)
    said = dense(x).argmax(1).numpy()
    both = said == pruned(x).argmax(1).numpy()
    labels = np.where(np.arange(len(images)) % 3 == 0, (said + 1) % 3, said)  # dense is wrong on every third
    expected = np.flatnonzero(both & (labels == said))
    assert 0 < len(expected) < len(images)
    labelled = replace(images, labels=labels)
    found = ps.explanations(pruned, labelled, dense, choose="correct", steps=0)
    assert found["image"].tolist() == [images.names[i] for i in expected]
    assert found["correct"].all()
    with pytest.raises(PrunescopeError, match=r"right are, the fewest first: dense: 0, network: \d+\. "):
        ps.explanations(pruned, replace(images, labels=(said + 1) % 3), dense, choose="correct", steps=0)


def test_networks_that_see_other_parts_of_an_image_are_not_compared(
    dense: nn.Module, images: ImageSet
) -> None:
    other = copy.deepcopy(dense)
    other.preprocess = Preprocess(resize=None, crop=8)  # type: ignore[assignment]
    with pytest.raises(PrunescopeError, match=r"same resize and crop: the network has \(None, 8\)"):
        explanations(other, images, dense)


def test_a_damaged_network_is_an_error(dense: nn.Module, images: ImageSet) -> None:
    broken = copy.deepcopy(dense)
    with torch.no_grad():
        broken.get_parameter("conv3.weight")[0, 0, 0, 0] = torch.nan
    with pytest.raises(PrunescopeError, match=r"grad-cam gives NaN or infinite values for 6 of 6 images"):
        explanations(broken, images, limit=6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stpes": 3}, r"stpes: .*did you mean 'steps'"),
        ({"share": 0}, r"share: .*greater than 0"),
        ({"networks": "all"}, r"networks is a setting of studies only"),
        ({"layer": "bn4"}, r"no layer 'bn4'.*did you mean 'bn3'"),
        ({"layer": "fc"}, r"fc has no positions"),
        ({"method": "gard-cam"}, r"no attribution method 'gard-cam'.*did you mean 'grad-cam'"),
        ({"options": {"stepz": 2}}, r"no option 'stepz'"),
    ],
)
def test_wrong_settings_are_answered_in_words(
    dense: nn.Module, images: ImageSet, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(PrunescopeError, match=message):
        explanations(dense, images, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"methods": ["grad-cam", "grad-cam"]}, "given twice"),
        (
            {"options": {"lrp": {}}},
            r"options are given for 'lrp', which is not among the methods \(grad-cam\)",
        ),
        ({"methods": []}, "at least 1"),
    ],
)
def test_settings_that_contradict_themselves(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PrunescopeError, match=message):
        ExplanationsSettings.chosen(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "conv1", "methods": ("gradient",)}, "gradient looks at the pixels: leave it out"),
        ({"layer": "fc"}, "fc has no positions"),
        ({"methods": ("grad-cam", "nonsense")}, "no attribution method 'nonsense'"),
    ],
)
def test_what_does_not_fit_is_said_when_a_study_is_planned(
    dense: nn.Module, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(PrunescopeError, match=message):
        MEASURES["explanations"].check(ExplanationsSettings(**settings), dense)


def test_a_layer_is_for_the_methods_that_look_at_one(dense: nn.Module, images: ImageSet) -> None:
    settings = ExplanationsSettings(methods=("grad-cam", "gradient"), layer="conv2", limit=3, steps=0)
    MEASURES["explanations"].check(settings, dense)
    rows = measure_explanations(subject(dense, images), settings)["explanations"]
    assert rows.groupby("method")["layer"].first().to_dict() == {"grad-cam": "conv2", "gradient": ""}


def test_which_networks_are_covered() -> None:
    together = MEASURES["explanations"].together
    assert together is not None
    final, all_of_them = ExplanationsSettings(), ExplanationsSettings(networks="all", choose="correct")
    assert [together.covers(final, {"final": own}) for own in (True, False)] == [True, False]
    assert [together.covers(all_of_them, {"final": own}) for own in (True, False)] == [True, True]
    assert [together.asks_networks(each) for each in (final, all_of_them)] == [False, True]


def test_a_map_that_shows_nothing_is_not_recognised(images: ImageSet, tmp_path: Path) -> None:
    proxy, dead = opened(seed=3), opened(seed=0)
    save_network(proxy, tmp_path / "proxy.safetensors")
    dead.fc.weight.data.zero_()  # type: ignore[union-attr]
    asked = {"network": str(tmp_path / "proxy.safetensors")}
    settings = ExplanationsSettings(steps=0, limit=6, proxy=asked, target="label")
    tables = measured(dead, images, tmp_path / "dead", settings=settings)
    assert tables["explanations"]["empty"].all()
    assert (tables["explanations"]["proxy_correct"] == 0).all()
    row = tables["scores"].set_index("metric").loc["grad-cam/proxy_top1"]
    assert (row["value"], row["n"]) == (0, 6)


def test_a_network_is_no_proxy_for_itself(dense: nn.Module, images: ImageSet, tmp_path: Path) -> None:
    save_network(dense, tmp_path / "same.safetensors")
    settings = ExplanationsSettings(steps=0, limit=6, proxy={"network": str(tmp_path / "same.safetensors")})
    with pytest.raises(PrunescopeError, match="give an independent one"):
        measured(dense, images, tmp_path / "dense", settings=settings)


def test_one_method_under_two_names(dense: nn.Module) -> None:
    settings = ExplanationsSettings(methods=("grad-cam", "LayerGradCam"))
    with pytest.raises(PrunescopeError, match="name grad-cam twice"):
        MEASURES["explanations"].check(settings, dense)
