"""On a dark page every colour of a figure is seen, in its own hue."""

import colorsys

import matplotlib
import pytest
from matplotlib.colors import to_hex, to_rgb

from prunescope.report.concept_figures import CONTROL_COLOURS, FATES
from prunescope.report.dark import PAPER, contrast, dark_colours, recolour, twin
from prunescope.report.heat_maps import ON_LIGHT
from prunescope.report.theme import CATEGORY_COLOURS, COLOURS, INK, OTHER_CATEGORIES, QUIET

VIRIDIS = [to_hex(matplotlib.colormaps["viridis_r"](place / 10)) for place in range(11)]
SERIES = [
    *COLOURS, *CATEGORY_COLOURS.values(), *OTHER_CATEGORIES, *FATES.values(), *CONTROL_COLOURS.values(), *VIRIDIS,
]  # fmt: skip


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(
        4.48, abs=0.005
    )  # the example known to just fail AA
    assert contrast("#336699", "#336699") == 1


@pytest.mark.parametrize("colour", sorted({colour.lower() for colour in (*SERIES, INK, QUIET)}))
def test_every_colour_of_a_figure_is_seen_on_a_dark_page(colour):
    found = twin(colour)
    least = 1.9 if colour == "#cdd4dc" else 3.0  # a bar of the palest control, which is told by its place too
    assert contrast(found, PAPER) >= least
    if colour not in {INK, QUIET, "#cdd4dc"}:
        hues = [colorsys.rgb_to_hls(*to_rgb(each))[0] for each in (colour, found)]
        assert min(abs(hues[0] - hues[1]), 1 - abs(hues[0] - hues[1])) < 0.01


def test_what_is_seen_anyway_stays():
    assert recolour("fill: #56b4e9") == "fill: #56b4e9"
    assert recolour("fill: #332288; stroke: none") == "fill: var(--x332288, #332288); stroke: none"
    assert recolour(f"fill: {ON_LIGHT}") == f"fill: {ON_LIGHT}"  # on cells, which are light on any page
    assert recolour("url(#m1234567890)") == "url(#m1234567890)"


def test_the_page_declares_what_its_figures_use_and_no_more():
    texts = [recolour("fill: #332288"), recolour("fill: #56b4e9"), "--x000000", recolour("stroke: #ffffff")]
    assert dark_colours(texts) == f"--x332288: {twin('#332288')}; --xffffff: {PAPER};"
