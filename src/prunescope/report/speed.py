"""The section on speed: what masks and compaction bought in time, memory and bytes."""

from __future__ import annotations

from functools import partial

from prunescope.analysis.results import Results
from prunescope.report import speed_figures
from prunescope.report.blocks import Fact, Plot, Section
from prunescope.report.formats import count, listing, speedup
from prunescope.report.speed_findings import (
    factor,
    findings,
    name_of,
    on_drift,
    on_few_rounds,
    on_the_missing,
    with_loss,
)
from prunescope.report.speed_tables import tables
from prunescope.report.speed_times import Times, best_compact, compact_of, fastest_that_keeps, times_of

CLOCKS = {"cpu": "by the time that the processor worked", "wall": "by the clock on the wall"}


def speed(results: Results) -> Section | None:
    """Show measured times beside what the multiply-accumulates promise, and say in words what was bought."""
    times = times_of(results)
    if times.table.empty:
        return None
    if times.measured.empty:
        return Section("speed", "Speed", text=on_the_missing(times))
    return Section(
        "speed",
        "Speed",
        text=findings(times),
        numbers=_numbers(times),
        warnings=[*on_few_rounds(times), *on_drift(times), *_unlike(times)],
        facts=_conditions(times),
        plots=_plots(results, times),
        tables=tables(results, times),
    )


def _numbers(times: Times) -> list[Fact]:
    """Return the numbers to see first, all at the smallest batch."""
    batch = times.batches[0]
    gains = times.gains_at(batch)
    numbers = []
    if masks := [speedup(value) for value in sorted(mask.speedup for mask in times.of_masks(batch))]:
        least, most = masks[0], masks[-1]
        text = least if least == most else f"{least[:-1]}–{most}"
        numbers.append(Fact("Masks alone", text, f"{_runtimes(times)}, batch {batch}"))
    best = best_compact(gains)
    for term, gain in (("Compact, at best", best), ("Within 1 point of dense", fastest_that_keeps(gains))):
        if gain is not None:
            numbers.append(Fact(term, speedup(gain.speedup), f"{with_loss(gain)}; {name_of(gain.runtime)}"))
    if best is None and (unshown := compact_of(gains)):
        gain = unshown[0]
        largest = f"largest: {factor(gain.speedup, gain.low, gain.high)} in {name_of(gain.runtime)}"
        numbers.append(Fact("Compact, at best", "not shown", largest))
    return numbers


def _runtimes(times: Times) -> str:
    runtimes = times.runtimes
    return name_of(runtimes[0]) if len(runtimes) == 1 else count(len(runtimes), "runtime")


def _conditions(times: Times) -> list[Fact]:
    """Say how and on what the times were taken."""
    measured = times.measured
    rounds, threads = (
        sorted(int(n) for n in measured[name].dropna().unique()) for name in ("rounds", "threads")
    )
    clocks = [CLOCKS.get(str(name), str(name)) for name in measured["clock"].dropna().unique()]
    how = ["all forms of a network in turn, in one run"]
    if rounds:
        how.append(f"medians of {listing([str(n) for n in rounds])} rounds")
    if threads:
        how.append("1 thread" if threads == [1] else f"{listing([str(n) for n in threads])} threads")
    how += [f"speed-ups {clock}" for clock in clocks]
    facts = [Fact("Timed", ", ".join(how))]
    if devices := [str(name) for name in measured["device"].dropna().unique()]:
        facts.append(Fact("Device", listing(devices)))
    versions = measured.groupby("runtime", sort=False)["version"].agg(
        lambda own: listing(sorted(set(own.dropna())))
    )
    named = [f"{name_of(str(name))} {version}" for name, version in versions.items() if version]
    return [*facts, Fact("Runtimes", "; ".join(named))] if named else facts


def _unlike(times: Times) -> list[str]:
    """Warn where networks were not timed under the same conditions."""
    measured = times.measured
    apart = [name for name in ("threads", "rounds", "clock", "device") if measured[name].nunique() > 1]
    if (measured.groupby("runtime")["version"].nunique() > 1).any():
        apart.append("version")
    if not apart:
        return []
    return [
        f"These networks were not all timed alike: they differ in {listing(apart)}. Milliseconds of different "
        "networks do not compare; speed-ups are each within one run."
    ]


def _plots(results: Results, times: Times) -> list[Plot]:
    removed = times.measured[times.measured["variant"] != "dense"]
    series = f"for {listing(results.series)}. The numbers are in the tables of this section."
    plots = []
    if removed["top1"].notna().any():
        batches = speed_figures.shown_batches(times)
        second = f", and against images per second at batch {batches[1]}" if len(batches) > 1 else ""
        caption = (
            f"Top-1 accuracy against the measured latency at batch {batches[0]}{second}. Labels: the "
            f"{results.target_label.lower()}, where there is room. Each network is timed in its compact form; hollow: "
            "masked, where nothing can be taken out. Black: the dense network. Its time is the median over all runs; "
            "that of the others is this over the speed-up in their own run, so that a machine that was slower for a "
            "while moves nothing. "
            f"{_bars(results, 'of accuracy over the test images, of time over the rounds')}"
        )
        draw = partial(speed_figures.accuracy_by_time, results, times)
        plots.append(Plot("top1-by-time", draw, caption, f"Top-1 accuracy against measured time, {series}"))
    if removed["promised"].notna().any():
        caption = (
            "Speed-up measured against the one that the multiply-accumulates (MACs) promise: those of the dense "
            "network over those that are left. On the dashed diagonal a runtime keeps the promise; on the black "
            "line nothing was bought. Filled: compact, whose channels have left the tensors; hollow: masked, where the "
            f"MACs that still act are counted. {_bars(results, 'over the rounds')}"
        )
        draw = partial(speed_figures.speedup_by_promise, results, times)
        alt = f"Measured against promised speed-up, masked and compact, {series}"
        plots.append(Plot("speedup-by-promise", draw, caption, alt))
    return plots


def _bars(results: Results, over: str) -> str:
    if results.seeds > 1:
        return f"Means of {results.seeds} seeds, bars: their 95 % t-intervals."
    return f"Bars: 95 % intervals, {over}."
