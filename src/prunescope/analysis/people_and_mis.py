"""People against MIS: do people answer the tasks of a unit rightly more often, the higher its score?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from prunescope.analysis.crossed import NO_INTERVAL, Counts, Crossed, Floats, jackknife, two_way
from prunescope.analysis.noise_ceiling import NO_CEILING, Ceiling, noise_ceiling
from prunescope.analysis.results import Results
from prunescope.analysis.right_answers import MIS, judged, networks_of, numbered
from prunescope.analysis.slope_fit import slope_of

Over = Literal["units", "units within networks", "networks"]
FEWEST = 4  # units, or networks, that a correlation is over
UNIT = ["network", "layer", "unit"]
_HIGHEST = 0.999999  # correlation, of which Fisher's z is finite


@dataclass(frozen=True)
class PeopleAndMis:
    """How the share of right answers goes with MIS.

    Attributes:
        over: units, all together or less what differs between networks, or whole networks.
        network: the one whose units they are; "" for all.
        things: how many units or networks there are.
        spearman: the rank correlation, with its interval over participants and units.
        pearson: the linear one.
        ceiling: what a predictor of the same shares could reach at most; none over networks.
    """

    over: Over
    network: str
    things: int
    spearman: Crossed
    pearson: Crossed
    ceiling: Ceiling
    participants: int


class _Pairs(NamedTuple):
    """What each participant answered about each unit: how many are right, of how many, (pairs,)."""

    right: Counts
    answers: Counts
    person: Counts
    unit: Counts


class _Units(NamedTuple):
    """What is known of each unit, (units,): its score, its number, its network, and which it is in any network."""

    mis: Floats
    network: Counts
    item: Counts


Correlation = Callable[[Floats, Floats, Counts], float]  # of scores, shares and networks, (units,) each


def people_by_unit(results: Results) -> pd.DataFrame:
    """Return one row per unit that people were asked about: `network, layer, unit, mis, right, answers`.

    `mis` is the score of the unit in the run; where the run has none, that of the tasks which people were asked.
    """
    rows = answers_about_units(results)
    found = rows.groupby(UNIT, sort=False).agg(
        right=("correct", "sum"), answers=("correct", "size"), asked=("score", "mean")
    )
    found = found.reset_index().merge(_scores(results), on=UNIT, how="left")
    scored = found["mis"].notna().any()
    return found.assign(mis=found["mis"] if scored else found["asked"]).drop(columns="asked")


def answers_about_units(results: Results) -> pd.DataFrame:
    """Return the answers to tasks of units, with `score`: what MIS makes of the margin of each task."""
    rows = next((own for experiment, own, _ in judged(results) if experiment == MIS), None)
    if rows is None:
        return pd.DataFrame(columns=[*results.votes.columns, "asked", "score"])
    known = rows[rows["unit"].notna() & rows["layer"].notna()]
    texts = {name: known[name].astype(object) for name in ("network", "layer", "participant")}
    whole = {"unit": known["unit"].astype(np.int64), "correct": known["correct"].astype(np.int64)}
    margins = known["margin"].to_numpy(np.float64)
    return known.assign(**texts, **whole, score=1 / (1 + np.exp(-slope_of(results) * margins)))


def people_and_mis(results: Results) -> list[PeopleAndMis]:
    """Return how people's answers go with MIS: over all units, within networks, of each network, and over networks."""
    rows = answers_about_units(results)
    known = people_by_unit(results).dropna(subset=["mis"])
    if known.empty:
        return []
    order = [network for network, _ in networks_of(known, results)]
    found = []
    if len(order) > 1:
        found += [_over_units(rows, known, over, "") for over in ("units", "units within networks")]
    for network in order:
        own = known["network"] == network
        found.append(_over_units(rows, known[own], "units", network))
    if len(order) >= FEWEST:
        found.append(_over_units(rows, known, "networks", ""))
    return [each for each in found if math.isfinite(each.spearman.estimate)]


def _over_units(rows: pd.DataFrame, known: pd.DataFrame, over: Over, network: str) -> PeopleAndMis:
    pairs, units = _arrays(rows, known)
    things = int(units.network.max()) + 1 if over == "networks" else len(known)
    spearman, pearson = (_correlated(pairs, units, _KINDS[over, kind]) for kind in ("ranks", "values"))
    ceiling = NO_CEILING
    if over != "networks":
        groups = units.network if over == "units within networks" else None
        ceiling = noise_ceiling(*pairs, groups)
    people = int(pairs.person.max()) + 1
    return PeopleAndMis(over, network, things, spearman, pearson, ceiling, people)


def _arrays(rows: pd.DataFrame, known: pd.DataFrame) -> tuple[_Pairs, _Units]:
    numbers = known[UNIT].assign(place=np.arange(len(known)))
    own = rows.merge(numbers, on=UNIT)
    both = own.groupby(["participant", "place"], sort=False)["correct"].agg(["sum", "size"]).reset_index()
    pairs = (both["sum"], both["size"], numbered(both["participant"]), both["place"])
    of_unit = known["layer"].astype(str) + " " + known["unit"].astype(str)
    units = _Units(known["mis"].to_numpy(np.float64), numbered(known["network"]), numbered(of_unit))
    return _Pairs(*(np.asarray(each, np.int64) for each in pairs)), units


def _correlated(pairs: _Pairs, units: _Units, correlation: Correlation) -> Crossed:
    """Return a correlation with its interval over participants and units: a jackknife of Fisher's z."""
    count = len(units.mis)
    every = np.arange(len(pairs.unit))

    def sums_of(own: Counts) -> tuple[Floats, Floats]:
        of_unit = pairs.unit[own]
        right, answers = (np.bincount(of_unit, each[own], count) for each in (pairs.right, pairs.answers))
        return right.astype(np.float64), answers.astype(np.float64)

    right, answers = sums_of(every)

    def z_of(right: Floats, answers: Floats) -> float:
        there = answers > 0
        if there.sum() < FEWEST:
            return math.nan
        found = correlation(units.mis[there], right[there] / answers[there], units.network[there])
        return math.atanh(min(max(found, -_HIGHEST), _HIGHEST))

    def without(own: Counts) -> float:
        less_right, less_answers = sums_of(own)
        return z_of(right - less_right, answers - less_answers)

    z = z_of(right, answers)
    if math.isnan(z):
        return NO_INTERVAL
    item = units.item[pairs.unit]
    by_person, by_item = (
        jackknife(np.array([without(own) for own in _members(groups)]), z) for groups in (pairs.person, item)
    )
    alike = np.stack([pairs.unit, pairs.right, pairs.answers], 1)
    _, first, times = np.unique(alike, axis=0, return_index=True, return_counts=True)
    by_pair = jackknife(np.array([without(np.array([own])) for own in first]), z, times)
    found = two_way(z, pairs.person, item, by_person, by_item, by_pair, most=math.inf)
    return found._replace(**{end: math.tanh(getattr(found, end)) for end in ("estimate", "low", "high")})


def _members(groups: Counts) -> list[Counts]:
    """Return the places of each group."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def _of_units(mis: Floats, share: Floats, networks: Counts, *, ranks: bool, within: bool) -> float:
    groups = networks if within else np.zeros(len(networks), np.int64)
    both = [_inner(values, groups, ranks) for values in (mis, share)]
    spread = math.sqrt(float(both[0] @ both[0]) * float(both[1] @ both[1]))
    return float(both[0] @ both[1]) / spread if spread > 0 else math.nan


def _of_networks(mis: Floats, share: Floats, networks: Counts, *, ranks: bool) -> float:
    counts = np.bincount(networks)
    there = counts > 0
    scores, shares = (np.bincount(networks, values)[there] / counts[there] for values in (mis, share))
    return _of_units(scores, shares, np.zeros(len(scores), np.int64), ranks=ranks, within=False)


def _inner(values: Floats, groups: Counts, ranks: bool) -> Floats:
    """Return values, or their ranks as shares of a group, less the mean of their group."""
    if ranks:
        ranked = np.empty(len(values))
        for own in _members(groups):
            _, place, ties = np.unique(values[own], return_inverse=True, return_counts=True)
            ranked[own] = (np.cumsum(ties) - (ties - 1) / 2)[place] / len(own)  # ties share their mean rank
        values = ranked
    counts = np.maximum(np.bincount(groups), 1)  # a network may be without answers
    inner: Floats = values - (np.bincount(groups, values) / counts)[groups]
    return inner


_KINDS: dict[tuple[Over, str], Correlation] = {
    ("units", "ranks"): partial(_of_units, ranks=True, within=False),
    ("units", "values"): partial(_of_units, ranks=False, within=False),
    ("units within networks", "ranks"): partial(_of_units, ranks=True, within=True),
    ("units within networks", "values"): partial(_of_units, ranks=False, within=True),
    ("networks", "ranks"): partial(_of_networks, ranks=True),
    ("networks", "values"): partial(_of_networks, ranks=False),
}


def _scores(results: Results) -> pd.DataFrame:
    units = results.units[[*UNIT, "mis"]].dropna(subset=["mis"])
    return units.astype({"network": object, "layer": object, "unit": np.int64})
