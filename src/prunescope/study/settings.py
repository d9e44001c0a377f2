"""What a study file says. Every field has its sentence here, which `prunescope schema` hands to editors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from prunescope.errors import PrunescopeError
from prunescope.measures import all_measures
from prunescope.measures.measure import MeasureSettings
from prunescope.networks.network import is_file_name
from prunescope.networks.preprocess import Preprocess
from prunescope.registry import Registry
from prunescope.study.series import SeriesSettings
from prunescope.training.settings import REPLAYING, RetrainSettings, Settings, TrainSettings

T = TypeVar("T")


class NetworkSettings(Settings):
    """The network that is pruned."""

    name: str = Field(
        description="torchvision/<network>, timm/<network>, prunescope/sprig, package.module:function, or a saved file."
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


class MeasureChoice(Settings):
    """A measure by name, with its settings, defaults filled in."""

    name: str
    settings: dict[str, Any] = Field({})

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
    keep_epochs: bool = Field(
        True,
        description="Keep the state of the dense training at every epoch, to rewind to; false: only where series ask.",
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
        if name in {"steps", "locks", "unfinished"}:
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
        names = [name for series in prune for name in (series.series, *map(series.control, series.controls))]
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
        given = self.network.is_trained
        for series in self.prune:
            kind, name = (series.retrain or self.retrain).kind, series.series
            if self.images.train is None and kind != "none":
                raise ValueError(
                    f"{name!r} is to be retrained without images.train; or say retrain: {{kind: none}}"
                )
            if self.images.train is None and series.recalibrate:
                raise ValueError(f"{name!r} is to be recalibrated without images.train")
            if given and kind == "weight-rewinding":
                raise ValueError(
                    f"{name!r} goes back to an early state of the dense network, which comes trained: leave out "
                    "network.weights, so that the study trains it, or choose retrain: {kind: learning-rate-rewinding}"
                )
            if is_file_name(self.network.name) and "re-initialise" in (kind, *series.controls):
                raise ValueError(
                    f"{name!r} needs fresh weights, and {self.network.name} only opens as it was saved"
                )
            if given and "train" not in self.model_fields_set and {kind, *series.controls} & set(REPLAYING):
                raise ValueError(
                    f"{name!r} replays the training of the dense network, which comes trained: say under train how "
                    "it was trained"
                )
            if series.controls and kind in {"none", "re-initialise"}:
                raise ValueError(
                    f"the controls of {name!r} stand beside networks that are retrained from their own weights, and "
                    f"it says retrain: {{kind: {kind}}}: leave controls out, or choose another kind"
                )
            if series.schedule == "gradual" and kind != "fine-tune":
                raise ValueError(
                    f"{name!r} is pruned while it is fine-tuned: retrain: {{kind: fine-tune, ...}}"
                )
        if self.images.train is None and not given:
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
