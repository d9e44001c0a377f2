"""Tables of a study made by formulas, as a run would leave them: for tests of what reads tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

WEIGHTS = 5_600_000
SPARED_WEIGHTS = 100_000
MACS = 1.498e9
Series = tuple[str, str, str, float, float]
SERIES: tuple[Series, ...] = (
    # name, granularity, score, top-1 lost by pruning alone and after retraining, at rate 1
    ("filters", "filter", "l1", 2.6, 0.21),
    ("weights", "weight", "magnitude", 1.3, 0.06),
    ("connections, random", "connection", "random", 2.9, 0.30),
)
TEST_IMAGES, DENSE_TOP1 = 500, 0.912


def write_study(
    folder: Path,
    *,
    series: Sequence[Series] = SERIES,
    rates: Sequence[float] = (0.2, 0.4, 0.6),
    seeds: Sequence[int] = (0,),
    retrain: bool = True,
    hold: bool = True,
    layers: int = 20,
    classes: Sequence[str] = tuple(f"class {i}" for i in range(10)),
    failed: Sequence[str] = (),
    measures: Sequence[str] = ("accuracy", "size"),
    **study: Any,
) -> Path:
    """Write `study.json` and all tables of a study; networks named in `failed` are missing from them."""
    networks = [
        network | {"retraining": "fine-tune" if retrain else "none", "hold": hold}
        for seed in seeds
        for network in _networks(series, rates, seed, retrain)
    ]
    if not hold:
        for network in (network for network in networks if network["stage"] == "retrained"):
            network |= {"zeros_after_retraining": 0.003, "unreachable_after_retraining": 0.003}
            network["held"] = 0.003 / network["zeros_after_pruning"]
    losses = {entry[0]: entry[3:] for entry in series}
    kept = [network for network in networks if network["network"] not in failed]
    tables = {
        "networks": pd.DataFrame(kept),
        "scores": pd.DataFrame(
            [row for network in kept for row in _scores(network, losses, len(classes), measures)],
            columns=["network", "metric", "value", "low", "high", "n", "measure"],
        ),
        "layers": pd.DataFrame([row for network in kept for row in _layers(network, layers)]),
        "classes": pd.DataFrame(
            [row for network in kept for row in _classes(network, losses, classes)]
            if "accuracy" in measures
            else []
        ),
        "images": pd.DataFrame(columns=["network", "image", "label", "prediction", "confidence"]),
        "steps": pd.DataFrame([_step(network, failed) for network in networks]),
    }
    (folder / "tables").mkdir(parents=True)
    for name, table in tables.items():
        table.to_parquet(folder / "tables" / f"{name}.parquet")
    described = {
        "study": folder.name,
        "title": "Three ways to prune a small network",
        "description": "Filters, weights and connections at equal rates.",
        "settings": {
            "network": {"name": "torchvision/googlenet", "weights": None},
            "retraining": {"epochs": 10, "optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9},
            "seeds": list(seeds),
        },
        "versions": {"prunescope": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
        "machine": {"device": "cpu", "threads": 2, "processor": "x86-64"},
        "images": {"train": 4500, "validate": 500, "test": 500, "classes": len(classes), "source": "scenes"},
        "started": "2025-03-01T10:00:00Z",
        "finished": "2025-03-01T11:00:00Z",
        "command": f"prunescope run {folder.name}.yaml",
    } | study
    (folder / "study.json").write_text(json.dumps(described), encoding="utf-8")
    return folder


def _networks(
    series: Sequence[Series], rates: Sequence[float], seed: int, retrain: bool
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table `networks` for one seed, all masks held."""
    dense = f"dense-seed{seed}"
    yield _network(dense, ("dense", "", "", 0.0, 0.0), seed, "dense")
    for entry in series:
        for rate in rates:
            pruned, retrained = (f"{entry[0]}-{rate}-{stage}-seed{seed}" for stage in ("pruned", "retrained"))
            zeros = rate + 0.0004
            unreachable = 1 - (1 - rate) ** 1.8 if entry[1] == "filter" else zeros
            before = {"zeros_after_pruning": zeros, "unreachable_after_pruning": unreachable}
            after = {"zeros_after_retraining": zeros, "unreachable_after_retraining": unreachable}
            both = {"rate": rate, "round": 1, "held": 1.0, **before}
            yield _network(pruned, entry, seed, "pruned") | both | {"parent": dense}
            if retrain:
                yield _network(retrained, entry, seed, "retrained") | both | after | {"parent": pruned}


def _network(name: str, entry: Series, seed: int, stage: str) -> dict[str, Any]:
    return {
        "network": name, "step": f"{hash_of(name):016x}", "series": entry[0], "granularity": entry[1],
        "score": entry[2], "scope": "layer", "norm": "remove", "schedule": "one-shot", "seed": seed, "round": 0,
        "stage": stage, "rate": 0.0, "zeros_after_pruning": math.nan, "zeros_after_retraining": math.nan,
        "unreachable_after_pruning": math.nan, "unreachable_after_retraining": math.nan, "parent": None,
    }  # fmt: skip


def hash_of(name: str) -> int:
    """Return a number that names like these do not share, the same on every run."""
    return sum(ord(letter) * 131**place for place, letter in enumerate(name)) % 2**61


def top1_of(network: dict[str, Any], losses: dict[str, Any], classes: int) -> float:
    """Return the top-1 of a network: falling with the rate, down to chance; a little other for each seed."""
    before, after = losses.get(network["series"], (0, 0))
    loss = after if network["stage"] == "retrained" else before
    return max(1 / classes, DENSE_TOP1 - loss * network["rate"] ** 2 - 0.004 * math.sin(7 * network["seed"]))


def _scores(
    network: dict[str, Any], losses: dict[str, Any], classes: int, measures: Sequence[str]
) -> list[tuple[Any, ...]]:
    name, rate, stage = network["network"], network["rate"], network["stage"]
    top1 = top1_of(network, losses, classes)
    width = 1.96 * math.sqrt(top1 * (1 - top1) / TEST_IMAGES)
    rows: list[tuple[Any, ...]] = []
    if "accuracy" in measures:
        accuracy = {
            "top1": (top1, top1 - width, top1 + width),
            "top5": (min(1.0, top1 + 0.06), math.nan, math.nan),
            "cross_entropy": (3 * (1 - top1), 3 * (1 - top1) - 0.05, 3 * (1 - top1) + 0.05),
            "calibration_error": (0.02 + 0.2 * rate * (stage == "pruned"), math.nan, math.nan),
        }
        rows += [(name, metric, *values, TEST_IMAGES, "accuracy") for metric, values in accuracy.items()]
    if "size" in measures:
        prunable = WEIGHTS - SPARED_WEIGHTS
        after = "retraining" if stage == "retrained" else "pruning"
        zeros = 0.0 if stage == "dense" else network[f"zeros_after_{after}"]
        unreachable = 0.0 if stage == "dense" else network[f"unreachable_after_{after}"]
        size = {
            "weights": WEIGHTS, "prunable_weights": prunable, "nonzero": WEIGHTS - zeros * prunable,
            "zeros_prunable": zeros, "zeros_all": zeros * prunable / WEIGHTS,
            "unreachable_prunable": unreachable, "unreachable_all": unreachable * prunable / WEIGHTS,
            "compression_prunable": 1 / (1 - zeros), "compression_all": WEIGHTS / (WEIGHTS - zeros * prunable),
            "compression_reachable": WEIGHTS / (WEIGHTS - unreachable * prunable),
            "macs_dense": MACS, "macs_effective": MACS * (1 - unreachable) ** 0.8,
            "file_bytes": 4.0 * WEIGHTS, "file_bytes_zstd": 3.7 * (WEIGHTS - zeros * prunable),
        }  # fmt: skip
        rows += [
            (name, metric, float(value), math.nan, math.nan, 1, "size") for metric, value in size.items()
        ]
    return rows


def _layers(network: dict[str, Any], layers: int) -> list[dict[str, Any]]:
    rows = []
    for place in range(layers):
        spared = place < 2 or place == layers - 1
        rate = 0.0 if spared else min(0.97, network["rate"] * (0.8 + 0.4 * math.sin(place) ** 2))
        gone = min(1.0, rate * (1.3 if network["granularity"] == "filter" else 1.0))
        rows.append(
            {
                "network": network["network"], "layer": f"inception{place}a.branch{place % 4}.conv",
                "kind": "conv", "out_channels": 64, "in_channels": 64, "kernel": "3x3", "groups": 1,
                "spared": spared, "rate": math.nan if spared else rate, "weights": 36864,
                "kept": round(36864 * (1 - rate)), "zeros": rate, "unreachable": gone, "macs": 1e7,
                "macs_effective": 1e7 * (1 - gone), "units": 64, "units_alive": round(64 * (1 - rate)),
            }
        )  # fmt: skip
    return rows


def _classes(network: dict[str, Any], losses: dict[str, Any], classes: Sequence[str]) -> list[dict[str, Any]]:
    top1 = top1_of(network, losses, len(classes))
    return [
        {
            "network": network["network"], "index": index, "class": name, "n": TEST_IMAGES // len(classes),
            "top1": min(1.0, max(0.0, top1 + (DENSE_TOP1 - top1) * math.sin(2 * index))),
            "low": 0.0, "high": 1.0,
        }
        for index, name in enumerate(classes)
    ]  # fmt: skip


def _step(network: dict[str, Any], failed: Sequence[str]) -> dict[str, Any]:
    name = network["network"]
    status = "done" if name not in failed else "skipped" if network["parent"] in failed else "failed"
    error = {
        "done": None,
        "failed": "loss is not finite <after> epoch 2",
        "skipped": "needs a step that failed",
    }
    return {
        "step": network["step"], "kind": "train" if network["stage"] == "dense" else network["stage"],
        "label": name, "status": status, "seconds": 1.5, "error": error[status], "reused": network["stage"] == "dense",
    }  # fmt: skip
