"""The tables of the section on speed: each runtime in short, the times of every network, and what it weighs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from prunescope.analysis.results import Network, Results, records
from prunescope.report.blocks import Cell, Table, number_cell, table_of
from prunescope.report.formats import NO_VALUE, milliseconds, per_second, percent, points, quantity, speedup
from prunescope.report.network_cells import name_cells
from prunescope.report.speed_findings import factor, name_of, network_of, within
from prunescope.report.speed_times import Gain, Times, best_compact, compact_of, fastest_that_keeps


def tables(results: Results, times: Times) -> list[Table]:
    """Make the tables of a study's times, those first that say most."""
    return [
        *_in_short(times),
        *(table for batch in times.batches for table in _times_table(results, times, batch)),
        *_weights_table(results, times),
    ]


def _in_short(times: Times) -> list[Table]:
    """Sum up each runtime at each batch."""
    if not times.gains:
        return []
    over = "seeds" if times.table["seed"].nunique() > 1 else "rounds"
    rows = []
    for batch in times.batches:
        masks = {mask.runtime: mask for mask in times.of_masks(batch)}
        for runtime, runs in times.dense_runs(batch).items():
            own = [gain for gain in times.gains_at(batch) if gain.runtime == runtime]
            mask = masks.get(runtime)
            rows.append(
                {
                    "Runtime": Cell(name_of(runtime)),
                    "Batch": number_cell(batch, "{:.0f}".format),
                    "Dense": number_cell(float(runs.median()), milliseconds),
                    "Masks alone": Cell(speedup(mask.speedup), within(mask.low, mask.high), mask.speedup)
                    if mask
                    else Cell(NO_VALUE),
                    "Compact, at best": _gain_cell(
                        best_compact(own), "not shown" if compact_of(own) else NO_VALUE
                    ),
                    "Fastest within 1 point of dense": _gain_cell(fastest_that_keeps(own)),
                }
            )
    caption = (
        "What each runtime made of it, as factors of the dense network's speed in the same runtime. Dense: the median "
        "over all runs. Masks alone: the mean over networks (one that series share counts once) and its 95 % interval "
        f"over networks; the other intervals are over {over}. Compact, at best: of those whose interval excludes 1. "
        "Points: of top-1."
    )
    return [table_of(rows, caption, sortable=False)]


def _gain_cell(gain: Gain | None, none: str = NO_VALUE) -> Cell:
    """Write a speed-up, and below it its interval, the network and what it did to top-1."""
    if gain is None:
        return Cell(none, number=math.nan)
    lost = "" if math.isnan(gain.lost) else points(-gain.lost)
    beside = filter(None, (within(gain.low, gain.high), network_of(gain), lost))
    return Cell(speedup(gain.speedup), ", ".join(beside), gain.speedup)


def _times_table(results: Results, times: Times, batch: int) -> list[Table]:
    """List what every form of every network took at one batch, a column per runtime; none for what has no times."""
    timed = times.measured[times.measured["batch"] == batch]
    timed = timed[(timed["stage"] == "dense") | (timed["variant"] != "dense")]
    compact = set(timed.loc[timed["variant"] == "compact", "network"])
    runtimes = [str(name) for name in timed["runtime"].unique()]
    rows = []
    for _, own in timed.groupby(["network", "variant"], sort=False):
        network = records(own)[0]
        alone = network["variant"] == "masked" and network["network"] not in compact
        by_runtime = own.set_index("runtime").reindex(runtimes)
        rows.append(
            {
                **_names(results, network),
                "Form": Cell("masked only" if alone else network["variant"]),
                "Top-1": number_cell(network["top1"], percent),
                "Promised": number_cell(
                    math.nan if network["stage"] == "dense" else network["promised"], speedup
                ),
                **{name_of(str(runtime)): _time_cell(row) for runtime, row in by_runtime.iterrows()},
            }
        )
    caption = (
        f"{'Latency' if batch == 1 else 'Time and throughput'} at batch {batch}: the median by the clock on the wall, "
        "and below it the speed-up over the dense network in the same run, with its 95 % interval over rounds. "
        "Promised: multiply-accumulates of the dense network over those left. Masked only: there is no compact form. "
        "“speed.parquet” beside this page has more: networks before retraining, 95th percentiles, processor time."
    )
    return [table_of(rows, caption)] if rows else []


def _names(results: Results, network: Network) -> dict[str, Cell]:
    return {
        **name_cells(network, results),
        "Seed": number_cell(network["seed"] if results.seeds > 1 else math.nan, "{:.0f}".format),
    }


def _time_cell(row: pd.Series[Any]) -> Cell:
    """Write a time, of a batch with its images per second, and below it the speed-up."""
    text = milliseconds(row["milliseconds"])
    if row["batch"] > 1 and math.isfinite(row["images_per_second"]):
        text += f", {per_second(row['images_per_second'])}"
    gained = row["variant"] != "dense" and math.isfinite(row["speedup"])
    beside = factor(row["speedup"], row["speedup_low"], row["speedup_high"]) if gained else ""
    return Cell(text, beside, row["milliseconds"])


def _weights_table(results: Results, times: Times) -> list[Table]:
    """List what each network weighs on disk and in memory, and its multiply-accumulates."""
    peaks = {
        (row["network"], row["batch"], row["variant"]): row["peak_bytes"]
        for row in records(times.measured.dropna(subset=["peak_bytes"]))
    }
    ends = pd.concat([results.dense, results.final])
    rows = []
    for network in records(ends[ends["network"].isin(times.table["network"])]):
        memory = {f"Peak memory, batch {batch}": _peak_cell(peaks, network, batch) for batch in times.batches}
        rows.append({**_names(results, network), **_weight_cells(network), **memory})
    caption = (
        "What every network weighs. MACs and weights: effective counts what still acts in the masked network, compact "
        "what its tensors hold. Files are in float32, below them their size under zstd; packed keeps the masked "
        "network as one bit for each weight and the values that are not zero. Peak memory: the most that the tensors "
        "of a forward pass in PyTorch hold at once, weights included; of the compact form where there is one."
    )
    table = table_of(rows, caption)
    return [table] if set(table.columns) - set(_names(results, records(ends)[0])) else []


def _weight_cells(network: Network) -> dict[str, Cell]:
    return {
        "MACs, effective": number_cell(network["macs_effective"], quantity),
        "MACs, compact": number_cell(network["macs_compact"], quantity),
        "Weights, compact": number_cell(network["weights_compact"], quantity),
        "File": _file_cell(network, "file_bytes"),
        "File, compact": _file_cell(network, "file_bytes_compact"),
        "File, packed": number_cell(network["file_bytes_packed"], in_bytes),
    }


def _file_cell(network: Network, metric: str) -> Cell:
    """Write the bytes of a file, and below them those of the file under zstd."""
    zipped = network[f"{metric}_zstd"]
    return Cell(
        in_bytes(network[metric]), "" if math.isnan(zipped) else f"zstd {in_bytes(zipped)}", network[metric]
    )


def _peak_cell(peaks: Mapping[tuple[str, int, str], float], network: Network, batch: int) -> Cell:
    dense, masked, compact = (
        peaks.get((network["network"], batch, variant), math.nan)
        for variant in ("dense", "masked", "compact")
    )
    if network["stage"] == "dense":
        return number_cell(dense, in_bytes)
    peak = masked if math.isnan(compact) else compact
    return Cell(in_bytes(peak), "" if math.isnan(dense) else f"of {in_bytes(dense)}", peak)


def in_bytes(size: float) -> str:
    """Write the size of a file or of memory."""
    return quantity(size, "B")
