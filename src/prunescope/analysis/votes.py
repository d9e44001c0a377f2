"""Answers of people to pairs of networks: shares, and the intervals that such answers allow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prunescope.analysis.crossed import NO_INTERVAL, Crossed, crossed, share
from prunescope.analysis.finding_words import at, line, name
from prunescope.analysis.results import Results
from prunescope.measures.intervals import wilson_share
from prunescope.measures.significance import holm

BUSIEST = 10  # participants that are left out to see what hangs on them
BUSY = 2  # times as many answers as most give, which some have to give for that


@dataclass(frozen=True)
class Preference:
    """How people chose between two networks.

    Attributes:
        stimulus: what was shown: "heat map".
        one: the network that is less pruned.
        other: the other one.
        counts: answers for `one`, for `other`, and for neither.
        crossed: the share of `other` among the answers that prefer one; without interval where only totals are known.
        participants: how many people answered; 0 where only totals are known.
        items: what they were asked about, likewise.
        of_class: the class, where only its images are looked at.
    """

    experiment: str
    stimulus: str
    one: str
    other: str
    counts: tuple[int, int, int]
    crossed: Crossed
    participants: int = 0
    items: int = 0
    of_class: str = ""

    @property
    def about(self) -> str:
        """What was shown, as a row names it."""
        return f"{self.stimulus}, {self.of_class}" if self.of_class else self.stimulus

    @property
    def shown(self) -> str:
        """What was shown, as a sentence names it."""
        return f"{name(self.stimulus)} of {name(self.of_class)}" if self.of_class else name(self.stimulus)

    @property
    def decided(self) -> int:
        """How many answers prefer one."""
        return self.counts[0] + self.counts[1]

    @property
    def share(self) -> float:
        """The share of them that prefer `other`."""
        return self.counts[1] / self.decided if self.decided else math.nan

    @property
    def chi2(self) -> float:
        """Pearson's χ² of these against one half each, as if all answers were independent."""
        return (self.counts[0] - self.counts[1]) ** 2 / self.decided if self.decided else math.nan

    @property
    def p_of_chi2(self) -> float:
        """The p of that, of one degree of freedom."""
        return math.erfc(math.sqrt(self.chi2 / 2)) if self.decided else math.nan

    @property
    def as_if_independent(self) -> tuple[float, float]:
        """The 95 % interval of the share, as if all answers were independent (Wilson)."""
        return wilson_share(self.counts[1], self.decided) if self.decided else (math.nan, math.nan)


def preferences(results: Results) -> list[Preference]:
    """Return the answers to each pair of networks that was compared; from totals where there are no answers."""
    compared = _compared(results)
    found = [_preference(*keys, rows, results) for keys, rows in _pairs(compared)]
    known = {(each.experiment, each.stimulus, frozenset((each.one, each.other))) for each in found}
    for row in totals_of(results, "totals"):
        one, other = _in_order(row["left"], row["right"], results)
        if (row["experiment"], row["stimulus"], frozenset((one, other))) in known:
            continue
        wins = {row["left"]: row["left_wins"], row["right"]: row["right_wins"]}
        counts = (wins[one], wins[other], row["ties"])
        found.append(Preference(row["experiment"], row["stimulus"], one, other, counts, NO_INTERVAL))
    return _sorted(found, results)


def preferences_by_class(results: Results) -> list[Preference]:
    """Return the same for the images of each class."""
    compared = _compared(results)
    compared = compared[compared["class"].notna()]
    return [
        pair
        for name, rows in compared.groupby(compared["class"].astype(str), sort=True)
        for pair in _sorted(
            [_preference(*keys, own, results, str(name)) for keys, own in _pairs(rows)], results
        )
    ]


def without_busiest(results: Results) -> list[Preference]:
    """Return the same without the participants of each stimulus who gave most answers, if any gave many more."""
    found = []
    for _, rows in _compared(results).groupby(["experiment", "stimulus"], observed=True, sort=False):
        busiest = busiest_of(rows)
        rest = rows[~rows["participant"].isin(busiest)]
        found += [_preference(*keys, own, results) for keys, own in _pairs(rest) if busiest]
    return _sorted(found, results)


def busiest_of(rows: pd.DataFrame) -> list[str]:
    """Return the participants who gave most answers; none where all gave about as many, as in a survey by lists."""
    counts = rows["participant"].value_counts()
    return counts.index[:BUSIEST].tolist() if counts.max() >= BUSY * counts.median() else []


def totals_of(results: Results, kind: str) -> Iterator[dict[str, Any]]:
    """Yield the totals of answers that published studies give in place of the answers."""
    study = results.study
    for record in (study, *(study.get("runs") or {}).values()):
        published = record.get("published") if isinstance(record, Mapping) else None
        if isinstance(published, Mapping):
            yield from published.get(kind) or []


def name_of(network: str, results: Results) -> str:
    """Name a network in a sentence: dense, 80 %, or with its series where there are several."""
    found = results.networks[results.networks["network"] == network]
    if found.empty:
        return name(network)
    row = found.iloc[0]
    if row["stage"] == "dense":
        return "dense"
    asked = line(str(row["target"])) if not row["asked"] else at(row["target"], row["rate"])
    return asked if len(results.series) == 1 else f"{name(row['series'])} at {asked}"


def people_noun(results: Results) -> str:
    """Return what a participant is called."""
    return "simulated participant" if is_simulated(results) else "participant"


def is_simulated(results: Results) -> bool:
    """Say whether any answer is of a simulated participant."""
    return bool(results.votes["simulated"].fillna(False).any())


def holm_of(p: Iterable[float]) -> list[float]:
    """Return p-values corrected for their number, NaN where there is none."""
    return [float(each) for each in holm(np.array(list(p), dtype=np.float64))]


def answers_of(results: Results) -> pd.DataFrame:
    """Return the answers of people; those of whom no name is known are all of one person, and so with items."""
    names = ["experiment", "stimulus", "participant", "item"]
    return results.votes.assign(
        **{name: results.votes[name].astype(object).fillna("unknown") for name in names}
    )


def chosen_of(votes: pd.DataFrame) -> pd.Series[Any]:
    """Return the network on the side that was chosen; "" where both are called equal."""
    sides = {side: votes["answer"].eq(side).to_numpy(bool) for side in ("left", "right")}
    chosen = np.select(list(sides.values()), [votes[side].astype(object) for side in sides], "")
    return pd.Series(chosen, votes.index, dtype=object)


def _compared(results: Results) -> pd.DataFrame:
    """Return the answers that compare two networks, not one with itself."""
    votes = answers_of(results)
    known = votes["left"].notna() & votes["right"].notna()
    known &= votes["left"].astype(object) != votes["right"].astype(object)
    return votes[known & votes["answer"].isin(["left", "right", "equal"])]


def _pairs(rows: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str, str], pd.DataFrame]]:
    """Yield experiment, stimulus and the two networks in no order, with the answers."""
    left, right = rows["left"].astype(str), rows["right"].astype(str)
    first = left.where(left <= right, right)
    second = right.where(left <= right, left)
    groups = rows.groupby(
        [rows["experiment"].astype(str), rows["stimulus"].astype(str), first, second], sort=False
    )
    for (experiment, stimulus, one, other), own in groups:
        yield (str(experiment), str(stimulus), str(one), str(other)), own


def _preference(
    experiment: str,
    stimulus: str,
    first: str,
    second: str,
    rows: pd.DataFrame,
    results: Results,
    of_class: str = "",
) -> Preference:
    one, other = _in_order(first, second, results)
    chosen = chosen_of(rows).to_numpy()
    prefers = np.stack([chosen == other, (chosen == one) | (chosen == other)], 1).astype(np.float64)
    participants, people = pd.factorize(rows["participant"])
    items, images = pd.factorize(items_of(rows))
    decided = prefers[:, 1] > 0
    counts = (int((chosen == one).sum()), int((chosen == other).sum()), int((~decided).sum()))
    found = crossed(prefers[decided], participants[decided], items[decided], share, null=0.5)
    return Preference(experiment, stimulus, one, other, counts, found, len(people), len(images), of_class)


def items_of(rows: pd.DataFrame) -> pd.Series[Any]:
    """Return what was asked about: the image, whichever sides the networks were on; the item if there is none."""
    return rows["image"].astype(object).fillna(rows["item"].astype(object))


def _in_order(first: str, second: str, results: Results) -> tuple[str, str]:
    one, other = sorted((first, second), key=lambda network: place_of(network, results))
    return one, other


def place_of(network: object, results: Results) -> tuple[float, float, str]:
    """Return where a network stands: the dense one first, then by rate."""
    found = results.networks[results.networks["network"] == network]
    if found.empty:
        return 2.0, 0.0, str(network)
    row = found.iloc[0]
    return float(row["stage"] != "dense"), float(row["rate"]), str(network)


def _sorted(found: list[Preference], results: Results) -> list[Preference]:
    """Put the pairs of each stimulus in order, the stimuli as they come."""
    stimuli = {(each.experiment, each.stimulus): None for each in found}
    order = {key: place for place, key in enumerate(stimuli)}
    return sorted(
        found,
        key=lambda each: (
            order[each.experiment, each.stimulus],
            place_of(each.one, results),
            place_of(each.other, results),
        ),
    )
