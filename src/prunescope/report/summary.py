"""The first section: what came out, in plain words, and what to know before trusting it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from prunescope.analysis.results import Network, Results, is_rate, over_seeds, records, targets_of
from prunescope.report.blocks import Cell, Conclusion, Fact, Section, Table, number_cell
from prunescope.report.formats import (
    count,
    interval,
    listing,
    name_target,
    percent,
    points,
    quantity,
)
from prunescope.report.speed_findings import in_short
from prunescope.report.speed_times import times_of

MOST_SERIES = 4  # that a warning names
STRANDED = 0.05  # from five points on, weights that are cut off are worth a word beside the zeros


def summary(results: Results, conclusions: Sequence[Conclusion] = ()) -> Section:
    """Say in words what was done and what follows."""
    text = [" ".join([_extent(results), _dense_accuracy(results), _zeros_as_asked(results)]).strip()]
    if on_speed := in_short(times_of(results)):
        text.append(on_speed)
    return Section(
        anchor="summary",
        title="Summary",
        text=text,
        conclusions=conclusions,
        numbers=_numbers(results),
        warnings=[
            *_unfinished(results),
            *_masks_not_held(results),
            *_at_chance(results),
            *_stranded(results),
        ],
        tables=_best_at_each_rate(results),
    )


def _dense(results: Results) -> pd.DataFrame:
    """Return the dense networks, one from which several runs start once."""
    return results.dense.drop_duplicates(["seed", "step"])


def _extent(results: Results) -> str:
    if results.networks.empty:
        return "No network was finished."
    if results.sparse.empty:
        return "Only the dense network was measured; nothing was pruned."
    controls = f" ({len(results.controls)} of them controls)" if results.controls else ""
    series, seeds = count(len(results.series), "series") + controls, count(results.seeds, "seed")
    dense, pruned = count(len(_dense(results)), "dense network"), count(len(results.prunings), "network")
    which = "all" if len(results.retrained) == len(results.prunings) else f"{len(results.retrained)} of them"
    retrained = f" ({which} retrained)" if len(results.retrained) else ""
    return f"This report compares {dense} with {pruned} made by pruning{retrained}: {series}, {seeds}."


def _dense_accuracy(results: Results) -> str:
    sentences, several = [], _dense(results)["series"].nunique() > 1
    for dense in over_seeds(_dense(results), "top1"):
        name = dense.series if several else "The dense network"
        mean = f", on average over {dense.seeds} seeds," if dense.seeds > 1 else ""
        within = interval(dense.low, dense.high)
        within = f" (95 % interval {within})" if within else ""
        sentences.append(
            f"{name}{mean} names the right class of {percent(dense.value)} of the test images{within}."
        )
    return " ".join(sentences)


def _zeros_as_asked(results: Results) -> str:
    """Compare the rate asked with the zeros found, and those before retraining with those after it."""
    asked = results.prunings[results.prunings["asked"]]
    off = (asked["zeros"] - asked["rate"]).abs().max()
    if math.isnan(off):
        return ""
    bound = math.ceil(1000 * off) / 10
    text = f"The share of zeros among the prunable weights is the rate asked to within {bound:.1f} points"
    if results.retrained["zeros"].notna().any() and not _regrown(results):
        return f"{text}, and retraining left every zero in place."
    return f"{text} right after pruning."


def _numbers(results: Results) -> list[Fact]:
    own = _dense(results)
    of = {name: f", {name}" for name in own["series"]} if own["series"].nunique() > 1 else {}
    numbers = [
        Fact("Dense top-1" + of.get(dense.series, ""), percent(dense.value), interval(dense.low, dense.high))
        for dense in over_seeds(own, "top1")
    ]
    for term, metric in (("Best pruned top-1", "top1"), ("Most weights gone", "gone")):
        if estimates := over_seeds(results.final, metric):
            best = max(estimates, key=lambda estimate: estimate.value)
            numbers.append(
                Fact(term, percent(best.value), f"{best.series} at {name_target(best.target, best.rate)}")
            )
    numbers += [
        Fact("Dense network", quantity(dense.value), "weights") for dense in over_seeds(own, "weights")[:1]
    ]
    return numbers


def _unfinished(results: Results) -> list[str]:
    unfinished = results.steps["status"] != "done"
    if not unfinished.any():
        return []
    return [
        f"{int(unfinished.sum())} of {count(len(results.steps), 'step')} failed or were skipped, so networks "
        "are missing from this report; “What failed” says which."
    ]


def _masks_not_held(results: Results) -> list[str]:
    """Warn of each series whose zeros grew back, with the network that lost most of them."""
    worst: dict[str, Network] = {}
    for network in _regrown(results):
        worst.setdefault(network["series"], network)
    warnings = []
    for series, network in worst.items():
        why = (
            "The study asked to hold the mask, so this is a fault."
            if network["hold"]
            else "The study asked for this (hold: false), to repeat a method that lets weights grow back."
        )
        warnings.append(
            f"The zeros of {series} did not last: asked for {percent(network['rate'])}, the network had "
            f"{percent(network['zeros_after_pruning'])} zeros after pruning and "
            f"{percent(network['zeros_after_retraining'])} after retraining. {why} "
            "Its accuracy after retraining is not that of a network this sparse."
        )
    return warnings


def _at_chance(results: Results) -> list[str]:
    level = f"not better than always naming the most frequent class ({percent(results.chance)})"
    warnings = []
    if _at_chance_by_series(results.dense, results.chance):
        warnings.append(
            f"The dense network itself is at chance, {level}: what is compared with it says little."
        )
    for when, networks in (("Before retraining", results.pruned), ("After retraining", results.retrained)):
        if lost := _at_chance_by_series(networks, results.chance):
            names = [f"{series} at {listing(targets)}" for series, targets in lost.items()]
            warnings.append(f"{when}, accuracy is at chance, {level}, for {_first(names)}.")
    return warnings


def _at_chance_by_series(networks: pd.DataFrame, chance: float) -> dict[str, list[str]]:
    """Return for each series the targets where top-1, for every seed, is not above that of a constant answer."""
    lowest = networks["top1_low"].fillna(networks["top1"])
    lost: dict[str, list[str]] = {}
    for series, own in networks[lowest.notna()].groupby("series", sort=False):
        for target, rate in targets_of(own).items():
            if (lowest[own.index[own["target"] == target]] <= chance).all():  # never at a chance not known
                lost.setdefault(str(series), []).append(name_target(target, rate))
    return lost


def _stranded(results: Results) -> list[str]:
    """Warn of the series in which much more is gone than was set to zero, each at its worst rate."""
    found = []
    for series in results.series:
        own = records(
            results.final[results.final["series"] == series].dropna(subset=["unreachable", "zeros"])
        )
        most = max(own, key=lambda network: network["unreachable"] - network["zeros"], default=None)
        if most is not None and most["unreachable"] - most["zeros"] > STRANDED:
            found.append(
                f"{series}: at {name_target(most['target'], most['rate'])} asked, {percent(most['zeros'])} of "
                f"the prunable weights are zero, but {percent(most['unreachable'])} can no longer act"
            )
    if not found:
        return []
    return [
        "More is gone than the rate says, since weights that read or feed only removed ones do nothing. "
        f"{_first(found)}. Compare series by what is really gone."
    ]


def _first(found: list[str]) -> str:
    """Join what was found of each series, of many that of the first ones."""
    more = len(found) - MOST_SERIES
    return "; ".join(found) if more < 2 else f"{'; '.join(found[:MOST_SERIES])}; and {more} further series"


def _best_at_each_rate(results: Results) -> list[Table]:
    own = results.final[~results.final["series"].isin(results.controls)]
    estimates = over_seeds(own, "top1")
    if len({estimate.series for estimate in estimates}) < 2 or results.dense["top1"].isna().all():
        return []
    gone = {estimate[:2]: estimate.value for estimate in over_seeds(own, "gone")}
    rows = []
    for target, rate in targets_of(own).items():
        rivals = [estimate for estimate in estimates if estimate.target == target]
        if not rivals:
            continue
        best = max(rivals, key=lambda estimate: estimate.value)
        dense = [each.value for each in over_seeds(results.dense_beside(best.series), "top1")]
        rows.append(
            [
                Cell(percent(rate) if is_rate(target) else name_target(target, rate), number=rate),
                Cell(best.series),
                Cell(percent(best.value), interval(best.low, best.high), best.value),
                number_cell(best.value - dense[0] if dense else math.nan, points),
                number_cell(gone.get(best[:2], math.nan), percent),
            ]
        )
    caption = (
        f"The network of highest top-1 at each {results.target_label.lower()}. One rate is not one size: see what "
        "is really gone. Where intervals overlap, the order of the series may be chance."
    )
    columns = [results.target_label, "Best series", "Top-1", "Against dense", "Weights really gone"]
    return [Table(columns, rows, caption)]


def _regrown(results: Results) -> list[Network]:
    """Return the networks in which removed weights grew back, the one with most of them first."""
    held = results.retrained["held"]
    order = held[held < 1].sort_values(kind="stable")
    return records(results.retrained.loc[order.index])
