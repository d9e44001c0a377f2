"""Tables of units whose scores are given: for tests of what averages or compares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.made_run import write_run

DEAD = 0.999


def units_of(
    network: str,
    scores: Mapping[str, NDArray[np.floating]],
    dead: Mapping[str, NDArray[np.bool_]] | None = None,
    classes: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the rows of one network: the score of each unit by layer, "fc" being linear; dead ones score .999."""
    parts = []
    for layer, values in scores.items():
        gone = (dead or {}).get(layer, np.zeros(len(values), dtype=bool))
        linear = layer == "fc"
        parts.append(
            pd.DataFrame(
                {
                    "network": network, "layer": layer, "kind": "linear" if linear else "conv",
                    "unit": np.arange(len(values)), "alive": ~gone, "mis": np.where(gone, np.nan, values),
                    "hit_rate": np.where(gone, np.nan, values), "mis_published": np.where(gone, DEAD, values),
                    "class": list(classes) if linear and classes else None,
                    "similarity": "classical", "slope": 16.0,
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def write_scored(
    folder: Path, units: Mapping[str, pd.DataFrame], pruned: Mapping[str, Sequence[str]], **more: Any
) -> Path:
    """Write a run of one seed whose dense network is `dense-0`, with means of the units given.

    Args:
        units: by network, "dense-0" or "<series>-<rate>-0".
        pruned: the rates of each series.
    """

    def metrics(network: str) -> dict[str, float]:
        own = units[network]
        conv = own[own["kind"] == "conv"]
        return {"mis": conv["mis"].mean(), "hit_rate": conv["hit_rate"].mean(),
                "mis_published": own["mis_published"].mean(), "units_alive": conv["alive"].sum()}  # fmt: skip

    tables = {"units": pd.concat(units.values(), ignore_index=True), **more}
    series = {name: {rate: [metrics(f"{name}-{rate}-0")] for rate in rates} for name, rates in pruned.items()}
    return write_run(folder, [metrics("dense-0")], series, more=tables)
