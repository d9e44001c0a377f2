"""Answers that are right or wrong: the share of right ones of networks and layers, against chance and the dense one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prunescope.analysis.crossed import NO_INTERVAL, Crossed, crossed, difference_of_shares, share
from prunescope.analysis.results import Results
from prunescope.analysis.votes import answers_of, items_of, place_of

MIS = "mis"  # the experiment that asks which of two images fits a unit


@dataclass(frozen=True)
class RightAnswers:
    """How many answers about one network are right.

    Attributes:
        layer: of the units asked about; "" for all.
        right: how many answers are right.
        every: how many there are.
        crossed: their share, tested against `chance`.
        chance: the share that guessing gives; NaN where that is not known.
        other: the network that it is compared with: the dense one or, if people were not shown that, the least
            pruned; "" for itself.
        change: the share less that of the other network.
    """

    experiment: str
    network: str
    layer: str
    right: int
    every: int
    crossed: Crossed
    chance: float
    other: str
    change: Crossed
    participants: int
    items: int

    @property
    def share(self) -> float:
        """The share of right answers."""
        return self.right / self.every


def right_answers(results: Results) -> list[RightAnswers]:
    """Return the share of right answers of each network, experiment by experiment."""
    return [
        _of_network(rows, experiment, network, least, chance)
        for experiment, rows, chance in judged(results)
        for network, least in networks_of(rows, results)
    ]


def right_by_layer(results: Results) -> list[RightAnswers]:
    """Return the same for the units of each layer."""
    return [
        _of_network(own, experiment, network, least, chance, str(layer))
        for experiment, rows, chance in judged(results)
        for layer, own in _by_layer(rows, results)
        for network, least in networks_of(own, results)
    ]


def _by_layer(rows: pd.DataFrame, results: Results) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the answers about each layer, in the order of the run."""
    known = [str(layer) for layer in results.units["layer"].unique()]
    layers = rows["layer"].astype(object)
    asked = [str(layer) for layer in layers.dropna().unique()]
    for layer in sorted(asked, key=lambda each: known.index(each) if each in known else len(known)):
        yield layer, rows[layers == layer]


def judged(results: Results) -> Iterator[tuple[str, pd.DataFrame, float]]:
    """Yield each experiment whose answers are right or wrong, those answers, and the share that guessing gives.

    The answers have a column `asked`: the number of the unit or item that they are about.
    """
    votes = answers_of(results)
    known = votes[votes["correct"].notna() & votes["network"].notna()]
    known = known.assign(asked=pd.factorize(units_or_items(known))[0])  # once for all that is made of them
    known = known.drop(columns=["item", "task", "left", "right", "chosen"])
    for experiment, rows in known.groupby("experiment", observed=True, sort=False):
        yield str(experiment), rows, _chance(str(experiment), rows)


def networks_of(rows: pd.DataFrame, results: Results) -> Iterator[tuple[str, str]]:
    """Yield the networks of some answers, the dense one first, and which of them the others are compared with."""
    own = sorted((str(name) for name in rows["network"].unique()), key=lambda name: place_of(name, results))
    for network in own:
        yield network, own[0]


def share_of_right(rows: pd.DataFrame, null: float = 0.0) -> Crossed:
    """Return the share of right answers with its interval over participants and items."""
    right = rows["correct"].to_numpy(bool)
    columns = np.stack([right, np.ones(len(rows))], 1).astype(np.float64)
    return crossed(columns, numbered(rows["participant"]), numbered(rows["asked"]), share, null=null)


def change_of_right(rows: pd.DataFrame, network: str, other: str) -> Crossed:
    """Return the share of right answers of one network less that of another."""
    return difference_of_right(rows, (rows["network"] == network).to_numpy(), rows["network"] == other)


def difference_of_right(rows: pd.DataFrame, these: Any, those: Any) -> Crossed:
    """Return the share of right ones among these answers less that among those, (answers,) each."""
    both = np.asarray(these, bool) | np.asarray(those, bool)
    own, other = np.asarray(these, bool)[both], np.asarray(those, bool)[both]
    kept = rows[both]
    right = kept["correct"].to_numpy(bool)
    columns = np.stack([own & right, own, other & right, other], 1).astype(np.float64)
    people, items = numbered(kept["participant"]), numbered(kept["asked"])
    return crossed(columns, people, items, difference_of_shares, least=-1.0)


def units_or_items(rows: pd.DataFrame) -> pd.Series[Any]:
    """Return what was asked about: the unit, in whichever network; where there are no units, the image or the item.

    Several tasks of one unit go together, and so may the same unit of two networks.
    """
    known = rows["unit"].notna()
    named = rows["layer"].astype(object).astype(str) + " " + rows["unit"].astype(object).astype(str)
    return items_of(rows).astype(object).where(~known, named)


def numbered(names: pd.Series[Any]) -> Any:
    """Number the names from 0."""
    return pd.factorize(names)[0]


def _of_network(
    rows: pd.DataFrame, experiment: str, network: str, least: str, chance: float, layer: str = ""
) -> RightAnswers:
    own = rows[rows["network"] == network]
    other = "" if network == least else least
    return RightAnswers(
        experiment,
        network,
        layer,
        int(own["correct"].sum()),
        len(own),
        share_of_right(own, chance),
        chance,
        other,
        change_of_right(rows, network, other) if other else NO_INTERVAL,
        int(own["participant"].nunique()),
        int(own["asked"].nunique()),
    )


def _chance(experiment: str, rows: pd.DataFrame) -> float:
    """Return what guessing gives: one of two images, or one of the classes that were shown."""
    if experiment == MIS:
        return 0.5
    classes = int(rows["class"].nunique())
    return 1 / classes if classes > 1 else math.nan
