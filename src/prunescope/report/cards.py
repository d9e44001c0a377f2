"""What the cards of units show: the images that each unit answers to. The page reads them as cards are opened.

Beside the page lie `thumbnails/<n>.jpg`, each image once; `examples/images.js`, the names of the images; and
`examples/<layer>-<block>.js`, which image is whose example, packed, for as many units as one reads at once.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.analysis.results import Results

BLOCK = 32  # units of a layer whose examples lie in one file
Image = tuple[str, str]  # the measure that it is an example of, and its name


def of_known_networks(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the networks that the results know."""
    known = table["network"].isin(results.networks["network"])
    return table if known.all() else table[known]


def places_of(results: Results) -> dict[str, int]:
    """Return the place of each network in the table of networks, by its name."""
    return {str(name): place for place, name in enumerate(results.networks["network"])}


def number_pairs(
    first: pd.Series[Any], second: pd.Series[Any]
) -> tuple[NDArray[np.int64], list[tuple[str, str]]]:
    """Number the pairs of two columns of names; -1 where either is missing."""
    columns = [column.astype("category").cat for column in (first, second)]
    names = [[str(name) for name in column.categories] for column in columns]
    codes = [column.codes.to_numpy(np.int64) for column in columns]
    whole = (codes[0] >= 0) & (codes[1] >= 0)
    used, found = np.unique(codes[0][whole] * max(len(names[1]), 1) + codes[1][whole], return_inverse=True)
    numbers = np.full(len(first), -1)
    numbers[whole] = found
    return numbers, [(names[0][code // len(names[1])], names[1][code % len(names[1])]) for code in used]


def write_cards(results: Results, widths: dict[str, int], folder: Path) -> None:
    """Write the examples of all units, and the thumbnails that they refer to.

    Args:
        widths: how many units each layer has, in the order in which the page knows the layers.
    """
    examples = of_known_networks(results, results.examples)
    if examples.empty:
        return
    numbers, images = number_pairs(examples["measure"], examples["image"])
    shown = _write_thumbnails(results.thumbnails, images, folder / "thumbnails")
    (folder / "examples").mkdir()
    known = [[name, int(number in shown)] for number, (_, name) in enumerate(images)]
    write_script(folder / "examples" / "images.js", "images", known)
    for layer, rows in _by_layer(examples, numbers, places_of(results)):
        if layer in widths:
            place, width = list(widths).index(layer), widths[layer]
            measures = [_Examples(own, len(results.networks), width) for own in _by_measure(rows)]
            for block, start in enumerate(range(0, width, BLOCK)):
                content = {each.measure: each.of_units(start, start + BLOCK) for each in measures}
                name = f"{place}-{block}"
                write_script(folder / "examples" / f"{name}.js", "examples", name, _pack(content))


def write_script(path: Path, function: str, *arguments: object) -> None:
    """Write a script that calls one of the functions of unit_files.js."""
    given = ",".join(json.dumps(argument, separators=(",", ":")) for argument in arguments)
    path.write_text(f"unitFiles.{function}({given});\n", encoding="utf-8")


def _pack(content: object) -> str:
    """Return content as JSON, compressed; outlines repeat themselves, and there are many."""
    return base64.b64encode(zlib.compress(json.dumps(content, separators=(",", ":")).encode())).decode()


def _write_thumbnails(thumbnails: pd.DataFrame, images: list[Image], folder: Path) -> set[int]:
    """Write the thumbnail of each image by its number; return the numbers of those that there are."""
    folder.mkdir()
    keys = zip(thumbnails["measure"].astype(str), thumbnails["image"].astype(str), strict=True)
    pictures = dict(zip(keys, thumbnails["jpeg"], strict=True))
    shown = {number for number, image in enumerate(images) if image in pictures}
    for number in sorted(shown):
        (folder / f"{number}.jpg").write_bytes(pictures[images[number]])
    return shown


def _by_layer(
    examples: pd.DataFrame, numbers: NDArray[np.int64], places: dict[str, int]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the rows of one layer after the other, with `place`, that of their network, and `number` of image.

    One after the other, since all examples of a study are millions.
    """
    layers = examples["layer"].astype("category").cat
    of_category = [places.get(str(name), -1) for name in examples["network"].cat.categories]
    place = np.array(of_category, dtype=np.int64)[examples["network"].cat.codes]
    order = np.argsort(layers.codes.to_numpy(), kind="stable")
    ends = np.searchsorted(layers.codes.to_numpy()[order], np.arange(len(layers.categories) + 1))
    for layer, start, end in zip(layers.categories, ends[:-1], ends[1:], strict=True):
        own = order[start:end]
        columns = ["measure", "unit", "side", "rank", "outline"]
        yield str(layer), examples[columns].iloc[own].assign(place=place[own], number=numbers[own])


def _by_measure(rows: pd.DataFrame) -> list[pd.DataFrame]:
    return [own for _, own in rows.groupby("measure", observed=True)]


class _Examples:
    """The examples of one layer in one measure: of each side (networks, units, `keep`), and outlines of the highest."""

    def __init__(self, rows: pd.DataFrame, networks: int, width: int) -> None:
        self.measure = str(rows["measure"].iloc[0])
        place, unit = rows["place"].to_numpy(), rows["unit"].to_numpy()
        highest = (rows["side"] == "highest").to_numpy()
        rank = _positions(np.where(highest, 0, 1) + 2 * (place * width + unit), rows["rank"].to_numpy())
        self.keep = int(rank.max()) + 1
        self.present = np.isin(np.arange(networks), place)
        shape = (networks, width, self.keep)

        def laid_out(values: NDArray[Any], side: NDArray[np.bool_], nothing: int | str) -> NDArray[Any]:
            whole = np.full(shape, nothing, dtype=values.dtype)
            whole[place[side], unit[side], rank[side]] = values[side]
            return whole

        numbers = rows["number"].to_numpy()
        outlines = rows["outline"].fillna("").to_numpy(dtype=object)
        self.values = {
            "highest": laid_out(numbers, highest, -1),
            "lowest": laid_out(numbers, ~highest, -1),
            "outlines": laid_out(outlines, highest, ""),
        }

    def of_units(self, start: int, end: int) -> dict[str, Any]:
        """Return the examples of some units: a flat list for each network, null for those without."""

        def listed(values: NDArray[Any]) -> list[Any]:
            cut = values[:, start:end].reshape(len(values), -1)
            return [own.tolist() if there else None for own, there in zip(cut, self.present, strict=True)]

        return {"keep": self.keep, **{name: listed(values) for name, values in self.values.items()}}


def _positions(group: NDArray[np.int64], rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each row's place within its group, from 0 on, in the order of `rank`."""
    order = np.lexsort((rank, group))
    ordered = group[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    positions = np.empty(len(group), dtype=np.int64)
    positions[order] = np.arange(len(group)) - np.repeat(starts, np.diff(np.append(starts, len(group))))
    return positions
