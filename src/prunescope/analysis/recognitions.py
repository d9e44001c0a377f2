"""Answers of people who named what they saw: how many were right, for each network."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from prunescope.analysis.crossed import NO_INTERVAL, Crossed, crossed, difference_of_shares, share
from prunescope.analysis.results import Results
from prunescope.analysis.votes import answers_of, items_of, place_of, totals_of


@dataclass(frozen=True)
class Recognition:
    """How many people named the right class of what one network shows.

    Attributes:
        counts: right answers, those that say that they do not know, and all.
        crossed: the share of right answers.
        other: the network that it is compared with: the dense one or, if people were not shown that, the least
            pruned; "" for itself.
        change: that share less that of the other network.
    """

    experiment: str
    network: str
    counts: tuple[int, int, int]
    crossed: Crossed
    other: str = ""
    change: Crossed = field(default=NO_INTERVAL)
    participants: int = 0

    @property
    def share(self) -> float:
        """The share of right answers."""
        return self.counts[0] / self.counts[2] if self.counts[2] else math.nan


def recognitions(results: Results) -> list[Recognition]:
    """Return how well people named what each network shows; from totals where there are no answers."""
    votes = answers_of(results)
    named = votes[votes["correct"].notna() & votes["network"].notna()]
    found: list[Recognition] = []
    for experiment, rows in named.groupby("experiment", observed=True, sort=False):
        own = sorted(rows["network"].unique(), key=lambda network: place_of(network, results))
        found += [_recognition(str(experiment), str(network), str(own[0]), rows) for network in own]
    if found:
        return found
    for row in totals_of(results, "identification"):
        counts = (row["correct"], row["dont_know"], row["n"])
        found.append(Recognition("identification", row["network"], counts, NO_INTERVAL))
    return found


def _recognition(experiment: str, network: str, least: str, rows: pd.DataFrame) -> Recognition:
    own = (rows["network"] == network).to_numpy()
    was = (rows["network"] == least).to_numpy()
    right = rows["correct"].astype(bool).to_numpy()
    participants, people = pd.factorize(rows["participant"])
    items, _ = pd.factorize(items_of(rows))
    columns = np.stack([own & right, own, was & right, was], 1).astype(np.float64)
    counts = (int((own & right).sum()), int((own & (rows["answer"] == "don't know")).sum()), int(own.sum()))
    absolute = crossed(columns[own, :2], _renumber(participants[own]), _renumber(items[own]), share)
    other, change = "", NO_INTERVAL
    if network != least:
        other = least
        both = own | was
        change = crossed(
            columns[both],
            _renumber(participants[both]),
            _renumber(items[both]),
            difference_of_shares,
            least=-1.0,
        )
    return Recognition(experiment, network, counts, absolute, other, change, len(people))


def _renumber(groups: Any) -> Any:
    return np.unique(groups, return_inverse=True)[1]
