"""The tidy tables of a study: gathered from its steps, written as Parquet, read as pandas."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.measures import all_measures
from prunescope.study.found import CURVES_FILE, FOUND_FILE, least_of, read_found, read_sweep

if TYPE_CHECKING:
    from prunescope.images.source import ImageSet
    from prunescope.study.execute import Outcome
    from prunescope.study.plan import Plan, Stop
    from prunescope.study.store import Store

TABLES_FOLDER = "tables"
MEASURE_COLUMN = ("scores", "examples")  # tables of several measures, whose rows say which
UNIT = ("network", "layer", "kind", "unit")  # what names a row of the table `units`
STOP_COLUMNS = (
    "network", "step", "series", "granularity", "score", "scope", "norm", "hold", "schedule", "retraining",
    "recalibrate", "control", "seed", "round", "stage", "target", "budget", "rate", "parent",
)  # fmt: skip


def gather_tables(
    plan: Plan, store: Store, outcomes: Iterable[Outcome], test: ImageSet, data: Path | None
) -> dict[str, pd.DataFrame]:
    """Join what the measuring steps of a study found into one table each; steps that failed are left out.

    Args:
        test: the test images.
        data: the folder that relative paths start from.
    """
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
    tables = {name: joined(name, frames) for name, frames in parts.items()}
    stops = [{**stop.columns, "rate": _rate_of(stop, store)} for stop in plan.stops if stop.step.id in done]
    networks = pd.DataFrame(stops, columns=list(STOP_COLUMNS))
    if (sensitivity := _sensitivity(plan, store, done)) is not None:
        tables["sensitivity"] = sensitivity
    if (curves := _curves(plan, store, done)) is not None:
        tables["curves"] = curves
    tables["networks"] = with_what_is_left(networks, tables.get("scores"))
    _compare(tables, plan, test, data)
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


def _rate_of(stop: Stop, store: Store) -> float:
    """Return the rate asked of a network; where it was looked for, the one found."""
    rate, step = stop.columns["rate"], stop.step
    while rate is None:
        folder = store.open(step.id)
        if (folder / FOUND_FILE).exists():
            return read_found(folder)
        step = step.parents[0]
    return float(rate)


def _sensitivity(plan: Plan, store: Store, done: set[str]) -> pd.DataFrame | None:
    """Return one row for each layer and rate of each sweep that is complete."""
    from prunescope.pruning.sensitivity import tolerances

    rows = []
    for sweep in plan.sweeps:
        if not all(step.id in done for step in sweep.steps):
            continue
        dense, images, found = read_sweep(sweep.steps, store.open)
        least = least_of(sweep.tolerance, dense)
        borne = tolerances(found, least)
        rows += [
            {
                "series": sweep.series,
                "seed": sweep.seed,
                "layer": layer,
                "layers": ", ".join(together),
                "rate": rate,
                "top1": top1,
                "n": images,
                "dense_top1": dense,
                "least": least,
                "tolerated": borne[layer],
            }
            for together, by_rate in found.items()
            for layer in together
            for rate, top1 in by_rate.items()
        ]
    return pd.DataFrame(rows) if rows else None


def _curves(plan: Plan, store: Store, done: set[str]) -> pd.DataFrame | None:
    """Return one row for each epoch of each network that was trained."""
    parts = []
    for stop in plan.stops:
        if stop.step.id in done and (file := store.open(stop.step.id) / CURVES_FILE).exists():
            parts.append(pd.read_parquet(file)[["epoch", "loss", "lr", "validate_top1"]])
            parts[-1].insert(0, "network", stop.network)
    return pd.concat(parts, ignore_index=True) if parts else None


def joined(name: str, by_measure: dict[str, list[pd.DataFrame]]) -> pd.DataFrame:
    """Return one table from those of all networks; measures of the same units stand side by side."""
    tables = [pd.concat(frames, ignore_index=True) for frames in by_measure.values()]
    if name != "units":
        return pd.concat(tables, ignore_index=True)
    whole, *others = (table.set_index(list(UNIT)) for table in tables)
    for other in others:
        whole = pd.concat([whole.join(other), other[~other.index.isin(whole.index)]])
    return whole.reset_index()


def _compare(tables: dict[str, pd.DataFrame], plan: Plan, test: ImageSet, data: Path | None) -> None:
    """Add what measures can say only of several networks."""
    for name, settings in plan.measured.items():
        for table, rows in all_measures()[name].compare(tables, settings, test, data).items():
            found = [tables[table], rows] if table in tables else [rows]
            tables[table] = pd.concat(found, ignore_index=True)


def with_what_is_left(networks: pd.DataFrame, scores: pd.DataFrame | None) -> pd.DataFrame:
    """Add what `size` found: zeros and unreachable after pruning and after retraining, and whether zeros held."""
    pruned, retrained = networks["stage"] == "pruned", networks["stage"] == "retrained"
    later = retrained & (networks["schedule"] != "gradual")  # which prunes while it trains
    for what in ("zeros", "unreachable"):
        found = _by_network(scores, f"{what}_prunable")
        own, before = networks["network"].map(found), networks["parent"].map(found)
        networks[f"{what}_after_pruning"] = own.where(pruned, before.where(later))
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
