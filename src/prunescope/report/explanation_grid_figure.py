"""Explanations as a figure for print: images down, networks from the dense one to the sparsest across.

The page shows the same pictures as galleries, whose pictures are files of their own.
"""

from __future__ import annotations

import io
import itertools
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from prunescope.analysis.results import Network, Results
from prunescope.errors import PrunescopeError
from prunescope.report.blocks import Plot, Tile
from prunescope.report.explanation_grids import (
    KINDS,
    WHY,
    Grid,
    Pictures,
    across_of,
    name_network,
    show_image,
    show_map,
)
from prunescope.report.explanation_results import name_method
from prunescope.report.formats import listing, shorten
from prunescope.report.theme import INK, QUIET, page_width

MOST_IMAGES = 4  # of a figure: each takes a row of heat maps and one of explanation maps
MOST_NETWORKS = 7
LARGEST, GAP, TEXT, TITLE = (
    1.2,
    0.05,
    0.24,
    0.25,
)  # inches: of a picture, beside it, of what is said below, on top
LETTERS_PER_INCH = 19  # of what is said below
WRONG = "#a33d00"  # an answer that is not right
WORDS = {"heat": "heat map", "map": "explanation map"}


def explanation_grid_plots(results: Results) -> list[Plot]:
    """Return a figure for each method and series of which a study kept pictures."""
    pictures = Pictures(results)
    across = across_of(pictures)
    pairs = list(itertools.product(pictures.methods, across))
    plots = []
    for number, (method, series) in enumerate(pairs, start=1):
        grids = _grids(pictures, method, series, across[series])
        if not grids:
            continue
        images = _images(grids)
        some = f", the first {MOST_IMAGES}" if len(images) > MOST_IMAGES else ""
        kinds = listing([WORDS[grid.kind] for grid in grids])
        plots.append(
            Plot(
                "explanation-grid" if number == 1 else f"explanation-grid-{number}",
                partial(draw_explanation_grid, grids),
                f"{WHY[grids[0].why]}{some}. {name_method(method)}, {series}: "
                f"{'; '.join(KINDS[grid.kind] for grid in grids)}. ρ: likeness to the dense network’s map (Spearman’s "
                "correlation), no mark of quality. Percent: the probability that the network gives to the class "
                "explained. Below: whether the network’s own answer is right, else that answer.",
                f"For {listing(images[:MOST_IMAGES])}: the image, and each network’s {kinds}.",
            )
        )
    return plots


def draw_explanation_grid(grids: list[Grid]) -> Figure:
    """Draw some images, of each a row for each kind of picture, with what is said of the map below.

    Raises:
        PrunescopeError: a picture is damaged.
    """
    images, networks = _images(grids)[:MOST_IMAGES], _some(grids[0].networks)
    side = min(page_width() / (1 + len(networks)), LARGEST)
    deep = len(grids) * (side + GAP) + TEXT  # of the rows of one image
    size = ((1 + len(networks)) * side, TITLE + len(images) * deep)
    figure = Figure(figsize=size)

    def place(row: float, column: int) -> Axes:
        """Make axes, `row` inches from the top of the page."""
        box = (column * side, size[1] - row - side, side - GAP, side)
        return figure.add_axes((box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]))

    for (i, image), (k, each) in itertools.product(enumerate(images), enumerate(grids)):
        row = TITLE + i * deep + k * (side + GAP) + TEXT * (k > 0)
        tiles = [show_map(each, network, image) for network in networks]
        for column, tile in enumerate([show_image(each, image), *tiles] if k == 0 else [Tile(), *tiles]):
            ax = place(row, column)
            _show(ax, tile, int(side * LETTERS_PER_INCH) if k == 0 else 0)
            if i == k == 0:
                name = name_network(networks[column - 1]) if column else "Image"
                ax.set_title(name, loc="center", fontsize=7, pad=4)
    return figure


def _grids(pictures: Pictures, method: str, series: str, networks: list[Network]) -> list[Grid]:
    """Return a grid for each kind of picture there is, of an image a class, or else of the most changed ones."""
    for why in WHY:
        found = []
        for kind in KINDS:
            grid = Grid(pictures, why, kind, method, series, networks)
            names = [str(network["network"]) for network in networks]
            if any((kind, image, method, name) in pictures.files for image in grid.images for name in names):
                found.append(grid)
        if found:
            return found
    return []


def _images(grids: list[Grid]) -> list[str]:
    """Return the images of which any of these networks has a picture."""
    names = {str(network["network"]) for network in grids[0].networks}
    own = {key[1] for key in grids[0].pictures.files if key[-1] in names}
    return [image for image in grids[0].images if image in own]


def _some(networks: list[Network]) -> list[Network]:
    """Return all networks, or as many as have room, evenly spaced, the first and the last among them."""
    if len(networks) <= MOST_NETWORKS:
        return networks
    places = np.linspace(0, len(networks) - 1, MOST_NETWORKS).round().astype(int)
    return [networks[place] for place in places]


def _show(ax: Axes, tile: Tile, letters: int) -> None:
    """Show a picture, and below it what is said of it, in lines of at most so many letters; with 0, nothing."""
    ax.set_axis_off()
    ax.set_anchor("N")
    if tile.picture is None:
        return
    try:
        with Image.open(io.BytesIO(tile.picture.jpeg)) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        raise PrunescopeError(
            f"a picture of the study is damaged ({tile.picture.alt}): run the study again to write it anew"
        ) from error
    ax.imshow(pixels, interpolation="none")
    for place, line in enumerate(tile.lines[-2:] if letters else ()):
        colour = WRONG if place and tile.good is False else INK if place else QUIET
        below: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "va": "top"}
        ax.annotate(
            shorten(line, letters), (0.5, 0), (0, -1 - 6.5 * place), fontsize=5.2, color=colour, **below
        )
