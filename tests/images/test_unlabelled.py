"""Images without labels: what needs none says of them what it says of the same images with labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import prunescope as ps
from prunescope.cli.calibration import images_for
from prunescope.errors import PrunescopeError
from prunescope.images.cache import cached
from prunescope.images.concepts import open_concepts
from prunescope.images.folder import scheme_for
from prunescope.images.source import ImageSet, open_images
from prunescope.images.split import limited, split, stratified_limit
from prunescope.measures.explanations import ExplanationsSettings
from prunescope.measures.forgetting import forgetting
from prunescope.measures.measure import MEASURES, Subject
from prunescope.measures.mis import MisSettings, measure_mis
from prunescope.networks.network import open_network
from prunescope.networks.preprocess import Preprocess
from prunescope.pruning.scores.own import find_score
from prunescope.study.images import StudyImages
from prunescope.study.settings import ImagesSettings
from prunescope.training.evaluation import NO_IMAGES, LabelledPixels, predict, top1
from study.tiny import write_images

LAYERS = ["conv3", "fc"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "pets", per_class=6)


@pytest.fixture
def labelled(folder: Path) -> ImageSet:
    return open_images(f"folder:{folder}")


@pytest.fixture
def unlabelled(folder: Path) -> ImageSet:
    return open_images("unlabelled:pets", data=folder.parent)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    view = Preprocess(resize=None, crop=16)
    network = open_network("study.tiny:tiny", classes=3, preprocess=view, seed=0)
    with torch.no_grad():
        network.get_parameter("fc.weight").abs_()  # so that maps are not empty
    return network


def pixels_of(images: ImageSet) -> LabelledPixels:
    return LabelledPixels(cached(images, None, "bilinear"), images.labels, np.arange(len(images)))


def test_any_images_below_the_folder_have_no_class(labelled: ImageSet, unlabelled: ImageSet) -> None:
    assert unlabelled.classes == ()
    assert (unlabelled.labelled, labelled.labelled) == (False, True)
    assert unlabelled.labels.tolist() == [-1] * 18
    assert unlabelled.labels.dtype == np.int64
    assert unlabelled.names == labelled.names
    assert unlabelled.source == "unlabelled:pets"
    for i in (0, 17):
        np.testing.assert_array_equal(unlabelled.decode(i), labelled.decode(i))


def test_the_fingerprint_is_of_the_contents_and_of_there_being_no_labels(
    labelled: ImageSet, unlabelled: ImageSet, tmp_path: Path
) -> None:
    write_images(tmp_path / "same", per_class=6)
    write_images(tmp_path / "other", per_class=6, seed=1)
    assert open_images(f"unlabelled:{tmp_path}/same").fingerprint == unlabelled.fingerprint
    assert open_images(f"unlabelled:{tmp_path}/other").fingerprint != unlabelled.fingerprint
    assert labelled.fingerprint != unlabelled.fingerprint


def test_folders_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(PrunescopeError, match="has no images"):
        open_images(f"unlabelled:{tmp_path}/empty")
    with pytest.raises(PrunescopeError, match="is not there"):
        open_images(f"unlabelled:{tmp_path}/nowhere")
    (tmp_path / "photo.png").touch()
    with pytest.raises(PrunescopeError, match="is not a folder"):
        open_images(f"unlabelled:{tmp_path}/photo.png")


def test_a_folder_is_of_classes_if_subfolders_have_images(folder: Path, tmp_path: Path) -> None:
    assert scheme_for("pets", folder.parent) == "folder"
    assert scheme_for("pets/red", folder.parent) == "unlabelled"
    flat = tmp_path / "flat"
    write_images(flat / ".hidden")
    (flat / "notes").mkdir()
    (flat / "a.png").write_bytes((folder / "red" / "0.png").read_bytes())
    assert scheme_for(str(flat), None) == "unlabelled"
    (flat / "notes" / "deep").mkdir()
    (flat / "notes" / "deep" / "b.png").touch()
    with pytest.raises(PrunescopeError, match=r"images \(a.png\) beside subfolders of images \(notes\)"):
        scheme_for(str(flat), None)


def test_a_limit_draws_as_of_one_class(unlabelled: ImageSet) -> None:
    few = limited(unlabelled, 5, seed=3)
    assert (len(few), few.labelled) == (5, False)
    assert set(few.names) < set(limited(unlabelled, 9, seed=3).names)
    one = np.zeros(18, np.int64)
    for count in (1, 7, 18, 30):
        np.testing.assert_array_equal(
            stratified_limit(unlabelled.labels, count, 1), stratified_limit(one, count, 1)
        )
    for ours, theirs in zip(split(unlabelled.labels, 0.2, 1), split(one, 0.2, 1), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_a_network_says_needs_no_labels(
    network: nn.Module, labelled: ImageSet, unlabelled: ImageSet
) -> None:
    said = predict(network, pixels_of(unlabelled))
    torch.testing.assert_close(said, predict(network, pixels_of(labelled)), rtol=0, atol=0)


def test_mis_needs_no_labels(network: nn.Module, labelled: ImageSet, unlabelled: ImageSet) -> None:
    settings = MisSettings(tasks=3, references=2, layers=tuple(LAYERS), examples=2)
    ours, theirs = (
        measure_mis(Subject(network, NO_IMAGES, images), settings) for images in (unlabelled, labelled)
    )
    units = ours["units"]
    assert units.pop("class").isna().all()
    assert set(units.pop("image_set")) == {unlabelled.fingerprint}
    pd.testing.assert_frame_equal(units, theirs["units"].drop(columns=["class", "image_set"]))
    for table in ("scores", "layer_mis", "examples"):
        pd.testing.assert_frame_equal(ours[table], theirs[table])
    assert len(ps.mis(network, unlabelled, tasks=2, references=2, layers=LAYERS, limit=12)) == 19


def test_predictions_can_be_explained_without_labels(
    network: nn.Module, labelled: ImageSet, unlabelled: ImageSet
) -> None:
    ours, theirs = (ps.attribute(network, images, limit=None) for images in (unlabelled, labelled))
    np.testing.assert_array_equal(ours.maps, theirs.maps)
    dense = open_network("study.tiny:tiny", classes=3, preprocess=Preprocess(resize=None, crop=16), seed=1)
    tables = [ps.explanations(network, images, dense, steps=2) for images in (unlabelled, labelled)]
    assert set(tables[0]["label"]) == {-1}
    assert not tables[0]["correct"].any()
    same = ["image", "target", "prediction", "confidence", "spearman", "ssim", "iou", "deletion", "gini"]
    pd.testing.assert_frame_equal(tables[0][same], tables[1][same])
    assert tables[0][["pointing", "inside", "proxy_correct"]].isna().all(axis=None)


NO_LABELS = "needs images whose classes are known, and unlabelled:pets has no labels"


def test_the_label_cannot_be_explained(network: nn.Module, unlabelled: ImageSet) -> None:
    with pytest.raises(PrunescopeError, match=f"target 'label' {NO_LABELS}"):
        ps.attribute(network, unlabelled, target="label")


@pytest.mark.parametrize(
    "asked",
    [
        {"target": "label"},
        {"choose": "correct"},
        {"masks": "masks"},
        {"proxy": {"network": "study.tiny:tiny"}},
    ],
)
def test_explanations_say_which_setting_needs_labels(
    network: nn.Module, unlabelled: ImageSet, asked: dict[str, object]
) -> None:
    with pytest.raises(PrunescopeError, match=f"^{next(iter(asked))}.* {NO_LABELS}"):
        ps.explanations(network, unlabelled, **asked)  # type: ignore[arg-type]
    with pytest.raises(PrunescopeError, match=f"^{next(iter(asked))}.* {NO_LABELS}"):
        MEASURES["explanations"].inputs(ExplanationsSettings.chosen(**asked), unlabelled, None)


def test_accuracy_needs_labels(network: nn.Module, unlabelled: ImageSet) -> None:
    with pytest.raises(PrunescopeError, match="these images have no labels"):
        top1(network, pixels_of(unlabelled))
    settings = MEASURES["accuracy"].settings()
    run = MEASURES["accuracy"].run
    assert run is not None
    with pytest.raises(PrunescopeError, match="these images have no labels"):
        run(Subject(network, pixels_of(unlabelled), unlabelled), settings)


def test_scores_that_look_at_labels_need_them(network: nn.Module, folder: Path) -> None:
    with pytest.raises(PrunescopeError, match=f"--by snip {NO_LABELS}"):
        images_for(find_score("snip"), network, "unlabelled:pets", 4, 0, folder.parent)


@pytest.mark.parametrize("part", ["train", "validate", "test"])
def test_a_study_needs_labels(folder: Path, part: str) -> None:
    sources: dict[str, object] = {"train": "folder:pets", "test": "folder:pets", "validate": 0.2}
    settings = ImagesSettings.model_validate(sources | {part: "unlabelled:pets"})
    with pytest.raises(PrunescopeError, match=f"a study {NO_LABELS}"):
        StudyImages(settings, folder.parent)


def test_forgetting_needs_labels() -> None:
    columns = {"image": ["a", "b"], "prediction": [0, 1], "confidence": [0.5, 0.5]}
    unknown = pd.DataFrame({**columns, "label": [0, -1]})
    with pytest.raises(PrunescopeError, match="'label' holds -1, and 2 classes are named"):
        forgetting(unknown, unknown)


def test_sets_of_concepts_are_of_no_class_either(folder: Path) -> None:
    assert not open_concepts(f"textures:{folder}").images.labelled
