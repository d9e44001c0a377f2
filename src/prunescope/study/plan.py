"""From settings to steps: what a study will do, in an order in which it can be done."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.measures import all_measures
from prunescope.networks.channels import map_channels
from prunescope.networks.layers import find_layers
from prunescope.networks.network import (
    evaluating,
    example_input,
    is_file_name,
    logits_of,
    open_network,
    origin_of,
    preprocess_of,
    resolve,
)
from prunescope.networks.preprocess import Preprocess
from prunescope.pruning.granularity import GRANULARITIES
from prunescope.pruning.prune import choose_layers
from prunescope.study.document import about
from prunescope.study.images import StudyImages
from prunescope.study.settings import (
    MeasureChoice,
    NetworkSettings,
    SeriesSettings,
    StudySettings,
    rate_name,
)
from prunescope.study.steps import Step
from prunescope.training.evaluation import resolve_precision
from prunescope.training.settings import TrainSettings


@dataclass(frozen=True)
class Stop:
    """One network of the study: the step that yields it and the columns that describe it in `networks`."""

    network: str
    step: Step
    columns: dict[str, Any]


@dataclass(frozen=True)
class Measuring:
    """One measure as it is done to every network: what decides its result, and where its inputs lie."""

    name: str
    settings: dict[str, Any]
    places: dict[str, Any]


@dataclass
class Plan:
    """All networks of a study, and for each the steps that measure it.

    Attributes:
        preprocess: what the networks expect of their images.
        opened: what opens the networks that steps start from, by step id.
    """

    preprocess: Preprocess
    stops: list[Stop] = field(default_factory=list)
    measures: dict[str, list[Step]] = field(default_factory=dict)  # network to its measuring steps
    opened: dict[str, Callable[[], nn.Module]] = field(default_factory=dict)

    def steps(self) -> Iterator[Step]:
        """Yield every step once, parents first; each network is measured as soon as it is there."""
        seen: set[str] = set()
        for stop in self.stops:
            for step in (stop.step, *self.measures[stop.network]):
                if step.id not in seen:
                    seen.add(step.id)
                    yield step


def make_plan(settings: StudySettings, images: StudyImages, where: dict[str, Any], data: Path | None) -> Plan:
    """Plan a study. The network is opened and every series is tried on it, so that what cannot work is said now.

    Raises:
        PrunescopeError: weights that do not fit, a layer that is not there or cannot be pruned so.
    """
    with about("network"):
        network = _open(settings.network, images, data, seed=settings.seeds[0])
    _check_series(network, settings.prune)
    return _Planner(settings, images, where, data, network).plan()


class _Planner:
    def __init__(
        self,
        settings: StudySettings,
        images: StudyImages,
        where: dict[str, Any],
        data: Path | None,
        network: nn.Module,
    ) -> None:
        self.settings, self.images, self.where, self.data = settings, images, where, data
        self.identity = _identity(settings.network, network, data)
        self.measurings = _measurings(settings, images, data, network)
        self.made = Plan(preprocess_of(network))

    def plan(self) -> Plan:
        for seed in self.settings.seeds:
            dense = self.dense(seed)
            for series in self.settings.prune:
                self.series(series, dense, seed)
        return self.made

    def dense(self, seed: int) -> Stop:
        given, chosen = self.settings.network, {"network": self.identity}
        if given.is_trained:
            seed_of_weights, step = 0, self.step("open", f"open {given.name}", chosen)
        else:
            seed_of_weights = seed
            step = self.step(
                "train", f"train {given.name}", chosen | self.training(self.settings.train, seed)
            )
        self.made.opened[step.id] = lambda: _open(given, self.images, self.data, seed_of_weights)
        columns = {"series": "dense", "seed": seed, "round": 0, "stage": "dense", "rate": 0.0}
        return self.stop(f"dense-seed{seed}", step, columns, parent=None)

    def series(self, series: SeriesSettings, dense: Stop, seed: int) -> None:
        retrain = series.retrain or self.settings.retrain
        fixed = {
            "series": series.series,
            "granularity": series.granularity,
            "score": series.score,
            "scope": series.scope,
            "norm": series.norm,
            "hold": series.hold,
            "schedule": series.schedule,
            "retraining": retrain.kind,
            "seed": seed,
        }
        source = dense
        for number, rate in enumerate(series.cumulative, start=1):
            columns = fixed | {"rate": rate, "round": number if series.schedule == "iterative" else 1}
            name = f"{series.series}-{rate_name(rate)}"
            if series.schedule == "one-shot":
                source = dense
            pruned = self.step("prune", f"prune {name}", self.pruning(series, rate, seed), source.step)
            source = self.stop(
                f"{name}-pruned-seed{seed}", pruned, columns | {"stage": "pruned"}, source.network
            )
            if retrain.kind != "none":
                chosen = {"hold": series.hold, **self.training(retrain, seed)}
                retrained = self.step("retrain", f"retrain {name}", chosen, pruned)
                source = self.stop(
                    f"{name}-retrained-seed{seed}",
                    retrained,
                    columns | {"stage": "retrained"},
                    source.network,
                )

    def pruning(self, series: SeriesSettings, rate: float, seed: int) -> dict[str, Any]:
        chosen = series.model_dump(
            mode="json", include={"granularity", "scope", "layers", "spare", "norm", "normalise", "min_left"}
        )
        return chosen | {
            "by": series.score,
            "rate": rate,
            "rounding": series.rounding,
            "round_to": series.round_to,
            "allow_empty_layers": series.allow_empty_layers,
            "seed": seed,
        }

    def training(self, settings: TrainSettings, seed: int) -> dict[str, Any]:
        chosen = settings.model_dump(mode="json", exclude={"kind"})
        chosen["precision"] = resolve_precision(settings.precision, self.where["device"])
        images: dict[str, Any] = {"train": self.images.fingerprint["train"]}
        if settings.patience:
            images["validate"] = self.images.fingerprint["validate"]
        return {"train": chosen, "images": images, "seed": seed}

    def stop(self, network: str, step: Step, columns: dict[str, Any], parent: str | None) -> Stop:
        stop = Stop(network, step, {"network": network, "step": step.id, **columns, "parent": parent})
        self.made.stops.append(stop)
        self.made.measures[network] = [self.measure(measuring, stop) for measuring in self.measurings]
        return stop

    def step(self, kind: str, label: str, settings: dict[str, Any], *parents: Step) -> Step:
        return Step(kind, label, settings, self.where, parents)

    def measure(self, measuring: Measuring, stop: Stop) -> Step:
        kind, label = f"measure-{measuring.name}", f"measure {measuring.name} of {stop.network}"
        return Step(kind, label, measuring.settings, self.where, (stop.step,), measuring.places)


def _measurings(
    settings: StudySettings, images: StudyImages, data: Path | None, network: nn.Module
) -> list[Measuring]:
    """Return what to measure; size always, since the table of networks says what was removed."""
    found = []
    for number, choice in enumerate(settings.measure):
        with about("measure", number):
            found.append(_measuring(choice, images, data))
            all_measures()[choice.name].check(choice.resolved(), network)
    if "size" not in {choice.name for choice in settings.measure}:
        found.append(_measuring(MeasureChoice(name="size"), images, data))
    return found


def _measuring(choice: MeasureChoice, images: StudyImages, data: Path | None) -> Measuring:
    measure, settings = all_measures()[choice.name], choice.resolved()
    decisive: dict[str, Any] = {"measure": settings.model_dump(mode="json", exclude=set(settings.places))}
    if measure.looks_at_images:
        decisive["images"] = images.fingerprint["test"]
    if inputs := measure.inputs(settings, images.test, data):
        decisive["inputs"] = inputs
    places = settings.model_dump(mode="json", include=set(settings.places))
    return Measuring(choice.name, decisive, places)


def _open(settings: NetworkSettings, images: StudyImages, data: Path | None, seed: int) -> nn.Module:
    network = open_network(
        settings.name,
        settings.weights,
        settings.classes or (None if settings.is_trained else len(images.test.classes)),
        options=settings.options,
        seed=seed,
        data=data,
    )
    if settings.preprocess is not None:
        given = settings.preprocess.model_dump(include=settings.preprocess.model_fields_set)
        network.preprocess = preprocess_of(network).model_copy(update=given)  # type: ignore[assignment]
    with evaluating(network):
        outputs = logits_of(network(example_input(network))).shape[1]
    if outputs != len(images.test.classes):
        raise PrunescopeError(
            f"the network has {outputs} outputs, the images {len(images.test.classes)} classes "
            f"({images.settings.test}): give network.classes, other weights, or other images"
        )
    return network


def _check_series(network: nn.Module, prune: tuple[SeriesSettings, ...]) -> None:
    layers = find_layers(network)
    channels = None
    for number, series in enumerate(prune):
        granularity = GRANULARITIES[series.granularity]
        if granularity.removes_channels:
            channels = channels or map_channels(network, layers)
        with about("prune", number):
            choose_layers(
                layers,
                granularity,
                series.layers,
                series.spare,
                series.norm,
                channels if granularity.removes_channels else None,
            )


def _identity(settings: NetworkSettings, network: nn.Module, data: Path | None) -> dict[str, Any]:
    """Return what decides the network as it is opened, wherever its files lie."""
    origin = origin_of(network)
    identity = {
        **origin.model_dump(mode="json"),
        "preprocess": preprocess_of(network).model_dump(mode="json"),
    }
    weights = settings.name if is_file_name(settings.name) else settings.weights
    if weights is not None and is_file_name(weights):
        with resolve(weights, data).open("rb") as file:
            identity["weights"] = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    elif weights is not None:
        identity["weights"] = weights
    if (
        ":" in origin.name
    ):  # a change in the file in which a user's network is written is a change of the network
        source = inspect.getsourcefile(sys.modules[origin.name.partition(":")[0]])
        identity["source"] = hashlib.blake2b(
            Path(source).read_bytes() if source else b"", digest_size=16
        ).hexdigest()
    return identity
