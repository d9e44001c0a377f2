"""A network by name, file or function, ready to be looked at: `open_network`.

What comes back is the plain `torch.nn.Module`, so that whatever works on modules works on it. It carries two
attributes: `preprocess` (a `Preprocess`, settable) and `origin` (how to build it again).
"""

from __future__ import annotations

import importlib
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer
from torch import nn

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.networks import checkpoints
from prunescope.networks.preprocess import Preprocess
from prunescope.networks.shapes import reshape
from prunescope.registry import Registry

Device = Literal["cpu", "cuda", "mps"]
CHECKPOINTS = (".safetensors", ".pth", ".pt")


class Origin(BaseModel):
    """How a network was built: enough to build the same architecture again.

    Attributes:
        units: of a compact network, layer to the channels of the dense network that its channels are.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    classes: int | None = None
    options: dict[str, Any] = {}
    units: dict[str, list[int]] = {}

    @model_serializer(mode="wrap")
    def _without_no_units(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave `units` out where there are none, so that what identifies a dense network stays as it was."""
        fields: dict[str, Any] = serialize(self)
        return {name: value for name, value in fields.items() if value or name != "units"}


class Family(ABC):
    """Networks that share a prefix of their name: how they are built and what they expect of images."""

    def available(self) -> bool:
        """Say whether the package that the networks come from is installed."""
        return True

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names that `build` knows, without the prefix."""

    @abstractmethod
    def build(self, name: str, classes: int | None, options: Mapping[str, Any], trained: bool) -> nn.Module:
        """Return the untrained architecture; `trained` says that weights will be loaded into it."""

    @abstractmethod
    def weights(self, name: str, weights: str) -> Path:
        """Return the file behind published weights, fetched if it is not there yet."""

    def published(self, name: str, file: str) -> tuple[Preprocess, dict[str, Any]]:
        """Return preprocessing and options of the published weights that `file` is named for, or the architecture's."""
        return self.preprocess(name), {}

    @abstractmethod
    def preprocess(self, name: str) -> Preprocess:
        """Return the preprocessing that suits the architecture."""


FAMILIES: Registry[Family] = Registry("family of networks")


def open_network(
    name: str,
    weights: str | Path | None = None,
    classes: int | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    preprocess: Preprocess | None = None,
    seed: int = 0,
    data: Path | None = None,
) -> nn.Module:
    """Open a network in eval mode, on the CPU, in float32.

    Args:
        name: `torchvision/<network>`, `timm/<network>`, `prunescope/sprig`, one's own `package.module:function`,
            or a file that `save_network` wrote.
        weights: a checkpoint file, or the name of published weights (`IMAGENET1K_V1`, `DEFAULT`; a tag of timm;
            `SCENES_V1` for the embedded network). None: random initial weights, drawn from `seed`.
        classes: outputs of the network; by default those of the weights, or of the architecture.
        options: keyword arguments for the function that builds the network.
        preprocess: what the network expects of its images, if it differs from what its weights say.
        seed: for the initial weights.
        data: the folder that relative paths of weights start from.

    Raises:
        PrunescopeError: an unknown name, or weights that do not fit.
    """
    importlib.import_module("prunescope.networks.families")  # which fills FAMILIES, and imports this module
    if is_file_name(name):
        if weights is not None or classes is not None or options:
            raise PrunescopeError(
                f"{name} holds its own weights and architecture: leave out weights, classes and options"
            )
        return _open_saved(resolve(name, data), preprocess)
    build, family, short = _builder(name)
    published = isinstance(weights, str) and not is_file_name(weights)
    path: Path | None = None
    if published and family:
        path = family.weights(short, cast(str, weights))
    elif published:
        raise PrunescopeError(f"{name} has no published weights {str(weights)!r}: give a checkpoint file")
    elif weights is not None:
        path = resolve(weights, data)
    expected, defaults = family.published(short, str(path or "")) if family else (Preprocess(), {})
    chosen = {**defaults, **(options or {})}
    units: dict[str, list[int]] = {}
    with _initial_random(seed):
        if path is None:
            network = build(classes, chosen, False)
        else:
            network, classes, chosen, units = _build_for(build, path, classes, chosen)
    origin = Origin(name=name, classes=classes, options=chosen, units=units)
    return attach(network.eval(), preprocess or expected, origin)


def save_network(
    network: nn.Module, path: Path | str, record: Mapping[str, Any] | None = None, *, pack: bool = False
) -> None:
    """Write weights, architecture and preprocessing into one safetensors file that `open_network` opens.

    Args:
        record: what else to note in the file.
        pack: leave zeros out: a bit a weight says where they are. Exact, and smaller the more there are.
    """
    checkpoints.save_state(network.state_dict(), describe(network, record), Path(path), pack)


def describe(network: nn.Module, record: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a saved network's file says beside its weights."""
    return {
        "origin": origin_of(network).model_dump(),
        "preprocess": preprocess_of(network).model_dump(),
        "record": dict(record or {}),
    }


def preprocess_of(network: nn.Module) -> Preprocess:
    """Return the preprocessing that a network carries."""
    found = getattr(network, "preprocess", None)
    if not isinstance(found, Preprocess):
        raise PrunescopeError(
            "the network carries no preprocessing: set network.preprocess = ps.Preprocess(…)"
        )
    return found


def origin_of(network: nn.Module) -> Origin:
    """Return how a network was built."""
    found = getattr(network, "origin", None)
    if not isinstance(found, Origin):
        raise PrunescopeError("the network was not opened by prunescope, so it cannot be rebuilt from a file")
    return found


def attach(network: nn.Module, preprocess: Preprocess, origin: Origin) -> nn.Module:
    """Let a network carry its preprocessing and its origin."""
    network.preprocess = preprocess  # type: ignore[assignment]
    network.origin = origin  # type: ignore[assignment]
    return network


def device_of(network: nn.Module) -> torch.device:
    """Return the device of a network's weights."""
    return next(network.parameters()).device


def example_input(network: nn.Module) -> torch.Tensor:
    """Return one black image of the size the network expects: (1, 3, crop, crop), on its device, in its type."""
    crop = preprocess_of(network).crop
    weight = next(network.parameters())
    return torch.zeros(1, 3, crop, crop, device=weight.device, dtype=weight.dtype)


def logits_of(output: Any) -> torch.Tensor:
    """Return the logits in what a network put out: a tensor, or the first of several (auxiliary heads follow).

    Raises:
        PrunescopeError: there are none.
    """
    try:
        logits = output if isinstance(output, torch.Tensor) else output[0]
    except (TypeError, KeyError, IndexError):
        logits = None
    if not isinstance(logits, torch.Tensor):
        raise PrunescopeError(
            f"the network puts out a {type(output).__name__}, expected its logits, or a tuple that starts with them: "
            "wrap it in a module that returns them"
        )
    return logits


def resolve(path: str | Path, data: Path | None) -> Path:
    """Return `path` itself if absolute, or else taken from `data` (default: the current folder)."""
    return Path(data or Path(), Path(path).expanduser())


def is_file_name(name: str) -> bool:
    """Say whether a name means a checkpoint file, rather than published weights or an architecture."""
    return name.endswith(CHECKPOINTS)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """Put a network into eval mode without gradients, and give every module its own mode back."""
    modes = {module: module.training for module in network.modules()}
    try:
        network.eval()
        with torch.no_grad():
            yield network
    finally:
        for module, mode in modes.items():
            module.training = mode


Build = Callable[[int | None, dict[str, Any], bool], nn.Module]


def _builder(name: str) -> tuple[Build, Family | None, str]:
    prefix, slash, short = name.partition("/")
    if slash and prefix in FAMILIES:
        family = FAMILIES[prefix]
        if short not in family.names():
            known = family.names()
            some = ", ".join(known[:5]) + (", …" if len(known) > 5 else "")
            near = did_you_mean(short.partition(".")[0], known) or f"; known: {some}"  # without a tag of timm
            raise PrunescopeError(f"no network {short!r} in {prefix}{near}")
        return lambda classes, options, trained: family.build(short, classes, options, trained), family, short
    if ":" in name:
        function = _import_function(name)
        return lambda classes, options, _: _call(name, function, classes, options), None, name
    installed = [prefix for prefix in FAMILIES if FAMILIES[prefix].available()]
    everything = [f"{prefix}/{short}" for prefix in installed for short in FAMILIES[prefix].names()]
    same = [repr(full) for full in everything if full.endswith(f"/{name}")]
    near = f" (did you mean {' or '.join(same)}?)" if same else did_you_mean(name, everything)
    raise PrunescopeError(
        f"no network {name!r}{near}; give torchvision/<network>, timm/<network>, "
        "prunescope/sprig, package.module:function, or a file that prunescope saved"
    )


def _import_function(name: str) -> Callable[..., nn.Module]:
    module_name, _, attribute = name.partition(":")
    if (
        here := str(Path.cwd())
    ) not in sys.path:  # so that a file in the current folder is found, as with python -m
        sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise PrunescopeError(f"cannot import the network {name!r}: {error}") from error
    if not callable(function):
        raise PrunescopeError(f"{name!r} is no function that returns a network")
    return cast(Callable[..., nn.Module], function)


def _call(
    name: str, function: Callable[..., nn.Module], classes: int | None, options: dict[str, Any]
) -> nn.Module:
    if classes is not None:
        known = inspect.signature(function).parameters
        key = next((key for key in ("classes", "num_classes") if key in known), None)
        if key is None:
            raise PrunescopeError(f"{name} takes no argument 'classes' or 'num_classes': leave classes out")
        options = {**options, key: classes}
    try:
        network = function(**options)
    except TypeError as error:
        raise PrunescopeError(f"{name} cannot be built with {options}: {error}") from error
    if not isinstance(network, nn.Module):
        raise PrunescopeError(f"{name} returned {type(network).__name__}, expected a torch.nn.Module")
    return network


def _build_for(
    build: Build, path: Path, classes: int | None, options: dict[str, Any]
) -> tuple[nn.Module, int | None, dict[str, Any], dict[str, list[int]]]:
    """Build the architecture that the weights in `path` need, and load them; return it and its origin's fields."""
    state, metadata = checkpoints.read_state(path)
    origin = _origin_in(metadata, path)
    units = origin.units if origin else {}
    if origin:
        if units and classes not in {None, origin.classes}:
            raise PrunescopeError(
                f"{path}: a compact network has its own number of classes: leave out {classes=}"
            )
        classes = classes or origin.classes
        options = {**origin.options, **options}
    network = build(classes, options, True)
    heads = [name for name in network.state_dict() if name.lower().startswith("aux")]
    if heads and "aux_logits" not in options and not any(name in state for name in heads):
        options = {**options, "aux_logits": False}
        network = build(classes, options, True)
    if units:
        reshape(network, state, str(path))
        if any(len(numbers) != len(state.get(f"{name}.weight", ())) for name, numbers in units.items()):
            raise _damaged(path)
    found = checkpoints.classes_of(network.state_dict(), state)
    if classes is None and found:
        classes = found[1]
        network = build(classes, options, True)
    checkpoints.load_state(network, state, str(path))
    return network, classes, options, units


def _open_saved(path: Path, preprocess: Preprocess | None) -> nn.Module:
    _, metadata = checkpoints.read_state(path)
    origin = _origin_in(metadata, path)
    if origin is None:
        raise PrunescopeError(
            f"{path} holds weights but not their architecture: name it, for example "
            f"open_network('torchvision/googlenet', weights={str(path)!r})"
        )
    try:
        saved = Preprocess.model_validate(metadata["preprocess"])
    except (ValidationError, KeyError) as error:
        raise _damaged(path) from error
    return open_network(
        origin.name, path.resolve(), origin.classes, options=origin.options, preprocess=preprocess or saved
    )


def _origin_in(metadata: Mapping[str, Any], path: Path) -> Origin | None:
    """Return how the network in a file was built, if the file says so."""
    if not metadata.get("origin"):
        return None
    try:
        return Origin.model_validate(metadata["origin"])
    except ValidationError as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> PrunescopeError:
    return PrunescopeError(f"{path}: its description is damaged, or from a newer version")


@contextmanager
def _initial_random(seed: int) -> Iterator[None]:
    """Draw initial weights from `seed`, and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
