"""Answers by a mixed logistic model: networks, the place of the task and the side, with heights of people and items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.analysis.results import Results
from prunescope.analysis.right_answers import judged, networks_of, numbered
from prunescope.analysis.votes import answers_of, chosen_of, items_of, place_of
from prunescope.measures.mixed_logistic import MixedLogistic, fit_mixed_logistic

Floats = NDArray[np.float64]
INTERCEPT, POSITION, SIDE = "intercept", "position", "side"
NETWORKS = "networks"  # the test that they do not differ
MOST_EFFECTS = 60  # of more networks, or pairs of them, the model is not fitted


@dataclass(frozen=True)
class MixedAnswers:
    """The model of one experiment (and stimulus).

    Attributes:
        base: what the intercept is of: the network that others are compared with; "" for pairs, which have none.
        conditions: the names of the effects: networks; or "one | other", pairs of networks.
        model: its effects in log odds. Position goes from -1/2 at the first task to 1/2 at the last; of pairs, the
            answer is that the more pruned one is preferred, and the side is 1/2 where that is on the left and -1/2
            where it is on the right.
    """

    experiment: str
    stimulus: str
    base: str
    conditions: tuple[str, ...]
    model: MixedLogistic


def mixed_answers(results: Results) -> list[MixedAnswers]:
    """Fit the model of each experiment of which the order of the answers is known."""
    found = []
    for experiment, rows, _ in judged(results):
        for stimulus, own in _ordered(rows).groupby("stimulus", sort=False, observed=True):
            found.append(_of_networks(experiment, str(stimulus), own, results))
    pairs = _ordered(_decided(results))
    for (kind, shown), own in pairs.groupby(["experiment", "stimulus"], sort=False, observed=True):
        found.append(_of_pairs(str(kind), str(shown), own, results))
    return [each for each in found if each is not None]


def _of_networks(experiment: str, stimulus: str, rows: pd.DataFrame, results: Results) -> MixedAnswers | None:
    order = [network for network, _ in networks_of(rows, results)]
    if len(order) > MOST_EFFECTS:
        return None
    base, *others = order
    network = rows["network"].astype(object).to_numpy()
    fixed = {INTERCEPT: np.ones(len(rows))} | {name: (network == name) * 1.0 for name in others}
    fixed |= _position(rows)
    terms = {NETWORKS: others} if others else {}
    items = numbered(rows["asked"].astype(str) + " " + pd.Series(network, rows.index).astype(str))
    model = _fit(rows["correct"].to_numpy(bool), fixed, rows, items, terms)
    return MixedAnswers(experiment, stimulus, base, tuple(others), model)


def _of_pairs(experiment: str, stimulus: str, rows: pd.DataFrame, results: Results) -> MixedAnswers | None:
    sides = rows[["left", "right"]].astype(object)
    place = {name: place_of(name, results) for name in pd.unique(sides.to_numpy().ravel())}
    left_is_less = np.array([place[one] <= place[two] for one, two in sides.itertuples(index=False)])
    other = np.where(left_is_less, sides["right"], sides["left"])
    one = np.where(left_is_less, sides["left"], sides["right"])
    pair = np.array([f"{first} | {second}" for first, second in zip(one, other, strict=True)], dtype=object)
    order = sorted(set(pair), key=lambda each: [place[name] for name in each.split(" | ")[:2]])
    if len(order) > MOST_EFFECTS:
        return None
    prefers = chosen_of(rows).to_numpy() == other
    fixed = {name: (pair == name) * 1.0 for name in order} | _position(rows)
    if 0 < left_is_less.mean() < 1:
        fixed |= {SIDE: 0.5 - left_is_less}
    items = numbered(items_of(rows).astype(str) + " " + pd.Series(pair, rows.index).astype(str))
    model = _fit(prefers, fixed, rows, items, {NETWORKS: order})
    return MixedAnswers(experiment, stimulus, "", tuple(order), model)


def _fit(
    right: NDArray[np.bool_],
    fixed: dict[str, Floats],
    rows: pd.DataFrame,
    items: NDArray[np.integer[Any]],
    terms: dict[str, list[str]],
) -> MixedLogistic:
    terms = terms | {name: [name] for name in (POSITION, SIDE) if name in fixed}
    return fit_mixed_logistic(right, fixed, numbered(rows["participant"]), items, terms)


def _position(rows: pd.DataFrame) -> dict[str, Floats]:
    last = float(rows["position"].max())
    return {POSITION: rows["position"].to_numpy(np.float64) / last - 0.5} if last > 0 else {}


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["position"].notna()]


def _decided(results: Results) -> pd.DataFrame:
    """Return the answers that prefer one of two networks."""
    votes = answers_of(results)
    known = votes["left"].notna() & votes["right"].notna()
    known &= votes["left"].astype(object) != votes["right"].astype(object)
    return votes[known & votes["answer"].isin(["left", "right"])]
