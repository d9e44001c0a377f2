"""What all scores from gradients share: the network stays as it is, and neither batches nor the caller matter."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from gradient_toys import GRADIENT_SCORES, images, scores_of, toy
from torch import nn

import prunescope as ps
from oracles.channels import TOYS, carry
from prunescope.errors import PrunescopeError
from prunescope.networks.layers import find_layers
from prunescope.pruning.calibration import Calibration
from prunescope.pruning.granularity import FILTER
from prunescope.pruning.scores import all_scores
from prunescope.pruning.scores.score import ScoreRequest

every_score = pytest.mark.parametrize("score", GRADIENT_SCORES)
DATA_DRIVEN = [score for score in GRADIENT_SCORES if score != "synflow"]


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], relative: float) -> None:
    """Compare beside the largest score of all."""
    assert found.keys() == expected.keys()
    scale = max(values.abs().max().item() for values in expected.values())
    assert scale > 0
    for name, values in expected.items():
        torch.testing.assert_close(found[name].double(), values.double(), rtol=0, atol=relative * scale)


def trained_by_hand() -> nn.Module:
    """A network with gradients, frozen parameters, mixed modes and hooks, as a user may have it in hand."""
    network = toy()
    network.train()
    network.norm.eval()
    for i, parameter in enumerate(network.parameters()):
        parameter.grad = torch.full_like(parameter, i)
        parameter.requires_grad_(i % 2 == 0)
    network.stem.register_forward_hook(lambda *_: None)
    network.register_forward_pre_hook(lambda *_: None)
    return network


def everything_about(network: nn.Module) -> dict[str, Any]:
    parameters = dict(network.named_parameters())
    return {
        "frozen": {name: parameter.requires_grad for name, parameter in parameters.items()},
        "modes": {name: module.training for name, module in network.named_modules()},
        "own": {name: sorted(vars(module)) for name, module in network.named_modules()},
        "hooks": {
            name: [list(hooks) for key, hooks in vars(module).items() if key.endswith("_hooks")]
            for name, module in network.named_modules()
        },
    }


def tensors_of(network: nn.Module) -> dict[str, torch.Tensor]:
    parameters = dict(network.named_parameters())
    gradients = {f"{name}.grad": p.grad for name, p in parameters.items() if p.grad is not None}
    return {**parameters, **dict(network.named_buffers()), **gradients}


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """Check that all tensors are the same objects with the same bits, and all else about a network is as it was."""
    tensors, before = tensors_of(network), everything_about(network)
    values = {name: tensor.clone() for name, tensor in tensors.items()}
    yield
    after = tensors_of(network)
    assert after.keys() == tensors.keys()
    assert all(after[name] is tensors[name] and torch.equal(after[name], values[name]) for name in tensors)
    assert everything_about(network) == before


@every_score
def test_the_network_is_left_as_it_was(score: str) -> None:
    network = trained_by_hand()
    expected = scores_of(toy(), score, calibration=images())

    with unchanged(network):
        scores = scores_of(network, score, calibration=images())

    assert_close(scores, expected, 1e-12)


@every_score
@pytest.mark.parametrize("when", ["forward", "backward"])
def test_also_after_an_exception(score: str, when: str) -> None:
    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("on purpose")

    def fail(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if output.is_meta:
            return output
        if when == "forward":
            raise RuntimeError("on purpose")
        return Fails.apply(output)

    network = trained_by_hand()
    network.fc.register_forward_hook(fail)

    with unchanged(network), pytest.raises(RuntimeError, match="on purpose"):
        scores_of(network, score, calibration=images())


@every_score
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_whatever_the_caller_has_turned_off(score: str, context: Any) -> None:
    """Even if network and images were made there."""
    expected = scores_of(toy(), score, calibration=images())

    network = toy()
    with context():
        outside = scores_of(network, score, calibration=images())
        inside = scores_of(toy(), score, calibration=images())

    assert_close(outside, expected, 1e-12)
    assert_close(inside, expected, 1e-12)
    assert not any(values.requires_grad for values in inside.values())


@every_score
def test_in_the_callers_autocast_and_in_a_coarse_type(score: str) -> None:
    """Scores of bfloat16 weights are computed in float32: they equal those of the same weights in float32."""
    coarse = toy().bfloat16()
    fine = copy.deepcopy(coarse).float()
    calibration = images()
    rounded = Calibration(calibration.inputs.bfloat16().float(), calibration.labels)
    expected = scores_of(fine, score, calibration=rounded)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = scores_of(fine, score, calibration=rounded)

    assert_close(scores, expected, 1e-6)
    assert_close(scores_of(coarse, score, calibration=calibration), expected, 1e-6)
    assert all(values.dtype in {torch.float32, torch.float64} for values in scores.values())


@pytest.mark.parametrize("score", DATA_DRIVEN)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_batches_and_the_order_of_images_do_not_matter(score: str, batch: int) -> None:
    whole = images()
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))
    parts = Calibration(whole.inputs[order], whole.labels[order], batch)

    assert_close(scores_of(toy(), score, calibration=parts), scores_of(toy(), score, calibration=whole), 1e-9)


@every_score
def test_a_damaged_network_is_called_so(score: str) -> None:
    network = toy()
    network.one.weight.data[0] = float("nan")

    with pytest.raises(PrunescopeError, match="NaN or infinite values: is the network damaged"):
        ps.prune(network, "filter", by=score, norm="keep", rate=0.5, calibration=images())


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8])
def test_labels_of_any_integers(kind: torch.dtype) -> None:
    usual = images()
    small = Calibration(usual.inputs, usual.labels.to(kind))
    for score in DATA_DRIVEN:
        assert_close(
            scores_of(toy(), score, calibration=small), scores_of(toy(), score, calibration=usual), 1e-9
        )


@pytest.mark.parametrize(
    ("inputs", "labels", "batch", "said"),
    [
        (
            torch.zeros(2, 3, 8, 8),
            torch.zeros(3, dtype=torch.int64),
            64,
            r"\(2, 3, 8, 8\) of float32 and \(3,\) of",
        ),
        (torch.zeros(2, 3, 8, 8), torch.zeros(2), 64, r"an integer label for each, got .* \(2,\) of float32"),
        (torch.zeros(2, 3, 8, 8), torch.zeros(2, 5, dtype=torch.int64), 64, r"\(2, 5\) of int64"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), 64, "of uint8"),
        (torch.zeros(0, 3, 8, 8), torch.zeros(0, dtype=torch.int64), 64, r"got \(0, 3, 8, 8\)"),
        (torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64), 0, "in batches of 0 is impossible"),
    ],
)
def test_what_is_no_calibration_set(
    inputs: torch.Tensor, labels: torch.Tensor, batch: int, said: str
) -> None:
    with pytest.raises(PrunescopeError, match=said):
        Calibration(inputs, labels, batch)


@pytest.mark.parametrize("score", DATA_DRIVEN)
def test_images_matter(score: str) -> None:
    usual, other = images(), images()
    other.labels[:] = (other.labels + 1) % 3
    usual, other = (scores_of(toy(), score, calibration=calibration) for calibration in (usual, other))

    assert not any(torch.allclose(usual[name], other[name], rtol=0.01) for name in usual)


@every_score
@pytest.mark.parametrize("name", TOYS)
def test_every_way_in_which_channels_travel(score: str, name: str) -> None:
    if score == "lrp" and name in {"layer norm", "group norm"}:
        pytest.skip("relevance has no rule for them, as test_lrp.py checks")
    network = TOYS[name].network()

    with unchanged(network):
        scores = scores_of(network, score, calibration=images(classes=2))

    for layer in find_layers(network).values():
        assert scores[layer.name].shape == (layer.weight_shape[0], *[1] * (len(layer.weight_shape) - 1))
        assert scores[layer.name].isfinite().all()


@every_score
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_auxiliary_heads_and_the_order_in_memory(score: str, memory: torch.memory_format) -> None:
    network = ps.open_network(
        "torchvision/googlenet",
        classes=10,
        options={"aux_logits": True, "init_weights": False},
        preprocess=ps.Preprocess(crop=64),
    ).to(memory_format=memory)
    network.train()
    calibration = images(2, 10, 64, batch=1)

    with unchanged(network):
        scores = scores_of(network, score, calibration=calibration)

    assert len(scores) == 58
    assert not any("aux" in name for name in scores)
    assert all(values.any() and values.is_contiguous() for values in scores.values())


@every_score
@pytest.mark.parametrize(
    "network", ["mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v2"]
)
def test_networks_of_torchvision(score: str, network: str) -> None:
    opened = ps.open_network(f"torchvision/{network}", classes=10, preprocess=ps.Preprocess(crop=64))

    scores = scores_of(opened, score, calibration=images(2, 10, 64))

    assert all(values.isfinite().all() for values in scores.values())
    assert sum(bool(values.any()) for values in scores.values()) > 0.6 * len(scores)


def test_computed_weights_of_spared_layers_do_no_harm() -> None:
    network = toy(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 6), nn.Flatten()))
    nn.utils.parametrizations.weight_norm(network[0])
    layers = {"2": find_layers(network)["2"]}

    for score in GRADIENT_SCORES:
        request = ScoreRequest(carry(network), layers, FILTER, torch.Generator(), images())
        assert all_scores()[score](request)["2"].any()
