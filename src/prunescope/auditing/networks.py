"""The two networks of an audit, opened from whatever they are given as."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from pydantic import ValidationError
from torch import nn

from prunescope.errors import PrunescopeError, describe_os_error, did_you_mean
from prunescope.networks.channels import map_channels
from prunescope.networks.checkpoints import read_state
from prunescope.networks.identity import source_digest, weights_digest
from prunescope.networks.layers import find_layers
from prunescope.networks.network import (
    evaluating,
    example_input,
    is_file_name,
    logits_of,
    open_network,
    preprocess_of,
    resolve,
)
from prunescope.networks.preprocess import Preprocess
from prunescope.networks.programs import Program, open_program, program_format, stored_types

Role = Literal["dense", "pruned"]
Given = nn.Module | str | Path
MORE = 1.01  # times as many weights other than 0 as the dense network has: then the two were swapped


@dataclass(frozen=True)
class Audited:
    """One network of an audit.

    Attributes:
        shown: what people call it: its file, or its architecture.
        file: where it was read from; "" where it was not read from a file.
        format: checkpoint, prunescope, TorchScript, torch.export, ONNX, published or module.
        architecture: its name as `open_network` takes it; the class of a live module.
        stored: type to the share of the weights that the file keeps in it.
        identity: all that decides what it computes, as JSON; None for a live module, whose code nobody can tell.
    """

    network: nn.Module
    role: Role
    shown: str
    file: str
    format: str
    architecture: str
    stored: dict[str, float]
    identity: dict[str, Any] | None

    @property
    def internals(self) -> bool:
        """Whether its layers can be looked at."""
        return not isinstance(self.network, Program)

    @cached_property
    def weights(self) -> dict[str, torch.Tensor]:
        """The weights of its convolutions and linear layers by layer, on the CPU."""
        if isinstance(self.network, Program):
            return {name.removesuffix(".weight"): weight for name, weight in self.network.weights().items()}
        layers = find_layers(self.network)
        return {name: layer.module.weight.detach().cpu().float() for name, layer in layers.items()}

    @cached_property
    def outputs(self) -> int:
        """How many classes it tells apart."""
        with evaluating(self.network):
            return int(logits_of(self.network(example_input(self.network))).shape[1])

    @cached_property
    def logit_layers(self) -> frozenset[str]:
        """The layers whose units are the logits."""
        return frozenset(map_channels(self.network).logits)

    @cached_property
    def digest(self) -> str:
        """A hash of its weights; of a program, of its file."""
        if isinstance(self.network, Program):
            return _file_digest(Path(self.file))
        return weights_digest(self.network)

    @property
    def nonzero(self) -> int:
        """How many weights of convolutions and linear layers are other than 0."""
        return sum(int(weight.count_nonzero()) for weight in self.weights.values())

    def described(self) -> dict[str, Any]:
        """Return what `audit.json` says of it."""
        return {
            "shown": self.shown,
            "file": self.file,
            "format": self.format,
            "architecture": self.architecture,
            "stored": self.stored,
            "preprocess": preprocess_of(self.network).model_dump(mode="json"),
            "weights": sum(weight.numel() for weight in self.weights.values()),
            "digest": self.digest,
            "internals": self.internals,
            "outputs": self.outputs,
        }


def open_audited(
    given: Given,
    role: Role,
    architecture: str | None = None,
    preprocess: Mapping[str, Any] | None = None,
    data: Path | None = None,
) -> Audited:
    """Open one network of an audit.

    Args:
        given: a live module; a file (a checkpoint, a network that prunescope saved, TorchScript, torch.export, ONNX);
            or `NAME@WEIGHTS`, an architecture with a checkpoint or published weights (`torchvision/vgg16@DEFAULT`).
        architecture: that of a checkpoint which does not say it.
        preprocess: fields of `Preprocess` that differ from what the network says of itself.
        data: the folder that relative paths start from.

    Raises:
        PrunescopeError: there is no such file or architecture, they do not fit, or the weights hold NaN.
    """
    if isinstance(given, nn.Module):
        return _live(given, role, preprocess)
    if not isinstance(given, str | Path):
        raise PrunescopeError(
            f"the {role} network is a {type(given).__name__}, expected a torch.nn.Module or the path of a file"
        )
    path = resolve(given, data)
    try:
        is_there, is_file = path.exists(), path.is_file()
    except OSError as error:
        raise describe_os_error(error, f"looking for the {role} network {str(given)[:80]!r}") from error
    name, at, weights = str(given).rpartition("@")
    if at and not is_there:
        return _named(name, weights, role, preprocess, data)
    if not is_file:
        at_hint = "" if is_file_name(str(given)) else ", or write NAME@WEIGHTS for an architecture"
        raise PrunescopeError(
            f"no file {str(path)!r} for the {role} network: check the path, or --data{at_hint}"
        )
    if (form := program_format(path)) is not None:
        return _program(path, form, role, preprocess)
    if read_state(path)[1].get("origin"):
        return _opened(open_network(str(path.resolve())), role, path, "prunescope", preprocess)
    if architecture is None:
        raise PrunescopeError(
            f"{path} holds weights but not their architecture: name it with --network torchvision/<network>, "
            f"or write NAME@{given}"
        )
    return _named(architecture, str(given), role, preprocess, data)


@contextmanager
def borrowed(*given: Given) -> Iterator[None]:
    """Give live modules back the preprocessing and the device that they came with."""
    modules = [one for one in given if isinstance(one, nn.Module)]
    came = [
        (one.__dict__.get("preprocess"), next(one.parameters(), torch.empty(0)).device) for one in modules
    ]
    try:
        yield
    finally:
        for one, (preprocess, device) in zip(modules, came, strict=True):
            if preprocess is not None:
                one.preprocess = preprocess
            else:
                one.__dict__.pop("preprocess", None)
            if next(one.parameters(), torch.empty(0)).device != device:
                one.to(device)


def refuse_same(dense: Audited, pruned: Audited) -> None:
    """Refuse to compare a network with itself: whatever the condition, it would pass.

    Raises:
        PrunescopeError: both are the same module, or files of the same contents that are opened alike.
    """
    alike = preprocess_of(dense.network) == preprocess_of(pruned.network)
    if dense.network is pruned.network or (
        alike and dense.file and pruned.file and _same_contents(dense, pruned)
    ):
        raise PrunescopeError(
            f"the dense and the pruned network are the same: {dense.shown} and {pruned.shown}; give two networks"
        )


def refuse_swapped(dense: Audited, pruned: Audited) -> None:
    """Refuse a dense network that is the smaller of the two: what is called a loss would be a gain.

    Raises:
        PrunescopeError: it has fewer weights other than 0 than the pruned one, by more than a hundredth.
    """
    if dense.weights and pruned.weights and pruned.nonzero > MORE * dense.nonzero:
        raise PrunescopeError(
            f"the first network, {dense.shown}, has {dense.nonzero:,} weights other than 0 in its convolutions and "
            f"linear layers, the second, {pruned.shown}, {pruned.nonzero:,}: the order is DENSE PRUNED. Swap them, "
            "or say --any-order (any_order=True) if that is what you want to compare"
        )


def read_preprocess(text: str | None) -> dict[str, Any] | None:
    """Read fields of `Preprocess` from a YAML file, or from YAML: `{order: BGR, crop: 227}`.

    Raises:
        PrunescopeError: it cannot be read, or is no mapping.
    """
    if text is None:
        return None
    source = text
    if not text.lstrip().startswith("{"):
        try:
            source = Path(text).expanduser().read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise PrunescopeError(
                f"no file {text!r} with preprocessing: give one, or the fields themselves: '{{crop: 227, order: BGR}}'"
            ) from error
    try:
        found = yaml.safe_load(source)
    except yaml.YAMLError as error:
        raise PrunescopeError(f"the preprocessing {text!r} is no YAML: {error}") from error
    if not isinstance(found, dict):
        raise PrunescopeError(f"the preprocessing {text!r} has no fields: write '{{crop: 227, order: BGR}}'")
    return {str(name): value for name, value in found.items()}


def _live(network: nn.Module, role: Role, preprocess: Mapping[str, Any] | None) -> Audited:
    if preprocess is not None or not isinstance(getattr(network, "preprocess", None), Preprocess):
        if preprocess is None:
            raise PrunescopeError(
                f"the {role} network carries no preprocessing: set network.preprocess = ps.Preprocess(…), or give "
                f"{role}_preprocess={{…}}"
            )
        network.preprocess = _with(getattr(network, "preprocess", None), preprocess)  # type: ignore[assignment]
    types = {tensor.dtype for tensor in network.parameters()}
    if types != {torch.float32}:  # that of the images
        found = ", ".join(sorted(str(each).removeprefix("torch.") for each in types)) or "nothing"
        raise PrunescopeError(
            f"the parameters of the {role} network are of {found}, expected float32: give it as network.float()"
        )
    kind = type(network)
    stored = {"float32": 1.0}
    return Audited(
        network, role, f"the {role} {kind.__name__}", "", "module", kind.__qualname__, stored, None
    )


def _program(path: Path, form: str, role: Role, preprocess: Mapping[str, Any] | None) -> Audited:
    program = open_program(path, preprocess)
    identity = {
        "program": form,
        "file": _file_digest(path),
        "preprocess": preprocess_of(program).model_dump(mode="json"),
    }
    return Audited(program, role, path.name, str(path), form, path.name, stored_types(path), identity)


def _named(
    name: str, weights: str, role: Role, preprocess: Mapping[str, Any] | None, data: Path | None
) -> Audited:
    network = open_network(name, weights, data=data)
    if not is_file_name(weights):
        return _opened(network, role, None, "published", preprocess, f"{name}@{weights}")
    return _opened(network, role, resolve(weights, data), "checkpoint", preprocess)


def _opened(
    network: nn.Module,
    role: Role,
    path: Path | None,
    form: str,
    preprocess: Mapping[str, Any] | None,
    shown: str = "",
) -> Audited:
    if preprocess is not None:
        network.preprocess = _with(preprocess_of(network), preprocess)  # type: ignore[assignment]
    origin: Any = network.origin
    identity = {
        **origin.model_dump(mode="json"),
        "preprocess": preprocess_of(network).model_dump(mode="json"),
        "weights": weights_digest(network),
    }
    if ":" in origin.name:
        identity["source"] = source_digest(origin.name)
    return Audited(
        network,
        role,
        shown or (path.name if path else origin.name),
        str(path or ""),
        form,
        origin.name,
        stored_types(path) if path else {"float32": 1.0},
        identity,
    )


def _with(own: Preprocess | None, given: Mapping[str, Any]) -> Preprocess:
    """Return the preprocessing that a network has of itself, with some fields changed."""
    fields = {} if own is None else own.model_dump()
    try:
        return Preprocess.model_validate({**fields, **given})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        near = did_you_mean(name, Preprocess.model_fields) if first["type"] == "extra_forbidden" else ""
        raise PrunescopeError(
            f"preprocessing: {name}: {first['msg']}{near}; known: {', '.join(Preprocess.model_fields)}"
        ) from error


def _same_contents(dense: Audited, pruned: Audited) -> bool:
    return dense.architecture == pruned.architecture and _file_digest(Path(dense.file)) == _file_digest(
        Path(pruned.file)
    )


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
