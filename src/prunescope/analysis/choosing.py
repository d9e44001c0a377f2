"""The choice among networks: the cheapest that keeps what was asked, the front, what gives way, what wishes cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from prunescope.analysis.recommendation import TIE, Network
from prunescope.analysis.results import records
from prunescope.analysis.wishes import Wish


class Choice:
    """Networks, what they cost, and how each answers each wish."""

    def __init__(self, networks: pd.DataFrame, answers: pd.DataFrame, sure: bool) -> None:
        self.costs = {Network(row["series"], row["target"]): float(row["cost"]) for row in records(networks)}
        self.sure = sure
        self.answers: dict[Network, dict[str, dict[str, Any]]] = {}  # by network and wish
        for row in records(answers):
            self.answers.setdefault(Network(row["series"], row["target"]), {})[row["wish"]] = row

    def keeps(self, network: Network, wish: str) -> bool:
        """Whether a network keeps a wish, as surely as is asked."""
        return bool(self.answers[network][wish]["shown" if self.sure else "kept"])

    def best(self, wishes: Sequence[str]) -> Network | None:
        """Return the cheapest network that keeps these wishes; of those as cheap, the one that keeps them best."""
        able = [network for network in self.costs if all(self.keeps(network, wish) for wish in wishes)]
        if not able:
            return None
        limit = min(self.costs[network] for network in able) * (1 + TIE)
        alike = [network for network in able if self.costs[network] <= limit]
        return max(alike, key=lambda network: self._least(network, wishes))

    def nearest(self) -> Network | None:
        """Return the network whose worst shortfall, as a share, is least, of those of which all was measured."""
        least = {network: self._least(network, list(own)) for network, own in self.answers.items()}
        known = [network for network, value in least.items() if not math.isnan(value)]
        return max(known, key=lambda network: least[network], default=None)

    def _least(self, network: Network, wishes: Sequence[str]) -> float:
        """Return the least surplus as a share; where it is to be sure, that at the lower end of the interval."""
        found = []
        for wish in wishes:
            answer = self.answers[network][wish]
            found.append(answer["relative"])
            if self.sure and math.isfinite(answer["low"]):
                found.append(answer["low"] / answer["scale"])
        return math.nan if any(map(math.isnan, found)) else min(found, default=0.0)


def prices(choice: Choice, wishes: Sequence[Wish], best: Network | None) -> pd.DataFrame:
    """Find for each wish what would do without it."""
    rows = []
    for wish in wishes:
        other = choice.best([each.text for each in wishes if each is not wish])
        saved = choice.costs[best] - choice.costs[other] if best and other else math.nan
        rows.append(
            {
                "wish": wish.text,
                "series": other.series if other else "",
                "target": other.target if other else "",
                "cost": choice.costs[other] if other else math.nan,
                "saved": saved,
            }
        )
    return pd.DataFrame(rows)


def gives_way(networks: pd.DataFrame, wishes: Sequence[Wish], choice: Choice) -> pd.DataFrame:
    """Follow each series from the lowest rate up: since where each wish is kept, and where it is not any longer."""
    rows = []
    for series in dict.fromkeys(network.series for network in choice.answers):
        own = networks[networks["series"] == series].sort_values("rate", kind="stable")
        targets = [str(target) for target in own["target"]]
        found = [
            {"series": series, "wish": wish.text, **_followed(series, targets, wish, choice)}
            for wish in wishes
        ]
        order = sorted({targets.index(row["at"]) for row in found if row["at"]})
        for row in found:
            rows.append(row | {"place": order.index(targets.index(row["at"])) + 1 if row["at"] else 0})
    return pd.DataFrame(rows)


def _followed(series: str, targets: Sequence[str], wish: Wish, choice: Choice) -> dict[str, str]:
    measured = [
        t for t in targets if not math.isnan(choice.answers[Network(series, t)][wish.text]["surplus"])
    ]
    kept = [choice.keeps(Network(series, target), wish.text) for target in measured]

    def first(held: bool, start: int) -> int:
        return kept.index(held, start) if held in kept[start:] else len(kept)

    since = first(True, 0)
    at = first(False, since)
    again = first(True, at)
    named = dict(enumerate([*measured, ""]))
    never = since == len(kept)
    return {
        "since": named[since],
        "until": "" if never else named[at - 1],
        "at": named[0] if never else named[at],
        "again": named[again],
    }


def on_front(answers: pd.DataFrame, networks: pd.DataFrame, wishes: Sequence[Wish]) -> pd.Series[bool]:
    """Mark the networks than which no other is both cheaper and better, in the metric of each wish."""
    cost = {(row["series"], row["target"]): row["cost"] for row in records(networks)}
    front = pd.Series(data=False, index=answers.index)
    for wish in wishes:
        best = -math.inf
        own = answers[(answers["wish"] == wish.text) & answers["value"].notna()]
        sign = 1 if wish.at_least else -1
        order = sorted(
            own.index,
            key=lambda i: (cost[own.loc[i, "series"], own.loc[i, "target"]], -sign * own.loc[i, "value"]),
        )
        for i in order:
            if sign * own.loc[i, "value"] > best:
                best = sign * own.loc[i, "value"]
                front[i] = True
    return front
