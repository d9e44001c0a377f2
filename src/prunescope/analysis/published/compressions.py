"""A network at several compressions, and people who compared its explanations (study C)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from prunescope.analysis.published.layouts import PublishedTable
from prunescope.analysis.published.study import (
    DENSE,
    PublishedStudy,
    network_row,
    networks_table,
    score,
    scores_table,
)
from prunescope.errors import PrunescopeError

SERIES = "convolution weights"
ANSWERS = {"left": "left", "right": "right", "equal": "equal", "tie": "equal", "both": "equal"}
TOTALS = ("n", "left_wins", "right_wins", "ties")


def study_of_compressions(tables: Sequence[PublishedTable], digest: str) -> PublishedStudy:
    """Join accuracies by compression with the answers of people, or with their totals.

    Raises:
        PrunescopeError: a compression appears twice, or an answer is none of left, right, equal.
    """
    rows = {table.layout.name: table.rows for table in tables}
    accuracies = rows.get("compressions", pd.DataFrame({"compression_of_convolutions": []}))
    for table in (table for table in tables if table.layout.name == "compressions"):
        _refuse_twice(table)
    answers = [_votes(table) for table in tables if table.layout.name == "answers"]
    votes = pd.concat(answers, ignore_index=True) if answers else pd.DataFrame()
    totals = [_total(row) for row in rows.get("totals", pd.DataFrame()).to_dict("records")]
    named = [
        {"network": network_of(row["compression"]), **{key: int(row[key]) for key in ("n", "correct", "dont_know")}}
        for row in rows.get("identification", pd.DataFrame()).to_dict("records")
    ]  # fmt: skip
    networks = _networks(accuracies["compression_of_convolutions"], votes, totals, named)
    made = {"networks": networks_table(networks, digest), "scores": scores_table(list(_scores(accuracies)))}
    if len(votes):
        made["votes"] = votes
    inferred = [
        "The rate of a network is 1 − 1 / compression of its convolution weights, which were halved each round."
    ]
    more = {"totals": totals, "identification": named}
    return PublishedStudy("a network at several compressions", made, inferred, more=more)


def network_of(text: str) -> str:
    """Return the network that a compression names: `1` and `cr1` are the dense one; another name stays."""
    found = re.fullmatch(r"(?:cr ?)?([0-9]+(?:\.[0-9]+)?)", text, re.IGNORECASE)
    if found is None:
        return text
    compression = float(found[1])
    return DENSE if compression == 1 else f"CR {compression:g}"


def _networks(
    compressions: Iterable[float],
    votes: pd.DataFrame,
    totals: list[dict[str, Any]],
    named: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    names = {network_of(f"{compression:g}") for compression in compressions}
    names |= {name for row in totals for name in (row["left"], row["right"])} | {
        row["network"] for row in named
    }
    if len(votes):
        names |= {*votes["left"], *votes["right"]}
    rows = [_network(name) for name in names]
    return sorted(rows, key=lambda row: (row["stage"] != "dense", row["rate"], row["network"]))


def _network(name: str) -> dict[str, Any]:
    compression = float(name.removeprefix("CR ")) if re.fullmatch(r"CR [0-9.e+]+", name) else math.nan
    if name == DENSE:
        return network_row(DENSE, "dense", "dense", 0.0)
    if math.isnan(compression):
        return network_row(name, name, "retrained", 0.0, parent=DENSE)
    rate = round(1 - 1 / compression, 6)
    return network_row(
        name, SERIES, "retrained", rate, target=name, granularity="weight", score="l1", scope="layer", hold=True,
        schedule="iterative", retraining="fine-tune", parent=DENSE, zeros_after_pruning=rate,
        zeros_after_retraining=rate, round=round(math.log2(compression)),
    )  # fmt: skip


def _scores(accuracies: pd.DataFrame) -> Iterable[tuple[Any, ...]]:
    columns = {
        "top1": ("top1", "accuracy"), "top5": ("top5", "accuracy"),
        "compression_of_convolutions": ("compression_prunable", "size"),
        "whole_model_compression": ("compression_all", "size"),
    }  # fmt: skip
    for row in accuracies.to_dict("records"):
        network = network_of(f"{row['compression_of_convolutions']:g}")
        for column, (metric, measure) in columns.items():
            if column in row and not math.isnan(row[column]):
                yield score(network, metric, row[column], measure=measure)


def _votes(table: PublishedTable) -> pd.DataFrame:
    """Return the table `votes`: an item is an image with two networks, as shown."""
    rows = table.rows
    answer = rows["answer"].str.lower().map(ANSWERS)
    if answer.isna().any():
        place = int(answer.isna().to_numpy().argmax())
        raise PrunescopeError(
            f"{table.path}, line {place + 2}: answer is {rows['answer'].iloc[place]!r}, expected left, right or equal"
        )
    left, right = rows["left"].map(network_of), rows["right"].map(network_of)
    chosen = np.select([answer == "left", answer == "right"], [left, right], "")
    return pd.DataFrame(
        {
            "experiment": rows["experiment"], "stimulus": rows["stimulus"], "participant": rows["participant"],
            "item": rows["class"] + "/" + rows["image"] + ": " + left + " | " + right,
            "image": rows["class"] + "/" + rows["image"], "class": rows["class"],
            "left": left, "right": right, "network": None, "answer": answer, "chosen": chosen, "correct": None,
        }
    ).astype({"network": "object", "correct": "boolean"})  # fmt: skip


def _total(row: dict[Any, Any]) -> dict[str, Any]:
    """Return a row of totals as JSON takes it."""
    also = {key: float(row[key]) for key in ("chi2", "p") if not math.isnan(row.get(key, math.nan))}
    sides = {side: network_of(row[side]) for side in ("left", "right")}
    counts = {key: int(row[key]) for key in TOTALS}
    return {"experiment": row["experiment"], "stimulus": row["stimulus"], **sides, **counts, **also}


def _refuse_twice(table: PublishedTable) -> None:
    compressions = table.rows["compression_of_convolutions"]
    twice = compressions[compressions.duplicated()]
    if len(twice):
        raise PrunescopeError(f"{table.path}: two rows of compression {twice.iloc[0]:g}; keep one")
