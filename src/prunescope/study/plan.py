"""From settings to steps: what a study will do, in an order in which it can be done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.measures import all_measures
from prunescope.measures.measure import MeasureSettings, Together
from prunescope.networks.channels import map_channels
from prunescope.networks.identity import source_digest
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
from prunescope.study.document import about
from prunescope.study.images import StudyImages
from prunescope.study.plan_series import SeriesPlanner, Way, make_way
from prunescope.study.settings import MeasureChoice, NetworkSettings, StudySettings
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

    @property
    def resolved(self) -> MeasureSettings:
        """The measure's settings as it takes them."""
        return all_measures()[self.name].settings.model_validate(self.settings["measure"] | self.places)


@dataclass(frozen=True)
class Sweep:
    """What the layers of one series tolerate: the steps that measure it, and what is tolerated."""

    series: str
    seed: int
    tolerance: dict[str, Any]
    steps: list[Step]


@dataclass
class Plan:
    """All networks of a study, and for each the steps that measure it.

    Attributes:
        preprocess: what the networks expect of their images.
        opened: what opens the networks that steps start from, by step id.
    """

    preprocess: Preprocess
    stops: list[Stop] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    measures: dict[str, list[Step]] = field(default_factory=dict)  # network to its measuring steps
    together: list[Step] = field(default_factory=list)  # those of them that need several networks
    measured: dict[str, MeasureSettings] = field(default_factory=dict)  # measure to its settings
    compared: dict[str, dict[str, Any]] = field(
        default_factory=dict
    )  # measure without steps to what decides it
    opened: dict[str, Callable[[], nn.Module]] = field(default_factory=dict)

    def steps(self) -> Iterator[Step]:
        """Yield every step once, parents first; each network is measured as soon as it is there, or all of them are."""
        seen: set[str] = set()
        later = {step.id for step in self.together}
        for stop in self.stops:
            for step in (stop.step, *self.measures[stop.network]):
                if step.id not in later:
                    yield from _with_parents(step, seen)
        for step in self.together:
            yield from _with_parents(step, seen)


def _with_parents(step: Step, seen: set[str]) -> Iterator[Step]:
    if step.id not in seen:
        seen.add(step.id)
        for parent in step.parents:
            yield from _with_parents(parent, seen)
        yield step


def make_plan(settings: StudySettings, images: StudyImages, where: dict[str, Any], data: Path | None) -> Plan:
    """Plan a study. The network is opened and every series is tried on it, so that what cannot work is said now.

    Raises:
        PrunescopeError: weights that do not fit, a layer that is not there or cannot be pruned so.
    """
    with about("network"):
        network = _open(settings.network, images, data, seed=settings.seeds[0])
    return Planner(settings, images, where, data, network).plan()


class Planner:
    """Turns the settings of a study into steps."""

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
        chosen = _chosen(settings, images, data, network)
        self.measurings = [one for one in chosen if all_measures()[one.name].run]
        self.made = Plan(
            preprocess_of(network),
            measured={one.name: one.resolved for one in chosen},
            compared={
                one.name: {"version": all_measures()[one.name].version, **one.settings}
                for one in chosen
                if not all_measures()[one.name].run
            },
        )
        self.network, self.layers = network, find_layers(network)
        self.channels = map_channels(network, self.layers)
        self.fresh_identity = self.identity | {"weights": None}
        origin = origin_of(network)  # also of what its weights decide: auxiliary heads, preprocessing
        self.fresh = NetworkSettings(
            name=origin.name,
            classes=origin.classes,
            options=origin.options,
            preprocess=preprocess_of(network).model_dump(),
        )

    def plan(self) -> Plan:
        """Return the plan of the whole study."""
        ways = []
        for number, series in enumerate(self.settings.prune):
            with about("prune", number):
                ways.append(
                    make_way(series, self.settings, self.images, self.network, self.layers, self.channels)
                )
        for seed in self.settings.seeds:
            dense = self.dense(seed, ways)
            for way in ways:
                SeriesPlanner(self, way, dense, seed).plan()
        for measuring in self.measurings:
            if together := all_measures()[measuring.name].together:
                self._measure_together(measuring, together)
        return self.made

    def dense(self, seed: int, ways: Sequence[Way]) -> Stop:
        """Add the dense network, trained or opened."""
        given, chosen = self.settings.network, {"network": self.identity}
        if given.is_trained:
            step = self.step("open", f"open {given.name}", chosen)
        else:
            chosen |= self.training(self.settings.train, seed)
            kept = {
                "steps": sorted({way.rewind_step for way in ways if way.rewind_step is not None}),
                "epochs": self.settings.keep_epochs,
            }
            step = self.step("train", f"train {given.name}", chosen, places={"keep": kept})
        self.opens(step, given, 0 if given.is_trained else seed)
        columns = {"series": "dense", "seed": seed, "round": 0, "stage": "dense", "rate": 0.0, "target": "0"}
        return self.stop(f"dense-seed{seed}", step, columns, parent=None)

    def opens(self, step: Step, network: NetworkSettings, seed: int) -> None:
        """Note what opens the network that a step starts from."""
        self.made.opened[step.id] = lambda: _open(network, self.images, self.data, seed)

    def training(self, settings: TrainSettings, seed: int) -> dict[str, Any]:
        """Return what decides a training: its settings, its images and the seed."""
        chosen = settings.model_dump(mode="json", exclude={"kind", "rewind_to"})
        chosen["precision"] = resolve_precision(settings.precision, self.where["device"])
        images: dict[str, Any] = {"train": self.images.fingerprint["train"]}
        if settings.validates:
            images["validate"] = self.images.fingerprint["validate"]
        return {"train": chosen, "images": images, "seed": seed}

    def swept(self, series: str, seed: int, tolerance: dict[str, Any], steps: list[Step]) -> None:
        """Note a sweep, for the table `sensitivity`."""
        self.made.sweeps.append(Sweep(series, seed, tolerance, steps))

    def stop(self, network: str, step: Step, columns: dict[str, Any], parent: str | None) -> Stop:
        """Add a network that is measured."""
        stop = Stop(network, step, {"network": network, "step": step.id, **columns, "parent": parent})
        self.made.stops.append(stop)
        self.made.measures[network] = [
            self.measure(measuring, stop)
            for measuring in self.measurings
            if not all_measures()[measuring.name].together
        ]
        return stop

    def _measure_together(self, measuring: Measuring, together: Together) -> None:
        """Plan a measure of several networks on the same images: the choice, then the networks, dense ones first."""
        settings = measuring.resolved
        goes_on = {stop.columns["parent"] for stop in self.made.stops if stop.columns["stage"] == "retrained"}
        covered = [
            stop
            for stop in self.made.stops
            if stop.columns["stage"] == "dense"
            or together.covers(settings, stop.columns | {"final": stop.network not in goes_on})
        ]
        asked = covered if together.asks_networks(settings) else []
        predictions = [
            next(step for step in self.made.measures[stop.network] if step.kind == "measure-accuracy")
            for stop in asked
        ]
        choice = self.step(
            f"choose-{measuring.name}",
            f"choose images for {measuring.name}",
            measuring.settings,
            *predictions,
            places=measuring.places | {"networks": [stop.network for stop in asked]},
        )
        references: dict[int, Step] = {}
        for stop in covered:
            reference = [references[stop.columns["seed"]]] if stop.columns["stage"] != "dense" else []
            step = self.measure(measuring, stop, choice, *reference)
            references.setdefault(stop.columns["seed"], step)
            self.made.measures[stop.network].append(step)
            self.made.together.append(step)

    def step(
        self,
        kind: str,
        label: str,
        settings: dict[str, Any],
        *parents: Step,
        places: dict[str, Any] | None = None,
    ) -> Step:
        """Return a step on this machine's threads and device."""
        return Step(kind, label, settings, self.where, parents, places or {})

    def measure(self, measuring: Measuring, stop: Stop, *others: Step) -> Step:
        """Return the step that measures a network; `others` are steps that it needs beside that network."""
        kind, label = f"measure-{measuring.name}", f"measure {measuring.name} of {stop.network}"
        return Step(kind, label, measuring.settings, self.where, (stop.step, *others), measuring.places)


def _chosen(
    settings: StudySettings, images: StudyImages, data: Path | None, network: nn.Module
) -> list[Measuring]:
    """Return what to measure: as asked, what that needs, and size, which the table of networks reads."""
    found = []
    for number, choice in enumerate(settings.measure):
        with about("measure", number):
            found.append(_measuring(choice, images, data))
            all_measures()[choice.name].check(choice.resolved(), network)
    needed = [name for choice in settings.measure for name in all_measures()[choice.name].needs]
    for name in dict.fromkeys([*needed, "size"]):
        if name not in {one.name for one in found}:
            found.append(_measuring(MeasureChoice(name=name), images, data))
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
    if ":" in origin.name:  # a change of the file in which a user's network is written is one of the network
        identity["source"] = source_digest(origin.name)
    return identity
