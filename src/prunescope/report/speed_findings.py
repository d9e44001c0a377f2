"""What the times of a study say, in sentences: what masks bought, what compaction bought, what has no times."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from prunescope.analysis.results import targets_of
from prunescope.report.formats import count, listing, milliseconds, name_target, points, speedup
from prunescope.report.speed_times import Gain, Times, best_compact, compact_of, fastest_that_keeps
from prunescope.report.speed_words import NOTICED, RUNTIME_NAMES

NEAR = "1 point of the dense network's top-1"  # `KEEPS` in words
DRIFT = 1.2  # a dense network that takes this much longer in one run than in another is worth a warning
MOST_REASONS = 5  # for missing times that are written out
ON_MASKS = {
    "nothing": "The masks alone bought no speed",
    "unclear": "No speed-up by the masks alone was shown",
    "slower": "The masks alone cost time",
    "time": "The masks alone made networks faster",
}


def name_of(runtime: str) -> str:
    """Return how people write a runtime."""
    return RUNTIME_NAMES.get(runtime, runtime)


def network_of(gain: Gain) -> str:
    """Write which network a gain is about."""
    masked = ", masked" if gain.variant == "masked" else ""
    return f"{gain.series} at {name_target(gain.target, gain.rate)}{masked}"


def with_loss(gain: Gain) -> str:
    """Write which network a gain is about, and what it did to top-1 where that is known."""
    return network_of(gain) + ("" if math.isnan(gain.lost) else f", {points(-gain.lost)} of top-1")


def within(low: float, high: float) -> str:
    """Write the interval of a speed-up as 3.25–3.36, nothing where there is none."""
    return "" if math.isnan(low) or math.isnan(high) else f"{speedup(low)[:-1]}–{speedup(high)[:-1]}"


def factor(value: float, low: float, high: float) -> str:
    """Write a speed-up with its interval: 3.30× (3.25–3.36)."""
    interval = within(low, high)
    return speedup(value) + (f" ({interval})" if interval else "")


def on_masks(times: Times) -> str:
    """Say what the masks alone bought, runtime by runtime, at the smallest batch."""
    batch = times.batches[0]
    found = times.of_masks(batch)
    if not found:
        return ""
    said = []
    for verdict, claim in ON_MASKS.items():
        each = [
            f"{factor(mask.speedup, mask.low, mask.high)} in {name_of(mask.runtime)}"
            for mask in found
            if mask.verdict == verdict
        ]
        if each:
            said.append(f"{claim}: {listing(each)}.")
    networks = max(mask.networks for mask in found)
    mean = f", the mean of {count(networks, 'network')}" if networks > 1 else ""
    if any(within(mask.low, mask.high) for mask in found):
        mean += f", with 95 % intervals over {'networks' if networks > 1 else 'rounds'}"
    said.append(f"These are speeds over the dense network's at batch {batch}{mean}.")
    if all(mask.verdict != "time" for mask in found):
        said.append(
            f"A removed weight is a zero, and zeros are multiplied like any other number{_promise(times)}."
        )
    plain = [mask.runtime for mask in found if mask.verdict != "time"]
    return " ".join([*said, *_exceptions(times, batch, plain)])


def _promise(times: Times) -> str:
    most = times.table.loc[times.table["variant"] == "masked", "promised"].max()
    if not most >= NOTICED:
        return ""
    return f"; the multiply-accumulates that still act would have promised up to {speedup(most)}"


def _exceptions(times: Times, batch: int, runtimes: Sequence[str]) -> list[str]:
    """Name the networks whose mask did make them faster where, on average, masks did not."""
    each = [
        f"{network_of(gain)} in {name_of(gain.runtime)}, {factor(gain.speedup, gain.low, gain.high)}"
        for gain in times.gains_at(batch)
        if gain.variant == "masked" and gain.runtime in runtimes and gain.faster
    ]
    return [f"Faster none the less: {'; '.join(each)}."] if each else []


def on_compaction(times: Times) -> str:
    """Say what taking the channels out bought, at the smallest batch and at the largest."""
    gains = {batch: times.gains_at(batch) for batch in (times.batches[0], times.batches[-1])}
    every = [gain for own in gains.values() for gain in compact_of(own)]
    if not every:
        return ""
    shown = [best for own in gains.values() if (best := best_compact(own))]
    if not shown:
        return f"No speed-up by taking the removed channels out of the tensors was shown: at best {_fully(every[0])}."
    said = f"Taking the removed channels out of the tensors bought up to {_fully(shown[0])}"
    for later in shown[1:]:
        said += f", and at batch {later.batch} up to {_briefly(later)} ({with_loss(later)})"
    if unshown := sorted(set(gains) - {best.batch for best in shown}):
        said += f"; at batch {unshown[0]} none was shown"
    return f"{said}."


def on_accuracy(times: Times) -> str:
    """Say which network is the fastest of those that keep their accuracy, at the smallest batch."""
    gains = [gain for gain in times.gains_at(times.batches[0]) if not math.isnan(gain.lost)]
    if not gains:
        return ""
    best = fastest_that_keeps(gains)
    if best is not None:
        which = f"{network_of(best)} ({points(-best.lost)})"
        return f"Of the networks within {NEAR}, the fastest is {which}: {_in_ms(best)}, {_briefly(best)}."
    if any(gain.keeps for gain in gains):
        return f"Of the networks within {NEAR}, none was shown to be faster than the dense one."
    nearest = min(gains, key=lambda gain: gain.lost)
    name = f"{nearest.series} at {name_target(nearest.target, nearest.rate)}"
    return f"No pruned network is within {NEAR}; the nearest is {name} ({points(-nearest.lost)})."


def _fully(gain: Gain) -> str:
    return f"{_briefly(gain)} at batch {gain.batch}, {_in_ms(gain)} ({with_loss(gain)})"


def _briefly(gain: Gain) -> str:
    return f"{factor(gain.speedup, gain.low, gain.high)} in {name_of(gain.runtime)}"


def _in_ms(gain: Gain) -> str:
    return f"{milliseconds(gain.latency)} instead of {milliseconds(gain.dense_latency)}"


def on_runtimes(times: Times) -> str:
    """Say how long the dense network takes in each runtime, and what changing the runtime alone buys."""
    batch = times.batches[0]
    runs = times.dense_runs(batch)
    if not runs:
        return ""
    dense = {name: float(own.median()) for name, own in runs.items()}
    each = [f"{milliseconds(time)} in {name_of(name)}" for name, time in dense.items()]
    number = max(len(own) for own in runs.values())
    median = f", the median of {count(number, 'run')}" if number > 1 else ""
    said = f"The dense network takes {listing(each)} at batch {batch}{median}."
    slow, quick = max(dense, key=dense.__getitem__), min(dense, key=dense.__getitem__)
    ratio = dense[slow] / dense[quick]
    if ratio >= NOTICED:
        said += (
            f" Going from {name_of(slow)} to {name_of(quick)} is worth {speedup(ratio)} without any pruning."
        )
    return said


def on_drift(times: Times) -> list[str]:
    """Warn where the machine itself was not equally fast over the study."""
    spans = []
    for name, own in times.dense_runs(times.batches[0]).items():
        if own.max() / own.min() >= DRIFT:
            spans.append(f"from {milliseconds(own.min())} to {milliseconds(own.max())} in {name_of(name)}")
    if not spans:
        return []
    return [
        f"The machine was not equally fast throughout: the same dense network took {listing(spans)}. Speed-ups are "
        "within one run and hold, and so do the latencies of words and figures, which are one dense time over the "
        "speed-up; the milliseconds in the tables of times are each of their own run."
    ]


def on_few_rounds(times: Times) -> list[str]:
    """Warn where speed-ups have no interval."""
    gained = times.measured[times.measured["variant"] != "dense"]
    without = gained[gained["speedup"].notna() & gained["speedup_low"].isna()]
    if without.empty:
        return []
    some = "All" if len(without) == gained["speedup"].notna().sum() else "Some"
    return [
        f"{some} speed-ups have no interval of their own, for which it takes six rounds: nothing is shown by one alone."
    ]


def on_the_missing(times: Times) -> list[str]:
    """Say for which networks or runtimes there are no times, and why: one sentence for each reason.

    Reasons may name single filters, and so differ between the networks of a series: then the first stands for all.
    """
    missing = times.table[times.table["why"].notna()]
    first = missing.groupby(["series", "variant", "runtime", "batch"])["why"].transform("first")
    said = []
    for why, own in missing.groupby(first, sort=False):
        number = own["why"].nunique()
        others = f" (the first of {number} reasons; all are in “speed.parquet”)" if number > 1 else ""
        said.append(f"{_what(times.table, own)}{_where(times, own)}: {str(why).rstrip('.')}{others}.")
    more = len(said) - MOST_REASONS
    return said if more < 2 else [*said[:MOST_REASONS], f"{more} further reasons are in “speed.parquet”."]


def _what(times: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Say which networks lack which times, each series with its targets unless it is all of them."""
    variants = [str(name) for name in rows["variant"].unique()]
    names = []
    for series, own in rows.groupby("series", sort=False):
        targets = targets_of(own)
        every = times.loc[times["series"] == series, "target"].nunique() == len(targets)
        at = "" if every else f" at {listing([name_target(*target) for target in targets.items()])}"
        names.append(f"{series}{at}")
    if "dense" not in variants:
        return f"No {listing(variants)} form of {listing(names)}"
    everything = rows["network"].nunique() == times["network"].nunique()
    return "No times" if everything else f"No times of {listing(names)}"


def _where(times: Times, rows: pd.DataFrame) -> str:
    """Say in which runtimes and at which batches something is missing, unless it is in all."""
    runtimes = [str(name) for name in rows["runtime"].unique()]
    batches = sorted(rows["batch"].unique())
    elsewhere = set(times.runtimes) - set(runtimes)
    place = f" in {listing([name_of(name) for name in runtimes])}" if elsewhere else ""
    if set(times.table.loc[times.table["runtime"].isin(runtimes), "batch"]) != set(batches):
        place += f" at batch {listing([str(batch) for batch in batches])}"
    return place


def findings(times: Times) -> list[str]:
    """Return what the times say, a paragraph each, the most important first."""
    bought = " ".join(filter(None, (on_compaction(times), on_accuracy(times))))
    return [
        text
        for text in (on_masks(times), bought, " ".join(on_the_missing(times)), on_runtimes(times))
        if text
    ]


def in_short(times: Times) -> str:
    """Return the main finding in a few sentences; nothing where no pruned network was timed."""
    batches = times.batches
    masks = times.of_masks(batches[0]) if batches else []
    said = []
    for verdict, claim in ON_MASKS.items():
        own = [name_of(mask.runtime) for mask in masks if mask.verdict == verdict]
        if own:
            said.append(f"{claim}{'' if len(own) == len(masks) else f' in {listing(own)}'}.")
    if said:
        kept = fastest_that_keeps(times.gains_at(batches[0]))
        said += [on_accuracy(times)] if kept else [on_compaction(times), on_accuracy(times)]
    return " ".join(filter(None, said))
