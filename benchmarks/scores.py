"""Scores of GoogLeNet's weights from gradients, beside the forward and backward passes that they cannot do without.

SynFlow is timed as `ps.prune` runs it: 100 times scores, a choice and a mask, down to 10 % of the weights. Its
passes are one image of ones through the network in float64 with positive weights, and back to all weights. The
others look at some images once; their passes are forward, loss and back to all weights (to what layers put out,
for Taylor, which is less). GraSP needs a second gradient and the gradient of that.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from table import Row
from timing import interleaved
from torch import nn
from torch.nn import functional

import prunescope as ps
from prunescope.measures.runtimes import computing_with
from prunescope.networks.layers import Prunable, find_layers
from prunescope.pruning.calibration import Calibration
from prunescope.pruning.granularity import FILTER
from prunescope.pruning.scores import all_scores
from prunescope.pruning.scores.score import ScoreRequest

STEPS, RATE = 100, 0.9
MOST_SYNFLOW = 3  # times its passes
IMAGES, SIDE = 8, 224


def rows() -> list[Row]:
    network = ps.open_network("torchvision/googlenet", options={"aux_logits": False, "init_weights": False})
    with computing_with(1):
        return [synflow(network), *data_driven(network)]


def synflow(network: nn.Module) -> Row:
    positive = copy.deepcopy(network).double()
    for parameter in positive.parameters():
        parameter.data.abs_()
    once = passes(positive, torch.ones(1, 3, SIDE, SIDE, dtype=torch.float64), torch.sum)
    times = interleaved(
        {
            "prune": lambda: ps.prune(network, "weight", by="synflow", scope="global", rate=RATE),
            "passes": lambda: [once() for _ in range(STEPS)],
        },
        repeats=1,
        warmup=0,
    )
    name = f"SynFlow, {RATE:.0%} of the weights in {STEPS} steps"
    against = f"{STEPS} passes, {times['passes'].cpu / 1e3:.1f} s"
    ratio = times["prune"].paired_cpu(times["passes"])
    return Row(name, times["prune"].cpu / 1e3, "s", against, ratio, most_ratio=MOST_SYNFLOW)


def data_driven(network: nn.Module) -> list[Row]:
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(IMAGES, 3, SIDE, SIDE, generator=draw)
    calibration = Calibration(inputs, torch.randint(1000, (IMAGES,), generator=draw))
    request = ScoreRequest(network, find_layers(network), FILTER, draw, calibration)
    scores = ("snip", "taylor", "grasp")
    variants: dict[str, Callable[[], object]] = {
        by: lambda score=all_scores()[by]: score(request)  # type: ignore[misc]
        for by in scores
    }
    loss = lambda logits: functional.cross_entropy(logits, calibration.labels)  # noqa: E731
    times = interleaved({"passes": passes(network, inputs, loss), **variants}, repeats=3)
    against = f"forward and backward, {times['passes'].cpu:.0f} ms"
    return [
        Row(f"{by}, {IMAGES} images", times[by].cpu, "ms", against, times[by].paired_cpu(times["passes"]))
        for by in scores
    ]


def passes(
    network: nn.Module, inputs: torch.Tensor, scalar: Callable[[torch.Tensor], torch.Tensor]
) -> Callable[[], object]:
    """Return what passes `inputs` forward and the gradients of a scalar back to all weights."""
    weights = [module.weight for module in network.modules() if isinstance(module, Prunable)]
    return lambda: torch.autograd.grad(scalar(network(inputs)), weights)
