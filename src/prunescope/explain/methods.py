"""Attribution methods by name: which of Captum's each one is, how it is set, and how its channels become one number."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.registry import Registry

Options = Mapping[str, Any]
Channels = Callable[
    [torch.Tensor], torch.Tensor
]  # (images, channels, height, width) to (images, height, width)


def _no_defaults(side: int) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Method:
    """One way to attribute what a network answers to positions.

    Attributes:
        name: as users write it.
        captum: the class of Captum that does it.
        channels: how what Captum returns, (images, channels, h, w), becomes maps, (images, h, w).
        defaults: from the side of the input to options where they differ from Captum's own.
        once: whether Captum runs the network on the images as they are first, so that one pass gives logits too.
    """

    name: str
    captum: str
    channels: Channels
    defaults: Callable[[int], dict[str, Any]] = _no_defaults
    once: bool = False

    @property
    def implementation(self) -> type[Any]:
        """Captum's class.

        Raises:
            PrunescopeError: Captum is not installed.
        """
        found: type[Any] = getattr(_captum(), self.captum)
        return found

    @property
    def arguments(self) -> Mapping[str, inspect.Parameter]:
        """The arguments of its `attribute`, by name."""
        return _arguments(self.implementation)

    @property
    def of_layer(self) -> bool:
        """Whether it attributes to positions of a layer, or needs one."""
        return "layer" in inspect.signature(self.implementation.__init__).parameters


METHODS: Registry[Method] = Registry("attribution method")

# Those of Captum that give no map of an image, or not one that the image alone decides.
_NOT_OFFERED = {
    "DataLoaderAttribution": "it attributes to whole data sets",
    "DeepLiftShap": "it needs a distribution of baselines; choose DeepLift",
    "FeaturePermutation": "it mixes the images of a batch, so that a map depends on the others; choose occlusion",
    "LayerActivation": "it says nothing about a class; choose grad-cam",
    "LayerDeepLiftShap": "it needs a distribution of baselines; choose LayerDeepLift",
    "LayerFeatureAblation": "it changes one number of the layer at a time; choose grad-cam",
    "LayerFeaturePermutation": "it mixes the images of a batch, so that a map depends on the others",
    "LayerLRP": "it attributes to single modules that it has a rule for; choose lrp",
    "LimeBase": "it is what Lime is made of; choose Lime",
    "NoiseTunnel": "it is wrapped around another method",
    "ShapleyValues": "it goes through every order of the features; choose ShapleyValueSampling",
}  # fmt: skip
_NO_METHODS = ("Attribution", "GradientAttribution", "LayerAttribution", "PerturbationAttribution")


def _method(name: str, captum: str, **how: Any) -> Callable[[Channels], Method]:
    """Return a decorator that registers a method, whose function says how channels become one number."""
    return lambda channels: METHODS.register(name)(Method(name, captum, channels, **how))


@_method("grad-cam", "LayerGradCam", defaults=lambda side: {"relu_attributions": True}, once=True)
def grad_cam(channels: torch.Tensor) -> torch.Tensor:
    """Channels of a layer, each weighted with the mean gradient of the logit in it, and summed; ReLU.

    *Source:* Selvaraju et al., Grad-CAM, 2017, equations 1 and 2. Captum has summed the channels already.
    """
    return channels.sum(1)


@_method("gradient", "Saliency", once=True)
def gradient(channels: torch.Tensor) -> torch.Tensor:
    """The size of the logit's gradient by the pixel; of the three channels, the largest.

    *Source:* Simonyan, Vedaldi & Zisserman, Deep inside convolutional networks, 2014, section 3.1.
    """
    return channels.abs().amax(1)


@_method(
    "integrated-gradients",
    "IntegratedGradients",
    defaults=lambda side: {"n_steps": 50, "internal_batch_size": 64},
)
def integrated_gradients(channels: torch.Tensor) -> torch.Tensor:
    """The gradient, averaged on the way from the mean colour to the image, times the way; the channels' sum, signed.

    The map adds up to how much larger the logit is than that of an image of the mean colour alone.

    *Source:* Sundararajan, Taly & Yan, Axiomatic attribution for deep networks, 2017, equation 1.
    """
    return channels.sum(1)


@_method(
    "guided-grad-cam", "GuidedGradCam", defaults=lambda side: {"interpolate_mode": "bilinear"}, once=True
)
def guided_grad_cam(channels: torch.Tensor) -> torch.Tensor:
    """Guided backpropagation times Grad-CAM, enlarged bilinearly; the channels' sum, signed.

    *Source:* Selvaraju et al., Grad-CAM, 2017, section 3.1; Springenberg et al., Striving for simplicity, 2015.
    """
    return channels.sum(1)


def _sliding(side: int) -> dict[str, Any]:
    return {"window": max(-(-side // 8), 1), "stride": max(side // 16, 1)}


@_method("occlusion", "Occlusion", defaults=_sliding)
def occlusion(channels: torch.Tensor) -> torch.Tensor:
    """How much the logit falls as a square of the mean colour covers the position, signed.

    Options: `window`, its side in pixels (default: an eighth of the image's, rounded up), and `stride`, how far it
    moves (default: a sixteenth). A position gets the mean over the squares that cover it.

    *Source:* Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, section 4.2.
    """
    return averaged(channels)


@_method("lrp", "LRP")
def lrp(channels: torch.Tensor) -> torch.Tensor:
    """Relevance handed down from the logit by the ε rule (ε = 1e-9) in all layers; the channels' sum, signed.

    *Source:* Bach et al., On pixel-wise explanations by layer-wise relevance propagation, 2015, equation 58.
    """
    return channels.sum(1)


def summed(channels: torch.Tensor) -> torch.Tensor:
    """The sum over channels, signed: for others of Captum."""
    return channels.sum(1)


def averaged(channels: torch.Tensor) -> torch.Tensor:
    """The mean over channels, signed: for those that take all channels of a position away at once."""
    return channels.mean(1)


def find_method(name: str) -> Method:
    """Return a method by our name for it, or by the name of Captum's class; ours, too, where we have set it.

    Raises:
        PrunescopeError: nothing is called so, it gives no map, or Captum is not installed.
    """
    ours = {METHODS[known].captum: known for known in METHODS}
    if name in METHODS or name in ours:
        return METHODS[ours.get(name, name)]
    if name in _NOT_OFFERED:
        raise PrunescopeError(f"{name} of Captum gives no map of an image: {_NOT_OFFERED[name]}")
    others = _others()
    if name in others:
        channels = averaged if "feature_mask" in _arguments(others[name]) else summed
        return Method(name, name, channels, _defaults_of(others[name]))
    raise PrunescopeError(
        f"no attribution method {name!r}{did_you_mean(name, [*METHODS, *others])}; known: {', '.join(METHODS)}, "
        f"and of Captum {', '.join(found for found in others if found not in ours)}"
    )


def _others() -> dict[str, type[Any]]:
    """Return the classes of Captum that take a network (and a layer), by name."""
    captum = _captum()
    return {
        name: found
        for name, found in sorted(vars(captum).items())
        if isinstance(found, type)
        and issubclass(found, captum.Attribution)
        and not name.startswith(("Neuron", "LLM", "RemoteLLM", "VLLM"))
        and name not in {*_NO_METHODS, *_NOT_OFFERED}
    }


def _arguments(captum_class: type[Any]) -> Mapping[str, inspect.Parameter]:
    """Return the arguments of the method `attribute` of one of Captum's classes, by name."""
    return inspect.signature(captum_class.attribute).parameters


def _defaults_of(captum_class: type[Any]) -> Callable[[int], dict[str, Any]]:
    """Return how one of Captum's classes is set: steps that go together, squares of pixels as its features."""
    arguments = _arguments(captum_class)

    def defaults(side: int) -> dict[str, Any]:
        together = {"internal_batch_size": 64} if "internal_batch_size" in arguments else {}
        return together | ({"window": max(side // 14, 1)} if "feature_mask" in arguments else {})

    return defaults


def _captum() -> Any:
    try:
        return importlib.import_module("captum.attr")
    except ImportError as error:
        raise PrunescopeError(
            f"explanations need Captum ({error}): install it with pip install 'prunescope[explain]'"
        ) from error
