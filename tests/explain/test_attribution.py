from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop, LayerGradCam
from torch import nn

from explain.explained_toys import (
    SIDE,
    TARGETS,
    Auxiliary,
    Averaged,
    Chain,
    Functional,
    Residual,
    Tokens,
    build,
    noise,
)
from oracles.slow_attribution import GuidedReLU, slow_gradient, slow_occlusion, slow_relevance
from prunescope.errors import PrunescopeError
from prunescope.explain.attribution import METHODS, Attributor, check, find_method

ALL = [
    *METHODS,
    "InputXGradient",
    "GuidedBackprop",
    "DeepLift",
    "GradientShap",
    "LayerConductance",
    "FeatureAblation",
]


def logit_of(network: nn.Module, target: int) -> Callable[[torch.Tensor], float]:
    def logit(image: torch.Tensor) -> float:
        with torch.no_grad():
            return float(network(image[None])[0, target])

    return logit


def maps(network: nn.Module, method: str, inputs: torch.Tensor, **how: Any) -> torch.Tensor:
    found = Attributor(network, method, **how).maps(inputs, TARGETS[: len(inputs)])
    assert found.dtype == torch.float32
    return found


def test_grad_cam_of_an_averaged_layer_is_what_the_last_layer_reads_of_it() -> None:
    network, inputs = build(Averaged), noise()
    with torch.no_grad():
        layer = network.pool(network.act(network.conv(inputs)))  # (3, 5, 4, 4)
        read = torch.einsum("nc,nchw->nhw", network.fc.weight[TARGETS], layer)  # type: ignore[index]
    attributor = Attributor(network, "grad-cam")
    assert attributor.layer == "pool"
    torch.testing.assert_close(attributor.maps(inputs, TARGETS), read.clamp(min=0) / 16)
    assert (read < 0).any()
    torch.testing.assert_close(
        maps(network, "grad-cam", inputs, options={"relu_attributions": False}), read / 16
    )


def test_grad_cam_before_an_operation_in_place_is_that_of_the_layers_own_output() -> None:
    network, inputs = build(Averaged), noise()
    conv = network.conv(inputs)
    (gradient,) = torch.autograd.grad(
        network.fc(network.pool(conv.relu()).mean((2, 3))).gather(1, TARGETS[:, None]).sum(), conv
    )
    expected = (gradient.mean((2, 3), keepdim=True) * conv).sum(1).clamp(min=0)
    torch.testing.assert_close(maps(network, "grad-cam", inputs, layer="conv"), expected.detach())


def test_gradient_is_the_largest_slope_of_the_channels() -> None:
    network, inputs = build(Functional, double=True), noise(1, double=True)
    slopes = slow_gradient(logit_of(network, 2), inputs[0])
    torch.testing.assert_close(
        maps(network, "gradient", inputs)[0], slopes.abs().amax(0).float(), rtol=1e-4, atol=1e-6
    )


def test_integrated_gradients_add_up_to_the_difference_of_the_logits() -> None:
    network, inputs = build(Functional), noise()
    with torch.no_grad():
        rise = (network(inputs) - network(torch.zeros_like(inputs))).gather(1, TARGETS[:, None])[:, 0]
    found = maps(network, "integrated-gradients", inputs, options={"n_steps": 200})
    torch.testing.assert_close(found.sum((1, 2)), rise, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("how", [{}, {"window": 3, "stride": 2}])
def test_occlusion_is_the_mean_fall_of_the_logit(how: dict[str, int]) -> None:
    network, inputs = build(Functional), noise()
    placed = how or {"window": 1, "stride": 1}  # an eighth of 8 pixels
    expected = [
        slow_occlusion(logit_of(network, int(target)), image, **placed)
        for image, target in zip(inputs, TARGETS, strict=True)
    ]
    found = maps(network, "occlusion", inputs, options=how)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_relevance_is_handed_down_layer_by_layer() -> None:
    network, inputs = build(Chain, double=True), noise(double=True)
    modules = [module if not isinstance(module, nn.ReLU) else nn.ReLU() for module in network]
    expected = [
        slow_relevance(modules, image[None], int(target)).sum(0).float()
        for image, target in zip(inputs, TARGETS, strict=True)
    ]
    torch.testing.assert_close(maps(network, "lrp", inputs), torch.stack(expected), rtol=1e-4, atol=1e-6)


def plain_gradient(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    inputs = inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(inputs).gather(1, TARGETS[:, None]).sum(), inputs)
    return gradient


@pytest.mark.parametrize(
    "act",
    [
        torch.relu,
        nn.functional.relu,
        torch.Tensor.relu_,
        nn.ReLU(inplace=True),
        lambda x: nn.functional.relu(x, True),
    ],
)
def test_guided_backpropagation_cuts_gradients_at_functions_as_at_modules(act: Any) -> None:
    inputs = noise()
    slow = build(lambda: Functional(GuidedReLU.apply))  # type: ignore[arg-type]
    expected = plain_gradient(slow, inputs).sum(1)
    network = build(lambda: Functional(act))
    torch.testing.assert_close(maps(network, "GuidedBackprop", inputs), expected)
    plain = plain_gradient(build(Functional), inputs).sum(1)
    assert not torch.allclose(expected, plain)


@pytest.mark.filterwarnings("ignore::UserWarning:captum")
def test_captum_alone_would_give_the_plain_gradient_at_functions() -> None:
    inputs = noise().requires_grad_()
    found = GuidedBackprop(build(Functional)).attribute(inputs, TARGETS)
    torch.testing.assert_close(found, plain_gradient(build(Functional), inputs.detach()))


def test_guided_grad_cam_is_the_product_of_both_and_grad_cam_stays_unguided() -> None:
    network, inputs = build(Functional), noise()
    guided = plain_gradient(build(lambda: Functional(GuidedReLU.apply)), inputs)  # type: ignore[arg-type]
    cam = LayerGradCam(network, network.conv1).attribute(inputs, TARGETS, relu_attributions=True)
    found = maps(network, "guided-grad-cam", inputs, layer="conv1")  # whose gradients pass one ReLU more
    torch.testing.assert_close(found, (guided * cam).sum(1).detach(), rtol=1e-4, atol=1e-6)


def test_a_map_that_is_smaller_than_the_image_is_enlarged_bilinearly_for_guided_grad_cam() -> None:
    network, inputs = build(Averaged), noise()
    cam = maps(network, "grad-cam", inputs)
    larger = nn.functional.interpolate(cam[:, None], (SIDE, SIDE), mode="bilinear")[:, 0]
    guided = maps(network, "GuidedBackprop", inputs)
    torch.testing.assert_close(maps(network, "guided-grad-cam", inputs), larger * guided)


@pytest.mark.parametrize("method", ["GuidedBackprop", "DeepLift", "Deconvolution"])
def test_a_relu_used_three_times_is_as_three_relus(method: str) -> None:
    inputs = noise()
    once, thrice = (build(lambda separate=separate: Residual(separate)) for separate in (True, False))
    torch.testing.assert_close(maps(once, method, inputs), maps(thrice, method, inputs))


@pytest.mark.parametrize("method", ALL)
def test_a_map_depends_on_its_image_alone(method: str) -> None:
    network, inputs = build(Chain), noise()
    how: dict[str, Any] = {"layer": "0"} if method == "LayerConductance" else {}
    together = maps(network, method, inputs, **how)
    backwards = Attributor(network, method, **how).maps(inputs.flip(0), TARGETS.flip(0)).flip(0)
    if method == "GradientShap":  # which draws, alike for each batch
        torch.testing.assert_close(together, maps(network, method, inputs, **how), rtol=0, atol=0)
    else:
        torch.testing.assert_close(together, backwards, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "method", ["grad-cam", "gradient", "integrated-gradients", "guided-grad-cam", "occlusion"]
)
def test_predictions_are_explained_where_no_target_is_given(method: str) -> None:
    network, inputs = build(Averaged), noise()
    attributor = Attributor(network, method)
    found, logits = attributor.explain(inputs, None)
    torch.testing.assert_close(logits, network(inputs).detach())
    torch.testing.assert_close(found, attributor.maps(inputs, logits.argmax(1)))


def test_of_several_outputs_the_first_is_explained() -> None:
    inputs = noise()
    torch.testing.assert_close(
        maps(build(Auxiliary), "grad-cam", inputs), maps(build(Averaged), "grad-cam", inputs)
    )


class Breaks(nn.Module):
    """An average that fails on more than one image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 1:
            raise ValueError("one at a time")
        return x.mean((2, 3), keepdim=True)


def state_of(network: nn.Module) -> dict[str, Any]:
    """Return all that can be told of a network from outside."""
    modules = {
        name: (
            module.training,
            {key: value for key, value in vars(module).items() if not isinstance(value, dict)},
            {
                key: dict(value)
                for key, value in vars(module).items()
                if "hooks" in key and isinstance(value, dict)
            },
        )
        for name, module in network.named_modules()
    }
    tensors = {
        name: (
            id(tensor),
            tensor.data_ptr(),
            tensor.stride(),
            tensor.requires_grad,
            tensor.grad is None,
            tensor.tolist(),
        )
        for name, tensor in (*network.named_parameters(), *network.named_buffers())
    }
    return {"modules": modules, "tensors": tensors}


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("fails", [False, True])
def test_the_network_stays_as_it_is(method: str, fails: bool) -> None:
    network = build(Averaged)
    if fails:
        network.average = Breaks()
    network.train()
    network.pool.eval()
    network.fc.weight.requires_grad_(False)
    network.conv.register_forward_hook(lambda *_: None)
    before = state_of(network)
    inputs = noise()
    drawn = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    if fails:
        with pytest.raises((PrunescopeError, ValueError), match=r"one at a time|no rule for Breaks"):
            maps(network, method, inputs)
    else:
        maps(network, method, inputs)
    assert state_of(network) == before
    assert not inputs.requires_grad
    assert torch.equal(torch.get_rng_state(), drawn[0])
    assert random.getstate() == drawn[1]
    assert np.random.get_state()[1].tolist() == drawn[2]  # noqa: NPY002


@pytest.mark.parametrize(
    ("network", "method", "says"),
    [
        (Residual, "lrp", "additions of residual connections.*choose integrated-gradients"),
        (Tokens, "grad-cam", "after patches, the last layer with rows and columns, .*name a layer yourself"),
        (Tokens, "guided-grad-cam", "after patches"),
        (Tokens, "GuidedBackprop", "the network has none, so that it would be the plain gradient"),
        (Functional, "DeepLift", "rectifies 2 times by a function or by ReLU6"),
        (Functional, "Deconvolution", "rectifies 2 times by a function or by ReLU6"),
        (lambda: Functional(nn.SiLU()), "lrp", "no rule for SiLU"),
        (lambda: Functional(nn.SiLU()), "DeepLift", "does not account for all that the network does"),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten()),
            "grad-cam",
            "no layer of the network puts out maps",
        ),
    ],
)
def test_what_does_not_fit_the_network_is_refused_before_any_work(
    network: Any, method: str, says: str
) -> None:
    with pytest.raises(PrunescopeError, match=says):
        check(build(network), method)


def test_weights_used_twice_are_refused_by_lrp() -> None:
    shared = nn.Conv2d(4, 4, 3, padding=1)
    network = build(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 1), shared, nn.ReLU(), shared, nn.Flatten(), nn.Linear(256, 4))
    )
    with pytest.raises(
        PrunescopeError, match="lrp keeps what one use of a module saw, and the network uses 1 several"
    ):
        check(network, "lrp")


@pytest.mark.parametrize(
    ("method", "how", "says"),
    [
        (
            "grad-cm",
            {},
            r"no attribution method 'grad-cm' \(did you mean 'grad-cam'.*known: grad-cam, gradient",
        ),
        ("deeplift", {}, "did you mean 'DeepLift'"),
        ("ShapleyValues", {}, "goes through every order of the features"),
        ("NeuronGradient", {}, "no attribution method 'NeuronGradient'"),
        ("gradient", {"layer": "pool"}, "gradient explains by the pixels, and needs no layer"),
        (
            "occlusion",
            {"options": {"windw": 3}},
            r"no option 'windw' \(did you mean 'window'.*known:.*stride",
        ),
        ("occlusion", {"options": {"window": 9}}, "window is 9, expected a number of pixels from 1 to 8"),
        ("occlusion", {"options": {"stride": 0}}, "stride is 0"),
        ("occlusion", {"options": {"window": True}}, "window is True"),
        ("occlusion", {"options": {"window": 2, "stride": 3}}, "leave gaps: give a stride of at most 2"),
        ("occlusion", {"options": {"sliding_window_shapes": [3, 2, 2]}}, "no option 'sliding_window_shapes'"),
        ("occlusion", {"options": {"strides": 2}}, r"no option 'strides' \(did you mean 'stride'"),
        ("gradient", {"options": {"abs": False}}, "gradient has no option 'abs'"),
        ("integrated-gradients", {"options": {"n_steps": 0}}, "n_steps is 0, expected a whole number from 1"),
        ("integrated-gradients", {"options": {"n_steps": "x"}}, "n_steps is 'x'"),
        (
            "integrated-gradients",
            {"options": {"method": "guess"}},
            "does not fit this network or its options",
        ),
        (
            "grad-cam",
            {"layer": "pol"},
            r"no layer 'pol' .*did you mean 'pool'.*have positions: conv, act, pool$",
        ),
        ("grad-cam", {"layer": "fc"}, "fc has no positions, since it puts out 4 for an image"),
        ("grad-cam", {"layer": "average"}, "average has no positions, since it puts out 5 x 1 x 1"),
    ],
)
def test_what_is_asked_wrongly_is_said(method: str, how: dict[str, Any], says: str) -> None:
    with pytest.raises(PrunescopeError, match=says):
        check(build(Averaged), method, **how)


@pytest.mark.parametrize("method", ALL)
def test_a_method_that_fits_is_found_to(method: str) -> None:
    of_layer = "cam" in method or method.startswith("Layer")
    assert check(build(Averaged), method) == ("pool" if of_layer else None)


def test_a_class_of_captums_that_has_a_name_of_ours_is_ours() -> None:
    for name in METHODS:
        assert find_method(METHODS[name].captum) is METHODS[name]
    assert find_method("InputXGradient").name == "InputXGradient"


def test_without_captum_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(PrunescopeError, match=r"pip install 'prunescope\[explain\]'"):
        check(build(Averaged), "grad-cam")
