"""A published study as the tables of a run, and what had to be inferred for it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

DENSE = "dense-seed0"
NETWORK_COLUMNS = (
    "network", "step", "series", "granularity", "score", "scope", "norm", "hold", "schedule", "retraining",
    "recalibrate", "control", "seed", "round", "stage", "target", "budget", "rate", "parent",
    "zeros_after_pruning", "zeros_after_retraining", "unreachable_after_pruning", "unreachable_after_retraining",
    "held",
)  # fmt: skip
SCORE_COLUMNS = ("network", "metric", "value", "low", "high", "n", "measure")


@dataclass
class PublishedStudy:
    """What becomes a run folder.

    Attributes:
        what: what its networks are: "networks pruned by several methods".
        tables: as those of a run, by name.
        inferred: what the files do not say and was concluded from them, in sentences.
        notes: what the files say themselves, or what was left out, in sentences.
        more: what else `study.json` tells of it under "published": totals of answers.
    """

    what: str
    tables: dict[str, pd.DataFrame]
    inferred: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)


def network_row(name: str, series: str, stage: str, rate: float, **more: Any) -> dict[str, Any]:
    """Return a row of the table `networks`; what is not known is empty."""
    empty: dict[str, Any] = dict.fromkeys(NETWORK_COLUMNS)
    target = "0" if stage == "dense" else f"{rate:.6g}"
    known = {"network": name, "series": series, "stage": stage, "rate": rate, "target": target, "seed": 0}
    return empty | known | {"round": int(stage != "dense")} | more


def networks_table(rows: Sequence[dict[str, Any]], digest: str) -> pd.DataFrame:
    """Join the rows to the table `networks`; the hash of each network follows from the files it was read from.

    Args:
        digest: of the files.
    """
    table = pd.DataFrame(rows, columns=list(NETWORK_COLUMNS))
    table["step"] = [f"import-{digest_of(digest, name)}" for name in table["network"]]
    numbers = [name for name in NETWORK_COLUMNS if name.startswith(("zeros", "unreachable", "held"))]
    return table.astype(dict.fromkeys([*numbers, "rate", "budget", "recalibrate"], "float64"))


def scores_table(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Join `(network, metric, value, low, high, n, measure)` to the table `scores`."""
    table = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    return table.astype({"value": "float64", "low": "float64", "high": "float64", "n": "float64"})


def score(
    network: str, metric: str, value: float, n: float = math.nan, measure: str = "accuracy"
) -> tuple[Any, ...]:
    """Return a row of `scores` without an interval."""
    return network, metric, value, math.nan, math.nan, n, measure


def digest_of(*texts: str) -> str:
    """Return 20 hexadecimal digits that these texts decide."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:20]


def listing(items: Sequence[str]) -> str:
    """Write a, b and c."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
