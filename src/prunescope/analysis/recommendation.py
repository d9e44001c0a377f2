"""What `recommend` answers: tables, and the same in words."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from prunescope.analysis.results import records
from prunescope.analysis.wishes import Wish

VERSION = 1  # of recommendation.json
TIE = 0.01  # costs that differ by less, as a share, are alike: what is kept decides


class By(NamedTuple):
    """What is to be as small as can be.

    Attributes:
        name: as it was asked for.
        axis: what it is called on an axis.
        phrase: how it goes on behind a value: "12 % of the weights are left".
        share: whether it is a fraction of the dense network, rather than milliseconds.
    """

    name: str
    axis: str
    phrase: str
    share: bool

    def write(self, cost: float) -> str:
        """Write a cost to three digits, with its unit."""
        if math.isnan(cost):
            return "not known"
        return f"{100 * cost:.3g} %" if self.share else f"{cost:.3g} ms"


class Network(NamedTuple):
    """Networks that were pruned alike, one per seed: how the study calls them."""

    series: str
    target: str

    def __str__(self) -> str:
        return f"{self.series} at {self.target}"


def of(table: pd.DataFrame, network: Network) -> pd.Series[bool]:
    """Return which rows of a table are about a network."""
    return (table["series"] == network.series) & (table["target"] == network.target)


@dataclass(frozen=True)
class Recommendation:
    """The most pruned, or fastest, network that keeps all that was asked, and what stands in the way of more.

    Attributes:
        study: the name of the study; title: its title.
        wishes: what is to be kept.
        by: what is to be as small as can be.
        sure: whether the whole interval of each wish must keep it, not only the mean.
        seeds: how many there are.
        dense: each metric that is to be kept, and "cost", of the dense networks; means over seeds.
        best: the network that is recommended; None if none keeps all.
        nearest: if none does, the one whose worst shortfall is least; None where nothing was measured.
        networks: one row per network, the cheapest first: `series, target, rate, cost, cost_low, cost_high, seeds,
            kept, shown, worst, networks`. `kept`: keeps all wishes on average; `shown`: with the whole interval of
            each; `worst`: the least surplus of all wishes, as a share (see `relative`); `networks`: their names.
        answers: one row per network and wish: `series, target, wish, metric, value, dense, bound, surplus, low, high,
            over, n, kept, shown, relative, scale, front`. `surplus`: by how much the value is better than the bound,
            paired with the dense network of the same seed, the mean over seeds; `low`, `high`: its 95 % interval, over
            what `over` says: "seeds", or of one network "images", "units", "rounds", "itself" (whatever the measure
            resamples), "counted" (nothing is estimated), "" (there is none: one network, or all seeds have the same
            surplus); `n`: of how many, 0 where that is not known; `relative`: as a share of `scale`, the dense value,
            or the bound where there is none or it is 0, or 1; `front`: whether no other network is both cheaper and
            better in this metric.
        points: one row per network, seed and metric: `series, target, seed, metric, cost, value`.
        gives_way: one row per series and wish, with targets as rates rise: `series, wish, since, until, at, again,
            place`: it is kept since and until these, not any longer at that, and again at that; each "" where there
            is no such target. `place` 1 gives way first, or was never kept; 0 does not give way.
        prices: one row per wish: `wish, series, target, cost, saved`: what would do without it.
        without_cost: networks of which it is not known what they cost; they are left out.
        series: all that are not controls, in the order of the study.
        controls: series that are controls, and are left out.
        sentences: the answer in words.
    """

    study: str
    title: str
    wishes: Sequence[Wish]
    by: By
    sure: bool
    seeds: int
    dense: dict[str, float]
    best: Network | None
    nearest: Network | None
    networks: pd.DataFrame
    answers: pd.DataFrame
    points: pd.DataFrame
    gives_way: pd.DataFrame
    prices: pd.DataFrame
    without_cost: Sequence[Network]
    series: Sequence[str]
    controls: Sequence[str]
    sentences: list[str] = field(default_factory=list)

    @property
    def shown(self) -> Network | None:
        """The network that is recommended, or the nearest."""
        return self.best or self.nearest

    def answers_of(self, network: Network) -> list[dict[str, Any]]:
        """Return how one network answers each wish, in the order of the wishes."""
        return records(self.answers[of(self.answers, network)])

    def row_of(self, network: Network) -> dict[str, Any]:
        """Return the row of one network in the table `networks`."""
        return records(self.networks[of(self.networks, network)])[0]

    def to_json(self) -> str:
        """Return the whole answer as JSON; what is not known is null."""
        tables = ("networks", "answers", "gives_way", "prices")
        content = {
            "recommendation": VERSION,
            "study": self.study,
            "keep": [wish.text for wish in self.wishes],
            "by": self.by.name,
            "sure": self.sure,
            "seeds": self.seeds,
            "dense": self.dense,
            "best": self.best and self.best._asdict(),
            "nearest": self.nearest and self.nearest._asdict(),
            "sentences": self.sentences,
            "controls": list(self.controls),
            **{name: records(getattr(self, name)) for name in tables},
        }
        return json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Put None in the place of what JSON cannot say."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
