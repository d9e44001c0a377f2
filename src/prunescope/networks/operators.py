"""torchvision beside a CPU-only torch: declares the two compiled operators that it registers for at import.

The Linux wheel of torchvision on the package index is built for CUDA; beside a CPU-only torch its compiled
library does not load, and the import fails because `torchvision::nms` is not known. Its networks, transforms
and data sets need no compiled operator, so declaring the schemas is enough. Where the compiled library loads,
nothing is declared.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch

_SCHEMAS = ("nms", "qnms")
_DECLARED: list[torch.library.Library] = []  # a Library takes its operators with it when it is collected


def _import_torchvision() -> Any:
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _SCHEMAS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _DECLARED.append(library)
    return importlib.import_module("torchvision")


torchvision = _import_torchvision()
