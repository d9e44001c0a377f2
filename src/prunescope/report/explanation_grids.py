"""Grids of explanations: images down, networks from the dense one to the sparsest across."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from prunescope.analysis.results import Network, Results, records
from prunescope.report.blocks import Gallery, Picture, Tile
from prunescope.report.explanation_results import name_method
from prunescope.report.formats import name_target, percent, shorten, signed

WHY = {  # an image is shown: how its grid is called
    "class": "One image of each class",
    "changed": "The images whose explanation changed most",
}
KINDS = {
    "heat": "heat maps, the more opaque the more a position speaks for the class explained",
    "map": "explanation maps, which show nothing but the pixels of highest value",
}
LONGEST = 24  # characters of a name below a picture


@dataclass(frozen=True)
class Pictures:
    """The pictures of a study, and what is said below them."""

    results: Results

    @cached_property
    def methods(self) -> list[str]:
        """The methods that have pictures."""
        table = self.results.explanation_pictures
        return [str(method) for method in table.loc[table["kind"] != "image", "method"].unique()]

    @cached_property
    def networks(self) -> dict[str, Network]:
        """The networks that have pictures, by name."""
        shown = set(self.results.explanation_pictures["network"])
        return {str(row["network"]): row for row in records(self.results.networks) if row["network"] in shown}

    @cached_property
    def classes(self) -> dict[int, str]:
        """The names of classes by their index."""
        known = self.results.classes.drop_duplicates("index")
        return {int(i): str(name) for i, name in zip(known["index"], known["class"], strict=True)}

    @cached_property
    def files(self) -> dict[tuple[str, ...], tuple[int, bytes]]:
        """Number and bytes of each picture by kind, image, method and network; an original has neither of those."""
        files: dict[tuple[str, ...], tuple[int, bytes]] = {}
        for number, row in enumerate(records(self.results.explanation_pictures)):
            of = () if row["kind"] == "image" else (str(row["method"]), str(row["network"]))
            files.setdefault((str(row["kind"]), str(row["image"]), *of), (number, row["jpeg"]))
        return files

    @cached_property
    def said(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """The row of each method, network and image that has pictures."""
        table = self.results.explanations
        shown = table[table["image"].isin(self.results.explanation_pictures["image"].unique())]
        return {(row["method"], row["network"], row["image"]): row for row in records(shown)}

    @cached_property
    def targets(self) -> dict[tuple[str, str], set[int]]:
        """The classes explained, by method and image: one, unless networks differ in it."""
        found: dict[tuple[str, str], set[int]] = {}
        for (method, network, image), row in self.said.items():
            if network in self.networks:
                found.setdefault((method, image), set()).add(row["target"])
        return found

    def name_class(self, index: int) -> str:
        """Write the name of a class."""
        return self.classes.get(index, f"class {index}")

    def find(self, alt: str, *key: str) -> Picture | None:
        """Return one picture, if there is one."""
        if key not in self.files:
            return None
        number, jpeg = self.files[key]
        return Picture(f"explanations/{number}.jpg", jpeg, alt)


class Grid(NamedTuple):
    """What one grid shows: why its images were chosen, the kind of its pictures, and of whom."""

    pictures: Pictures
    why: str
    kind: str
    method: str
    series: str
    networks: list[Network]

    @property
    def images(self) -> list[str]:
        """The images, in the order in which they were chosen."""
        table = self.pictures.results.explanation_pictures
        return [str(image) for image in table.loc[table["why"] == self.why, "image"].unique()]


def grids(results: Results) -> list[Gallery]:
    """Return a grid for each series and method, of an image a class and of those that changed most.

    Of each, one shows heat maps and one explanation maps; the heat maps of the first series and method are open.
    """
    pictures = Pictures(results)
    across = across_of(pictures)
    choices = itertools.product(WHY, KINDS, pictures.methods, across)
    made = [
        Grid(pictures, why, kind, method, series, across[series]) for why, kind, method, series in choices
    ]
    opened = ("heat", *pictures.methods[:1], *list(across)[:1])
    return [
        gallery
        for grid in made
        if (gallery := _gallery(grid, folded=(grid.kind, grid.method, grid.series) != opened))
    ]


def across_of(pictures: Pictures) -> dict[str, list[Network]]:
    """Return the networks of each series that have pictures, the dense one first; or that alone."""
    shown = list(pictures.networks.values())
    dense = [network for network in shown if network["stage"] == "dense"]
    across = {}
    for series in pictures.results.series:
        own = [network for network in shown if network["series"] == series and network["stage"] != "dense"]
        if own:
            start = [network for network in dense if network["run"] == own[0]["run"]]
            across[series] = start + sorted(own, key=lambda network: (network["rate"], network["stage"]))
    return across or ({"dense": dense} if dense else {})


def _gallery(grid: Grid, *, folded: bool) -> Gallery | None:
    rows = [
        [show_image(grid, image), *(show_map(grid, network, image) for network in grid.networks)]
        for image in grid.images
    ]
    rows = [row for row in rows if any(tile.picture is not None for tile in row[1:])]
    if not rows:
        return None
    caption = f"{WHY[grid.why]}. {name_method(grid.method)}, {grid.series}: {KINDS[grid.kind]}."
    if not folded:
        caption += (
            " ρ: likeness to the dense network’s map (Spearman’s correlation), no mark of quality. Percent: the "
            "probability that the network gives to the class explained. Below: whether the network’s own answer is "
            "right, else that answer."
        )
    if not folded and grid.pictures.results.seeds > 1:
        caption += " Networks of the first seed."
    return Gallery(["Image", *map(name_network, grid.networks)], rows, caption, folded)


def show_image(grid: Grid, image: str) -> Tile:
    """Show the image itself, its class, and the class explained if that is one for all networks."""
    pictures, lines = grid.pictures, [image.rpartition("/")[2]]
    rows = [
        row
        for network in grid.networks
        if (row := pictures.said.get((grid.method, network["network"], image)))
    ]
    if rows:
        lines.append(f"is {pictures.name_class(rows[0]['label'])}")
    if len(targets := pictures.targets.get((grid.method, image), ())) == 1:
        lines.append(f"explained: {pictures.name_class(min(targets))}")
    return Tile(
        pictures.find(f"The image {image}", "image", image), [shorten(line, LONGEST) for line in lines]
    )


def show_map(grid: Grid, network: Network, image: str) -> Tile:
    """Show what one network looks at, for which class if that differs, how sure it is of it, and its own answer."""
    pictures = grid.pictures
    row = pictures.said.get((grid.method, network["network"], image))
    if row is None:
        return Tile()
    explained = pictures.name_class(row["target"])
    alike = f"ρ {signed(row['spearman'])} · " if math.isfinite(row["spearman"]) else ""
    lines = [
        *(["empty map"] if row["empty"] else []),
        *([shorten(f"for {explained}", LONGEST)] if len(pictures.targets[grid.method, image]) > 1 else []),
        f"{alike}{percent(row['confidence'], 0)}",
        "right" if row["correct"] else shorten(f"says {pictures.name_class(row['prediction'])}", LONGEST),
    ]
    alt = f"{name_method(grid.method)} of {image} for {explained}, {name_network(network)}"
    picture = pictures.find(alt, grid.kind, image, grid.method, str(network["network"]))
    return Tile(picture, lines, bool(row["correct"]))


def name_network(network: Network) -> str:
    """Name a network of a row: the dense one, or what was asked of it."""
    if network["stage"] == "dense":
        return "dense"
    name = name_target(network["target"], network["rate"])
    return name if network["final"] else f"{name}, not retrained"
