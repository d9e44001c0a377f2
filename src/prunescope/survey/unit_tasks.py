"""Tasks about units: nine images a unit answers to most, nine it answers to least, and which of two fits the first."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from prunescope.analysis.results import records
from prunescope.errors import PrunescopeError
from prunescope.survey.design import Design
from prunescope.survey.drawn import CATCH_POOL, Drawn, Task
from prunescope.survey.frozen_pictures import FrozenPictures
from prunescope.survey.run_folder import AGAIN, RunFolder, matching_layers

TABLE, IMAGES = "unit_tasks", "task_images"
NEEDED = (
    "network", "layer", "unit", "task", "margin",
    "positive_query", "negative_query", "positive_0", "negative_0",
)  # fmt: skip
Key = tuple[str, int]  # layer and unit
PRACTICE_A_LAYER = 2  # so that practice shows more than one kind of unit


def draw_unit_tasks(run: RunFolder, design: Design, pictures: FrozenPictures) -> Drawn:
    """Draw tasks about live units, of every layer alike, and the same units in all networks.

    Catch trials are tasks of units that are not asked about whose queries are among the references shown, so that
    only looking is needed. Practice tasks are those of the largest margin among the other units that are not asked
    about: the similarity finds them easy.

    Raises:
        PrunescopeError: the run has no tasks of units, too few live units, or too few tasks of a unit.

    *Source:* Zimmermann, Klein & Brendel, Scale Alone Does not Improve Mechanistic Interpretability in Vision Models,
    2023; Zimmermann, Klindt & Brendel, Measuring Mechanistic Interpretability at Scale Without Humans, 2024.
    *Differs:* a unit that a network has lost is replaced by another one of the same layer.
    """
    table = _read(run, design)
    networks = run.networks(design.pool.networks, table["network"].unique().tolist(), "tasks of units")
    table = table[table["network"].isin(networks)]
    live = {name: _live(table[table["network"] == name]) for name in networks}
    asked = _sample_units(live, design)
    picture = _pictures(run, pictures)
    drawn = _draw(table, asked, design, partial(_task, picture=picture))
    everywhere = set.intersection(*map(set, asked.values()))
    counts = {
        "units": {name: len(own) for name, own in asked.items()},
        "units asked in every network": len(everywhere),
    }
    notes = []
    if len(everywhere) < design.pool.units:
        notes = [
            f"{len(everywhere)} of the {design.pool.units} units of a network are the same in all of them; the others "
            "are dead in some network and replaced there by others of the same layer."
        ]
    return Drawn(
        *drawn, networks, once=("layer", "unit"), group=("layer",), thing="unit", more="pool.units",
        notes=notes, counts=counts,
    )  # fmt: skip


def _read(run: RunFolder, design: Design) -> pd.DataFrame:
    """Read the tasks of the live units of the layers that are asked about."""
    if not run.path("tables", f"{TABLE}.parquet").exists():
        raise PrunescopeError(
            f"{run.folder} has no tasks of units to show: add `stimuli: true` to the measure `mis` of its study "
            "(measure: - mis: {stimuli: true}) and run the study again; only this measure is computed anew"
        )
    table = run.table(TABLE, NEEDED)
    units = run.table("units", ("network", "layer", "unit", "kind", "alive"))
    alive = units.loc[units["alive"].fillna(False).astype(bool), ["network", "layer", "unit", "kind"]]
    table = table.merge(alive, on=["network", "layer", "unit"])
    if design.pool.layers is None:
        return table[table["kind"] == "conv"]
    return table[table["layer"].isin(matching_layers(table["layer"].unique().tolist(), design.pool.layers))]


def _live(table: pd.DataFrame) -> dict[str, set[int]]:
    return {str(layer): set(own["unit"].tolist()) for layer, own in table.groupby("layer", sort=False)}


def _sample_units(live: dict[str, dict[str, set[int]]], design: Design) -> dict[str, list[Key]]:
    """Choose the units of each network: of every layer alike, and those first that are alive in all networks."""
    rng = np.random.default_rng([design.seed, 0])
    layers = list(dict.fromkeys(layer for own in live.values() for layer in own))
    first = rng.permutation(np.array(layers, dtype=object)).tolist()
    order: dict[str, list[int]] = {}
    for layer in layers:
        units = sorted(set().union(*(own.get(layer, set()) for own in live.values())))
        shuffled = rng.permutation(units).tolist()
        lost = {unit: sum(unit not in own.get(layer, set()) for own in live.values()) for unit in units}
        order[layer] = sorted(shuffled, key=lost.__getitem__)
    asked = {}
    for name, own in live.items():
        found = sum(map(len, own.values()))
        if found < design.pool.units:
            raise PrunescopeError(
                f"pool.units: {design.pool.units} units are asked for, and {name} has {found} live ones with tasks: "
                f"set pool.units to at most {found} less some for practice and catch trials, name more layers "
                "(pool.layers), or leave that network out (pool.networks)"
            )
        share = shares({layer: len(own.get(layer, ())) for layer in first}, design.pool.units)
        asked[name] = [
            (layer, unit)
            for layer in layers
            for unit in [unit for unit in order[layer] if unit in own.get(layer, ())][: share[layer]]
        ]
    return asked


def shares(there: dict[str, int], wanted: int) -> dict[str, int]:
    """Share a number among groups as equally as what each has allows; what cannot be shared goes to the first."""
    given = dict.fromkeys(there, 0)
    while wanted:
        open_ = [name for name in there if given[name] < there[name]]
        each = max(wanted // len(open_), 1)
        for name in open_[:wanted]:
            more = min(each, there[name] - given[name])
            given[name] += more
            wanted -= more
    return given


def _draw(
    table: pd.DataFrame, asked: dict[str, list[Key]], design: Design, task: Callable[..., Task]
) -> tuple[list[Task], list[Task], list[Task]]:
    """Draw the main, catch and practice tasks."""
    rng = np.random.default_rng([design.seed, 1])
    spare = _without(table, {key for own in asked.values() for key in own})
    easy = _easiest(spare, design.practice)
    rest = _without(spare, set(zip(easy["layer"], easy["unit"], strict=True)))
    catch = pd.concat([_for_catching(rest[rest["network"] == name], design, rng) for name in asked])
    return (
        [task(row) for row in records(_of_units(table, asked, design))],
        [task(row, rng=rng) for row in records(catch)],
        [task(row) for row in records(easy)],
    )


def _without(table: pd.DataFrame, taken: set[Key]) -> pd.DataFrame:
    return table[~pd.MultiIndex.from_frame(table[["layer", "unit"]]).isin(taken)]


def _of_units(table: pd.DataFrame, asked: dict[str, list[Key]], design: Design) -> pd.DataFrame:
    """Return some tasks of each unit that is asked about."""
    places = table.groupby(["network", "layer", "unit"], sort=False).indices
    count = design.pool.tasks_per_unit
    chosen = []
    for name, own in asked.items():
        for layer, unit in own:
            there = places[name, layer, unit]
            if len(there) < count:
                raise PrunescopeError(
                    f"pool.tasks_per_unit: {count} tasks of a unit are asked for, and the run has {len(there)} of unit "
                    f"{unit} of {layer} in {name}: set it to at most that"
                )
            of_unit = np.random.default_rng([design.seed, 2, _number(layer), unit])
            chosen.append(np.sort(of_unit.permutation(there)[:count]))
    return table.iloc[np.concatenate(chosen)]


def _number(layer: str) -> int:
    """Return a number that follows from the name of a layer, to seed with."""
    return int.from_bytes(layer.encode("utf-8"), "big")


def _easiest(spare: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the tasks of the largest margin, one a unit and few a layer."""
    ordered = spare.sort_values("margin", ascending=False, kind="stable").drop_duplicates(["layer", "unit"])
    again = ordered.groupby("layer", sort=False).cumcount() >= PRACTICE_A_LAYER
    ordered = ordered.iloc[np.argsort(again.to_numpy(), kind="stable")]
    if len(ordered) < count:
        raise _too_few_spare("practice", count, len(ordered))
    return ordered.head(count)


def _for_catching(spare: pd.DataFrame, design: Design, rng: np.random.Generator) -> pd.DataFrame:
    """Return tasks of one network for catch trials, one a unit."""
    own = spare.iloc[rng.permutation(len(spare))].drop_duplicates(["layer", "unit"])
    if len(own) < design.catch:
        raise _too_few_spare("catch", design.catch, len(own))
    return own.head(CATCH_POOL * design.catch)


def _too_few_spare(role: str, wanted: int, found: int) -> PrunescopeError:
    return PrunescopeError(
        f"{role}: {wanted} {role} tasks need as many live units that are not asked about otherwise, and {found} are "
        f"left: set pool.units lower, or `{role}` to at most {found}"
    )


def _task(row: Task, picture: Callable[[str], str], rng: np.random.Generator | None = None) -> Task:
    """Return the task of a row; given a generator, the catch trial with two of the references as queries."""
    references = {side: _references(row, side) for side in ("negative", "positive")}
    queries = {side: row[f"{side}_query"] for side in references}
    if rng is not None:
        queries = {side: names[int(rng.integers(len(names)))] for side, names in references.items()}
    shown = {side: [picture(name) for name in names] for side, names in references.items()}
    shown |= {f"{side}_query": [picture(queries[side])] for side in ("positive", "negative")}
    return {
        "condition": row["network"], "stimulus": "units", "pictures": shown, "right": "positive_query",
        "network": row["network"], "layer": row["layer"], "unit": row["unit"], "unit_task": row["task"],
        "margin": row["margin"] if rng is None else None,
    }  # fmt: skip


def _references(row: Task, side: str) -> Sequence[str]:
    places = (re.fullmatch(rf"{side}_(\d+)", name) for name in row)
    return [row[place.string] for place in sorted(filter(None, places), key=lambda place: int(place[1]))]


def _pictures(run: RunFolder, pictures: FrozenPictures) -> Callable[[str], str]:
    """Return a function from the name of an image to the name of its picture in the experiment."""
    path = run.path("pictures", f"{IMAGES}.parquet")
    if not path.exists():
        raise PrunescopeError(f"{path} is missing: {AGAIN}")
    table = run.table(IMAGES, ("image", "jpeg"), folder="pictures")
    jpegs = dict(zip(table["image"], table["jpeg"], strict=True))

    def picture(image: str) -> str:
        if image not in jpegs:
            raise PrunescopeError(f"{path} has no picture of the image {image}: {AGAIN}")
        return pictures.add(image, lambda: jpegs[image], f"of {image} in {path}")

    return picture
