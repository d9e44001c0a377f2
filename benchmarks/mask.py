"""What a held mask adds to a training step of GoogLeNet: 10 classes, batches of 64, 128 pixels, channels last.

Two figures say so. A whole step beside a dense one, in pairs, scatters by about the 1 % that is at stake; so
what the hook adds is also measured alone, on a step of an optimizer that finds no gradients and does nothing
else, and divided by the time of the dense step. The target is held against the second.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping

import torch
from table import Row
from timing import Times, interleaved
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune as torch_prune

import prunescope as ps
from prunescope.measures.runtimes import computing_with
from prunescope.networks.network import logits_of
from prunescope.training.course import make_optimizer
from prunescope.training.evaluation import autocast
from prunescope.training.settings import OptimizerSettings, Precision

BATCH, SIDE = 64, 128
PEER_BATCH = 16  # where torch.nn.utils.prune is compared, to save time; it makes what a mask adds weigh more
MOST = 0.01  # of a dense step


def googlenet() -> nn.Module:
    network = ps.open_network(
        "torchvision/googlenet",
        classes=10,
        options={"aux_logits": False, "init_weights": False},
        preprocess=ps.Preprocess(resize=SIDE, crop=SIDE),
    )
    return network.to(memory_format=torch.channels_last).train()


def training_step(network: nn.Module, precision: Precision, batch: int = BATCH) -> Callable[[], None]:
    optimizer = make_optimizer(network, OptimizerSettings())  # SGD with momentum and weight decay
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, SIDE, SIDE, generator=generator)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,), generator=generator)

    def step() -> None:
        with autocast(images.device, precision):
            logits = logits_of(network(images))
        optimizer.zero_grad()
        functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


def idle_step(network: nn.Module) -> Callable[[], None]:
    """Return a step in which the optimizer finds no gradients and does nothing; hooks run all the same."""
    optimizer = make_optimizer(network, OptimizerSettings())
    network.zero_grad()

    def step() -> None:
        optimizer.step()

    return step


def masked_by_torch(network: nn.Module, mask: ps.Mask) -> nn.Module:
    for name, keep in mask.keep.items():
        torch_prune.custom_from_mask(network.get_submodule(name.removesuffix(".weight")), "weight", keep)
    return network


def rows() -> list[Row]:
    dense = googlenet()
    weights = ps.prune(dense, "weight", scope="global", rate=0.8)
    filters = ps.prune(dense, "filter", rate=0.5)
    peer = masked_by_torch(copy.deepcopy(dense), weights)
    with (
        ps.hold(copy.deepcopy(dense), weights) as by_weight,
        ps.hold(copy.deepcopy(dense), filters) as by_filter,
    ):
        held = {"weight masks": by_weight, "filter masks": by_filter}
        with computing_with(1):
            hooks = {name: hook_alone(dense, network).cpu for name, network in held.items()}
            found = [beside_the_limit(by_weight, hooks["weight masks"])]
            found += beside_dense(dense, held, hooks, "fp32")
            found += beside_dense(dense, {"weight masks": by_weight}, hooks, "bf16")
            found += beside_torch(dense, by_weight, peer)
        return [*found, on_all_processors(dense, by_weight)]


def hook_alone(dense: nn.Module, held: nn.Module) -> Times:
    """Return what the hook adds to a step."""
    idle = interleaved({"dense": idle_step(dense), "held": idle_step(held)}, repeats=50, warmup=5)
    return idle["held"] - idle["dense"]


def beside_the_limit(held: nn.Module, hook: float) -> Row:
    """Compare the hook with the least that it could be: one multiply over the weights."""
    weights = [parameter.detach() for parameter in held.parameters() if parameter.ndim > 1]
    factors = [torch.ones_like(weight) for weight in weights]
    limit = interleaved({"multiply": lambda: torch._foreach_mul_(weights, factors)}, repeats=50, warmup=5)
    least = limit["multiply"].cpu
    return Row(
        "hook alone, weight masks", hook, "ms", f"one multiply over the weights, {least:.2f} ms", hook / least
    )


def beside_dense(
    dense: nn.Module, held: Mapping[str, nn.Module], hooks: Mapping[str, float], precision: Precision
) -> list[Row]:
    networks = {"dense": dense, **held}
    whole = interleaved({name: training_step(network, precision) for name, network in networks.items()})
    against = f"dense {precision} step, {whole['dense'].cpu:.0f} ms"
    found = []
    for name in held:
        share = hooks[name] / whole["dense"].cpu
        found += [
            Row(f"hook alone, {name}", hooks[name], "ms", against, share, most_ratio=MOST),
            Row(
                f"whole step, {name}", whole[name].cpu, "ms", against, whole[name].paired_cpu(whole["dense"])
            ),
        ]
    return found


def beside_torch(dense: nn.Module, held: nn.Module, peer: nn.Module) -> list[Row]:
    networks = {"dense": dense, "held": held, "torch.nn.utils.prune": peer}
    whole = interleaved({name: training_step(n, "fp32", PEER_BATCH) for name, n in networks.items()})
    against = f"dense fp32 step, {whole['dense'].cpu:.0f} ms"
    return [
        Row(
            f"whole step of {PEER_BATCH} images, weight masks, {name}",
            whole[name].cpu,
            "ms",
            against,
            whole[name].paired_cpu(whole["dense"]),
        )
        for name in ("held", "torch.nn.utils.prune")
    ]


def on_all_processors(dense: nn.Module, held: nn.Module) -> Row:
    count = os.cpu_count() or 1
    with computing_with(count):
        step = interleaved({"dense": training_step(dense, "fp32")}, repeats=3)["dense"].wall
        hook = hook_alone(dense, held).wall
    name = f"hook alone, weight masks, wall clock, {count} threads"
    return Row(name, hook, "ms", f"dense fp32 step, {step:.0f} ms", hook / step)
