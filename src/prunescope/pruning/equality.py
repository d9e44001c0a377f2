"""Whether a smaller network computes what the masked one does: both run in float64 on one random image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.networks.network import device_of, evaluating

TOLERANCE = 1e-9  # of the largest |logit|; what rounding leaves is below 1e-12
_DOES_NOT_RUN = (RuntimeError, TypeError, ValueError, IndexError)


class OtherOutputs(PrunescopeError):
    """The smaller network does not run, or computes something else."""


@contextmanager
def in_double(network: nn.Module) -> Iterator[None]:
    """Compute in float64 for a while; what is float32 or less comes back exactly."""
    types = {name: tensor.dtype for name, tensor in _tensors(network).items()}
    network.double()
    try:
        yield
    finally:
        for name, tensor in _tensors(network).items():
            if name in types:
                tensor.data = tensor.data.to(types[name])


def random_image(example: torch.Tensor, network: nn.Module) -> torch.Tensor:
    """Return one random image of the size of `example` for a network in float64."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(example[:1].shape, generator=draw, dtype=torch.float64).to(device_of(network))


def outputs_of(network: nn.Module, image: torch.Tensor, heads: bool) -> list[torch.Tensor]:
    """Return what a network puts out in eval mode: its logits, and with `heads` those of its auxiliary heads."""
    with evaluating(network):
        network.training = heads  # of the network alone: dropout and batch norms go on as in eval
        output = network(image)
    if isinstance(output, torch.Tensor):
        return [output]
    return [part for part in (output if heads else output[:1]) if isinstance(part, torch.Tensor)]


def refuse_other_outputs(
    smaller: nn.Module,
    masked: Callable[[], nn.Module],
    expected: list[torch.Tensor],
    image: torch.Tensor,
    kept: Mapping[str, torch.Tensor],
) -> None:
    """Raise unless `smaller` puts out what is expected.

    Args:
        smaller: the compact network, in float64.
        masked: makes the one that it should equal, to find out where they part.
        expected: what that one puts out.
        kept: layer to the channels, (kept,) int64, that it still has.

    Raises:
        OtherOutputs: names the first layer that computes something else.
    """
    heads = len(expected) > 1
    entered: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, __, name=name: entered.append(name))
        for name, module in smaller.named_modules()
    ]
    try:
        found = outputs_of(smaller, image, heads)
    except _DOES_NOT_RUN as error:
        raise OtherOutputs(
            f"the smaller network does not run ({str(error).splitlines()[0]}, in {entered[-1]!r}): the code of "
            f"{type(smaller).__name__} relies on numbers of channels, so spare the layers before that one"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    if not all(_close(one, other) for one, other in zip(found, expected, strict=True)):
        where = _first_difference(smaller, masked().double(), image, kept, heads)
        raise OtherOutputs(
            f"the smaller network computes something else than the masked one, from {where} on: channels are "
            "used in a way that could not be followed, so spare the layers before that one"
        )


def _first_difference(
    smaller: nn.Module, masked: nn.Module, image: torch.Tensor, kept: Mapping[str, torch.Tensor], heads: bool
) -> str:
    one, other = (_layer_outputs(network, image, kept, heads) for network in (smaller, masked))
    for name, output in other.items():
        dim = 1 if output.ndim == 4 else -1
        if not _close(one[name], output.index_select(dim, kept[name].to(output.device))):
            return repr(name)
    return "the output"


def _layer_outputs(
    network: nn.Module, image: torch.Tensor, layers: Mapping[str, object], heads: bool
) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}

    def keep(name: str, output: torch.Tensor) -> None:
        found[name] = output.clone()  # before an activation changes it in place

    hooks = [
        network.get_submodule(name).register_forward_hook(lambda _, __, y, name=name: keep(name, y))
        for name in layers
    ]
    try:
        outputs_of(network, image, heads)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return bool(((one - other).abs() <= TOLERANCE * other.abs().max()).all())


def _tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    both = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: tensor for name, tensor in both.items() if tensor.is_floating_point()}
