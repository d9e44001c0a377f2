"""The unit explorer: every unit of every layer, side by side over the networks of a series, and a card for each.

Beside the page lie `units/<n>.js`, a script for each network, read when a series is shown that has it, and what the
cards need (cards.py). A page opened from the disk may load scripts, but neither modules nor data.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.analysis.results import Network, Results, records
from prunescope.report.blocks import Browser, Section
from prunescope.report.cards import (
    BLOCK,
    number_pairs,
    of_known_networks,
    places_of,
    write_cards,
    write_script,
)
from prunescope.report.formats import count, short_percent

# What is told of a unit in a network: by what its values are multiplied to be whole numbers. -1 is none.
VALUES = {"mis": 1000, "hit_rate": 1000, "iou": 10_000}  # as unit_files.js knows
NOT_TOLD = 2  # whether a unit is alive: 1; 0: it is dead; -1: the network does not have it
INFERRED = "Which units are dead is inferred; it was not published. They have no score here."
Chain = dict[str, Any]  # `name`, and `networks`: of each its place in the table of networks and its name


@dataclass(frozen=True)
class Grid:
    """All units of all networks in one order: layer by layer.

    Attributes:
        layers: the names of the layers, in the order of the network.
        kinds: of each layer.
        widths: how many units each layer has, in the network where it has most.
    """

    layers: list[str]
    kinds: list[str]
    widths: list[int]

    def places(self, units: pd.DataFrame) -> NDArray[np.int64]:
        """Return where each row of units stands in that order."""
        first = itertools.accumulate(self.widths[:-1], initial=0)
        starts = units["layer"].map(dict(zip(self.layers, first, strict=True)))
        places: NDArray[np.int64] = starts.to_numpy(dtype=np.int64) + units["unit"].to_numpy()
        return places


def explorer(results: Results) -> Section | None:
    """Offer all units of all layers to search, sort and filter, with a card for each."""
    units = of_known_networks(results, results.units)
    if units.empty:
        return None
    browser = browse(results, units, _chains(results), "Series")
    text = [
        f"{count_units(units)}, a row for each, with a column for each network of a series, up to the highest rate; "
        "change is against the first of them. Any column sorts. All conditions must hold; those on one network are on "
        "the one chosen. The address of the page keeps what is shown, so that it can be sent to others."
    ]
    warnings = [INFERRED] if browser.index["alive"] and results.study.get("published") else []
    return Section(
        "explorer", "Unit explorer", text=text + about_cards(browser), warnings=warnings, browser=browser
    )


def about_cards(browser: Browser) -> list[str]:
    """Say what a card shows, if it shows more than its row does."""
    if not browser.index["measures"]:
        return []
    return [
        "A unit's card shows the images whose mean activation is least and most in each of these networks, so that "
        "one can watch it keep, change or lose its meaning. Where the unit exceeds its threshold, the latter are "
        "outlined, and darkened elsewhere; one without an outline exceeds it nowhere."
    ]


def browse(results: Results, units: pd.DataFrame, chains: list[Chain], called: str) -> Browser:
    """Return the part of the page that shows units.

    Args:
        units: rows of the table of that name.
        chains: networks that are shown beside each other.
        called: what a reader chooses in choosing a chain.
    """
    grid = _grid(units)
    _, concepts = number_pairs(units["concept"], units["category"])
    index = {
        "layers": [list(layer) for layer in zip(grid.layers, grid.kinds, grid.widths, strict=True)],
        "networks": [str(name) for name in results.networks["network"]],
        "series": chains,
        "called": called,
        "values": [name for name in VALUES if units[name].notna().any()],
        "alive": bool(units["alive"].notna().any()),
        "concepts": concepts,
        "classes": _classes(units, grid),
        "measures": [str(name) for name in results.examples["measure"].unique()],
        "pictured": sorted(set(map(str, results.examples["layer"].unique())) & set(grid.layers)),
        "block": BLOCK,
    }
    return Browser(index, partial(_write, results, units, grid))


def count_units(units: pd.DataFrame) -> str:
    """Say how many units there are, those of several networks once."""
    return count(len(units.drop_duplicates(["layer", "unit"])), "unit")


def _grid(units: pd.DataFrame) -> Grid:
    layers = [str(layer) for layer in units["layer"].unique()]
    kinds = units.drop_duplicates("layer").set_index("layer")["kind"]
    widths = units.groupby("layer", observed=True)["unit"].max()
    return Grid(layers, [str(kinds[name]) for name in layers], [int(widths[name]) + 1 for name in layers])


def _classes(units: pd.DataFrame, grid: Grid) -> dict[int, str]:
    """Return the class of each unit that is the logit of one, by its place in the grid."""
    named = units.dropna(subset=["class"]).drop_duplicates(["layer", "unit"])
    return {int(place): str(name) for place, name in zip(grid.places(named), named["class"], strict=True)}


def _chains(results: Results) -> list[Chain]:
    """Return for each series, stage, run and seed its networks, from the dense one to the highest rate."""
    places = places_of(results)
    measured = results.networks[results.networks["network"].isin(results.units["network"].unique())]
    of_seeds = [own for _, own in measured.groupby(["run", "seed"], sort=False)]
    chains = []
    for final, series, of_seed in itertools.product((True, False), results.series, of_seeds):
        own = of_seed[(of_seed["series"] == series) & (of_seed["final"] == final)]
        if len(own):
            shown = pd.concat([of_seed[of_seed["stage"] == "dense"], own.sort_values("rate", kind="stable")])
            name = series + ("" if final else ", before retraining")
            name += f", seed {of_seed['seed'].iloc[0]}" if results.seeds > 1 else ""
            networks = [[places[row["network"]], _name(row)] for row in records(shown)]
            chains.append({"name": name, "networks": networks})
    dense = [[places[str(name)], "dense"] for name in measured["network"]]
    return chains or [{"name": "dense", "networks": dense}]


def _name(network: Network) -> str:
    return "dense" if network["stage"] == "dense" else short_percent(network["rate"])


def _write(results: Results, units: pd.DataFrame, grid: Grid, folder: Path) -> None:
    """Write the scripts of all networks, and what the cards need."""
    (folder / "units").mkdir()
    concept, _ = number_pairs(units["concept"], units["category"])
    numbered = units.assign(at=grid.places(units), concept=concept)
    names = [name for name in VALUES if units[name].notna().any()]
    for name, rows in numbered.groupby("network", observed=True):
        place = places_of(results)[str(name)]
        columns = _columns(rows, sum(grid.widths), names)
        write_script(folder / "units" / f"{place}.js", "network", place, columns)
    write_cards(results, dict(zip(grid.layers, grid.widths, strict=True)), folder)


def _columns(rows: pd.DataFrame, size: int, names: list[str]) -> dict[str, list[int]]:
    """Return what is told of each unit of a network, as whole numbers."""
    columns = {"alive": rows["alive"].to_numpy(dtype=int, na_value=NOT_TOLD)}
    for name in names:
        scaled = rows[name].to_numpy(dtype=float) * VALUES[name]
        columns[name] = np.where(np.isnan(scaled), -1, np.nan_to_num(scaled).round()).astype(int)
    if "iou" in names:
        columns["concept"] = rows["concept"].to_numpy()
        columns["detector"] = rows["detector"].to_numpy(dtype=int, na_value=-1)
    return {name: _laid_out(rows["at"].to_numpy(), values, size) for name, values in columns.items()}


def _laid_out(places: NDArray[np.int64], values: NDArray[np.int64], size: int) -> list[int]:
    whole = np.full(size, -1)
    whole[places] = values
    listed: list[int] = whole.tolist()
    return listed
