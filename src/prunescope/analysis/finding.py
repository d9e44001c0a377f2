"""One conclusion as a row: its estimate, its interval and a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from prunescope.measures.significance import LEVEL

Verdict = Literal["shown", "not shown", "shown to be equal", "no interval", "described"]
Margins = Mapping[str, float]  # by metric: a difference below it is as good as none


@dataclass(frozen=True)
class Finding:
    """One conclusion, or that nothing can be concluded.

    Attributes:
        question: "trend", "difference", "sweet spot", "correlation", "composition", "votes", "agreement", …
        measure: the metric, as in the tables: "top1"; of a correlation, both: "mis and top1".
        about: what it is about, in words: the series, or the series and the target.
        series: the name of the series; "" where it is about all of them.
        target: what was asked, as in `Results.networks`; "" where it is about all targets.
        estimate: in the unit of the measure, or what `method` says: a correlation, a χ².
        low: of the 95 % interval; NaN where there is none.
        high: as low.
        n: how many of `resampled` there were.
        resampled: the unit of resampling: "unit", "image", "seed", "class", "network", "series",
            "participant and item"; "" where there is no interval.
        method: the name of the statistic and of its interval.
        p: of the test that the method names; NaN where there is none.
        p_holm: corrected for all findings of the same question and measure, by Holm's method.
        effect: the size of the effect in its own unit, as `effect_kind` names it; NaN where there is none.
        margin: the difference that counts as none; NaN where none was stated.
        verdict: "shown" (the test, corrected, rejects no effect, and the interval leaves it out), "not shown" (one of
            them does not: nothing is concluded), "shown to be equal" (an equivalence test with `margin`),
            "no interval", or "described": a quantity that is not tested.
        sentence: all that in plain words.
        figure: the name of the figure of the report that shows it; "" if none does.
        weight: the order of the first screen: larger is told first, 0 is told only among all findings.
    """

    question: str
    measure: str
    about: str
    estimate: float
    sentence: str
    method: str
    verdict: Verdict
    series: str = ""
    target: str = ""
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    resampled: str = ""
    p: float = math.nan
    p_holm: float = math.nan
    effect: float = math.nan
    effect_kind: str = ""
    margin: float = math.nan
    figure: str = ""
    weight: float = 0.0


def verdict_of(p_holm: float, low: float = math.nan, high: float = math.nan) -> Verdict:
    """Return what a p that is corrected already says, together with the ends of the interval, if there is one.

    A test and an interval that are not made from one another may differ at the edge: then nothing is shown.
    """
    if math.isnan(p_holm):
        return "no interval"
    return "shown" if p_holm < LEVEL and not low <= 0 <= high else "not shown"


COLUMNS = [field.name for field in fields(Finding)]
