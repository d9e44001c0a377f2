"""Size: weights, zeros, unreachable weights, compression, multiply-accumulates, bytes on disk; masked and compact."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd
import pyarrow as pa
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.measures.measure import MEASURES, Measure, MeasureSettings, Subject, Tables
from prunescope.networks.checkpoints import to_bytes
from prunescope.pruning.compaction import compact
from prunescope.pruning.counting import Count, LayerCount, count
from prunescope.pruning.granularity import GRANULARITIES


class SizeSettings(MeasureSettings):
    """Size has no settings."""


def measure_size(subject: Subject, settings: SizeSettings) -> Tables:
    """Count what is left of a network; return the tables `scores` and `layers`."""
    counted = count(subject.network)
    rates = subject.mask.rates if subject.mask else {}
    pruned = rates or counted.layers  # of a dense network, every layer could be
    values = _scores(counted, [counted.layers[name] for name in pruned]) | _bytes(subject.network)
    values["file_bytes_packed"] = len(to_bytes(subject.network.state_dict(), {}, pack=True))
    values |= _compact_scores(subject, counted, values)
    if subject.mask:
        values["held"] = subject.mask.held(subject.network)
    return {
        "scores": pd.DataFrame(
            {"metric": list(values), "value": list(values.values()), "low": np.nan, "high": np.nan, "n": 1}
        ),
        "layers": _layers(counted, rates),
    }


def _scores(counted: Count, prunable: list[LayerCount]) -> dict[str, float]:
    weights = sum(part.layer.weights for part in prunable)
    zeros, unreachable = sum(part.zeros for part in prunable), sum(part.unreachable for part in prunable)
    return {
        "weights": counted.parameters,
        "prunable_weights": weights,
        "nonzero": counted.parameters - counted.zeros,
        "zeros_prunable": zeros / weights,
        "zeros_all": counted.zeros / counted.parameters,
        "unreachable_prunable": unreachable / weights,
        "unreachable_all": counted.unreachable / counted.parameters,
        "compression_prunable": _ratio(weights, weights - zeros),
        "compression_all": _ratio(counted.parameters, counted.parameters - counted.zeros),
        "compression_reachable": _ratio(counted.parameters, counted.parameters - counted.unreachable),
        "macs_dense": sum(part.layer.macs for part in counted.layers.values()),
        "macs_effective": sum(part.macs_effective for part in counted.layers.values()),
    }


def _compact_scores(subject: Subject, counted: Count, masked: dict[str, float]) -> dict[str, float]:
    """Return what is left where removed channels leave the tensors; of what cannot be compacted, nothing leaves."""
    files = masked
    if any(part.zeros for part in counted.layers.values()):
        mask = subject.mask
        if mask and GRANULARITIES[mask.granularity].shrinks and mask.held(subject.network) < 1:
            mask = None  # what grew back must not be removed again: what is still 0 decides
        with contextlib.suppress(PrunescopeError):
            smaller = compact(subject.network, mask)
            counted, files = count(smaller), _bytes(smaller)
    return {
        "weights_compact": counted.parameters,
        "macs_compact": sum(part.layer.macs for part in counted.layers.values()),
        "file_bytes_compact": files["file_bytes"],
        "file_bytes_compact_zstd": files["file_bytes_zstd"],
    }


def _ratio(total: int, left: int) -> float:
    return total / left if left else float("inf")


def _bytes(network: nn.Module) -> dict[str, float]:
    """Return the bytes of the network as a safetensors file in float32, raw and under zstd (level 3)."""
    raw = to_bytes(network.state_dict(), {})
    return {
        "file_bytes": len(raw),
        "file_bytes_zstd": pa.Codec("zstd", compression_level=3).compress(raw).size,
    }


def _layers(counted: Count, rates: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "layer": name,
                "kind": part.layer.kind,
                "out_channels": part.layer.weight_shape[0],
                "in_channels": part.layer.weight_shape[1] * part.layer.groups,
                "kernel": part.layer.kernel,
                "groups": part.layer.groups,
                "spared": bool(rates) and name not in rates,
                "rate": rates.get(name, np.nan),
                "weights": part.layer.weights,
                "kept": part.layer.weights - part.zeros,
                "zeros": part.zeros / part.layer.weights,
                "unreachable": part.unreachable / part.layer.weights,
                "macs": part.layer.macs,
                "macs_effective": part.macs_effective,
                "units": part.units,
                "units_alive": part.units_alive,
            }
            for name, part in counted.layers.items()
        ]
    )


MEASURES.register("size")(Measure("size", 2, SizeSettings, measure_size, looks_at_images=False))
