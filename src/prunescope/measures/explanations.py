"""Explanations: what the maps of a network point at, how they differ from the dense network's, whether they hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.explain.attribution import check, find_method
from prunescope.explain.baselines import Baseline
from prunescope.explain.kept_maps import read_maps, write_maps
from prunescope.explain.object_masks import mask_files, masks_fingerprint
from prunescope.explain.proxy import ProxySettings, open_proxy
from prunescope.explain.stimuli import Background
from prunescope.images.cache import cached
from prunescope.images.source import ImageSet, open_images, require_labels
from prunescope.measures.chosen_images import Choose, chosen_images
from prunescope.measures.explaining import Explaining, layer_of
from prunescope.measures.explanation_scores import explanation_scores
from prunescope.measures.measure import (
    MEASURES,
    Measure,
    MeasureSettings,
    Progress,
    Subject,
    Tables,
    Together,
    refuse,
)
from prunescope.networks.network import preprocess_of, resolve
from prunescope.training.evaluation import LabelledPixels, predict
from prunescope.training.settings import Precision

Target = Literal["dense", "label", "prediction"]


class ExplanationsSettings(MeasureSettings):
    """Which explanations are made, of which images, and what is asked of them."""

    places: ClassVar[frozenset[str]] = frozenset({"masks", "proxy", "stimuli"})

    methods: tuple[str, ...] = Field(
        ("grad-cam",),
        min_length=1,
        description="grad-cam, gradient, integrated-gradients, guided-grad-cam, occlusion, lrp, or another of Captum "
        "by its class name (DeepLift, InputXGradient).",
    )
    layer: str | None = Field(
        None, description="Of the methods that look at a layer; null: the last whose output has positions."
    )
    options: dict[str, dict[str, Any]] = Field(
        {}, description="Method to further arguments of it: {integrated-gradients: {n_steps: 20}}."
    )
    target: Target = Field(
        "dense",
        description="The class that is explained: what the dense network says, the label, or what the network says.",
    )
    networks: Literal["final", "all"] = Field(
        "final", description="all: also networks that are retrained afterwards."
    )
    choose: Choose = Field(
        "stratified", description="correct: only images that every network of the comparison gets right."
    )
    limit: int = Field(500, ge=1, description="At most so many images, balanced over the classes.")
    share: float = Field(
        0.1, gt=0, le=1, description="Of the pixels, those of highest value: for IoU and explanation maps."
    )
    steps: int = Field(16, ge=0, description="Of deletion and insertion; 0: neither.")
    baseline: Baseline = Field(
        "mean", description="What deleted pixels become: the network's mean colour, blur or black."
    )
    masks: str | None = Field(
        None,
        description="Folder with one PNG an image, of the same relative name, in which the object is not 0; null: "
        "the masks that come with the images, if they do (scenes).",
    )
    proxy: ProxySettings | None = Field(
        None,
        description="An independent network that names the class of explanation maps, as a proxy for people.",
    )
    stimuli: bool = Field(False, description="Write heat maps and explanation maps of all images as files.")
    background: Background = Field(
        "black", description="What explanation maps show elsewhere: black, grey or white."
    )
    seed: int = Field(0, ge=0, description="Of the limit, of ties between pixels, and of what chance gives.")
    batch: int = Field(64, ge=1, description="Images looked at at once.")
    precision: Precision = Field(
        "fp32", description="Arithmetic of deletion and insertion: fp32, or bf16 by autocast."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.methods)) < len(self.methods):
            raise ValueError("a method is given twice: keep one")
        if foreign := [method for method in self.options if method not in self.methods]:
            raise ValueError(
                f"options are given for {foreign[0]!r}, which is not among the methods ({', '.join(self.methods)})"
            )
        return self


def explanations(
    network: nn.Module,
    images: ImageSet | str,
    dense: nn.Module | None = None,
    method: str = "grad-cam",
    *,
    data: Path | str | None = None,
    progress: Progress = lambda done, total: None,
    **settings: Any,
) -> pd.DataFrame:
    """Return what can be said of the explanation of each image, one row an image.

    Args:
        network: carries its `preprocess`.
        images: a set, or a source such as `folder:imagenette/val`.
        dense: the network that its maps are compared with, of the same preprocessing; None: with none, and the
            class explained is then the one that `network` names, unless `target="label"`.
        method: `grad-cam`, `integrated-gradients`, …, or another of Captum by its class name.
        data: the folder that relative paths start from.
        settings: further fields of `ExplanationsSettings`: `layer="layer3"`, `limit=100`, `steps=0`, …; `options` are
            those of the method, `{"n_steps": 20}`.

    Returns:
        `method, layer, image, label, target, prediction, confidence` (of the target)`, correct, empty`; likeness to
        the dense network's map: `spearman, ssim, iou`; areas under the curves: `deletion, insertion`; where masks of
        the object are known: `pointing, inside`; `gini, entropy`; the class that a proxy named: `proxy` (-1: none),
        `proxy_correct`. What was not measured, and what an empty map cannot have, is NaN.

    Raises:
        PrunescopeError: an unknown method or layer, a network that the method cannot explain, maps that are not finite.
    """
    refuse(settings, "methods", "networks", "stimuli")
    options = {method: settings.pop("options")} if "options" in settings else {}
    chosen = ExplanationsSettings.chosen(methods=(method,), options=options, **settings)
    folder = None if data is None else Path(data)
    opened = open_images(images, "test", folder) if isinstance(images, str) else images
    _check_labels(chosen, opened)
    if chosen.masks is not None:
        mask_files(opened, resolve(chosen.masks, folder))
    if dense is not None:
        _same_view(network, dense)
    compared = {"network": network} if dense is None else {"dense": dense, "network": network}
    said = {}
    if chosen.choose == "correct":
        said = {
            name: predict(each, _pixels(each, opened)).argmax(1).numpy() for name, each in compared.items()
        }
    shown = opened.subset(_choose(chosen, opened, said))
    phases = _Phases(progress, 3 if dense is not None else 2, len(shown))
    reference = None
    if dense is not None:
        reference = Explaining(dense, _pixels(dense, shown), shown, chosen, folder).maps(
            method, None, phases.next()
        )
    explaining = Explaining(network, _pixels(network, shown), shown, chosen, folder)
    explained = explaining.maps(method, reference, phases.next())
    return explaining.found(method, explained, reference, phases.next()).images


def measure_explanations(subject: Subject, settings: ExplanationsSettings) -> Tables:
    """Explain the chosen images; return the tables `explanations`, `scores` and `explanation_curves`.

    The maps of each method go into a file in `subject.folder`, if there is one, and those to compare with are read
    from `subject.reference`. The rows of a method are in the order of its maps.
    """
    chosen = _choose(settings, subject.test, {}) if subject.chosen is None else subject.chosen
    images = LabelledPixels(subject.images.pixels, subject.images.labels, subject.images.indices[chosen])
    shown = subject.test.subset(chosen)
    explaining = Explaining(subject.network, images, shown, settings, subject.data)
    phases = _Phases(subject.progress, 2 * len(settings.methods), len(shown))
    found = []
    for method in settings.methods:
        reference = None if subject.reference is None else read_maps(subject.reference, method, shown.names)
        explained = explaining.maps(method, reference, phases.next())
        if subject.folder is not None:
            write_maps(subject.folder, method, explained, shown.names)
        found.append(explaining.found(method, explained, reference, phases.next()))
    scores = [explanation_scores(one.images, one.chance) for one in found]
    if subject.reference is None:
        scores.append(explaining.proxy_controls())
    curves = [one.curves for one in found if len(one.curves)]
    tables = {
        "explanations": pd.concat([one.images for one in found], ignore_index=True),
        "scores": pd.concat([part for part in scores if len(part)], ignore_index=True),
    }
    return tables | ({"explanation_curves": pd.concat(curves, ignore_index=True)} if curves else {})


def _choose(
    settings: ExplanationsSettings, test: ImageSet, predictions: Mapping[str, NDArray[np.int64]]
) -> NDArray[np.int64]:
    return chosen_images(settings.choose, settings.limit, settings.seed, test, predictions)


def _inputs(settings: ExplanationsSettings, test: ImageSet, data: Path | None) -> dict[str, Any]:
    """Say which masks and which proxy decide the scores, and check now that both will do."""
    _check_labels(settings, test)
    found: dict[str, Any] = {}
    if settings.masks is not None:
        found["masks"] = masks_fingerprint(test, settings.masks, data)
    if settings.proxy is not None:
        found["proxy"] = open_proxy(settings.proxy, test.classes, data).identity()
    return found


def _check_labels(settings: ExplanationsSettings, test: ImageSet) -> None:
    """Refuse images without labels for what asks whether a map is of the image's class."""
    asked = {
        "target: label": settings.target == "label",
        "choose: correct": settings.choose == "correct",
        "masks": settings.masks is not None,
        "proxy": settings.proxy is not None,
    }
    for what in (name for name, given in asked.items() if given):
        require_labels(test, what)


def _check(settings: ExplanationsSettings, network: nn.Module) -> None:
    """Try every method on an example image."""
    names = [find_method(method).name for method in settings.methods]
    if twice := [name for name in names if names.count(name) > 1]:
        raise PrunescopeError(f"methods: {', '.join(settings.methods)} name {twice[0]} twice: keep one")
    if settings.layer is not None and not any(find_method(method).of_layer for method in settings.methods):
        raise PrunescopeError(
            f"layer: {settings.layer} is given, and {', '.join(settings.methods)} looks at the pixels: leave it out"
        )
    for method in settings.methods:
        check(network, method, layer_of(settings, method), settings.options.get(method, {}))


def _pixels(network: nn.Module, images: ImageSet) -> LabelledPixels:
    preprocess = preprocess_of(network)
    pixels = cached(images, preprocess.resize, preprocess.interpolation)
    return LabelledPixels(pixels, images.labels, np.arange(len(images)))


def _same_view(network: nn.Module, dense: nn.Module) -> None:
    views = [(view.resize, view.crop) for view in map(preprocess_of, (network, dense))]
    if views[0] != views[1]:
        raise PrunescopeError(
            "maps are compared position by position, so both networks need the same resize and crop: the network has "
            f"{views[0]}, the dense one {views[1]}"
        )


class _Phases:
    """Joins the progress of several passes over the same images into one."""

    def __init__(self, progress: Progress, phases: int, images: int) -> None:
        self.progress, self.phases, self.images = progress, phases, images
        self.begun = 0

    def next(self) -> Progress:
        """Return the progress of the next pass."""
        before, self.begun = self.begun * self.images, self.begun + 1
        return lambda done, total: self.progress(
            before + self.images * done // max(total, 1), self.phases * self.images
        )


MEASURES.register("explanations")(
    Measure(
        "explanations",
        1,
        ExplanationsSettings,
        measure_explanations,
        inputs=_inputs,
        check=_check,
        needs=("accuracy",),  # for `choose: correct`
        together=Together(
            covers=lambda settings, columns: settings.networks == "all" or columns["final"],
            asks_networks=lambda settings: settings.choose == "correct",
            choose=_choose,
        ),
    )
)
