"""How the study came about: what was done, what failed, and how to do it again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from prunescope.analysis.results import Results, records, targets_of
from prunescope.report.blocks import Cell, Fact, Section, Table, table_of
from prunescope.report.formats import NO_VALUE, count, listing, name_target
from prunescope.report.theme import series_of

MOST_TARGETS = 8  # of a series that are listed; of more, how many and the first and last
WORDS = {  # of the tables, where those of the field are others
    "erk": "Erdős–Rényi kernel",
    "specific": "specific to each layer",
    "gradual": "gradual, during training",
    "learning-rate-rewinding": "learning-rate rewinding",
    "weight-rewinding": "weight rewinding",
    "re-initialise": "re-initialised",
}


def method(results: Results) -> Section:
    """Say what was done: network, images, series, retraining, machine."""
    settings = results.study.get("settings") or {}
    facts = facts_of("Network", settings.get("network"))
    facts += facts_of("Images", _images(results.study.get("images") or {}))
    given = (settings.get("network") or {}).get("weights")  # then nobody trained the dense network here
    for key in (key for key in settings if "train" in key and not (given and key == "train")):
        facts += facts_of(key.capitalize(), settings[key])
    facts += _spared(results)
    facts += facts_of("Machine", results.study.get("machine"))
    tables = [_series_table(results)] if results.series else []
    if settings:
        rows = list(flat(settings))
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
        for fact in facts_of(key.capitalize(), results.study.get(key))
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
    layers = results.layers.merge(results.sparse[["network", "series"]], on="network")
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
    column = "Rates asked" if results.networks["asked"].all() else "Targets"
    rows = []
    for name in results.series:
        own = results.sparse[results.sparse["series"] == name]
        first = records(own)[0]
        words = {key: WORDS.get(str(first[key]), _text(first[key])) for key in columns}
        settings = _settings_of(results, name)
        if first["granularity"] == "n:m" and "m" in settings:
            words["granularity"] = f"n:m, blocks of {settings['m']} inputs"
        row = {"Series": Cell(name), "Control": Cell(results.controls.get(name, NO_VALUE))}
        row |= {key.capitalize(): Cell(text) for key, text in words.items()}
        images = first["recalibrate"]
        row["Batch norms recalibrated"] = Cell(NO_VALUE if math.isnan(images) else f"on {images:,.0f} images")
        asked = [name_target(*target) for target in targets_of(own).items()]
        whole = listing(asked) if len(asked) <= MOST_TARGETS else f"{len(asked)}, {asked[0]} to {asked[-1]}"
        rows.append(row | {column: Cell(whole)})
    caption = "The series, each one way to prune at several rates"
    if not results.networks["asked"].all():
        caption = (
            "The series, each one way to prune. ×0.5: half of the rate that each layer is given or tolerates, and "
            "so on; of MACs, weights, bytes or ms: budgets, for which the rate was found"
        )
    return table_of(rows, caption, sortable=False)


def _settings_of(results: Results, series: str) -> Mapping[str, Any]:
    """Return the settings of a series, of a control those of the series that it belongs to; empty if unknown."""
    name = series_of(series, results.controls.get(series, ""))
    choices = (results.study.get("settings") or {}).get("prune") or []
    return next((choice for choice in choices if choice.get("series") == name), {})


def _images(images: Mapping[str, Any]) -> str:
    roles = ("train", "validate", "test")
    parts = [f"{images[role]:,} to {role}" for role in roles if images.get(role) is not None]
    if images.get("classes") is not None:
        parts.append(f"{images['classes']} classes")
    if images.get("source"):
        parts.append(f"from {images['source']}")
    return ", ".join(parts)


def facts_of(term: str, value: object) -> list[Fact]:
    """Return one fact, none where there is nothing to say."""
    pairs = [(key, text) for key, text in flat(value) if text]
    text = ", ".join(f"{key.removesuffix('name').removesuffix('.')} {text}".strip() for key, text in pairs)
    return [Fact(term, text)] if text else []


def flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Lay out nested settings as pairs of a dotted key and a text."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for place, inner in enumerate(value):
            yield from flat(inner, f"{key}[{place}]")
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
