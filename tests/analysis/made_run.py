"""The folder of a study whose numbers are given, one by one: for tests of what chooses among networks."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Metrics = Mapping[str, float]


def write_run(
    folder: Path,
    dense: Sequence[Metrics],
    pruned: Mapping[str, Mapping[str, Sequence[Metrics]]],
    *,
    controls: Mapping[str, str] | None = None,
    intervals: Mapping[str, float] | None = None,
    images: Mapping[str, NDArray[np.bool_]] | None = None,
    more: Mapping[str, pd.DataFrame] | None = None,
    **study: Any,
) -> Path:
    """Write `study.json` and the tables that a recommendation reads.

    Args:
        dense: metrics of the dense network of each seed.
        pruned: by series and target (a rate), metrics of the final network of each seed; {} for one that failed.
        controls: from the name of a series to which control it is.
        intervals: half the width of the interval that every network's metric of this name has of its own.
        images: by network, which images it gets right.
        more: other tables.
    """
    rows: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []

    def add(name: str, metrics: Metrics, **rest: Any) -> None:
        rows.append({"network": name, "step": name, "parent": None, **rest})
        for metric, value in metrics.items():
            half = (intervals or {}).get(metric, math.nan)
            scores.append(
                {"network": name, "metric": metric, "value": value, "low": value - half, "high": value + half, "n": 1}
            )  # fmt: skip

    for seed, metrics in enumerate(dense):
        add(f"dense-{seed}", metrics, series="dense", seed=seed, stage="dense", rate=0.0)
    for series, targets in pruned.items():
        for target, seeds in targets.items():
            for seed, metrics in enumerate(seeds):
                if metrics:
                    add(
                        f"{series}-{target}-{seed}", metrics, series=series, seed=seed, stage="pruned",
                        rate=float(target), retraining="none", granularity="weight",
                        control=(controls or {}).get(series), zeros_after_pruning=float(target),
                    )  # fmt: skip
    steps = pd.DataFrame([{"step": row["step"], "status": "done", "reused": False} for row in rows])
    tables = {"networks": pd.DataFrame(rows), "scores": pd.DataFrame(scores), "steps": steps, **(more or {})}
    if images:
        tables["images"] = pd.concat(
            pd.DataFrame(
                {
                    "network": name,
                    "image": [f"image {i}" for i in range(len(right))],
                    "label": 1,
                    "prediction": right.astype(int),
                }
            )
            for name, right in images.items()
        )
    (folder / "tables").mkdir(parents=True)
    for name, table in tables.items():
        table.to_parquet(folder / "tables" / f"{name}.parquet")
    (folder / "study.json").write_text(json.dumps({"study": folder.name, **study}), encoding="utf-8")
    return folder


def sized(left: float, **metrics: float) -> dict[str, float]:
    """Return metrics of a network of which so much is left."""
    return {"compression_reachable": 1 / left if left else math.inf, **metrics}
