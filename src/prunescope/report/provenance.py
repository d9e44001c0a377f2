"""How the study came about: what was done, what failed, and how to do it again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from prunescope.analysis.results import Results, records, targets_of
from prunescope.report.blocks import Cell, Fact, Section, Table, table_of
from prunescope.report.drawn_along import facts_of_published
from prunescope.report.formats import NO_VALUE, count, listing, name_target
from prunescope.report.theme import series_of

MOST_TARGETS = 8  # of a series that are listed; of more, how many and the first and last
TOLD_OTHERWISE = ("study", "title", "description", "prune[")  # settings that runs always differ in
WORDS = {  # of the tables, where those of the field are others
    "erk": "Erdős–Rényi kernel",
    "specific": "specific to each layer",
    "gradual": "gradual, during training",
    "learning-rate-rewinding": "learning-rate rewinding",
    "weight-rewinding": "weight rewinding",
    "re-initialise": "re-initialised",
}


def method(results: Results) -> Section:
    """Say what was done: network, images, series, retraining, machine; of several runs, of each where they differ."""
    studies, own = _studies(results), results.own
    facts = _of_each({name: _facts(study) for name, study in studies.items()})
    facts += _spared(own)
    facts += _of_each({name: facts_of("Machine", study.get("machine")) for name, study in studies.items()})
    facts += facts_of_published(results)
    tables = [_series_table(own)] if own.series else []
    return Section("method", "What was done", facts=facts, tables=tables + _settings_tables(studies))


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
    told = ("command", "versions", "started", "finished")
    facts = _of_each(
        {
            name: [fact for key in told for fact in facts_of(key.capitalize(), study.get(key))]
            for name, study in _studies(results).items()
        }
    )
    text = (
        "Each network is known by a hash of all that decides it: settings, images, the networks it comes "
        "from, number of threads, kind of device. On one machine, the same hash means the same bits."
    )
    rows = [(str(row["network"]), str(row["step"])) for row in records(results.networks)]
    tables = [Table(["Network", "Hash"], rows, "The hash of every network", folded=True)] if rows else []
    return Section("reproduce", "How to reproduce", text=[text], facts=facts, tables=tables)


def _studies(results: Results) -> dict[str, Mapping[str, Any]]:
    """Return what is told of each run, by its name; of a single one, by no name."""
    return results.study.get("runs") or {"": results.study}


def _of_each(facts: Mapping[str, Sequence[Fact]]) -> list[Fact]:
    """Merge the facts of runs: what all say alike once, all else with the name of the run."""
    merged = []
    for term in dict.fromkeys(fact.term for own in facts.values() for fact in own):
        said = {name: fact for name, own in facts.items() for fact in own if fact.term == term}
        if len(said) == len(facts) and len({fact.text for fact in said.values()}) == 1:
            merged.append(next(iter(said.values())))
        else:
            merged += [Fact(f"{term}, {name}", fact.text) for name, fact in said.items()]
    return merged


def _facts(study: Mapping[str, Any]) -> list[Fact]:
    settings = study.get("settings") or {}
    facts = facts_of("Network", settings.get("network"))
    facts += facts_of("Images", _images(study.get("images") or {}))
    given = (settings.get("network") or {}).get("weights")  # then nobody trained the dense network here
    for key in (key for key in settings if "train" in key and not (given and key == "train")):
        facts += facts_of(key.capitalize(), settings[key])
    return facts


def _settings_tables(studies: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """List all settings, folded; of several runs, a column each, and before them those that differ."""
    settings = {name: dict(flat(study.get("settings") or {})) for name, study in studies.items()}
    keys = dict.fromkeys(key for own in settings.values() for key in own)
    if not keys:
        return []
    rows = [[key, *(own.get(key, NO_VALUE) for own in settings.values())] for key in keys]
    columns = ["Setting", *(settings if len(settings) > 1 else ["Value"])]
    whole = Table(columns, rows, "All settings, with their defaults", folded=True)
    unlike = [row for row in rows if len(set(row[1:])) > 1 and not row[0].startswith(TOLD_OTHERWISE)]
    return [*([Table(columns, unlike, "Settings in which the runs differ")] if unlike else []), whole]


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
