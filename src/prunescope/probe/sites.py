"""The places of a network that are looked at: which layers, with what units and positions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.networks.channels import NORMS_PER_CHANNEL
from prunescope.networks.layers import matching, run_for_shapes
from prunescope.networks.network import evaluating, example_input

Kind = Literal["conv", "batchnorm", "linear", "other"]
NORMS_OVER_LAST = (nn.LayerNorm, nn.RMSNorm)  # these alone: subclasses move dimensions, as ConvNeXt's does


@dataclass(frozen=True, eq=False)
class Site:
    """One place of a network that is looked at: what one call of one module puts out.

    Attributes:
        layer: dotted name of the module; for one that a forward pass uses several times `name#1`, `name#2`, …
        call: which of the module's calls in a forward pass, from 0.
        kind: as the published tables say it; "other" is any other module.
        units: channels, or features of a token.
        height: rows of its maps, 1 where there are no positions.
        width: columns of its maps; for tokens, their number.
        is_map: whether there are rows and columns, rather than tokens or one number a unit.
        rotation: (units, units); if given, `rotation @ map` is looked at instead of the map.
    """

    layer: str
    module: nn.Module
    call: int
    kind: Kind
    units: int
    height: int
    width: int
    is_map: bool
    rotation: torch.Tensor | None = None

    def maps(self, output: torch.Tensor) -> torch.Tensor:
        """Return the module's output as (images, units, height, width), a view unless it is rotated."""
        maps = as_maps(self.module, output)
        if self.rotation is None:
            return maps
        return (maps.movedim(1, -1).float() @ self.rotation.to(maps.device).T).movedim(-1, 1)


def as_maps(module: nn.Module, output: torch.Tensor) -> torch.Tensor:
    """Return an output as a view (images, units, height, width).

    Units are the last dimension of linear layers, of layer norms, and of whatever puts out tokens (images,
    tokens, units); of all else they are dimension 1.
    """
    last = isinstance(module, nn.Linear) or type(module) in NORMS_OVER_LAST
    tokens = output.ndim == 3 and not isinstance(module, nn.Conv1d | nn.BatchNorm1d)
    maps = output.movedim(-1, 1) if last or tokens else output
    while maps.ndim < 4:
        maps = maps.unsqueeze(2)
    return maps


def find_sites(network: nn.Module, layers: Sequence[str] | None = None) -> list[Site]:
    """Return the places to look at, in the order in which the forward pass in eval mode meets them.

    Args:
        layers: globs over the names of modules; every call of a matching one is a site. By default all
            convolutions, batch norms and linear layers.

    Raises:
        PrunescopeError: a glob that selects nothing that the forward pass uses, or a module whose output has
            no units: no single floating-point tensor with images first and two to four dimensions.
    """
    calls = _trace(network)
    default = [call for call in calls if kind_of(call.module) != "other"]
    return [_site(call) for call in _chosen(calls if layers else default, layers)]


def pre_activations(network: nn.Module, layers: Sequence[str] | None = None) -> dict[str, Site]:
    """Return for each convolution and linear layer the site right before its nonlinearity.

    That is the batch norm which reads exactly what a convolution put out, or else the convolution itself, as
    where the norm comes before the convolution (DenseNet's concatenated features are normed again by every
    later layer, so none of these norms is the convolution's own) or after the nonlinearity.

    Args:
        layers: globs over the names of convolutions and linear layers (default: all).

    Raises:
        PrunescopeError: as for `find_sites`.
    """
    calls = _trace(network)
    own = [call for call in calls if kind_of(call.module) in ("conv", "linear")]
    return {call.name: _site(_norm_after(call, calls) or call) for call in _chosen(own, layers)}


def rotated(site: Site, seed: int) -> Site:
    """Return the site in a random orthogonal basis of its units: the control of dissection.

    The matrix is uniform over the orthogonal group, and depends on the seed and the layer's name.

    *Source:* Mezzadri, How to generate random matrices from the classical compact groups, 2007, section 5.
    """
    digest = hashlib.blake2b(f"{seed} {site.layer}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest) >> 1)
    normal = torch.randn(site.units, site.units, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    return replace(site, rotation=(q * r.diagonal().sign()).float())


@dataclass(frozen=True)
class _Call:
    """One call of a module. Holding the output keeps its identity from being used again."""

    name: str
    module: nn.Module
    number: int
    inputs: tuple[Any, ...]
    output: Any
    versions: tuple[int, int]  # of the first input and of the output: operations in place raise them


def _trace(network: nn.Module) -> list[_Call]:
    """Return all calls of a forward pass on two images (so that dimension 0 tells whether it is theirs)."""
    names = {module: name for name, module in network.named_modules() if name}
    calls: list[_Call] = []
    counts: Counter[nn.Module] = Counter()

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        versions = (_version(inputs[0] if inputs else None), _version(output))
        calls.append(_Call(names[module], module, counts[module], inputs, output, versions))
        counts[module] += 1

    def forget() -> None:
        calls.clear()
        counts.clear()

    hooks = [module.register_forward_hook(note) for module in names]
    try:
        with evaluating(network):
            run_for_shapes(network, example_input(network).expand(2, -1, -1, -1), forget)
    finally:
        for hook in hooks:
            hook.remove()
    return [
        replace(call, name=f"{call.name}#{call.number + 1}") if counts[call.module] > 1 else call
        for call in calls
    ]


def _version(value: Any) -> int:
    return value._version if isinstance(value, torch.Tensor) else 0


def _chosen(calls: Sequence[_Call], layers: Sequence[str] | None) -> list[_Call]:
    if not calls:
        raise PrunescopeError("the network's forward pass uses no layer that could be looked at")
    if layers is None:
        return list(calls)
    names = [call.name.partition("#")[0] for call in calls]
    found = set(matching(layers, dict.fromkeys(names), "the forward pass of the network"))
    return [call for call, name in zip(calls, names, strict=True) if name in found]


def _norm_after(call: _Call, calls: Sequence[_Call]) -> _Call | None:
    """Return the first batch norm that reads a call's output as it was put out."""
    for other in calls:
        if kind_of(other.module) == "batchnorm" and other.inputs and other.inputs[0] is call.output:
            return other if other.versions[0] == call.versions[1] else None
    return None


def kind_of(module: nn.Module) -> Kind:
    """Return what kind of layer a module is."""
    if type(module) in NORMS_PER_CHANNEL:  # not of subclasses, which may hold the nonlinearity too
        return "batchnorm"
    if isinstance(module, nn.Conv2d):
        return "conv"
    return "linear" if isinstance(module, nn.Linear) else "other"


def _site(call: _Call) -> Site:
    output = call.output
    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        raise PrunescopeError(
            f"{call.name} puts out {_described(output)}, expected one tensor of floating-point numbers: "
            "look at a layer inside it or after it"
        )
    if not 2 <= output.ndim <= 4 or len(output) != 2:
        shape = " x ".join(str(size) for size in output.shape)
        raise PrunescopeError(
            f"{call.name} puts out {shape or 'a single number'} for two images, expected images x units, "
            "images x tokens x units, or images x units x height x width"
        )
    _, units, height, width = as_maps(call.module, output).shape
    is_map = output.ndim == 4 and height * width > 1
    return Site(call.name, call.module, call.number, kind_of(call.module), units, height, width, is_map)


def _described(output: Any) -> str:
    return f"a tensor of {output.dtype}" if isinstance(output, torch.Tensor) else f"a {type(output).__name__}"
