"""The first section: what came out, in plain words, and what to know before trusting it."""

from __future__ import annotations

import math

import pandas as pd

from prunescope.report.blocks import Cell, Fact, Section, Table, number_cell
from prunescope.report.formats import count, interval, listing, percent, points, quantity, short_percent
from prunescope.report.results import Network, Results, over_seeds, records
from prunescope.report.speed_findings import in_short
from prunescope.report.speed_times import times_of

STRANDED = 0.05  # from five points on, weights that are cut off are worth a word beside the zeros


def summary(results: Results) -> Section:
    """Say in words what the study found."""
    text = [" ".join([_extent(results), _dense_accuracy(results), _zeros_as_asked(results)]).strip()]
    if on_speed := in_short(times_of(results)):
        text.append(on_speed)
    return Section(
        anchor="summary",
        title="Summary",
        text=text,
        numbers=_numbers(results),
        warnings=[
            *_unfinished(results),
            *_masks_not_held(results),
            *_at_chance(results),
            *_stranded(results),
        ],
        tables=_best_at_each_rate(results),
    )


def _extent(results: Results) -> str:
    if results.networks.empty:
        return "No network was finished."
    if results.pruned.empty:
        return "Only the dense network was measured; nothing was pruned."
    series, seeds = count(len(results.series), "series"), count(results.seeds, "seed")
    dense, pruned = count(len(results.dense), "dense network"), count(len(results.pruned), "network")
    which = "all" if len(results.retrained) == len(results.pruned) else f"{len(results.retrained)} of them"
    retrained = f" ({which} retrained)" if len(results.retrained) else ""
    return f"This report compares {dense} with {pruned} made by pruning{retrained}: {series}, {seeds}."


def _dense_accuracy(results: Results) -> str:
    sentences = []
    for dense in over_seeds(results.dense, "top1"):
        mean = f", on average over {dense.seeds} seeds," if dense.seeds > 1 else ""
        within = interval(dense.low, dense.high)
        within = f" (95 % interval {within})" if within else ""
        sentences.append(
            f"The dense network{mean} names the right class of {percent(dense.value)} of the test images"
            f"{within}."
        )
    return " ".join(sentences)


def _zeros_as_asked(results: Results) -> str:
    """Compare the rate asked with the zeros found, and those before retraining with those after it."""
    off = (results.pruned["zeros"] - results.pruned["rate"]).abs().max()
    if math.isnan(off):
        return ""
    bound = math.ceil(1000 * off) / 10
    text = f"The share of zeros among the prunable weights is the rate asked to within {bound:.1f} points"
    if results.retrained["zeros"].notna().any() and not _regrown(results):
        return f"{text}, and retraining left every zero in place."
    return f"{text} right after pruning."


def _numbers(results: Results) -> list[Fact]:
    numbers = [
        Fact("Dense top-1", percent(dense.value), interval(dense.low, dense.high))
        for dense in over_seeds(results.dense, "top1")
    ]
    for term, metric in (("Best pruned top-1", "top1"), ("Most weights gone", "gone")):
        if estimates := over_seeds(results.final, metric):
            best = max(estimates, key=lambda estimate: estimate.value)
            numbers.append(Fact(term, percent(best.value), f"{best.series} at {short_percent(best.rate)}"))
    numbers += [
        Fact("Dense network", quantity(dense.value), "weights")
        for dense in over_seeds(results.dense, "weights")
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
    if _rates_at_chance(results.dense, results.chance):
        warnings.append(
            f"The dense network itself is at chance, {level}: what is compared with it says little."
        )
    for when, networks in (("Before retraining", results.pruned), ("After retraining", results.retrained)):
        if lost := _rates_at_chance(networks, results.chance):
            names = [
                f"{series} at {listing(list(map(short_percent, rates)))}" for series, rates in lost.items()
            ]
            warnings.append(f"{when}, accuracy is at chance, {level}, for {'; '.join(names)}.")
    return warnings


def _rates_at_chance(networks: pd.DataFrame, chance: float) -> dict[str, list[float]]:
    """Return for each series the rates where top-1, for every seed, is not above that of a constant answer."""
    above: dict[tuple[str, float], bool] = {}
    for network in records(networks.dropna(subset=["top1"])):
        lowest = network["top1"] if math.isnan(network["top1_low"]) else network["top1_low"]
        key = (network["series"], network["rate"])
        above[key] = above.get(key, False) or not lowest <= chance  # nothing is at a chance not known
    lost: dict[str, list[float]] = {}
    for series, rate in (key for key in sorted(above, key=lambda key: key[1]) if not above[key]):
        lost.setdefault(series, []).append(rate)
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
                f"{series}: at {short_percent(most['rate'])} asked, {percent(most['zeros'])} of the prunable "
                f"weights are zero, but {percent(most['unreachable'])} can no longer act"
            )
    if not found:
        return []
    return [
        "More is gone than the rate says, since weights that read or feed only removed ones do nothing. "
        f"{'; '.join(found)}. Compare series by what is really gone."
    ]


def _best_at_each_rate(results: Results) -> list[Table]:
    estimates = over_seeds(results.final, "top1")
    dense = over_seeds(results.dense, "top1")
    if len({estimate.series for estimate in estimates}) < 2 or not dense:
        return []
    gone = {
        (estimate.series, estimate.rate): estimate.value for estimate in over_seeds(results.final, "gone")
    }
    rows = []
    for rate in sorted({estimate.rate for estimate in estimates}):
        rivals = [estimate for estimate in estimates if estimate.rate == rate]
        best = max(rivals, key=lambda estimate: estimate.value)
        rows.append(
            [
                number_cell(rate, percent),
                Cell(best.series),
                Cell(percent(best.value), interval(best.low, best.high), best.value),
                number_cell(best.value - dense[0].value, points),
                number_cell(gone.get((best.series, rate), math.nan), percent),
            ]
        )
    caption = (
        "The network of highest top-1 at each rate asked. One rate is not one size: see what is really gone. "
        "Where intervals overlap, the order of the series may be chance."
    )
    columns = ["Rate asked", "Best series", "Top-1", "Against dense", "Weights really gone"]
    return [Table(columns, rows, caption)]


def _regrown(results: Results) -> list[Network]:
    """Return the networks in which removed weights grew back, the one with most of them first."""
    held = results.retrained["held"]
    order = held[held < 1].sort_values(kind="stable")
    return records(results.retrained.loc[order.index])
