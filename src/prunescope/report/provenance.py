"""How the study came about: what was done, what failed, and how to do it again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from prunescope.report.blocks import Cell, Fact, Section, Table, table_of
from prunescope.report.formats import NO_VALUE, count, listing, short_percent
from prunescope.report.results import Results, records


def method(results: Results) -> Section:
    """Say what was done: network, images, series, retraining, machine."""
    settings = results.study.get("settings") or {}
    facts = _facts("Network", settings.get("network"))
    facts += _facts("Images", _images(results.study.get("images") or {}))
    given = (settings.get("network") or {}).get("weights")  # then nobody trained the dense network here
    for key in (key for key in settings if "train" in key and not (given and key == "train")):
        facts += _facts(key.capitalize(), settings[key])
    facts += _spared(results)
    facts += _facts("Machine", results.study.get("machine"))
    tables = [_series_table(results)] if results.series else []
    if settings:
        rows = list(_flat(settings))
        tables.append(Table(["Setting", "Value"], rows, "All settings, with their defaults", folded=True))
    return Section("method", "What was done", facts=facts, tables=tables)


def steps(results: Results) -> Section:
    """Say what failed, or that nothing did."""
    unfinished = results.steps[results.steps["status"] != "done"]
    if unfinished.empty:
        reused = int(results.steps["reused"].astype(bool).sum())
        text = f"Nothing. All {count(len(results.steps), 'step')} finished ({reused:,} reused)."
        return Section("failed", "What failed", text=[text])
    columns = {"Step": "label", "Kind": "kind", "Status": "status", "Error": "error"}
    rows = [{title: Cell(_text(step[key])) for title, key in columns.items()} for step in records(unfinished)]
    caption = "A step is skipped when one that it needs failed. The same command, run again, tries these."
    return Section("failed", "What failed", tables=[table_of(rows, caption, sortable=False)])


def reproduce(results: Results) -> Section:
    """Say how to get the same numbers again."""
    facts = [
        fact
        for key in ("command", "versions", "started", "finished")
        for fact in _facts(key.capitalize(), results.study.get(key))
    ]
    text = (
        "Each network is known by a hash of all that decides it: settings, images, the networks it comes "
        "from, number of threads, kind of device. On one machine, the same hash means the same bits."
    )
    rows = [(str(row["network"]), str(row["step"])) for row in records(results.networks)]
    tables = [Table(["Network", "Hash"], rows, "The hash of every network", folded=True)] if rows else []
    return Section("reproduce", "How to reproduce", text=[text], facts=facts, tables=tables)


def _spared(results: Results) -> list[Fact]:
    """Name the layers that are never pruned, once for all series that spare the same."""
    layers = results.layers.merge(results.pruned[["network", "series"]], on="network")
    spared = layers[layers["spared"].astype(bool)]
    by_layers: dict[str, list[str]] = {}
    for series, own in spared.groupby("series", sort=False):
        by_layers.setdefault(listing(list(own["layer"].unique()), most=8), []).append(str(series))
    return [
        Fact("Never pruned", names + ("" if series == results.series else f" (in {listing(series)})"))
        for names, series in by_layers.items()
    ]


def _series_table(results: Results) -> Table:
    columns = ("granularity", "score", "scope", "norm", "hold", "schedule", "retraining")
    rows = []
    for name in results.series:
        own = records(results.pruned[results.pruned["series"] == name])
        row = {"Series": Cell(name)} | {key.capitalize(): Cell(_text(own[0][key])) for key in columns}
        rates = sorted({network["rate"] for network in own})
        rows.append(row | {"Rates asked": Cell(listing([short_percent(rate) for rate in rates]))})
    return table_of(rows, "The series, each one way to prune at several rates", sortable=False)


def _images(images: Mapping[str, Any]) -> str:
    roles = ("train", "validate", "test")
    parts = [f"{images[role]:,} to {role}" for role in roles if images.get(role) is not None]
    if images.get("classes") is not None:
        parts.append(f"{images['classes']} classes")
    if images.get("source"):
        parts.append(f"from {images['source']}")
    return ", ".join(parts)


def _facts(term: str, value: object) -> list[Fact]:
    """Return one fact, none where there is nothing to say."""
    pairs = [(key, text) for key, text in _flat(value) if text]
    text = ", ".join(f"{key.removesuffix('name').removesuffix('.')} {text}".strip() for key, text in pairs)
    return [Fact(term, text)] if text else []


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Lay out nested settings as pairs of a dotted key and a text."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for place, inner in enumerate(value):
            yield from _flat(inner, f"{key}[{place}]")
    elif value is not None:
        yield key, _text(value)


def _text(value: Any) -> str:
    """Write a setting or a cell of a table as its reader would."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, float) and not math.isnan(value):
        return f"{value:g}"
    return NO_VALUE if pd.isna(value) else str(value)
