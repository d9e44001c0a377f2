"""Scoring ResNet-50 by magnitude and giving its layers their rates, beside one pass over its weights.

The rows are whole calls of `ps.prune`: they find the layers (and for filters where channels go), score, allocate and
select. The limit of each is half a second. A budget is many such calls, and a look at what every mask leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selection import resnet50
from table import Row
from timing import interleaved
from torch import nn

import prunescope as ps
from prunescope.measures.runtimes import computing_with
from prunescope.networks.layers import find_layers
from prunescope.pruning.allocation import erdos_renyi_rates
from prunescope.pruning.budget import Budget, prune_to_budget
from prunescope.pruning.prune import Pruning

MOST = 500.0  # ms
WAYS: dict[str, dict[str, Any]] = {
    "weights, layer": {"granularity": "weight"},
    "weights, global": {"granularity": "weight", "scope": "global"},
    "weights, erk": {"granularity": "weight", "scope": "erk"},
    "weights, global, each layer keeps 10 %": {"granularity": "weight", "scope": "global", "min_share": 0.1},
    "filters, layer": {"granularity": "filter"},
    "filters, global": {"granularity": "filter", "scope": "global"},
    "filters, erk": {"granularity": "filter", "scope": "erk"},
    "connections, layer": {"granularity": "connection"},
}


def pruned(network: nn.Module, way: dict[str, Any]) -> Callable[[], object]:
    return lambda: ps.prune(network, rate=0.8, **way)


def rows() -> list[Row]:
    network = resnet50()
    layers = find_layers(network)
    weights = [layer.module.weight.detach() for layer in layers.values()]
    with computing_with(1):
        limit = interleaved({"abs": lambda: [w.abs() for w in weights]})["abs"].cpu
        times = interleaved({name: pruned(network, way) for name, way in WAYS.items()}, repeats=7)
        rates = interleaved({"erk": lambda: erdos_renyi_rates(layers, 0.8)})["erk"].cpu
        found = [
            Row(
                f"score and allocate, {name}",
                taken.cpu,
                "ms",
                f"abs of all weights, {limit:.1f} ms",
                taken.cpu / limit,
                most=MOST,
            )
            for name, taken in times.items()
        ]
        return [*found, Row("rates by erk alone", rates, "ms"), budget(network, times["filters, layer"].cpu)]


def budget(network: nn.Module, once: float) -> Row:
    """Time half the multiply-accumulates, by filter."""
    half = Budget("macs", sum(layer.macs for layer in find_layers(network).values()) / 2)
    taken = interleaved(
        {"budget": lambda: prune_to_budget(network, Pruning(network, "filter"), half)}, repeats=3
    )["budget"].cpu
    return Row("half the MACs, filters, layer", taken, "ms", f"one rate, {once:.0f} ms", taken / once)
