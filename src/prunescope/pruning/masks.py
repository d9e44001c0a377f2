"""Masks: which weights of a network stay, applied once or held through training, saved and counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from prunescope.errors import PrunescopeError
from prunescope.networks.checkpoints import write_whole


@dataclass(frozen=True)
class Mask:
    """Which weights stay.

    Attributes:
        keep: parameter name to bool, of a shape that broadcasts to the parameter's: (out, 1, 1, 1) for filters.
        granularity: the granularity that it was made with.
        rates: layer to the rate asked of it (in global scope: of all of them together).
    """

    keep: dict[str, torch.Tensor]
    granularity: str
    rates: dict[str, float] = field(default_factory=dict)

    def apply(self, network: nn.Module) -> None:
        """Set the removed weights of `network` to 0, once."""
        with torch.no_grad():
            for parameter, keep in self.pairs(network):
                parameter.masked_fill_(~keep.to(parameter.device), 0)

    def held(self, network: nn.Module) -> float:
        """Return the fraction of the removed weights that are exactly 0 in `network`: 1, unless they grew back."""
        removed = zero = 0
        for parameter, keep in self.pairs(network):
            gone = parameter.detach()[~keep.to(parameter.device).expand_as(parameter)]
            removed += gone.numel()
            zero += int((gone == 0).sum())
        return zero / removed if removed else 1.0

    def removed(self, layer: str) -> torch.Tensor:
        """Return which groups of a layer's weight are gone."""
        return ~self.keep[f"{layer}.weight"]

    def save(self, path: Path) -> None:
        """Write the mask as safetensors, one bit an entry."""
        bits = {name: np.packbits(keep.cpu().numpy()) for name, keep in self.keep.items()}
        header = {
            "granularity": self.granularity,
            "rates": json.dumps(self.rates),
            "shapes": json.dumps({name: list(keep.shape) for name, keep in self.keep.items()}),
        }
        write_whole(save(bits, metadata=header), path)

    @classmethod
    def load(cls, path: Path) -> Mask:
        """Read what `save` wrote."""
        try:
            with safe_open(path, framework="np") as file:
                header = file.metadata()
                keep = {
                    name: torch.from_numpy(
                        np.unpackbits(file.get_tensor(name), count=int(np.prod(shape)))
                        .astype(bool)
                        .reshape(shape)
                    )
                    for name, shape in json.loads(header["shapes"]).items()
                }
            return cls(keep, header["granularity"], json.loads(header["rates"]))
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            raise PrunescopeError(f"{path}: not a mask that prunescope saved ({error})") from error

    def pairs(self, network: nn.Module) -> Iterator[tuple[nn.Parameter, torch.Tensor]]:
        """Yield each masked parameter of `network` with what is kept of it."""
        parameters = dict(network.named_parameters())
        for name, keep in self.keep.items():
            if name not in parameters:
                raise PrunescopeError(f"the mask is for another network: this one has no {name!r}")
            try:
                fits = torch.broadcast_shapes(keep.shape, parameters[name].shape) == parameters[name].shape
            except RuntimeError:
                fits = False
            if not fits:
                raise PrunescopeError(
                    f"the mask is for another network: {name!r} is {tuple(parameters[name].shape)} here, "
                    f"its mask {tuple(keep.shape)}"
                )
            yield parameters[name], keep


@contextmanager
def hold(network: nn.Module, mask: Mask | None) -> Iterator[nn.Module]:
    """Apply a mask, and hold it: removed weights are exactly 0 after every step of any torch optimizer.

    Momentum, weight decay and gradients may do what they like; after each `optimizer.step()` the weights are
    multiplied by the mask, at the cost of one pass over them. On leaving, the hook is gone and the zeros stay.

    Args:
        mask: None holds nothing, so that a dense network can be trained by the same lines.
    """
    if mask is None:
        yield network
        return
    with Held(network, mask):
        yield network


@contextmanager
def lent(network: nn.Module, mask: Mask | None) -> Iterator[None]:
    """Apply a mask for a while; afterwards every weight has the bits that it had.

    Args:
        mask: None changes nothing.
    """
    masked = [parameter for parameter, keep in mask.pairs(network) if not keep.all()] if mask else []
    before = [parameter.detach().clone() for parameter in masked]
    try:
        if mask:
            mask.apply(network)
        yield
    finally:
        with torch.no_grad():
            for parameter, values in zip(masked, before, strict=True):
                parameter.copy_(values)


class Held:
    """A network with a mask held on it, as by `hold`, that can be changed in the meantime.

    Example:
        with Held(network, mask) as held:
            ...
            held.change(smaller)  # its removed weights are 0 at once

    Attributes:
        mask: what is held now; None: nothing.
    """

    def __init__(self, network: nn.Module, mask: Mask | None = None) -> None:
        self.network, self.mask = network, mask
        self._pairs: list[tuple[nn.Parameter, torch.Tensor]] = []
        self._factors: list[torch.Tensor] = []
        self._ours: set[int] = set()

    def __enter__(self) -> Self:
        if self.mask:
            self.change(self.mask)
        self._hook = register_optimizer_step_post_hook(self._mask_again)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()
        if self.mask:
            self.mask.apply(self.network)

    def change(self, mask: Mask) -> None:
        """Hold another mask from now on. What the one before removed and this one keeps may grow again."""
        mask.apply(self.network)
        self.mask = mask
        self._pairs = [
            (parameter, keep) for parameter, keep in mask.pairs(self.network) if not bool(keep.all())
        ]
        self._ours = {id(parameter) for parameter, _ in self._pairs}
        self._factors = []

    def _mask_again(self, optimizer: Optimizer, *_: Any) -> None:
        if not any(id(p) in self._ours for group in optimizer.param_groups for p in group["params"]):
            return
        if len(self._factors) != len(self._pairs) or any(
            f.device != p.device or f.dtype != p.dtype
            for f, (p, _) in zip(self._factors, self._pairs, strict=True)
        ):
            self._factors = [_factor(parameter, keep) for parameter, keep in self._pairs]
        with torch.no_grad():
            torch._foreach_mul_([parameter for parameter, _ in self._pairs], self._factors)


def _factor(parameter: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Return the mask as 0 and 1 in the parameter's type and memory order, which makes the product fast."""
    keep = keep.to(parameter.device, parameter.dtype)
    if keep.numel() != parameter.numel():
        return keep  # (out, 1, 1, 1), (1, in, 1, 1) or (out, in, 1, 1): broadcasts, and weighs little
    return torch.empty_like(parameter).copy_(keep)
