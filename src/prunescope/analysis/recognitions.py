"""Answers of people who named what they saw: how many were right, for each network."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from prunescope.analysis.crossed import NO_INTERVAL, Crossed
from prunescope.analysis.results import Results
from prunescope.analysis.right_answers import MIS, change_of_right, judged, networks_of, share_of_right
from prunescope.analysis.votes import totals_of


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
    found: list[Recognition] = []
    for experiment, rows, _ in judged(results):
        if experiment == MIS:
            continue
        for network, least in networks_of(rows, results):
            own, other = rows[rows["network"] == network], "" if network == least else least
            unsure = int((own["answer"] == "don't know").sum())
            counts = (int(own["correct"].sum()), unsure, len(own))
            change = change_of_right(rows, network, other) if other else NO_INTERVAL
            people = int(own["participant"].nunique())
            found.append(Recognition(experiment, network, counts, share_of_right(own), other, change, people))
    if found:
        return found
    for row in totals_of(results, "identification"):
        counts = (row["correct"], row["dont_know"], row["n"])
        found.append(Recognition("identification", row["network"], counts, NO_INTERVAL))
    return found
