"""The slope of MIS that fits the people of a study best, and how often they are right by the margin of the task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from prunescope.analysis.crossed import Crossed
from prunescope.analysis.people_and_mis import answers_about_units
from prunescope.analysis.results import Results
from prunescope.analysis.right_answers import share_of_right
from prunescope.analysis.slope_fit import SlopeFit, fit_slope, slope_of

BINS = 10


@dataclass(frozen=True)
class PeopleSlope:
    """The slope, fitted without lapses and with them, and the share of right answers in bins of the margin.

    Attributes:
        bins: the mean margin of each bin, of equally many answers as far as margins differ, and the share of right
            answers in it.
    """

    fit: SlopeFit
    with_lapses: SlopeFit
    bins: tuple[tuple[float, Crossed], ...]


def people_slope(results: Results) -> PeopleSlope | None:
    """Fit the slope to the answers about units whose margins are known; None where there are none."""
    rows = answers_about_units(results)
    rows = rows[rows["margin"].notna()]
    if rows.empty:
        return None
    margins, right = rows["margin"].to_numpy(np.float64), rows["correct"].to_numpy(bool)
    people, items = rows["participant"].astype(str).to_numpy(), rows["asked"].to_numpy()
    fits = [
        fit_slope(margins, right, people, items, lapse=lapse, default=slope_of(results))
        for lapse in (False, True)
    ]
    return PeopleSlope(fits[0], fits[1], tuple(_bins(rows)))


def _bins(rows: pd.DataFrame) -> list[tuple[float, Crossed]]:
    number = pd.qcut(rows["margin"], BINS, labels=False, duplicates="drop")
    if number.isna().all():  # one margin alone
        number = pd.Series(0, rows.index)
    return [(float(own["margin"].mean()), share_of_right(own)) for _, own in rows.groupby(number)]
