"""The tidy tables of a study: gathered from its steps, written as Parquet, read as pandas."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.measures import all_measures

if TYPE_CHECKING:
    from prunescope.study.execute import Outcome
    from prunescope.study.plan import Plan
    from prunescope.study.store import Store

TABLES_FOLDER = "tables"
MEASURE_COLUMN = ("scores", "examples")  # tables of several measures, whose rows say which
UNIT = ("network", "layer", "kind", "unit")  # what names a row of the table `units`
STOP_COLUMNS = (
    "network", "step", "series", "granularity", "score", "scope", "norm", "hold", "schedule", "retraining",
    "seed", "round", "stage", "rate", "parent",
)  # fmt: skip


def gather_tables(plan: Plan, store: Store, outcomes: Iterable[Outcome]) -> dict[str, pd.DataFrame]:
    """Join what the measuring steps of a study found into one table each; steps that failed are left out."""
    outcomes = list(outcomes)
    done = {outcome.step.id for outcome in outcomes if outcome.status == "done"}
    parts: dict[str, dict[str, list[pd.DataFrame]]] = {}  # by table, then by measure
    for stop in plan.stops:
        for step in plan.measures[stop.network]:
            if step.id not in done:
                continue
            measured = step.kind.removeprefix("measure-")
            for file in sorted(store.open(step.id).glob("*.parquet")):
                table = pd.read_parquet(file)
                table.insert(0, "network", stop.network)
                if file.stem in MEASURE_COLUMN:
                    table["measure"] = measured
                parts.setdefault(file.stem, {}).setdefault(measured, []).append(table)
    tables = {name: _joined(name, frames) for name, frames in parts.items()}
    stops = [stop.columns for stop in plan.stops if stop.step.id in done]
    networks = pd.DataFrame(stops, columns=list(STOP_COLUMNS))
    tables["networks"] = _with_what_is_left(networks, tables.get("scores"))
    _compare(tables)
    tables["steps"] = pd.DataFrame(
        [
            {
                "step": outcome.step.id,
                "kind": outcome.step.kind,
                "label": outcome.step.label,
                "status": outcome.status,
                "seconds": store.manifest(outcome.step.id)["seconds"]
                if outcome.status == "done"
                else outcome.seconds,
                "reused": outcome.reused,
                "error": outcome.error,
            }
            for outcome in outcomes
        ]
    )
    return tables


def _joined(name: str, by_measure: dict[str, list[pd.DataFrame]]) -> pd.DataFrame:
    """Return one table from those of all networks; measures of the same units stand side by side."""
    tables = [pd.concat(frames, ignore_index=True) for frames in by_measure.values()]
    if name != "units":
        return pd.concat(tables, ignore_index=True)
    whole, *others = (table.set_index(list(UNIT)) for table in tables)
    for other in others:
        whole = pd.concat([whole.join(other), other[~other.index.isin(whole.index)]])
    return whole.reset_index()


def _compare(tables: dict[str, pd.DataFrame]) -> None:
    """Add what measures can say only of several networks."""
    for name in all_measures():
        for table, rows in all_measures()[name].compare(tables).items():
            found = [tables[table], rows] if table in tables else [rows]
            tables[table] = pd.concat(found, ignore_index=True)


def _with_what_is_left(networks: pd.DataFrame, scores: pd.DataFrame | None) -> pd.DataFrame:
    """Add what `size` found: zeros and unreachable after pruning and after retraining, and whether zeros held."""
    pruned, retrained = networks["stage"] == "pruned", networks["stage"] == "retrained"
    for what in ("zeros", "unreachable"):
        found = _by_network(scores, f"{what}_prunable")
        own, before = networks["network"].map(found), networks["parent"].map(found)
        networks[f"{what}_after_pruning"] = own.where(pruned, before.where(retrained))
        networks[f"{what}_after_retraining"] = own.where(retrained)
    networks["held"] = networks["network"].map(_by_network(scores, "held"))
    return networks


def _by_network(scores: pd.DataFrame | None, metric: str) -> dict[str, float]:
    if scores is None:
        return {}
    found = scores[scores["metric"] == metric]
    return dict(zip(found["network"], found["value"], strict=True))


def write_tables(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write each table as `<folder>/<name>.parquet`; those of an earlier run go."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            draft = folder / f".{name}.parquet"
            table.to_parquet(draft, index=False)
            draft.replace(folder / f"{name}.parquet")
        for file in folder.glob("*.parquet"):
            if file.stem not in tables:
                file.unlink()
    except OSError as error:
        raise describe_os_error(error, f"writing {folder}") from error


def load_tables(study: Path | str) -> dict[str, pd.DataFrame]:
    """Return the tables of a finished study by name.

    Args:
        study: its folder of results, `runs/<study>`.

    Raises:
        PrunescopeError: there are no tables, or one cannot be read.
    """
    folder = Path(study) / TABLES_FOLDER
    files = sorted(folder.glob("[!.]*.parquet"))
    if not files:
        raise PrunescopeError(f"no tables in {folder}: give a study's folder, such as runs/demo")
    try:
        return {file.stem: pd.read_parquet(file) for file in files}
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise PrunescopeError(
            f"a table in {folder} is damaged ({error}): run the study again to write it anew"
        ) from error
