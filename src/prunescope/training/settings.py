"""How a network is trained: what a study file may say under `train:` and `retrain:`."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from prunescope.errors import PrunescopeError
from prunescope.images.augment import Augment

Precision = Literal["auto", "fp32", "bf16"]


class Settings(BaseModel):
    """Frozen settings; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OptimizerSettings(Settings):
    """Which optimizer, with what learning rate."""

    name: Literal["sgd", "adam", "adamw"] = Field("sgd", description="torch.optim's SGD, Adam or AdamW.")
    lr: float = Field(0.01, gt=0, description="Learning rate at the start of the schedule (after warm-up).")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum (SGD) or first beta (Adam, AdamW).")
    weight_decay: float = Field(1e-4, ge=0, description="Weight decay, on all parameters.")


class ScheduleSettings(Settings):
    """How the learning rate changes over the epochs."""

    name: Literal["constant", "step", "exponential", "cosine", "one-cycle"] = Field(
        "constant",
        description="cosine ends at 0; step and exponential multiply by gamma; one-cycle rises from 1/25 of the rate "
        "over .3 of the steps, then falls to almost 0.",
    )
    gamma: float = Field(
        0.1, gt=0, le=1, description="Factor of step (per milestone) and exponential (per epoch)."
    )
    milestones: tuple[int, ...] = Field((), description="Epochs at which step multiplies by gamma.")
    warmup: float = Field(0, ge=0, description="Epochs over which the rate rises linearly from near 0.")

    @model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if self.name == "one-cycle" and self.warmup:
            raise ValueError("one-cycle rises by itself: leave warmup out")
        return self


class TrainSettings(Settings):
    """One training: optimizer, schedule, loss, augmentation, precision, and when to stop."""

    epochs: int = Field(10, ge=1, description="Passes over the training images.")
    batch: int = Field(128, ge=1, description="Images a step.")
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    label_smoothing: float = Field(0, ge=0, lt=1, description="Share of the target spread over all classes.")
    auxiliary: float = Field(
        0.3, ge=0, description="Weight of the loss of each auxiliary head, if there are any."
    )
    augment: Augment = Augment()
    precision: Precision = Field(
        "auto",
        description="Arithmetic of the forward pass: bf16 by autocast; auto: bf16 where the device is faster with it.",
    )
    channels_last: bool = Field(
        True, description="Memory order of images and convolutions; faster on CPU and GPU."
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Stop when `validate` has not improved for so many epochs, and keep the best epoch; null: never.",
    )
    validate_epochs: bool = Field(
        False,
        description="Take the accuracy on `validate` after every epoch, for its curve; `patience` does so anyway.",
    )

    @property
    def validates(self) -> bool:
        """Whether `validate` is looked at after every epoch."""
        return self.validate_epochs or self.patience is not None


REWINDING = ("learning-rate-rewinding", "weight-rewinding")
REPLAYING = (*REWINDING, "re-initialise")


class RetrainSettings(TrainSettings):
    """What happens after pruning."""

    kind: Literal["fine-tune", "none", "learning-rate-rewinding", "weight-rewinding", "re-initialise"] = (
        Field(
            "fine-tune",
            description="fine-tune: train on from the pruned weights; none: measure them as they are; "
            "learning-rate-rewinding: keep the weights and replay the study's train from rewind_to; weight-rewinding: "
            "so too, from the weights of that step; re-initialise: replay all of it from fresh weights.",
        )
    )
    rewind_to: str | None = Field(
        None,
        description="Rewinding: the moment of the study's train to go back to, such as 500 steps or 2 epochs; "
        "null: 1 epoch.",
    )

    @model_validator(mode="before")
    @classmethod
    def _rewind_to_one_epoch(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("kind") in REWINDING and given.get("rewind_to") is None:
            return {**given, "rewind_to": "1 epoch"}
        return given

    @field_validator("rewind_to")
    @classmethod
    def _a_moment(cls, text: str | None) -> str | None:
        if text is not None:
            _moment(text)
        return text

    @model_validator(mode="after")
    def _replays_the_training(self) -> Self:
        if self.rewind_to is not None and self.kind not in REWINDING:
            raise ValueError(f"rewind_to belongs to {' and '.join(REWINDING)}: leave it out of {self.kind}")
        own = sorted(self.model_fields_set & set(TrainSettings.model_fields))
        if self.kind in REPLAYING and own:
            raise ValueError(
                f"{self.kind} replays the study's train: leave out {', '.join(own)}, or say it under train"
            )
        return self


def steps_of(moment: str, per_epoch: int) -> int:
    """Return how many steps are done at "500 steps" or "2 epochs" of a training with so many steps an epoch.

    Raises:
        PrunescopeError: the text is not of this form.
    """
    try:
        count, is_epochs = _moment(moment)
    except ValueError as error:
        raise PrunescopeError(str(error)) from None
    return count * per_epoch if is_epochs else count


def _moment(text: str) -> tuple[int, bool]:
    """Return the number, and whether it counts epochs; pydantic wants a ValueError where it is neither."""
    found = re.fullmatch(r"(\d+) (step|epoch)s?", text.strip())
    if not found:
        raise ValueError(f"{text!r} is no moment of a training: say it as 500 steps or 2 epochs")
    return int(found[1]), found[2] == "epoch"
