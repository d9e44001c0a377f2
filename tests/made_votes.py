"""Answers of made-up people, whose leanings are known, and run folders that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prunescope.analysis.results import Results, read_results

NETWORKS = {"dense-seed0": 0.0, "filters-0.5-pruned-seed0": 0.5, "filters-0.8-pruned-seed0": 0.8}
LAYERS = ("conv1", "conv2")


def made_units(rng: np.random.Generator, units: int, networks: tuple[str, ...]) -> pd.DataFrame:
    """Return one row per unit: its score, and the margin of its task."""
    rows = [
        (network, LAYERS[unit % len(LAYERS)], "conv", unit, True)
        for network in networks
        for unit in range(units)
    ]
    made = pd.DataFrame(rows, columns=["network", "layer", "kind", "unit", "alive"])
    margins = rng.normal(0.08, 0.08, len(made))
    return made.assign(margin=margins, mis=1 / (1 + np.exp(-16 * margins)), slope=16.0)


def mis_votes(
    seed: int = 0,
    people: int = 45,
    tasks: int = 20,
    units: int = 30,
    slope: float = 16.0,
    worse: float = 0.0,
    by_person: float = 0.0,
    by_unit: float = 0.0,
    learning: float = 0.0,
    side: float = 0.0,
    repeat: float = 0.0,
    slower_wrong: float = 0.0,
    simulated: bool = False,
    networks: tuple[str, ...] = tuple(NETWORKS),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return answers to tasks of units, each person's of one network, and the units.

    Args:
        slope: log odds of being right, per unit of the margin.
        worse: log odds that each network after the first loses.
        by_person: standard deviation of people's heights in log odds.
        by_unit: the same of units.
        learning: log odds won from the first task to the last.
        side: log odds for the upper image.
        repeat: log odds for the side of the answer before.
        slower_wrong: log of how many times as long wrong answers take.
    """
    rng = np.random.default_rng(seed)
    asked = made_units(rng, units, networks)
    heights = by_unit * rng.normal(size=len(asked))
    rows, margins = [], asked["margin"].to_numpy()
    names = list(zip(asked["network"], asked["layer"], asked["unit"], margins, strict=True))
    for person in range(people):
        place = person % len(networks)
        own = rng.permutation(np.flatnonzero((asked["network"] == networks[place]).to_numpy()))[:tasks]
        height, before = by_person * rng.normal(), 0.0
        tops = rng.permutation(np.arange(len(own)) % 2 == 0)
        for position, (unit, on_top) in enumerate(zip(own, tops, strict=True)):
            easy = slope * margins[unit] + height + heights[unit] - worse * place
            easy += learning * position / max(len(own) - 1, 1)
            odds = (easy if on_top else -easy) + side + repeat * before
            top = rng.random() < 1 / (1 + np.exp(-odds))
            right = top == on_top
            before = 1.0 if top else -1.0
            time = np.exp(rng.normal(8, 0.4) + (0.0 if right else slower_wrong))
            rows.append(
                (
                    f"p{person}", *names[unit],
                    "top" if top else "bottom", right, position, not on_top, time,
                    int(np.clip(round(2 + easy / 2 + rng.normal()), 1, 3)),
                )
            )  # fmt: skip
    columns = [
        "participant", "network", "layer", "unit", "margin", "answer", "correct", "position", "flipped", "rt_ms",
        "confidence",
    ]  # fmt: skip
    votes = pd.DataFrame(rows, columns=columns)
    items = votes["network"] + " " + votes["layer"] + " " + votes["unit"].astype(str) + " 0"
    votes = votes.assign(
        experiment="mis", stimulus="units", item=items, task=items, unit_task=0, simulated=simulated
    )
    return votes, asked.drop(columns="margin")


def pairwise_votes(
    seed: int = 0, people: int = 40, tasks: int = 20, prefer: float = 0.0, side: float = 0.0
) -> pd.DataFrame:
    """Return answers that compare the dense network with each of the others; `prefer`, `side`: in log odds."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        for position in range(tasks):
            other = list(NETWORKS)[1 + rng.integers(len(NETWORKS) - 1)]
            flipped, image = bool(rng.integers(2)), int(rng.integers(40))
            left, right = (other, "dense-seed0") if flipped else ("dense-seed0", other)
            answer = "equal"
            if rng.random() < 0.8:
                odds = side + (prefer if flipped else -prefer)
                answer = "left" if rng.random() < 1 / (1 + np.exp(-odds)) else "right"
            rows.append((f"p{person}", f"{image}", left, right, answer, position, flipped))
    names = ["participant", "image", "left", "right", "answer", "position", "flipped"]
    votes = pd.DataFrame(rows, columns=names)
    return votes.assign(experiment="pairwise", stimulus="heat map", item=votes["image"], rt_ms=1500.0)


def identification_votes(
    seed: int = 0, people: int = 40, tasks: int = 20, share: float = 0.8
) -> pd.DataFrame:
    """Return answers that name a class of four; from network to network fewer are right."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        for position in range(tasks):
            place, image = int(rng.integers(len(NETWORKS))), int(rng.integers(40))
            right = rng.random() < share - 0.15 * place
            shown = f"class {image % 4}"
            answer = shown if right else rng.choice(["don't know", f"class {(image + 1) % 4}"])
            rows.append((f"p{person}", f"{image}", shown, list(NETWORKS)[place], answer, right, position))
    names = ["participant", "image", "class", "network", "answer", "correct", "position"]
    votes = pd.DataFrame(rows, columns=names)
    item = votes["image"] + votes["network"]
    return votes.assign(experiment="identification", stimulus="explanation map", item=item, rt_ms=1500.0)


def made_participants(votes: pd.DataFrame, excluded: int = 3) -> pd.DataFrame:
    """Return the participants of some answers, and some more whose answers do not count."""
    names = [*votes["participant"].unique(), *(f"x{number}" for number in range(excluded))]
    rng, out = np.random.default_rng(0), np.array([name.startswith("x") for name in names])
    return pd.DataFrame(
        {
            "participant": names, "experiment": votes["experiment"].iloc[0], "simulated": False, "finished": True,
            "left": False, "answers": 20.0, "catch_right": np.where(out, 0.4, 1.0), "catch_trials": 5.0,
            "total_s": rng.uniform(200, 900, len(names)), "instructions_s": rng.uniform(20, 90, len(names)),
            "rarer": 8.0, "practice_rounds": 1.0, "blurs": 0.0, "fullscreen_exits": 0.0, "median_rt_ms": 3000.0,
            "excluded": out, "why": np.where(out, "catch trials right: 0.4, expected at least 0.8", ""),
        }
    )  # fmt: skip


def write_people_run(
    folder: Path,
    votes: pd.DataFrame,
    units: pd.DataFrame | None = None,
    participants: pd.DataFrame | None = None,
    survey: dict[str, Any] | None = None,
) -> Path:
    """Write a run folder that holds a dense network, two pruned ones, and answers about them."""
    tables = folder / "tables"
    tables.mkdir(parents=True)
    networks = pd.DataFrame(
        {
            "network": list(NETWORKS), "step": list(NETWORKS), "seed": 0, "rate": list(NETWORKS.values()),
            "series": ["dense", "filters", "filters"], "stage": ["dense", "pruned", "pruned"],
            "parent": [None, "dense-seed0", "dense-seed0"], "retraining": "none", "granularity": "filter",
        }
    )  # fmt: skip
    networks.to_parquet(tables / "networks.parquet")
    pd.DataFrame({"step": list(NETWORKS), "status": "done", "reused": False}).to_parquet(
        tables / "steps.parquet"
    )
    votes.to_parquet(tables / "votes.parquet")
    for name, table in (("units", units), ("participants", participants)):
        if table is not None:
            table.to_parquet(tables / f"{name}.parquet")
    study = {"study": "made", "title": "Made-up answers"} | ({"survey": survey} if survey else {})
    (folder / "study.json").write_text(json.dumps(study), encoding="utf-8")
    return folder


def people_results(
    folder: Path, votes: pd.DataFrame, units: pd.DataFrame | None = None, **more: Any
) -> Results:
    """Return the results of such a run."""
    return read_results(write_people_run(folder, votes, units, **more))
