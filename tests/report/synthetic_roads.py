"""Tables of studies that go other roads, by formulas: lottery tickets with controls, scores at one budget, a sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from synthetic import SERIES, Series, write_study

SCORES = (
    "l1", "l2", "random", "snip", "taylor", "grasp", "synflow", "batch-norm-scale", "fpgm", "lamp", "car", "lrp",
    "our_scores.py:largest",
)  # fmt: skip
CONTROLS = {"random mask": 0.9, "re-initialised": 1.5}  # how much sooner than the ticket they fall


def write_ticket_study(
    folder: Path, *, rounds: int = 16, seeds: Sequence[int] = (0, 1, 2), detectors: bool = True, **shape: Any
) -> Path:
    """Write a series that loses 20 % of what is left in each round, rewound, and its two controls."""
    series: list[Series] = [("magnitude", "weight", "l1", 0.0, 0.0)]
    series += [(f"magnitude, {name}", "weight", "l1", 0.0, 0.0) for name in CONTROLS]
    rates = [round(1 - 0.8**i, 6) for i in range(1, rounds + 1)]
    write_study(folder, series=series, rates=rates, seeds=seeds, **shape)
    networks = pd.read_parquet(folder / "tables" / "networks.parquet")
    networks["control"] = [name.partition(", ")[2] or None for name in networks["series"]]
    networks["target"] = networks["rate"].map("{:.4g}".format)
    networks["schedule"], networks["scope"] = "iterative", "global"
    networks["retraining"] = np.where(
        networks["control"] == "re-initialised", "re-initialise", "weight-rewinding"
    )
    # A control on fresh weights has the masks of the ticket, and no network just pruned of its own.
    fresh = networks["control"] == "re-initialised"
    networks = networks[~(fresh & (networks["stage"] == "pruned"))]
    networks["parent"] = networks["parent"].str.replace(", re-initialised", "")
    networks.to_parquet(folder / "tables" / "networks.parquet")
    scores = pd.read_parquet(folder / "tables" / "scores.parquet").set_index(["network", "metric"])
    new = []
    for network in networks.to_dict("records"):
        depth = 0.0 if network["stage"] == "dense" else -math.log(1 - network["rate"])
        noise = 0.006 * math.sin(11 * network["seed"] + 3 * depth)
        top1 = ticket_top1(network["control"], depth, network["stage"]) + noise
        for end, shift in (("value", 0.0), ("low", -0.02), ("high", 0.02)):
            scores.loc[(network["network"], "top1"), end] = top1 + shift
        if detectors:
            found = round(80 * (top1 / 0.92) ** 2 + 4 * math.sin(5 * network["seed"] + depth))
            for metric, value in (("detectors", found), ("unique_detectors", round(0.4 * found))):
                new.append((network["network"], metric, value, math.nan, math.nan, 1, "dissection"))
    columns = ["network", "metric", "value", "low", "high", "n", "measure"]
    whole = pd.concat([scores.reset_index(), pd.DataFrame(new, columns=columns)], ignore_index=True)
    whole = whole[whole["network"].isin(networks["network"])]
    whole.to_parquet(folder / "tables" / "scores.parquet")
    return folder


def ticket_top1(control: str | None, depth: float, stage: str = "retrained") -> float:
    """Return top-1 after a depth of -ln(weights left): a ticket holds out longest."""
    fall = CONTROLS.get(control or "", 0.25) * (3 if stage == "pruned" else 1)
    return 0.1 + 0.82 * math.exp(-0.05 * fall * depth**2)


def write_score_study(
    folder: Path,
    *,
    scores: Sequence[str] = SCORES,
    budgets: Sequence[float] = (0.5, 0.3),
    seeds: Sequence[int] = (0, 1),
    **shape: Any,
) -> Path:
    """Write a series per score, at budgets of MACs; the rate that meets one is found for each seed."""
    series: list[Series] = [
        (score, "filter", score, 1.6 + 0.5 * math.sin(3 * i), 0.1 + 0.05 * math.cos(2 * i))
        for i, score in enumerate(scores)
    ]
    write_study(folder, series=series, rates=[1 - budget for budget in budgets], seeds=seeds, **shape)
    path = folder / "tables" / "networks.parquet"
    networks = pd.read_parquet(path)
    pruned = networks["stage"] != "dense"
    networks["target"] = (1 - networks["rate"]).map("{:.4g} of macs".format).where(pruned)
    networks["budget"] = pd.Series("macs", networks.index).where(pruned)
    found = networks["rate"] - 0.02 * networks["seed"] + 0.001 * networks["series"].map(len)
    networks["rate"] = found.where(pruned, 0.0)
    networks.to_parquet(path)
    return folder


def add_sensitivity(
    folder: Path,
    series: Sequence[str] = (SERIES[0][0],),
    *,
    layers: int = 20,
    rates: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 0.9),
    seeds: Sequence[int] = (0,),
    together: Sequence[int] = (),
) -> Path:
    """Write the table of a sweep; the layers of these numbers go together."""
    names = [f"inception{i}a.branch{i % 4}.conv" for i in range(layers)]
    pool = ", ".join(names[i] for i in together)
    rows = []
    for name in series:
        for seed in seeds:
            for i, layer in enumerate(names):
                top1 = {rate: sensitivity_top1(i, rate, seed) for rate in rates}
                fails = [rate for rate in rates if top1[rate] < 0.88]
                holds = [rate for rate in rates if not fails or rate < fails[0]]
                rows += [
                    {
                        "series": name, "seed": seed, "layer": layer, "layers": pool if i in together else layer,
                        "rate": rate, "top1": top1[rate], "n": 450, "dense_top1": 0.9, "least": 0.88,
                        "tolerated": max(holds, default=0.0),
                    }
                    for rate in rates
                ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "tables" / "sensitivity.parquet")
    return folder


def sensitivity_top1(layer: int, rate: float, seed: int = 0) -> float:
    """Return top-1 with one layer pruned: layers differ, the first is the most sensitive."""
    tender = 1.5 if layer == 0 else 0.25 + 0.25 * math.sin(1.7 * layer)
    return max(0.1, 0.9 - tender * rate**3 + 0.003 * math.sin(seed + layer))
