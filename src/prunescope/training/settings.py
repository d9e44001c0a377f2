"""How a network is trained: what a study file may say under `train:` and `retrain:`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

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

    name: Literal["constant", "step", "exponential", "cosine"] = Field(
        "constant", description="cosine ends at 0; step and exponential multiply by gamma."
    )
    gamma: float = Field(
        0.1, gt=0, le=1, description="Factor of step (per milestone) and exponential (per epoch)."
    )
    milestones: tuple[int, ...] = Field((), description="Epochs at which step multiplies by gamma.")
    warmup: float = Field(0, ge=0, description="Epochs over which the rate rises linearly from near 0.")


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


class RetrainSettings(TrainSettings):
    """What happens after pruning."""

    kind: Literal["fine-tune", "none"] = Field(
        "fine-tune",
        description="fine-tune: train on from the pruned weights; none: measure them as they are.",
    )
