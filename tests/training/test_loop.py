"""The training loop: each step against the formula, the same bits from the same seed, and how it ends."""

from __future__ import annotations

import copy
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from prunescope.errors import PrunescopeError
from prunescope.images.augment import Augment
from prunescope.networks.preprocess import Preprocess
from prunescope.pruning.masks import Mask, hold
from prunescope.training import course
from prunescope.training.evaluation import LabelledPixels, predict, resolve_precision
from prunescope.training.loop import train
from prunescope.training.schedules import factor
from training.small import INPUT, images, same_bits, settings, tiny

Outputs = namedtuple("Outputs", ["logits", "aux"])


class Means(nn.Module):
    """A linear layer on the three channel means, with an auxiliary head in training: small enough for numpy."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.main, self.side = nn.Linear(3, 4), nn.Linear(3, 4)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        self.preprocess = Preprocess(resize=None, crop=2, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))

    def forward(self, x: torch.Tensor) -> torch.Tensor | Outputs:
        means = x.mean(dim=(2, 3))
        return Outputs(self.main(means), self.side(means)) if self.training else self.main(means)


def as_numpy(network: nn.Module) -> dict[str, NDArray[np.float64]]:
    return {name: p.detach().numpy().astype(np.float64).copy() for name, p in network.named_parameters()}


def cross_entropy(
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    means: NDArray[np.float64],
    target: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return loss, gradient of the weight and gradient of the bias, from the textbook."""
    logits = means @ weight.T + bias
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    slope = (shares - target) / len(means)
    return float(-(target * np.log(shares)).sum(1).mean()), slope.T @ means, slope.sum(0)


def test_one_step_is_the_formula_with_auxiliary_head_label_smoothing_and_weight_decay() -> None:
    data, network = images(12, classes=4, size=2), Means()
    before = as_numpy(network)
    chosen = settings(
        batch=12, label_smoothing=0.2, auxiliary=0.3, channels_last=False,
        optimizer={"name": "sgd", "lr": 0.5, "momentum": 0.9, "weight_decay": 0.01},
    )  # fmt: skip
    history = train(network, data, chosen)

    pixels = data.pixels.flat.reshape(12, 2, 2, 3).astype(np.float64) / 255
    means = ((pixels - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]).mean((1, 2))
    target = 0.8 * np.eye(4)[data.labels] + 0.2 / 4
    main, weight, bias = cross_entropy(before["main.weight"], before["main.bias"], means, target)
    side, *_ = cross_entropy(before["side.weight"], before["side.bias"], means, target)
    assert history[0].loss == pytest.approx(main + 0.3 * side, rel=1e-5)
    expected = {
        "main.weight": before["main.weight"] - 0.5 * (weight + 0.01 * before["main.weight"]),
        "main.bias": before["main.bias"] - 0.5 * (bias + 0.01 * before["main.bias"]),
    }
    _, weight, bias = cross_entropy(before["side.weight"], before["side.bias"], means, target)
    expected["side.bias"] = before["side.bias"] - 0.5 * (0.3 * bias + 0.01 * before["side.bias"])
    after = as_numpy(network)
    for name, values in expected.items():
        np.testing.assert_allclose(after[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_first_step_of_adam_has_the_length_of_the_learning_rate(name: str) -> None:
    network = Means()
    before = as_numpy(network)
    chosen = settings(batch=12, optimizer={"name": name, "lr": 0.1, "weight_decay": 0.5})
    train(network, images(12, classes=4, size=2), chosen)
    moved = as_numpy(network)["main.weight"] - before["main.weight"]
    if name == "adamw":  # which takes the decay off the weights, beside the step
        moved += 0.1 * 0.5 * before["main.weight"]
    np.testing.assert_allclose(np.abs(moved), 0.1, rtol=1e-3)


@contextmanager
def rates_used() -> Iterator[list[float]]:
    rates: list[float] = []
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"])
    )
    yield rates
    handle.remove()


def test_every_step_has_the_rate_of_its_moment() -> None:
    chosen = settings(epochs=3, optimizer={"lr": 0.2}, schedule={"name": "cosine", "warmup": 1})
    with rates_used() as rates:
        history = train(tiny(), images(20), chosen)  # 3 batches of 8, 8, 4
    assert rates == pytest.approx([0.2 * factor(chosen.schedule, step / 3, 3) for step in range(9)])
    assert [epoch.lr for epoch in history] == rates[2::3]


def trained(seed: int = 0, **chosen: Any) -> dict[str, torch.Tensor]:
    network = tiny()
    augment = {"augment": Augment(crop="random", pad=2)}
    train(network, images(24), settings(**{"epochs": 2, **augment, **chosen}), seed=seed)
    return network.state_dict()


def test_the_same_seed_gives_the_same_bits_whatever_the_global_generator_does() -> None:
    first = trained(seed=1)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 (the global one is the point)
    assert same_bits(first, trained(seed=1))
    assert not same_bits(first, trained(seed=2))


def test_dropout_follows_the_seed_and_leaves_the_global_generator_alone() -> None:
    def with_dropout(seed: int) -> dict[str, torch.Tensor]:
        network = tiny(dropout=0.5)
        train(network, images(8), settings(epochs=1, batch=8), seed=seed)  # one batch: order cannot matter
        return network.state_dict()

    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = with_dropout(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    assert same_bits(first, with_dropout(1))
    assert not torch.allclose(first["fc.weight"], with_dropout(2)["fc.weight"], atol=1e-4)


def test_early_stopping_waits_its_patience_and_keeps_the_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = iter([0.2, 0.5, 0.4, 0.5, 0.9])  # equal is no better: two epochs after the second, it ends
    seen: list[dict[str, torch.Tensor]] = []

    def top1(network: nn.Module, *_: Any) -> float:
        seen.append(copy.deepcopy(network.state_dict()))
        return next(scripted)

    monkeypatch.setattr(course, "_top1", top1)
    network = tiny()
    history = train(network, images(16), settings(epochs=10, patience=2), validate=images(6, seed=1))
    assert [epoch.validate_top1 for epoch in history] == [0.2, 0.5, 0.4, 0.5]
    assert same_bits(network.state_dict(), seen[1])
    assert not same_bits(seen[1], seen[3])


def test_early_stopping_reports_the_accuracy_of_what_it_keeps() -> None:
    network, validate = tiny(), images(30, seed=1)
    history = train(network, images(24), settings(epochs=6, patience=2), validate=validate)
    top1 = (predict(network, validate).argmax(1) == validate.targets).float().mean().item()
    assert top1 == pytest.approx(max(epoch.validate_top1 or 0 for epoch in history))


def test_without_patience_validation_images_change_nothing() -> None:
    network = tiny()
    history = train(network, images(16), settings(epochs=2), validate=images(6, seed=1))
    assert len(history) == 2
    assert history[0].validate_top1 is None


def test_a_curve_of_accuracy_changes_nothing_else() -> None:
    plain, watched, validate = tiny(), tiny(), images(30, seed=1)
    train(plain, images(16), settings(epochs=3))
    history = train(watched, images(16), settings(epochs=3, validate_epochs=True), validate=validate)
    assert same_bits(plain.state_dict(), watched.state_dict())
    last = (predict(watched, validate).argmax(1) == validate.targets).float().mean().item()
    assert [epoch.validate_top1 is not None for epoch in history] == [True] * 3
    assert history[-1].validate_top1 == pytest.approx(last)


def test_a_loss_that_leaves_the_numbers_is_an_error_with_advice() -> None:
    network = tiny()
    with pytest.raises(
        PrunescopeError, match=r"the loss became (nan|inf).*epoch \d.*optimizer\.lr than 1e\+30"
    ):
        train(network, images(24), settings(epochs=4, optimizer={"lr": 1e30}))
    assert network.conv1.weight.is_contiguous()  # in its usual order all the same
    assert not network.conv1.weight.is_contiguous(memory_format=torch.channels_last)


class OneNumber(nn.Module):
    """Batch norm over one number an image: a batch of one image has no variance."""

    def __init__(self) -> None:
        super().__init__()
        self.preprocess = INPUT
        self.norm, self.fc = nn.BatchNorm1d(3), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.norm(x.mean(dim=(2, 3))))
        return logits


def test_a_last_batch_of_one_image_is_left_out_and_no_other() -> None:
    sizes: list[int] = []
    network = OneNumber()
    network.norm.register_forward_pre_hook(lambda _, x: sizes.append(len(x[0])))
    steps: list[tuple[int, int]] = []
    train(network, images(9), settings(batch=4, epochs=2), on_step=lambda *at: steps.append(at))
    assert sizes == [4, 4, 4, 4]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    sizes.clear()
    train(network, images(10), settings(batch=4))
    assert sizes == [4, 4, 2]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_held_weights_are_exactly_zero_after_training_and_free_ones_are_not(optimizer: str) -> None:
    keep = torch.rand(8, 8, 3, 3, generator=torch.Generator().manual_seed(0)) > 0.5
    mask = Mask({"conv2.weight": keep, "bn3.bias": torch.arange(16) % 2 == 0}, "weight")
    chosen = settings(epochs=2, optimizer={"name": optimizer, "lr": 0.01, "weight_decay": 0.01})
    network = tiny()
    with hold(network, mask):
        train(network, images(24), chosen)
    assert torch.equal(network.conv2.weight == 0, ~keep)
    assert torch.equal(network.bn3.bias == 0, ~mask.keep["bn3.bias"])
    revived = tiny()
    mask.apply(revived)
    train(revived, images(24), chosen)
    assert (revived.conv2.weight != 0).all()


def test_a_separable_problem_is_learnt() -> None:
    network, unseen = tiny(), images(60, seed=9)
    history = train(network, images(48), settings(epochs=6, optimizer={"lr": 0.05}))
    assert history[-1].loss < history[0].loss / 2
    assert (predict(network, unseen).argmax(1) == unseen.targets).float().mean() > 0.9  # chance: 1/3


def test_bf16_computes_coarsely_and_keeps_float32_weights() -> None:
    network, data = tiny(), images(16)
    exact, coarse = predict(network, data), predict(network, data, precision="bf16")
    assert coarse.dtype == torch.float32
    assert not torch.equal(exact, coarse)
    torch.testing.assert_close(coarse, exact, rtol=0.05, atol=0.05)
    before = network.conv1.weight.clone()
    history = train(network, data, settings(precision="bf16"))
    assert network.conv1.weight.dtype == torch.float32
    assert not torch.equal(network.conv1.weight, before)
    assert np.isfinite(history[0].loss)


def test_auto_precision_says_what_it_is() -> None:
    assert resolve_precision("auto", "cuda") == "bf16"
    assert resolve_precision("auto", "mps") == "fp32"
    assert resolve_precision("auto", "cpu") in {"fp32", "bf16"}
    assert resolve_precision("fp32", "cuda") == "fp32"


def test_predictions_keep_the_order_of_the_images_whatever_the_batch() -> None:
    network, data = tiny(), images(10)
    chosen = LabelledPixels(data.pixels, data.labels, np.array([7, 2, 2, 9, 0]))
    everything = predict(network, data, batch=3)
    torch.testing.assert_close(predict(network, chosen, batch=2), everything[[7, 2, 2, 9, 0]])
    assert chosen.targets.tolist() == [7 % 3, 2, 2, 0, 0]


def test_predicting_and_training_give_modes_and_memory_order_back() -> None:
    network = tiny().train()
    network.bn2.eval()
    order: list[bool] = []
    network.conv2.register_forward_hook(
        lambda module, *_: order.append(module.weight.is_contiguous(memory_format=torch.channels_last))
    )
    predict(network, images(4))
    assert network.training
    assert network.conv1.training
    assert not network.bn2.training
    train(network, images(8), settings())
    assert order == [True, True]
    assert network.conv2.weight.is_contiguous()
    assert not network.training
