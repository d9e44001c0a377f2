"""The training loop."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from prunescope.errors import PrunescopeError
from prunescope.images.batches import Batches
from prunescope.networks.network import device_of, logits_of, preprocess_of
from prunescope.training.evaluation import LabelledPixels, autocast, memory_order, predict
from prunescope.training.schedules import factor
from prunescope.training.settings import OptimizerSettings, TrainSettings


@dataclass(frozen=True)
class Epoch:
    """What one epoch did. `validate_top1` is None where there is no early stopping; times in seconds."""

    epoch: int
    loss: float
    lr: float
    seconds: float
    waited: float
    validate_top1: float | None = None


def train(
    network: nn.Module,
    images: LabelledPixels,
    settings: TrainSettings,
    *,
    validate: LabelledPixels | None = None,
    seed: int = 0,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> list[Epoch]:
    """Train `network` in place; it is left in eval mode, in its usual memory order.

    On one CPU the same network, images, settings, seed and number of threads give the same bits.

    Args:
        validate: images that early stopping looks at (`settings.patience`).
        on_step: told after every step how many are done, and of how many.
        on_epoch: told what each epoch did.

    Raises:
        PrunescopeError: the loss is NaN or infinite.
    """
    preprocess, device = preprocess_of(network), device_of(network)
    optimizer = make_optimizer(network, settings.optimizer)
    history: list[Epoch] = []
    best: tuple[float, dict[str, torch.Tensor]] | None = None
    drop_last = len(images) % settings.batch == 1 < len(images)  # batch norm cannot learn from one image
    done = 0
    with _own_random(seed, device), memory_order(network, settings.channels_last):
        for epoch in range(settings.epochs):
            started, losses, seen = time.perf_counter(), torch.zeros((), device=device), 0
            network.train()
            batches = Batches(
                images.pixels, images.labels, images.indices,
                crop=preprocess.crop, size=settings.batch, augment=settings.augment,
                seed=seed, epoch=epoch, shuffle=True, drop_last=drop_last,
            )  # fmt: skip
            for step, batch in enumerate(batches):
                lr = settings.optimizer.lr * factor(
                    settings.schedule, epoch + step / len(batches), settings.epochs
                )
                for group in optimizer.param_groups:
                    group["lr"] = lr
                x = preprocess.normalise(batch.images.to(device, non_blocking=True))
                labels = batch.labels.to(device, non_blocking=True)
                with autocast(device, settings.precision):
                    outputs = network(x)
                loss = _loss(outputs, labels, settings)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                losses += loss.detach() * len(labels)
                seen += len(labels)
                done += 1
                on_step(done, settings.epochs * len(batches))
            mean = losses.item() / seen
            _refuse_nan(mean, epoch, settings)
            top1 = _top1(network, validate, settings) if validate is not None and settings.patience else None
            history.append(Epoch(epoch, mean, lr, time.perf_counter() - started, batches.waited, top1))
            on_epoch(history[-1])
            if top1 is not None:
                if best is None or top1 > best[0]:
                    best = top1, copy.deepcopy(network.state_dict())
                elif _waited_long_enough(history, settings):
                    break
        if best is not None:
            network.load_state_dict(best[1])
    network.eval()
    return history


def make_optimizer(network: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return the optimizer that the settings describe, over all parameters."""
    parameters = list(network.parameters())
    if settings.name == "sgd":
        return torch.optim.SGD(
            parameters, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
    adam = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return adam(
        parameters, lr=settings.lr, betas=(settings.momentum, 0.999), weight_decay=settings.weight_decay
    )


def _loss(outputs: object, labels: torch.Tensor, settings: TrainSettings) -> torch.Tensor:
    """Cross-entropy of the logits, plus that of each auxiliary head (GoogLeNet and Inception return them)."""

    def cross_entropy(logits: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)

    loss = cross_entropy(logits_of(outputs))
    heads = () if isinstance(outputs, torch.Tensor) else outputs[1:]  # type: ignore[index]
    return loss + settings.auxiliary * sum(cross_entropy(head) for head in heads if head is not None)


def _refuse_nan(loss: float, epoch: int, settings: TrainSettings) -> None:
    if loss - loss != 0:  # NaN or infinite
        raise PrunescopeError(
            f"the loss became {loss} in epoch {epoch + 1}: try a smaller optimizer.lr than {settings.optimizer.lr:g}, "
            "schedule.warmup: 1, precision: fp32, or prune less at a time"
        )


def _top1(network: nn.Module, images: LabelledPixels, settings: TrainSettings) -> float:
    logits = predict(network, images, precision=settings.precision, channels_last=False)
    return float((logits.argmax(1) == images.targets).float().mean())


def _waited_long_enough(history: list[Epoch], settings: TrainSettings) -> bool:
    scores = [epoch.validate_top1 or 0.0 for epoch in history]
    return len(scores) - 1 - scores.index(max(scores)) >= (settings.patience or len(scores))


@contextmanager
def _own_random(seed: int, device: torch.device) -> Iterator[None]:
    """Let dropout and the like draw from `seed`, and leave the global generators as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
