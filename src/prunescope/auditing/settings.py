"""What an audit measures of the two networks, and how."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.measures.accuracy import AccuracySettings
from prunescope.measures.dissection import DissectionSettings
from prunescope.measures.explanations import ExplanationsSettings
from prunescope.measures.forgetting import ForgettingSettings
from prunescope.measures.measure import MeasureSettings
from prunescope.measures.mis import MisSettings
from prunescope.measures.speed import SpeedSettings

SKIPPABLE = ("mis", "dissection", "explanations", "forgetting")


class AuditSettings(BaseModel):
    """The settings of each measure; None: it is not measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accuracy: AccuracySettings = AccuracySettings()
    forgetting: ForgettingSettings | None = ForgettingSettings()
    mis: MisSettings | None = MisSettings()
    dissection: DissectionSettings | None = Field(None, description="By default where concepts are given.")
    explanations: ExplanationsSettings | None = ExplanationsSettings(limit=200, steps=8)
    speed: SpeedSettings | None = Field(None, description="By default where it is asked for.")

    @property
    def measures(self) -> list[str]:
        """The measures that are done; size always is."""
        return ["size", *(name for name in type(self).model_fields if getattr(self, name) is not None)]


def audit_settings(
    settings: Mapping[str, Mapping[str, Any]],
    *,
    concepts: Sequence[str] = (),
    masks: str | None = None,
    own: Collection[str] = (),
    speed: bool = False,
    skip: Collection[str] = (),
) -> AuditSettings:
    """Return the settings of an audit.

    Args:
        settings: measure to those of its fields that differ from the defaults: `{"mis": {"similarity": "lpips"}}`.
        concepts: sources of annotated images, which ask for dissection.
        masks: folder of masks of the objects, for explanations.
        own: what the source of the images knows itself: "masks" ask for dissection, "attributes" group what is
            forgotten.
        speed: whether to time the networks.
        skip: measures to leave out.

    Raises:
        PrunescopeError: an unknown measure or field, or a value that it does not take.
    """
    _refuse_unknown(settings, skip)
    given: dict[str, dict[str, Any]] = {name: dict(values) for name, values in settings.items()}
    if concepts:
        given.setdefault("dissection", {})["concepts"] = tuple(concepts)
    elif "masks" in own:
        given.setdefault("dissection", {})
    if masks is not None:
        given.setdefault("explanations", {})["masks"] = masks
    if "attributes" in own:
        given.setdefault("forgetting", {}).setdefault("attributes", "own")
    if speed:
        given.setdefault("speed", {})
    chosen: dict[str, Any] = {}
    for name, values in given.items():
        default = AuditSettings.model_fields[name].default
        known = {} if default is None else default.model_dump(exclude_unset=True)
        chosen[name] = {**known, **values}
    try:
        return AuditSettings.model_validate(chosen).model_copy(update=dict.fromkeys(skip))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        model = _MODELS[str(first["loc"][0])]
        near = (
            did_you_mean(str(first["loc"][-1]), model.model_fields)
            if first["type"] == "extra_forbidden"
            else ""
        )
        raise PrunescopeError(
            f"{where}: {first['msg']}{near}; known: {', '.join(model.model_fields)}"
        ) from error


def _refuse_unknown(settings: Mapping[str, Any], skip: Collection[str]) -> None:
    fields = AuditSettings.model_fields
    for name, values in settings.items():
        if name not in fields:
            raise PrunescopeError(
                f"no measure {name!r} in an audit{did_you_mean(name, fields)}; known: {', '.join(fields)}"
            )
        if not isinstance(values, Mapping):
            raise PrunescopeError(f"{name} takes fields, such as {name}.batch=64, and {values!r} was given")
    for name in skip:
        if name not in SKIPPABLE:
            raise PrunescopeError(
                f"cannot skip {name!r}{did_you_mean(name, SKIPPABLE)}; what can be left out: {', '.join(SKIPPABLE)}"
            )


_MODELS: dict[str, type[MeasureSettings]] = {
    "accuracy": AccuracySettings,
    "forgetting": ForgettingSettings,
    "mis": MisSettings,
    "dissection": DissectionSettings,
    "explanations": ExplanationsSettings,
    "speed": SpeedSettings,
}
