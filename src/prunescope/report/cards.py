"""Unit cards: for any unit what it responds to, in every network. The page reads a layer when it is opened.

Beside the page lie `thumbnails/<n>.jpg`, each image once, and `units/<n>.js`, one script per layer: a page
opened from the disk may load scripts, but neither modules nor data.
"""

from __future__ import annotations

import itertools
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.analysis.results import Network, Results, records
from prunescope.report.blocks import Browser, Section
from prunescope.report.formats import count, short_percent

Chain = dict[str, Any]  # `name`, and `networks`: of each its place in the table of networks and its name


def cards(results: Results) -> Section | None:
    """Offer a card for every unit of every layer."""
    units = of_known_networks(results, results.units)
    if units.empty:
        return None
    browser = browse(results, units, _chains(results), "Series")
    text = (
        f"A card for each of {count_units(units)}: the images whose mean activation is least and most, its "
        "score and its concept, in the dense network and at every rate of a series, so that one can watch it keep, "
        "change or lose its meaning. Where the unit exceeds its threshold, the latter are outlined, and darkened "
        "elsewhere; one without an outline exceeds it nowhere. The address of the page leads back to a card."
    )
    if browser.index["mis"]:
        text += (
            " The strip of a unit in the list is its MIS from the dense network to the highest rate: "
            "darker is higher, orange is dead."
        )
    return Section("cards", "Unit cards", text=[text], browser=browser)


def browse(results: Results, units: pd.DataFrame, chains: list[Chain], called: str) -> Browser:
    """Return the part of the page that shows cards.

    Args:
        units: rows of the table of that name.
        chains: networks that a card shows below each other.
        called: what a reader chooses in choosing a chain.
    """
    layers = [str(layer) for layer in units["layer"].unique()]
    each = units.drop_duplicates("layer").set_index("layer")["kind"]
    widths = units.groupby("layer", observed=True)["unit"].max()
    index = {
        "layers": [[layer, str(each[layer]), int(widths[layer]) + 1] for layer in layers],
        "series": chains,
        "called": called,
        "measures": [str(name) for name in results.examples["measure"].unique()],
        "mis": bool(units["mis"].notna().any()),
        "dissection": bool(units["iou"].notna().any()),
    }
    return Browser(index, partial(_write, results, units, layers))


def count_units(units: pd.DataFrame) -> str:
    """Say how many units there are, those of several networks once."""
    return count(len(units.drop_duplicates(["layer", "unit"])), "unit")


def of_known_networks(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the networks that the results know."""
    return table[table["network"].isin(results.networks["network"])]


def _chains(results: Results) -> list[Chain]:
    """Return for each series, stage and seed its networks, from the dense one to the highest rate.

    A network is its place in the study and its name in the chain.
    """
    places = {str(name): place for place, name in enumerate(results.networks["network"])}
    measured = results.networks[results.networks["network"].isin(results.units["network"].unique())]
    chains = []
    for final, series in itertools.product((True, False), results.series):
        for seed, of_seed in measured.groupby("seed", sort=False):
            own = of_seed[(of_seed["series"] == series) & (of_seed["final"] == final)]
            if len(own):
                rows = records(
                    pd.concat([of_seed[of_seed["stage"] == "dense"], own.sort_values("rate", kind="stable")])
                )
                name = series + ("" if final else ", before retraining")
                chains.append(
                    {
                        "name": f"{name}, seed {seed}" if results.seeds > 1 else name,
                        "networks": [[places[row["network"]], _name(row)] for row in rows],
                    }
                )
    if not chains:
        chains = [
            {"name": "dense", "networks": [[places[row["network"]], "dense"] for row in records(measured)]}
        ]
    return chains


def _name(network: Network) -> str:
    return "dense" if network["stage"] == "dense" else short_percent(network["rate"])


def _write(results: Results, units: pd.DataFrame, layers: list[str], folder: Path) -> None:
    """Write the scripts of all layers and the thumbnails that they refer to."""
    places = {str(name): place for place, name in enumerate(results.networks["network"])}
    examples = of_known_networks(results, results.examples)
    numbers, images = _number_pairs(examples["measure"], examples["image"])
    shown = _write_thumbnails(results.thumbnails, images, folder / "thumbnails")
    of_units = _by_layer(units, places)
    of_examples = _by_layer(examples.assign(image=numbers), places)
    (folder / "units").mkdir()
    for place, layer in enumerate(layers):
        content = {
            "layer": layer,
            **_describe_units(of_units[layer], len(places)),
            "images": [],
            "examples": {},
        }
        if layer in of_examples:
            content |= _describe_examples(of_examples[layer], len(places), images, shown)
        # Unlike JSON, a script may say NaN.
        script = json.dumps(content, separators=(",", ":"))
        (folder / "units" / f"{place}.js").write_text(f"prunescope.layer({script});\n", encoding="utf-8")


def _write_thumbnails(thumbnails: pd.DataFrame, images: list[tuple[str, str]], folder: Path) -> set[int]:
    """Write the thumbnail of each image by its number; return the numbers of those that there are."""
    folder.mkdir()
    keys = zip(thumbnails["measure"].astype(str), thumbnails["image"].astype(str), strict=True)
    pictures = dict(zip(keys, thumbnails["jpeg"], strict=True))
    shown = {number for number, image in enumerate(images) if image in pictures}
    for number in sorted(shown):
        (folder / f"{number}.jpg").write_bytes(pictures[images[number]])
    return shown


def _number_pairs(
    first: pd.Series[Any], second: pd.Series[Any]
) -> tuple[NDArray[np.int64], list[tuple[str, str]]]:
    """Number the pairs of two columns of names; -1 where either is missing."""
    names = [[str(name) for name in column.cat.categories] for column in (first, second)]
    codes = [column.cat.codes.to_numpy(np.int64) for column in (first, second)]
    whole = (codes[0] >= 0) & (codes[1] >= 0)
    used, found = np.unique(codes[0][whole] * max(len(names[1]), 1) + codes[1][whole], return_inverse=True)
    numbers = np.full(len(first), -1)
    numbers[whole] = found
    return numbers, [(names[0][code // len(names[1])], names[1][code % len(names[1])]) for code in used]


def _by_layer(table: pd.DataFrame, places: dict[str, int]) -> dict[str, pd.DataFrame]:
    """Return the rows of each layer, with `place`: that of their network in the study."""
    names = table["network"].cat.categories
    of_category = np.array([places.get(str(name), -1) for name in names], dtype=np.int64)
    placed = table.assign(place=of_category[table["network"].cat.codes])
    return {str(layer): rows for layer, rows in placed.groupby("layer", observed=True)}


def _describe_units(rows: pd.DataFrame, networks: int) -> dict[str, Any]:
    """Return what the units of a layer are: (networks, units) of each column, null for networks without."""
    place, unit = rows["place"].to_numpy(), rows["unit"].to_numpy()
    units = int(unit.max()) + 1
    concept, concepts = _number_pairs(rows["concept"], rows["category"])
    columns: dict[str, tuple[NDArray[Any], float]] = {
        "alive": (rows["alive"].to_numpy(dtype=int, na_value=-1), -1),
        "mis": (rows["mis"].to_numpy().round(3), np.nan),
        "hit_rate": (rows["hit_rate"].to_numpy().round(3), np.nan),
        "concept": (concept, -1),
        "iou": (rows["iou"].to_numpy().round(4), np.nan),
        "detector": (rows["detector"].to_numpy(dtype=int, na_value=-1), -1),
    }
    present = np.isin(np.arange(networks), place)
    described: dict[str, Any] = {}
    for name, (values, nothing) in columns.items():
        whole = np.full((networks, units), nothing, dtype=values.dtype)
        whole[place, unit] = values
        described[name] = [row.tolist() if there else None for row, there in zip(whole, present, strict=True)]
    named = rows.dropna(subset=["class"]).drop_duplicates("unit")
    classes = {int(unit): str(name) for unit, name in zip(named["unit"], named["class"], strict=True)}
    return {"units": units, "concepts": concepts, "classes": classes, **described}


def _describe_examples(
    rows: pd.DataFrame, networks: int, images: list[tuple[str, str]], shown: set[int]
) -> dict[str, Any]:
    """Return the images of a layer, [number, name, whether there is a thumbnail], and who responds to which."""
    used, local = np.unique(rows["image"].to_numpy(), return_inverse=True)
    by_measure = rows.assign(image=local).groupby("measure", observed=True)
    return {
        "images": [[int(number), images[number][1], int(number in shown)] for number in used],
        "examples": {str(measure): _describe_measure(own, networks) for measure, own in by_measure},
    }


def _describe_measure(rows: pd.DataFrame, networks: int) -> dict[str, Any]:
    """Return per network a flat list, `keep` places in `images` a unit, -1 where a unit has fewer."""
    place, unit, image = (rows[name].to_numpy() for name in ("place", "unit", "image"))
    units = int(unit.max()) + 1
    sides = (rows["side"] == "highest").to_numpy(), (rows["side"] == "lowest").to_numpy()
    rank = _positions(np.where(sides[0], 0, 1) + 2 * (place * units + unit), rows["rank"].to_numpy())
    keep = int(rank.max()) + 1
    present = np.isin(np.arange(networks), place)

    def laid_out(values: NDArray[Any], side: NDArray[np.bool_], nothing: int | str) -> list[Any]:
        whole = np.full((networks, units * keep), nothing, dtype=values.dtype)
        whole[place[side], unit[side] * keep + rank[side]] = values[side]
        return [row.tolist() if there else None for row, there in zip(whole, present, strict=True)]

    return {
        "keep": keep,
        "highest": laid_out(image, sides[0], -1),
        "lowest": laid_out(image, sides[1], -1),
        "outlines": laid_out(rows["outline"].fillna("").to_numpy(dtype=object), sides[0], ""),
    }


def _positions(group: NDArray[np.int64], rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each row's place within its group, from 0 on, in the order of `rank`."""
    order = np.lexsort((rank, group))
    ordered = group[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    positions = np.empty(len(group), dtype=np.int64)
    positions[order] = np.arange(len(group)) - np.repeat(starts, np.diff(np.append(starts, len(group))))
    return positions
