"""MIS: how well people could tell what a unit responds to, by a similarity of images instead of people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.images.cache import cached
from prunescope.images.digests import digest_of
from prunescope.images.source import ImageSet, open_images
from prunescope.images.split import limited
from prunescope.measures.intervals import mean_interval
from prunescope.measures.measure import MEASURES, Measure, MeasureSettings, Progress, Subject, Tables, refuse
from prunescope.measures.mis_scores import MisTasks, chance_scores, check_size, mis_tasks
from prunescope.measures.mis_tasks import task_rows
from prunescope.measures.outlines import example_rows
from prunescope.networks.channels import map_channels
from prunescope.networks.network import Device, preprocess_of, resolve
from prunescope.probe.examples import Examples
from prunescope.probe.look import Observer, look
from prunescope.probe.means import Means
from prunescope.probe.similarity import Likeness, Similarity, likeness, open_similarity
from prunescope.probe.sites import Site, find_sites, pre_activations
from prunescope.probe.tails import Tails
from prunescope.probe.tie_keys import tie_keys
from prunescope.training.settings import Precision

CONDITIONS = (
    "similarity", "similarity_id", "slope", "images", "image_set", "tasks", "references", "difficulty",
)  # fmt: skip
CHANCE_UNITS = 1000


class MisSettings(MeasureSettings):
    """How the Machine Interpretability Score is measured."""

    places: ClassVar[frozenset[str]] = frozenset({"images", "weights"})

    images: str | None = Field(None, description="Source of the images; null: the test images of the study.")
    limit: int | None = Field(None, ge=1, description="At most so many images, balanced over the classes.")
    layers: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Globs of the layers whose units are scored; null: all convolutions, batch norms, linear layers.",
    )
    similarity: str = Field(
        "classical",
        description="dreamsim, lpips (lpips-squeeze, lpips-alex, lpips-vgg), or classical, which needs no weights.",
    )
    weights: str | None = Field(None, description="Folder with the weights of the similarity.")
    device: Device = Field("cpu", description="Where the similarity's network runs, if it has one.")
    slope: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Of the sigmoid; null: the similarity's own default."
    )
    tasks: int = Field(20, ge=1, description="Tasks per unit, N.")
    references: int = Field(9, ge=1, description="Reference images per side of a task, K.")
    difficulty: str = Field(
        "easy",
        description="easy: queries next to the references; hard-99, hard-95, hard-85: further inwards.",
    )
    ties: Literal["random", "index"] = Field(
        "random",
        description="index: equal activations in the order of images, only to repeat studies that did so.",
    )
    dead: Literal["missing", "scored"] = Field(
        "missing",
        description="scored: units that are not alive get a score, only to repeat studies that did so.",
    )
    seed: int = Field(0, ge=0, description="Of the limit, of tasks and of ties.")
    examples: int = Field(4, ge=0, description="Images a side that are kept for the card of a unit.")
    stimuli: bool = Field(
        False, description="Keep the images of every task, so that people can be asked the same."
    )
    batch: int = Field(64, ge=1, description="Images looked at at once.")
    precision: Precision = Field("fp32", description="Arithmetic of the network: fp32, or bf16 by autocast.")
    memory: float = Field(
        1.0, gt=0, description="GiB for what is kept during the pass; more goes to the disk."
    )


def mis(
    network: nn.Module,
    images: ImageSet | str,
    similarity: str = "classical",
    *,
    data: Path | str | None = None,
    progress: Progress = lambda done, total: None,
    **settings: Any,
) -> pd.DataFrame:
    """Return the Machine Interpretability Score of every unit of a network, one row a unit.

    Args:
        network: carries its `preprocess`.
        images: a set, or a source such as `folder:imagenette/val`.
        similarity: what stands for people's judgement: `dreamsim`, `lpips`, `classical`.
        data: the folder that relative paths start from.
        settings: further fields of `MisSettings`: `tasks=20`, `difficulty="hard-95"`, `layers=["layer4.*"]`, …

    Returns:
        `layer, kind, unit, alive, mis, hit_rate, margin`, and the conditions under which scores may be
        compared: `similarity, similarity_id, slope, images, image_set, tasks, references, difficulty`.

    Raises:
        PrunescopeError: too few images, missing weights, a wrong layer name, activations that are not finite.

    *Source:* Zimmermann, Klindt & Brendel, Measuring Mechanistic Interpretability at Scale Without Humans, 2024.
    """
    refuse(settings, "images", "examples", "stimuli")
    chosen = MisSettings.chosen(similarity=similarity, **settings)
    folder = None if data is None else Path(data)
    opened = open_images(images, "test", folder) if isinstance(images, str) else images
    opened = limited(opened, chosen.limit, chosen.seed)
    compared = _compared(chosen, opened, folder)
    with Means(find_sites(network, chosen.layers), len(opened)) as means:
        _look(network, opened, [means], chosen, progress)
        return _scored(means, compared, opened, chosen)[0]


def measure_mis(subject: Subject, settings: MisSettings) -> Tables:
    """Score every unit; return the tables `units`, `scores`, `layer_mis`, `examples` and `unit_tasks`."""
    network, images = subject.network, images_of(settings, subject.test, subject.data)
    compared = _compared(settings, images, subject.data)
    with Means(find_sites(network, settings.layers), len(images)) as means:
        examples = _look_for_examples(network, images, means, settings, subject.progress)
        units, asked = _scored(means, compared, images, settings)
        as_published = settings.model_copy(update={"ties": "index", "dead": "scored"})
        published, _ = _scored(means, compared, images, as_published)
    units["mis_published"] = published["mis"].where(units["kind"].isin(("conv", "linear")))
    units["class"] = _classes(network, units, subject.test.classes)
    tables = {"units": units, "scores": _scores(units, _chance(compared, images, settings))}
    tables["layer_mis"] = _by_layer(units)
    if settings.stimuli:
        tables["unit_tasks"] = task_rows(units[["layer", "unit"]], asked, images.names)
    return tables | ({} if examples is None else {"examples": examples})


def images_of(settings: MisSettings, test: ImageSet, data: Path | None) -> ImageSet:
    """Return the images that units are shown: those of the settings, or else the study's test images."""
    images = test if settings.images is None else open_images(settings.images, "test", data)
    return limited(images, settings.limit, settings.seed)


def _similarity(settings: MisSettings, data: Path | None) -> Similarity:
    weights = None if settings.weights is None else resolve(settings.weights, data)
    return open_similarity(settings.similarity, weights, settings.device)


@dataclass(frozen=True)
class _Compared:
    """How alike the images are, and by which similarity."""

    similarity: Similarity
    alike: Likeness


def _compared(settings: MisSettings, images: ImageSet, data: Path | None) -> _Compared:
    check_size(len(images), settings.tasks, settings.references, settings.difficulty)
    similarity = _similarity(settings, data)
    return _Compared(similarity, likeness(images, similarity))


def _inputs(settings: MisSettings, test: ImageSet, data: Path | None) -> dict[str, Any]:
    """Say which images and weights decide the scores, and check now that both will do."""
    images = images_of(settings, test, data)
    check_size(len(images), settings.tasks, settings.references, settings.difficulty)
    decisive = {"images": images.fingerprint, "similarity": _similarity(settings, data).identity()}
    return decisive if settings.images is None else decisive | {"classes": test.classes}  # of the logits


def _look(
    network: nn.Module,
    images: ImageSet,
    observers: Sequence[Observer],
    settings: MisSettings,
    progress: Progress,
) -> None:
    preprocess = preprocess_of(network)
    pixels = cached(images, preprocess.resize, preprocess.interpolation)
    look(network, pixels, observers, batch=settings.batch, precision=settings.precision, progress=progress)


def _look_for_examples(
    network: nn.Module, images: ImageSet, means: Means, settings: MisSettings, progress: Progress
) -> pd.DataFrame | None:
    """Look once, for the means and for what the cards of units show; return the table of the latter."""
    before = {layer: site for layer, site in pre_activations(network).items() if layer in means.columns}
    if not before or not settings.examples:
        _look(network, images, [means], settings, progress)
        return None
    sites = list(before.values())
    keys = tie_keys(images.names, settings.seed)
    with Tails(sites, len(images), memory=int(settings.memory * 2**30)) as tails:
        examples = Examples(sites, settings.examples, keys)
        _look(network, images, [means, tails, examples], settings, progress)
        layers = {layer: site.layer for layer, site in before.items()}
        return example_rows(examples, layers, tails.thresholds(), images.names)


def _scored(
    means: Means, compared: _Compared, images: ImageSet, settings: MisSettings
) -> tuple[pd.DataFrame, MisTasks]:
    """Score all units that were looked at; one row a unit, with the conditions. Return their tasks beside it."""
    units = pd.concat([_units(site) for site in means.sites], ignore_index=True)
    asked = mis_tasks(
        means.array,
        **_of(compared.alike, settings),
        ids=images.names,
        ties=settings.ties,
        dead=settings.dead,
        alive=units.pop("has_weights").to_numpy(),
    )
    scores = asked.scores(settings.slope or compared.alike.slope)
    return units.join(scores.drop(columns="unit")).assign(**_conditions(compared, images, settings)), asked


def _units(site: Site) -> pd.DataFrame:
    """Name the units of a layer, and say which have a filter that is not all zero."""
    has_weights = np.ones(site.units, dtype=bool)
    if site.kind in {"conv", "linear"}:
        weight: torch.Tensor = site.module.weight.detach()  # type: ignore[operator]
        has_weights = weight.flatten(1).ne(0).any(1).cpu().numpy()
    named = {"layer": site.layer, "kind": site.kind, "unit": np.arange(site.units)}
    return pd.DataFrame({**named, "has_weights": has_weights})


def _of(alike: Likeness, settings: MisSettings) -> dict[str, Any]:
    """Return what `mis_tasks` and `chance_scores` are both told."""
    return {
        "embeddings": alike.embeddings,
        "similarities": alike.similarities,
        "metric": alike.metric,
        "tasks": settings.tasks,
        "references": settings.references,
        "difficulty": settings.difficulty,
        "seed": settings.seed,
    }


def _conditions(compared: _Compared, images: ImageSet, settings: MisSettings) -> dict[str, Any]:
    identity = json.dumps(compared.similarity.identity(), sort_keys=True)
    return {
        "similarity": compared.similarity.name,
        "similarity_id": digest_of(identity.encode())[:12],
        "slope": settings.slope or compared.alike.slope,
        "images": len(images),
        "image_set": images.fingerprint,
        "tasks": settings.tasks,
        "references": settings.references,
        "difficulty": settings.difficulty,
    }


def _classes(network: nn.Module, units: pd.DataFrame, classes: tuple[str, ...]) -> pd.Series[Any]:
    """Name the class that a unit is the logit of; None for all others."""
    logits = units["layer"].isin(map_channels(network).logits) & (units["unit"] < len(classes))
    return units["unit"].map(dict(enumerate(classes))).where(logits, None)


def _chance(compared: _Compared, images: ImageSet, settings: MisSettings) -> pd.DataFrame:
    slope = settings.slope or compared.alike.slope
    return chance_scores(len(images), **_of(compared.alike, settings), slope=slope, units=CHANCE_UNITS)


def _scores(units: pd.DataFrame, chance: pd.DataFrame) -> pd.DataFrame:
    conv = units[units["kind"] == "conv"]
    live = conv[conv["alive"]]
    by_layer = live.groupby("layer")["mis"].mean()
    low, high = chance["mis"].quantile([0.025, 0.975])
    rows = [
        _mean("mis", live["mis"]),
        _mean("hit_rate", live["hit_rate"]),
        ("mis_layers", by_layer.mean(), np.nan, np.nan, len(by_layer)),
        _mean("mis_published", units["mis_published"].dropna()),
        ("mis_chance", chance["mis"].mean(), low, high, len(chance)),
        ("units_alive", len(live), np.nan, np.nan, len(conv)),
        ("units_dead", len(conv) - len(live), np.nan, np.nan, len(conv)),
    ]
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n"])


def _mean(metric: str, values: pd.Series[float]) -> tuple[str, float, float, float, int]:
    return metric, values.mean(), *mean_interval(values.to_numpy()), len(values)


def _by_layer(units: pd.DataFrame) -> pd.DataFrame:
    """Average over the live units of each layer."""
    scores = ["mis", "hit_rate", "margin"]
    units = units.assign(**{name: units[name].where(units["alive"]) for name in scores})
    groups = units.groupby(["layer", "kind"], sort=False)
    table = groups.agg(
        units=("unit", "size"),
        units_alive=("alive", "sum"),
        mis=("mis", "mean"),
        hit_rate=("hit_rate", "mean"),
        margin=("margin", "mean"),
    )
    return table.reset_index()


def require_comparable(units: pd.DataFrame) -> None:
    """Check that scores were measured under the same conditions.

    Raises:
        PrunescopeError: two rows differ in one of them.
    """
    for condition in CONDITIONS:
        values = units[condition].dropna().unique()
        if len(values) > 1:
            raise PrunescopeError(
                f"MIS is comparable only under equal conditions, and {condition} is {values[0]} here, "
                f"{values[1]} there: measure both networks with the same settings and images"
            )


def paired(units: pd.DataFrame) -> pd.DataFrame:
    """Average over the convolution units that are alive in every network; one row a network.

    Args:
        units: rows of several networks, with a column `network`.

    Returns:
        `network, value, low, high, n`.

    Raises:
        PrunescopeError: the scores were measured under different conditions.
    """
    require_comparable(units)
    live = units[(units["kind"] == "conv") & units["alive"].astype(bool)]
    scores = live.pivot(index=["layer", "unit"], columns="network", values="mis").dropna()
    rows = [
        (name, scores[name].mean(), *mean_interval(scores[name].to_numpy()), len(scores)) for name in scores
    ]
    return pd.DataFrame(rows, columns=["network", "value", "low", "high", "n"])


def _compare(
    tables: Mapping[str, pd.DataFrame], settings: MisSettings, test: ImageSet, data: Path | None
) -> Tables:
    if "units" not in tables or "mis" not in tables["units"]:
        return {}
    measured = tables["units"].dropna(subset=["similarity"])
    return {"scores": paired(measured).assign(metric="mis_paired", measure="mis")}


MEASURES.register("mis")(
    Measure(
        "mis",
        1,
        MisSettings,
        measure_mis,
        looks_at_images=False,  # at those of `inputs`
        inputs=_inputs,
        check=lambda settings, network: find_sites(network, settings.layers),
        compare=_compare,
        pictures=images_of,
    )
)
