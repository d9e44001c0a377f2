"""Steps that choose what goes: masks at a target, and what each layer tolerates alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prunescope.measures.latency import milliseconds
from prunescope.networks.network import preprocess_of
from prunescope.pruning.allocation import scaled_rates
from prunescope.pruning.budget import Budget, cost_before, prune_to_budget
from prunescope.pruning.masks import Mask
from prunescope.pruning.prune import Pruning, Rate
from prunescope.pruning.sensitivity import tolerances
from prunescope.study.found import least_of, read_sweep, write_found, write_tried
from prunescope.study.steps import MASK_FILE, Step, Workshop, ancestry, step_kind
from prunescope.training.calibration import draw
from prunescope.training.evaluation import top1

MOST = 1 - 1e-9  # where a factor asks for more than all of a layer, `min_left` decides what stays


@step_kind("prune", version=2)
def _prune(step: Step, workshop: Workshop, folder: Path) -> None:
    network, previous = workshop.network_of(step.parents[0]), workshop.mask_of(step.parents[0])
    pruning = pruning_of(step, workshop, network)
    if "budget" in step.settings["target"]:
        mask = _within(step, workshop, pruning, previous)
    else:
        mask = pruning.at(rate_of(step, workshop, pruning), previous)
    mask.save(folder / MASK_FILE)
    write_found(share_removed(mask), folder)


@step_kind("sensitivity", version=1)
def _sensitivity(step: Step, workshop: Workshop, folder: Path) -> None:
    """Measure top-1 on `validate` with some layers pruned; at rate 0, of the dense network."""
    network, rate = workshop.network_of(step.parents[0]), step.settings["rate"]
    if rate:
        pruning_of(step, workshop, network).at(rate).apply(network)
    images = workshop.images.labelled("validate", preprocess_of(network))
    chosen = images.drawn(step.settings["limit"] or len(images), seed=0)
    write_tried(top1(network, chosen), len(chosen), folder)


def pruning_of(step: Step, workshop: Workshop, network: nn.Module) -> Pruning:
    """Return the way to prune that a step's settings describe, with the images that its score looks at."""
    chosen, preprocess = step.settings, preprocess_of(network)
    given: dict[str, Any] = {}
    count, seed = chosen.get("calibration"), chosen["choices"]["seed"]
    if count and chosen["needs"] == "calibration":
        images = workshop.images.labelled("train", preprocess)
        given["calibration"] = draw(images, preprocess, count, seed)
    elif count:
        images = workshop.images.labelled("validate", preprocess).drawn(count, seed)
        given["evaluate"] = lambda network: top1(network, images)
    return Pruning(network, chosen["granularity"], **chosen["choices"], **given)


def rate_of(step: Step, workshop: Workshop, pruning: Pruning) -> Rate:
    """Return the rate that a step's target asks for: one, or one for each layer."""
    match step.settings["target"]:
        case {"rate": rate, "tolerance": tolerance}:
            found = _tolerated(step.parents[1:], tolerance, workshop)
            return scaled_rates(found, pruning.layers, rate)
        case {"factor": factor, "tolerance": tolerance}:
            found = _tolerated(step.parents[1:], tolerance, workshop)
            return {name: min(rate * factor, MOST) for name, rate in found.items()}
        case {"factor": factor, "rates": rates}:
            return {glob: min(rate * factor, MOST) for glob, rate in rates.items()}
        case {"like": _}:
            other = Mask.load(workshop.store.open(step.parents[1].id) / MASK_FILE)
            rates = {name: float(other.removed(name).double().mean()) for name in other.rates}
            return rates if pruning.scope == "specific" else next(iter(rates.values()))  # n:m has one for all
        case {"rate": rate}:
            return float(rate)
    raise ValueError(step.settings["target"])


def share_removed(mask: Mask) -> float:
    """Return the fraction of the groups of the pruned layers that a mask removes."""
    return float(torch.cat([mask.removed(name).flatten() for name in mask.rates]).double().mean())


def _tolerated(sweep: Sequence[Step], tolerance: Mapping[str, Any], workshop: Workshop) -> dict[str, float]:
    dense, _, found = read_sweep(sweep, workshop.store.open)
    return tolerances(found, least_of(tolerance, dense))


def _within(step: Step, workshop: Workshop, pruning: Pruning, previous: Mask | None) -> Mask:
    """Return the mask of the smallest rate that keeps to the step's budget."""
    asked = step.settings["target"]["budget"]
    most, cost = asked["amount"], None
    if asked["of"] == "milliseconds":
        threads = step.where["threads"]
        cost = partial(milliseconds, runtime=asked["runtime"], batch=asked["batch"], threads=threads)
    if asked["of_dense"]:
        dense = workshop.network_of(list(ancestry(step))[-1])
        most *= cost_before(dense, pruning, asked["of"], cost)
    budget = Budget(asked["of"], most)
    return prune_to_budget(pruning.network, pruning, budget, previous, cost).mask
