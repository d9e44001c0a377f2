"""What a study file says. Every field has its sentence here, which `prunescope schema` hands to editors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from prunescope.errors import PrunescopeError
from prunescope.measures import all_measures
from prunescope.measures.measure import MeasureSettings
from prunescope.networks.network import is_file_name
from prunescope.networks.preprocess import Preprocess
from prunescope.pruning.prune import Norm
from prunescope.pruning.scores import SCORES
from prunescope.pruning.selection import Normalise, Rounding, Scope
from prunescope.registry import Registry
from prunescope.training.settings import RetrainSettings, TrainSettings

T = TypeVar("T")
Rate = Annotated[float, Field(ge=0, lt=1)]


class Settings(BaseModel):
    """Frozen settings; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkSettings(Settings):
    """The network that is pruned."""

    name: str = Field(
        description="torchvision/<network>, prunescope/sprig, package.module:function, or a saved file."
    )
    weights: str | None = Field(
        None,
        description="A checkpoint file or published weights (IMAGENET1K_V1, SCENES_V1); null: train from scratch.",
    )
    classes: int | None = Field(
        None, ge=1, description="Outputs; by default those of the weights or of the images."
    )
    options: dict[str, Any] = Field(
        {}, description="Keyword arguments for the function that builds the network."
    )
    preprocess: Preprocess | None = Field(
        None, description="What differs from the preprocessing that the network brings along."
    )

    @property
    def is_trained(self) -> bool:
        """Whether the network comes with weights, rather than being trained by the study."""
        return self.weights is not None or is_file_name(self.name)


class LimitSettings(Settings):
    """At most so many images, balanced over the classes."""

    train: int | None = Field(None, ge=1, description="Images to train on and to validate with, together.")
    test: int | None = Field(None, ge=1, description="Images to report on.")


class ImagesSettings(Settings):
    """The images: to train on, to choose by, and to report on."""

    train: str | None = Field(
        None, description="folder:PATH, flat:PATH, torchvision:NAME, scenes; null: no training."
    )
    test: str = Field(description="Images that results are reported on; same forms.")
    validate_: float | str = Field(
        0.1,
        alias="validate",
        description="Images that choices are made on: a fraction of train (stratified), or a source.",
    )
    limit: LimitSettings = LimitSettings()
    split_seed: int = Field(
        0, ge=0, description="Seed of the split into train and validate, and of the limit."
    )
    select_on: Literal["validate", "test"] = Field(
        "validate",
        description="test: choose on the images that are reported, only to repeat studies that did so.",
    )

    @field_validator("validate_")
    @classmethod
    def _fraction(cls, value: float | str) -> float | str:
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError("a fraction above 0 and below 1, or a source such as folder:PATH")
        return value


class SeriesSettings(Settings):
    """One way to prune, at several rates."""

    series: str = Field(min_length=1, description="Name of the series in tables and figures.")
    granularity: Literal["weight", "filter", "connection"] = Field(description="What is removed as one.")
    score: str = Field("l1", description="What goes first: the lowest l1, l2 or random score.")
    scope: Scope = Field("layer", description="layer: the same rate in each layer; global: one threshold.")
    rates: tuple[Rate, ...] | None = Field(
        None,
        min_length=1,
        description="Fractions removed, against the dense network; iterative: one a round.",
    )
    schedule: Literal["one-shot", "iterative"] = Field(
        "one-shot",
        description="one-shot: each rate from the dense network; iterative: each from the one before.",
    )
    per_round: Rate | None = Field(
        None, gt=0, description="Iterative: fraction of what is left removed in each round."
    )
    rounds: int | None = Field(None, ge=1, description="Iterative, with per_round: how many rounds.")
    layers: tuple[str, ...] | None = Field(
        None,
        description="Globs of the layers to prune; null: all convolutions, for weight also linear layers.",
    )
    spare: tuple[str, ...] = Field((), description="Globs of layers that are left alone.")
    norm: Norm = Field(
        "remove", description="Filters: remove the channel behind the filter too, or keep it as it is."
    )
    normalise: Normalise | None = Field(
        None,
        description="Global scope: divide scores by their layer's mean or sum; null: mean, for weights none.",
    )
    min_left: int = Field(1, ge=0, description="Groups that each layer keeps at least.")
    allow_empty_layers: bool = Field(
        False, description="With min_left 0: whether a layer may lose all its weights."
    )
    rounding: Rounding = Field(
        "round", description="How rate x groups becomes a number; round is half to even."
    )
    round_to: int = Field(
        1,
        ge=1,
        description="Filters and connections: each layer keeps the nearest multiple of it; 8 suits most processors.",
    )
    hold: bool = Field(
        True, description="false lets removed weights grow back, only to repeat studies that did so."
    )
    retrain: RetrainSettings | None = Field(
        None, description="Retraining of this series, if not the study's."
    )

    @field_validator("score")
    @classmethod
    def _known_score(cls, name: str) -> str:
        _known(SCORES, name)
        return name

    @model_validator(mode="after")
    def _channels_are_rounded(self) -> Self:
        if self.round_to > 1 and self.granularity == "weight":
            raise ValueError("round_to is a number of channels: leave it out for single weights")
        return self

    @model_validator(mode="after")
    def _one_way_to_say_rates(self) -> Self:
        by_round = self.per_round is not None and self.rounds is not None
        if (self.rates is None) == (self.per_round is None and self.rounds is None):
            raise ValueError("give either rates, or per_round and rounds")
        if self.rates is None and not (by_round and self.schedule == "iterative"):
            raise ValueError("per_round and rounds go together, with schedule: iterative")
        if len({rate_name(rate) for rate in self.cumulative}) < len(self.cumulative):
            raise ValueError("two rates are alike to four digits: networks are called by them")
        if self.schedule == "iterative" and list(self.cumulative) != sorted(set(self.cumulative)):
            raise ValueError("the rates of iterative pruning must rise from round to round")
        return self

    @property
    def cumulative(self) -> tuple[float, ...]:
        """The rates against the dense network, in order."""
        if self.rates is not None:
            return self.rates
        assert self.per_round is not None
        assert self.rounds is not None
        return tuple(1 - (1 - self.per_round) ** i for i in range(1, self.rounds + 1))


def rate_name(rate: float) -> str:
    """Return a rate as the names of networks spell it."""
    return f"{rate:.4g}"


class MeasureChoice(Settings):
    """A measure by name, with its settings, defaults filled in."""

    name: str
    settings: dict[str, Any] = {}

    def resolved(self) -> MeasureSettings:
        """Return the measure's own settings."""
        return all_measures()[self.name].settings.model_validate(self.settings)


class StudySettings(Settings):
    """A study: a network, its images, ways to prune it, how to retrain it, what to measure."""

    study: str = Field(description="Name of the study, and of its folder of results.")
    title: str = Field("", description="Heading of the report.")
    description: str = Field("", description="What the study asks, for the report.")
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (0,), min_length=1, description="Everything is repeated for each of these seeds."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto: a GPU if there is one.")
    threads: int | None = Field(
        None, ge=1, description="CPU threads of torch; part of what decides a result. null: as many as cores."
    )
    network: NetworkSettings
    images: ImagesSettings
    train: TrainSettings = Field(
        TrainSettings(), description="Training of the dense network, without given weights."
    )
    prune: tuple[SeriesSettings, ...] = Field((), description="Ways to prune.")
    retrain: RetrainSettings = Field(RetrainSettings(), description="What happens after each pruning.")
    measure: tuple[MeasureChoice, ...] = Field(
        ("accuracy", "size"),
        validate_default=True,
        description="What to measure of each network: names, or name: {settings}.",
    )

    @field_validator("study")
    @classmethod
    def _a_folder_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError("letters, digits, dots, dashes and underscores only: it names a folder")
        if name in {"steps", "locks"}:
            raise ValueError("that folder holds the steps of all studies: choose another name")
        return name

    @field_validator("seeds")
    @classmethod
    def _different_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if twice := _twice(seeds):
            raise ValueError(f"the seed {twice[0]} is given twice")
        return seeds

    @field_validator("prune")
    @classmethod
    def _different_names(cls, prune: tuple[SeriesSettings, ...]) -> tuple[SeriesSettings, ...]:
        names = [series.series for series in prune]
        if twice := _twice(names):
            raise ValueError(f"two series are called {twice[0]!r}: tables could not tell them apart")
        if "dense" in names:
            raise ValueError("a series cannot be called 'dense': that is the network before pruning")
        return prune

    @field_validator("measure", mode="before", json_schema_input_type=tuple[str | dict[str, Any], ...])
    @classmethod
    def _name_or_mapping(cls, choices: Any) -> Any:
        if not isinstance(choices, list | tuple):
            return choices
        return [_choice(choice) if isinstance(choice, str | dict) else choice for choice in choices]

    @field_validator("measure")
    @classmethod
    def _different_measures(cls, measure: tuple[MeasureChoice, ...]) -> tuple[MeasureChoice, ...]:
        if twice := _twice([choice.name for choice in measure]):
            raise ValueError(f"{twice[0]} is to be measured twice: keep one")
        return measure

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        retrained = [s.series for s in self.prune if (s.retrain or self.retrain).kind != "none"]
        if self.images.train is None and retrained:
            raise ValueError(
                f"{retrained[0]!r} is to be retrained without images.train; or say retrain: {{kind: none}}"
            )
        if self.images.train is None and not self.network.is_trained:
            raise ValueError("without network.weights the dense network is trained, which needs images.train")
        return self


def _twice(given: Sequence[T]) -> list[T]:
    return [one for number, one in enumerate(given) if one in given[:number]]


def _choice(choice: str | dict[str, Any]) -> dict[str, Any]:
    """Turn `accuracy` or `{accuracy: {precision: bf16}}` into name and settings, checked."""
    if isinstance(choice, dict) and set(choice) <= {"name", "settings"} and "name" in choice:
        found = choice
    elif isinstance(choice, dict):
        if len(choice) != 1:
            raise ValueError("a measure is its name, or name: {settings}")
        ((name, settings),) = choice.items()
        found = {"name": name, "settings": settings or {}}
    else:
        found = {"name": choice, "settings": {}}
    measure = _known(all_measures(), found["name"])
    try:
        found["settings"] = measure.settings.model_validate(found["settings"]).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            f"{found['name']}.{'.'.join(map(str, first['loc']))}: {first['msg']}; "
            f"known: {', '.join(measure.settings.model_fields)}"
        ) from error
    return found


def _known(registry: Registry[T], name: str) -> T:
    """Look a name up; pydantic wants a ValueError where it is not known."""
    try:
        return registry[name]
    except PrunescopeError as error:
        raise ValueError(str(error)) from None
