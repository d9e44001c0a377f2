"""How images become the input of one network: geometry (resize, crop) and values (order, range, mean, std)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LARGEST = 8192  # pixels a side: more is a mistake, or fills the memory


class Preprocess(BaseModel):
    """What a network expects of its images. The defaults are those of torchvision's ImageNet networks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resize: int | None = Field(
        256, ge=1, le=LARGEST, description="Short side in pixels before the crop; null: as it is."
    )
    crop: int = Field(224, ge=1, le=LARGEST, description="Side of the square input in pixels (centre crop).")
    interpolation: Literal["bilinear", "bicubic"] = Field(
        "bilinear", description="Pillow's filter to resize."
    )
    mean: tuple[float, float, float] = Field(
        IMAGENET_MEAN, description="Mean subtracted from each channel, in the network's order and range."
    )
    std: tuple[float, float, float] = Field(IMAGENET_STD, description="Divisor of each channel, likewise.")
    order: Literal["RGB", "BGR"] = Field("RGB", description="Order of the channels.")
    range: Literal[1, 255] = Field(1, description="Largest pixel value before mean and std.")

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn uint8 RGB pixels (images, 3, height, width) into the float32 input of the network."""
        mean = torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(1, 3, 1, 1)
        if self.order == "BGR":
            pixels = pixels.flip(1)
        return pixels.float().mul_(self.range / 255.0).sub_(mean).div_(std)
