"""Networks pruned by several methods (study A): accuracies and units, joined to one study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from prunescope.analysis.published.layouts import PublishedTable
from prunescope.analysis.published.study import (
    DENSE,
    PublishedStudy,
    listing,
    network_row,
    networks_table,
    score,
    scores_table,
)
from prunescope.analysis.published.units import ALIVE_UP_TO, KINDS, unit_rows, unit_scores, why_tasks
from prunescope.errors import PrunescopeError

KEY = ["method", "optimizer", "epochs", "rate"]
NOT_HELD = "mask not held"
WAYS = {  # of published methods whose names say them: granularity, score, scope, norm
    "local_structured": ("filter", "l1", "layer", "keep"),
    "connection_random": ("connection", "random", "layer", "keep"),
    "connection_l1": ("connection", "l1", "layer", "keep"),
    "global_unstructured": ("weight", "l1", "global", "keep"),
    "local_unstructured_specific": ("weight", "l1", "specific", "keep"),
}


def study_of_methods(tables: Sequence[PublishedTable], digest: str) -> PublishedStudy:
    """Join the accuracies and the units of networks pruned by several methods.

    Raises:
        PrunescopeError: two rows for one network or unit.
    """
    by_layout = {table.layout.name: table for table in tables}
    accuracies = _rows(by_layout.get("accuracies"))
    units = _rows(by_layout.get("units by method"))
    inferred, notes = list[str](), list[str]()
    if len(accuracies):
        _refuse_twice(by_layout["accuracies"], accuracies, KEY)
        notes += _notes(accuracies)
    if len(units):
        _refuse_twice(by_layout["units by method"], units, [*KEY, "layer", "unit", "kind"])
        joins = join_methods(units, accuracies)
        units["method"] = units["method"].replace(joins)
        inferred += [_why_joined(own, other, units, accuracies) for own, other in joins.items()]
    known = pd.concat([accuracies, units[KEY].drop_duplicates()]).drop_duplicates(KEY)
    rows = list(_network_rows(known))
    names = {tuple(row[key] for key in KEY): row["network"] for row in rows}
    scores = [score(names[tuple(row[:4])], "top1", row[4]) for row in _cells(accuracies, "top1")]
    made = {"networks": networks_table(rows, digest)}
    if len(units):
        made["units"], told = _units(units, names)
        scores += unit_scores(made["units"])
        inferred += told[0]
        notes += told[1]
    made["scores"] = scores_table(scores)
    return PublishedStudy("networks pruned by several methods", made, inferred, notes)


def join_methods(units: pd.DataFrame, accuracies: pd.DataFrame) -> dict[str, str]:
    """Find under which name the networks whose units are known have their accuracies.

    Of the methods whose name begins with the same word, the only one that has every combination of optimizer, epochs
    and rate that the units have.

    Returns:
        From the name in the table of units to the one in the table of accuracies, where these differ.
    """
    joins = {}
    for method in units["method"].unique():
        if method in set(accuracies["method"]):
            continue
        needed = _runs(units, method)
        first = str(method).partition("_")[0]
        like = [
            str(other) for other in accuracies["method"].unique() if str(other).partition("_")[0] == first
        ]
        fitting = [other for other in like if needed <= _runs(accuracies, other)]
        if len(fitting) == 1:
            joins[str(method)] = fitting[0]
    return joins


def _runs(rows: pd.DataFrame, method: object) -> set[tuple[Any, ...]]:
    own = rows.loc[rows["method"] == method, KEY[1:]]
    return set(own.itertuples(index=False, name=None))


def _why_joined(method: str, other: str, units: pd.DataFrame, accuracies: pd.DataFrame) -> str:
    first = method.partition("_")[0]
    needed = _runs(units, other)
    rivals = sorted(
        str(name)
        for name in accuracies["method"].unique()
        if str(name).partition("_")[0] == first and name != other and needed & _runs(accuracies, name)
    )
    text = (
        f"The units of “{method}” are taken to be those of “{other}”: the accuracies know no “{method}”, and only "
        f"“{other}” has all its optimizers, epochs and rates."
    )
    return text + (f" Some of its networks could also be of {' or '.join(rivals)}." if rivals else "")


def _rows(table: PublishedTable | None) -> pd.DataFrame:
    return pd.DataFrame(columns=[*KEY, "top1"]) if table is None else table.rows.copy()


def _refuse_twice(table: PublishedTable, rows: pd.DataFrame, keys: list[str]) -> None:
    twice = rows.duplicated(keys)
    if twice.any():
        place = int(twice.to_numpy().argmax())
        cells = ", ".join(f"{key} {rows[key].iloc[place]}" for key in keys)
        raise PrunescopeError(
            f"{table.path}, line {place + 2}: a second row of {cells}; keep one, or put them into files of their "
            "own in other folders"
        )


def _cells(rows: pd.DataFrame, column: str) -> list[tuple[Any, ...]]:
    return list(rows[[*KEY, column]].itertuples(index=False, name=None)) if len(rows) else []


def _network_rows(known: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield a row of `networks` for each row of the accuracies, with `KEY` beside; several dense ones are refused."""
    dense = known[known["rate"] == 0]
    if len(dense) > 1:
        raise PrunescopeError(
            f"{len(dense)} networks of rate 0, of the methods {listing(list(dense['method']))}: expected one, the "
            "dense network"
        )
    for row in known.to_dict("records"):
        key = {name: row[name] for name in KEY}
        if row["rate"] == 0:
            yield key | network_row(DENSE, "dense", "dense", 0.0)
            continue
        stage = "retrained" if row["epochs"] else "pruned"
        series = _series(row)
        yield key | network_row(
            f"{series}-{row['rate']:g}-{stage}-seed0", series, stage, row["rate"], **_way(row, stage)
        )


def _series(row: dict[Any, Any]) -> str:
    method = str(row["method"]).replace("_", " ")
    return f"{method}, {row['optimizer']} {row['epochs']:g}" if row["epochs"] else f"{method}, pruned"


def _way(row: dict[Any, Any], stage: str) -> dict[str, Any]:
    granularity, by, scope, norm = WAYS.get(str(row["method"]), (None,) * 4)
    held = None if stage == "pruned" else not _text(row.get("note")).startswith(NOT_HELD)
    return {
        "granularity": granularity, "score": by, "scope": scope, "norm": norm, "hold": held, "schedule": "one-shot",
        "retraining": "fine-tune" if stage == "retrained" else "none", "parent": DENSE,
    }  # fmt: skip


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _notes(accuracies: pd.DataFrame) -> list[str]:
    """Say what the file notes of networks, once for all of the same note."""
    if "note" not in accuracies:
        return []
    rows = accuracies[accuracies["note"] != ""].to_dict("records")
    noted: dict[str, dict[str, list[str]]] = {}  # by note and series, the rates
    for row in rows:
        series = "the dense network" if row["rate"] == 0 else _series(row)
        rates = noted.setdefault(str(row["note"]), {}).setdefault(series, [])
        rates += [f"{100 * row['rate']:g} %"] if row["rate"] else []
    return [
        f"The file notes “{note}” of "
        + "; ".join(f"{series} at {listing(rates)}" if rates else series for series, rates in own.items())
        + "."
        for note, own in noted.items()
        if note != "not retrained"  # which the names of series say
    ]


def _units(
    units: pd.DataFrame, names: dict[tuple[Any, ...], str]
) -> tuple[pd.DataFrame, tuple[list[str], list[str]]]:
    """Return the table `units`, what was inferred for it, and what was left out."""
    keys = pd.MultiIndex.from_frame(units[KEY])
    units = units.assign(network=keys.map(names))
    kept = units[units["kind"].isin(KINDS)]
    left_out = units.loc[~units["kind"].isin(KINDS), "kind"].value_counts()
    notes = [f"{n:,} rows of kind “{kind}” were left out." for kind, n in left_out.items()]
    table = unit_rows(kept, pruned=kept["rate"] > 0).reset_index(drop=True)
    return table, ([_why_dead(kept), *why_tasks(table)], notes)


def _why_dead(units: pd.DataFrame) -> str:
    conv = units[(units["kind"] == "conv") & (units["rate"] > 0)]
    above = (conv["mis"] > ALIVE_UP_TO).groupby([conv[key] for key in KEY]).mean()
    methods = above.index.get_level_values("method")
    filters = (
        above[[WAYS.get(name, ("",))[0] == "filter" for name in methods]].groupby("rate").agg(["min", "max"])
    )
    text = (
        f"A unit whose MIS is above {ALIVE_UP_TO} is taken for one that was pruned away: the file does not say which "
        "units are alive"
    )
    if filters.empty:
        return f"{text}."
    shares = [f"{_span(low, high)} at {100 * rate:g} %" for rate, low, high in filters.itertuples()]
    follows = "Where filters were pruned, the share of such convolution units follows the rate"
    return f"{text}. {follows}: {listing(shares)}."


def _span(low: float, high: float) -> str:
    ends = dict.fromkeys(f"{100 * end:.1f}" for end in (low, high))
    return f"{' to '.join(ends)} %"
