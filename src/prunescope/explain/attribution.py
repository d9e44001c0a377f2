"""Attribution: how much each position of an image speaks for a class, by one of Captum's methods."""

from __future__ import annotations

import inspect
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.explain.fitting import fitted, give_rules
from prunescope.explain.guided import Guided
from prunescope.explain.map_layers import find_map_layer
from prunescope.explain.methods import METHODS, Method, find_method
from prunescope.networks.network import device_of, example_input, preprocess_of

__all__ = ["METHODS", "Attributor", "Method", "check", "find_method"]

_OURS = (
    "inputs",
    "target",
    "additional_forward_args",
    "return_convergence_delta",
    "show_progress",
    "feature_mask",
    "sliding_window_shapes",  # window
    "strides",  # stride
    "abs",  # the sign is of no account
)
_QUICK = {"n_steps": 2}  # for a first look at whether a method fits
_CAPTUMS_ERRORS = (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError)


class Attributor:
    """Attributes what a network answers to positions; the network stays as it is, whatever Captum does.

    It looks at the network as it is when the Attributor is made. Where a method compares with a baseline, that is the
    image of the mean colour, 0 after normalising. Methods that draw at random draw alike for each batch.

    Args:
        network: carries its `preprocess`.
        method: our name for it (`METHODS`), or that of Captum's class.
        layer: for methods that attribute to a layer: its dotted name; None: the last one with positions.
        options: arguments of Captum's `attribute`, beside those that a method has of its own.

    Attributes:
        layer: the name of the layer that the method uses; None for methods that need none.
        classes: how many logits the network puts out.

    Raises:
        PrunescopeError: no such method, layer or option.
    """

    def __init__(
        self, network: nn.Module, method: str, *, layer: str | None = None, options: Mapping[str, Any] = {}
    ) -> None:
        self.method = find_method(method)
        if layer is not None and not self.method.of_layer:
            raise PrunescopeError(
                f"{method} explains by the pixels, and needs no layer: leave out layer {layer!r}"
            )
        self.layer = find_map_layer(network, layer) if self.method.of_layer else None
        self.side = preprocess_of(network).crop
        self.device = device_of(network)
        self.options = _checked(self.method, {**self.method.defaults(self.side), **options}, self.side)
        example = _example(network)
        with _quiet(), _in_our_words(self.method):
            self.twin = fitted(network, self.method.captum, method, example)
        with torch.no_grad():
            self.classes = self.twin(example).shape[1]

    def maps(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return how much each position speaks for a class.

        Args:
            inputs: (n, 3, h, w), normalised.
            targets: (n,) int64, the class that is explained of each.

        Returns:
            (n, h', w') float32, on the CPU, at the method's own resolution.

        Raises:
            PrunescopeError: the method does not fit the network, or a target is no class.
        """
        return self.explain(inputs, targets)[0]

    def explain(
        self, inputs: torch.Tensor, targets: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return maps, as `maps` does, and logits (n, classes), float32, on the CPU.

        Args:
            targets: None: each image's prediction.
        """
        if targets is not None and not 0 <= int(targets.min()) <= int(targets.max()) < self.classes:
            wrong = next(int(target) for target in targets if not 0 <= target < self.classes)
            raise PrunescopeError(
                f"class {wrong} is to be explained, and the network puts out {self.classes} classes, from 0"
            )
        inputs = inputs.detach().to(self.device).contiguous(memory_format=torch.channels_last)
        self.twin.first.clear()
        if not self.method.once:
            with torch.no_grad():
                logits = self.twin(inputs)
            targets = logits.argmax(1) if targets is None else targets
        channels = self._attributed(inputs, None if targets is None else targets.to(self.device))
        return self.method.channels(channels).detach().float().cpu(), self.twin.first[0].float().cpu()

    def _attributed(self, inputs: torch.Tensor, targets: torch.Tensor | None) -> torch.Tensor:
        """Return what Captum returns, (n, channels, h', w')."""
        self.twin.predicted = targets is None
        given = {"target": targets, **_for_captum(self.method, self.options, inputs)}
        try:
            with _quiet(), _same_random(), _in_our_words(self.method):
                channels = self._made().attribute(inputs.requires_grad_(self._needs_gradient), **given)
        finally:
            self.twin.predicted = False
        if not isinstance(channels, torch.Tensor) or channels.ndim != 4:
            raise PrunescopeError(f"{self.method.name} gives no maps of this network: choose another method")
        return channels

    @property
    def _needs_gradient(self) -> bool:
        """Whether pixels do; not where the gradient ends at a layer, so that nothing is kept of those before it."""
        return self.method.captum not in ("LayerGradCam", "Occlusion")

    def _made(self) -> Any:
        """Return the instance of Captum's class."""
        captum = self.method.implementation
        network: nn.Module = Guided(self.twin) if self.method.captum == "GuidedBackprop" else self.twin
        if self.method.captum == "LRP":
            give_rules(self.twin)
        if self.layer is None:
            return captum(network)
        made = captum(network, self.twin.network.get_submodule(self.layer))
        if self.method.captum == "GuidedGradCam":  # Grad-CAM's own gradients stay as they are
            made.guided_backprop = type(made.guided_backprop)(Guided(self.twin))
        return made


def check(
    network: nn.Module, method: str, layer: str | None = None, options: Mapping[str, Any] = {}
) -> str | None:
    """Check with one example image that a method fits a network; return the name of the layer that it uses, if any.

    Raises:
        PrunescopeError: it does not, or there is no such method, layer or option.
    """
    attributor = Attributor(network, method, layer=layer, options=options)
    quick = {name: value for name, value in _QUICK.items() if name in attributor.method.arguments}
    if "window" in attributor.options:  # few squares
        quick |= {"window": -(-attributor.side // 2)}
    if "stride" in attributor.options:
        quick |= {"stride": attributor.side // 2}
    attributor.options = attributor.options | quick
    attributor.maps(_example(network), torch.zeros(1, dtype=torch.int64))
    return attributor.layer


def _example(network: nn.Module) -> torch.Tensor:
    """Return one image of noise, (1, 3, crop, crop)."""
    example = example_input(network)
    return torch.randn(example.shape, generator=torch.Generator().manual_seed(0)).to(example)


def _checked(method: Method, options: dict[str, Any], side: int) -> dict[str, Any]:
    """Return the options, with tuples for lists.

    Raises:
        PrunescopeError: one is not an option of the method, or is out of range.
    """
    known = {*method.defaults(side), *(name for name in method.arguments if name not in (*_OURS, "self"))}
    for name in options:
        if name not in known:
            raise PrunescopeError(
                f"{method.name} has no option {name!r}{did_you_mean(name, known)}; known: {', '.join(sorted(known))}"
            )
    for name in {"window", "stride"} & options.keys():
        if type(options[name]) is not int or not 1 <= options[name] <= side:
            raise PrunescopeError(
                f"{method.name}: {name} is {options[name]!r}, expected a number of pixels from 1 to {side}"
            )
    if "stride" in options and options["stride"] > options["window"]:
        raise PrunescopeError(
            f"{method.name}: with a stride of {options['stride']}, squares of {options['window']} pixels (window) "
            f"leave gaps: give a stride of at most {options['window']}"
        )
    if "n_steps" in options and (type(options["n_steps"]) is not int or options["n_steps"] < 1):
        raise PrunescopeError(
            f"{method.name}: n_steps is {options['n_steps']!r}, expected a whole number from 1"
        )
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def _for_captum(method: Method, options: Mapping[str, Any], inputs: torch.Tensor) -> dict[str, Any]:
    """Return options as Captum wants them: squares of pixels as shapes or as the numbers of features."""
    given = dict(options)
    channels, height, width = inputs.shape[1:]
    if "window" in given and "sliding_window_shapes" in method.arguments:
        given["sliding_window_shapes"] = (channels, given["window"], given.pop("window"))
        given["strides"] = (channels, given["stride"], given.pop("stride"))
    elif "window" in given:
        window = given.pop("window")
        rows, columns = (torch.arange(side, device=inputs.device) // window for side in (height, width))
        given["feature_mask"] = rows[:, None] * (int(columns.max()) + 1) + columns
    if "baselines" in method.arguments and method.arguments["baselines"].default is inspect.Parameter.empty:
        given.setdefault("baselines", torch.zeros_like(inputs[:1]))  # the mean colour
    if given.get("internal_batch_size"):
        given["internal_batch_size"] = max(given["internal_batch_size"], len(inputs))
    return given


@contextmanager
def _in_our_words(method: Method) -> Iterator[None]:
    """Turn what Captum raises of a network that does not suit it into a `PrunescopeError`."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _CAPTUMS_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PrunescopeError(
            f"{method.name} does not fit this network or its options ({reason}): choose another method"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Captum's warnings back: that it sets hooks and takes them away, that inputs get a gradient."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="captum")
        yield


@contextmanager
def _same_random() -> Iterator[None]:
    """Draw the same whenever something is drawn, and leave the global generators as they are."""
    state = np.random.get_state(), random.getstate()  # noqa: NPY002 (Captum draws from them)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            np.random.seed(0)  # noqa: NPY002
            random.seed(0)
            yield
    finally:
        np.random.set_state(state[0])  # noqa: NPY002
        random.setstate(state[1])
