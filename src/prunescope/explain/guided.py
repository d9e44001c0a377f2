"""Guided backpropagation for networks that rectify by functions as well as by modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_RECTIFIERS: tuple[Callable[..., Any], ...] = (
    torch.relu,
    torch.relu_,
    torch.Tensor.relu,
    torch.Tensor.relu_,
    functional.relu,
    functional.relu6,
)


class Rectifying(TorchFunctionMode):
    """While it is on, every ReLU that is called is counted, and may have the gradient that comes back cut at 0.

    Captum hooks modules of type `nn.ReLU` alone, so that a network which calls `torch.relu`, as GoogLeNet does, would
    silently get the plain gradient. Modules call the functions, so this sees both.

    Attributes:
        calls: how many ReLUs have been called.
    """

    def __init__(self, guided: bool) -> None:
        super().__init__()
        self.guided, self.calls = guided, 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function, and hook what comes out: also where it works in place."""
        given = dict(kwargs or {})
        output = func(*args, **given)
        if func in _RECTIFIERS or (func is functional.hardtanh and _lower_bound(args, given) == 0):
            self.calls += 1
            if self.guided and output.requires_grad:
                output.register_hook(lambda gradient: gradient.clamp(min=0))
        return output


def _lower_bound(args: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
    return args[1] if len(args) > 1 else given.get("min_val", -1)


class Guided(nn.Module):
    """A network whose rectifiers, modules and functions alike, let no negative gradient back.

    *Source:* Springenberg et al., Striving for simplicity: the all convolutional net, 2015, section 3.4.

    Attributes:
        calls: how many ReLUs the last pass called.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the network."""
        with Rectifying(guided=True) as rectifying:
            output: torch.Tensor = self.network(x)
        self.calls = rectifying.calls
        return output
