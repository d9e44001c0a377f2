"""Times of a synthetic study by formulas: the table `speed`, and the scores of compact and packed networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from synthetic import MACS, WEIGHTS, hash_of, write_study

DENSE = {  # milliseconds of the dense network at batch 1
    "pytorch": 48.7, "channels-last": 31.2, "compile": 27.5, "onnxruntime": 11.9, "openvino": 10.3,
}  # fmt: skip
KEPT_PROMISE = {"pytorch": 0.55, "channels-last": 0.6, "compile": 0.6, "onnxruntime": 0.85, "openvino": 0.8}
VERSIONS = {"onnxruntime": "1.23.0", "openvino": "2025.3.0"}
WHY_NOT = "single weights leave no channel to take out"
THROUGHPUT = 0.85  # of the time at batch 1 that an image takes at the larger batch
WIDTH_OF_TIME = 0.012  # of a speed-up: half its interval
MEGABYTE = 1e6


def write_speed_study(
    folder: Path,
    *,
    runtimes: Sequence[str] = ("pytorch", "onnxruntime", "openvino"),
    batches: Sequence[int] = (1, 16),
    broken: Mapping[str, str] | None = None,
    drift: float = 0.02,
    masks: float = 1.0,
    **shape: Any,
) -> Path:
    """Write a study that was timed; `broken` says of runtimes why they gave nothing.

    Args:
        drift: how much of a time the machine's own changes are.
        masks: the speed-up that masks alone bring.
    """
    write_study(folder, **shape)
    tables = folder / "tables"
    networks = list(pd.read_parquet(tables / "networks.parquet").to_dict("records"))
    rows = [
        row
        for network in networks
        for runtime in runtimes
        for batch in batches
        for row in times_of(network, runtime, batch, (broken or {}).get(runtime), drift, masks)
    ]
    pd.DataFrame(rows).to_parquet(tables / "speed.parquet", index=False)
    scores = pd.read_parquet(tables / "scores.parquet")
    if "size" in shape.get("measures", ("accuracy", "size")):
        added = pd.DataFrame([row for network in networks for row in _scores(network)])
        scores = pd.concat([scores, added], ignore_index=True)
    scores.to_parquet(tables / "scores.parquet")
    return folder


def macs_left(network: Mapping[str, Any]) -> tuple[float, float]:
    """Return the shares of the multiply-accumulates that are left, effective and compact."""
    rate = network["rate"]
    power = {"filter": 1.8, "connection": 0.9, "weight": 0.8}.get(network["granularity"], 0)
    effective = (1 - rate) ** power
    return effective, 1.0 if network["granularity"] == "weight" else effective


def speedup_of(
    network: Mapping[str, Any], runtime: str, batch: int, variant: str, masks: float = 1.0
) -> float:
    """Return how much faster a variant is than the dense network."""
    if variant == "dense":
        return 1.0
    noise = 0.006 * math.sin(hash_of(f"{network['network']}{runtime}{batch}{variant}") % 1000)
    if variant == "masked":
        return masks + noise
    kept = KEPT_PROMISE[runtime] + (0.04 if batch > 1 else 0)
    return macs_left(network)[1] ** -kept + noise


def times_of(
    network: Mapping[str, Any], runtime: str, batch: int, broken: str | None, drift: float, masks: float
) -> list[dict[str, Any]]:
    """Return the rows of one network in one runtime at one batch."""
    dense_network, weights = network["stage"] == "dense", network["granularity"] == "weight"
    turn = 1 + drift * math.sin(hash_of(str(network["network"])) % 1000)
    rows = []
    for variant in ("dense",) if dense_network else ("dense", "masked", "compact"):
        why = broken or (WHY_NOT if variant == "compact" and weights else None)
        speedup = speedup_of(network, runtime, batch, variant, masks)
        each = DENSE[runtime] * turn * (THROUGHPUT if batch > 1 else 1) / speedup
        effective, compact = macs_left(network)
        share = {"dense": 1.0, "masked": effective, "compact": compact}[variant]
        known = {
            "milliseconds": batch * each, "p95": 1.1 * batch * each, "images_per_second": 1000 / each,
            "cpu_milliseconds": batch * each, "speedup": speedup,
            "low": speedup * (1 - WIDTH_OF_TIME), "high": speedup * (1 + WIDTH_OF_TIME),
            "peak_bytes": (24 + 9 * batch) * MEGABYTE * (1 if variant != "compact" else compact**0.5)
            if runtime == "pytorch" else math.nan,
        }  # fmt: skip
        if why:
            known = dict.fromkeys(known, math.nan)
        rows.append(
            {
                "network": network["network"], "runtime": runtime, "batch": batch, "variant": variant, **known,
                "clock": "cpu", "rounds": 15, "threads": 1,
                "macs": math.nan if variant == "compact" and weights else MACS * share, "device": "cpu",
                "version": VERSIONS.get(runtime, "2.13.0"), "why": why,
            }
        )  # fmt: skip
    return rows


def _scores(network: Mapping[str, Any]) -> list[dict[str, Any]]:
    left = macs_left(network)[1]
    zeros = 0.0 if network["stage"] == "dense" else network["rate"]
    size = {
        "macs_compact": MACS * left, "weights_compact": WEIGHTS * left, "file_bytes_compact": 4 * WEIGHTS * left,
        "file_bytes_compact_zstd": 3.7 * WEIGHTS * left, "file_bytes_packed": 4 * WEIGHTS * (1 - zeros + 1 / 32),
    }  # fmt: skip
    return [
        {
            "network": network["network"], "metric": metric, "value": value, "low": math.nan, "high": math.nan,
            "n": 1, "measure": "size",
        }
        for metric, value in size.items()
    ]  # fmt: skip
