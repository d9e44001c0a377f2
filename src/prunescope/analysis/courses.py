"""How each measure goes along the rates of each series and seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from prunescope.analysis import pairs
from prunescope.analysis.finding_words import name
from prunescope.analysis.results import Results
from prunescope.measures.rank_trends import Floats, spearman


@dataclass(frozen=True)
class Course:
    """One measure along the rates of one series and seed.

    Attributes:
        series: its name.
        label: its name as sentences write it, with the seed where there are several.
        control: whether it is a control of another series.
        rates: (rates,), rising.
        values: (rates,).
    """

    series: str
    label: str
    control: bool
    rates: Floats
    values: Floats

    @property
    def moves(self) -> bool:
        """Whether a trend can be asked for: two rates or more, and values that are not all one."""
        return not math.isnan(self.rho)

    @property
    def rho(self) -> float:
        """Spearman's correlation of rate and value."""
        return spearman(self.rates, self.values) if len(self.rates) > 1 else math.nan


def courses_of(results: Results, metric: str) -> list[Course]:
    """Return the courses of a metric: the final networks of each run, series and seed that have it, by rate."""
    final = results.final.assign(number=results.final["network"].map(pairs.numbers_of(results, metric)))
    final = final.dropna(subset=["number"]).sort_values("rate", kind="stable")
    courses = []
    for (_, series, seed), own in final.groupby(["run", "series", "seed"], sort=False):
        of_seed = f" (seed {seed})" if results.seeds > 1 else ""
        control = bool(own["control"].notna().any())
        rates, values = (own[column].to_numpy(np.float64) for column in ("rate", "number"))
        courses.append(Course(str(series), f"{name(str(series))}{of_seed}", control, rates, values))
    order = {series: place for place, series in enumerate(results.series)}
    return sorted(courses, key=lambda each: order[each.series])
