"""Each measure of each pruned network against the dense one: over seeds, or over the same units or images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from prunescope.analysis import pairs
from prunescope.analysis.finding_words import plural
from prunescope.analysis.metric_words import MEASURES, measure_of
from prunescope.analysis.pairs import Floats, Group, Values
from prunescope.analysis.results import Results
from prunescope.measures.intervals import bootstrap_mean, mean_intervals_where, t_interval
from prunescope.measures.significance import half_width, mcnemar

UNKNOWN = "it was not measured"
LEAST = 2  # things that an interval needs
LARGE = 30  # of so many units, images or seeds on, the bootstrap takes over from Student's t
_Z = 1.959963984540054  # the normal distribution at .975
_NOISE = 1e-12
_CHANGES = {"top1", "detectors", "proxy_top1"}  # 0 or 1 of each thing
_NOT_MEANS = {"unique_detectors", "calibration_error", "units_alive"}  # of all units or images together


@dataclass(frozen=True)
class Comparison:
    """One measure of networks pruned alike, less that of their dense ones.

    Attributes:
        metric: as in the tables.
        group: the networks.
        dense: the mean over the same things, in the unit of the measure.
        difference: pruned less dense.
        low: of the 95 % interval; NaN where there is none.
        high: as low.
        error: the standard error of the difference.
        freedom: of Student's t that goes with it; infinite for the normal distribution.
        p: of the test that there is no difference.
        n: how many things were compared.
        resampled: "unit", "image" or "seed"; "" where there is no interval.
        interval: how the interval was made.
        test: the name of the test.
        effect: Cohen's d_z, or how many of the things that changed went up; NaN where there is none.
        effect_kind: which of the two.
        why: why there is no interval, where there is none.
    """

    metric: str
    group: Group
    dense: float
    difference: float
    low: float = math.nan
    high: float = math.nan
    error: float = math.nan
    freedom: float = math.nan
    p: float = math.nan
    n: int = 0
    resampled: str = ""
    interval: str = "none"
    test: str = "none"
    effect: float = math.nan
    effect_kind: str = ""
    why: str = ""


def compare(results: Results) -> Iterator[list[Comparison]]:
    """Compare all networks with their dense ones, a list for each measure that some of both have."""
    groups = pairs.groups_of(results)
    for metric in metrics_of(results):
        measure = measure_of(metric)
        if measure is None or not measure.whole:
            continue
        numbers = pairs.numbers_of(results, metric)
        own = [_known(group, set(numbers.index)) for group in groups]
        if metric == "units_alive":  # counted, not estimated
            own = [group for group in own if len(group.pairs) > 1]
        if any(group.pairs for group in own):
            yield _compare_all(results, metric, own, numbers)


def metrics_of(results: Results) -> list[str]:
    """Return the metrics of a study that conclusions are drawn about."""
    of_maps = [str(name) for name in results.scores["metric"].unique() if "/" in str(name)]
    return [name for name in (*MEASURES, *of_maps) if measure_of(name)]


def _known(group: Group, networks: set[str]) -> Group:
    return group._replace(pairs=[pair for pair in group.pairs if set(pair) <= networks])


def _compare_all(
    results: Results, metric: str, groups: Sequence[Group], numbers: pd.Series[float]
) -> list[Comparison]:
    values = _values(results, metric, groups, numbers)
    single = [group for group in groups if len(group.pairs) == 1 and set(group.pairs[0]) <= set(values)]
    one_by_one = iter(_over_things(metric, single, values) if single else [])
    found = []
    for group in groups:
        if not group.pairs:
            found.append(Comparison(metric, group, math.nan, math.nan, why=f"{UNKNOWN} of both"))
        elif group in single:
            found.append(next(one_by_one))
        elif len(group.pairs) > 1:
            matched = {} if metric == "detectors" else values  # of which the mean is a share
            found.append(_over_seeds(metric, group, matched, numbers))
        else:
            found.append(_of_scores(results, metric, group, numbers))
    return found


def _values(results: Results, metric: str, groups: Sequence[Group], numbers: pd.Series[float]) -> Values:
    """Return what there is of each unit or image; nothing if that is not what the metric was taken from."""
    names = {name for group in groups for pair in group.pairs for name in pair}
    if metric in _NOT_MEANS or (
        metric in {"top1", "detectors"} and all(len(each.pairs) > 1 for each in groups)
    ):
        return {}
    if metric == "top1":
        return _checked(pairs.of_answers(results, sorted(names)), numbers, np.nanmean)
    if metric == "detectors":
        return _checked(pairs.of_units(results, "detector", names, "detector"), numbers, np.nansum)
    if metric in {"mis", "hit_rate"}:
        return pairs.of_units(results, metric, names, "alive")
    return pairs.of_explanations(results, metric, names)


def _checked(values: Values, numbers: pd.Series[float], total: Callable[[Floats], float]) -> Values:
    return {
        name: own
        for name, own in values.items()
        if math.isclose(float(total(own)), numbers[name], rel_tol=1e-6, abs_tol=1e-6)
    }


def _over_things(metric: str, groups: Sequence[Group], values: Values) -> list[Comparison]:
    """Compare single networks over their units or images; all share the draws of the bootstrap."""
    dense = np.stack([values[group.pairs[0][1]] for group in groups], 1)  # (things, groups)
    changes = np.stack([values[group.pairs[0][0]] for group in groups], 1) - dense
    of_changes = metric.rpartition("/")[2] in _CHANGES
    lows, highs = (np.zeros(len(groups)),) * 2 if of_changes else mean_intervals_where(changes)
    unit = "unit" if metric in {"mis", "hit_rate", "detectors"} else "image"
    found = []
    for i, group in enumerate(groups):
        both = np.isfinite(changes[:, i])
        own, was = changes[both, i], dense[both, i]
        mean = float(was.mean()) if len(was) else math.nan
        base = Comparison(metric, group, mean, float(own.mean()) if len(own) else math.nan, n=len(own))
        if len(own) < LEAST:
            found.append(replace(base, why=f"only {plural(len(own), unit)} can be compared"))
        elif of_changes:
            found.append(_of_changes(replace(base, resampled=unit), own))
        else:
            found.append(_of_means(replace(base, resampled=unit), own, float(lows[i]), float(highs[i])))
    return [_in_numbers(each) for each in found] if metric == "detectors" else found


def _of_changes(base: Comparison, changes: Floats) -> Comparison:
    """Compare what each thing has or has not: 1 where it was gained, -1 where it was lost."""
    n, gained, lost = len(changes), int((changes > 0).sum()), int((changes < 0).sum())
    half = float(half_width(np.array(gained + lost), changes.sum(), np.array(n)))
    return replace(
        base,
        low=base.difference - half,
        high=base.difference + half,
        error=half / _Z,
        freedom=math.inf,
        p=float(mcnemar(np.array([lost]), np.array([gained]))[0]),
        interval="Bonett and Price's for a paired change of shares",
        test="McNemar's exact test",
        effect=gained / (gained + lost) if gained + lost else math.nan,
        effect_kind=f"share of the {base.resampled}s that changed which went up",
    )


def _of_means(base: Comparison, changes: Floats, low: float, high: float) -> Comparison:
    from scipy import stats

    n, deviation = len(changes), float(changes.std(ddof=1))
    if deviation <= _NOISE:
        if n < LARGE or abs(base.difference) > _NOISE:
            return replace(base, resampled="", why=f"all {plural(n, base.resampled)} differ by the same")
        return replace(
            base, low=0.0, high=0.0, error=0.0, freedom=n - 1.0, p=1.0, test="none: no difference at all"
        )
    error = deviation / math.sqrt(n)
    few = n < LARGE
    return replace(
        base,
        low=low,
        high=high,
        error=error,
        freedom=n - 1.0,
        p=float(2 * stats.t.sf(abs(base.difference) / error, n - 1)),
        interval="Student's t" if few else "percentile bootstrap, 10,000 draws",
        test="paired t-test",
        effect=base.difference / deviation,
        effect_kind="Cohen's d_z (mean difference / its deviation)",
    )


def _in_numbers(found: Comparison) -> Comparison:
    """Turn shares of units into numbers of units."""
    scaled = {
        name: getattr(found, name) * found.n for name in ("dense", "difference", "low", "high", "error")
    }
    return replace(found, **scaled)


def _over_seeds(metric: str, group: Group, values: Values, numbers: pd.Series[float]) -> Comparison:
    """Compare the networks of several seeds, each with its own dense one."""
    ends = [_means(values[one], values[dense]) if {one, dense} <= set(values) else (numbers[one], numbers[dense])
            for one, dense in group.pairs]  # fmt: skip
    ends = [(after, before) for after, before in ends if math.isfinite(after - before)]
    if not ends:
        return Comparison(metric, group, math.nan, math.nan, why="nothing was measured of both, in any seed")
    changes = np.array([after - before for after, before in ends])
    mean = math.fsum(before for _, before in ends) / len(ends)
    base = Comparison(metric, group, mean, float(changes.mean()), n=len(changes), resampled="seed")
    if len(changes) < LEAST:
        return replace(base, resampled="", why="only one seed has both")
    low, high = t_interval(changes.tolist()) if len(changes) < LARGE else bootstrap_mean(changes)
    return _of_means(base, changes, low, high)


def _means(after: Floats, before: Floats) -> tuple[float, float]:
    both = np.isfinite(after) & np.isfinite(before)
    return (float(after[both].mean()), float(before[both].mean())) if both.any() else (math.nan, math.nan)


def _of_scores(results: Results, metric: str, group: Group, numbers: pd.Series[float]) -> Comparison:
    """Compare two numbers of which no unit or image is known: of shares, as if they were of different images."""
    after, before = (float(numbers[name]) for name in group.pairs[0])
    base = Comparison(metric, group, before, after - before, n=1)
    own = results.scores[
        (results.scores["metric"] == metric) & results.scores["network"].isin(group.pairs[0])
    ]
    n = own["n"].min()
    if metric != "top1" or not n >= LARGE:
        return replace(base, why="one seed")
    shares = [(share * n + 1) / (n + 2) for share in (after, before)]
    error = math.sqrt(sum(share * (1 - share) / (n + 2) for share in shares))
    return replace(
        base,
        low=base.difference - _Z * error,
        high=base.difference + _Z * error,
        error=error,
        freedom=math.inf,
        p=math.erfc(abs(base.difference) / error / math.sqrt(2)),
        n=int(n),
        resampled="image",
        interval="Agresti and Caffo's, as if of different images (wider than it need be)",
        test="z-test of two independent shares",
    )
